"""Rules 3 and 7: directions, policies, what leaves and comes back, privacy, and contacts that lack a field."""

from __future__ import annotations

import pytest
from sqlalchemy import select

from sync_lib.store import tables as t
from sync_lib.store.engine import read
from tests.sync.harness import FOLDER, Harness, person, settled, world
from tests.sync.jan_and_piet import Make, jan_and_piet, states

ANNA = "anna@voorbeeld.example"


@pytest.fixture
def database_kind() -> str:
    """One database is enough here: where the two differ is tested with the store."""
    return "sqlite"


def email(address: str) -> list[dict[str, str]]:
    return [{"address": address, "name": "x"}]


@pytest.fixture
def make(make_harness) -> Make:
    return jan_and_piet(make_harness)


# -- to Outlook (7.8) ------------------------------------------------------------------------------------------------


def test_to_outlook_restores_what_a_user_edits(make):
    h = make(direction="to_outlook")
    h.edit_item("Jan Jansen", jobTitle="Directeur")
    ran = h.run()
    assert ran.writes == {"updated_outlook": 1}
    assert h.items()["Jan Jansen"]["jobTitle"] == "Inkoper"
    assert h.contacts()["Jan Jansen"]["jobTitle"] == "Inkoper"
    with read(h.edges.engine) as conn:
        assert '{"job_title":"Directeur"}' in list(conn.scalars(select(t.change.c.losing)))
    settled(h)


def test_to_outlook_leaves_a_value_where_bc_has_none_until_it_has_one(make):
    h = make(direction="to_outlook")
    h.edit_item("Piet Smit", jobTitle="Directeur")
    ran = h.run()
    assert (ran.writes, ran.reasons()) == ({}, {"differs": 1})
    assert h.run().reasons() == {}, "reported once"
    assert h.contacts()["Piet Smit"]["jobTitle"] == ""
    settled(h)
    h.edit_contact("Piet Smit", jobTitle="Chauffeur")
    assert h.run().writes == {"updated_outlook": 1}
    assert h.items()["Piet Smit"]["jobTitle"] == "Chauffeur"
    settled(h)


def test_to_outlook_ignores_new_items_and_makes_deleted_ones_again(make):
    h = make(direction="to_outlook")
    h.add_item(displayName="Els Nieuw", emailAddresses=email("els@nieuw.example"))
    h.delete_item("Jan Jansen")
    assert h.run().writes == {"created_outlook": 1}
    assert set(h.contacts()) == {"Jan Jansen", "Piet Smit"}
    assert set(h.items()) == {"Jan Jansen", "Piet Smit", "Els Nieuw"}
    settled(h)


def test_to_outlook_restores_an_address_that_a_user_cleared(make):
    h = make(direction="to_outlook")
    h.edit_item("Jan Jansen", emailAddresses=[])
    h.run()
    assert h.items()["Jan Jansen"]["emailAddresses"][0]["address"] == "jan.jansen@klant.example"
    settled(h)


# -- to Business Central (7.9) ---------------------------------------------------------------------------------------


def to_business_central(make_harness) -> Harness:
    box = {
        "user_principal_name": ANNA,
        "folders": [
            {
                "name": FOLDER,
                "contacts": [
                    {
                        "displayName": "Jan Jansen",
                        "emailAddresses": email("jan.jansen@klant.example"),
                        "jobTitle": "Directeur",
                        "mobilePhone": "06 5550 1234",
                    }
                ],
            }
        ],
    }
    h = make_harness(world(person("Jan Jansen", jobTitle="Inkoper"), person("Piet Smit"), mailboxes=[box]))
    h.add_profiles(direction="to_business_central")
    return h


