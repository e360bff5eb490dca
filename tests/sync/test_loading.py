"""Rules 8: the guard, conditional writes, unknown outcomes, refusals, claims, leases, and other forms of a value."""

from __future__ import annotations

import json
import threading
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import func, select, update

from sync_lib import model, pipeline
from sync_lib.diff.guard import Circumstances, hold, keys_of
from sync_lib.errors import LeaseLostError
from sync_lib.model import WHOLE_PLAN, Action, HeldAction, HeldState, HoldReason, Outcome, PlannedChange
from sync_lib.settings import SyncSettings
from sync_lib.store import clock, runs
from sync_lib.store import tables as t
from sync_lib.store.engine import read
from sync_lib.store.leases import acquire_lease, release_lease
from tests.sync.harness import Harness, person, settled, world

ANNA, BRAM = "anna@voorbeeld.example", "bram@voorbeeld.example"


@pytest.fixture
def database_kind() -> str:
    """One database is enough for most of this file; what depends on locks says so."""
    return "sqlite"


def people(count: int, **fields: object) -> list[dict]:
    return [person(f"Persoon {n:03}", f"p{n}@klant.example", **fields) for n in range(count)]


def email(address: str) -> list[dict[str, str]]:
    return [{"address": address, "name": "x"}]


def changes(h: Harness) -> list[tuple[str, str | None, str]]:
    """Action, outcome and reason of every change in the log, oldest first."""
    c = t.change.c
    with read(h.edges.engine) as conn:
        return [
            tuple(row) for row in conn.execute(select(c.action, c.outcome, c.reason).order_by(c.plan, c.n))
        ]


def enforce(h: Harness, answer: str) -> None:
    """What the self-test finds out about If-Match in Graph."""
    with h.edges.engine.begin() as conn:
        runs.write_fact(conn, h.edges.graph_settings.tenant_id, "graph_if_match", answer, h.edges.now())


@pytest.fixture
def synced(make_harness) -> Harness:
    h = make_harness(world(*people(3)))
    h.add_profiles()
    assert h.full().writes == {"created_outlook": 3}
    return h


# -- the guard's limits, purely --------------------------------------------------------------------------------------


def planned(count: int, guard_class: str, action: Action = Action.DELETE_OUTLOOK) -> list[PlannedChange]:
    return [
        PlannedChange(
            action,
            "x",
            bc_id=f"{action}{guard_class}{n}",
            digest=f"{action}{guard_class}{n}",
            guard_class=guard_class,
        )
        for n in range(count)
    ]


def held(changes_: list[PlannedChange], **circumstances: Any) -> int:
    return hold(changes_, Circumstances(**circumstances), SyncSettings()).held


@pytest.mark.parametrize(
    ("deletes", "live", "recent", "expected"),
    [
        (2, 2, 0, 0),  # fewer than three are never too many
        (3, 10, 0, 0),  # 30 % is not over 30 %
        (3, 9, 0, 3),
        (10, 100, 0, 0),
        (11, 100, 0, 11),  # all of the class, not the excess
        (20, 200, 0, 0),
        (21, 200, 0, 21),
        (1, 100, 10, 1),  # a rolling 24 hours
        (1, 6, 2, 1),
        (1, 10, 2, 0),
        (1, 6, 1, 0),
        (1, 5, 2, 1),
        (0, 1, 50, 0),
    ],
)
def test_limit_of_deletes(deletes, live, recent, expected):
    done = {"deletes": frozenset(map(str, range(recent)))}
    assert held(planned(deletes, "deletes"), live=live, present=live, recent=done) == expected


@pytest.mark.parametrize(
    ("guard_class", "action", "count", "live", "expected"),
    [
        ("overwrites", Action.UPDATE_OUTLOOK, 50, 10, 0),
        ("overwrites", Action.UPDATE_OUTLOOK, 51, 10, 51),
        ("overwrites", Action.UPDATE_OUTLOOK, 100, 400, 0),
        ("overwrites", Action.UPDATE_OUTLOOK, 101, 400, 101),
        ("creates", Action.CREATE_BC, 20, 10, 0),
        ("creates", Action.CREATE_BC, 21, 10, 21),
        ("creates", Action.CREATE_BC, 40, 400, 0),
        ("creates", Action.CREATE_BC, 41, 400, 41),
    ],
)
def test_limit_of_other_classes(guard_class, action, count, live, expected):
    assert held(planned(count, guard_class, action), live=live, present=live) == expected


