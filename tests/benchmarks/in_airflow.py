"""Runs of a real Airflow, beside an empty DAG of as many tasks in the same Airflow."""

from __future__ import annotations

import statistics
from collections.abc import Callable

from tests.benchmarks import worlds
from tests.benchmarks.airflow_office import DAG, EACH, REFERENCE, AirflowOffice, Office, RunCost, open_office
from tests.benchmarks.measuring import Options, note
from tests.benchmarks.report import Table, ratio
from tests.sync.harness import COMPANY


def quiet(options: Options) -> list[Table]:
    """A run in which nothing changed; where profiles without work get no task, it hardly grows with them."""
    profiles = options.profiles or options.size(1_000, 3)
    with open_office(Office.of(profiles)) as o:
        ours, empty = in_turns(o, options.size(options.rounds, 1), lambda: None)
        written = o.sandbox.writes()
        assert (written["graph"]["writes"], written["bc"]["writes"]) == (0, 0)
    beyond = ours.cost.cpu - empty.cost.cpu
    row = (
        str(profiles), f"{ours.cost.wall:.1f}", f"{ours.cost.cpu:.1f}", str(ours.tasks),
        f"{empty.cost.wall:.1f}", f"{empty.cost.cpu:.1f}", f"{beyond:.1f}", ratio(ours.cost.cpu, empty.cost.cpu),
    )  # fmt: skip
    head = ("profiles", "wall s", "CPU s", "tasks", "empty DAG wall s", "CPU s", "CPU s beyond it", "x CPU")
    closing = f"quiet: {profiles} profiles, {ours.cost.wall:.1f} s wall, {ours.cost.cpu:.1f} CPU s, {ours.tasks} tasks"
    return [Table("Nothing changed", head, [row], ABOUT, closing)]


ABOUT = (
    "LocalExecutor on PostgreSQL with config/airflow.env. CPU is that of all processes of Airflow; PostgreSQL's and "
    "the sandbox's are not in it. Wall is from the queued run to its end."
)


def change(options: Options) -> list[Table]:
    """A run in which each of some profiles has one change, by the task."""
    profiles = options.profiles or options.size(30, 2)
    with open_office(Office.of(profiles)) as o:
        turns = iter(range(1_000))
        contacts = {each["displayName"]: each["id"] for each in o.sandbox.dump()["companies"][0]["contacts"]}
        ids = [contacts[each["displayName"]] for each in worlds.people(profiles * EACH, profiles)[:profiles]]
        url = f"{o.sandbox.company_url(COMPANY)}/contacts"

        def edit() -> None:
            title = f"Functie {next(turns)}"
            for contact in ids:
                o.sandbox.as_user("bc", "PATCH", f"{url}({contact})", {"jobTitle": title})

        ours, empty = in_turns(o, options.size(options.rounds, 1), edit)
    mine, floor = ours.cost.cpu / ours.tasks, empty.cost.cpu / empty.tasks
    row = (
        str(profiles), str(ours.tasks), f"{ours.cost.wall:.1f}", f"{mine:.3f}", f"{empty.cost.wall:.1f}",
        f"{floor:.3f}", ratio(mine, floor),
    )  # fmt: skip
    head = ("profiles", "tasks", "wall s", "CPU s per task", "empty DAG wall s", "CPU s per empty task", "x")
    return [Table("One change in each profile", head, [row], ABOUT)]


def in_turns(o: AirflowOffice, rounds: int, before: Callable[[], None]) -> tuple[RunCost, RunCost]:
    """Return the medians of the sync and of an empty DAG of as many tasks, run in turns; the first is not counted."""
    ours, empty = [], []
    for number in range(rounds + 1):
        before()
        o.sandbox.control("POST", "counters/reset")
        mine = o.run(DAG)
        # Its own first task, and the mapped ones.
        other = o.run(REFERENCE, count=mine.tasks - 1)
        note(f"sync: {mine.cost.wall:.1f} s, {mine.cost.cpu:.1f} CPU s; empty: {other.cost.cpu:.1f} CPU s")
        if number:
            ours.append(mine)
            empty.append(other)
    return _median(ours), _median(empty)


def _median(runs: list[RunCost]) -> RunCost:
    from tests.benchmarks.measuring import median

    tasks = round(statistics.median(run.tasks for run in runs))
    return RunCost(median([run.cost for run in runs]), tasks, runs[0].state)
