"""What is held is known by class and contact, never by its values; approvals are bound to values (rules 8.3, I19)."""

from __future__ import annotations

import itertools
import threading
from typing import Any

import pytest
from sqlalchemy import insert, select

from sync_lib import cli, model, pipeline
from sync_lib.model import Decision, HoldReason
from sync_lib.operate import approval
from sync_lib.run import holding
from sync_lib.store import clock, companies, holds
from sync_lib.store import tables as t
from sync_lib.store.engine import read
from tests.sync.harness import COMPANY, FOLDER, Harness, Ran, person, world

ANNA, BRAM = "anna@voorbeeld.example", "bram@voorbeeld.example"
numbers = itertools.count(1)


def item(name: str, **fields: Any) -> dict[str, Any]:
    """A contact that a colleague keeps in Outlook."""
    address = name.lower().replace(" ", ".") + "@prive.example"
    return {"displayName": name, "emailAddresses": [{"address": address, "name": name}], **fields}


def with_folder(*contacts: dict[str, Any], items: list[dict[str, Any]], **company: Any) -> dict[str, Any]:
    """A world in which a colleague has a folder of the sync's name already, with contacts of their own."""
    folder = {"name": FOLDER, "contacts": [{"properties": each} for each in items]}
    box = {"user_principal_name": ANNA, "folders": [folder]}
    return world(*contacts, mailboxes=[box], **company)


def decide(h: Harness, *, approve: bool, how: str = "person") -> None:
    """Answer the one question that waits, as the page or Airflow does."""
    with read(h.edges.engine) as conn:
        [hold] = holds.read_holds(conn, holds.HoldState.OPEN)
    run = f"approval-{next(numbers)}"
    approval.ask(h.edges, hold.id, hold.asked, run)
    said = Decision(approve, "eva", how, f"2026-03-02T09:00:00.{next(numbers):03}Z")
    approval.decide(h.edges, hold.id, hold.asked, run, said)


def made_in_bc(h: Harness, names: list[str]) -> set[str]:
    return set(names) & set(h.contacts())


def hold_states(h: Harness) -> list[str]:
    with read(h.edges.engine) as conn:
        return list(conn.scalars(select(t.hold.c.state).order_by(t.hold.c.id)))


OWN = [f"Vriend {n:02}" for n in range(15)]


@pytest.fixture
def own_folder(make_harness) -> Harness:
    """A folder with fifteen contacts of the colleague's own, which name a company that BC does not know yet."""
    own = [item(name, companyName="Sportclub") for name in OWN]
    return make_harness(with_folder(person("Piet Klant"), items=own))


# -- G1: known by class and contact ----------------------------------------------------------------------------------


def add_company(h: Harness) -> None:
    h.in_bc("POST", "contacts", {"type": "Company", "displayName": "Sportclub"})


def set_region(h: Harness) -> None:
    with h.edges.engine.begin() as conn:
        conn.execute(t.company.update().values(phone_region="BE"))


def type_numbers(h: Harness) -> None:
    for name in OWN[:5]:
        h.edit_item(name, mobilePhone="06 5550 1234")


def rename(h: Harness) -> None:
    for n, name in enumerate(OWN):
        h.edit_item(name, displayName=f"Oude vriend {n:02}")


def make_again(h: Harness) -> None:
    """The same addresses under new ids, as after a move of the mailbox or by an import."""
    for name in OWN:
        h.delete_item(name)
    for name in OWN:
        h.add_item(**item(name, jobTitle="Keeper"))


CHANGES = [add_company, set_region, type_numbers, rename, make_again]


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
@pytest.mark.parametrize("answer", ["nobody", "rejected"])
def test_a_held_create_is_not_made_whatever_becomes_of_its_values(own_folder, change, answer):
    """G1, I19: before an approval nothing is created, and a rejection outlives every change of values."""
    h = own_folder
    h.add_profiles()
    assert h.full().reasons()["first_sync_of_users_folder"] == 15
    if answer == "rejected":
        decide(h, approve=False)
        h.run()
    before = len(h.contacts())
    change(h)
    for mode in ("incremental", "full", "incremental"):
        assert "created_business_central" not in h.run(mode).writes
    assert len(h.contacts()) == before + (1 if change is add_company else 0)
    assert approval.list_requests(h.edges) == [] or answer == "nobody"


