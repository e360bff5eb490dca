"""Filters of several groups as persons write them, and which contacts they hold; spelled out here again (rules 4)."""

from __future__ import annotations

from typing import Any

#: A field's caption in Business Central, and an expression.
Pair = tuple[str, str]
#: Pairs that must all hold.
Group = tuple[Pair, ...]

_PROPERTIES = {
    "City": "city", "Name": "displayName", "Job Title": "jobTitle", "Mobile Phone No.": "mobilePhoneNumber",
    "Country/Region Code": "country", "Salesperson Code": "salespersonCode",
}  # fmt: skip
SALESPERSON = "Salesperson Code"
#: Codes of salespeople, "" for none.
SALESPEOPLE = ("", "AB", "CD")
#: What a history draws beside the filter on cities that it always had: each one group of it or more.
DRAWN: tuple[tuple[Group, ...], ...] = (
    (),
    ((("City", "Haarlem"),),),
    ((("City", "Utrecht"), ("Job Title", "<>''")),),
    ((("City", "Zaandam"),), (("Country/Region Code", "BE|DE"),)),
    ((("Name", "*naam*"),), (("City", "Utrecht"), ("Mobile Phone No.", "''"))),
)
#: The same with the salesperson, whom the extended page alone shows.
OF_SALESPEOPLE: tuple[tuple[Group, ...], ...] = (
    (((SALESPERSON, "%me"),),),
    (((SALESPERSON, "%me"), ("City", "<>Utrecht")), (("City", "Haarlem"),)),
)


def names_salesperson(groups: tuple[Group, ...]) -> bool:
    """Whether a filter needs the extended page."""
    return any(caption == SALESPERSON for group in groups for caption, _ in group)


def holds(groups: tuple[Group, ...], contact: dict[str, Any], me: str) -> bool:
    """Whether a contact is in a filter: in one of its groups, where there is any."""
    return not groups or any(
        all(
            _fits(expression, str(contact.get(_PROPERTIES[caption]) or ""), me)
            for caption, expression in group
        )
        for group in groups
    )


def _fits(expression: str, value: str, me: str) -> bool:
    return any(_is(part, value, me) for part in expression.split("|"))


def _is(part: str, value: str, me: str) -> bool:
    if part.startswith("<>"):
        return not _is(part.removeprefix("<>"), value, me)
    if part == "%me":
        return bool(me) and value == me
    if part == "''":
        return value == ""
    if part.startswith("*"):
        return part.strip("*") in value
    return value == part
