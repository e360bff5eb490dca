"""A person wants back what was there before: on both sides, by a normal plan, and only where nothing changed since."""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest
from sqlalchemy import select, update

from sync_lib import pipeline
from sync_lib.model import Decision
from sync_lib.operate import approval
from sync_lib.store import tables as t
from sync_lib.store import undo, wishes
from sync_lib.store.engine import read, transaction
from sync_lib.store.profiles import rows as profiles
from sync_lib.store.profiles.history import Author
from tests.sync.harness import Harness, person, world

JAN, PIET = "Jan Jansen", "Piet Post"
numbers = itertools.count(1)


@pytest.fixture
def make(make_harness) -> Any:
    """A profile with three contacts, already synced."""

    def made(**profile: Any) -> Harness:
        people = [person(name, jobTitle="Inkoper", city="Delft") for name in (JAN, PIET, "Ans Aal")]
        h = make_harness(world(*people))
        h.add_profiles(**profile)
        h.full(run_id="first")
        return h

    return made


@pytest.fixture
def h(make: Any) -> Harness:
    return make()


def ask(h: Harness, run: str, action: str | None = None) -> int:
    """Ask for all that a run did, or for its only change of a kind."""
    with h.edges.engine.begin() as conn:
        plan, n = None, None
        if action:
            c = t.change.c
            wanted = select(c.plan, c.n).join(t.plan, t.plan.c.id == c.plan)
            [(plan, n)] = conn.execute(wanted.where(t.plan.c.run == run, c.action == action)).all()
        return undo.ask(conn, undo.Asked(1, run, plan, n), "eva", h.edges.now())


def outcome(h: Harness, key: int) -> tuple[str, dict[str, Any]]:
    with read(h.edges.engine) as conn:
        found = undo.read_undo(conn, key)
    assert found is not None
    return str(found.state), found.told


def title(h: Harness, name: str = JAN) -> tuple[str | None, str | None]:
    """The job title in BC and in Outlook."""
    return h.contacts()[name]["jobTitle"], h.items()[name].get("jobTitle")


def is_settled(h: Harness) -> None:
    h.run()
    h.sim.reset_counters()
    assert h.run().writes == {}
    assert h.full().writes == {}
    assert h.app_writes() == 0


def causes(h: Harness, run: str) -> list[tuple[str, str, str | None]]:
    c = t.change.c
    with read(h.edges.engine) as conn:
        rows = conn.execute(
            select(c.action, c.cause, c.outcome)
            .join(t.plan, t.plan.c.id == c.plan)
            .where(t.plan.c.run == run)
            .order_by(c.plan, c.n)
        )
        return [tuple(row) for row in rows]


def test_a_value_that_came_from_bc_goes_back_on_both_sides(h):
    h.edit_contact(JAN, jobTitle="Directeur")
    h.run(run_id="second")
    assert title(h) == ("Directeur", "Directeur")
    key = ask(h, "second")
    ran = h.run(run_id="third")
    assert title(h) == ("Inkoper", "Inkoper")
    assert ran.writes == {"updated_business_central": 1, "updated_outlook": 1}
    assert causes(h, "third") == [
        ("update_outlook", "undo", "updated"),
        ("update_business_central", "undo", "updated"),
    ]
    assert outcome(h, key) == ("done", {"contacts": 1, "reasons": {}})
    is_settled(h)


def test_a_value_that_came_from_outlook_goes_back_on_both_sides(h):
    h.edit_item(JAN, jobTitle="Chef")
    h.run(run_id="second")
    ask(h, "second", "update_business_central")
    h.run()
    assert title(h) == ("Inkoper", "Inkoper")
    is_settled(h)


def test_the_value_that_lost_a_conflict_comes_back(h):
    h.edit_contact(JAN, jobTitle="Directeur")
    h.edit_item(JAN, jobTitle="Baas")
    h.run(run_id="second")
    assert title(h) == ("Directeur", "Directeur")
    ask(h, "second")
    h.run()
    assert title(h) == ("Baas", "Baas")
    is_settled(h)


def test_an_undo_can_be_undone(h):
    h.edit_contact(JAN, jobTitle="Directeur")
    h.run(run_id="second")
    ask(h, "second")
    h.run(run_id="third")
    ask(h, "third", "update_outlook")
    h.run()
    assert title(h) == ("Directeur", "Directeur")
    is_settled(h)


