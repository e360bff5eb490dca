"""Whole runs of single fields: what Outlook's arrays, name parts and odd values come to on either side (rules 6)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.sync.harness import Harness, person, world

OWN = {"address": "prive@thuis.example", "name": "prive"}


def email(address: str, name: str = "x") -> dict[str, str]:
    return {"address": address, "name": name}


def addresses(h: Harness, name: str = "Jan Jansen") -> list[str]:
    return [entry.get("address", "") for entry in h.items()[name].get("emailAddresses", [])]


def use(h: Harness, field_profile: str) -> Harness:
    """Read Business Central through another page from now on, as the Connection says."""
    h.edges.business_central_settings = replace(
        h.edges.business_central_settings, field_profile=field_profile
    )
    return h


def settled(h: Harness) -> None:
    """After a run everything agrees: neither an incremental nor a full run writes anything."""
    h.run()
    h.sim.reset_counters()
    assert h.run().writes == {}
    assert h.full().writes == {}
    assert h.app_writes() == 0


@pytest.fixture
def make_extended(make_harness: Any) -> Any:
    def make(*contacts: dict[str, Any], **fields: Any) -> Harness:
        h = use(make_harness(world(*contacts)), "extended")
        h.add_profiles(**fields)
        assert h.full().errors == []
        return h

    return make


# -- F1: E-Mail 2 ----------------------------------------------------------------------------------------------------


@pytest.fixture
def second(make_extended: Any) -> Harness:
    """Jan has two addresses in BC, and one of the user's own behind them in Outlook."""
    h: Harness = make_extended(person("Jan Jansen", email2="jan@tweede.example"))
    assert addresses(h) == ["jan.jansen@klant.example", "jan@tweede.example"]
    entries = [*h.items()["Jan Jansen"]["emailAddresses"], OWN]
    h.edit_item("Jan Jansen", emailAddresses=entries)
    settled(h)
    return h


def test_f1_a_second_address_changed_in_bc_is_changed_in_its_place(second):
    second.edit_contact("Jan Jansen", email2="jan@derde.example")
    assert second.run().writes == {"updated_outlook": 1}
    assert addresses(second) == ["jan.jansen@klant.example", "jan@derde.example", OWN["address"]]
    settled(second)


def test_f1_a_second_address_cleared_in_bc_goes_and_comes_back(second):
    second.edit_contact("Jan Jansen", email2="")
    assert second.run().writes == {"updated_outlook": 1}
    assert addresses(second) == ["jan.jansen@klant.example", OWN["address"]]
    settled(second)
    assert second.contacts()["Jan Jansen"]["email2"] == ""
    second.edit_contact("Jan Jansen", email2="jan@terug.example")
    assert second.run().writes == {"updated_outlook": 1}
    assert addresses(second) == ["jan.jansen@klant.example", OWN["address"], "jan@terug.example"]
    settled(second)


def test_f1_a_second_address_edited_in_outlook_reaches_bc(second):
    for address in ("jan@nieuw.example", "jan@nieuwer.example"):
        second.edit_item(
            "Jan Jansen", emailAddresses=[email("jan.jansen@klant.example"), email(address), OWN]
        )
        assert second.run().writes == {"updated_business_central": 1}
        assert second.contacts()["Jan Jansen"]["email2"] == address
        settled(second)
    second.edit_contact("Jan Jansen", email2="jan@bc.example")
    second.run()
    assert addresses(second) == ["jan.jansen@klant.example", "jan@bc.example", OWN["address"]]
    settled(second)


def test_f1_a_second_address_removed_in_outlook_is_cleared_in_bc(second):
    second.edit_item("Jan Jansen", emailAddresses=[email("jan.jansen@klant.example"), OWN])
    assert second.run().writes == {"updated_business_central": 1}
    assert second.contacts()["Jan Jansen"]["email2"] == ""
    assert addresses(second) == ["jan.jansen@klant.example", OWN["address"]]
    settled(second)


def test_f1_addresses_that_change_places_change_places_in_bc(second):
    entries = second.items()["Jan Jansen"]["emailAddresses"]
    second.edit_item("Jan Jansen", emailAddresses=[entries[1], entries[0], OWN])
    assert second.run().writes == {"updated_business_central": 1}
    jan = second.contacts()["Jan Jansen"]
    assert (jan["email"], jan["email2"]) == ("jan@tweede.example", "jan.jansen@klant.example")
    settled(second)