def test_to_business_central_writes_keys_and_nothing_else_to_outlook(make_harness):
    h = to_business_central(make_harness)
    ran = h.full()
    assert ran.errors == []
    assert ran.writes == {"updated_business_central": 1}, "the blank number is filled"
    assert ran.reasons() == {"differs": 1}
    jan = h.items()["Jan Jansen"]
    assert jan["key"].endswith("|adopted")
    assert jan["jobTitle"] == "Directeur"
    assert jan["categories"] == []
    assert set(h.items()) == {"Jan Jansen"}
    settled(h)
    h.edit_contact("Jan Jansen", jobTitle="Chauffeur", city="Zaandam")
    h.run()
    assert h.items()["Jan Jansen"]["jobTitle"] == "Directeur"
    settled(h)
    h.edit_item("Jan Jansen", jobTitle="Voorzitter")
    assert h.run().writes == {"updated_business_central": 1}
    assert h.contacts()["Jan Jansen"]["jobTitle"] == "Voorzitter"
    settled(h)


def test_a_field_that_differs_is_decided_anew_when_the_direction_changes(make_harness):
    h = to_business_central(make_harness)
    h.full()
    h.run()
    h.add_profiles(direction="both")
    assert h.run().writes == {"created_outlook": 1, "updated_outlook": 1}
    assert h.items()["Jan Jansen"]["jobTitle"] == "Inkoper"
    settled(h)


def test_to_business_central_takes_new_items_and_adds_no_category(make):
    h = make(direction="to_business_central")
    h.add_profiles(direction="to_business_central")
    assert h.items() == {}
    h.add_item(displayName="Els Nieuw", emailAddresses=email("els@nieuw.example"))
    assert h.run().writes == {"created_business_central": 1}
    els = h.items()["Els Nieuw"]
    assert els["key"].endswith("|made_by_user")
    assert els["categories"] == []
    settled(h)


def test_to_business_central_deletes_and_makes_nothing_in_outlook(make):
    h = make()
    h.add_profiles(direction="to_business_central")
    h.delete_contact("Jan Jansen")
    h.delete_item("Piet Smit")
    assert h.run().writes == {}
    assert set(h.items()) == {"Jan Jansen"}
    assert states(h) == ["active", "released"]
    settled(h)
    h.add_profiles(direction="both")
    assert h.run().writes == {"created_outlook": 1}, "Piet comes back when Outlook may be written to"
    settled(h)


# -- privacy (7.4) ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("direction", ["both", "to_outlook", "to_business_central"])
def test_a_blocked_contact_leaves_outlook_in_every_direction(make, direction):
    h = make()
    h.add_profiles(direction=direction)
    h.run()
    h.edit_item("Jan Jansen", jobTitle="Directeur")
    h.edit_contact("Jan Jansen", privacyBlocked=True)
    assert h.run().writes == {"deleted_outlook": 1}
    assert set(h.items()) == {"Piet Smit"}
    settled(h)


def test_a_blocked_contact_leaves_in_every_state_with_all_its_copies(make):
    h = make(filter={"City": "Zaandam"}, policies={"left_scope": "keep"})
    h.add_item(displayName="Els Nieuw", emailAddresses=email("els@nieuw.example"))
    h.edit_contact("Jan Jansen", city="Haarlem")
    h.run()
    assert states(h) == ["active", "pinned", "released"]
    for name in ("Jan Jansen", "Els Nieuw", "Piet Smit"):
        h.sim.control("POST", "graph/copy", {"mailbox": ANNA, "contact": h.items()[name]["id"]})
    h.run()
    for name in ("Jan Jansen", "Els Nieuw", "Piet Smit"):
        h.edit_contact(name, privacyBlocked=True)
    assert h.run().writes == {"deleted_outlook": 6}
    assert h.items() == {}
    settled(h)


def test_a_block_is_never_held(make_harness):
    h = make_harness(world(*(person(f"Persoon {n}") for n in range(20))))
    h.add_profiles()
    h.full()
    for n in range(20):
        h.edit_contact(f"Persoon {n}", privacyBlocked=True)
    assert h.run().writes == {"deleted_outlook": 20}


def test_a_contact_that_is_unblocked_comes_back(make):
    h = make()
    h.edit_contact("Jan Jansen", privacyBlocked=True)
    h.run()
    h.edit_contact("Jan Jansen", privacyBlocked=False)
    assert h.run().writes == {"created_outlook": 1}
    settled(h)