@pytest.mark.parametrize("side", ["bc", "outlook"])
def test_what_changed_since_stays_and_nothing_is_lost(h, side):
    h.edit_contact(JAN, jobTitle="Directeur", city="Gouda")
    h.run(run_id="second")
    if side == "bc":
        h.edit_contact(JAN, jobTitle="Voorzitter")
    else:
        h.edit_item(JAN, jobTitle="Voorzitter")
    key = ask(h, "second")
    h.run()
    assert title(h) == ("Voorzitter", "Voorzitter")
    # The other field of the same change had nothing against it.
    assert h.contacts()[JAN]["city"] == "Delft"
    assert h.items()[JAN]["businessAddress"]["city"] == "Delft"
    assert outcome(h, key) == ("done", {"contacts": 1, "reasons": {"changed_since": 1}})
    is_settled(h)


@pytest.mark.parametrize("service", ["bc", "graph"])
@pytest.mark.parametrize("same", [True, False], ids=["same field", "other field"])
def test_an_edit_in_the_middle_of_the_undo_is_not_lost(h, service, same):
    h.edit_contact(JAN, jobTitle="Directeur")
    h.run(run_id="second")
    key = ask(h, "second")
    body = (
        {"jobTitle": "Voorzitter"}
        if same
        else {"mobilePhone" if service == "graph" else "mobilePhoneNumber": "06 1"}
    )
    where = (
        {"part": True, "path": "/contacts/"}
        if service == "graph"
        else {"method": "PATCH", "path": "contacts"}
    )
    action = {"method": "PATCH", "path": "{path}", "body": body}
    fault = h.sim.add_fault(name="F10", service=service, action=action, **where)
    h.run()
    assert fault.fired
    h.run()
    assert title(h) == (("Voorzitter", "Voorzitter") if same else ("Inkoper", "Inkoper"))
    assert same or h.contacts()[JAN]["mobilePhoneNumber"] == h.items()[JAN]["mobilePhone"] == "06 1"
    assert outcome(h, key)[0] == "done"
    is_settled(h)


def test_an_undo_that_broke_off_between_the_sides_goes_on(h):
    h.edit_contact(JAN, jobTitle="Directeur")
    h.run(run_id="second")
    key = ask(h, "second")
    h.sim.add_fault(service="bc", kind="status", status=503, method="PATCH", moment="before", count=None)
    h.run()
    assert title(h) == ("Directeur", "Inkoper")
    assert outcome(h, key)[0] == "open"
    h.sim.clear_faults()
    assert h.run().writes == {"updated_business_central": 1}
    assert title(h) == ("Inkoper", "Inkoper")
    assert outcome(h, key)[0] == "done"
    is_settled(h)


def test_a_company_is_found_again_by_its_name(make_harness):
    companies = [
        {"type": "Company", "displayName": name, "number": n}
        for n, name in (("C1", "Klant BV"), ("C2", "Ander BV"))
    ]
    h = make_harness(world(person(JAN), *companies))
    h.edit_contact(JAN, companyNumber="C1")
    h.add_profiles()
    h.full()
    h.edit_item(JAN, companyName="Ander BV")
    h.run(run_id="second")
    assert h.contacts()[JAN]["companyNumber"] == "C2"
    ask(h, "second")
    h.run()
    assert h.contacts()[JAN]["companyNumber"] == "C1"
    assert h.items()[JAN]["companyName"] == "Klant BV"
    is_settled(h)


def test_an_answer_that_was_lost_does_not_matter(h):
    h.edit_contact(JAN, jobTitle="Directeur")
    h.run(run_id="second")
    key = ask(h, "second")
    h.sim.add_fault(service="bc", kind="status", status=504, method="PATCH", moment="after", count=None)
    h.run()
    h.sim.clear_faults()
    h.run()
    assert title(h) == ("Inkoper", "Inkoper")
    assert outcome(h, key)[0] == "done"
    is_settled(h)


def test_a_dry_run_plans_the_same_and_does_nothing(h):
    h.edit_contact(JAN, jobTitle="Directeur")
    h.run(run_id="second")
    key = ask(h, "second")
    h.sim.reset_counters()
    h.run(run_id="dry", dry_run=True)
    assert h.app_writes() == 0
    assert outcome(h, key)[0] == "open"
    h.run(run_id="real")
    planned, done = causes(h, "dry"), causes(h, "real")
    assert [each[:2] for each in planned] == [each[:2] for each in done]
    assert title(h) == ("Inkoper", "Inkoper")


