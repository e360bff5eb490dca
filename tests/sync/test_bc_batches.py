"""Writes to Business Central that share a request: each part has its own outcome, whatever becomes of the others."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from sqlalchemy import select

from sync_lib.load.creates import waves
from sync_lib.model import Action, PlannedChange
from sync_lib.store import clock
from sync_lib.store import tables as t
from sync_lib.store.engine import read
from tests.sync.harness import Harness, person, settled, world

BATCH = r"/\$batch"
PEOPLE = 5
UPDATE, CREATE = Action.UPDATE_BC, Action.CREATE_BC


@pytest.fixture
def synced(make_harness) -> Harness:
    h = make_harness(
        world(*[person(name(n)) for n in range(PEOPLE)]), longest_request=30.0, transport="in_process"
    )
    h.add_profiles()
    h.full()
    h.run()
    return h


def name(n: int) -> str:
    return f"Persoon {n}"


def edit_all(h: Harness) -> None:
    for n in range(PEOPLE):
        h.edit_item(name(n), jobTitle=f"Functie {n}")


def add(h: Harness, *numbers: int, email: str = "", **more: Any) -> None:
    for n in numbers:
        address = {"address": email or f"nieuw{n}@klant.example", "name": "x"}
        h.add_item(displayName=f"Nieuw {n}", emailAddresses=[address], **more)


def titles(h: Harness) -> list[str]:
    return [h.contacts()[name(n)]["jobTitle"] for n in range(PEOPLE)]


DONE = [f"Functie {n}" for n in range(PEOPLE)]


def changes(h: Harness, action: str) -> list[tuple[str | None, str, bool]]:
    """Outcome and reason of each change of an action, and whether it has a request id, oldest first."""
    c = t.change.c
    with read(h.edges.engine) as conn:
        rows = conn.execute(select(c.outcome, c.reason, c.request_id).where(c.action == action))
        return [(row.outcome, row.reason, bool(row.request_id)) for row in rows]


def outcomes(h: Harness, action: str) -> Counter[str | None]:
    return Counter(outcome for outcome, _, _ in changes(h, action))


# -- updates ---------------------------------------------------------------------------------------------------------


def test_each_update_has_its_outcome_and_the_returned_version(synced):
    edit_all(synced)
    assert synced.run().writes == {"updated_business_central": PEOPLE}
    assert titles(synced) == DONE
    assert changes(synced, UPDATE) == [("updated", "", True)] * PEOPLE
    with read(synced.edges.engine) as conn:
        rows = conn.execute(select(t.bc_contact.c.id, t.bc_contact.c.etag))
        staged = {row.id: row.etag for row in rows}
    held = {contact["id"]: contact["@odata.etag"] for contact in _records(synced)}
    assert staged == held
    settled(synced)


def _records(h: Harness) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = h.in_bc("GET", "contacts")["value"]
    return found


def test_a_refused_value_takes_no_other_along(synced):
    edit_all(synced)
    synced.edit_item(name(2), jobTitle="x" * 25, department="y")
    synced.edit_item(name(3), mobilePhone="+31655501234")
    fault = synced.sim.add_fault(
        name="F14", service="bc", method="PATCH", sent="Functie 3", count=None, part=True
    )
    synced.run()
    assert titles(synced) == ["Functie 0", "Functie 1", "x" * 25, "", "Functie 4"]
    assert synced.contacts()[name(3)]["mobilePhoneNumber"] == "+31655501234"
    assert fault.fired == 2, "in the whole body, and by itself"
    assert outcomes(synced, UPDATE) == {"updated": PEOPLE}
    settled(synced)


def test_an_edit_in_bc_meanwhile_stops_its_own_part_only(synced):
    edit_all(synced)
    fault = synced.sim.add_fault(
        name="F10",
        service="bc",
        part=True,
        nth=3,
        path=r"/contacts\(",
        action={"method": "PATCH", "path": "{path}", "body": {"city": "Delft"}},
    )
    ran = synced.run()
    assert fault.fired == 1
    assert ran.writes == {"updated_business_central": PEOPLE, "updated_outlook": 1}
    assert titles(synced) == DONE
    assert Counter(changes(synced, UPDATE)) == {
        ("updated", "", True): PEOPLE,
        ("skipped", "version_mismatch", True): 1,
    }
    settled(synced)


@pytest.mark.parametrize(
    "fault",
    [
        {"name": "F5", "path": BATCH},
        {"name": "F5", "path": BATCH, "moment": "mid_body"},
        {"name": "F5", "path": r"/contacts\(", "part": True, "nth": 3},
        {"name": "F4", "path": BATCH},
        {"name": "F4", "path": r"/contacts\(", "part": True, "nth": 2},
        {"name": "F2", "path": r"/contacts\(", "nth": 2},
        {"name": "F1", "path": BATCH},
        {"name": "F3", "path": BATCH},
        {"name": "F7", "path": BATCH},
        {"kind": "malformed", "variant": "short", "keep": 0.5, "path": BATCH},
        {"kind": "malformed", "variant": "shuffled", "path": BATCH},
        {"kind": "malformed", "variant": "foreign_ids", "path": BATCH},
        {"kind": "malformed", "variant": "truncated", "path": BATCH},
        {"name": "F37", "method": "PATCH", "path": r"/contacts\(", "part": True, "nth": 2},
    ],
    ids=lambda fault: "-".join(map(str, fault.values())),
)
def test_a_batch_of_updates_whose_answer_is_no_good_is_carried_out_once(synced, fault):
    h = synced
    h.sim.set(bc_batch_after_error="stop")
    edit_all(h)
    planned = h.sim.add_fault(**{"service": "bc", "method": "POST|PATCH", **fault})
    ran = h.run()
    assert planned.fired == 1
    h.sim.control("POST", "late", {})
    assert (ran.errors, titles(h)) == ([], DONE)
    assert set(outcomes(h, UPDATE)) <= {"updated", "skipped"}
    h.run()
    assert changes(h, Action.UPDATE_OUTLOOK) == [], "our own write is no edit of BC's"
    settled(h)


@pytest.mark.parametrize("path", [BATCH, r"/contacts\("])
def test_updates_that_nobody_knows_of_are_settled_by_reading(synced, path):
    """BC is away until the patience is spent, behind the write: the next run finds out what it did."""
    edit_all(synced)
    synced.sim.add_fault(
        name="F4", service="bc", method="POST|PATCH", path=path, part=path != BATCH, count=None
    )
    ran = synced.run()
    assert ran.errors
    assert outcomes(synced, UPDATE) == {"unknown": PEOPLE}
    synced.sim.clear_faults()
    synced.sim.reset_counters()
    assert synced.run().errors == []
    assert titles(synced) == DONE
    assert synced.app_writes() == 0, "it had been carried out"
    assert outcomes(synced, UPDATE) == {"updated": PEOPLE}
    settled(synced)


def test_a_part_that_stays_throttled_was_not_carried_out_and_stops_the_load(synced):
    edit_all(synced)
    synced.sim.add_fault(name="F2", service="bc", method="PATCH", sent="Functie 2", count=None)
    synced.run()
    found = Counter((outcome, reason) for outcome, reason, _ in changes(synced, UPDATE))
    assert found == {("updated", ""): PEOPLE - 1, ("failed", "throttled"): 1}
    synced.sim.clear_faults()
    synced.run()
    assert titles(synced) == DONE
    settled(synced)


# -- creates ---------------------------------------------------------------------------------------------------------


def test_each_create_has_its_outcome(synced):
    add(synced, *range(5))
    refused = synced.sim.add_fault(
        name="F24", service="bc", method="POST", sent="Nieuw 2", part=True, count=None
    )
    assert synced.run().writes == {"created_business_central": 4}
    assert refused.fired
    assert outcomes(synced, CREATE) == {"created": 4, "rejected": 1}
    assert {n for n in range(5) if f"Nieuw {n}" in synced.contacts()} == {0, 1, 3, 4}
    synced.sim.clear_faults()
    synced.run()
    assert "Nieuw 2" in synced.contacts()
    settled(synced)


def test_what_bc_does_not_take_whole_is_made_of_what_is_required(synced):
    add(synced, 0, jobTitle="Inkoper")
    add(synced, 1, jobTitle="Chef", mobilePhone="+31655501234")
    synced.sim.add_fault(name="F14", service="bc", method="POST|PATCH", sent="Chef", part=True, count=None)
    synced.run()
    synced.run()
    assert synced.contacts()["Nieuw 0"]["jobTitle"] == "Inkoper"
    made = synced.contacts()["Nieuw 1"]
    assert (made["jobTitle"], made["mobilePhoneNumber"]) == ("", "+31655501234")


def test_whom_bc_has_meanwhile_is_not_made_again(synced):
    """Somebody typed one of them in while the sync was about to: the look-up of all of them finds that one."""
    add(synced, 0, 1, 2)
    action = {
        "method": "POST",
        "path": f"/companies({synced.sim.info()['companies'][0]['id']})/contacts",
        "body": person("Nieuw 1", "nieuw1@klant.example"),
    }
    fault = synced.sim.add_fault(kind="user_action", service="bc", method="POST", path=BATCH, action=action)
    synced.run()
    assert (fault.fired, fault.refused) == (1, 0)
    names = Counter(contact["displayName"] for contact in synced.sim.dump()["companies"][0]["contacts"])
    assert {n: names[f"Nieuw {n}"] for n in range(3)} == {0: 1, 1: 1, 2: 1}
    assert Counter(changes(synced, CREATE))["skipped", "found_in_bc", False] == 1
    settled(synced)


@pytest.mark.parametrize(
    "fault",
    [
        {"name": "F5", "path": BATCH, "nth": 2},
        {"name": "F5", "path": r"/contacts$", "part": True, "nth": 2},
        {"name": "F4", "path": BATCH, "nth": 2},
        {"name": "F4", "path": r"/contacts$", "part": True, "nth": 2},
        {"name": "F2", "path": r"/contacts$", "nth": 2},
        {"kind": "malformed", "variant": "short", "keep": 0.4, "path": BATCH, "nth": 2},
        {"kind": "malformed", "variant": "shuffled", "path": BATCH, "nth": 2},
        {"kind": "malformed", "variant": "foreign_ids", "path": BATCH, "nth": 2},
        {"kind": "malformed", "variant": "truncated", "path": BATCH, "nth": 2},
    ],
    ids=lambda fault: "-".join(map(str, fault.values())),
)
def test_creates_whose_answer_is_no_good_are_found_and_never_doubled(synced, fault):
    """The first batch is the look-up; what the second one made is looked up before anything is sent again."""
    h = synced
    add(h, *range(5))
    planned = h.sim.add_fault(**{"service": "bc", "method": "POST", **fault})
    h.run()
    assert planned.fired == 1
    h.run()
    names = Counter(contact["displayName"] for contact in h.sim.dump()["companies"][0]["contacts"])
    assert {n: names[f"Nieuw {n}"] for n in range(5)} == dict.fromkeys(range(5), 1)
    assert outcomes(h, CREATE) == {"created": 5}
    assert all(item["key"] for item in h.items().values())
    settled(h)


def test_a_create_of_a_batch_that_comes_late_is_coupled_and_not_made_again(synced):
    h = synced
    add(h, *range(4))
    fault = h.sim.add_fault(name="F37", service="bc", nth=2)
    h.run()
    assert (fault.fired, outcomes(h, CREATE)) == (1, {"created": 3, "unknown": 1})
    h.run()
    assert outcomes(h, CREATE) == {"created": 3, "unknown": 1}, "it may still come"
    h.sim.control("POST", "late", {})
    h.run()
    assert outcomes(h, CREATE) == {"created": 4}
    names = Counter(contact["displayName"] for contact in h.sim.dump()["companies"][0]["contacts"])
    assert {n: names[f"Nieuw {n}"] for n in range(4)} == dict.fromkeys(range(4), 1)
    settled(h)


def test_a_lost_batch_of_creates_that_was_never_carried_out_is_sent_by_a_later_run(synced):
    h = synced
    add(h, *range(3))
    h.sim.add_fault(name="F5", service="bc", method="POST", path=BATCH, nth=2, moment="before")
    h.run()
    assert outcomes(h, CREATE) == {"unknown": 3}
    h.run()
    assert not any(f"Nieuw {n}" in h.contacts() for n in range(3)), "too early"
    clock.set_offset(h.edges.engine, 120)
    h.run()
    assert all(f"Nieuw {n}" in h.contacts() for n in range(3))
    settled(h)


def test_two_profiles_that_make_the_same_contacts_make_them_once(make_harness):
    anna, bram = "anna@voorbeeld.example", "bram@voorbeeld.example"
    h = make_harness(world(person("Jan"), mailboxes=[anna, bram]), transport="in_process")
    h.add_profiles(anna, bram)
    h.full()
    for mailbox in (anna, bram):
        for n in range(3):
            address = {"address": f"nieuw{n}@klant.example", "name": "x"}
            h.add_item(mailbox, displayName=f"Nieuw {n}", emailAddresses=[address])
    h.run()
    names = Counter(contact["displayName"] for contact in h.sim.dump()["companies"][0]["contacts"])
    assert {n: names[f"Nieuw {n}"] for n in range(3)} == dict.fromkeys(range(3), 1)
    assert all(item["key"] for mailbox in (anna, bram) for item in h.items(mailbox).values())
    settled(h)


def test_a_group_of_creates_never_has_two_for_one_address():
    """The second one finds what became of the first: BC makes two of them without a word."""
    keys = ["a", "b", "a", *(f"c{n}" for n in range(25)), "a"]
    changes = [PlannedChange(CREATE, "x", email_key=key) for key in keys]
    groups = [[change.email_key for change in group] for group in waves(changes)]
    assert [len(group) for group in groups] == [2, 20, 7]
    assert all(len(set(group)) == len(group) for group in groups)
    assert [key for group in groups for key in group] == keys
