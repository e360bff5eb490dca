"""The Contact table of a company: rows, what is visible of them, and transactions that are held open.

A row is never changed in place: a write stores a changed copy. That makes
snapshots, rollbacks and held transactions simple.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, field, replace
from operator import attrgetter
from typing import Any

from sandbox.clock import sql_milliseconds
from sandbox.guids import make_uuid

BLANK_DATE = "0001-01-01"
NOBODY = "00000000-0000-0000-0000-000000000000"


@dataclass(slots=True)
class Row:
    """One contact, with the fields of both pages and a few that no page shows."""

    id: str
    number: str = ""
    type: str = "Company"
    display_name: str = ""
    job_title: str = ""
    company_number: str = ""
    company_name: str = ""
    relation: str = "_x0020_"
    address1: str = ""
    address2: str = ""
    city: str = ""
    state: str = ""
    country: str = ""
    postal_code: str = ""
    phone: str = ""
    mobile: str = ""
    email: str = ""
    website: str = ""
    search_name: str = ""
    privacy_blocked: bool = False
    tax_number: str = ""
    last_interaction: str = BLANK_DATE
    first_name: str = ""
    middle_name: str = ""
    surname: str = ""
    initials: str = ""
    email2: str = ""
    salesperson: str = ""
    territory: str = ""
    language: str = ""
    minor: bool = False
    modified_by: str = NOBODY
    delete_refused: str = ""
    created: int = 0
    modified: int = 0
    row_version: int = 0


@dataclass(frozen=True)
class Field:
    """One property of an API page and what its table field accepts.

    ``shown``: the page only shows it. Users change it in BC itself; here their calls play that.
    """

    name: str
    attribute: str
    kind: str = "text"
    length: int = 0
    editable: bool = True
    shown: bool = False

    def takes(self, identity: str) -> bool:
        """Return whether a caller's value is written."""
        return self.editable and (not self.shown or identity == "user")


STANDARD = (
    Field("id", "id", "guid", editable=False),
    Field("number", "number", "code", 20),
    Field("type", "type", "type"),
    Field("displayName", "display_name", "text", 100),
    Field("jobTitle", "job_title", "text", 30),
    Field("companyNumber", "company_number", "code", 20),
    Field("companyName", "company_name", "text", 100),
    Field("contactBusinessRelation", "relation", "relation", editable=False),
    Field("addressLine1", "address1", "text", 100),
    Field("addressLine2", "address2", "text", 50),
    Field("city", "city", "text", 30),
    Field("state", "state", "text", 30),
    Field("country", "country", "code", 10),
    Field("postalCode", "postal_code", "code", 20),
    Field("phoneNumber", "phone", "phone", 30),
    Field("mobilePhoneNumber", "mobile", "phone", 30),
    Field("email", "email", "email", 80),
    Field("website", "website", "text", 255),
    Field("searchName", "search_name", "code", 100),
    Field("privacyBlocked", "privacy_blocked", "bool"),
    Field("taxRegistrationNumber", "tax_number", "text", 20),
    Field("lastInteractionDate", "last_interaction", "date", editable=False),
    Field("lastModifiedDateTime", "modified", "datetime", editable=False),
)
_SHOWN = frozenset(("number", "companyName", "searchName", "privacyBlocked", "taxRegistrationNumber"))
EXTENDED = (
    *(replace(each, shown=each.name in _SHOWN) for each in STANDARD),
    Field("firstName", "first_name", "text", 30),
    Field("middleName", "middle_name", "text", 30),
    Field("surname", "surname", "text", 30),
    Field("initials", "initials", "text", 30),
    Field("email2", "email2", "email", 80),
    Field("salespersonCode", "salesperson", "code", 20, shown=True),
    Field("territoryCode", "territory", "code", 10, shown=True),
    Field("languageCode", "language", "code", 10, shown=True),
    Field("minor", "minor", "bool", shown=True),
    Field("systemModifiedBy", "modified_by", "guid", editable=False),
    Field("systemRowVersion", "row_version", "integer", editable=False),
)
HIDDEN = (
    Field("deleteRefused", "delete_refused", "text", 250),
    Field("systemCreatedAt", "created", "datetime", editable=False),
)
read_all = attrgetter(*(f.attribute for f in (*EXTENDED, *HIDDEN)))

COUNTRIES = {
    "AT": "Austria",
    "BE": "Belgium",
    "CH": "Switzerland",
    "DE": "Germany",
    "DK": "Denmark",
    "ES": "Spain",
    "FR": "France",
    "GB": "Great Britain",
    "IT": "Italy",
    "LU": "Luxembourg",
    "NL": "Netherlands",
    "PL": "Poland",
    "SE": "Sweden",
    "US": "USA",
}


