"""Profiles for many colleagues by one reviewed command: who is proposed, who is left out, and why."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from sqlalchemy import select

from sync_lib.store import tables as t
from sync_lib.store.engine import read
from tests.sync.colleagues import ROLES, Terminal, address, grant, salesperson, tenant
from tests.sync.harness import COMPANY, Harness, person

pytestmark = pytest.mark.sockets

PEOPLE = 6
GUEST = "gast#EXT#@voorbeeld.example"
GROUPS = [
    {"name": "Verkoop", "members": [address(0), address(1), "Binnendienst"]},
    {"name": "Binnendienst", "members": [address(2), "weg@voorbeeld.example", GUEST]},
]
OTHERS = [
    {"user_principal_name": "weg@voorbeeld.example", "state": "disabled"},
    {"user_principal_name": "kaal@voorbeeld.example", "state": "no_mailbox"},
    {"user_principal_name": "dicht@voorbeeld.example", "state": "policy_denied"},
    {
        "user_principal_name": "upn@voorbeeld.example",
        "mail": "anders@voorbeeld.example",
        "other_addresses": ["verkoop@voorbeeld.example"],
    },
    {"user_principal_name": "dubbel@voorbeeld.example", "mail": address(5)},
    {
        "user_principal_name": GUEST,
        "mail": "gast@elders.example",
        "user_type": "Guest",
        "state": "no_mailbox",
    },
]
SALESPEOPLE = [
    *(salesperson(n) for n in (0, 1, 5)),
    {**salesperson(1), "code": "V1B"},
    {"code": "LEEG", "displayName": "Zonder\n# adres", "email": ""},
    {"code": "FOUT", "displayName": "Fout", "email": "geen adres"},
    {"code": "WEG", "displayName": "Weg", "email": "weg@voorbeeld.example"},
    {"code": "KAAL", "displayName": "Kaal", "email": "kaal@voorbeeld.example"},
    {"code": "DICHT", "displayName": "Dicht", "email": "Dicht@Voorbeeld.example"},
    {"code": "NIET", "displayName": "Niet", "email": "niet@voorbeeld.example"},
    {"code": "anders", "displayName": "Anders", "email": "anders@voorbeeld.example; x@y.example"},
    {**salesperson(3), "code": "AL"},
]
USERS = [
    {"userName": "ANNA", "displayName": "Anna", "authenticationEmail": address(2)},
    {"userName": "NIET", "displayName": "Niet", "authenticationEmail": ""},
]


@pytest.fixture
def h(make_harness: Any) -> Harness:
    made: Harness = make_harness(
        tenant(
            person("Jan Jansen"),
            people=PEOPLE,
            groups=GROUPS,
            salespeople=SALESPEOPLE,
            users=USERS,
            others=OTHERS,
        )
    )
    grant(made)
    made.add_profiles(address(3), folder="Klanten")
    return made


@pytest.fixture
def terminal(h: Harness, capsys: Any) -> Terminal:
    return Terminal(h, capsys)


def proposed(text: str) -> dict[str, dict[str, Any]]:
    return {row["mailbox"]: row for row in yaml.safe_load(text)["profiles"]}


def left_out(text: str) -> dict[str, str]:
    lines = [line[4:] for line in text.splitlines() if line.startswith("# - ")]
    return {line.partition(" (")[0]: line.partition("): ")[2] for line in lines}


def test_salespeople_are_proposed_with_their_codes_and_the_others_with_the_reason(terminal):
    written = terminal.propose(
        "--from",
        "salespeople",
        "--folder",
        "Relaties",
        "--filter",
        "Salesperson Code=%me",
        "--language",
        "en",
    )
    rest = {
        "company": COMPANY,
        "folder": "Relaties",
        "filter": {"Salesperson Code": "%me"},
        "language": "en",
    }
    assert proposed(written.out) == {
        address(0): {"mailbox": address(0), **rest, "salesperson": "V00"},
        "upn@voorbeeld.example": {"mailbox": "upn@voorbeeld.example", **rest, "salesperson": "ANDERS"},
    }
    assert left_out(written.out) == {
        "salesperson V01, Collega 1": "several people of the source have this mailbox",
        "salesperson V1B, Collega 1": "several people of the source have this mailbox",
        "salesperson V05, Collega 5": "several users of the tenant have this address",
        "salesperson LEEG, Zonder?# adres": "the source has no e-mail address",
        "salesperson FOUT, Fout": "the source's e-mail address is none",
        "salesperson WEG, Weg": "the account is disabled",
        "salesperson KAAL, Kaal": "the account has no mailbox",
        "salesperson DICHT, Dicht": (
            "the app may not open the mailbox: add it to the group of the app's access policy or RBAC scope"
        ),
        "salesperson NIET, Niet": ("no user of the tenant has this address"),
        "salesperson AL, Collega 3": "has a profile of this company already, which is left alone",
    }
    assert written.err == "2 profiles, 10 people left out.\n"


def test_what_is_proposed_can_be_imported_as_it_is_and_is_then_known(terminal, h, tmp_path):
    file = tmp_path / "profiles.yaml"
    assert terminal.propose("--from", "salespeople", "--out", str(file)).out == f"Wrote {file}.\n"
    with read(h.edges.engine) as conn:
        assert conn.scalars(select(t.sync_profile.c.mailbox)).all() == [address(3)], "nothing was written"
    assert "2 added, 0 changed" in terminal("profiles", "import", str(file)).out
    again = terminal.propose("--from", "salespeople")
    assert yaml.safe_load(again.out) == {"profiles": []}
    assert "left alone" in left_out(again.out)["salesperson V00, Collega 0"]


def test_a_mailbox_that_was_called_otherwise_is_known(terminal, h):
    h.full()
    h.sim.control("POST", "graph/mailbox", {"mailbox": address(3), "rename": "nieuw@voorbeeld.example"})
    h.sim.control(
        "POST",
        "bc/company",
        {"salespeople": [{"code": "N", "displayName": "Nieuw", "email": "nieuw@voorbeeld.example"}]},
    )
    written = left_out(terminal.propose("--from", "salespeople").out)
    assert "left alone" in written["salesperson N, Nieuw"]


def test_any_address_of_a_mailbox_leads_to_it(terminal, h):
    alias = {"code": "ALIAS", "displayName": "Verkoop", "email": "Verkoop@voorbeeld.example"}
    h.sim.control("POST", "bc/company", {"salespeople": [alias]})
    named = "upn@voorbeeld.example"
    assert proposed(terminal.propose("--from", "salespeople").out)[named]["salesperson"] == "ALIAS"
    # An app that may read the basic profile alone is not shown that the two are one.
    grant(h, "Contacts.ReadWrite", "User.ReadBasic.All")
    for refused in ("null", "403"):
        h.sim.set(graph_basic_profile=refused)
        found = left_out(terminal.propose("--from", "salespeople").out)
        assert found == {"salesperson ALIAS, Verkoop": "no user of the tenant has this address"}


def test_standard_business_central_lists_salespeople_too_but_no_users(terminal):
    terminal.field_profile = "standard"
    assert proposed(terminal.propose("--from", "salespeople").out)[address(0)]["salesperson"] == "V00"
    assert "field_profile" in terminal.propose("--from", "bc-users", code=1).err
    refused = terminal.propose("--from", "salespeople", "--filter", "Salesperson Code=%me", code=1).err
    assert "Salesperson Code" in refused


@pytest.mark.parametrize(("status", "said"), [(403, "Let the app read"), (404, "has no list of salespeople")])
def test_what_business_central_does_not_show_is_said_with_the_way_out(terminal, h, status, said):
    h.sim.control("POST", "bc/company", {"rights": {"salespeoplePurchasers": status}})
    for field_profile in ("extended", "standard"):
        terminal.field_profile = field_profile
        written = terminal.propose("--from", "salespeople", code=1).err
        assert said in written
        assert "CSV" in written


def test_users_of_business_central_get_their_codes_where_the_filter_asks(terminal):
    found = terminal.propose("--from", "bc-users").out
    assert proposed(found) == {address(2): {"mailbox": address(2), "company": COMPANY}}
    assert left_out(found) == {"user NIET, Niet": "the source has no e-mail address"}
    asked = left_out(terminal.propose("--from", "bc-users", "--filter", "Salesperson Code=%me").out)
    assert "no salesperson alone has this address" in asked["user ANNA, Anna"]


def test_a_group_is_proposed_with_the_groups_within_it(terminal, h):
    h.sim.set(graph_users_page=2)
    found = terminal.propose("--from", "entra-group", "Verkoop").out
    assert set(proposed(found)) == {address(0), address(1), address(2)}
    assert left_out(found) == {
        "member weg@voorbeeld.example": "the account is disabled",
        "member gast#EXT#@voorbeeld.example": "the account has no mailbox",
    }


def test_a_group_needs_a_right_that_is_named(terminal, h):
    grant(h, "Contacts.ReadWrite", "User.Read.All")
    written = terminal.propose("--from", "entra-group", "Verkoop", code=1).err
    assert "GroupMember.Read.All" in written
    assert "salespeople" in terminal.propose("--from", "salespeople").out, "nothing else needs it"
    grant(h, *ROLES)
    assert "no group 'Inkoop'" in terminal.propose("--from", "entra-group", "Inkoop", code=1).err
    h.sim.control("POST", "entra/group", {"group": "Verkoop", "create": True})
    assert "2 groups of the name" in terminal.propose("--from", "entra-group", "verkoop", code=1).err


def test_a_list_says_what_each_is_to_have(terminal, tmp_path):
    file = tmp_path / "collegas.csv"
    file.write_text(
        "mailbox;salesperson_code;folder;language\n"
        f"{address(0)};ab;Klanten;\n{address(1)};;;en\nniet@voorbeeld.example;;;\n"
    )
    found = terminal.propose("--from", str(file), "--folder", "Relaties").out
    assert proposed(found) == {
        address(0): {"mailbox": address(0), "company": COMPANY, "folder": "Klanten", "salesperson": "AB"},
        address(1): {"mailbox": address(1), "company": COMPANY, "folder": "Relaties", "language": "en"},
    }
    assert list(left_out(found)) == ["line 4"]
    file.write_text("mailbox,language\nanna,dutch\n")
    written = terminal.propose("--from", str(file), code=1).err
    assert "Line 2, column 'mailbox'" in written
    assert "Line 2, column 'language'" in written


def test_a_folder_of_another_company_is_not_proposed_a_second_time(terminal, h, tmp_path):
    with_two = h.sim.dump()
    with_two["companies"].append({"name": "Tweede BV", "salespeople": [salesperson(3)]})
    h.sim.reset(world=with_two)
    command = ("profiles", "propose", "--company", "Tweede BV", "--from", "salespeople")
    assert set(proposed(terminal(*command).out)) == {address(3)}
    assert "by --folder" in terminal(*command, "--folder", "klanten").out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--from", "nobody"), "There is salespeople, bc-users"),
        (("--from", "entra-group"), "There is salespeople, bc-users"),
        (("--from", "salespeople", "--direction", "up"), "'up' is not one of these"),
        (("--from", "salespeople", "--filter", "City"), "field=expression"),
        (("--from", "salespeople", "--filter", "Colour=red"), "Colour"),
    ],
)
def test_what_is_not_understood_is_said(terminal, arguments, said):
    assert said in terminal.propose(*arguments, code=1).err


def test_an_unknown_company_and_missing_connections_are_said(terminal, monkeypatch):
    written = terminal("profiles", "propose", "--company", "Niets", "--from", "salespeople", code=1).err
    assert f"lists no company 'Niets'. It lists: {COMPANY}" in written
    monkeypatch.setattr(
        "tests.sync.colleagues.environment", lambda h, _: {"CONTACT_SYNC_STAGING_URL": h.database}
    )
    written = terminal.propose("--from", "salespeople", code=1).err
    assert "AIRFLOW_CONN_BUSINESS_CENTRAL_DEFAULT" in written
