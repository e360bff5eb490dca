"""What users edit, and where it ends: conflicts, identity, the user's own values, filters, rejects."""

from __future__ import annotations

import pytest
from sqlalchemy import select

from sync_lib.store import tables as t
from sync_lib.store.engine import read
from tests.sync.harness import Harness, person, settled, world


def email(address: str, name: str = "x") -> dict[str, str]:
    return {"address": address, "name": name}


@pytest.fixture
def synced(make_harness) -> Harness:
    h = make_harness(world(person("Jan Jansen", phoneNumber="020 555 0110"), person("Piet de Vries")))
    h.add_profiles()
    assert h.full().errors == []
    return h


def test_conflict_bc_wins_and_the_losing_value_is_kept(synced):
    synced.edit_contact("Jan Jansen", jobTitle="van BC")
    synced.edit_item("Jan Jansen", jobTitle="van Outlook")
    ran = synced.run()
    assert ran.report.outcomes["conflict"] == 1
    assert synced.items()["Jan Jansen"]["jobTitle"] == "van BC"
    assert synced.contacts()["Jan Jansen"]["jobTitle"] == "van BC"
    with read(synced.edges.engine) as conn:
        assert '{"job_title":"van Outlook"}' in list(conn.scalars(select(t.change.c.losing)))
    settled(synced)


def test_different_fields_edited_on_both_sides_are_merged(synced):
    synced.edit_contact("Jan Jansen", jobTitle="Inkoper")
    synced.edit_item("Jan Jansen", mobilePhone="06 5550 1111")
    ran = synced.run()
    assert ran.writes == {"updated_outlook": 1, "updated_business_central": 1}
    assert synced.items()["Jan Jansen"]["jobTitle"] == "Inkoper"
    assert synced.contacts()["Jan Jansen"]["mobilePhoneNumber"] == "06 5550 1111"
    settled(synced)


@pytest.mark.parametrize("side", ["bc", "outlook"])
def test_a_changed_address_makes_no_second_contact(synced, side):
    if side == "bc":
        synced.edit_contact("Jan Jansen", email="nieuw@klant.example")
    else:
        synced.edit_item("Jan Jansen", emailAddresses=[email("nieuw@klant.example")])
    synced.run()
    assert len(synced.items()) == len(synced.contacts()) == 2
    assert synced.items()["Jan Jansen"]["emailAddresses"][0]["address"] == "nieuw@klant.example"
    assert synced.contacts()["Jan Jansen"]["email"] == "nieuw@klant.example"
    settled(synced)


def test_the_users_own_values_stay(synced):
    jan = synced.items()["Jan Jansen"]
    synced.edit_item(
        "Jan Jansen",
        emailAddresses=[jan["emailAddresses"][0], email("prive@thuis.example")],
        businessPhones=[jan["businessPhones"][0], "010 555 0199"],
        categories=["Business Central", "Golf"],
        personalNotes="niet vergeten",
    )
    synced.in_outlook(
        "POST", "contacts", {"displayName": "Prive", "emailAddresses": [email("p@thuis.example")]}
    )
    synced.edit_contact("Jan Jansen", email="jan@nieuw.example", phoneNumber="020 555 0222")
    synced.run()
    jan = synced.items()["Jan Jansen"]
    assert [entry["address"] for entry in jan["emailAddresses"]] == [
        "jan@nieuw.example",
        "prive@thuis.example",
    ]
    assert jan["businessPhones"] == ["020 555 0222", "010 555 0199"]
    assert jan["categories"] == ["Business Central", "Golf"]
    assert jan["personalNotes"] == "niet vergeten"
    assert set(synced.items(folder="Contacts")) == {"Prive"}
    assert "Prive" not in synced.contacts()
    settled(synced)


def test_a_phone_written_differently_moves_nothing(synced):
    synced.edit_item("Jan Jansen", businessPhones=["+31 20 5550110"])
    assert synced.run().writes == {}
    assert synced.contacts()["Jan Jansen"]["phoneNumber"] == "020 555 0110"
    settled(synced)


def test_clearing_a_field_clears_the_other_side(synced):
    synced.edit_contact("Jan Jansen", phoneNumber="")
    synced.run()
    assert synced.items()["Jan Jansen"]["businessPhones"] == []
    settled(synced)


def test_rejects_have_reasons(synced):
    synced.add_item(displayName="Zonder Adres")
    synced.add_item(displayName="weg", emailAddresses=[email("naamloos@klant.example")])
    synced.edit_item("weg", displayName=None)
    synced.add_contact("Leeg Adres", email="")
    ran = synced.run()
    assert ran.reasons() == {"email_missing": 2, "name_missing": 1}
    assert ran.writes == {}
    assert ran.verdict.ok
    with read(synced.edges.engine) as conn:
        assert len(conn.execute(select(t.reject)).all()) == 3


def test_a_name_that_nobody_can_see_is_none_on_either_side(synced):
    synced.add_item(displayName="\u200b", emailAddresses=[email("onzichtbaar@klant.example")])
    synced.add_contact("\u200b\u2060", email="leeg@klant.example")
    ran = synced.run()
    assert ran.reasons() == {"name_missing": 2}
    assert ran.writes == {}
    assert ran.verdict.ok


def test_a_value_that_bc_cannot_hold_is_rejected_and_the_rest_goes_on(synced):
    synced.edit_item("Jan Jansen", jobTitle="x" * 31, mobilePhone="06 5550 2222")
    ran = synced.run()
    assert ran.writes == {"updated_business_central": 1}
    assert ran.reasons() == {"too_long": 1}
    assert synced.contacts()["Jan Jansen"]["mobilePhoneNumber"] == "06 5550 2222"
    assert synced.contacts()["Jan Jansen"]["jobTitle"] == ""
    assert synced.items()["Jan Jansen"]["jobTitle"] == "x" * 31
    synced.edit_item("Jan Jansen", jobTitle="kort")
    assert synced.run().writes == {"updated_business_central": 1}
    settled(synced)


