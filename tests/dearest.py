"""What the files of tests cost: seconds, and CPU seconds of the process that runs them and of the programs it ends."""

from __future__ import annotations

import resource
from collections import defaultdict
from collections.abc import Generator
from typing import Any

import pytest


def cpu() -> float:
    """Return the CPU seconds that this process and its ended children have used."""
    used = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(one.ru_utime + one.ru_stime for one in used)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item) -> Generator[None, Any, Any]:
    """Note what a test cost, its fixtures included; those of a module count for its first and last test."""
    result = yield
    item.user_properties.append(("cpu", cpu() - item.stash[_BEGAN]))
    return result


_BEGAN = pytest.StashKey[float]()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup(item: pytest.Item) -> Generator[None, Any, Any]:
    item.stash[_BEGAN] = cpu()
    return (yield)


class Dearest:
    """Adds up what the tests of all processes report, per file."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.cpu: defaultdict[str, float] = defaultdict(float)
        self.seconds: defaultdict[str, float] = defaultdict(float)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        file = report.nodeid.partition("::")[0]
        self.seconds[file] += report.duration
        if report.when == "teardown":
            self.cpu[file] += sum(
                float(str(value)) for name, value in report.user_properties if name == "cpu"
            )

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        terminalreporter.section("dearest files")
        terminalreporter.line(f"{'CPU s':>8}{'seconds':>9}  file")
        for file, used in sorted(self.cpu.items(), key=lambda pair: -pair[1])[: self.count]:
            terminalreporter.line(f"{used:8.1f}{self.seconds[file]:9.1f}  {file}")
        total, seconds = sum(self.cpu.values()), sum(self.seconds.values())
        terminalreporter.line(f"{total:8.1f}{seconds:9.1f}  all {len(self.cpu)} files")
