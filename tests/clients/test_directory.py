"""Users and groups of Entra ID, and the colleagues that Business Central lists, over real sockets."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from sandbox import Sandbox
from sync_lib.errors import AccessDeniedError, ConfigError, NotFoundError
from sync_lib.ports import Account, Colleague
from tests.sync.harness import COMPANY, Harness, world

GROUPS = ["Contacts.ReadWrite", "User.Read.All", "GroupMember.Read.All"]
PEOPLE = [f"p{n}@voorbeeld.example" for n in range(7)]


@pytest.fixture
def database_kind() -> str:
    """The database has no part in it."""
    return "sqlite"


@pytest.fixture
def h(make_harness: Any) -> Harness:
    mailboxes = [
        *PEOPLE,
        {"user_principal_name": "weg@voorbeeld.example", "state": "disabled"},
        {"user_principal_name": "kaal@voorbeeld.example", "state": "no_mailbox"},
        {"user_principal_name": "dicht@voorbeeld.example", "state": "policy_denied"},
    ]
    people = [{"code": "AB", "displayName": "Anna", "email": " anna@voorbeeld.example"}]
    users = [{"userName": "ANNA", "displayName": "Anna Bos", "authenticationEmail": "anna@voorbeeld.example"}]
    made = make_harness(
        {
            **world(mailboxes=mailboxes, salespeople=people, users=users),
            "groups": [
                {"name": "Team d'Or", "members": [*PEOPLE[:3], "Binnen"]},
                {"name": "Binnen", "members": [PEOPLE[0], "weg@voorbeeld.example"]},
                {"name": "Twee"},
                {"name": "twee"},
            ],
        }
    )
    grant(made.sim, *GROUPS)
    made.sim.set(graph_users_page=2)
    return made


def grant(sim: Sandbox, *roles: str) -> None:
    sim.control("POST", "entra/app", {"graph_roles": list(roles)})


def test_a_group_is_found_by_name_or_id(h: Harness) -> None:
    [group] = h.edges.directory.find_groups("Team d'Or")
    assert group.name == "Team d'Or"
    assert h.edges.directory.find_groups(group.id.upper()) == [group]
    assert len(h.edges.directory.find_groups("TWEE")) == 2
    assert h.edges.directory.find_groups("Geen") == []
    assert h.edges.directory.find_groups("12345678-1234-1234-1234-123456789abc") == []


def test_members_come_from_all_pages_and_groups_within(h: Harness) -> None:
    [group] = h.edges.directory.find_groups("Team d'Or")
    found = h.edges.directory.fetch_members(group.id)
    assert [each.principal_name for each in found] == [*PEOPLE[:3], "weg@voorbeeld.example"]
    assert [each.enabled for each in found] == [True, True, True, False]
    assert len(h.edges.directory.fetch_accounts()) == len(PEOPLE) + 3


@pytest.mark.parametrize("answer", ["null", "403"])
def test_the_basic_profile_is_enough_but_for_what_it_lacks(h: Harness, answer: str) -> None:
    grant(h.sim, "GroupMember.Read.All", "User.ReadBasic.All")
    h.sim.set(graph_basic_profile=answer)
    [group] = h.edges.directory.find_groups("Binnen")
    first = h.edges.directory.fetch_members(group.id)[0]
    assert first == Account(first.id, PEOPLE[0], PEOPLE[0], None)
    assert {each.enabled for each in h.edges.directory.fetch_accounts()} == {None}


def test_who_may_not_read_groups_hears_so(h: Harness) -> None:
    [group] = h.edges.directory.find_groups("Binnen")
    grant(h.sim, "Contacts.ReadWrite", "User.Read.All")
    directory = h.open().directory
    with pytest.raises(AccessDeniedError):
        directory.find_groups("Binnen")
    with pytest.raises(AccessDeniedError):
        directory.fetch_members(group.id)


def test_a_group_that_is_gone_is_no_empty_one(h: Harness) -> None:
    [group] = h.edges.directory.find_groups("Binnen")
    h.sim.control("POST", "entra/group", {"group": "Binnen", "state": "removed"})
    with pytest.raises(NotFoundError):
        h.edges.directory.fetch_members(group.id)


def test_which_mailboxes_open(h: Harness) -> None:
    ids = {each.principal_name: each.id for each in h.edges.directory.fetch_accounts()}
    opened = h.edges.directory.open_mailboxes(list(ids.values()))
    named = {name: type(opened[key]).__name__ for name, key in ids.items()}
    assert named == {
        **dict.fromkeys([*PEOPLE, "weg@voorbeeld.example"], "NoneType"),
        "kaal@voorbeeld.example": "NotFoundError",
        "dicht@voorbeeld.example": "AccessDeniedError",
    }
    assert h.edges.directory.open_mailboxes([]) == {}


def test_colleagues_of_business_central(h: Harness) -> None:
    company = h.sim.info()["companies"][0]["id"]
    anna = Colleague("AB", "Anna", "anna@voorbeeld.example")
    assert h.edges.business_central.fetch_salespeople(company) == [anna]
    with pytest.raises(ConfigError, match="field_profile"):
        h.edges.business_central.fetch_users(company)
    edges = h.open()
    edges.business_central_settings = replace(edges.business_central_settings, field_profile="extended")
    assert edges.business_central.fetch_salespeople(company) == [anna]
    users = edges.business_central.fetch_users(company)
    assert users == [Colleague("ANNA", "Anna Bos", "anna@voorbeeld.example")]
    h.sim.control("POST", "bc/company", {"company": COMPANY, "rights": {"users": 403}})
    with pytest.raises(AccessDeniedError):
        edges.business_central.fetch_users(company)
