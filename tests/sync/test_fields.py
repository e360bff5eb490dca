"""Whole runs of single fields: what Outlook's arrays, name parts and odd values come to on either side (rules 6)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import select, update

from sync_lib.store import tables as t
from sync_lib.store.claims import claim_create
from sync_lib.store.engine import read
from tests.sync.harness import Harness, person, settled, world

OWN = {"address": "prive@thuis.example", "name": "prive"}


def email(address: str, name: str = "x") -> dict[str, str]:
    return {"address": address, "name": name}


def addresses(h: Harness, name: str = "Jan Jansen") -> list[str]:
    return [entry.get("address", "") for entry in h.items()[name].get("emailAddresses", [])]


def use(h: Harness, field_profile: str) -> Harness:
    """Read Business Central through another page from now on, as processes do that see the Connection changed."""
    h.edges.close()
    h.edges = h.open()
    h.edges.business_central_settings = replace(
        h.edges.business_central_settings, field_profile=field_profile
    )
    return h


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


def test_f1_addresses_that_change_places_while_one_is_edited_change_places_in_bc(second):
    left = [email("jan@tweede.example"), email("jan@nieuw.example"), OWN]
    second.edit_item("Jan Jansen", emailAddresses=left)
    ran = second.run()
    assert (ran.writes, ran.reasons()) == ({"updated_business_central": 1}, {})
    jan = second.contacts()["Jan Jansen"]
    assert (jan["email"], jan["email2"]) == ("jan@tweede.example", "jan@nieuw.example")
    assert addresses(second) == ["jan@tweede.example", "jan@nieuw.example", OWN["address"]]
    settled(second)


def test_f1_a_second_address_is_the_first_one_in_outlook_and_goes_in_bc(second):
    left = [email("jan@tweede.example"), email("jan@nieuw.example"), OWN]
    second.edit_item("Jan Jansen", emailAddresses=left)
    second.edit_contact("Jan Jansen", email2="")
    assert second.run().reasons() == {}
    jan = second.contacts()["Jan Jansen"]
    assert (jan["email"], jan["email2"]) == ("jan@tweede.example", "")
    assert addresses(second) == ["jan@tweede.example", OWN["address"]]
    settled(second)


def test_f1_both_addresses_return_where_bc_alone_decides(second):
    second.add_profiles(direction="to_outlook")
    second.run()
    second.edit_item(
        "Jan Jansen", emailAddresses=[email("jan@tweede.example"), email("jan@nieuw.example"), OWN]
    )
    assert second.run().reasons() == {}
    assert addresses(second) == ["jan.jansen@klant.example", "jan@tweede.example", OWN["address"]]
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
    second.edit_item(
        "Jan Jansen", emailAddresses=[email("jan.jansen@klant.example"), email("j@k.example"), OWN]
    )
    second.run()
    assert second.contacts()["Jan Jansen"]["email2"] == "j@k.example"
    settled(second)


@pytest.mark.parametrize("first", ["bc", "outlook"])
def test_f1_a_second_address_goes_on_being_edited_while_the_first_one_waits(second, first):
    """The array keeps its baseline for the address that waits, and knows the other one in it all the same."""
    waits = email("x" * 60 + "@te-lang-voor-bc.example")
    second.edit_item("Jan Jansen", emailAddresses=[waits, email("jan@tweede.example"), OWN])
    assert second.run().reasons() == {"too_long": 1}
    if first == "bc":
        second.edit_contact("Jan Jansen", email2="jan@nieuw.example")
    else:
        second.edit_item("Jan Jansen", emailAddresses=[waits, email("jan@nieuw.example"), OWN])
    second.run()
    assert addresses(second) == [waits["address"], "jan@nieuw.example", OWN["address"]]
    for address in ("jan@nieuwer.example", "jan@nieuwst.example"):
        second.edit_item("Jan Jansen", emailAddresses=[waits, email(address), OWN])
        assert second.run().writes == {"updated_business_central": 1}
        assert second.contacts()["Jan Jansen"]["email2"] == address
    second.edit_item("Jan Jansen", emailAddresses=[waits, OWN])
    second.run()
    assert second.contacts()["Jan Jansen"]["email2"] == ""
    assert addresses(second) == [waits["address"], OWN["address"]]


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


# -- F4: entries without an address ----------------------------------------------------------------------------------

COMMA = {"address": "jan@thuis,example", "name": "jan@thuis,example"}
ODD = {"name": "jan@thuis,example"}  # What Outlook makes of it.


@pytest.fixture
def odd(make_harness: Any) -> Harness:
    """Jan's item has an address behind ours that Outlook could not read, and one of the user's behind that."""
    h: Harness = make_harness(world(person("Jan Jansen", phoneNumber="020 555 0110")))
    h.add_profiles()
    h.full()
    h.edit_item("Jan Jansen", emailAddresses=[email("jan.jansen@klant.example"), COMMA, OWN])
    settled(h)
    return h


def test_f4_an_entry_without_an_address_survives_our_writes(odd):
    assert odd.items()["Jan Jansen"]["emailAddresses"][1] == ODD
    odd.edit_contact("Jan Jansen", email="jan@nieuw.example")
    assert odd.run().writes == {"updated_outlook": 1}
    assert addresses(odd) == ["jan@nieuw.example", "", OWN["address"]]
    assert odd.items()["Jan Jansen"]["emailAddresses"][1] == ODD
    settled(odd)


def test_f4_where_graph_refuses_the_entry_the_addresses_wait_and_the_rest_goes_on(odd):
    odd.sim.set(graph_email_without_address="400")
    odd.edit_contact("Jan Jansen", email="jan@nieuw.example", jobTitle="Inkoper", city="Zaandam")
    ran = odd.run()
    assert ran.writes == {"updated_outlook": 1}
    assert ran.reasons() == {"ErrorInvalidRecipients": 1}
    jan = odd.items()["Jan Jansen"]
    assert (jan["jobTitle"], jan["businessAddress"]["city"]) == ("Inkoper", "Zaandam")
    assert addresses(odd) == ["jan.jansen@klant.example", "", OWN["address"]]
    assert odd.contacts()["Jan Jansen"]["email"] == "jan@nieuw.example"
    odd.edit_item("Jan Jansen", emailAddresses=[email("jan.jansen@klant.example"), OWN])
    odd.full()
    assert addresses(odd) == ["jan@nieuw.example", OWN["address"]]
    settled(odd)


def test_f4_an_unreadable_first_address_is_no_reason_to_take_the_second(odd):
    odd.edit_item("Jan Jansen", emailAddresses=[COMMA, OWN], jobTitle="Inkoper")
    ran = odd.run()
    assert ran.reasons() == {"email_invalid": 1}
    assert ran.writes == {}
    jan = odd.contacts()["Jan Jansen"]
    assert (jan["email"], jan["jobTitle"]) == ("jan.jansen@klant.example", "")
    odd.edit_contact("Jan Jansen", email="jan@nieuw.example")  # What fixes it goes.
    odd.run()
    assert addresses(odd) == ["jan@nieuw.example", OWN["address"]]
    odd.run()
    assert odd.contacts()["Jan Jansen"]["jobTitle"] == "Inkoper"
    settled(odd)


def test_f4_new_items_without_a_readable_first_address_are_reported_one_by_one(odd):
    for name in ("Els Nieuw", "Bo Nieuw"):
        odd.add_item(displayName=name, emailAddresses=[COMMA, email(f"{name[:2]}@prive.example")])
    assert odd.run().reasons() == {"email_invalid": 2}
    assert set(odd.contacts()) == {"Jan Jansen"}


# -- F2, F3: names ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "wrong", "right", "whole"),
    [
        ("Familie Jansen", "Jansen", "Janssen", "Familie Janssen"),
        ("Afd. Crediteuren", "Crediteuren", "Debiteuren", "Afd. Debiteuren"),
        ("drs. Jan de Wit MSc", "de Wit MSc", "de Witt MSc", "drs. Jan de Witt MSc"),
        ("Ing. P. Bos Jr.", "Bos Jr.", "Bosch Jr.", "Ing. P. Bosch Jr."),
        ("Els Kok (inkoop)", "Kok (inkoop)", "Kock (inkoop)", "Els Kock (inkoop)"),
        ("Jan v.d. Berg", "v.d. Berg", "v.d. Bergh", "Jan v.d. Bergh"),
        ("Jan v/d Meer", "v/d Meer", "van der Meer", "Jan van der Meer"),
    ],
)
def test_f2_a_surname_corrected_in_outlook_gives_bc_the_whole_name(make_harness, name, wrong, right, whole):
    """F2, F3: Outlook makes the display name of the parts anew; no word that was in BC's name may be lacking."""
    h = make_harness(world(person(name, "x@klant.example")))
    h.add_profiles()
    h.full()
    assert h.items()[name]["surname"] == wrong
    h.edit_item(name, surname=right)
    assert set(h.items()) == {whole}  # Outlook's own display name.
    assert h.run().writes == {"updated_business_central": 1}
    assert set(h.contacts()) == {whole}
    settled(h)


