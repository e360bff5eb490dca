"""Categories by template (rules 6): what the sync puts on items, takes off again, and leaves as their owners'."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import select

from sync_lib.store import tables as t
from sync_lib.store.engine import read, transaction
from sync_lib.store.profiles import endings
from sync_lib.store.profiles import rows as profiles
from sync_lib.store.profiles.history import Author
from tests.sync.harness import FOLDER, Harness, person, settled, world

JAN, PIET = "Jan Jansen", "Piet Smit"
ZON = "Zon, Brood & Co."
ANNA = "anna@voorbeeld.example"


@pytest.fixture
def make(make_harness) -> Any:
    """A profile that has synced: Jan of company Zon, whose item may have been there before, and Piet of none."""

    def made(*own: str, field_profile: str = "standard", **profile: Any) -> Harness:
        zon = {"type": "Company", "number": "C1", "displayName": ZON}
        maan = {"type": "Company", "number": "C2", "displayName": "Maan"}
        jan = person(JAN, companyNumber="C1", companyName=ZON, salespersonCode="JR", territoryCode="N")
        item = {
            "displayName": JAN,
            "emailAddresses": [{"address": "jan.jansen@klant.example", "name": JAN}],
            "categories": list(own),
        }
        folders = [{"name": FOLDER, "contacts": [item]}] if own else []
        boxes = [{"user_principal_name": ANNA, "folders": [*folders, {"name": "Prive"}]}]
        people = [{"code": code, "displayName": code} for code in ("JR", "AB")]
        h: Harness = make_harness(world(zon, maan, jan, person(PIET), mailboxes=boxes, salespeople=people))
        h.edges.business_central_settings = replace(
            h.edges.business_central_settings, field_profile=field_profile
        )
        h.add_profiles(**profile)
        ran = h.full()
        assert (ran.errors, ran.verdict.ok) == ([], True)
        return h

    return made


def of(h: Harness, name: str = JAN, folder: str = FOLDER) -> list[str]:
    found: list[str] = h.items(folder=folder)[name].get("categories") or []
    return found


def change(h: Harness, *templates: str) -> None:
    h.add_profiles(categories=list(templates))


def end(h: Harness) -> None:
    with transaction(h.edges.engine) as conn:
        [profile] = profiles.read_profiles(conn)
        endings.ask_end(conn, profile, endings.KEEP, Author("Eva", h.edges.now()))


# -- what is put on an item ------------------------------------------------------------------------------------------


def test_items_get_what_the_templates_come_to_for_their_contact(make):
    h = make(categories=["Business Central", "Klant {company}"])
    assert of(h) == ["Business Central", "Klant Zon Brood & Co."]
    assert of(h, PIET) == ["Business Central"], "without a company there is no category for it"
    settled(h)


def test_salesperson_and_territory_are_their_codes(make):
    h = make(field_profile="extended", categories=["{salesperson}", "Gebied {territory}"])
    assert (of(h), of(h, PIET)) == (["JR", "Gebied N"], [])
    settled(h)
    h.edit_contact(JAN, salespersonCode="AB")
    ran = h.run()
    assert (ran.writes, ran.report.outcomes.get("coupled")) == ({}, 1), "it counts as no update (rules 2.2)"
    assert of(h) == ["Gebied N", "AB"]
    settled(h)


def test_no_template_is_no_category(make):
    h = make(categories=[])
    assert (of(h), of(h, PIET)) == ([], [])
    settled(h)


def test_a_contact_made_of_an_item_gives_it_its_categories(make):
    h = make(categories=["Klant {company}", "Nieuw"])
    h.add_item(
        displayName="Els Nieuw",
        emailAddresses=[{"address": "els@klant.example", "name": "Els"}],
        categories=["Privé"],
    )
    h.run()
    assert of(h, "Els Nieuw") == ["Privé", "Nieuw"]
    settled(h)
    change(h, "Oud")
    h.run()
    assert of(h, "Els Nieuw") == ["Privé", "Oud"]


# -- what changes ----------------------------------------------------------------------------------------------------


def test_another_company_is_another_category(make):
    h = make(categories=["Klant {company}"])
    h.edit_item(JAN, categories=["Golf", "Klant Zon Brood & Co.", "Tennis"])
    h.edit_contact(JAN, companyNumber="C2")
    h.run()
    assert of(h) == ["Golf", "Tennis", "Klant Maan"]
    settled(h)


def test_a_company_that_goes_takes_its_category_with_it(make):
    h = make(categories=["Klant {company}"])
    h.edit_contact(JAN, companyNumber="")
    h.run()
    assert of(h) == []
    settled(h)


def test_other_templates_alone_are_written_and_count_as_no_update(make):
    h = make(categories=["Business Central"], policies={"blank_in_business_central": "fill"})
    h.edit_item(JAN, categories=["Golf", "Business Central"])
    h.run()
    change(h, "Relatie", "Klant {company}")
    h.run(dry_run=True)
    with read(h.edges.engine) as conn:
        assert (
            list(conn.scalars(select(t.change.c.cause).where(t.change.c.outcome.is_(None))))
            == ["categories"] * 2
        )
    assert of(h) == ["Golf", "Business Central"]
    ran = h.run()
    assert (ran.writes, ran.report.outcomes.get("coupled")) == ({}, 2)
    assert not {"overwrites", "conflict"} & ran.report.outcomes.keys()
    assert of(h) == ["Golf", "Relatie", "Klant Zon Brood & Co."]
    settled(h)
    with read(h.edges.engine) as conn:
        causes = set(conn.scalars(select(t.change.c.cause).where(t.change.c.categories != "{}")))
        assert causes >= {"categories"}


def test_no_guard_holds_them(make_harness):
    h = make_harness(world(*(person(f"Persoon {n:02}") for n in range(30))), guard_overwrites=1)
    h.add_profiles()
    h.full()
    change(h, "Relatie")
    ran = h.run()
    assert (ran.report.outcomes.get("coupled"), ran.report.outcomes.get("held")) == (30, None)
    assert {tuple(item["categories"]) for item in h.items().values()} == {("Relatie",)}
    settled(h)


def test_they_go_along_with_other_fields_in_one_write(make):
    h = make()
    change(h, "Relatie")
    h.edit_contact(JAN, jobTitle="Inkoper")
    before = h.app_writes()
    assert h.run().writes == {"updated_outlook": 1}
    assert (of(h), h.items()[JAN]["jobTitle"]) == (["Relatie"], "Inkoper")
    assert h.app_writes() == before + 2, "Jan, and Piet"
    settled(h)


# -- what is the user's ----------------------------------------------------------------------------------------------


def test_a_category_of_the_same_name_that_the_user_had_before_stays_theirs(make):
    h = make("Privé", "Relatie", categories=["Relatie"])
    assert of(h) == ["Privé", "Relatie"]
    change(h, "Klant")
    h.run()
    assert (of(h), of(h, PIET)) == (["Privé", "Relatie", "Klant"], ["Klant"])
    settled(h)
    end(h)
    h.run()
    assert (of(h), of(h, PIET)) == (["Privé", "Relatie"], [])


def test_what_a_user_takes_off_stays_off_until_the_category_changes(make):
    h = make(categories=["Klant {company}"])
    h.edit_item(JAN, categories=["Golf"])
    h.run()
    h.edit_contact(JAN, jobTitle="Inkoper")
    h.run()
    h.full()
    assert of(h) == ["Golf"]
    h.edit_contact(JAN, companyNumber="C2")
    h.run()
    assert of(h) == ["Golf", "Klant Maan"]
    settled(h)


def test_categories_never_go_to_business_central(make):
    h = make("Vrienden", direction="to_business_central", categories=["Relatie"])
    assert of(h) == ["Vrienden"]
    h.edit_item(JAN, categories=["Vrienden", "Golf"])
    assert h.run().writes == {}
    h.add_profiles(direction="to_business_central", categories=["Klant"])
    settled(h)
    assert of(h) == ["Vrienden", "Golf"]


# -- what is taken off -----------------------------------------------------------------------------------------------


def test_a_profile_that_ends_takes_off_exactly_its_own(make):
    h = make("Business Central", categories=["Klant {company}"])
    assert of(h) == ["Business Central", "Klant Zon Brood & Co."]
    end(h)
    h.run()
    assert (of(h), of(h, PIET)) == (["Business Central"], [])


def test_an_adopted_item_that_moved_away_loses_exactly_ours_by_a_privacy_block(make):
    h = make("Vrienden", categories=["Klant {company}"])
    contact = h.items()[JAN]["id"]
    h.sim.control("POST", "graph/move", {"mailbox": ANNA, "contact": contact, "to": "Prive"})
    h.edit_contact(JAN, privacyBlocked=True)
    h.run()
    assert (h.items(folder="Prive")[JAN]["key"], of(h, folder="Prive")) == ("", ["Vrienden"])
    with read(h.edges.engine) as conn:
        wanted = select(t.change.c.categories).where(t.change.c.cause == "privacy_blocked")
        assert "Zon" not in conn.scalars(wanted).one(), (
            "the plan keeps no value of a blocked contact (rules 7.4)"
        )
    settled(h)


def test_a_contact_made_outside_the_filter_follows_its_template_too(make):
    h = make(
        field_profile="extended", categories=["RELATIE", "{territory}"], filter=[{"Territory Code": "N"}]
    )
    h.add_item(
        displayName="Els Nieuw",
        emailAddresses=[{"address": "els@klant.example", "name": "Els"}],
        categories=[],
    )
    h.run()
    assert of(h, "Els Nieuw") == ["RELATIE"]
    h.edit_contact("Els Nieuw", territoryCode="Z")
    h.run()
    assert of(h, "Els Nieuw") == ["RELATIE", "Z"]
    settled(h)


def test_an_item_that_is_made_again_has_its_categories_again(make):
    h = make(categories=["Relatie"])
    h.delete_item(JAN)
    h.run()
    assert of(h) == ["Relatie"]
    change(h, "Klant")
    h.run()
    assert of(h) == ["Klant"]
    settled(h)


def test_with_the_staging_database_lost_the_key_says_what_is_ours(make, make_harness):
    h = make("Vrienden", categories=["Relatie"])
    with transaction(h.edges.engine) as conn:
        for table in (t.coupling, t.outlook_contact, t.change, t.plan):
            conn.execute(table.delete())
    h.full()
    assert of(h) == ["Vrienden", "Relatie"]
    change(h, "Klant")
    h.run()
    assert of(h) == ["Vrienden", "Klant"]


# -- what cannot be --------------------------------------------------------------------------------------------------


def test_a_profile_whose_category_cannot_be_read_says_so(make):
    h = make(field_profile="extended", categories=["{salesperson}"])
    h.edges.business_central_settings = replace(h.edges.business_central_settings, field_profile="standard")
    ran = h.run()
    assert ran.report.profiles[0].reason == "categories_invalid"
    assert of(h) == ["JR"]
