"""Required fields (rules 3), one by one and by the column."""

from __future__ import annotations

import pandas as pd
import pytest

from sync_lib.fields.reading import from_outlook
from sync_lib.fields.required import (
    new_item_problem,
    problems,
    to_business_central_problem,
    to_outlook_problem,
)

CASES = [
    ("Jan", "jan@x.example", None),
    ("Jan", "jan@x.example; nonsense", None),
    ("", "jan@x.example", "name_missing"),
    (" \x00\u2028", "jan@x.example", "name_missing"),
    ("\u200b", "jan@x.example", "name_missing"),
    ("\u2060 \u200e\ufeff\u200d", "jan@x.example", "name_missing"),
    ("\u200bJan", "jan@x.example", None),
    ("", "", "name_missing"),
    ("Jan", " ", "email_missing"),
    ("Jan", "jan", "email_invalid"),
]


@pytest.mark.parametrize(("name", "email", "problem"), CASES)
def test_problem(name, email, problem):
    assert to_outlook_problem(name, email) == problem
    assert to_business_central_problem({"name": name, "email": email}) == problem


def test_missing_keys_are_missing_values():
    assert to_business_central_problem({}) == "name_missing"
    assert to_business_central_problem({"name": "Jan"}) == "email_missing"


def test_a_surname_is_a_name():
    record = {"displayName": None, "surname": "Smit", "emailAddresses": [{"address": "s@x.example"}]}
    assert to_business_central_problem(from_outlook(record, "standard")) is None


def test_by_the_column():
    frame = pd.DataFrame(CASES, columns=["name", "email", "problem"], index=range(10, 10 + len(CASES)))
    found = problems(frame["name"], frame["email"])
    assert list(found) == [problem or "" for _, _, problem in CASES]
    assert list(found.index) == list(frame.index)
    assert problems(frame["name"][:0], frame["email"][:0]).dtype == found.dtype


def card(name, *addresses, **properties):
    """An item as Outlook stores it."""
    return {"displayName": name, "emailAddresses": [{"address": each} for each in addresses], **properties}


@pytest.mark.parametrize(
    ("record", "problem"),
    [
        (card("JAN@x.example", "jan@X.example"), "name_missing"),
        (card("jan@münchen.example", "jan@xn--mnchen-3ya.example"), "name_missing"),
        (card("prive@x.example", "j@x.example", "prive@x.example"), "name_missing"),
        (card(" de molen bv", "info@x.example", companyName="De Molen BV"), "name_missing"),
        (card("De Molen BV", "info@x.example", companyName="De Molen BV", surname="Molen"), None),
        (card("jan@x.example", "jan@x.example", givenName="Jan"), None),
        (card("Jan", "jan@x.example", companyName="De Molen BV"), None),
        (card("De Molen BV", "info@x.example"), None),
        (card("", "info@x.example"), "name_missing"),
        (card("Jan", ""), "email_invalid"),
    ],
)
def test_a_new_item_needs_a_name_of_its_own(record, problem):
    """F7: neither its address nor the name of its company is one."""
    assert new_item_problem(from_outlook(record, "standard"), record) == problem
