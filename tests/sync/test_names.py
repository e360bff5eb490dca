"""Whole runs of names that are no given name and surname: Business Central's Name is never mangled (rules 6)."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.sync.harness import Harness, person, settled, world
from tests.sync.test_fields import email, use

FIELD_PROFILES = ("standard", "extended")
#: Name -> given name and surname as its owner writes them on a card of Outlook.
NAMES = {
    "Jan van der Berg": ("Jan", "van der Berg"),
    "Maria de la Cruz Santos": ("Maria", "de la Cruz Santos"),
    "李 小龙": ("小龙", "李"),
    "drs. P. Jansen": ("drs. P.", "Jansen"),
    "Prins": ("", "Prins"),
    "Cher": ("Cher", ""),
}
PARTS = ("firstName", "middleName", "surname", "initials")


@pytest.fixture(params=FIELD_PROFILES)
def make(request: Any, make_harness: Any) -> Any:
    def made(*contacts: dict[str, Any]) -> Harness:
        h = use(make_harness(world(*contacts), transport="in_process"), request.param)
        h.add_profiles()
        h.full()
        return h

    return made


@pytest.fixture
def named(make: Any) -> Harness:
    """A person of each name, synced from Business Central."""
    h: Harness = make(*(person(name, f"p{n}@klant.example") for n, name in enumerate(NAMES)))
    assert set(h.items()) == set(h.contacts()) == set(NAMES)
    return h


def name_of(contact: dict[str, Any]) -> tuple[str, ...]:
    return tuple(contact[field] for field in ("displayName", *PARTS))


def words(item: dict[str, Any]) -> list[str]:
    return sorted(" ".join(item.get(part) or "" for part in ("givenName", "middleName", "surname")).split())


def test_a_name_reaches_outlook_whole_and_stays_as_it_is_in_bc(named):
    before = {name: name_of(contact) for name, contact in named.contacts().items()}
    for name, item in named.items().items():
        assert words(item) == sorted(name.split())
        named.edit_item(name, jobTitle="Inkoper")
        named.edit_contact(name, mobilePhoneNumber="+31 6 5550 1234")
    named.run()
    settled(named)
    assert {name: name_of(contact) for name, contact in named.contacts().items()} == before
    assert set(named.items()) == set(NAMES)
    assert {item["jobTitle"] for item in named.contacts().values()} == {"Inkoper"}


def test_a_card_split_otherwise_leaves_the_name_as_it_is(named):
    """Its owner puts the words where they belong, and the card's own name stays."""
    for name, (given, surname) in NAMES.items():
        parts = {"givenName": given or None, "middleName": None, "surname": surname or None}
        named.edit_item(name, displayName=name, **parts)
    named.run()
    settled(named)
    assert set(named.items()) == set(named.contacts()) == set(NAMES)


def test_a_card_of_outlook_gives_bc_its_own_name(make):
    h = make()
    for n, (name, (given, surname)) in enumerate(NAMES.items()):
        h.add_item(
            displayName=name,
            givenName=given or None,
            surname=surname or None,
            emailAddresses=[email(f"p{n}@klant.example")],
        )
    assert h.run().writes["created_business_central"] == len(NAMES)
    assert set(h.contacts()) == set(NAMES)
    settled(h)
    assert set(h.items()) == set(h.contacts()) == set(NAMES)


def test_a_card_with_a_name_alone_gives_bc_that_name(make):
    h = make()
    for n, name in enumerate(NAMES):
        h.add_item(displayName=name, emailAddresses=[email(f"p{n}@klant.example")])
    h.run()
    settled(h)
    assert set(h.items()) == set(h.contacts()) == set(NAMES)


def test_a_name_that_bc_changes_reaches_outlook_whole(named):
    for name in NAMES:
        named.edit_contact(name, displayName=f"{name} Bakker")
    named.run()
    settled(named)
    whole = {f"{name} Bakker" for name in NAMES}
    assert set(named.contacts()) == set(named.items()) == whole
    assert all(words(item) == sorted(name.split()) for name, item in named.items().items())


def test_a_name_that_outlook_changes_reaches_bc_whole(named):
    for name in NAMES:
        named.edit_item(name, displayName=f"{name} Bakker")
    named.run()
    settled(named)
    assert set(named.contacts()) == set(named.items()) == {f"{name} Bakker" for name in NAMES}


def test_a_turned_name_that_outlook_changes_reaches_bc_whole(make):
    h = make()
    h.add_item(
        displayName="李 小龙", givenName="小龙", surname="李", emailAddresses=[email("l@klant.example")]
    )
    h.run()
    settled(h)
    h.edit_item("李 小龙", displayName="王 小龙", surname="王")
    h.run()
    settled(h)
    assert set(h.items()) == set(h.contacts()) == {"王 小龙"}
    assert (h.items()["王 小龙"]["givenName"], h.items()["王 小龙"]["surname"]) == ("小龙", "王")


@pytest.mark.parametrize("name", NAMES)
def test_guesses_of_ours_never_reach_a_bc_that_is_not_extended(make_harness, name):
    """Neither on create nor when the card's parts change: there is no property for them, and Name stays Name."""
    h = make_harness(world(person(name, "p@klant.example")), transport="in_process")
    sent: list[set[str]] = []

    def watch(send: Any) -> Any:
        def sending(request: Any, **options: Any) -> Any:
            if request.method != "GET" and "/bc/" in request.url:
                parts = json.loads(request.body)["requests"]
                sent.extend(set(part["body"]) for part in parts if part["method"] != "GET")
            return send(request, **options)

        return sending

    h.edges.transport.watchers.append(watch)
    h.add_profiles()
    h.full()
    before = name_of(h.contacts()[name])
    h.edit_item(name, displayName=name, givenName="Geraden", middleName="en", surname="Gegokt", initials="X.")
    h.run()
    assert (sent, name_of(h.contacts()[name])) == ([], before)
    h.edit_item(name, jobTitle="Inkoper")
    h.add_item(
        displayName="Bo Smit", givenName="Bo", surname="Smit", emailAddresses=[email("b@klant.example")]
    )
    h.run()
    assert name_of(h.contacts()[name]) == before
    assert sent == [{"jobTitle"}, {"type", "displayName", "email"}]
    settled(h)