class Company:
    """A company with its contacts and the tables that contacts refer to."""

    def __init__(self, company_id: str, name: str) -> None:
        self.id = company_id
        self.name = name
        self.display_name = name
        self.state = "normal"
        self.rows: dict[str, Row] = {}
        self.numbers: dict[str, str] = {}
        self.countries: dict[str, str] = dict(COUNTRIES)
        self.post_codes: dict[str, tuple[str, str]] = {}
        self.salespeople: list[dict[str, str]] = []
        self.users: list[dict[str, str]] | None = None
        self.manual_numbers = False
        #: Entity set -> status with which the app is refused.
        self.rights: dict[str, int] = {}
        self.next_number = 1
        self.defaults: dict[str, str] = {}
        self.inherit: list[str] = ["salesperson", "territory", "country", "address"]
        self.row_version = 1000
        self.created_ids = 0
        self.held: dict[str, Row | None] | None = None
        self.held_by = "user"
        self.replica: dict[str, Row] | None = None
        self._sorted: list[Row] | None = None

    def visible(self, *, read_only: bool = False) -> dict[str, Row]:
        """Return the committed rows, or those of the lagging replica."""
        return self.replica if read_only and self.replica is not None else self.rows

    def sorted_rows(self) -> list[Row]:
        """Return the committed rows in the order of their numbers."""
        if self._sorted is None:
            self._sorted = sorted(self.rows.values(), key=attrgetter("number", "id"))
        return self._sorted

    def in_transaction(self, identity: str) -> bool:
        """Return whether writes of this caller belong to the transaction that is held open."""
        return self.held is not None and self.held_by in (identity, "any")

    def current(self, row_id: str, identity: str) -> Row | None:
        """Return a row as this caller's own transaction sees it."""
        if self.held is not None and self.in_transaction(identity) and row_id in self.held:
            return self.held[row_id]
        return self.rows.get(row_id)

    def is_locked(self, row_id: str, identity: str) -> bool:
        """Return whether another caller's open transaction has written this row."""
        return self.held is not None and not self.in_transaction(identity) and row_id in self.held

    def everything(self, identity: str) -> list[Row]:
        """Return all rows as this caller's own transaction sees them."""
        if not self.in_transaction(identity) or not self.held:
            return list(self.rows.values())
        rows: dict[str, Row | None] = {**self.rows, **self.held}
        return [row for row in rows.values() if row is not None]

    def find_number(self, number: str, identity: str) -> Row | None:
        """Return the row with this number."""
        if self.in_transaction(identity) and self.held:
            return next((row for row in self.everything(identity) if row.number == number), None)
        row_id = self.numbers.get(number)
        return self.rows.get(row_id) if row_id else None

    def new_row(self, seed: object) -> Row:
        """Return a blank row with a new id."""
        self.created_ids += 1
        return Row(make_uuid("bc contact", seed, self.id, self.created_ids))

    def take_number(self, identity: str) -> str:
        """Return the next free number of the series."""
        while True:
            number = f"CT{self.next_number:06d}"
            self.next_number += 1
            if self.find_number(number, identity) is None:
                return number

    def store(self, row: Row, now: float, identity: str) -> Row:
        """Stamp a row and write it; inside a held transaction it stays invisible."""
        self.row_version += 1
        row.row_version = self.row_version
        row.modified = sql_milliseconds(now)
        row.modified_by = make_uuid("bc user", identity)
        row.created = row.created or row.modified
        if self.held is not None and self.in_transaction(identity):
            self.held[row.id] = row
        else:
            self.commit(row.id, row)
        return row

    def remove(self, row: Row, identity: str) -> None:
        """Delete a row."""
        if self.held is not None and self.in_transaction(identity):
            self.held[row.id] = None
        else:
            self.commit(row.id, None)

    def commit(self, row_id: str, row: Row | None) -> None:
        """Make one written row, or its deletion, visible as it is."""
        old = self.rows.pop(row_id, None)
        if old is not None and self.numbers.get(old.number) == row_id:
            del self.numbers[old.number]
        if row is not None:
            self.rows[row_id] = row
            self.numbers[row.number] = row_id
        self._sorted = None

    def hold(self, identity: str) -> None:
        """Open a transaction: from now on the writes of ``identity`` are stamped but not visible."""
        self.held, self.held_by = self.held or {}, identity

    def release(self, *, rollback: bool = False) -> int:
        """Commit (or roll back) the held transaction; return the number of rows in it."""
        held, self.held = self.held or {}, None
        if not rollback:
            for row_id, row in held.items():
                self.commit(row_id, row)
        return len(held)

    def save(self) -> tuple[dict[str, Row], dict[str, str], dict[str, Row | None] | None]:
        """Return what :meth:`restore` needs to undo the writes that follow."""
        return dict(self.rows), dict(self.numbers), None if self.held is None else dict(self.held)

    def restore(self, saved: tuple[dict[str, Row], dict[str, str], dict[str, Row | None] | None]) -> None:
        """Undo all writes since ``saved`` was taken."""
        self.rows, self.numbers, self.held = saved
        self._sorted = None

    def freeze_replica(self, *, frozen: bool) -> None:
        """Let reads with ``Data-Access-Intent: ReadOnly`` lag behind from now on, or catch up."""
        self.replica = dict(self.rows) if frozen else None


def changed(row: Row, values: dict[str, Any]) -> Row:
    """Return a copy of a row with other values."""
    result = copy.copy(row)
    for name, value in values.items():
        setattr(result, name, value)
    return result


@dataclass
class Draft:
    """A row while a request is being applied, with the company it belongs to."""

    row: Row
    company: Company
    identity: str
    is_new: bool
    cascade: dict[str, Any] = field(default_factory=dict)