# -- F7: names that are none -----------------------------------------------------------------------------------------


def test_f7_cards_that_outlook_named_itself_make_no_contact_of_bc(make_harness):
    h = make_harness(world())
    h.add_profiles()
    h.full()
    h.add_item(emailAddresses=[email("kaal@klant.example")])
    h.add_item(companyName="De Molen BV", emailAddresses=[email("info@molen.example")])
    assert set(h.items()) == {"kaal@klant.example", "De Molen BV"}
    assert h.run().reasons() == {"name_missing": 2}
    assert h.contacts() == {}
    h.edit_item("De Molen BV", givenName="Els", surname="Molenaar", displayName="Els Molenaar")
    assert h.run().writes.get("created_business_central") == 1
    assert set(h.contacts()) == {"Els Molenaar"}


def test_f7_rows_of_zeros_are_two_values(make_harness):
    h = make_harness(world(person("Jan Jansen", phoneNumber="000")))
    h.add_profiles()
    h.full()
    h.edit_contact("Jan Jansen", phoneNumber="00 000 0000")
    assert h.run().writes == {"updated_outlook": 1}
    assert h.items()["Jan Jansen"]["businessPhones"] == ["00 000 0000"]
    settled(h)


# -- I14: what nobody sees, and domains in two spellings -------------------------------------------------------------