def test_a_rejected_create_that_was_not_planned_for_a_while_stays_rejected(own_folder):
    """G1: another direction, the loss of an address, and a filter end neither a hold nor a rejection."""
    h = own_folder
    h.add_profiles()
    h.full()
    decide(h, approve=False)
    h.run()
    for settings in ({"direction": "to_outlook"}, {"direction": "both"}):
        h.add_profiles(**settings)
        assert h.run().writes == {}
    h.edit_item(OWN[0], emailAddresses=[])
    h.run()
    h.edit_item(OWN[0], emailAddresses=[{"address": "nieuw@prive.example", "name": "x"}])
    h.run()
    assert made_in_bc(h, OWN) == set()
    assert approval.list_requests(h.edges) == []


def test_a_rejected_create_ends_by_a_coupling_or_when_somebody_asks_again(own_folder):
    """G1: BC gets a person with that address, and the pair syncs; the others are asked about once more."""
    h = own_folder
    h.add_profiles()
    h.full()
    decide(h, approve=False)
    h.run()
    h.add_contact(OWN[3], "vriend.03@prive.example")
    h.run()
    h.edit_item(OWN[3], jobTitle="Trainer")
    assert h.run().writes == {"updated_business_central": 1}
    with h.edges.engine.begin() as conn:
        assert holds.ask_again(conn, 1) is not None
    h.run()
    decide(h, approve=True)
    assert h.run().writes == {"created_business_central": 14}
    assert h.run().writes == {}
    assert hold_states(h) == ["applied"]


def test_a_held_create_ends_when_its_item_is_gone_and_no_other_has_its_address(own_folder):
    """G1: nobody is asked about what is not there; a twin of the address keeps the question."""
    h = own_folder
    h.add_profiles()
    h.full()
    h.add_item(**item(OWN[1], jobTitle="Tweeling"))
    h.run()
    for name in OWN:
        h.in_outlook("DELETE", f"contacts/{h.items()[name]['id']}")
    h.run()
    with read(h.edges.engine) as conn:
        left = conn.execute(select(t.held_action.c.state)).scalars().all()
    assert left == ["open"] * len(left)
    assert len(left) <= 1
    assert h.run().writes == {}
    assert made_in_bc(h, OWN) == set()


def test_a_rejected_overwrite_is_asked_again_once_its_value_is_another_one(make_harness):
    """G1: neither applied nor dropped; its other fields are sent in the same run (rules 8.3)."""
    h = make_harness(world(*(person(f"Persoon {n}") for n in range(6))), guard_overwrites=2)
    h.add_profiles()
    h.full()
    for n in range(6):
        h.edit_contact(f"Persoon {n}", jobTitle=f"Chef {n}", city="Delft")
        h.edit_item(f"Persoon {n}", jobTitle=f"Baas {n}")
    ran = h.run()
    assert ran.reasons() == {"too_many_overwrites": 6}
    assert ran.writes == {"updated_outlook": 6}, "the city goes"
    items = h.items()
    assert {items[f"Persoon {n}"]["businessAddress"]["city"] for n in range(6)} == {"Delft"}
    assert {items[f"Persoon {n}"]["jobTitle"] for n in range(6)} == {f"Baas {n}" for n in range(6)}
    decide(h, approve=False)
    assert h.run().writes == {}
    h.edit_contact("Persoon 4", jobTitle="Directeur")
    assert h.run().writes == {}
    assert h.items()["Persoon 4"]["jobTitle"] == "Baas 4"
    decide(h, approve=True)
    assert h.run().writes == {"updated_outlook": 1}
    assert h.items()["Persoon 4"]["jobTitle"] == "Directeur"
    assert h.run().reasons() == {"rejected_by_person": 5}


# -- G2: the first look ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("first", ["to_outlook", "to_business_central"])
def test_a_first_sync_in_another_direction_does_not_use_up_the_question(own_folder, first):
    """G2: nothing of the first look is created before somebody decided about the folder."""
    h = own_folder
    h.add_profiles(direction=first)
    h.full()
    h.run()
    h.add_profiles(direction="both")
    for mode in ("incremental", "full"):
        assert "created_business_central" not in h.run(mode).writes
    assert made_in_bc(h, OWN) == set()
    decide(h, approve=True)
    assert h.run().writes == {"created_business_central": 15}