def test_a_contact_with_two_actions_counts_once():
    both = planned(30, "overwrites", Action.UPDATE_OUTLOOK) + planned(30, "overwrites", Action.UPDATE_OUTLOOK)
    assert held(both, live=10, present=10) == 0


def known(change: PlannedChange, state: HeldState, reason: str = "x", hold: int | None = 1) -> HeldAction:
    """What the staging database knows of a planned change."""
    return HeldAction(
        1, hold, change.action, change.guard_class, change.digest, reason, state, keys_of(change)
    )


@pytest.mark.parametrize("count", [1, 20])
def test_no_create_of_a_folders_first_look_goes_unasked(count):
    creates = planned(count, "creates", Action.CREATE_BC)
    looked = [known(change, HeldState.FIRST_LOOK, hold=None) for change in creates]
    assert held(creates, known=looked) == count
    assert held(planned(count, "creates", Action.CREATE_BC), first_look=True) == count
    assert held(planned(count, "creates", Action.CREATE_BC)) == 0


def test_writes_to_bc_over_all_profiles_have_a_limit():
    some = planned(3, "", Action.UPDATE_BC) + planned(2, "", Action.UPDATE_OUTLOOK)
    assert held(some, company_writes=1998) == 3
    assert held(planned(2, "", Action.UPDATE_BC), company_writes=1998) == 0


def test_approved_actions_pass_and_do_not_count():
    many = planned(12, "deletes")
    approved = [known(change, HeldState.APPROVED) for change in many[:6]]
    assert held(many, live=100, present=100, known=approved) == 0
    assert held(planned(30, "deletes"), live=100, present=100, known=approved) == 24


def test_held_stays_held_whatever_the_counts_and_rejected_asks_no_more():
    [one] = planned(1, "deletes")
    circumstances = Circumstances(live=1000, present=1000, known=[known(one, HeldState.OPEN)])
    assert hold([one], circumstances, SyncSettings()).reasons == ["x"]
    [one] = planned(1, "deletes")
    circumstances = Circumstances(live=1000, known=[known(one, HeldState.REJECTED)])
    verdict = hold([one], circumstances, SyncSettings())
    assert (verdict.held, verdict.hash, verdict.reasons) == (1, "", [])


@given(state=st.sampled_from(HeldState), value=st.text(max_size=5), same=st.booleans())
def test_a_create_that_is_known_passes_only_as_it_was_approved(state, value, same):
    """G1: whatever becomes of the values, only an approval lets it through, and only with the values that it saw."""
    [before] = planned(1, "creates", Action.CREATE_BC)
    row = known(before, state)
    [now] = planned(1, "creates", Action.CREATE_BC)
    now.digest = before.digest if same else f"{before.digest}{value}"
    same = now.digest == before.digest
    passes = state is HeldState.APPROVED and same
    assert held([now], known=[row]) == (0 if passes else 1)


def test_an_overwrite_with_a_new_value_is_asked_again_and_a_delete_is_not():
    overwrite, delete_ = planned(1, "overwrites", Action.UPDATE_OUTLOOK) + planned(1, "deletes")
    rows = [known(overwrite, HeldState.REJECTED), replace(known(delete_, HeldState.REJECTED), id=2)]
    overwrite.digest, delete_.digest = "another", "another"
    verdict = hold([overwrite, delete_], Circumstances(live=100, present=100, known=rows), SyncSettings())
    assert [change.reason for change in verdict.changes] == ["x", "rejected_by_person"]
    assert verdict.waiting == [overwrite]


def test_an_update_holds_only_its_fields_in_a_held_class():
    updates = planned(51, "overwrites", Action.UPDATE_OUTLOOK)
    for change in updates:
        change.after = change.normal = {"job_title": "Inkoper", "phone": "+31612345678"}
        change.overwritten = frozenset({"job_title"})
    verdict = hold(updates, Circumstances(live=10, present=10), SyncSettings())
    shown = [(change.outcome, set(change.after), change.guard_class) for change in verdict.changes]
    assert shown[0::2] == [(Outcome.HELD, {"job_title"}, "overwrites")] * 51
    assert shown[1::2] == [(None, {"phone"}, "")] * 51
    assert [change.n for change in verdict.changes] == list(range(1, 103))