UNSEEN = "\u00ad\u200b\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2060\u2066\u2067\u2068\u2069\ufeff"


def test_i14_one_address_in_two_spellings_is_one_person(make_harness):
    h = make_harness(
        world(person("Jan Jansen", "jan@m\u00fcnchen.example"), person("Els Kok", "els@kok.example"))
    )
    h.add_profiles()
    h.full()
    h.delete_item("Jan Jansen")
    h.delete_item("Els Kok")
    h.add_item(displayName="Jan Jansen", emailAddresses=[email("Jan@XN--MNCHEN-3YA.example")])
    h.add_item(displayName="Els Kok", emailAddresses=[email(f"els@{UNSEEN}kok.example")])
    ran = h.run()
    assert "created_outlook" not in ran.writes
    assert "created_business_central" not in ran.writes
    assert len(h.items()) == len(h.contacts()) == 2
    assert h.contacts()["Jan Jansen"]["email"] == "jan@m\u00fcnchen.example"
    settled(h)


@pytest.mark.parametrize("character", UNSEEN)
def test_i14_what_nobody_sees_travels_in_no_address_number_or_code(make_harness, character):
    h = make_harness(world(person("Jan Jansen"), person("Els Kok")))
    h.add_profiles()
    h.full()
    h.edit_item(
        "Jan Jansen",
        emailAddresses=[email(f"jan{character}@nieuw.example")],
        businessPhones=[f"{character}020 555 0110"],
        mobilePhone=f"06 5550{character}1111",
        businessHomePage=f"www.{character}nieuw.example",
        businessAddress={"postalCode": f"1501{character} AB", "city": f"Zaan{character}dam"},
    )
    h.in_bc(
        "PATCH", f"contacts({h.contacts()['Els Kok']['id']})", {"phoneNumber": f"020{character} 555 0111"}
    )
    ran = h.run()
    assert ran.reasons() == {}
    jan = h.contacts()["Jan Jansen"]
    assert (
        jan["email"],
        jan["phoneNumber"],
        jan["mobilePhoneNumber"],
        jan["website"],
        jan["postalCode"],
    ) == (
        "jan@nieuw.example",
        "020 555 0110",
        "06 55501111",
        "www.nieuw.example",
        "1501 AB",
    )
    assert jan["city"] == f"Zaan{character}dam"
    assert h.items()["Els Kok"]["businessPhones"] == ["020 555 0111"]
    settled(h)


# -- I4: other normal forms, another field profile -------------------------------------------------------------------


def as_of_an_earlier_version(h: Harness) -> None:
    """Leave the staging database as a version with other normal forms would have: other digests of the same values."""
    with h.edges.engine.begin() as conn:
        for table in (t.bc_contact, t.outlook_contact):
            conn.execute(update(table).values(fingerprint=-table.c.fingerprint, normaliser=2))
        c = t.coupling.c
        conn.execute(
            update(t.coupling).values(
                bc_fingerprint=-c.bc_fingerprint, outlook_fingerprint=-c.outlook_fingerprint
            )
        )
        conn.execute(update(t.cursor).values(version=2, diffed_settings="of an earlier version"))


