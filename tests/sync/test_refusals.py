"""Rules 6: what a service refuses for a reason that may pass is tried again; only a refused value is remembered."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import select

from sync_lib.model import Action, PlannedChange
from sync_lib.store import clock, postponed
from sync_lib.store import tables as t
from sync_lib.store.engine import read
from tests.sync.harness import Harness, person, world

MINUTE, DAY = 60.0, 86_400.0
#: Status and code of answers that may pass: of BC, and of Graph.
BC = [
    (400, "Unknown"),
    (400, "Application_DialogException"),
    (409, "Internal_RecordLocked"),
    (413, "RequestEntityTooLarge"),
    (423, "Locked"),
    (403, "Authorization_RequestDenied"),
]
GRAPH = [
    (400, "Unknown"),
    (409, "ErrorFolderSavePropertyError"),
    (413, "ErrorMessageSizeExceeded"),
    (423, "ErrorMailboxMoveInProgress"),
    (403, "ErrorAccessDenied"),
    (507, "ErrorQuotaExceeded"),
]


@pytest.fixture
def database_kind() -> str:
    return "sqlite"


def scheduled(h: Harness, **request: Any) -> Any:
    return h.run(run_type="scheduled", **request)


def people(count: int) -> list[dict[str, Any]]:
    return [person(f"Persoon {n:02}") for n in range(count)]


def els(h: Harness) -> None:
    h.add_item(displayName="Els Nieuw", emailAddresses=[{"address": "els@nieuw.example", "name": "x"}])


@pytest.fixture
def synced(make_harness) -> Harness:
    h = make_harness(world(*people(3)))
    h.add_profiles()
    h.full()
    return h


#: What a user does, which request is refused, and how the end is reported.
ACTS: dict[str, tuple[str, Any, dict[str, Any], Any]] = {
    "bc_update": (
        "bc",
        lambda h: h.edit_item("Persoon 01", jobTitle="Inkoper"),
        {"method": "PATCH", "path": "/contacts"},
        lambda h: h.contacts()["Persoon 01"]["jobTitle"] == "Inkoper",
    ),
    "bc_create": (
        "bc",
        els,
        {"method": "POST", "path": "/contacts$"},
        lambda h: "Els Nieuw" in h.contacts(),
    ),
    "outlook_update": (
        "graph",
        lambda h: h.edit_contact("Persoon 01", jobTitle="Inkoper"),
        {"method": "PATCH", "path": "/contacts/"},
        lambda h: h.items()["Persoon 01"]["jobTitle"] == "Inkoper",
    ),
    "outlook_create": (
        "graph",
        lambda h: h.add_contact("Els Nieuw"),
        {"method": "POST", "path": "/contacts$"},
        lambda h: "Els Nieuw" in h.items(),
    ),
    "outlook_delete": (
        "graph",
        lambda h: h.delete_contact("Persoon 01"),
        {"method": "DELETE", "path": "/contacts/"},
        lambda h: "Persoon 01" not in h.items(),
    ),
}
CASES = [
    pytest.param(act, status, code, id=f"{act}-{status}-{code}")
    for act, (service, *_) in ACTS.items()
    for status, code in (BC if service == "bc" else GRAPH)
]


def refuse(h: Harness, act: str, status: int, code: str, **more: Any) -> Any:
    service, _, request, _ = ACTS[act]
    return h.sim.add_fault(name="F24", service=service, status=status, code=code, **request, **more)


@pytest.mark.parametrize(("act", "status", "code"), CASES)
def test_what_is_refused_once_is_carried_out_by_the_next_run(synced, act, status, code):
    """R1: whatever the service says, as long as it is nothing about the value."""
    _, do, _, is_done = ACTS[act]
    do(synced)
    # Until it is taken away: a body is also sent field by field within one run.
    fault = refuse(synced, act, status, code, count=None)
    ran = scheduled(synced)
    assert fault.fired
    assert not is_done(synced)
    assert ran.errors == [], "one contact that is refused fails no profile"
    assert ran.reasons() == {code: 1}
    synced.sim.clear_faults()
    scheduled(synced)
    assert is_done(synced)
    scheduled(synced)
    synced.sim.reset_counters()
    assert (synced.full().writes, synced.app_writes()) == ({}, 0)
    with read(synced.edges.engine) as conn:
        assert conn.execute(select(t.postponed)).all() == []


@pytest.mark.parametrize("act", ACTS)
def test_what_is_refused_again_is_tried_with_growing_gaps(synced, act):
    """R1: the next run, then after a quarter of an hour, half an hour ... and a day, by the database's clock."""
    _, do, _, is_done = ACTS[act]
    do(synced)
    fault = refuse(synced, act, 423, "Locked", count=None)
    tries, passed = [], 0.0
    for minutes in (0, 1, 1, 10, 5, 1, 28, 2, 1, 1440 * 3, 1, 1438, 2):
        passed += minutes * MINUTE
        clock.set_offset(synced.edges.engine, passed)
        before = fault.fired
        ran = scheduled(synced)
        tries.append(fault.fired - before)
        assert ran.reasons() == {"Locked": 1}
    # Behind the fourth try an hour must pass, and so on; three days are enough for each of them.
    assert tries == [1, 1, 0, 0, 1, 0, 0, 1, 0, 1, 0, 1, 0]
    synced.sim.clear_faults()
    clock.set_offset(synced.edges.engine, passed + DAY)
    scheduled(synced)
    assert is_done(synced)


