"""Only profiles with work get a task (architecture 1): what each condition finds, and that quiet means quiet (I21)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import select, update

from sync_lib import pipeline
from sync_lib.model import Decision, RunRequest
from sync_lib.run import concerned
from sync_lib.store import clock, holds, leases, looking, runs, undo, wishes
from sync_lib.store import tables as t
from sync_lib.store.engine import read, transaction
from sync_lib.store.profiles import endings
from sync_lib.store.profiles import rows as profiles
from sync_lib.store.profiles.history import Author
from tests.sync.harness import Harness, Ran, person, world

ANNA, BRAM, CORA = "anna@voorbeeld.example", "bram@voorbeeld.example", "cora@voorbeeld.example"
JAN, PIET, KEES = "Jan Jansen", "Piet Smit", "Kees de Boer"
MINUTE, DAY = 60.0, 86_400.0


def synced(
    make_harness: Any, *contacts: dict[str, Any], boxes: Any = (ANNA, BRAM, CORA), **settings: Any
) -> Harness:
    """Three profiles in agreement, each quiet, every quiet one of which is worked on all the same."""
    people = contacts or (person(JAN, salespersonCode="AN"), person(PIET, salespersonCode="BR"), person(KEES))
    codes = [{"code": code, "displayName": code} for code in ("AN", "BR", "CO")]
    h: Harness = make_harness(world(*people, mailboxes=list(boxes), salespeople=codes), **settings)
    h.edges.business_central_settings = replace(h.edges.business_central_settings, field_profile="extended")
    for box, code in zip((ANNA, BRAM, CORA), ("AN", "BR", "CO"), strict=True):
        if box in boxes:
            h.add_profiles(box, salesperson=code, filter=[{"Salesperson Code": "%me"}])
    return rested(h)


def rested(h: Harness) -> Harness:
    h.full()
    for _ in range(3):
        ran = h.run()
    assert mapped(h, ran) == {}
    h.audits = True
    h.sim.reset_counters()
    return h


def mapped(h: Harness, ran: Ran) -> dict[str, str]:
    """Mailbox -> why it was mapped."""
    own, p = t.run_profile.c, t.sync_profile.c
    wanted = select(p.mailbox, own.why).join(t.sync_profile, p.id == own.profile)
    with read(h.edges.engine) as conn:
        rows = conn.execute(wanted.where(own.run == ran.report.run, own.map_index.is_not(None)))
        return {row.mailbox: row.why for row in rows}


def states(ran: Ran) -> dict[str, str]:
    return {result.mailbox: result.state for result in ran.report.profiles}


def key(h: Harness, mailbox: str) -> int:
    with read(h.edges.engine) as conn:
        return next(each.id for each in profiles.read_profiles(conn) if each.mailbox == mailbox)


# -- quiet -----------------------------------------------------------------------------------------------------------


def test_nothing_changed_is_one_question_for_all_and_no_task(make_harness):
    h = synced(make_harness)
    h.audits = False
    ran = h.run()
    assert states(ran) == dict.fromkeys((ANNA, BRAM, CORA), "quiet")
    assert (ran.writes, ran.verdict.ok, ran.errors) == ({}, True, [])
    assert h.counters()["app"]["graph"]["requests"] == 1
    with read(h.edges.engine) as conn:
        row = conn.execute(select(t.sync_run).where(t.sync_run.c.id == ran.report.run)).one()
        assert (row.asked, row.quiet, row.mapped, row.found_at is not None) == (3, 3, 0, True)
        assert conn.execute(select(t.run_profile).where(t.run_profile.c.run == ran.report.run)).all() == []


def test_a_quiet_profile_has_the_figures_of_its_last_comparison(make_harness):
    h = synced(make_harness, person(JAN, salespersonCode="AN"), person("Zonder", "", salespersonCode="AN"))
    before = h.full().profile(ANNA)
    with transaction(h.edges.engine) as conn:
        conn.execute(update(t.cursor).where(t.cursor.c.side == "outlook").values(last_good_at="2026-01-01"))
    result = h.run().profile(ANNA)
    assert (result.state, result.compared_at is not None) == ("quiet", True)
    assert result.counters["reasons"] == before.counters["reasons"] == {"email_missing": 1}
    assert str(result.last_good_at) > "2026-02"


def test_everything_is_mapped_where_a_person_wants_to_see_it(make_harness):
    h = synced(make_harness)
    everybody = {ANNA, BRAM, CORA}
    assert mapped(h, h.full()).keys() == everybody
    assert mapped(h, h.run(dry_run=True)).keys() == everybody
    assert mapped(h, h.run(profiles=[BRAM])).keys() == {BRAM}
    h.edges.settings = replace(h.edges.settings, map_quiet=True)
    assert mapped(h, h.run()).keys() == everybody
    assert [result.state for result in h.run().report.profiles] == ["done"] * 3


def test_keys_that_nobody_decided_about_can_be_worked_on(make_harness):
    """Who scripts a run task by task, as it was before there was find_work, syncs every profile."""
    h = synced(make_harness, profiles_per_task_from=2)
    h.edit_contact(JAN, jobTitle="Inkoper")
    plan = pipeline.plan_run(h.edges, RunRequest("scripted"))
    assert len(plan.tasks) == 2
    for company in plan.companies:
        pipeline.extract_business_central(h.edges, "scripted", company)
    results = [result for task in plan.tasks for result in pipeline.sync_profile(h.edges, "scripted", task)]
    assert [result.state for result in results] == ["done"] * 3
    assert h.items(ANNA)[JAN]["jobTitle"] == "Inkoper"
    pipeline.finish_run(h.edges, "scripted")
    assert pipeline.run_verdict(h.edges, "scripted", {"plan_run": "success"}).ok


# -- what changed ----------------------------------------------------------------------------------------------------


def test_an_item_that_changed(make_harness):
    h = synced(make_harness)
    h.edit_item(PIET, BRAM, jobTitle="Inkoper")
    ran = h.run()
    assert (mapped(h, ran), ran.writes) == ({BRAM: "outlook"}, {"updated_business_central": 1})
    assert h.contacts()[PIET]["jobTitle"] == "Inkoper"
    # What a load moved is looked at once more; then it rests.
    assert mapped(h, h.run()) in ({BRAM: "due"}, {})
    h.run()
    assert mapped(h, h.run()) == {}


@pytest.mark.parametrize("what", ["new", "gone"])
def test_an_item_that_came_or_went(make_harness, what):
    h = synced(make_harness)
    if what == "new":
        h.add_item(
            CORA, displayName="Els Nieuw", emailAddresses=[{"address": "els@klant.example", "name": "E"}]
        )
    else:
        h.delete_item(PIET, BRAM)
    assert mapped(h, h.run()) == {CORA if what == "new" else BRAM: "outlook"}


@pytest.mark.parametrize("few", [0, concerned.FEW], ids=["together", "one by one"])
def test_a_contact_concerns_only_whom_it_touches(make_harness, monkeypatch, few):
    """Whichever way filters look at what changed."""
    monkeypatch.setattr(concerned, "FEW", few)
    h = synced(make_harness)
    h.edit_contact(JAN, jobTitle="Inkoper")
    assert mapped(h, h.run()) == {ANNA: "business_central"}
    h.run()
    h.run()
    h.edit_contact(KEES, jobTitle="Chef")
    assert mapped(h, h.run()) == {}, "nobody has it in scope"
    h.edit_contact(KEES, salespersonCode="CO")
    assert mapped(h, h.run()) == {CORA: "business_central"}, "it comes into scope"
    h.run()
    h.edit_contact(KEES, salespersonCode="AN")
    assert mapped(h, h.run()).keys() == {ANNA, CORA}, "it leaves one scope for another"
    assert (KEES in h.items(ANNA), KEES in h.items(CORA)) == (True, False)


@pytest.mark.parametrize("few", [0, concerned.FEW], ids=["together", "one by one"])
@pytest.mark.parametrize("fields", [{"privacyBlocked": True}, {"email": ""}, None])
def test_a_contact_that_may_not_be_there_any_more(make_harness, monkeypatch, fields, few):
    monkeypatch.setattr(concerned, "FEW", few)
    h = synced(make_harness)
    h.delete_contact(PIET) if fields is None else h.edit_contact(PIET, **fields)
    clock.set_offset(h.edges.engine, DAY)
    assert mapped(h, h.run()) == {BRAM: "business_central"}


def test_our_own_write_to_business_central_concerns_the_others_only(make_harness):
    """A contact in three folders: the edit of one goes to the two others, and then nobody has work."""
    h = synced(make_harness, person(JAN))
    for box in (ANNA, BRAM, CORA):
        h.add_profiles(box)
    rested(h)
    h.edit_item(JAN, ANNA, jobTitle="Inkoper")
    assert mapped(h, h.run()) == {ANNA: "outlook"}
    assert mapped(h, h.run()).keys() >= {BRAM, CORA}
    assert {h.items(box)[JAN]["jobTitle"] for box in (BRAM, CORA)} == {"Inkoper"}
    h.run()
    assert mapped(h, h.run()) == {}


def test_an_address_that_somebody_waits_for(make_harness):
    """Two contacts have one address: whoever gives it up lets the other one in, in scope or not."""
    twins = [person(name, "samen@klant.example", salespersonCode="AN") for name in (JAN, PIET)]
    h = synced(make_harness, *twins, person(KEES, salespersonCode="BR"))
    assert h.items(ANNA) == {} or len(h.items(ANNA)) == 1
    first = next(iter(h.items(ANNA)), JAN)
    h.edit_contact(first, email="nieuw@klant.example", salespersonCode="CO")
    ran = h.run()
    assert mapped(h, ran).keys() == {ANNA, CORA}
    other = PIET if first == JAN else JAN
    assert other in h.items(ANNA)


def test_an_address_by_which_an_item_is_out_for_another_reason(make_harness):
    """An item without a name, whose address somebody outside the filter gets: what keeps it out is another reason."""
    h = synced(make_harness)
    h.add_item(BRAM, emailAddresses=[{"address": "kees@nieuw.example", "name": "x"}])
    assert h.run().reasons(BRAM) == {"name_missing": 1}
    h.run()
    assert mapped(h, h.run()) == {}
    h.edit_contact(KEES, email="kees@nieuw.example")
    ran = h.run()
    assert (mapped(h, ran), ran.reasons(BRAM)) == ({BRAM: "business_central"}, {"outside_filter": 1})


def test_a_company_name_that_somebody_waits_for(make_harness):
    """Two companies have one name, so that an item's company goes nowhere, until one of them is called differently."""
    zon = [{"type": "Company", "number": f"C{n}", "displayName": "Zon"} for n in (1, 2)]
    h = synced(make_harness, *zon, person(PIET, salespersonCode="BR"))
    h.edit_item(PIET, BRAM, companyName="Zon")
    assert h.run().reasons(BRAM) == {"company_not_unique": 1}
    h.run()
    rested_now = h.run()
    assert mapped(h, rested_now) == {}
    h.in_bc("PATCH", f"contacts({_company(h, 'C2')})", {"displayName": "Maan"})
    assert mapped(h, h.run()) == {BRAM: "business_central"}
    assert h.contacts()[PIET]["companyNumber"] == "C1"


