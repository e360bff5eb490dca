"""The demo's judge must find each kind of difference: it decides whether the demo says that all is well."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from demo_parts.agreement import Expected, compare

COMPANY = "Voorbeeld BV"
ID = "11111111-1111-4111-8111-111111111111"
OTHER = "22222222-2222-4222-8222-222222222222"


def contact(contact_id: str, email: str, **changes: Any) -> dict[str, Any]:
    blank = dict.fromkeys(
        (
            "jobTitle",
            "companyName",
            "phoneNumber",
            "mobilePhoneNumber",
            "website",
            "addressLine1",
            "addressLine2",
        ),
        "",
    )
    blank |= dict.fromkeys(("city", "state", "postalCode", "country"), "")
    whole = {
        "id": contact_id,
        "type": "Person",
        "displayName": "Iris Veen",
        "email": email,
        "privacyBlocked": False,
    }
    return whole | blank | changes


def item(contact_id: str, email: str, **changes: Any) -> dict[str, Any]:
    properties = {"displayName": "Iris Veen", "emailAddresses": [{"address": email}]} | changes
    key = {"String x Name k": f"tenant/production/{OTHER}/{contact_id}|made_by_sync"} if contact_id else {}
    return {"immutable_id": f"item-{contact_id or email}", "properties": properties, "extended": key}


@pytest.fixture
def world() -> dict[str, Any]:
    given = contact(
        ID, "Iris@voorbeeld.example;thuis@voorbeeld.example", phoneNumber="020-555 01 10", country="NL"
    )
    shown = item(
        ID,
        "iris@voorbeeld.example",
        businessPhones=["+31 20 5550110"],
        businessAddress={"countryOrRegion": "Nederland"},
    )
    return {
        "companies": [{"name": COMPANY, "countries": {"NL": "Netherlands"}, "contacts": [given]}],
        "mailboxes": [
            {
                "user_principal_name": "a@b.example",
                "folders": [{"name": "Business Central", "contacts": [shown]}],
            }
        ],
    }


def problems(world: dict[str, Any], excuses: Any = None, **shows: list[str]) -> list[str]:
    return compare(world, [Expected("a@b.example", COMPANY, shows=shows)], excuses or {}).problems


def test_equal_in_other_spelling_is_agreement(world: dict[str, Any]) -> None:
    found = compare(world, [Expected("a@b.example", COMPANY)], {})
    assert found.problems == []
    assert found.compared == 1


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("displayName", "Iris de Veen"),
        ("emailAddresses", [{"address": "thuis@voorbeeld.example"}]),
        ("businessPhones", ["+31 20 5550111"]),
        ("mobilePhone", "06 12345678"),
        ("jobTitle", "Inkoper"),
        ("companyName", "X"),
        ("businessHomePage", "x.example"),
        ("businessAddress", {"countryOrRegion": "België"}),
        ("businessAddress", {"countryOrRegion": "Nederland", "street": "Kade 1"}),
        ("businessAddress", {"countryOrRegion": "Nederland", "city": "Leiden"}),
        ("businessAddress", {"countryOrRegion": "Nederland", "state": "ZH"}),
        ("businessAddress", {"countryOrRegion": "Nederland", "postalCode": "1234 AB"}),
    ],
)
def test_any_differing_field_is_found(world: dict[str, Any], name: str, value: Any) -> None:
    world["mailboxes"][0]["folders"][0]["contacts"][0]["properties"][name] = value
    assert len(problems(world)) == 1


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("surname", "de Veen"),
        ("givenName", None),
        ("initials", "J."),
        ("emailAddresses", [{"address": "iris@voorbeeld.example"}, {"address": "eigen@voorbeeld.example"}]),
    ],
)
def test_any_differing_field_of_the_extended_profile_is_found(
    world: dict[str, Any], name: str, value: Any
) -> None:
    extended = {
        "firstName": "Iris",
        "middleName": "",
        "surname": "Veen",
        "initials": "I.",
        "email2": "I2@x.example",
    }
    world["companies"][0]["contacts"][0] |= extended
    item = world["mailboxes"][0]["folders"][0]["contacts"][0]["properties"]
    own = [{"address": "eigen@voorbeeld.example"}, {"address": "i2@x.example"}]
    # Each side may split the name its own way, and the colleague's own addresses may be there too.
    item |= {"surname": "Veen", "givenName": "", "middleName": "Iris", "initials": "I."}
    item["emailAddresses"] = [*item["emailAddresses"], *own]
    expected = Expected("a@b.example", COMPANY, extended=True)
    assert compare(world, [expected], {}).problems == []
    item[name] = value
    if name == "givenName":
        item["middleName"] = ""
    assert len(compare(world, [expected], {}).problems) == 1


def test_a_missing_an_extra_and_a_doubled_item_are_found(world: dict[str, Any]) -> None:
    items = world["mailboxes"][0]["folders"][0]["contacts"]
    items.append(copy.deepcopy(items[0]))
    assert "2 times" in problems(world)[0]
    items[:] = [item("", "vreemd@voorbeeld.example")]
    assert len(problems(world)) == 2


def test_a_contact_outside_the_filter_need_not_be_there(world: dict[str, Any]) -> None:
    world["mailboxes"][0]["folders"][0]["contacts"] = []
    assert problems(world, city=["Leiden"]) == []
    assert len(problems(world, city=["*"])) == 1


def test_only_known_reasons_excuse(world: dict[str, Any]) -> None:
    world["mailboxes"][0]["folders"][0]["contacts"] = []
    assert problems(world, {("a@b.example", ID, ""): "held"}) == []
    assert problems(world, {("a@b.example", ID, ""): "no_answer"})
    assert problems(world, {("other@b.example", ID, ""): "held"})


def test_a_refused_field_excuses_that_field_only(world: dict[str, Any]) -> None:
    properties = world["mailboxes"][0]["folders"][0]["contacts"][0]["properties"]
    properties["jobTitle"] = "x" * 40
    excuse = {("a@b.example", f"item-{ID}", "job_title"): "too_long"}
    assert problems(world, excuse) == []
    properties["mobilePhone"] = "06 12345678"
    assert len(problems(world, excuse)) == 1


def test_a_blocked_person_in_outlook_is_a_problem(world: dict[str, Any]) -> None:
    world["companies"][0]["contacts"][0]["privacyBlocked"] = True
    assert "privacy" in problems(world)[0]