def test_what_was_withdrawn_is_not_done(h):
    h.edit_contact(JAN, jobTitle="Directeur")
    h.run(run_id="second")
    key = ask(h, "second")
    with h.edges.engine.begin() as conn:
        assert undo.withdraw(conn, key, h.edges.now())
        assert not undo.withdraw(conn, key, h.edges.now())
    assert h.run().writes == {}
    assert title(h) == ("Directeur", "Directeur")


def test_asking_twice_is_asking_once(h):
    h.edit_contact(JAN, jobTitle="Directeur")
    h.run(run_id="second")
    assert ask(h, "second") == ask(h, "second")
    assert ask(h, "second", "update_outlook") != ask(h, "second")
    assert h.run().writes == {"updated_business_central": 1, "updated_outlook": 1}


@pytest.mark.parametrize("direction", ["to_outlook", "to_business_central"])
def test_a_one_way_profile_cannot_put_both_sides_back(make, direction):
    h = make()
    h.edit_contact(JAN, jobTitle="Directeur")
    h.run(run_id="second")
    h.add_profiles(direction=direction)
    key = ask(h, "second")
    assert h.run().writes == {}
    assert outcome(h, key) == ("done", {"contacts": 0, "reasons": {"one_way": 1}})


def test_a_required_value_is_never_taken_away(h):
    h.edit_contact(JAN, jobTitle="Directeur", displayName="Jan de Baas")
    h.run(run_id="second")
    with h.edges.engine.begin() as conn:
        # As if the name had been fixed.
        before = json.dumps({"name": "", "job_title": "Inkoper"})
        [plan] = conn.scalars(select(t.plan.c.id).where(t.plan.c.run == "second"))
        conn.execute(update(t.change).where(t.change.c.plan == plan).values(before=before))
    key = ask(h, "second")
    h.run()
    assert title(h, "Jan de Baas") == ("Inkoper", "Inkoper")
    assert outcome(h, key)[1]["reasons"] == {"name_missing": 1}


# -- deletes and creates ---------------------------------------------------------------------------------------------


def states(h: Harness) -> dict[str, int]:
    with read(h.edges.engine) as conn:
        found = list(conn.scalars(select(t.coupling.c.state)))
    return {state: found.count(state) for state in found}


def test_an_item_that_left_the_scope_comes_back_and_is_left_alone(make):
    h = make(filter={"City": "Delft"})
    h.edit_contact(JAN, city="Gouda")
    h.run(run_id="second")
    assert JAN not in h.items()
    key = ask(h, "second")
    assert h.run().writes == {"created_outlook": 1}
    assert outcome(h, key) == ("done", {"contacts": 1, "reasons": {}})
    assert h.items()[JAN]["businessAddress"]["city"] == "Gouda" or h.items()[JAN]["jobTitle"] == "Inkoper"
    assert states(h) == {"active": 2, "released": 1}
    is_settled(h)
    assert JAN in h.items()
    # In the filter again, it is the same contact again.
    h.edit_contact(JAN, city="Delft", jobTitle="Directeur")
    h.run()
    assert title(h) == ("Directeur", "Directeur")
    assert states(h) == {"active": 3}
    assert len(h.items()) == 3
    is_settled(h)


def test_an_item_whose_contact_is_gone_comes_back_and_never_goes_to_bc(h):
    h.delete_contact(JAN)
    h.full(run_id="second")
    assert JAN not in h.items()
    ask(h, "second")
    h.run()
    assert h.items()[JAN]["jobTitle"] == "Inkoper"
    is_settled(h)
    assert JAN in h.items()
    assert JAN not in h.contacts()
    h.edit_item(JAN, jobTitle="Chef")
    is_settled(h)
    assert JAN not in h.contacts()


def test_one_that_is_in_scope_again_is_made_by_the_sync_itself(make):
    h = make(filter={"City": "Delft"})
    h.edit_contact(JAN, city="Gouda")
    h.run(run_id="second")
    h.edit_contact(JAN, city="Delft")
    key = ask(h, "second")
    h.run()
    assert states(h) == {"active": 3}
    assert outcome(h, key)[0] == "done"
    is_settled(h)