@pytest.mark.parametrize("approve", [True, False])
def test_an_answer_about_a_folder_covers_what_could_not_go_yet(make_harness, approve):
    """G2: approved, it goes later as any new item; rejected, it stays rejected."""
    late = {"displayName": "Zonder adres", "emailAddresses": []}
    h = make_harness(with_folder(items=[*(item(name) for name in OWN[:3]), late]))
    h.add_profiles()
    h.full()
    decide(h, approve=approve)
    h.run()
    assert made_in_bc(h, OWN) == (set(OWN[:3]) if approve else set())
    h.edit_item("Zonder adres", emailAddresses=[{"address": "laat@prive.example", "name": "x"}])
    h.run()
    assert ("Zonder adres" in h.contacts()) is approve
    h.add_item(**item("Nieuwe klant"))
    assert h.run().writes == {"created_business_central": 1}, "what comes later is no first look"


def test_a_late_item_of_a_first_look_is_asked_about_when_nothing_else_was(make_harness):
    """G2: the question comes with the first item that could go."""
    late = {"displayName": "Zonder adres", "emailAddresses": []}
    h = make_harness(with_folder(items=[late]))
    h.add_profiles()
    h.full()
    assert approval.list_requests(h.edges) == []
    h.edit_item("Zonder adres", emailAddresses=[{"address": "laat@prive.example", "name": "x"}])
    assert h.run().reasons() == {"first_sync_of_users_folder": 1}
    decide(h, approve=True)
    assert h.run().writes == {"created_business_central": 1}


def test_a_dry_run_before_the_first_sync_holds_what_the_real_one_holds(own_folder):
    h = own_folder
    h.add_profiles()
    assert h.full(dry_run=True).report.outcomes["held"] == 15
    with read(h.edges.engine) as conn:
        assert conn.execute(select(t.held_action)).all() == []
    assert h.full().report.outcomes["held"] == 15


# -- G3, G4, G10: limits ---------------------------------------------------------------------------------------------


def two_of_four(make_harness: Any, **settings: Any) -> Harness:
    """Two profiles with different contacts of one company, in both of which four edits wait for BC."""
    names = [f"{side} {n}" for side in "AB" for n in range(4)]
    people = [person(name, jobTitle=name[0]) for name in names]
    h = make_harness(world(*people, mailboxes=[ANNA, BRAM]), **settings)
    h.add_profiles(ANNA, filter={"Name": "A*"})
    h.add_profiles(BRAM, filter={"Name": "B*"})
    h.full()
    for name in names:
        h.edit_item(name, ANNA if name[0] == "A" else BRAM, jobTitle="Inkoper")
    return h


def test_two_profiles_at_the_same_moment_share_the_limit_of_a_company(
    make_harness, monkeypatch, database_kind
):
    """G3: counted and reserved in one transaction: who comes second sees what the first is to write."""
    h = two_of_four(make_harness, guard_company_writes=5)
    barrier = threading.Barrier(2, timeout=20)
    count, met = holding.read_circumstances, set()

    def meet(*args: Any, **facts: Any) -> Any:
        # SQLite lets one transaction at a time write, and this is one: there is nobody to meet.
        if database_kind == "postgresql" and threading.get_ident() not in met:
            met.add(threading.get_ident())
            barrier.wait()
        return count(*args, **facts)

    monkeypatch.setattr(holding, "read_circumstances", meet)
    plan = pipeline.plan_run(h.edges, model.RunRequest("together", "incremental"))
    for company in plan.companies:
        pipeline.extract_business_central(h.edges, "together", company)
    tasks = [
        threading.Thread(target=pipeline.sync_profile, args=(h.open(), "together", key)) for key in plan.tasks
    ]
    for task in tasks:
        task.start()
    for task in tasks:
        task.join(60)
    report = pipeline.finish_run(h.edges, "together")
    assert report.writes == {"updated_business_central": 4}
    assert sum(contact["jobTitle"] == "Inkoper" for contact in h.contacts().values()) == 4


def test_a_plan_that_ends_gives_back_what_it_did_not_write(make_harness):
    """G3: the edits of a profile that BC refused leave room for the other one in the next hour."""
    h = two_of_four(make_harness, guard_company_writes=5)
    h.sim.add_fault(
        service="bc", kind="status", status=400, method="PATCH", path="contacts", count=20, moment="before"
    )
    h.run(profiles=[ANNA])
    h.sim.clear_faults()
    assert h.run(profiles=[BRAM]).writes == {"updated_business_central": 4}


def test_the_limit_of_a_company_looks_an_hour_back_and_not_at_one_run(make_harness):
    """G10: how often runs come changes no limit, and an hour later there is room again."""
    h = two_of_four(make_harness, guard_company_writes=5)
    assert h.run(profiles=[ANNA]).writes == {"updated_business_central": 4}
    assert h.run(profiles=[BRAM]).reasons() == {"too_many_company_writes": 4}
    clock.set_offset(h.edges.engine, 3_700)
    h.edit_item("A 0", ANNA, jobTitle="Verkoper")
    assert h.run(profiles=[ANNA]).writes == {"updated_business_central": 1}