def test_blocked_contacts_are_never_held():
    blocked = planned(40, "")
    for change in blocked:
        change.cause = "privacy_blocked"
    assert held(blocked, live=40, present=0, whole=HoldReason.RESTORED) == 0


@pytest.mark.parametrize("reason", sorted(WHOLE_PLAN))
def test_a_side_that_went_back_holds_the_whole_plan(reason):
    rest = planned(1, "", Action.COUPLE)
    assert hold(rest, Circumstances(whole=reason), SyncSettings()).reasons == [reason]


# -- the guard in runs -----------------------------------------------------------------------------------------------


def test_deletes_add_up_over_a_day(make_harness):
    h = make_harness(world(*people(30)))
    h.add_profiles()
    h.full()
    for n in range(9):
        h.delete_contact(f"Persoon {n:03}")
    assert h.run().writes == {"deleted_outlook": 9}
    h.delete_contact("Persoon 009")
    assert h.run().reasons() == {"too_many_deletes": 1}, "10 of 21 within a day"
    clock.set_offset(h.edges.engine, 90_000)
    assert h.run().reasons() == {"too_many_deletes": 1}, "what is held waits for a person"
    h.delete_contact("Persoon 010")
    ran = h.run()
    assert ran.writes == {"deleted_outlook": 1}
    assert ran.report.outcomes["held"] == 1


def test_a_hold_grows_and_ends_with_its_cause(make_harness):
    h = make_harness(world(*people(12)))
    h.add_profiles()
    h.full()
    gone = [f"Persoon {n:03}" for n in range(5)]
    kept = {name: h.contacts()[name] for name in gone}
    for name in gone[:4]:
        h.delete_contact(name)
    h.run()
    h.run()
    h.delete_contact(gone[4])
    h.run()
    with read(h.edges.engine) as conn:
        holds = [
            tuple(row) for row in conn.execute(select(t.hold.c.state, t.hold.c.hash).order_by(t.hold.c.id))
        ]
    assert [state for state, _ in holds] == ["open"], "one hold, which the runs refresh"
    for name in gone:
        h.add_contact(name, kept[name]["email"])
    assert h.run().report.outcomes.get("held", 0) == 0
    with read(h.edges.engine) as conn:
        assert conn.scalar(select(func.count()).where(t.hold.c.state == "open")) == 0
    assert len(h.items()) == 12


def test_other_actions_go_on_beside_a_hold(make_harness):
    h = make_harness(world(*people(10)))
    h.add_profiles()
    h.full()
    for n in range(4):
        h.delete_contact(f"Persoon {n:03}")
    h.edit_contact("Persoon 008", jobTitle="Inkoper")
    h.edit_item("Persoon 009", jobTitle="Directeur")
    ran = h.run()
    assert ran.writes == {"updated_outlook": 1, "updated_business_central": 1}
    assert ran.reasons() == {"too_many_deletes": 4}
    assert ran.verdict.ok


# -- conditional writes (8.5) ----------------------------------------------------------------------------------------


def user_edits(h: Harness, service: str, body: dict[str, Any], **fault: Any) -> Any:
    """A user edits the record that the sync is about to write, just before the write arrives."""
    return h.sim.add_fault(
        name="F10", service=service, action={"method": "PATCH", "path": "{path}", "body": body}, **fault
    )