def test_a_blocked_person_does_not_come_back(h):
    h.edit_contact(JAN, privacyBlocked=True)
    h.run(run_id="second")
    key = ask(h, "second")
    h.run()
    assert JAN not in h.items()
    assert outcome(h, key) == ("done", {"contacts": 0, "reasons": {"privacy_blocked": 1}})


def test_a_twin_that_was_made_by_hand_meanwhile_is_not_doubled(make):
    h = make(filter={"City": "Delft"})
    h.edit_contact(JAN, city="Gouda")
    h.run(run_id="second")
    h.add_item(displayName="Jan zelf", emailAddresses=[{"address": "jan.jansen@klant.example", "name": ""}])
    key = ask(h, "second")
    h.run()
    assert JAN not in h.items()
    assert outcome(h, key)[1]["reasons"] == {"duplicate_email_in_outlook": 1}


def test_a_lost_answer_to_making_an_item_again_makes_no_second_one(make):
    h = make(filter={"City": "Delft"})
    h.edit_contact(JAN, city="Gouda")
    h.run(run_id="second")
    ask(h, "second")
    h.sim.add_fault(name="F4", service="graph", part=True, method="POST", path="contacts", count=1)
    h.sim.add_fault(service="graph", kind="status", status=503, method="GET", path="contacts", count=3)
    h.run()
    h.sim.clear_faults()
    for _ in range(3):
        h.run()
    assert len(h.items()) == 3
    assert states(h) == {"active": 2, "released": 1}
    is_settled(h)


def test_an_item_that_was_made_goes_and_stays_away_where_the_profile_says_so(make):
    h = make(policies={"deleted_in_outlook": "stay_away"})
    h.add_contact("Kees Kool")
    h.run(run_id="second")
    key = ask(h, "second")
    h.run()
    assert "Kees Kool" not in h.items()
    assert "Kees Kool" in h.contacts()
    assert outcome(h, key) == ("done", {"contacts": 1, "reasons": {}})
    is_settled(h)
    assert states(h) == {"active": 3, "away": 1}
    h.edit_contact("Kees Kool", jobTitle="Kok")
    h.run()
    assert "Kees Kool" in h.items()


def test_an_item_that_would_be_made_again_stays(h):
    h.add_contact("Kees Kool")
    h.run(run_id="second")
    key = ask(h, "second")
    assert h.run().writes == {}
    assert "Kees Kool" in h.items()
    assert outcome(h, key) == ("done", {"contacts": 0, "reasons": {"would_be_made_again": 1}})


def test_an_item_that_was_edited_since_stays(make):
    h = make(policies={"deleted_in_outlook": "stay_away"})
    h.add_contact("Kees Kool")
    h.run(run_id="second")
    h.edit_item("Kees Kool", personalNotes="mine")
    key = ask(h, "second")
    h.run()
    assert "Kees Kool" in h.items()
    assert outcome(h, key)[1]["reasons"] == {"changed_since": 1}


def test_nothing_is_ever_deleted_in_bc(h):
    h.add_item(displayName="Kees Kool", emailAddresses=[{"address": "kees@x.example", "name": ""}])
    h.run(run_id="second")
    assert "Kees Kool" in h.contacts()
    key = ask(h, "second")
    assert h.run().writes == {}
    assert "Kees Kool" in h.contacts()
    assert "Kees Kool" in h.items()
    assert outcome(h, key) == ("done", {"contacts": 0, "reasons": {"never_deleted_in_bc": 1}})


# -- the guard -------------------------------------------------------------------------------------------------------


@pytest.fixture
def many(make_harness) -> Harness:
    h = make_harness(
        world(*(person(f"Persoon {n:02}", jobTitle="Inkoper") for n in range(12))), guard_overwrites=5
    )
    h.add_profiles()
    h.full()
    for name in list(h.contacts()):
        h.edit_contact(name, jobTitle="Fout")
    h.run(run_id="wrong")
    return h


def answer(h: Harness, *, approve: bool) -> None:
    [conf] = approval.list_requests(h.edges)
    run = f"{conf['run_id']}_{next(numbers)}"
    approval.ask(h.edges, conf["hold"], conf["asked"], run)
    decision = Decision(approve, "eva", "person", f"2026-03-02T09:00:00.{next(numbers):03}Z")
    plan = approval.decide(h.edges, conf["hold"], conf["asked"], run, decision)
    for company in plan.companies:
        pipeline.extract_business_central(h.edges, run, company)
    for key in plan.tasks:
        pipeline.sync_profile(h.edges, run, key)