def test_f1_both_addresses_change_on_different_sides(second):
    second.edit_contact("Jan Jansen", email="jan@hoofd.example")
    second.edit_item(
        "Jan Jansen", emailAddresses=[email("jan.jansen@klant.example"), email("jan@zij.example"), OWN]
    )
    second.run()
    assert addresses(second) == ["jan@hoofd.example", "jan@zij.example", OWN["address"]]
    jan = second.contacts()["Jan Jansen"]
    assert (jan["email"], jan["email2"]) == ("jan@hoofd.example", "jan@zij.example")
    settled(second)


def test_f1_a_second_address_that_waits_in_bc_is_not_taken_for_blank(second):
    """An edit that BC refuses, and the next one of the same entry, are edits of E-Mail 2; nothing is cleared."""
    for address in ("x" * 60 + "@te-lang-voor-bc.example", "y" * 60 + "@te-lang-voor-bc.example"):
        second.edit_item(
            "Jan Jansen", emailAddresses=[email("jan.jansen@klant.example"), email(address), OWN]
        )
        assert second.run().reasons() == {"too_long": 1}
        assert second.contacts()["Jan Jansen"]["email2"] == "jan@tweede.example"
    second.edit_item("Jan Jansen", emailAddresses=[email("jan.jansen@klant.example"), email("j@k.example"), OWN])
    second.run()
    assert second.contacts()["Jan Jansen"]["email2"] == "j@k.example"
    settled(second)


def test_f1_no_slot_is_free_and_the_users_own_stay(make_extended):
    h = make_extended(person("Jan Jansen"))
    own = [OWN, email("club@thuis.example")]
    h.edit_item("Jan Jansen", emailAddresses=[*h.items()["Jan Jansen"]["emailAddresses"], *own])
    settled(h)
    assert h.contacts()["Jan Jansen"]["email2"] == ""  # The user's own addresses are never taken.
    h.edit_contact("Jan Jansen", email2="jan@tweede.example", jobTitle="Inkoper")
    ran = h.run()
    assert ran.reasons() == {"no_free_slot": 1}
    assert h.items()["Jan Jansen"]["jobTitle"] == "Inkoper"
    assert addresses(h)[1:] == ["prive@thuis.example", "club@thuis.example"]
    h.edit_item("Jan Jansen", emailAddresses=[h.items()["Jan Jansen"]["emailAddresses"][0], OWN])
    h.run()
    assert addresses(h) == ["jan.jansen@klant.example", OWN["address"], "jan@tweede.example"]
    settled(h)


def test_f1_a_lost_staging_database_finds_the_second_address_by_value(second, tmp_path):
    """For pairs that agree nothing is written (rules 2.8), and the second address is known again."""
    lost = use(Harness(second.sim, f"sqlite:///{tmp_path}/lost.db"), "extended")
    lost.add_profiles()
    try:
        assert lost.full().writes == {}
        lost.edit_contact("Jan Jansen", email2="jan@derde.example")
        lost.run()
        assert addresses(lost) == ["jan.jansen@klant.example", "jan@derde.example", OWN["address"]]
        settled(lost)
    finally:
        lost.close()


def test_f1_a_cleared_phone_does_not_make_the_users_second_one_ours(make_harness):
    """F1, the same in the other array: what moves up to the first slot after our own write stays the user's."""
    h = make_harness(world(person("Jan Jansen", phoneNumber="020 555 0110")))
    h.add_profiles()
    h.full()
    h.edit_item("Jan Jansen", businessPhones=["020 555 0110", "010 555 0199"])
    h.run()
    h.edit_contact("Jan Jansen", phoneNumber="")
    h.run()
    assert h.items()["Jan Jansen"]["businessPhones"] == ["010 555 0199"]
    h.edit_item("Jan Jansen", jobTitle="Inkoper")
    h.run()
    assert h.contacts()["Jan Jansen"]["phoneNumber"] == ""
    h.edit_contact("Jan Jansen", phoneNumber="020 555 0111")
    h.run()
    assert h.items()["Jan Jansen"]["businessPhones"] == ["020 555 0111", "010 555 0199"]
    settled(h)