# Not "ignore" with "enforced": the self-test would have found out.
@pytest.mark.parametrize(
    ("switch", "known"),
    [("enforce", "enforced"), ("enforce", "ignored"), ("enforce", ""), ("ignore", "ignored"), ("ignore", "")],
)
def test_an_edit_between_read_and_write_in_outlook_is_not_lost(synced, switch, known):
    h = synced
    h.sim.set(graph_if_match=switch)
    if known:
        enforce(h, known)
    h.edit_contact("Persoon 001", jobTitle="Inkoper")
    user = h.items()["Persoon 001"]["id"]
    if switch == "enforce":
        user_edits(h, "graph", {"mobilePhone": "06 5550 1234"}, part=True, path="/contacts/")
    else:
        # Before the read that goes before the write; an edit behind that read is the one stated exception.
        action = {
            "method": "PATCH",
            "path": f"/users/{ANNA}/contacts/{user}",
            "body": {"mobilePhone": "06 5550 1234"},
        }
        h.sim.add_fault(
            kind="user_action", service="graph", method="POST", path=r"\$batch", nth=2, action=action
        )
    h.run()
    h.run()
    assert h.items()["Persoon 001"]["mobilePhone"] == "06 5550 1234"
    assert h.contacts()["Persoon 001"]["mobilePhoneNumber"] == "06 5550 1234"
    assert h.items()["Persoon 001"]["jobTitle"] == "Inkoper"
    settled(h)


@pytest.mark.parametrize(
    ("switch", "known"), [("enforce", "enforced"), ("ignore", "ignored"), ("ignore", "")]
)
@pytest.mark.parametrize("planned", ["updated", "deleted"])
def test_what_a_user_types_where_the_sync_is_about_to_write_is_not_lost(synced, switch, known, planned):
    """I1: the same field loses to BC and is in the log; an item that was to be deleted stays."""
    h = synced
    h.sim.set(graph_if_match=switch)
    if known:
        enforce(h, known)
    if planned == "updated":
        h.edit_contact("Persoon 001", jobTitle="Inkoper")
    else:
        h.delete_contact("Persoon 001")
    path = f"/users/{ANNA}/contacts/{h.items()['Persoon 001']['id']}"
    action = {"method": "PATCH", "path": path, "body": {"jobTitle": "Directeur"}}
    # Before the first batch that touches the item: its write, or where versions are not checked the read before it.
    fault = h.sim.add_fault(kind="user_action", service="graph", part=True, path="/contacts/", action=action)
    h.run()
    h.run()
    assert fault.fired == 1
    if planned == "deleted":
        assert h.items()["Persoon 001"]["jobTitle"] == "Directeur"
    else:
        assert h.items()["Persoon 001"]["jobTitle"] == h.contacts()["Persoon 001"]["jobTitle"] == "Inkoper"
        with read(h.edges.engine) as conn:
            assert '{"job_title":"Directeur"}' in list(conn.scalars(select(t.change.c.losing)))
    settled(h)


@pytest.mark.parametrize("status", ["409", "412"])
def test_an_edit_between_read_and_write_in_bc_is_not_lost(synced, status):
    h = synced
    h.sim.set(bc_stale_status=status)
    h.edit_item("Persoon 001", jobTitle="Inkoper", mobilePhone="06 5550 1111")
    fault = user_edits(h, "bc", {"jobTitle": "Directeur"})
    ran = h.run()
    assert fault.fired == 1
    assert ran.report.outcomes == {"conflict": 1, "unchanged": 2}
    assert h.contacts()["Persoon 001"]["jobTitle"] == "Directeur"
    assert h.contacts()["Persoon 001"]["mobilePhoneNumber"] == "06 5550 1111"
    h.run()
    assert h.items()["Persoon 001"]["jobTitle"] == "Directeur"
    settled(h)


@pytest.mark.parametrize("service", ["bc", "graph"])
def test_after_three_rounds_a_contact_that_is_always_edited_has_failed(synced, service):
    h = synced
    enforce(h, "enforced")
    body: dict[str, Any] = {"city": "Zaandam"} if service == "bc" else {"department": "x"}
    if service == "bc":
        h.edit_item("Persoon 001", jobTitle="Inkoper")
    else:
        h.edit_contact("Persoon 001", jobTitle="Inkoper")
    fault = user_edits(h, service, body, count=None, path="/contacts[/(]")
    ran = h.run()
    assert fault.fired == 3
    assert ran.report.outcomes == {"failed": 1, "unchanged": 2}
    action = "update_business_central" if service == "bc" else "update_outlook"
    rounds = [row[1:] for row in changes(h) if row[0] == action and row[2]]
    assert rounds == [("skipped", "version_mismatch")] * 2 + [("failed", "version_mismatch")]
    h.sim.clear_faults()
    h.run()
    h.run()
    assert h.contacts()["Persoon 001"]["jobTitle"] == h.items()["Persoon 001"]["jobTitle"] == "Inkoper"
    settled(h)