def _company(h: Harness, number: str) -> str:
    contacts = h.sim.dump()["companies"][0]["contacts"]
    return next(str(each["id"]) for each in contacts if each["number"] == number)


def test_many_changes_at_once_make_everybody_compare(make_harness, monkeypatch):
    monkeypatch.setattr(concerned, "MOST", 1)
    h = synced(make_harness)
    h.edit_contact(JAN, jobTitle="Inkoper")
    h.edit_contact(PIET, jobTitle="Inkoper")
    assert mapped(h, h.run()).keys() == {ANNA, BRAM, CORA}


# -- what rests, and what does not -----------------------------------------------------------------------------------


def test_a_hold_and_a_reject_rest(make_harness):
    people = [person(f"Persoon {n:02}", salespersonCode="AN") for n in range(20)]
    h = synced(make_harness, *people, person(PIET, "geen adres", salespersonCode="BR"), guard_deletes=3)
    for n in range(12):
        h.edit_contact(f"Persoon {n:02}", salespersonCode="CO")
    h.audits = False
    assert h.run().profile(ANNA).state == "held"
    h.run()
    h.audits = True
    ran = h.run()
    assert mapped(h, ran) == {}
    assert ran.reasons(BRAM) == {"email_invalid": 1}


def test_an_approval_is_carried_out(make_harness):
    people = [person(f"Persoon {n:02}", salespersonCode="AN") for n in range(20)]
    h = synced(make_harness, *people, guard_deletes=3)
    for n in range(12):
        h.edit_contact(f"Persoon {n:02}", salespersonCode="")
    h.run()
    h.run()
    assert mapped(h, h.run()) == {}
    with transaction(h.edges.engine) as conn:
        [hold] = holds.read_unrequested(conn)
        holds.decide(conn, hold, Decision(True, "Eva", "person", h.edges.now()))
    ran = h.run()
    assert (mapped(h, ran), ran.writes) == ({ANNA: "person"}, {"deleted_outlook": 12})


