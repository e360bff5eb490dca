"""Rules 2.1 and 7.1 to 7.3: what stays away, and what an edit becomes whose contact leaves the scope."""

from __future__ import annotations

import pytest
from sqlalchemy import select

from sync_lib.store import tables as t
from sync_lib.store.engine import read
from tests.sync.harness import Harness, person, settled, world
from tests.sync.jan_and_piet import Make, jan_and_piet, states


@pytest.fixture
def database_kind() -> str:
    """One database is enough here: where the two differ is tested with the store."""
    return "sqlite"


@pytest.fixture
def make(make_harness) -> Make:
    return jan_and_piet(make_harness)


# -- what stays away (7.1, 2.1) --------------------------------------------------------------------------------------


def stays_away(h: Harness) -> None:
    ran = h.run()
    assert (ran.writes, ran.reasons()) == ({}, {"stay_away": 1})
    assert h.full().writes == {}
    assert set(h.items()) == {"Piet Smit"}
    assert states(h) == ["active", "away"]


@pytest.mark.parametrize("deleted", ["before", "while out of scope"])
@pytest.mark.parametrize("leaves", ["filter", "value", "type", "block", "address"])
def test_what_stays_away_does_so_when_it_leaves_and_comes_back(make, deleted, leaves):
    """I6: a colleague's delete outlives the filter, a privacy block, another type and a lost address."""
    kept = {"deleted_in_outlook": "stay_away", "left_scope": "keep"}
    h = make(filter={"City": "Zaandam"}, policies=kept)
    # A block deletes the item by itself, so that only what was away before stays away after it.
    if deleted == "before" or leaves == "block":
        h.delete_item("Jan Jansen")
        h.run()
    _change(h, leaves, 0, kept)
    h.run()
    if deleted != "before" and leaves != "block":
        h.delete_item("Jan Jansen")
        h.run()
    assert "away" in states(h)
    h.full()
    _change(h, leaves, 1, kept)
    stays_away(h)
    h.edit_contact("Jan Jansen", jobTitle="Directeur")
    assert h.run().writes == {"created_outlook": 1}
    settled(h)


def _change(h: Harness, leaves: str, back: int, policies: dict[str, str]) -> None:
    """Let Jan leave the scope, or come back into it."""
    if leaves == "filter":
        h.add_profiles(filter=({"Name": "Piet*"}, {"City": "Zaandam"})[back], policies=policies)
        return
    name, values = {
        "value": ("city", ("Haarlem", "Zaandam")),
        "type": ("type", ("Company", "Person")),
        "block": ("privacyBlocked", (True, False)),
        "address": ("email", ("", "jan.jansen@klant.example")),
    }[leaves]
    h.edit_contact("Jan Jansen", **{name: values[back]})


def test_what_stays_away_is_not_woken_by_another_form_of_the_same_value(make):
    """I6: normal forms are compared, field by field."""
    h = make(policies={"deleted_in_outlook": "stay_away"})
    h.edit_contact("Jan Jansen", phoneNumber="020 555 0110")
    h.run()
    h.delete_item("Jan Jansen")
    h.run()
    h.edit_contact("Jan Jansen", phoneNumber="+31 (0)20-5550110")
    stays_away(h)


def test_a_delete_of_ours_without_an_answer_is_no_wish_to_stay_away(make):
    """I6: the block's delete is carried out, its answer lost: the contact comes back with its unblocking."""
    h = make(policies={"deleted_in_outlook": "stay_away"})
    h.edit_contact("Jan Jansen", privacyBlocked=True)
    h.sim.add_fault(name="F4", service="graph", method="DELETE", part=True, count=None)
    h.run()
    h.sim.clear_faults()
    h.run()
    assert states(h) == ["active"]
    h.edit_contact("Jan Jansen", privacyBlocked=False)
    assert h.run().writes == {"created_outlook": 1}
    settled(h)


def test_what_stays_away_ends_with_the_contact_in_bc(make):
    """I6: nothing is left of it once BC has the contact no more."""
    h = make(policies={"deleted_in_outlook": "stay_away"})
    h.delete_item("Jan Jansen")
    h.run()
    h.delete_contact("Jan Jansen")
    assert h.run().writes == {}
    assert states(h) == ["active"]


# -- an edit in the hour in which the contact leaves (7.3b, c, d) ------------------------------------------------------


