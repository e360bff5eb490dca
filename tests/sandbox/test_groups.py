"""Groups of Entra ID, and the lists of colleagues that Business Central has."""

from __future__ import annotations

import pytest

from sandbox import Sandbox
from tests.sandbox.conftest import Client

ROLES = ["Contacts.ReadWrite", "User.Read.All", "GroupMember.Read.All"]
PEOPLE = [f"p{n:02}@voorbeeld.example" for n in range(25)]
WORLD = {
    "companies": [
        {
            "name": "A",
            "salespeople": [{"code": "AB", "displayName": "Anna", "email": "anna@voorbeeld.example"}],
            "users": [
                {
                    "userName": "ANNA",
                    "displayName": "Anna Bos",
                    "authenticationEmail": "anna@voorbeeld.example",
                }
            ],
        }
    ],
    "mailboxes": [
        *PEOPLE,
        {"user_principal_name": "weg@voorbeeld.example", "state": "disabled"},
        {"user_principal_name": "kaal@voorbeeld.example", "state": "no_mailbox"},
        {
            "user_principal_name": "gast_elders.example#EXT#@voorbeeld.example",
            "mail": "gast@elders.example",
            "user_type": "Guest",
            "state": "no_mailbox",
        },
    ],
    "groups": [
        {"name": "Verkoop", "members": [*PEOPLE[:20], "Binnendienst"]},
        {"name": "Binnendienst", "members": [*PEOPLE[15:], "weg@voorbeeld.example", "Verkoop"]},
    ],
}
QUERY = "$count=true&$select=id,mail,userPrincipalName,accountEnabled"


@pytest.fixture
def client() -> Client:
    with Sandbox(world=WORLD) as sim:
        sim.control("POST", "entra/app", {"graph_roles": ROLES})
        yield Client(sim, "graph")


def members(client: Client, name: str = "Verkoop", query: str = QUERY) -> list[str]:
    found = client.ok("GET", f"{client.graph}/groups?$filter=displayName eq '{name}'&$select=id")["value"]
    url = f"{client.graph}/groups/{found[0]['id']}/transitiveMembers/microsoft.graph.user?{query}"
    pages = client.pages(url, ConsistencyLevel="eventual")
    return [user["userPrincipalName"] for page in pages for user in page["value"]]


def test_members_of_groups_within_it_are_listed_once_and_in_pages(client):
    expected = [*PEOPLE, "weg@voorbeeld.example"]
    assert members(client) == expected
    assert members(client, query=f"{QUERY}&$top=7") == expected


def test_a_cast_takes_the_advanced_form_of_a_query(client):
    group = client.sim.dump()["groups"][0]["id"]
    url = f"{client.graph}/groups/{group}/transitiveMembers/microsoft.graph.user"
    assert client.get(f"{url}?$count=true").json()["error"]["code"] == "Request_UnsupportedQuery"
    assert client.get(url, ConsistencyLevel="eventual").status_code == 400


def test_the_right_can_be_missing_and_so_can_that_to_read_users(client):
    group = client.sim.dump()["groups"][0]["id"]
    url = f"{client.graph}/groups/{group}/transitiveMembers/microsoft.graph.user?{QUERY}"
    client.sim.control("POST", "entra/app", {"graph_roles": ["Contacts.ReadWrite", "User.Read.All"]})
    refused = Client(client.sim, "graph")
    for path in ("groups?$select=id", f"groups/{group}", f"groups/{group}/transitiveMembers/{url[-1]}"):
        assert refused.get(f"{client.graph}/{path}").status_code in (403, 404)
    answer = refused.get(url, ConsistencyLevel="eventual")
    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "Authorization_RequestDenied")
    client.sim.control("POST", "entra/app", {"graph_roles": ["GroupMember.Read.All"]})
    blind = Client(client.sim, "graph").ok("GET", url, ConsistencyLevel="eventual")["value"]
    assert blind[0]["id"]
    assert {blind[0]["userPrincipalName"], blind[0]["mail"], blind[0]["accountEnabled"]} == {None}


def test_the_basic_profile_does_not_say_whether_an_account_is_enabled(client):
    client.sim.control("POST", "entra/app", {"graph_roles": ["GroupMember.Read.All", "User.ReadBasic.All"]})
    basic = Client(client.sim, "graph")
    users = basic.ok("GET", f"{client.graph}/users?$select=userPrincipalName,mail,accountEnabled")["value"]
    assert {user["accountEnabled"] for user in users} == {None}
    assert {user["mail"] for user in users} >= {PEOPLE[0], None, "gast@elders.example"}
    client.sim.set(graph_basic_profile="403")
    group = client.sim.dump()["groups"][0]["id"]
    for path in (
        "users?$select=accountEnabled",
        f"groups/{group}/transitiveMembers/microsoft.graph.user?{QUERY}",
    ):
        assert basic.get(f"{client.graph}/{path}", ConsistencyLevel="eventual").status_code == 403
    assert basic.get(f"{client.graph}/users?$select=mail").ok


def test_administrators_change_groups(client):
    change = {"group": "Verkoop", "add": ["kaal@voorbeeld.example"], "remove": [PEOPLE[0], "Binnendienst"]}
    client.sim.control("POST", "entra/group", change)
    assert members(client) == [*PEOPLE[1:20], "kaal@voorbeeld.example"]
    client.sim.control("POST", "entra/group", {"group": "Verkoop", "rename": "Sales", "members": []})
    assert members(client, "Sales") == []
    client.sim.control("POST", "entra/group", {"group": "Nieuw", "create": True, "add": [PEOPLE[3]]})
    assert members(client, "Nieuw") == [PEOPLE[3]]
    client.sim.control("POST", "entra/group", {"group": "Nieuw", "state": "removed"})
    group = client.sim.dump()["groups"][-1]["id"]
    answer = client.get(f"{client.graph}/groups/{group}")
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "Request_ResourceNotFound")
    dump = client.sim.dump()
    client.sim.reset(world=dump)
    assert client.sim.dump() == dump


def test_the_extended_api_lists_salespeople_and_users(client):
    bc = Client(client.sim, "bc")
    people = bc.ok("GET", f"{bc.extended}/salespeoplePurchasers?$select=code,displayName,email")["value"]
    assert [(p["code"], p["email"]) for p in people] == [("AB", "anna@voorbeeld.example")]
    users = bc.ok("GET", f"{bc.extended}/users?$select=userName,displayName,authenticationEmail")["value"]
    assert [(u["userName"], u["displayName"]) for u in users] == [("ANNA", "Anna Bos")]
    assert bc.get(f"{bc.company}/users").status_code == 404
    assert bc.ok("GET", f"{bc.company}/salespeoplePurchasers")["value"][0]["phoneNo"] == ""
    client.sim.control("POST", "bc/company", {"rights": {"salespeoplePurchasers": 403}})
    assert bc.get(f"{bc.extended}/salespeoplePurchasers").status_code == 403