def test_a_contact_that_goes_just_before_the_write_is_made_again(synced):
    h = synced
    h.edit_contact("Persoon 001", jobTitle="Inkoper")
    h.sim.add_fault(
        kind="user_action",
        service="graph",
        method="PATCH",
        part=True,
        path="contacts/",
        action={"method": "DELETE", "path": "{path}"},
    )
    ran = h.run()
    assert ran.writes == {"created_outlook": 1}
    assert h.items()["Persoon 001"]["jobTitle"] == "Inkoper"
    assert len(h.items()) == 3
    settled(h)


def test_a_contact_that_goes_from_bc_just_before_the_write_is_not_made_again(synced):
    h = synced
    h.edit_item("Persoon 001", jobTitle="Inkoper")
    h.sim.add_fault(
        kind="user_action", service="bc", method="PATCH", action={"method": "DELETE", "path": "{path}"}
    )
    ran = h.run()
    assert ran.writes == {}
    assert ran.reasons()["deleted_in_bc_edited_in_outlook"] == 1
    assert len(h.contacts()) == 2
    assert len(h.items()) == 3
    settled(h)


# -- unknown outcomes of updates (8.1) -------------------------------------------------------------------------------


@pytest.mark.parametrize("moment", ["before", "after"])
def test_an_edit_behind_an_update_of_unknown_outcome_is_no_conflict_with_ourselves(make_harness, moment):
    h = make_harness(world(*people(2)), retry_cap=0.0)
    h.add_profiles()
    h.full()
    h.edit_item("Persoon 001", jobTitle="eerst")
    h.sim.add_fault(service="bc", kind="status", status=504, method="PATCH", moment=moment, count=None)
    ran = h.run()
    assert ran.report.outcomes["unknown"] == 1
    h.sim.clear_faults()
    h.edit_item("Persoon 001", jobTitle="toen")
    h.run()
    assert h.contacts()["Persoon 001"]["jobTitle"] == h.items()["Persoon 001"]["jobTitle"] == "toen"
    settled(h)


def test_a_create_of_unknown_outcome_takes_nothing_back_from_outlook(make_harness):
    h = make_harness(world(*people(1)), retry_cap=0.0)
    h.add_profiles()
    h.full()
    h.add_item(
        displayName="Els Nieuw",
        emailAddresses=email("els@nieuw.example"),
        jobTitle="x" * 31,
        mobilePhone="06 5550 1234",
    )

    def away(_call: object) -> None:
        h.sim._server.faults.add({"service": "bc", "kind": "status", "status": 504, "count": None}, None)

    h.sim.add_fault(away, kind="callback", service="bc", method="POST", path="contacts", moment="after")
    h.sim.add_fault(service="bc", kind="status", status=504, method="POST", path="contacts", moment="after")
    h.run()
    h.sim.clear_faults()
    for _ in range(3):
        h.run()
    assert h.items()["Els Nieuw"]["jobTitle"] == "x" * 31
    assert h.contacts()["Els Nieuw"]["mobilePhoneNumber"] == "06 5550 1234"
    settled(h)


# -- refusals and other forms (6, 8.6) -------------------------------------------------------------------------------


@pytest.mark.parametrize("what", ["created", "updated"])
def test_one_contact_that_outlook_refuses_stops_no_other(synced, what):
    h = synced
    if what == "created":
        for name in ("Een Nieuw", "Twee Nieuw", "Drie Nieuw"):
            h.add_contact(name)
    else:
        for n in range(3):
            h.edit_contact(f"Persoon {n:03}", jobTitle="Inkoper")
    refusal = {"kind": "status", "status": 400, "code": "ErrorInvalidProperty"}
    h.sim.add_fault(
        service="graph", part=True, method="POST|PATCH", path="/contacts", nth=2, count=1, **refusal
    )
    ran = h.run()
    assert ran.errors == []
    assert ran.writes == {f"{what}_outlook": 2}
    assert ran.reasons() == {"ErrorInvalidProperty": 1}
    assert h.run().writes == {f"{what}_outlook": 1}, "it is tried again"
    settled(h)


