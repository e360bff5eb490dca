"""What is done by night, between whole runs: forgetting, erasing, and looking whether both services agree."""

from __future__ import annotations

from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import func, select

from sync_lib.operate import approval, housekeeping
from sync_lib.settings import SyncSettings
from sync_lib.store import clock
from sync_lib.store import tables as t
from sync_lib.store.engine import read
from tests.sync.harness import Harness, person, world
from tests.sync.test_approval import answer, request
from tests.sync.test_identity import copy, email

PEOPLE = 12


@contextmanager
def later(h: Harness, years: float = 70) -> Any:
    """The staging database's clock, far ahead: everything is old."""
    clock.set_offset(h.edges.engine, years * 365 * 86_400.0)
    yield
    clock.set_offset(h.edges.engine, 0.0)


def forget(h: Harness) -> dict[str, int]:
    with later(h):
        return housekeeping.remove_old(h.edges)


def count(h: Harness, table: Any) -> int:
    with read(h.edges.engine) as conn:
        return conn.scalar(select(func.count()).select_from(table)) or 0


def couplings(h: Harness) -> set[tuple[str, str]]:
    with read(h.edges.engine) as conn:
        c = t.coupling.c
        return {tuple(row) for row in conn.execute(select(c.bc_id, c.outlook_id, c.state, c.baseline_bc))}


@pytest.fixture
def synced(make_harness) -> Harness:
    """Two mailboxes in step, with a history: made, edited on both sides, deleted."""
    h = make_harness(
        world(
            *(person(f"Persoon {n:02}") for n in range(PEOPLE)),
            mailboxes=["anna@voorbeeld.example", "bram@voorbeeld.example"],
        )
    )
    h.add_profiles("anna@voorbeeld.example", "bram@voorbeeld.example")
    h.full()
    h.edit_item("Persoon 01", "anna@voorbeeld.example", jobTitle="Inkoper")
    h.edit_contact("Persoon 02", jobTitle="Directeur")
    h.delete_contact("Persoon 03")
    h.add_item("anna@voorbeeld.example", displayName="Nieuw", emailAddresses=[{"address": "n@klant.example"}])
    h.run()
    h.run()
    return h


@pytest.mark.parametrize("mode", ["incremental", "full"])
def test_a_run_after_everything_old_went_does_as_if_nothing_had(synced, mode):
    before = couplings(synced)
    removed = forget(synced)
    assert removed["change"] > 2 * PEOPLE
    assert count(synced, t.change) == count(synced, t.plan) == 0
    assert removed["bc_contact"] == 1, "the one that was deleted on both sides"
    assert removed["outlook_contact"] == 2
    assert count(synced, t.sync_run) == 1, "the last one, which the pages show"
    ran = synced.run(mode)
    assert ran.verdict.ok
    assert ran.writes == {}
    assert ran.reasons() == {}
    assert couplings(synced) == before
    synced.edit_item("Persoon 01", "bram@voorbeeld.example", jobTitle="Chef")
    synced.run()
    assert synced.contacts()["Persoon 01"]["jobTitle"] == "Chef"


def test_nothing_goes_before_its_time(synced):
    before = {table.name: count(synced, table) for table in t.metadata.sorted_tables}
    removed = housekeeping.remove_old(synced.edges)
    assert set(removed.values()) == {0}
    assert {table.name: count(synced, table) for table in t.metadata.sorted_tables} == before


def test_what_waits_for_a_person_outlives_the_retention(make_harness):
    h = make_harness(world(*(person(f"Persoon {n:02}") for n in range(PEOPLE))))
    h.add_profiles()
    h.full()
    for name in list(h.items()):
        h.delete_item(name)
    h.run()
    asked = request(h)
    forget(h)
    assert h.run().writes == {}
    assert request(h) == asked, "the same hold, asked about as before"
    answer(h, asked, approve=False)
    forget(h)
    # The answer was to leave them away, and that outlives the retention too.
    assert h.run().writes == {}
    assert h.run().reasons() == {"stay_away": PEOPLE}
    assert h.items() == {}
    assert approval.list_requests(h.edges) == []


def test_a_create_without_an_outcome_outlives_the_retention(make_harness):
    h = make_harness(world(person("Jan Jansen")), retry_cap=0.0)
    h.add_profiles()
    h.full()
    h.add_item(displayName="Els Nieuw", emailAddresses=[{"address": "els@nieuw.example", "name": "x"}])

    def away(_call: object) -> None:
        h.sim._server.faults.add({"service": "bc", "kind": "status", "status": 504, "count": None}, None)

    h.sim.add_fault(away, kind="callback", service="bc", method="POST", path="contacts", moment="after")
    h.sim.add_fault(service="bc", kind="status", status=504, method="POST", path="contacts", moment="after")
    h.run()
    h.sim.clear_faults()
    forget(h)
    with read(h.edges.engine) as conn:
        assert list(conn.scalars(select(t.change.c.state))) == ["sending"]
    assert count(h, t.claim) == 1
    for _ in range(3):
        h.run()
    names = [contact["displayName"] for contact in h.sim.dump()["companies"][0]["contacts"]]
    assert sorted(names) == ["Els Nieuw", "Jan Jansen"]
    forget(h)
    assert (count(h, t.change), count(h, t.claim)) == (0, 0)


def test_a_copy_stays_a_copy_when_the_log_of_its_old_values_is_old(make_harness):
    h = make_harness(world(person("Jan Oud", "oud@klant.example")))
    h.add_profiles()
    h.full()
    h.edit_contact("Jan Oud", displayName="Jan Jansen", email="jan@klant.example")
    h.run()
    copy(h, "Jan Jansen", displayName="Jan Oud", emailAddresses=email("oud@klant.example"))
    for _ in range(2):
        assert h.full().reasons() == {"copy_of_coupled": 1}
        forget(h)
    h.run()
    assert list(h.contacts()) == ["Jan Jansen"]
    h.delete_item("Jan Oud")
    h.run()
    assert forget(h)["change"] > 0, "nothing needs the old values any more"


@pytest.mark.parametrize("days", ["36500", "999999", "1000000000", "ten years"])
def test_a_retention_of_any_length_removes_nothing_that_is_younger(make_harness, days):
    """Who keeps the change log for good must neither lose it nor have a red task each night."""
    names = ("CONTACT_SYNC_RETENTION_DAYS", "CONTACT_SYNC_QUIET_RUN_HOURS")
    settings, _ = SyncSettings.read_environment(dict.fromkeys(names, days))
    kept = {"retention_days": settings.retention_days, "quiet_run_hours": settings.quiet_run_hours}
    h = make_harness(world(person("Jan Jansen")), **kept)
    h.add_profiles()
    h.full()
    h.run()
    with later(h, 9):
        removed = housekeeping.remove_old(h.edges)
    assert {table: rows for table, rows in removed.items() if rows} == {}


def test_a_limit_of_any_size_costs_nothing(make_harness):
    """Requests to BC at once: a slip of the keyboard must not fill the memory, under a lock that all workers want."""
    h = make_harness(world(person("Jan Jansen")), bc_concurrency=10**9)
    h.add_profiles()
    assert h.full().writes == {"created_outlook": 1}
