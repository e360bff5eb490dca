"""What a run asks of the staging database grows with what changed, not with the contacts that there are (rules 5)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from sandbox import Sandbox
from sync_lib import pipeline
from sync_lib.model import RunRequest
from tests.database_fixtures import NewDatabase
from tests.partial import Checks
from tests.sync.asking import Asked, asked, plan_of, whole_reads
from tests.sync.harness import Harness, person, world

FEW, MANY = 20, 120


def stamped(n: int) -> str:
    """When a contact was changed last: one after the other, a day between two, so that no overlap brings many."""
    return f"20{10 + n // 300}-{1 + n // 25 % 12:02}-{1 + n % 25:02}T08:00:00Z"


@pytest.fixture
def harness_of(
    database_kind: str, new_database: NewDatabase, partial_comparisons: Checks
) -> Iterator[Callable[[int], Harness]]:
    """Make a harness of one mailbox that is in step with so many contacts."""
    partial_comparisons.on = False
    made: list[Harness] = []

    def make(contacts: int) -> Harness:
        people = [person(f"Persoon {n:03}", lastModifiedDateTime=stamped(n)) for n in range(contacts)]
        sim = Sandbox(world=world(*people), transport="in_process").start()
        h = Harness(sim, new_database(database_kind), guard_creates=1_000)
        made.append(h)
        h.add_profiles()
        h.full()
        h.run()
        h.run()
        return h

    yield make
    for h in made:
        h.close()
        h.sim.stop()


def read_company(h: Harness, run: str) -> Asked:
    """What the read of the company asks."""
    pipeline.plan_run(h.edges, RunRequest(run, "incremental"))
    with asked(h.edges.engine) as found:
        pipeline.extract_business_central(h.edges, run, "1")
    return found


def test_a_quiet_read_asks_for_no_contact_but_those_that_came(harness_of: Callable[[int], Harness]) -> None:
    found = [read_company(harness_of(contacts), "quiet") for contacts in (FEW, MANY)]
    assert len(found[0].statements) == len(found[1].statements)
    assert found[0].rows == found[1].rows


def test_a_read_of_one_change_asks_for_that_contact(harness_of: Callable[[int], Harness]) -> None:
    found = []
    for contacts in (FEW, MANY):
        h = harness_of(contacts)
        h.edit_contact("Persoon 003", jobTitle="Chef")
        found.append(read_company(h, "one"))
    assert found[0].rows == found[1].rows


def test_a_sync_of_one_change_on_each_side_reads_these_pairs(harness_of: Callable[[int], Harness]) -> None:
    """And so does the one behind it, which looks at what was written."""
    found = []
    for contacts in (FEW, MANY):
        h = harness_of(contacts)
        h.edit_contact("Persoon 003", jobTitle="Chef")
        h.edit_item("Persoon 005", jobTitle="Baas")
        for run in ("one", "behind"):
            read_company(h, run)
            with asked(h.edges.engine) as statements:
                pipeline.sync_profile(h.edges, run, "1")
            found.append(statements)
    for few, many in zip(found[:2], found[2:], strict=True):
        assert len(few.statements) == len(many.statements)
        assert few.rows == many.rows


def test_what_is_unsettled_is_found_by_index(harness_of: Callable[[int], Harness]) -> None:
    h = harness_of(MANY)
    with h.edges.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as conn:
        conn.exec_driver_sql("ANALYZE")
    h.edit_contact("Persoon 003", jobTitle="Chef")
    read_company(h, "one")
    with asked(h.edges.engine) as found:
        pipeline.sync_profile(h.edges, "one", "1")
    marks = [statement for statement, _ in found.statements if "NOT coupling.settled" in statement]
    plans = "".join(plan_of(h.edges.engine, each, found) for each in marks)
    assert "ix_coupling_unsettled" in plans
    tables = {"bc_contact", "outlook_contact", "coupling", "change", "awaited"}
    assert whole_reads(h.edges.engine, found, tables) == []


def test_only_a_scan_asks_for_the_stamps_of_all(harness_of: Callable[[int], Harness]) -> None:
    h = harness_of(FEW)
    h.edges.settings = replace(h.edges.settings, id_scan_cheap_every=0.0)
    rows = [count for statement, count in read_company(h, "scan").rows if "bc_contact" in statement]
    assert rows.count(FEW) == 1, "the stamps, once"
    assert sum(rows) < 2 * FEW


def test_a_delete_shows_in_the_count_although_nothing_else_changed(
    harness_of: Callable[[int], Harness],
) -> None:
    """The number of staged contacts is remembered; BC's own count, which differs, brings the scan forward."""
    h = harness_of(FEW)
    h.delete_contact("Persoon 003")
    assert h.run().writes == {"deleted_outlook": 1}
    assert h.run().writes == {}
    h.add_item(displayName="Nieuwe Klant", emailAddresses=[{"address": "n@klant.example", "name": "n"}])
    assert h.run().writes == {"created_business_central": 1}
    h.sim.reset_counters()
    h.run()
    h.run()
    h.delete_contact("Persoon 004")
    assert h.run().writes == {"deleted_outlook": 1}