def titles(h: Harness) -> set[tuple[str | None, str | None]]:
    return {title(h, name) for name in h.contacts()}


def test_above_the_limit_a_person_decides(many):
    key = ask(many, "wrong")
    ran = many.run()
    assert ran.writes == {}
    assert ran.reasons() == {"too_many_overwrites": 12}
    assert titles(many) == {("Fout", "Fout")}
    assert outcome(many, key)[0] == "open"
    many.run()
    answer(many, approve=True)
    assert titles(many) == {("Inkoper", "Inkoper")}
    assert outcome(many, key) == ("done", {"contacts": 12, "reasons": {}})
    is_settled(many)


def test_a_rejected_undo_is_over(many):
    key = ask(many, "wrong")
    many.run()
    answer(many, approve=False)
    many.run()
    assert outcome(many, key) == ("done", {"contacts": 0, "reasons": {"rejected_by_person": 24}})
    assert titles(many) == {("Fout", "Fout")}
    many.run()
    with read(many.edges.engine) as conn:
        assert list(conn.scalars(select(t.hold.c.state))) == ["superseded"]
    is_settled(many)


def test_a_withdrawn_undo_ends_the_hold(many):
    key = ask(many, "wrong")
    many.run()
    with many.edges.engine.begin() as conn:
        undo.withdraw(conn, key, many.edges.now())
    many.run()
    with read(many.edges.engine) as conn:
        assert list(conn.scalars(select(t.hold.c.state))) == ["superseded"]
    assert titles(many) == {("Fout", "Fout")}
    is_settled(many)


def test_the_run_before_can_be_undone_for_everybody_and_back(many):
    key = ask(many, "wrong")
    many.edges.settings = many.settings = type(many.settings)()
    many.run(run_id="undone")
    assert titles(many) == {("Inkoper", "Inkoper")}
    assert outcome(many, key)[1]["contacts"] == 12
    ask(many, "undone")
    many.run()
    assert titles(many) == {("Fout", "Fout")}
    is_settled(many)


@pytest.mark.parametrize(("policy", "left"), [("delete", False), ("keep", True)])
def test_what_left_the_filter_since_is_not_said_to_have_been_changed(make, policy, left):
    h = make(filter={"City": "Delft"}, policies={"left_scope": policy})
    h.edit_contact(JAN, jobTitle="Directeur")
    h.run(run_id="second")
    h.edit_contact(JAN, city="Gouda")
    h.run(run_id="third")
    assert (JAN in h.items()) is left
    key = ask(h, "second")
    assert h.run().writes == {}
    assert outcome(h, key) == ("done", {"contacts": 0, "reasons": {"out_since": 1}})


def test_what_leaves_the_filter_in_the_same_run_is_said_so(make):
    h = make(filter={"City": "Delft"})
    h.edit_contact(JAN, jobTitle="Directeur")
    h.run(run_id="second")
    key = ask(h, "second")
    h.edit_contact(JAN, city="Gouda")
    h.run()
    assert outcome(h, key)[1]["reasons"] == {"out_since": 1}


def test_what_is_not_there_any_more_is_said_so(h):
    h.edit_contact(JAN, jobTitle="Directeur")
    h.run(run_id="second")
    h.delete_contact(JAN)
    h.full(run_id="third")
    key = ask(h, "second")
    h.run()
    assert outcome(h, key) == ("done", {"contacts": 0, "reasons": {"gone_since": 1}})


def test_what_was_left_out_since_is_said_so(h):
    h.edit_contact(JAN, jobTitle="Directeur")
    h.run(run_id="second")
    with transaction(h.edges.engine) as conn:
        author = Author("eva", h.edges.now())
        wishes.leave_out(conn, profiles.read_profile(conn, 1), h.contacts()[JAN]["id"], author)
    key = ask(h, "second")
    h.run()
    assert outcome(h, key)[1]["reasons"] == {"left_out": 1}


def test_what_is_back_already_is_not_said_to_have_been_changed(make):
    h = make(filter={"City": "Delft"})
    h.edit_contact(JAN, city="Gouda")
    h.run(run_id="second")
    h.edit_contact(JAN, city="Delft")
    h.run(run_id="third")
    key = ask(h, "second")
    assert h.run().writes == {}
    assert outcome(h, key)[1]["reasons"] == {"back_already": 1}