CHANGES = {
    "normal forms": as_of_an_earlier_version,
    "extended": lambda h: use(h, "extended"),
    "standard": lambda h: use(h, "standard"),
}


@pytest.fixture(params=sorted(CHANGES))
def changed(request: Any, make_harness: Any) -> tuple[Harness, Any]:
    """Three synced persons, and what makes all stored digests those of something else."""
    h = make_harness(
        world(
            person("Jan van der Berg", city="Zaandam"), person("Els Kok", city="Zaandam"), person("Bo Smit")
        )
    )
    use(h, "extended" if request.param == "standard" else "standard")
    h.add_profiles(filter={"City": "Zaandam|''"})
    h.full()
    h.run()
    return h, CHANGES[request.param]


def test_i4_nothing_is_written_and_the_digests_are_renewed(changed):
    h, change = changed
    change(h)
    assert h.run().writes == {}
    with read(h.edges.engine) as conn:
        pairs = conn.execute(
            select(t.coupling.c.bc_fingerprint, t.bc_contact.c.fingerprint).join_from(
                t.coupling, t.bc_contact, t.bc_contact.c.row_id == t.coupling.c.bc_row
            )
        ).all()
    assert len(pairs) == 3
    assert all(own == staged for own, staged in pairs)
    settled(h)


def test_i4_a_contact_deleted_just_before_is_deleted_and_not_kept_as_edited(changed):
    h, change = changed
    h.delete_contact("Els Kok")
    change(h)
    assert h.run().writes == {"deleted_outlook": 1}
    assert set(h.items()) == {"Jan van der Berg", "Bo Smit"}


def test_i4_a_contact_that_leaves_the_scope_is_deleted_and_not_kept_as_edited(changed):
    h, change = changed
    h.edit_contact("Jan van der Berg", city="Utrecht")
    change(h)
    assert h.run().writes == {"deleted_outlook": 1}
    assert set(h.items()) == {"Els Kok", "Bo Smit"}


def test_i4_what_is_away_stays_away_until_bc_changes_it(changed):
    h, change = changed
    h.add_profiles(filter={"City": "Zaandam|''"}, policies={"deleted_in_outlook": "stay_away"})
    h.delete_item("Els Kok")
    h.run()
    change(h)
    assert h.run().writes == {}
    assert h.full().writes == {}
    assert set(h.items()) == {"Jan van der Berg", "Bo Smit"}
    h.edit_contact("Els Kok", jobTitle="Inkoper")
    assert h.run().writes == {"created_outlook": 1}


def test_i4_an_edit_from_before_is_an_edit_still(changed):
    h, change = changed
    h.edit_item("Els Kok", jobTitle="Inkoper")
    h.delete_contact("Els Kok")
    change(h)
    assert h.run().reasons() == {"deleted_in_bc_edited_in_outlook": 1}
    assert len(h.items()) == 3


def test_i4_an_edit_that_waits_is_an_edit_also_where_we_wrote_the_item_since(make_harness):
    """Its version is the one of our own write; a mapped field differs from Outlook's baseline all the same (2.1)."""
    h = make_harness(world(person("Jan Jansen"), person("Els Kok"), person("Bo Smit")))
    h.add_profiles()
    h.full()
    h.edit_item("Jan Jansen", jobTitle="x" * 31)
    h.edit_contact("Jan Jansen", city="Zaandam")
    assert h.run().writes == {"updated_outlook": 1}
    h.delete_contact("Jan Jansen")
    assert h.full().reasons() == {"deleted_in_bc_edited_in_outlook": 1}
    assert set(h.items()) == {"Jan Jansen", "Els Kok", "Bo Smit"}


def test_i14_stored_keys_of_addresses_are_renewed(make_harness):
    """I14, I4: both spellings are one person also where an earlier version stored them as two."""
    h = make_harness(world(person("Els Kok", "els@m\u00fcnchen.example")))
    h.add_profiles(direction="to_business_central")
    h.full()
    h.add_item(displayName="Els Kok", emailAddresses=[email("els@xn--mnchen-3ya.example")])
    with h.edges.engine.begin() as conn:
        conn.execute(update(t.bc_contact).values(email_key="els@m\u00fcnchen.example"))
        company = conn.scalar(select(t.sync_profile.c.company))
        profile = conn.scalar(select(t.sync_profile.c.id))
        claim_create(conn, company, "bo@b\u00fccher.example", profile=profile, fencing=1, run="x")
    as_of_an_earlier_version(h)
    ran = h.run()
    assert "created_business_central" not in ran.writes
    assert len(h.contacts()) == 1
    with read(h.edges.engine) as conn:
        assert conn.scalar(select(t.claim.c.email_key)) == "bo@xn--bcher-kva.example"
        assert conn.scalar(select(t.coupling.c.state)) == "active"