def test_privacy_blocked_leaves_outlook_at_once(synced):
    synced.edit_contact("Jan Jansen", privacyBlocked=True)
    assert synced.run().writes == {"deleted_outlook": 1}
    assert set(synced.items()) == {"Piet de Vries"}
    settled(synced)


def test_edited_in_outlook_and_deleted_in_bc_is_kept(synced):
    synced.edit_item("Jan Jansen", jobTitle="Inkoper")
    synced.delete_contact("Jan Jansen")
    ran = synced.run()
    assert ran.writes == {}
    assert ran.reasons() == {"deleted_in_bc_edited_in_outlook": 1}
    assert set(synced.items()) == {"Jan Jansen", "Piet de Vries"}
    assert set(synced.contacts()) == {"Piet de Vries"}
    settled(synced)


def test_leaving_the_filter_and_coming_back(make_harness):
    h = make_harness(world(person("Jan Jansen", city="Zaandam"), person("Piet de Vries", city="Haarlem")))
    h.add_profiles(filter={"City": "Zaandam"})
    h.full()
    assert set(h.items()) == {"Jan Jansen"}
    h.edit_contact("Jan Jansen", city="Utrecht")
    assert h.run().writes == {"deleted_outlook": 1}
    h.edit_contact("Jan Jansen", city="Zaandam")
    h.edit_contact("Piet de Vries", city="Zaandam")
    assert h.run().writes == {"created_outlook": 2}
    settled(h)


def test_each_profile_has_its_own_filter(make_harness):
    boxes = ["anna@voorbeeld.example", "bram@voorbeeld.example"]
    contacts = [person("Jan Jansen", city="Zaandam"), person("Piet de Vries", city="Haarlem")]
    h = make_harness(world(*contacts, mailboxes=boxes))
    h.add_profiles(boxes[0], filter={"City": "Zaandam"})
    h.add_profiles(boxes[1])
    h.full()
    assert set(h.items(boxes[0])) == {"Jan Jansen"}
    assert set(h.items(boxes[1])) == {"Jan Jansen", "Piet de Vries"}
    h.edit_contact("Jan Jansen", jobTitle="Inkoper")
    assert h.run().writes == {"updated_outlook": 2}
    settled(h)


def test_made_outside_the_filter_goes_to_bc_and_stays(make_harness):
    h = make_harness(world(person("Jan Jansen", city="Zaandam")))
    h.add_profiles(filter={"City": "Zaandam"})
    h.full()
    h.add_item(displayName="Els Nieuw", emailAddresses=[email("els@nieuw.example")])
    ran = h.run()
    assert ran.writes == {"created_business_central": 1}
    assert "Els Nieuw" in h.contacts()
    h.edit_contact("Els Nieuw", jobTitle="Inkoper")
    assert h.run().writes == {"updated_outlook": 1}
    settled(h)


def test_adopts_a_hand_made_item_by_its_address(make_harness):
    box = {
        "user_principal_name": "anna@voorbeeld.example",
        "folders": [
            {
                "name": "Business Central",
                "contacts": [
                    {
                        "displayName": "J. Jansen",
                        "emailAddresses": [email("JAN.jansen@klant.example")],
                        "mobilePhone": "06 1",
                    },
                ],
            }
        ],
    }
    h = make_harness(world(person("Jan Jansen", jobTitle="Inkoper"), mailboxes=[box]))
    h.add_profiles()
    ran = h.full()
    assert ran.errors == []
    (jan,) = h.items().values()
    assert (jan["displayName"], jan["jobTitle"]) == ("Jan Jansen", "Inkoper")
    assert jan["key"].endswith("|adopted")
    assert h.contacts()["Jan Jansen"]["mobilePhoneNumber"] == "06 1"
    h.delete_contact("Jan Jansen")
    assert h.run().writes == {}, "an adopted item is the user's own"
    assert len(h.items()) == 1


def test_duplicates_are_named(make_harness):
    twins = [person("Jan Jansen", "zelfde@klant.example"), person("Jan Twee", "zelfde@klant.example")]
    h = make_harness(world(*twins))
    h.add_profiles()
    assert h.full().reasons() == {"duplicate_email_in_bc": 1}
    assert set(h.items()) == {"Jan Jansen"}
    settled(h)


def test_a_second_item_with_the_address_stays_as_it_is(synced):
    synced.add_item(
        displayName="Jan Twee", emailAddresses=[email("jan.jansen@klant.example")], jobTitle="eigen"
    )
    ran = synced.run()
    assert (ran.writes, ran.reasons()) == ({}, {"duplicate_email_in_outlook": 1})
    assert synced.items()["Jan Twee"]["jobTitle"] == "eigen"
    settled(synced)


def test_a_moved_item_is_made_again_and_the_returned_one_is_taken(synced):
    jan = synced.items()["Jan Jansen"]["id"]
    default = synced.folder_id(folder="Contacts")
    mailbox = synced.mailbox()["user_principal_name"]
    synced.sim.control("POST", "graph/move", {"mailbox": mailbox, "contact": jan, "to": default})
    assert synced.run().writes == {"created_outlook": 1}
    synced.sim.control("POST", "graph/move", {"mailbox": mailbox, "contact": jan, "to": synced.folder_id()})
    synced.full()
    assert len(synced.items()) == 2
    assert synced.items()["Jan Jansen"]["id"] == jan
    settled(synced)