def test_a_refusal_that_passes_is_tried_when_its_time_comes(make_harness):
    h = synced(make_harness)
    h.audits = False
    h.edit_item(PIET, BRAM, jobTitle="Inkoper")
    fault = h.sim.add_fault(
        name="F24", service="bc", status=423, code="Locked", method="PATCH", path="/contacts", count=None
    )
    for _ in range(3):
        h.run(run_type="scheduled")
    fired = fault.fired
    assert mapped(h, h.run(run_type="scheduled")) == {}
    assert mapped(h, h.run(run_type="manual")) == {BRAM: "due"}, "a person tries at once"
    h.sim.clear_faults()
    clock.set_offset(h.edges.engine, 2 * DAY)
    ran = h.run(run_type="scheduled")
    assert (mapped(h, ran)[BRAM], fault.fired > fired) == ("due", True)
    assert h.contacts()[PIET]["jobTitle"] == "Inkoper"


def test_a_task_that_breaks_off_comes_again(make_harness):
    h = synced(make_harness)
    h.audits = False
    h.edit_item(PIET, BRAM, jobTitle="Inkoper")
    fault = h.sim.add_fault(name="F6", service="bc", method="PATCH", path="/contacts", count=None)
    assert h.run().profile(BRAM).state == "failed" or fault.fired
    h.sim.clear_faults()
    assert BRAM in mapped(h, h.run())
    h.run()
    assert h.contacts()[PIET]["jobTitle"] == "Inkoper"


