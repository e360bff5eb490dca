"""By night both sides of some profiles are compared with each other, and nothing is written anywhere but the result."""

from __future__ import annotations

import json
import logging
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import select, update

from sync_lib.diff import agreement
from sync_lib.diff.agreement import Agreement, Checked
from sync_lib.operate import housekeeping
from sync_lib.store import tables as t
from sync_lib.store.engine import read, transaction
from sync_lib.store.leases import acquire_lease, release_lease
from tests.sync.harness import Harness, person, world

ANNA, BRAM, CATO = (f"{name}@voorbeeld.example" for name in ("anna", "bram", "cato"))
PEOPLE = 10


@pytest.fixture
def synced(make_harness) -> Harness:
    h = make_harness(
        world(*(person(f"Persoon {n:02}", jobTitle="Chef") for n in range(PEOPLE)), mailboxes=[ANNA])
    )
    h.add_profiles(ANNA)
    h.full()
    h.run()
    return h


def check(h: Harness, run: str = "scheduled__1") -> dict[str, Checked]:
    return {one.mailbox: one for one in housekeeping.check_drift(h.edges, run)}


def rows(h: Harness, but: set[str]) -> dict[str, list[Any]]:
    with read(h.edges.engine) as conn:
        return {
            table.name: sorted(map(str, conn.execute(select(table))))
            for table in t.metadata.sorted_tables
            if table.name not in but
        }


def written(h: Harness) -> int:
    return sum(service["writes"] for service in h.counters()["app"].values())


def test_in_step_all_pairs_agree_and_nothing_is_written(synced):
    leases = {"lease", "budget", "budget_slot", "budget_use"}
    before = rows(synced, {*leases, "drift_check"})
    synced.sim.reset_counters()
    found = check(synced)[ANNA]
    assert (found.agreement, found.planned, found.reason) == (Agreement(PEOPLE, PEOPLE, 0), {}, "")
    assert written(synced) == 0
    assert rows(synced, {*leases, "drift_check"}) == before
    with read(synced.edges.engine) as conn:
        [row] = conn.execute(select(t.drift_check)).mappings()
    assert (row["pairs"], row["agreeing"], row["explained"]) == (PEOPLE, PEOPLE, 0)


def test_what_changed_since_the_last_run_is_counted_with_what_a_run_would_do(synced):
    synced.edit_contact("Persoon 01", jobTitle="Directeur")
    synced.edit_item("Persoon 02", jobTitle="Inkoper")
    synced.delete_item("Persoon 03")
    synced.delete_contact("Persoon 04")
    synced.add_contact("Nieuw")
    found = check(synced)[ANNA]
    assert found.agreement == Agreement(PEOPLE, PEOPLE - 4, 0)
    assert found.planned == {
        "created_outlook": 2,
        "deleted_outlook": 1,
        "updated_business_central": 1,
        "updated_outlook": 1,
    }
    assert synced.run().writes == found.planned, "the run does what was announced"
    synced.run()
    assert check(synced)[ANNA].agreement == Agreement(PEOPLE, PEOPLE, 0)


def test_a_drift_is_found_that_the_sync_believes_to_be_agreement(synced, caplog):
    """A baseline is wrong: by it neither side has changed, and so no run ever fixes the difference."""
    synced.edit_item("Persoon 05", jobTitle="Zomaar")
    with transaction(synced.edges.engine) as conn:
        contact = synced.contacts()["Persoon 05"]["id"]
        baseline = json.loads(
            conn.scalar(select(t.coupling.c.baseline_outlook).where(t.coupling.c.bc_id == contact))
        )
        baseline["fields"]["job_title"] = "Zomaar"
        conn.execute(
            update(t.coupling)
            .where(t.coupling.c.bc_id == contact)
            .values(baseline_outlook=json.dumps(baseline))
        )
    assert synced.full().writes == {}, "the sync sees nothing"
    with caplog.at_level(logging.INFO):
        found = check(synced)[ANNA]
    assert (found.agreement, found.planned) == (Agreement(PEOPLE, PEOPLE - 1, 0), {})
    assert f"{ANNA}: 1 of {PEOPLE} pairs differ" in caplog.text
    assert "90 %" in caplog.text
    assert "Persoon" not in caplog.text
    assert "Zomaar" not in caplog.text


def test_a_difference_with_a_reason_on_record_warns_nobody(synced, caplog):
    synced.edit_item("Persoon 06", jobTitle="x" * 31)
    assert synced.run().reasons() == {"too_long": 1}
    found = check(synced)[ANNA]
    assert found.agreement == Agreement(PEOPLE, PEOPLE - 1, 1)
    synced.add_profiles(ANNA, direction="to_business_central")
    synced.edit_contact("Persoon 07", jobTitle="Directeur")
    synced.run()
    synced.run()
    assert check(synced)[ANNA].agreement == Agreement(PEOPLE, PEOPLE - 2, 2)
    assert "pairs differ" not in caplog.text


