"""Tests are handed out so that the cores are used to the end: Airflow's first, and what takes long before the rest."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests import packing

ROOT = Path(__file__).resolve().parent.parent
CRASHES = "tests/proof/test_crashes.py"


def test_one_process_has_all_tests_of_airflow() -> None:
    ids = (
        "tests/e2e/test_sync.py::test_a",
        "tests/dags/test_dags.py::test_b[x]",
        "tests/test_compose.py::test_c",
    )
    assert {packing.unit(each) for each in ids} == {"airflow"}
    assert (
        packing.unit("tests/sync/test_runs.py::test_d[sqlite]") == "tests/sync/test_runs.py::test_d[sqlite]"
    )


def test_one_process_has_all_crashes_of_a_history() -> None:
    of_one = {
        packing.unit(f"{CRASHES}::test_killed_at_every_call[two_profiles-after a call-sqlite]"),
        packing.unit(f"{CRASHES}::test_killed_before_every_effect[two_profiles-sqlite]"),
    }
    assert of_one == {f"{CRASHES}::two_profiles"}
    assert packing.unit(f"{CRASHES}::test_killed_before_every_effect[first_sync-sqlite]") not in of_one
    other = f"{CRASHES}::test_random_histories_killed_everywhere[3]"
    assert packing.unit(other) == other


def test_airflow_starts_first_and_then_what_takes_long() -> None:
    ids = [
        "tests/clients/test_auth.py::test_a",
        "tests/e2e/test_sync.py::test_b",
        "tests/dags/test_dags.py::test_c",
        f"{packing.LONG[0]}::test_d",
        "tests/web/test_undo.py::test_e",
    ]
    assert [each.rpartition("_")[2] for each in sorted(ids, key=packing.rank)] == ["c", "b", "d", "a", "e"]


def test_what_is_named_is_there() -> None:
    for name in (*packing.AIRFLOW, *packing.WHOLE, *packing.LONG):
        assert (ROOT / name).exists(), name


@pytest.mark.parametrize(
    ("first", "gives_way"),
    [("tests/sync/test_runs.py::test_a", True), ("tests/e2e/test_sync.py::test_b", False)],
)
def test_who_begins_without_airflow_gives_way(monkeypatch, first: str, gives_way: bool) -> None:
    asked: list[int] = []
    monkeypatch.setattr(os, "nice", asked.append)
    plugin = packing.StandBack()
    for nodeid in (first, "tests/sync/test_runs.py::test_c", "tests/e2e/test_sync.py::test_d"):
        plugin.pytest_runtest_setup(SimpleNamespace(nodeid=nodeid))
    assert asked == ([packing.NICE] if gives_way else [])