@pytest.mark.parametrize("policy", ["delete", "keep"])
def test_an_edit_reaches_bc_before_its_contact_leaves(make, policy):
    """F9: the edit goes to BC first; the next run deletes the item, or keeps it."""
    h = make(filter={"City": "Zaandam"}, policies={"left_scope": policy})
    h.edit_item("Jan Jansen", mobilePhone="06 5550 1234", businessHomePage="https://jansen.example")
    h.edit_contact("Jan Jansen", city="Haarlem")
    assert h.run().writes == {"updated_business_central": 1, "updated_outlook": 1}
    jan = h.contacts()["Jan Jansen"]
    assert (jan["mobilePhoneNumber"], jan["website"]) == ("06 5550 1234", "https://jansen.example")
    assert "Jan Jansen" in h.items(), "in this run nothing is deleted"
    assert h.run().writes == ({"deleted_outlook": 1} if policy == "delete" else {})
    assert ("Jan Jansen" in h.items()) == (policy == "keep")
    settled(h)


def test_of_a_conflict_bc_wins_before_the_contact_leaves(make):
    """F9: both changed one field: BC's value stays, the other one is in the log."""
    h = make(filter={"City": "Zaandam"})
    h.edit_item("Jan Jansen", jobTitle="van Outlook")
    h.edit_contact("Jan Jansen", city="Haarlem", jobTitle="van BC")
    assert h.run().writes == {"updated_outlook": 1}
    with read(h.edges.engine) as conn:
        assert '{"job_title":"van Outlook"}' in list(conn.scalars(select(t.change.c.losing)))
    assert h.run().writes == {"deleted_outlook": 1}
    assert h.contacts()["Jan Jansen"]["jobTitle"] == "van BC"
    settled(h)


def test_an_edit_that_brings_the_contact_back_into_the_filter_is_synced_on(make):
    """F9: the next comparison judges the scope anew."""
    h = make(filter={"Job Title": "Inkoper|Directeur|''"})
    h.edit_item("Jan Jansen", mobilePhone="06 5550 1234")
    h.edit_contact("Jan Jansen", jobTitle="Chauffeur")
    h.run()
    h.edit_item("Jan Jansen", jobTitle="Directeur")
    assert h.run().writes == {"updated_business_central": 1}
    settled(h)
    assert states(h) == ["active", "active"]


def test_an_edit_that_waits_keeps_the_pair(make_harness):
    """F9: while the guard holds the edit, or BC does not answer, nothing is deleted or released."""
    h = make_harness(world(person("Jan Jansen", city="Zaandam"), person("Piet Smit", city="Zaandam")))
    h.add_profiles(filter={"City": "Zaandam"})
    h.full()
    h.edit_item("Jan Jansen", mobilePhone="06 5550 1234")
    h.edit_contact("Jan Jansen", city="Haarlem")
    h.sim.add_fault(name="F3", service="bc", method="PATCH", count=None)
    h.run()
    h.run()
    assert "Jan Jansen" in h.items()
    assert states(h) == ["active", "active"]
    h.sim.clear_faults()
    h.run()
    assert h.contacts()["Jan Jansen"]["mobilePhoneNumber"] == "06 5550 1234"
    h.run()
    assert set(h.items()) == {"Piet Smit"}
    settled(h)


@pytest.mark.parametrize("why", ["direction", "value", "name", "type", "version"])
def test_an_edit_that_may_not_go_keeps_its_item(make, why):
    """F9: kept and released: an edit for which the way is closed, that BC refuses, or that is of no mapped field."""
    h = make(filter={"City": "Zaandam"}, direction="to_outlook" if why == "direction" else "both")
    edit = {
        "value": {"jobTitle": "x" * 31},
        "name": {"displayName": None, "givenName": None, "surname": None},
        "version": {"personalNotes": "Belt liever niet op vrijdag."},
    }
    h.edit_item("Jan Jansen", **edit.get(why, {"mobilePhone": "06 5550 1234"}))
    h.edit_contact("Jan Jansen", **({"type": "Company"} if why == "type" else {"city": "Haarlem"}))
    ran = h.run()
    assert ran.writes == {}
    assert ran.reasons() == {"left_scope_edited_in_outlook": 1}
    assert states(h) == ["active", "released"]
    assert len(h.items()) == 2
    settled(h)


def test_an_edit_that_waited_is_not_lost_when_bc_was_written_to_the_item(make):
    """F9: the version is ours, and a field of the item still differs from what was agreed."""
    h = make(filter={"City": "Zaandam"})
    h.edit_item("Jan Jansen", mobilePhone="06 5550 1234")
    h.edit_contact("Jan Jansen", jobTitle="Directeur")
    h.sim.add_fault(name="F3", service="bc", method="PATCH", count=None)
    h.run()
    h.sim.clear_faults()
    h.edit_contact("Jan Jansen", city="Haarlem")
    h.run()
    assert h.contacts()["Jan Jansen"]["mobilePhoneNumber"] == "06 5550 1234"
    h.run()
    assert set(h.items()) == {"Piet Smit"}