def test_gaps_grow_to_a_day():
    assert [postponed.gap(n) for n in (1, 2, 3, 4)] == [0, 900, 1800, 3600]
    assert all(postponed.gap(n) == DAY for n in (9, 20, 10**6))


@pytest.mark.parametrize("act", ACTS)
@pytest.mark.parametrize("how", ["full", "manual"])
def test_a_full_run_and_a_person_try_at_once(synced, act, how):
    """R1"""
    _, do, _, is_done = ACTS[act]
    do(synced)
    refuse(synced, act, 423, "Locked", count=None)
    for _ in range(4):
        scheduled(synced)
    synced.sim.clear_faults()
    scheduled(synced)
    assert not is_done(synced), "its time has not come"
    synced.full(run_type="scheduled") if how == "full" else synced.run(run_type="manual")
    assert is_done(synced)


def test_a_new_value_is_tried_at_once(synced):
    """R1: on either side."""
    synced.edit_item("Persoon 01", jobTitle="Inkoper")
    refuse(synced, "bc_update", 423, "Locked", count=None)
    for _ in range(3):
        scheduled(synced)
    synced.sim.clear_faults()
    synced.edit_item("Persoon 01", jobTitle="Chef")
    scheduled(synced)
    assert synced.contacts()["Persoon 01"]["jobTitle"] == "Chef"
    synced.edit_item("Persoon 02", jobTitle="Inkoper")
    refuse(synced, "bc_update", 423, "Locked", count=None)
    for _ in range(3):
        scheduled(synced)
    synced.sim.clear_faults()
    synced.edit_contact("Persoon 02", city="Zaandam")
    scheduled(synced)
    assert synced.contacts()["Persoon 02"]["jobTitle"] == "Inkoper"


def test_another_template_is_tried_at_once(synced):
    """R1: no fingerprint shows that a category is another one now."""
    synced.add_profiles(categories=["Oud"])
    refuse(synced, "outlook_update", 423, "Locked", count=None)
    for _ in range(3):
        scheduled(synced)
    synced.sim.clear_faults()
    synced.add_profiles(categories=["Nieuw"])
    scheduled(synced)
    assert {tuple(item["categories"]) for item in synced.items().values()} == {("Nieuw",)}


@pytest.mark.parametrize(
    "code",
    [
        "Application_StringExceededLength",
        "Application_FieldValidationException",
        "Application_EvaluateException",
        "Internal_InvalidTableRelation",
    ],
)
def test_a_refused_value_is_remembered_until_it_changes(synced, code):
    """R1: such an answer says that this value never passes."""
    synced.edit_item("Persoon 01", jobTitle="Inkoper")
    fault = refuse(synced, "bc_update", 400, code, count=None)
    for _ in range(2):
        assert scheduled(synced).reasons() == {code: 1}
    synced.full()
    assert fault.fired == 1
    synced.sim.clear_faults()
    assert synced.full().reasons() == {code: 1}
    synced.edit_item("Persoon 01", jobTitle="Chef")
    assert scheduled(synced).reasons() == {}
    assert synced.contacts()["Persoon 01"]["jobTitle"] == "Chef"


def test_one_field_waits_and_the_others_go_on(synced):
    """R1: a trigger of another extension refuses one of three fields, for a while."""
    synced.edit_item(
        "Persoon 01", jobTitle="Inkoper", mobilePhone="+31655501234", businessHomePage="https://a.example"
    )

    fault = refuse(synced, "bc_update", 400, "Application_DialogException", sent="jobTitle", count=None)
    ran = scheduled(synced)
    contact = synced.contacts()["Persoon 01"]
    assert (contact["jobTitle"], contact["website"]) == ("", "https://a.example")
    assert ran.reasons() == {"Application_DialogException": 1}
    assert fault.fired == 2, "in the whole body, and by itself"
    synced.sim.clear_faults()
    scheduled(synced)
    assert synced.contacts()["Persoon 01"]["jobTitle"] == "Inkoper"