def test_a_contact_without_its_required_fields_differs_for_a_reason(synced):
    synced.edit_contact("Persoon 08", email="")
    synced.run()
    assert check(synced)[ANNA].agreement == Agreement(PEOPLE, PEOPLE - 1, 1)


def test_a_number_of_the_users_own_is_not_compared(make_harness):
    h = make_harness(world(person("Jan Jansen", phoneNumber="020 555 0001"), mailboxes=[ANNA]))
    h.add_profiles(ANNA)
    h.full()
    h.edit_item("Jan Jansen", businessPhones=["020 555 0001", "06 5550 0002"])
    h.run()
    h.edit_item("Jan Jansen", businessPhones=["06 5550 0002"])
    h.run()
    assert h.contacts()["Jan Jansen"]["phoneNumber"] == ""
    assert check(h)[ANNA].agreement == Agreement(1, 1, 0)


@pytest.fixture
def three(make_harness) -> Harness:
    h = make_harness(world(*(person(f"Persoon {n}") for n in range(3)), mailboxes=[ANNA, BRAM, CATO]))
    h.add_profiles(ANNA, BRAM, CATO)
    h.edges.settings = h.settings.__class__(drift_sample=2)
    h.full()
    return h


def test_those_are_checked_that_were_checked_longest_ago(three):
    three.add_profiles("nieuw@voorbeeld.example")
    assert three.run().profile("nieuw@voorbeeld.example").reason == "mailbox_not_found"
    nights = [set(check(three, f"night-{n}")) for n in range(3)]
    assert nights == [{ANNA, BRAM}, {CATO, ANNA}, {BRAM, ANNA}], "one that never synced has nothing to check"


def test_a_mailbox_that_cannot_be_read_is_reported_and_the_others_are_checked(three, caplog):
    three.sim.add_fault(kind="status", status=403, service="graph", mailbox=ANNA, count=None)
    with caplog.at_level(logging.INFO):
        found = check(three)
    assert found[ANNA].reason == "mailbox_access_denied"
    assert found[BRAM].agreement == Agreement(3, 3, 0)
    assert "mailbox_access_denied" in caplog.text
    assert set(check(three, "night-2")) == {CATO, ANNA}, "it has had its turn"
    with read(three.edges.engine) as conn:
        assert conn.execute(select(t.sync_run.c.id).where(t.sync_run.c.dry_run)).all() == []


def test_a_company_that_cannot_be_read_is_reported(three):
    three.sim.add_fault(kind="status", status=403, service="bc", path="contacts", count=None)
    assert {one.reason for one in check(three).values()} == {"company_not_read"}


def test_a_profile_that_a_sync_works_on_comes_first_the_next_night(three):
    lease = acquire_lease(three.edges.engine, "profile:2", "a sync", 60.0)
    assert check(three)[BRAM].reason == "busy"
    release_lease(three.edges.engine, lease)
    assert set(check(three, "night-2")) == {BRAM, CATO}


def test_a_run_of_the_sync_may_have_the_same_id(three):
    three.run(run_id="scheduled__same")
    check(three, "scheduled__same")
    with read(three.edges.engine) as conn:
        assert "scheduled__same" in set(conn.scalars(select(t.sync_run.c.id)))


def test_no_sample_no_check(three):
    three.edges.settings = three.settings.__class__(drift_sample=0)
    assert check(three) == {}


def test_the_table_never_says_100_percent_where_a_pair_differs():
    some = Checked(1, ANNA, "Molenzicht", Agreement(5000, 4999, 0), {"created_outlook": 2})
    none = Checked(2, BRAM, "Molenzicht", reason="busy")
    head, first, second = agreement.lines([some, none])
    assert [cell.strip() for cell in first.split("|")] == [
        ANNA, "Molenzicht", "5000", "4999", "99.9 %", "0", "2/0/0", "0/0", "",
    ]  # fmt: skip
    assert second.endswith("| busy")
    assert head.startswith("mailbox")


@pytest.mark.parametrize(
    ("agreement", "worse"),
    [
        (Agreement(100, 95, 0), False),
        (Agreement(100, 94, 1), False),
        (Agreement(100, 94, 0), True),
        (Agreement(), False),
    ],
)
def test_below_the_share_somebody_should_look(agreement, worse):
    assert Checked(1, ANNA, "M", agreement).is_worse_than(95.0) is worse


def test_i5_a_name_that_both_sides_only_split_differently_is_no_drift(make_harness):
    """I5: nor are initials that the sync guessed."""
    h = make_harness(world(person("Jan van der Berg"), person("Els Kok"), mailboxes=[ANNA]))
    h.add_profiles(ANNA)
    h.full()
    h.close()
    h.edges = h.open()
    h.edges.business_central_settings = replace(h.edges.business_central_settings, field_profile="extended")
    assert h.run().writes == {}
    assert check(h)[ANNA].agreement == Agreement(2, 2, 0)