def test_what_a_person_approved_does_not_count_for_the_company(make_harness):
    """G4: another profile's edit is not held for what was approved."""
    h = two_of_four(make_harness, guard_company_writes=3)
    assert h.run(profiles=[ANNA]).reasons() == {"too_many_company_writes": 4}
    decide(h, approve=True)
    assert h.run(profiles=[ANNA]).writes == {"updated_business_central": 4}
    for n in range(3):
        h.edit_contact(f"B {n}", jobTitle="Inkoper")
    assert h.run(profiles=[BRAM]).writes == {"updated_business_central": 1}


def test_cards_that_a_phone_adds_a_few_a_run_reach_the_limit_of_a_day(make_harness):
    """G10: creates in BC count per contact over a rolling day, whatever a run brings."""
    h = make_harness(world(person("Piet Klant")), guard_creates=20)
    h.add_profiles()
    h.full()
    made = 0
    for minute in range(4):
        for n in range(8):
            h.add_item(**item(f"Kaart {minute} {n}"))
        made += h.run().writes.get("created_business_central", 0)
    assert made == 16
    assert h.run().reasons() == {"too_many_creates": 16}
    clock.set_offset(h.edges.engine, 90_000)
    h.add_item(**item("Later"))
    assert h.run().reasons() == {"too_many_creates": 16}, "what is held waits for a person; the new one goes"
    assert "Later" in h.contacts()


def test_overwrites_of_several_runs_add_up(make_harness):
    """G10: replaced values count per contact over a rolling day too."""
    h = make_harness(world(*(person(f"Persoon {n}") for n in range(6))), guard_overwrites=3)
    h.add_profiles()
    h.full()
    for n in range(3):
        h.edit_contact(f"Persoon {n}", jobTitle="Chef")
        h.edit_item(f"Persoon {n}", jobTitle="Baas")
    assert h.run().writes == {"updated_outlook": 3}
    h.edit_contact("Persoon 5", jobTitle="Chef")
    h.edit_item("Persoon 5", jobTitle="Baas")
    assert h.run().reasons() == {"too_many_overwrites": 1}


# -- G5: an emptied folder -------------------------------------------------------------------------------------------


@pytest.fixture(params=["recreate", "stay_away"])
def emptied(request, make_harness) -> Harness:
    h = make_harness(world(*(person(f"Persoon {n:02}") for n in range(12))))
    h.add_profiles(policies={"deleted_in_outlook": request.param})
    h.full()
    for name in list(h.items()):
        h.delete_item(name)
    assert h.run().reasons() == {"folder_suddenly_empty": 12}
    return h


def test_an_emptied_folder_is_asked_about_whatever_the_policy(emptied):
    """G5: bring them back."""
    assert emptied.run().reasons() == {"folder_suddenly_empty": 12}
    decide(emptied, approve=True)
    assert emptied.run().writes == {"created_outlook": 12}
    assert len(emptied.items()) == 12
    assert emptied.run().writes == {}


def test_contacts_of_an_emptied_folder_are_left_away_whatever_the_policy(emptied):
    """G5: leave them away; asked again, they can still be brought back."""
    decide(emptied, approve=False)
    assert emptied.run().writes == {}
    with read(emptied.edges.engine) as conn:
        assert set(conn.scalars(select(t.coupling.c.state))) == {"away"}
    assert emptied.full().writes == {}
    with emptied.edges.engine.begin() as conn:
        assert holds.ask_again(conn, 1)
    assert emptied.run().reasons() == {"folder_suddenly_empty": 12}
    decide(emptied, approve=True)
    assert emptied.run().writes == {"created_outlook": 12}


def test_what_changed_since_the_question_is_asked_about_anew(emptied):
    """G5, G9: leaving away is an answer about what was shown, too."""
    with read(emptied.edges.engine) as conn:
        [hold] = holds.read_holds(conn, holds.HoldState.OPEN)
    approval.ask(emptied.edges, hold.id, hold.asked, "a")
    emptied.edit_contact("Persoon 03", jobTitle="Inkoper")
    emptied.run()
    said = Decision(False, "eva", "person", "2026-03-02T09:00:00.000Z")
    approval.decide(emptied.edges, hold.id, hold.asked, "a", said)
    emptied.run()
    assert emptied.run().reasons()["folder_suddenly_empty"] == 1
    decide(emptied, approve=True)
    assert emptied.run().writes == {"created_outlook": 1}


