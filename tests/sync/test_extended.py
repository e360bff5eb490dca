"""Whole runs of the ``extended`` field profile beside its fields: filters, the page itself, drift, erasure, undo."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import select

from sync_lib.diff.agreement import Agreement
from sync_lib.operate.checks import Check, check_connections
from sync_lib.operate.housekeeping import check_drift
from sync_lib.store import tables as t
from sync_lib.store.engine import read, transaction
from sync_lib.store.erasure import Wanted, erase
from sync_lib.store.profiles import rows as profiles
from sync_lib.store.undo import Asked, ask
from tests.sync.harness import Harness, person, settled, world
from tests.sync.test_fields import addresses, use

ANNA, JORIS, LIEKE = (f"{name}@voorbeeld.example" for name in ("anna", "joris", "lieke"))
SALESPEOPLE = [
    {"code": "AB", "displayName": "Anna Bakker", "email": ANNA},
    {"code": "JV", "displayName": "Joris Visser", "email": f"{JORIS.upper()}; verkoop@voorbeeld.example"},
]


@pytest.fixture
def sold(make_harness: Any) -> Harness:
    """Persons of two salespeople and two territories, and three colleagues."""
    people = (
        person("Els Kok", salespersonCode="AB", territoryCode="NOORD"),
        person("Bo Smit", salespersonCode="JV", territoryCode="NOORD"),
        person("Kim Tan", salespersonCode="JV", territoryCode="ZUID"),
        person("Mia Bos"),
    )
    made = make_harness(
        world(*people, mailboxes=[ANNA, JORIS, LIEKE], salespeople=SALESPEOPLE), transport="in_process"
    )
    h: Harness = use(made, "extended")
    h.add_profiles(ANNA, filter={"Salesperson Code": "%me"}, salesperson="AB")
    h.add_profiles(JORIS, filter={"Salesperson Code": "%me"}, salesperson="jv")
    h.add_profiles(LIEKE, filter={"Territory Code": "noord|''"})
    h.full()
    return h


def shown(h: Harness) -> list[set[str]]:
    return [set(h.items(mailbox)) for mailbox in (ANNA, JORIS, LIEKE)]


def test_each_colleague_gets_their_own_and_a_change_of_salesperson_moves_them(sold):
    assert shown(sold) == [{"Els Kok"}, {"Bo Smit", "Kim Tan"}, {"Els Kok", "Bo Smit", "Mia Bos"}]
    sold.edit_contact("Bo Smit", salespersonCode="AB")
    sold.edit_contact("Kim Tan", territoryCode="NOORD")
    assert sold.run().writes == {"created_outlook": 2, "deleted_outlook": 1}
    assert shown(sold) == [{"Els Kok", "Bo Smit"}, {"Kim Tan"}, {"Els Kok", "Bo Smit", "Kim Tan", "Mia Bos"}]
    sold.edit_contact("Els Kok", salespersonCode="", territoryCode="")
    sold.run()
    assert shown(sold) == [{"Bo Smit"}, {"Kim Tan"}, {"Els Kok", "Bo Smit", "Kim Tan", "Mia Bos"}]
    settled(sold)


def test_a_profile_without_a_code_gets_nobody_and_not_those_without_one(sold):
    sold.add_profiles(ANNA, filter={"Salesperson Code": "%me"})
    sold.run()
    assert shown(sold)[0] == set()


# -- the self-test ---------------------------------------------------------------------------------------------------


def checked(h: Harness, kind: str) -> dict[int, Check]:
    return {check.profile: check for check in check_connections(h.edges) if check.kind == kind}


def test_the_check_names_the_salesperson_with_the_mailboxs_address(sold):
    assert [check.detail for check in checked(sold, "salesperson").values()] == [
        "salesperson AB.",
        "salesperson JV.",
    ]
    sold.add_profiles(JORIS, filter={"Salesperson Code": "%me"})
    sold.add_profiles(LIEKE, filter={"Salesperson Code": "<>%me"}, salesperson="ZZ")
    found = checked(sold, "salesperson")
    assert [(check.ok, check.detail) for check in found.values()] == [
        (True, "salesperson AB."),
        (False, "the salesperson with the mailbox's address is JV, the profile's is -."),
        (False, "Business Central has no salesperson ZZ."),
    ]
    sold.add_profiles(LIEKE, filter={"Salesperson Code": "%me"})
    assert "has no code" in checked(sold, "salesperson")[3].detail


@pytest.mark.parametrize("state", ["missing", "closed"])
def test_a_page_that_is_not_there_is_said_to_be_that(sold, state):
    if state == "missing":
        sold.sim.set(bc_extension="missing")
    else:
        sold.sim.control("POST", "bc/company", {"rights": {"contacts": 403}})
    ran = sold.full()
    assert {company.reason for company in ran.report.companies} == {"extended_page_missing"}
    assert "Install the extension" in ran.verdict.lines[0]
    company = checked(sold, "company")[1]
    assert (company.ok, company.reason) == (False, "extended_page_missing")
    assert "Install the extension" in company.remedy
    assert shown(sold) == [{"Els Kok"}, {"Bo Smit", "Kim Tan"}, {"Els Kok", "Bo Smit", "Mia Bos"}]
    sold.sim.set(bc_extension="published")
    sold.sim.control("POST", "bc/company", {"rights": {}})
    settled(sold)


def test_a_company_that_is_closed_to_the_app_is_no_missing_page(sold):
    sold.sim.control("POST", "bc/company", {"rights": {"contacts": 403, "countriesRegions": 403}})
    assert {c.reason for c in sold.full().report.companies} == {"company_access_denied"}


# -- what people do around the sync ----------------------------------------------------------------------------------


@pytest.fixture
def jan(make_harness: Any) -> Harness:
    parts = {"firstName": "Jan", "middleName": "van", "surname": "Dijk", "initials": "J.P."}
    contact = person("Jan van Dijk", "jan@klant.example", email2="jan@tweede.example", **parts)
    h: Harness = use(make_harness(world(contact, person("Els Kok"))), "extended")
    h.add_profiles()
    h.full()
    return h


def test_drift_in_any_of_its_fields_is_found(jan):
    assert [each.agreement for each in check_drift(jan.edges, "one")] == [Agreement(2, 2, 0)]
    jan.edit_item("Jan van Dijk", initials="X.")
    assert [each.agreement for each in check_drift(jan.edges, "two")] == [Agreement(2, 1, 0)]
    entries = jan.items()["Jan van Dijk"]["emailAddresses"][:1]
    jan.edit_item("Jan van Dijk", initials="J.P.", emailAddresses=entries)
    assert [each.agreement for each in check_drift(jan.edges, "three")] == [Agreement(2, 1, 0)]


def test_an_undo_brings_parts_and_second_address_back_to_both_sides(jan):
    jan.edit_contact("Jan van Dijk", firstName="Johan", email2="", initials="")
    jan.run()
    assert addresses(jan, "Johan van Dijk") == ["jan@klant.example"]
    with read(jan.edges.engine) as conn:
        c = t.change.c
        wanted = select(c.profile, t.plan.c.run, c.plan, c.n).join(t.plan, t.plan.c.id == c.plan)
        profile, run, plan, n = conn.execute(wanted.order_by(c.plan.desc())).first()
    with transaction(jan.edges.engine) as conn:
        ask(conn, Asked(profile, run, plan, n), "anna", jan.edges.now())
    jan.run()
    item, contact = jan.items()["Jan van Dijk"], jan.contacts()["Jan van Dijk"]
    assert (contact["firstName"], contact["initials"], contact["email2"]) == (
        "Jan",
        "J.P.",
        "jan@tweede.example",
    )
    assert (item["givenName"], item["initials"]) == ("Jan", "J.P.")
    assert addresses(jan, "Jan van Dijk") == ["jan@klant.example", "jan@tweede.example"]
    settled(jan)


def test_an_erasure_takes_the_second_address_along(jan):
    with read(jan.edges.engine) as conn:
        company = profiles.read_profiles(conn)[0].company
    jan.delete_contact("Jan van Dijk")
    jan.run()
    assert "jan@tweede.example" in everything(jan)
    erase(jan.edges.engine, Wanted(company, "", "jan@tweede.example"), lease_seconds=1, longest_request=1)
    assert "tweede" not in everything(jan)
    assert "J.P." not in everything(jan)


def everything(h: Harness) -> str:
    with read(h.edges.engine) as conn:
        return str([list(conn.execute(select(table))) for table in t.metadata.sorted_tables])


def test_what_bc_refuses_of_its_fields_is_told_by_field(jan):
    jan.edit_item("Jan van Dijk", initials="X" * 31)
    entries = jan.items()["Jan van Dijk"]["emailAddresses"]
    jan.edit_item("Els Kok", surname="K" * 31, displayName="Els Kok")
    jan.edit_item("Jan van Dijk", emailAddresses=[entries[0], {"address": "geen adres", "name": "x"}])
    ran = jan.run()
    assert ran.reasons() == {"too_long": 2, "email_invalid": 1}
    with read(jan.edges.engine) as conn:
        assert sorted(conn.scalars(select(t.reject.c.field))) == ["email2", "initials", "surname"]
    assert jan.contacts()["Els Kok"]["surname"] == "Kok"