# -- deletion and scope ----------------------------------------------------------------------------------------------


def test_stay_away_waits_until_bc_changes_the_contact(make):
    h = make(policies={"deleted_in_outlook": "stay_away"})
    h.delete_item("Jan Jansen")
    assert h.run().writes == {}
    assert states(h) == ["active", "away"]
    settled(h)
    h.edit_contact("Jan Jansen", jobTitle="Directeur")
    assert h.run().writes == {"created_outlook": 1}
    assert states(h) == ["active", "active"]
    settled(h)


def test_stay_away_ends_with_the_policy(make):
    h = make(policies={"deleted_in_outlook": "stay_away"})
    h.delete_item("Jan Jansen")
    h.run()
    h.add_profiles(policies={"deleted_in_outlook": "recreate"})
    assert h.run().writes == {"created_outlook": 1}
    settled(h)


@pytest.mark.parametrize("event", ["deleted", "filter", "type"])
@pytest.mark.parametrize("policy", ["delete", "keep"])
def test_what_leaves_is_deleted_or_kept_as_the_policy_says(make, event, policy):
    policies = {"deleted_in_business_central": policy, "left_scope": policy}
    h = make(filter={"City": "Zaandam"}, policies=policies)
    if event == "deleted":
        h.delete_contact("Jan Jansen")
    else:
        h.edit_contact("Jan Jansen", **({"city": "Haarlem"} if event == "filter" else {"type": "Company"}))
    ran = h.run()
    assert ran.writes == ({"deleted_outlook": 1} if policy == "delete" else {})
    assert states(h) == (["active"] if policy == "delete" else ["active", "released"])
    settled(h)
    h.edit_contact("Piet Smit", jobTitle="Inkoper")
    if event != "deleted":
        h.edit_contact("Jan Jansen", jobTitle="Directeur")
    assert h.run().writes == {"updated_outlook": 1}, "a released item is not written to"


def test_a_released_contact_comes_back_by_three_way_merge(make):
    h = make(filter={"City": "Zaandam"}, policies={"left_scope": "keep"})
    h.edit_contact("Jan Jansen", city="Haarlem")
    h.run()
    h.edit_item("Jan Jansen", mobilePhone="06 5550 1234", jobTitle="van Outlook")
    h.edit_contact("Jan Jansen", jobTitle="van BC", phoneNumber="020 555 0110")
    h.run()
    assert h.contacts()["Jan Jansen"]["mobilePhoneNumber"] == ""
    h.edit_contact("Jan Jansen", city="Zaandam")
    assert h.run().writes == {"updated_outlook": 1, "updated_business_central": 1}
    item, contact = h.items()["Jan Jansen"], h.contacts()["Jan Jansen"]
    assert (item["jobTitle"], item["businessPhones"]) == ("van BC", ["020 555 0110"])
    assert contact["mobilePhoneNumber"] == "06 5550 1234"
    settled(h)


def test_an_item_deleted_while_released_ends_the_coupling(make):
    h = make(filter={"City": "Zaandam"}, policies={"left_scope": "keep"})
    h.edit_contact("Jan Jansen", city="Haarlem")
    h.run()
    h.delete_item("Jan Jansen")
    assert h.run().writes == {}
    assert states(h) == ["active"]
    h.edit_contact("Jan Jansen", city="Zaandam")
    assert h.run().writes == {"created_outlook": 1}
    settled(h)


def test_deleted_on_both_sides_ends_the_coupling(make):
    h = make()
    h.delete_item("Jan Jansen")
    h.delete_contact("Jan Jansen")
    assert h.run().writes == {}
    assert states(h) == ["active"]
    settled(h)


def test_a_pinned_contact_is_pinned_until_it_has_matched_the_filter_once(make):
    h = make(filter={"City": "Zaandam"})
    h.add_item(displayName="Els Nieuw", emailAddresses=email("els@nieuw.example"))
    ran = h.run()
    assert "created_outside_filter" in _reasons(h)
    assert ran.writes == {"created_business_central": 1}
    assert "pinned" in states(h)
    h.edit_contact("Els Nieuw", city="Zaandam")
    h.run()
    assert states(h) == ["active"] * 3
    h.edit_contact("Els Nieuw", city="Haarlem")
    assert h.run().writes == {}, "the user made the item: it is kept"
    assert states(h) == ["active", "active", "released"]
    settled(h)