def test_a_mapped_task_that_never_begins_comes_again(make_harness):
    h = synced(make_harness)
    h.edit_contact(PIET, jobTitle="Inkoper")
    plan = pipeline.plan_run(h.edges, RunRequest("dead"))
    for company in plan.companies:
        pipeline.extract_business_central(h.edges, "dead", company)
    assert pipeline.find_work(h.edges, "dead") == [str(key(h, BRAM))]
    pipeline.finish_run(h.edges, "dead")
    assert not pipeline.run_verdict(h.edges, "dead", {"plan_run": "success"}).ok
    ran = h.run()
    assert (mapped(h, ran), h.items(BRAM)[PIET]["jobTitle"]) == ({BRAM: "due"}, "Inkoper")


# -- what persons want -----------------------------------------------------------------------------------------------


def test_settings_wishes_and_undos(make_harness):
    h = synced(make_harness)
    eva = Author("Eva", h.edges.now())
    h.add_profiles(BRAM, salesperson="BR", filter=[{"Salesperson Code": "%me"}], categories=["Relatie"])
    assert mapped(h, h.run()) == {BRAM: "settings"}
    assert h.items(BRAM)[PIET]["categories"] == ["Relatie"]
    rested(h)
    with transaction(h.edges.engine) as conn:
        profile = profiles.read_profile(conn, key(h, ANNA))
        wishes.ask_sync(conn, profile, h.contacts()[JAN]["id"], eva)
    assert mapped(h, h.run()) == {ANNA: "person"}
    rested(h)
    with transaction(h.edges.engine) as conn:
        wishes.leave_out(conn, profile, h.contacts()[JAN]["id"], eva)
    assert mapped(h, h.run()) == {ANNA: "settings"}
    assert h.items(ANNA) == {}
    rested(h)
    with transaction(h.edges.engine) as conn:
        endings.ask_end(conn, profiles.read_profile(conn, key(h, CORA)), endings.KEEP, eva)
    assert mapped(h, h.run()) == {CORA: "person"}


