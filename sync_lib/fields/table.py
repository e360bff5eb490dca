"""The mapping as data (rules 6): one row per field that both sides know. Reading and writing go by these rows.

Sources: BC columns and lengths from ``bc_columns.py``; Outlook properties from Microsoft Graph's ``contact`` resource.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Literal

from sync_lib.fields.bc_columns import BC_COLUMNS
from sync_lib.model import Direction

NormalForm = Literal["text", "lines", "email", "phone", "code", "country", "post_code"]


@dataclass(frozen=True, slots=True)
class FieldMap:
    """One mapped field.

    Attributes:
        name: Canonical name, key of ``Fields``.
        bc_columns: Columns of ``BC_COLUMNS`` that hold it, in order; several for the lines of the street.
        outlook_property: Property of Graph's contact; ``a.b`` inside an address, ``a[0]`` a slot of an array.
        direction: Which way it travels.
        form: How two values are compared.
        lengths: BC's limit per column, in characters.
        extended: True when only the ``extended`` field profile carries it.
    """

    name: str
    bc_columns: tuple[str, ...]
    outlook_property: str
    direction: Direction
    form: NormalForm
    lengths: tuple[int, ...]
    extended: bool = False

    @property
    def is_part_of_address(self) -> bool:
        """Whether it is one of the parts that are read and written together."""
        return self.outlook_property.startswith(ADDRESS)

    @property
    def is_scalar(self) -> bool:
        """Whether the whole property of Outlook is the field, and the field is the whole property."""
        return not set(self.outlook_property) & set(".[")

    @property
    def outlook_key(self) -> str:
        """Its property in Outlook, without the address or slot around it: ``businessAddress.city`` -> ``city``."""
        return self.outlook_property.removeprefix(ADDRESS).partition("[")[0]


#: Outlook's property that holds the parts of the address.
ADDRESS = "businessAddress."
#: The parts of a name; each side may split one name its own way.
NAME_PARTS = ("first_name", "middle_name", "surname")


def _row(
    name: str, outlook_property: str, form: NormalForm, length: int, *, extended: bool = False
) -> FieldMap:
    return FieldMap(name, (name,), outlook_property, Direction.BOTH, form, (length,), extended)


#: The order is the order of the fingerprint: changing it takes a new ``NORMALISER_VERSION``.
#: The name parts of the ``standard`` field profile are no rows: they are split from ``name`` (``names.split_name``),
#: travel to Outlook only and are never compared.
FIELD_MAPS: tuple[FieldMap, ...] = (
    _row("name", "displayName", "text", 100),
    _row("email", "emailAddresses[0]", "email", 80),
    _row("job_title", "jobTitle", "text", 30),
    _row("company_name", "companyName", "text", 100),
    _row("phone", "businessPhones[0]", "phone", 30),
    _row("mobile_phone", "mobilePhone", "phone", 30),
    _row("home_page", "businessHomePage", "code", 255),
    FieldMap("street", ("address", "address2"), "businessAddress.street", Direction.BOTH, "lines", (100, 50)),
    _row("city", "businessAddress.city", "text", 30),
    _row("county", "businessAddress.state", "text", 30),
    _row("post_code", "businessAddress.postalCode", "post_code", 20),
    _row("country", "businessAddress.countryOrRegion", "country", 10),
    _row("first_name", "givenName", "text", 30, extended=True),
    _row("middle_name", "middleName", "text", 30, extended=True),
    _row("surname", "surname", "text", 30, extended=True),
    _row("initials", "initials", "text", 30, extended=True),
    _row("email2", "emailAddresses[1..2]", "email", 80, extended=True),
)

#: In which order BC must get them: the name before its parts would split it, the company before everything that it may
#: hand down, the country before the post code and city that a change of country clears. What is not named here follows.
_BC_ORDER = (
    *("name", *NAME_PARTS, "initials", "company_name", "job_title"),
    *("country", "post_code", "city", "county", "street"),
    *("phone", "mobile_phone", "email", "email2", "home_page"),
)  # fmt: skip

_NAMES = ("name", *NAME_PARTS, "initials")


def _selected() -> tuple[str, ...]:
    rows = sorted(FIELD_MAPS, key=lambda row: row.name not in _NAMES)
    roots = (row.outlook_property.partition(".")[0].partition("[")[0] for row in rows)
    return (*dict.fromkeys(roots), "categories")


#: What a read of Outlook contacts selects, and what ``reading.from_outlook`` understands: names first.
OUTLOOK_PROPERTIES: tuple[str, ...] = _selected()
#: BC's property by staging column.
BC_PROPERTIES: dict[str, str] = {column.name: column.property for column in BC_COLUMNS}


@cache
def mapped_fields(field_profile: str) -> tuple[FieldMap, ...]:
    """Return the rows that a field profile (``standard`` or ``extended``) maps, in fixed order."""
    return tuple(row for row in FIELD_MAPS if field_profile == "extended" or not row.extended)


@cache
def diffed_fields(field_profile: str) -> tuple[str, ...]:
    """Return the names of the two-way fields of a field profile: those that the diff compares."""
    return tuple(row.name for row in mapped_fields(field_profile) if row.direction is Direction.BOTH)


@cache
def written_to_bc(field_profile: str) -> tuple[FieldMap, ...]:
    """Return the rows that a field profile maps, in the order in which BC must get them."""
    ranks = {name: rank for rank, name in enumerate(_BC_ORDER)}
    return tuple(sorted(mapped_fields(field_profile), key=lambda row: ranks.get(row.name, len(ranks))))