def refuse(h: Harness, field: str) -> Any:
    """BC refuses any write with this field, as if it could hold no such value."""

    def callback(call: Any) -> None:
        body = json.loads(call.body)
        if field in body:
            call.body = json.dumps(body | {field: "x" * 300}).encode()

    return h.sim.add_fault(
        callback, kind="callback", service="bc", method="POST|PATCH", path="contacts", count=None
    )


def test_a_field_that_bc_refuses_stays_and_the_others_go_on(synced):
    h = synced
    refuse(h, "jobTitle")
    h.edit_item("Persoon 001", jobTitle="geweigerd", mobilePhone="06 5550 1234")
    ran = h.run()
    assert ran.writes == {"updated_business_central": 1}
    assert h.contacts()["Persoon 001"]["mobilePhoneNumber"] == "06 5550 1234"
    assert h.items()["Persoon 001"]["jobTitle"] == "geweigerd"
    h.sim.reset_counters()
    again = h.run()
    assert again.reasons() == {"Application_StringExceededLength": 1}
    assert "400" not in h.counters()["app"]["bc"].get("by_status", {}), "not asked again"
    h.sim.clear_faults()
    h.edit_item("Persoon 001", jobTitle="mag")
    assert h.run().writes == {"updated_business_central": 1}
    assert h.contacts()["Persoon 001"]["jobTitle"] == "mag"
    settled(h)


def test_a_new_contact_goes_to_bc_without_the_field_that_bc_refuses(synced):
    h = synced
    refuse(h, "jobTitle")
    h.add_item(
        displayName="Els Nieuw",
        emailAddresses=email("els@nieuw.example"),
        jobTitle="nee",
        mobilePhone="06 5550 1234",
    )
    h.run()
    h.run()
    els = h.contacts()["Els Nieuw"]
    assert (els["jobTitle"], els["mobilePhoneNumber"]) == ("", "06 5550 1234")
    assert h.items()["Els Nieuw"]["jobTitle"] == "nee"
    assert len(h.contacts()) == 4


def test_another_form_of_bc_goes_to_outlook_once(make_harness):
    h = make_harness(world(*people(1), post_codes={"1501 AB": ["ZAANDAM", "NH"]}))
    h.add_profiles()
    h.full()
    h.edit_item(
        "Persoon 000",
        businessAddress={"city": "Zaandam", "postalCode": "1501 AB", "state": "Noord", "street": ""},
    )
    assert h.run().writes == {"updated_business_central": 1, "updated_outlook": 1}
    assert ("update_business_central", "updated", "changed_by_bc") in changes(h)
    address, contact = h.items()["Persoon 000"]["businessAddress"], h.contacts()["Persoon 000"]
    assert (address["city"], address["state"]) == (contact["city"], contact["state"])
    settled(h)


# -- claims (8.7) ----------------------------------------------------------------------------------------------------


@pytest.mark.sockets
@pytest.mark.parametrize("threads", [False, True])
def test_two_profiles_that_add_one_person_make_one_contact(make_harness, threads):
    h = make_harness(world(*people(1), mailboxes=[ANNA, BRAM]))
    h.add_profiles(ANNA, BRAM)
    h.full()
    for box in (ANNA, BRAM):
        h.add_item(
            box,
            displayName="Els Nieuw",
            emailAddresses=email("ELS@nieuw.example" if box == ANNA else "els@nieuw.example"),
        )
    if threads:
        plan = pipeline.plan_run(h.edges, model.RunRequest("together"))
        pipeline.extract_business_central(h.edges, "together", plan.companies[0])
        h.sim.add_fault(kind="delay", seconds=0.2, service="bc", method="POST", path="contacts")
        in_parallel(
            h, [lambda edges, key=key: pipeline.sync_profile(edges, "together", key) for key in plan.tasks]
        )
        pipeline.finish_run(h.edges, "together")
    for _ in range(3):
        h.run()
    assert sum(c["displayName"] == "Els Nieuw" for c in h.sim.dump()["companies"][0]["contacts"]) == 1
    contact = h.contacts()["Els Nieuw"]["id"].lower()
    assert all(contact in h.items(box)["Els Nieuw"]["key"] for box in (ANNA, BRAM))
    h.edit_item("Els Nieuw", ANNA, jobTitle="Inkoper")
    h.run()
    h.run()
    assert h.items(BRAM)["Els Nieuw"]["jobTitle"] == "Inkoper"
    settled(h)