@pytest.mark.parametrize(
    ("act", "count", "most"),
    [("outlook_update", 50, 20), ("outlook_create", 50, 20), ("bc_update", 110, 100)],
)
def test_the_same_refusal_twenty_times_in_a_row_ends_that_kind_for_the_run(make_harness, act, count, most):
    """R1: a full mailbox, or a right that is missing, is not asked a thousand times: what is in one request is."""
    h = make_harness(world(*people(count)), guard_overwrites=1000)
    h.add_profiles()
    if act != "outlook_create":
        h.full()
    for n in range(count):
        if act == "outlook_update":
            h.edit_contact(f"Persoon {n:02}", jobTitle="Inkoper")
        elif act == "bc_update":
            h.edit_item(f"Persoon {n:02}", jobTitle="Inkoper")
    fault = refuse(h, act, 403, "ErrorAccessDenied", count=None)
    ran = scheduled(h)
    assert fault.fired == most
    assert ran.reasons() == {"ErrorAccessDenied": most, "refused_in_a_row": count - most}
    h.sim.clear_faults()
    scheduled(h)
    done = h.items() if act != "bc_update" else h.contacts()
    assert sum(act == "outlook_create" or each["jobTitle"] == "Inkoper" for each in done.values()) == count


def test_a_key_that_cannot_be_written_is_tried_again(make_harness):
    """R1: the key of an item that its owner made, first as it is adopted, then as its contact is made in BC."""
    address = [{"address": "persoon.00@klant.example", "name": "x"}]
    box = {
        "user_principal_name": "anna@voorbeeld.example",
        "folders": [{"name": "Business Central", "contacts": []}],
    }
    box["folders"][0]["contacts"].append({"displayName": "Persoon 00", "emailAddresses": address})
    h = make_harness(world(*people(1), mailboxes=[box]))
    h.add_profiles()
    fault = refuse(h, "outlook_update", 403, "ErrorAccessDenied", count=None)
    h.full(run_type="scheduled")
    assert fault.fired
    h.sim.clear_faults()
    scheduled(h)
    assert h.items()["Persoon 00"]["key"]
    els(h)
    refuse(h, "outlook_update", 403, "ErrorAccessDenied", count=None)
    for _ in range(3):
        scheduled(h)
    assert list(h.contacts()).count("Els Nieuw") == 1
    h.sim.clear_faults()
    clock.set_offset(h.edges.engine, DAY)
    scheduled(h)
    assert h.items()["Els Nieuw"]["key"]
    h.sim.reset_counters()
    assert (h.full().writes, h.app_writes()) == ({}, 0)


def test_what_privacy_wants_deleted_is_tried_by_every_run(synced):
    """R1: a refusal postpones no delete of rules 7.4."""
    synced.edit_contact("Persoon 01", privacyBlocked=True)
    fault = refuse(synced, "outlook_delete", 423, "Locked", count=None)
    for _ in range(4):
        scheduled(synced)
    assert fault.fired == 4


def test_an_approved_change_that_is_refused_stays_approved(make_harness):
    """R1: nobody is asked twice, because a service was busy once."""
    from tests.sync.test_approval import answer, request

    h = make_harness(world(*people(30)))
    h.add_profiles()
    h.full()
    for n in range(12):
        h.delete_contact(f"Persoon {n:02}")
    scheduled(h)
    fault = refuse(h, "outlook_delete", 423, "Locked", count=24)
    answer(h, request(h), approve=True)
    assert fault.fired == 12
    for _ in range(2):
        assert scheduled(h).reasons() == {"Locked": 12}
    assert (fault.fired, len(h.items())) == (24, 30)
    clock.set_offset(h.edges.engine, DAY)
    assert scheduled(h).writes == {"deleted_outlook": 12}


def test_a_dry_run_plans_as_the_real_one_what_waits(synced):
    """R1: what waits for its next try is said, and not planned."""
    synced.edit_item("Persoon 01", jobTitle="Inkoper")
    refuse(synced, "bc_update", 423, "Locked", count=None)
    for _ in range(2):
        scheduled(synced)
    assert scheduled(synced, dry_run=True).reasons() == {"Locked": 1}


def test_the_books_say_what_waits_and_until_when(synced):
    """R1: the code is in the rejects, and the next try beside it."""
    from sync_lib.store.queries import rejects

    synced.edit_item("Persoon 01", jobTitle="Inkoper")
    refuse(synced, "bc_update", 423, "Locked", count=None)
    for _ in range(2):
        scheduled(synced)
    with read(synced.edges.engine) as conn:
        (line,) = rejects.read_rejects(conn, rejects.Wanted(), 1, 10)
        assert line.reason == "Locked"
        assert line.next_try > clock.now(conn, 14 * MINUTE)