def test_one_item_that_comes_back_does_not_decide_about_the_others(emptied):
    """G5: the folder is not empty any more; what was asked about goes on waiting."""
    emptied.add_item(**item("Iemand anders"))
    ran = emptied.run()
    assert ran.writes == {"created_business_central": 1}
    assert ran.reasons() == {"folder_suddenly_empty": 12}


# -- G6, G9: questions -----------------------------------------------------------------------------------------------


def test_a_thousand_open_holds_are_asked_about_in_turn_and_decided_at_once(
    make_harness, database_url, capsys
):
    """G6: at most 500 questions a run, the oldest first; one decision covers all of one cause."""
    h = make_harness(world())
    h.add_profiles()
    h.full()
    with h.edges.engine.begin() as conn:
        profile = conn.scalar(select(t.sync_profile.c.id))
        row = {"profile": profile, "run": "r", "state": "open", "reasons": '["too_many_deletes"]'}
        made = [
            row | {"hash": f"{n:064}", "opened_at": f"2026-03-01T00:00:{n % 60:02}.{n // 60:03}Z"}
            for n in range(1101)
        ]
        conn.execute(insert(t.hold), made)
    asked = approval.list_requests(h.edges)
    assert len(asked) == 500
    with h.edges.engine.begin() as conn:
        for each in asked:
            holds.mark_requested(conn, holds.read_hold(conn, each["hold"]))
    assert len(approval.list_requests(h.edges)) == 500
    decide_ = ["--database", database_url, "holds", "approve", "too_many_deletes", "--by", "eva"]
    assert cli.main([*decide_, "--company", COMPANY]) == 0
    assert "1101 holds approved" in capsys.readouterr().out
    assert approval.list_requests(h.edges) == []
    assert cli.main(decide_) == 1


def test_a_hold_that_changes_in_each_run_is_one_question(own_folder):
    """G9: fifteen held creates, one edited per run: the same hold, the same request, nothing void."""
    h = own_folder
    h.add_profiles()
    h.full()
    [first] = approval.list_requests(h.edges)
    for n in range(3):
        h.edit_item(OWN[n], jobTitle="Keeper")
        h.run()
        assert approval.list_requests(h.edges) == [first]
    approval.ask(h.edges, first["hold"], first["asked"], "a")
    for n in range(3, 5):
        h.edit_item(OWN[n], jobTitle="Keeper")
        h.run()
        assert approval.list_requests(h.edges) == []
    said = Decision(True, "eva", "person", "2026-03-02T09:00:00.000Z")
    plan: Ran | Any = approval.decide(h.edges, first["hold"], first["asked"], "a", said)
    assert not plan.skip_reason
    assert h.run().writes == {"created_business_central": 13}
    assert made_in_bc(h, OWN) == set(OWN) - {OWN[3], OWN[4]}
    [rest] = approval.list_requests(h.edges)
    assert rest["hold"] != first["hold"]
    decide(h, approve=True)
    assert h.run().writes == {"created_business_central": 2}


# -- a side that went back -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("reason", [HoldReason.BC_WENT_BACK, HoldReason.RESTORED])
def test_a_side_that_went_back_is_held_as_a_whole_until_somebody_approves(make_harness, reason):
    """Rules 2.8 and 5: each difference is a conflict, nothing is written, and the reason says which side it is."""
    h = make_harness(world(*(person(f"Persoon {n}") for n in range(3))))
    h.add_profiles()
    h.full()
    h.edit_item("Persoon 0", jobTitle="Directeur")
    with h.edges.engine.begin() as conn:
        companies.hold_next_runs(conn, conn.scalar(select(t.company.c.id)), reason)
    for _ in range(2):
        ran = h.run()
        assert ran.writes == {}
        assert ran.reasons() == {reason: 1}
    with read(h.edges.engine) as conn:
        [change] = conn.execute(
            select(t.change.c.action, t.change.c.cause).where(t.change.c.outcome == "held")
        )
    assert tuple(change) == ("update_outlook", "conflict")
    decide(h, approve=True)
    assert h.run().writes == {"updated_outlook": 1}
    h.edit_item("Persoon 1", jobTitle="Chef")
    assert h.run().writes == {"updated_business_central": 1}, "nothing is restored any more"