def _reasons(h: Harness) -> set[str]:
    with read(h.edges.engine) as conn:
        return set(conn.scalars(select(t.change.c.reason)))


def test_overwrite_clears_what_bc_does_not_have_and_counts_as_overwrite(make_harness):
    contacts = [
        {"displayName": f"P {n}", "emailAddresses": email(f"p{n}@k.example"), "jobTitle": "x"} for n in (0, 1)
    ]
    box = {"user_principal_name": ANNA, "folders": [{"name": FOLDER, "contacts": contacts}]}
    people = [person(f"P {n}", f"p{n}@k.example") for n in (0, 1)]
    h = make_harness(world(*people, mailboxes=[box]), guard_overwrites=1)
    h.add_profiles(policies={"blank_in_business_central": "overwrite"})
    assert h.full().reasons() == {"too_many_overwrites": 2}
    assert [item["jobTitle"] for item in h.items().values()] == ["x", "x"]
    h.settings = h.edges.settings = type(h.settings)()
    h.run()
    assert [contact["jobTitle"] for contact in h.contacts().values()] == ["", ""]


# -- missing name or address (rules 3) -------------------------------------------------------------------------------


@pytest.mark.parametrize("side", ["bc", "outlook"])
def test_a_lost_address_is_reported_and_moves_nothing_until_it_is_fixed(make, side):
    h = make()
    if side == "bc":
        h.edit_contact("Jan Jansen", email="", jobTitle="Directeur")
    else:
        h.edit_item("Jan Jansen", emailAddresses=[], jobTitle="Directeur")
    ran = h.run()
    assert (ran.writes, ran.reasons()) == ({}, {"email_missing": 1})
    assert h.full().writes == {}
    if side == "bc":
        h.edit_item("Jan Jansen", emailAddresses=email("nieuw@klant.example"))
        wanted = {"updated_business_central": 1}
    else:
        h.edit_contact("Jan Jansen", email="nieuw@klant.example")
        wanted = {"updated_outlook": 1}
    ran = h.run(run_id="fixes")
    with read(h.edges.engine) as conn:
        joined = select(t.change.c.after).join(t.plan, t.plan.c.id == t.change.c.plan)
        (sent,) = conn.scalars(joined.where(t.plan.c.run == "fixes", t.plan.c.round == 1))
    assert sent == '{"email":"nieuw@klant.example"}', "only the value that fixes it moves"
    assert wanted.items() <= ran.writes.items()
    h.run()
    assert h.items()["Jan Jansen"]["emailAddresses"][0]["address"] == "nieuw@klant.example"
    assert h.contacts()["Jan Jansen"]["email"] == "nieuw@klant.example"
    assert h.items()["Jan Jansen"]["jobTitle"] == h.contacts()["Jan Jansen"]["jobTitle"] == "Directeur"
    settled(h)


def test_a_lost_name_is_fixed_where_it_was_lost(make):
    h = make()
    h.edit_item("Jan Jansen", displayName=None, givenName=None, surname=None, jobTitle="Directeur")
    ran = h.run()
    assert (ran.writes, ran.reasons()) == ({}, {"name_missing": 1})
    h.edit_item("", displayName="Jan J. Jansen")
    assert h.run().writes == {"updated_business_central": 1}
    assert h.contacts()["Jan J. Jansen"]["jobTitle"] == "Directeur"
    settled(h)


def test_an_item_deleted_while_its_contact_lacks_an_address_is_not_made_again(make):
    h = make()
    h.edit_contact("Jan Jansen", email="")
    h.run()
    h.delete_item("Jan Jansen")
    assert h.run().writes == {}
    assert states(h) == ["active"]
    h.edit_contact("Jan Jansen", email="jan@klant.example")
    assert h.run().writes == {"created_outlook": 1}
    settled(h)