def test_key_and_fields_of_an_item_wait_together():
    from sync_lib.run.compare import waits_with

    couple = PlannedChange(Action.COUPLE, "x", bc_id="b", outlook_id="o", n=1)
    update = PlannedChange(Action.UPDATE_OUTLOOK, "x", bc_id="b", outlook_id="o", n=2)
    other = PlannedChange(Action.UPDATE_OUTLOOK, "x", bc_id="c", outlook_id="p", n=3)
    assert waits_with([couple, update, other], {1, 2}) == [couple, update]
    assert waits_with([couple, update, other], {1}) == [], "a new value goes out, and the key with it"
    assert waits_with([couple, update, other], {3}) == [other]


# -- a folder that goes while it is written ---------------------------------------------------------------------------


def folder_goes(h: Harness, **at: Any) -> Any:
    """A user deletes the synced folder just before the app's next call of a kind."""
    path = f"/users/anna@voorbeeld.example/contactFolders/{h.folder_id()}"
    action = {"method": "DELETE", "path": path, "service": "graph"}
    return h.sim.add_fault(kind="user_action", service="graph", action=action, **at)


def many_more(h: Harness, count: int) -> None:
    h.sim.control("POST", "bc/set", {"contacts": [person(f"Nieuw {n:02}") for n in range(count)]})


def test_a_folder_that_goes_between_two_batches_of_creates(synced):
    """R9: each contact has an outcome, the folder is made anew, and the run goes on in it."""
    many_more(synced, 60)
    gone = folder_goes(synced, method="POST", path="/contacts$", nth=41)
    last = synced.sim.control("GET", "requests")["last"]
    ran = scheduled(synced)
    assert gone.fired == 1
    assert (ran.errors, ran.verdict.ok) == ([], True)
    # 3 and 40 were coupled: all of them gone at once is a question; the others go into the new folder.
    assert ran.report.outcomes["held"] == 43
    assert sorted(synced.items()) == sorted(set(synced.items()))
    assert len(synced.items()) == 20
    asked = synced.sim.control("GET", f"requests?since={last}&path=/contacts/[?]")["requests"]
    assert asked == [], "nothing is read by an id that there is not"
    for _ in range(2):
        assert scheduled(synced).writes == {}


def test_a_folder_that_goes_before_the_first_write(synced):
    """R9: the marker is written first, and meets the 404 first."""
    many_more(synced, 5)
    gone = folder_goes(
        synced, part=True, method="GET", path="/contactFolders/[^/]*[?].*SyncMarker|/contactFolders/[^/]*[?]"
    )
    ran = scheduled(synced)
    assert gone.fired == 1
    assert (ran.errors, ran.verdict.ok) == ([], True)
    assert len(synced.items()) == 8


@pytest.mark.parametrize("policy", ["recreate", "stay_away"])
@pytest.mark.parametrize("act", ["outlook_update", "outlook_delete"])
def test_an_item_that_goes_with_its_folder_was_not_deleted_by_its_owner(make_harness, act, policy):
    """R9: a PATCH or DELETE meets the 404: stay_away is not applied to a folder that is gone (rules 1)."""
    h = make_harness(world(*people(4)))
    h.add_profiles(policies={"deleted_in_outlook": policy})
    h.full()
    ACTS[act][1](h)
    gone = folder_goes(h, **ACTS[act][2])
    ran = scheduled(h)
    assert gone.fired == 1
    assert (ran.errors, ran.verdict.ok) == ([], True)
    for _ in range(2):
        scheduled(h)
    left = {f"Persoon {n:02}" for n in range(4)} - ({"Persoon 01"} if act == "outlook_delete" else set())
    assert set(h.items()) == left


@pytest.mark.parametrize(
    ("status", "code"), [(412, "ErrorIrresolvableConflict"), (409, "ErrorIrresolvableConflict")]
)
def test_a_create_that_is_no_edit_meets_no_other_version(synced, status, code):
    """R9: an odd answer to a create is an outcome of that contact."""
    synced.add_contact("Els Nieuw")
    refuse(synced, "outlook_create", status, code, count=None)
    ran = scheduled(synced)
    assert (ran.errors, ran.reasons()) == ([], {code: 1})
    synced.sim.clear_faults()
    scheduled(synced)
    assert "Els Nieuw" in synced.items()


def test_a_company_that_is_not_found_at_a_create_is_the_outcome_of_that_contact(synced):
    """R9: on BC's side."""
    els(synced)
    refuse(synced, "bc_create", 404, "Internal_CompanyNotFound", count=None)
    ran = scheduled(synced)
    assert (ran.errors, ran.reasons()) == ([], {"Internal_CompanyNotFound": 1})
    synced.sim.clear_faults()
    scheduled(synced)
    assert "Els Nieuw" in synced.contacts()