def in_parallel(h: Harness, tasks: list[Any]) -> list[BaseException]:
    """Run tasks as processes of their own would: each with its own edges."""
    errors: list[BaseException] = []

    def run(task: Any) -> None:
        edges = h.open()
        try:
            task(edges)
        except BaseException as error:  # noqa: BLE001 - handed to the test
            errors.append(error)
        finally:
            edges.close()

    threads = [threading.Thread(target=run, args=(task,)) for task in tasks]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return errors


# -- leases (8.9) ----------------------------------------------------------------------------------------------------


def test_a_busy_profile_is_skipped(synced):
    h = synced
    h.edit_contact("Persoon 001", jobTitle="Inkoper")
    lease = acquire_lease(h.edges.engine, "profile:1", "somebody else", 60)
    assert lease
    ran = h.run()
    result = ran.report.profiles[0]
    assert (result.state, result.reason, ran.writes, ran.verdict.ok) == ("skipped", "busy", {}, True)
    release_lease(h.edges.engine, lease)
    assert h.run().writes == {"updated_outlook": 1}


def test_an_expired_lease_is_taken_over(synced):
    h = synced
    assert acquire_lease(h.edges.engine, "profile:1", "a killed task", -1)
    h.edit_contact("Persoon 001", jobTitle="Inkoper")
    assert h.run().writes == {"updated_outlook": 1}


@pytest.mark.parametrize("stalls", ["at the read", "before the write", "behind the write"])
def test_a_stalled_worker_that_wakes_up_writes_nothing(synced, stalls):
    h = synced
    enforce(h, "enforced")
    h.edit_contact("Persoon 001", jobTitle="Inkoper")
    h.edit_item("Persoon 002", jobTitle="Directeur")

    def taken_over(_call: object) -> None:
        with h.edges.engine.begin() as conn:
            conn.execute(
                update(t.lease)
                .where(t.lease.c.key == "profile:1")
                .values(holder="x", fencing=t.lease.c.fencing + 1)
            )

    at: dict[str, Any] = {
        "at the read": {"path": "delta", "part": False},
        "before the write": {"method": "PATCH", "path": "contactFolders", "part": True},
        "behind the write": {"method": "PATCH", "path": "/contacts/", "part": True},
    }[stalls]
    h.sim.add_fault(taken_over, kind="callback", service="graph", moment="after", **at)
    h.sim.reset_counters()
    ran = h.run()
    assert [type(error) for error in ran.errors] == [LeaseLostError]
    assert h.counters()["app"]["bc"].get("writes", 0) == 0
    assert h.counters()["app"]["graph"].get("contacts_updated", 0) == (stalls == "behind the write")
    with h.edges.engine.begin() as conn:
        conn.execute(update(t.lease).values(expires_at=0.0))
    h.run()
    settled(h)


@pytest.mark.sockets
def test_two_profiles_of_one_mailbox_take_turns(make_harness):
    h = make_harness(world(*people(40)), sandbox={"graph_latency_ms": 5})
    h.add_profiles(filter={"Name": "Persoon 00*"})
    h.add_profiles(folder="Overige", filter={"Name": "<>Persoon 00*"})
    plan = pipeline.plan_run(h.edges, model.RunRequest("together", "full"))
    pipeline.extract_business_central(h.edges, "together", plan.companies[0])
    assert not in_parallel(
        h, [lambda edges, key=key: pipeline.sync_profile(edges, "together", key) for key in plan.tasks]
    )
    assert (len(h.items()), len(h.items(folder="Overige"))) == (10, 30)
    app = h.counters()["app"]["graph"]
    assert app["most_requests_in_flight"] == 1
    assert app["most_in_flight"] <= 4
    assert app["refusals"] == 0
    assert [p.state for p in pipeline.finish_run(h.edges, "together").profiles] == ["done", "done"]


def test_profiles_of_other_mailboxes_do_not_wait(make_harness):
    h = make_harness(world(*people(2), mailboxes=[ANNA, BRAM]))
    h.add_profiles(ANNA, BRAM)
    assert acquire_lease(h.edges.engine, "mailbox:1", "somebody else", 60)
    assert h.full().writes == {"created_outlook": 4}