# -- I5: a profile becomes extended ----------------------------------------------------------------------------------

MANY = (
    "Jan van der Berg", "Familie Jansen", "drs. P. de Wit MSc", "Els Kok (inkoop)", "Berg, Bo van den",
    "Sanne in 't Veld", "J.P. de Boer-Smit", "Piet v.d. Meer", "Anna Maria Bos", "Prince",
)  # fmt: skip


def test_i5_a_profile_that_becomes_extended_writes_nothing_for_equal_words(make_harness):
    """Thirty persons, each split by BC and by us: initials and parts are never written back."""
    people = [
        person(f"{name} {n}".strip(), f"p{n}.{i}@klant.example")
        for n in ("", "2", "3")
        for i, name in enumerate(MANY)
    ]
    h = make_harness(world(*people))
    h.add_profiles()
    h.full()
    assert len(h.items()) == 30
    before = h.contacts()
    use(h, "extended")
    assert h.run().writes == {}
    assert h.contacts() == before
    settled(h)


def test_i5_only_parts_whose_words_differ_count_as_without_baseline(make_harness):
    h = make_harness(world(person("Jan van der Berg"), person("Els Kok"), person("Bo Smit")))
    h.add_profiles()
    h.full()
    h.edit_item("Els Kok", initials="E.M.")  # A user's own, no guess of ours.
    h.edit_contact("Bo Smit", initials="B.X.")
    h.edit_item("Jan van der Berg", surname="van der Bergh", displayName="Jan van der Berg")
    h.run()
    use(h, "extended")
    h.run()
    assert h.contacts()["Els Kok"]["initials"] == "E.M."
    assert h.items()["Bo Smit"]["initials"] == "B. S."
    jan = h.items()["Jan van der Berg"]
    assert f"{jan['givenName']} {jan.get('middleName') or ''} {jan['surname']}".split() == [
        "Jan",
        "van",
        "der",
        "Berg",
    ]
    settled(h)


@pytest.mark.parametrize(
    ("surname", "parts"),
    [("van der Bergh", ("Jan van", "der", "Bergh")), ("van den Berg", ("Jan van", "den", "Berg"))],
)
def test_i5_a_corrected_surname_keeps_the_split_of_the_other_side(make_harness, surname, parts):
    """A prefix that BC has in another part is not there twice afterwards, and BC's next word moves Outlook's alone."""
    h = make_harness(world(person("Jan van der Berg")))
    h.add_profiles()
    h.full()
    bc = h.contacts()["Jan van der Berg"]
    assert (bc["firstName"], bc["middleName"], bc["surname"]) == ("Jan van", "der", "Berg")
    use(h, "extended")
    h.run()
    h.edit_item("Jan van der Berg", surname=surname)
    h.run()
    bc = h.contacts()[f"Jan {surname}"]
    assert (bc["firstName"], bc["middleName"], bc["surname"]) == parts
    settled(h)
    h.edit_contact(f"Jan {surname}", surname="Dijk")
    h.run()
    (item,) = h.items().values()
    assert (item["givenName"], item.get("middleName")) == ("Jan", None)
    assert item["surname"] == f"{surname.rpartition(' ')[0]} Dijk"
    settled(h)


def test_i5_parts_that_went_on_in_standard_are_no_edits_in_extended(make_harness):
    """Outlook's are a split of ours, and BC's are well kept: nothing of the split reaches BC."""
    h = use(make_harness(world(person("Jan van der Berg"))), "extended")
    h.add_profiles()
    h.full()
    kept = {"firstName": "Jan", "middleName": "van der", "surname": "Berg"}
    h.edit_contact("Jan van der Berg", **kept)
    h.run()
    use(h, "standard")
    h.run()
    h.edit_contact("Jan van der Berg", displayName="Jan Bakker")
    h.run()
    h.edit_contact("Jan Bakker", displayName="Jan van der Berg")
    h.run()
    h.edit_contact("Jan van der Berg", **kept)
    h.run()
    use(h, "extended")
    assert h.run().writes == {}
    assert {name: h.contacts()["Jan van der Berg"][name] for name in kept} == kept
    settled(h)