def test_an_undo(make_harness):
    h = synced(make_harness)
    h.edit_contact(JAN, jobTitle="Inkoper")
    ran = h.run()
    rested(h)
    with transaction(h.edges.engine) as conn:
        undo.ask(conn, undo.Asked(key(h, ANNA), ran.report.run), "Eva", h.edges.now())
    assert mapped(h, h.run()) == {ANNA: "person"}
    assert h.contacts()[JAN]["jobTitle"] == ""


def test_a_folder_that_is_called_differently_in_the_profile(make_harness):
    h = synced(make_harness)
    with transaction(h.edges.engine) as conn:
        conn.execute(
            update(t.sync_profile).where(t.sync_profile.c.id == key(h, CORA)).values(folder_name="Klanten")
        )
    assert mapped(h, h.run()) == {CORA: "person"}
    assert h.folder_id(CORA, "Klanten")


def test_a_full_read_that_is_due(make_harness):
    h = synced(make_harness)
    now = h.edges.clock.now()
    assert mapped(h, h.run(run_type="scheduled", full_slot=now)) == dict.fromkeys(
        (ANNA, BRAM, CORA), "full_due"
    )
    assert mapped(h, h.run(run_type="scheduled", full_slot=now)) == {}


# -- what keeps profiles from syncing --------------------------------------------------------------------------------


def test_what_all_share_is_found_once(make_harness):
    h = synced(make_harness)
    h.audits = False
    h.edges.settings = replace(h.edges.settings, retry_cap=0.0)
    h.sim.add_fault(name="F3", service="graph", status=503, count=None)
    ran = h.run()
    assert states(ran) == dict.fromkeys((ANNA, BRAM, CORA), "failed")
    assert (mapped(h, ran), len(ran.errors), ran.verdict.ok) == ({}, 1, False)
    with read(h.edges.engine) as conn:
        assert conn.scalar(select(t.sync_run.c.reason).where(t.sync_run.c.id == ran.report.run))
    h.sim.clear_faults()
    assert states(h.run()) == dict.fromkeys((ANNA, BRAM, CORA), "quiet"), "nothing is due for it"


def test_a_company_that_is_not_read_costs_no_task(make_harness):
    h = synced(make_harness)
    h.sim.add_fault(name="F3", service="bc", status=503, path="/contacts", count=None)
    h.edges.settings = replace(h.edges.settings, retry_cap=0.0)
    h.edges.close()
    ran = h.run()
    assert {result.reason for result in ran.report.profiles} == {"company_not_read"}
    assert (mapped(h, ran), ran.verdict.ok) == ({}, False)


