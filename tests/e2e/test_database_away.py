"""O1: the program that takes the staging database away from a real run knows what is doubled, and what is missing."""

from __future__ import annotations

import pytest

from sandbox import Sandbox
from tests.e2e.database_away import COMPANY, FOLDER, Office

OFFICE = Office(profiles=2, people=3)


@pytest.fixture
def world():
    """The world as it has to be in the end."""
    shared = [
        {"displayName": c["displayName"], "emailAddresses": [{"address": c["email"]}]}
        for c in OFFICE.contacts()
    ]
    made = {
        "companies": [
            {
                "name": COMPANY,
                "contacts": OFFICE.contacts() + [{"email": OFFICE.own(m)} for m in OFFICE.mailboxes],
            }
        ],
        "mailboxes": [
            {"user_principal_name": m, "folders": [{"name": FOLDER, "contacts": [*shared, OFFICE.typed(m)]}]}
            for m in OFFICE.mailboxes
        ],
    }
    with Sandbox(world=made) as sim:
        yield sim.dump()


def test_nothing_is_wrong_where_all_is_there_once(world):
    assert OFFICE.problems(world) == []


def test_what_is_doubled_or_missing_is_reported(world):
    one, two = (box["folders"][-1]["contacts"] for box in world["mailboxes"])
    one.append(one[0])
    two.pop(1)
    contacts = world["companies"][0]["contacts"]
    contacts.append(contacts[-1])
    first, second = OFFICE.mailboxes
    assert OFFICE.problems(world) == [
        f"{first} has persoon00@klant.example 2 times, and not 1",
        f"{second} has persoon01@klant.example 0 times, and not 1",
        f"{COMPANY} has {OFFICE.own(second)} 2 times, and not 1",
    ]
