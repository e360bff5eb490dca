"""Which process of tests gets what, and when: Airflow's tests first, all in one, then what takes long, then the rest.

One process has all tests that need Airflow, since it takes long to import and to start. It mostly waits; the others
use the cores meanwhile, and give way to it, since it is what ends last.
"""

from __future__ import annotations

import os
import re
from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling

#: Airflow starts while the first two of these run, which need none that is up.
AIRFLOW = ("tests/dags/", "tests/test_compose.py", "tests/e2e/")
#: Files of which one process has all, since its tests share what takes long to make. One starts an API server of
#: its own, and needs no Airflow in its process.
WHOLE = (
    "tests/e2e/test_fab.py",
    "tests/proof/test_trace.py",
    "tests/web/test_accessibility.py",
    "tests/clients/test_over_http.py",
    "tests/test_architecture.py",
    "tests/test_docs.py",
)
#: What takes longest, so that no process is left alone with it in the end.
LONG = (
    "tests/e2e/test_fab.py",
    "tests/web/test_hostile_browser.py",
    "tests/web/test_accessibility.py",
    "tests/proof/test_crashes.py",
    "tests/proof/test_trace.py",
    "tests/proof/test_machine.py",
    "tests/proof/",
    "tests/sync/test_undo_crashes.py",
    "tests/web/test_contacts.py",
)
#: The crashes of one history: what several of them leave behind is judged once in a process.
_HISTORY = re.compile(r"(tests/proof/test_crashes\.py)::test_killed_\w+\[([a-z_]+)-")
#: How far the other processes give way to Airflow's.
NICE = 5


def needs_airflow(nodeid: str) -> bool:
    return nodeid.startswith(AIRFLOW) and not nodeid.startswith(WHOLE)


def unit(nodeid: str) -> str:
    """Return the name of what is handed out together with a test."""
    if needs_airflow(nodeid):
        return "airflow"
    if found := _HISTORY.match(nodeid):
        return "::".join(found.groups())
    return next((file for file in WHOLE if nodeid.startswith(file)), nodeid)


def rank(nodeid: str) -> tuple[int, int]:
    """Return when a test's turn is; those of the same rank keep the order in which they were found."""
    place, parts = (0, AIRFLOW) if needs_airflow(nodeid) else (1, LONG)
    for number, part in enumerate(parts):
        if nodeid.startswith(part):
            return place, number
    return 2, 0


class OneAirflow(LoadScopeScheduling):
    """Hands out unit by unit, in the order of the tests."""

    def __init__(self, config: pytest.Config, log: Any) -> None:
        super().__init__(config, log)
        # By itself it would begin with the units of most tests.
        config.option.loadscopereorder = False

    def _split_scope(self, nodeid: str) -> str:
        return unit(nodeid)


class StandBack:
    """Lets a process that begins without Airflow give way to the one that has it."""

    def __init__(self) -> None:
        self.begun = False

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        if not self.begun and not needs_airflow(item.nodeid):
            os.nice(NICE)
        self.begun = True