def test_a_mailbox_that_does_not_open_is_mapped_with_growing_gaps(make_harness):
    h = synced(make_harness)
    h.audits = False
    user = h.mailbox(BRAM)["id"]
    h.sim.add_fault(
        name="F25", service="graph", status=403, code="ErrorAccessDenied", path=f"/users/{user}", count=None
    )
    seen = []
    passed = 0.0
    for minutes in (0, 1, 1, 4, 1, 9, 1, 80):
        passed += minutes * MINUTE
        clock.set_offset(h.edges.engine, passed)
        ran = h.run(run_type="scheduled")
        seen.append(BRAM in mapped(h, ran))
        result = ran.profile(BRAM)
        assert (result.state, result.reason) == ("failed", "mailbox_access_denied")
        assert result.message, "also where it has no task"
        assert states(ran)[ANNA] == "quiet"
    assert seen == [True, False, False, True, False, True, False, True]
    h.sim.clear_faults()
    assert h.run(run_type="scheduled").profile(BRAM).state == "done"
    h.run(run_type="scheduled")
    assert mapped(h, h.run(run_type="scheduled")) == {}


def test_a_profile_that_another_run_works_on(make_harness):
    h = synced(make_harness)
    h.audits = False
    h.edit_item(PIET, BRAM, jobTitle="Inkoper")
    lease = leases.acquire_lease(h.edges.engine, f"profile:{key(h, BRAM)}", "other", 600)
    assert lease is not None
    ran = h.run()
    assert (mapped(h, ran), ran.profile(BRAM).reason) == ({}, "busy")
    leases.release_lease(h.edges.engine, lease)
    assert mapped(h, h.run()) == {BRAM: "outlook"}


def test_deciding_that_fails_maps_everybody_on_the_last_try(make_harness, monkeypatch):
    from sync_lib.run import find_work as module

    h = synced(make_harness)
    monkeypatch.setattr(module, "find_concerned", lambda *_: 1 / 0)
    pipeline.plan_run(h.edges, RunRequest("broken"))
    for company in pipeline.plan_run(h.edges, RunRequest("broken")).companies:
        pipeline.extract_business_central(h.edges, "broken", company)
    with pytest.raises(ZeroDivisionError):
        pipeline.find_work(h.edges, "broken", last_try=False)
    assert len(pipeline.find_work(h.edges, "broken")) == 3


# -- tried again, and cleared ----------------------------------------------------------------------------------------


def test_what_is_cleared_keeps_the_places_of_its_tasks(make_harness):
    h = synced(make_harness)
    h.edit_contact(PIET, jobTitle="Inkoper")
    ran = h.run()
    [first] = mapped(h, ran)
    assert first == BRAM
    h.edit_item(JAN, ANNA, jobTitle="Chef")
    again = pipeline.find_work(h.edges, ran.report.run)
    assert again == [str(key(h, BRAM)), str(key(h, ANNA))]
    with read(h.edges.engine) as conn:
        assert {index: members for index, (_, members) in runs.read_mapped(conn, ran.report.run).items()} == {
            0: [key(h, BRAM)],
            1: [key(h, ANNA)],
        }


def test_several_profiles_to_a_task(make_harness):
    h = synced(make_harness, profiles_per_task_from=2)
    ids = [key(h, box) for box in (ANNA, BRAM, CORA)]
    for name in (JAN, PIET):
        h.edit_contact(name, jobTitle="Inkoper")
    h.edit_contact(KEES, salespersonCode="CO")
    ran = h.run()
    assert mapped(h, ran).keys() == {ANNA, BRAM, CORA}
    with read(h.edges.engine) as conn:
        assert [task for task, _ in runs.read_mapped(conn, ran.report.run).values()] == [
            f"{ids[0]}-{ids[1]}",
            str(ids[2]),
        ]


def test_the_link_of_an_empty_answer_replaces_one_of_yesterday(make_harness):
    h = synced(make_harness)
    h.audits = False
    before = _given(h)
    h.run()
    assert _given(h) == before
    clock.set_offset(h.edges.engine, DAY / 2)
    h.run()
    assert min(_given(h)) > max(before)
    h.edit_item(PIET, BRAM, jobTitle="Inkoper")
    assert mapped(h, h.run()) == {BRAM: "outlook"}


def _given(h: Harness) -> list[str]:
    with read(h.edges.engine) as conn:
        return [str(look.linked_at) for look in looking.read_looks(conn).values()]
