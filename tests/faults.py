"""How often each fault of the sandbox fired in a run of the tests: one that never did proves nothing."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sandbox import Sandbox
from sandbox.faults import PRESETS

#: All that the sandbox knows: every preset of ``sandbox/faults.py``.
FAULTS = tuple(sorted(PRESETS, key=lambda name: int(name[1:])))
#: Who made it fire, and how that is read from a test's id.
RANDOM, TARGETED = "random histories", "targeted tests"


@pytest.fixture(autouse=True)
def note_faults(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Note which faults of a targeted test fired; the random histories count theirs themselves."""
    planned: list[Any] = []
    add = Sandbox.add_fault

    def keep(self: Sandbox, *arguments: Any, **spec: Any) -> Any:
        planned.append(add(self, *arguments, **spec))
        return planned[-1]

    monkeypatch.setattr(Sandbox, "add_fault", keep)
    yield
    fired: Counter[str] = Counter()
    for fault in planned:
        fired[fault.name] += fault.fired
    if not is_random(request.node.nodeid) and +fired:
        request.node.user_properties.append(("fired", dict(+fired)))


def is_random(nodeid: str) -> bool:
    return "test_machine.py" in nodeid


class Count:
    """Adds up what the tests of all processes report."""

    def __init__(self, path: str) -> None:
        self.path = Path(path)
        self.fired = {RANDOM: Counter[str](), TARGETED: Counter[str]()}
        self.histories = 0

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        # The last report of a test holds all that it noted.
        if report.when != "teardown":
            return
        counted = self.fired[RANDOM if is_random(report.nodeid) else TARGETED]
        for name, fired in report.user_properties:
            if name == "fired" and isinstance(fired, dict):
                counted.update({k: v for k, v in fired.items() if re.fullmatch(r"F\d+", k)})
                self.histories += fired.get("histories", 0)

    @property
    def missing(self) -> list[str]:
        return [name for name in FAULTS if not any(fired[name] for fired in self.fired.values())]

    def table(self) -> str:
        """Return the counts, one fault a line."""
        lines = [f"{self.histories} random histories; faults fired:", f"{'':5}{RANDOM:>18}{TARGETED:>18}"]
        lines += [f"{name:5}{self.fired[RANDOM][name]:18}{self.fired[TARGETED][name]:18}" for name in FAULTS]
        if self.missing:
            lines.append(f"NEVER FIRED: {', '.join(self.missing)}")
        return "\n".join(lines)

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        self.path.write_text(self.table() + "\n")
        if self.missing and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        terminalreporter.section("faults")
        terminalreporter.line(self.table())
