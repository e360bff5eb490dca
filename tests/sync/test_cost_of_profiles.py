"""What a profile's sync asks of the staging database does not grow with the number of profiles (architecture 1)."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from sqlalchemy import insert, select

from sandbox import Sandbox
from sync_lib import pipeline
from sync_lib.model import RunRequest
from sync_lib.store import tables as t
from sync_lib.store.engine import read, transaction
from tests.database_fixtures import NewDatabase
from tests.partial import Checks
from tests.sync.asking import Asked, asked, whole_reads
from tests.sync.harness import Harness, person, world

FEW, MANY = 10, 200
#: Key of the first of the other profiles.
FIRST = 1_000
PEOPLE = [person("Piet Bakker"), person("Anna Jansen"), person("Geblokkeerd Mens", privacyBlocked=True)]
#: Tables with a row, or rows, for each profile or run of one.
GROWING = {
    *("sync_profile", "run_profile", "cursor", "comparison", "lease", "former_folder", "coupling"),
    *("bc_contact", "outlook_contact", "change", "plan", "awaited", "former_item"),
}
#: What ``find_work`` reads of all profiles.
READ_BY_FIND_WORK = {"sync_profile", "cursor", "lease"}


def grown(sim: Sandbox, url: str, profiles: int) -> Harness:
    """A harness whose one mailbox is in step, beside so many other profiles of the company, which synced too."""
    h = Harness(sim, url)
    h.add_profiles()
    h.full()
    h.run()
    h.run()
    ids = range(FIRST, FIRST + profiles)
    day = {"created_at": "2026-01-01", "updated_at": "2026-01-01"}
    bound = [
        {
            "id": n,
            "mailbox": f"collega{n}@voorbeeld.example",
            "company_name": "Molenzicht BV",
            "company": 1,
            "graph_user_id": f"u{n}",
            "folder_id": f"f{n}",
            "folder_seen": "Business Central",
            **day,
        }
        for n in ids
    ]
    with transaction(h.edges.engine) as conn:
        conn.execute(insert(t.sync_profile), bound)
        conn.execute(
            insert(t.cursor),
            [{"side": "outlook", "scope": str(n), "position": "x", "updated_at": "2026-01-01"} for n in ids],
        )
        conn.execute(
            insert(t.comparison), [{"profile": n, "run": "r", "compared_at": "2026-01-01"} for n in ids]
        )
        conn.execute(
            insert(t.former_folder),
            [{"profile": n, "folder_id": f"g{n}", "until": "2026-01-01"} for n in ids],
        )
    return h


def prepare(h: Harness, run: str, mode: str) -> None:
    """Let a run with all profiles in it come to the mailbox's task, after one edit on each side."""
    h.edit_contact("Piet Bakker", phoneNumber="+31 15 1234567")
    h.edit_item("Anna Jansen", jobTitle="Chef")
    pipeline.plan_run(h.edges, RunRequest(run, mode))
    pipeline.extract_business_central(h.edges, run, "1")


def sync_one(h: Harness, mode: str) -> Asked:
    """What the task of the mailbox asks in a run that has worked on all other profiles."""
    prepare(h, "once", mode)
    r = t.run_profile.c
    with transaction(h.edges.engine) as conn:
        conn.execute(t.run_profile.delete().where(r.run == "once", r.profile >= FIRST))
        ids = conn.scalars(select(t.sync_profile.c.id).where(t.sync_profile.c.id >= FIRST)).all()
        done = {"run": "once", "state": "done", "chunk": "x"}
        conn.execute(insert(t.run_profile), [{**done, "profile": key} for key in ids])
    with asked(h.edges.engine) as found:
        [result] = pipeline.sync_profile(h.edges, "once", "1")
    assert result.counters["writes"] == {"updated_business_central": 1, "updated_outlook": 1}
    return found


@pytest.fixture
def harness_of(
    database_kind: str, new_database: NewDatabase, partial_comparisons: Checks
) -> Iterator[Callable[[int], Harness]]:
    """Make a harness of a mailbox beside a number of other profiles."""
    partial_comparisons.on = False
    made: list[Harness] = []

    def make(profiles: int) -> Harness:
        sim = Sandbox(world=world(*PEOPLE), transport="in_process").start()
        made.append(grown(sim, new_database(database_kind), profiles))
        return made[-1]

    yield make
    for h in made:
        h.close()
        h.sim.stop()


@pytest.mark.parametrize("mode", ["incremental", "full"])
def test_a_sync_asks_the_same_among_ten_profiles_and_among_two_hundred(
    harness_of: Callable[[int], Harness], mode: str
) -> None:
    few, many = (sync_one(harness_of(profiles), mode) for profiles in (FEW, MANY))
    assert len(many.statements) == len(few.statements)
    assert many.rows == few.rows


def test_find_work_asks_as_often_among_ten_profiles_as_among_two_hundred(
    harness_of: Callable[[int], Harness],
) -> None:
    """It reads all profiles, each table once: their number decides about rows, not about statements."""
    found = []
    for profiles in (FEW, MANY):
        h = harness_of(profiles)
        prepare(h, "once", "incremental")
        with asked(h.edges.engine) as statements:
            assert "1" in pipeline.find_work(h.edges, "once")
        found.append(len(statements.statements))
    assert found[0] == found[1]


def test_a_sync_and_find_work_look_up_by_index(harness_of: Callable[[int], Harness]) -> None:
    """Neighbours, results of the run, and whatever else one profile's task asks; and what changed, in ``find_work``."""
    h = harness_of(MANY)
    with h.edges.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as conn:
        conn.exec_driver_sql("ANALYZE")
    synced = sync_one(h, "full")
    prepare(h, "other", "incremental")
    with asked(h.edges.engine) as found:
        pipeline.find_work(h.edges, "other")
    names = "".join(statement for statement, _ in synced.statements)
    assert all(each in names for each in ("mailbox_key", "FROM run_profile", "count(change"))
    assert whole_reads(h.edges.engine, synced, GROWING) == []
    assert whole_reads(h.edges.engine, found, GROWING - READ_BY_FIND_WORK) == []


def test_a_query_that_reads_a_whole_table_would_be_noticed(harness_of: Callable[[int], Harness]) -> None:
    h = harness_of(FEW)
    with asked(h.edges.engine) as found, read(h.edges.engine) as conn:
        conn.exec_driver_sql("SELECT id FROM sync_profile AS p WHERE p.salesperson_code <> ''")
    assert found.rows == [("SELECT id FROM sync_profile AS p WHERE p.salesperson_code <> ''", 0)]
    assert len(whole_reads(h.edges.engine, found, GROWING)) == 1
