"""One case for each mapped field, side and kind of edit, made from the mapping table, so that no field is forgotten."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from sync_lib.fields.table import BC_PROPERTIES, FieldMap, mapped_fields
from tests.sync.harness import COMPANY, FOLDER, person

BC, OUTLOOK, BOTH = "bc", "outlook", "both"
#: Side that edits -> kinds of edits.
KINDS = {BC: ("set", "change", "clear"), OUTLOOK: ("set", "change", "clear"), BOTH: ("differ", "same")}
COUNTRIES = {"NL": "Nederland", "BE": "België", "DE": "Duitsland"}
#: Names of company contacts, by which a person's company is found.
COMPANIES = ("Alfa BV", "Beta BV", "Gamma BV")
REQUIRED = ("name", "email")


@dataclass(frozen=True)
class Case:
    """One field of one contact, and who does what with it.

    Attributes:
        row: The field's row of the mapping table.
        side: Who edits it: ``bc``, ``outlook`` or ``both``.
        kind: What is done with it.
        n: Its number, which is in all its values.
    """

    row: FieldMap
    side: str
    kind: str
    n: int

    def __str__(self) -> str:
        return f"{self.row.name}: {self.kind} by {self.side}"

    @property
    def name(self) -> str:
        """The contact's name at first."""
        return "" if (self.row.name, self.kind) == ("name", "set") else f"Anna{self.n} van Dijk{self.n}"

    @property
    def before(self) -> str:
        """What both sides hold before the edit, as Business Central writes it."""
        return "" if self.kind == "set" else self.name if self.row.name == "name" else self._value(0)

    def edits(self) -> Iterator[tuple[str, str]]:
        """Yield who writes which new value."""
        for place, side in enumerate((BC, OUTLOOK)):
            if self.side in (side, BOTH):
                new = "" if self.kind == "clear" else self._value(1 + place * (self.kind == "differ"))
                yield side, new

    def expected(self, direction: str = "both") -> tuple[str, str]:
        """Return what Business Central and Outlook hold in the end (rules 3, 6 and 7)."""
        new = dict(self.edits())
        as_edited = new.get(BC, self.before), new.get(OUTLOOK, self.before)
        if direction == "to_business_central" and (self.side == BC or self.kind == "differ"):
            return as_edited  # Nothing is written to Outlook (7.9).
        if (self.row.name, self.side, self.kind) == ("name", OUTLOOK, "clear"):
            return as_edited  # The item's parts make its name.
        if direction == "to_outlook" and self.side == OUTLOOK:
            # BC's value comes back; where it has none, Outlook's stays (7.8).
            return as_edited if self.kind == "set" else (self.before, self.before)
        if self.kind == "clear" and self.row.name in REQUIRED:
            return as_edited  # What lacks its name or address is reported and stays as it is, on either side.
        if (self.row.name, self.side, self.kind) == ("email2", OUTLOOK, "set"):
            return as_edited  # An address of the user's own is never taken.
        wins = new.get(BC, new.get(OUTLOOK, ""))
        return wins, wins

    def _value(self, which: int) -> str:
        n = f"{self.n * 3 + which:04d}"
        by_field = {
            "company_name": COMPANIES[which],
            "name": f"Berta{n} de Wit{n}",
            "initials": f"X.{n}.",
            "county": f"Provincie {n}",
        }
        by_form = {
            "text": f"{self.row.name[:8].title()}{n}",
            "lines": f"Kade {n}\nUnit {n}",
            "email": f"{self.row.name}.{n}@klant.example",
            "phone": f"+31 20 555 {n}",
            "code": f"https://www.huis{n}.example",
            "country": list(COUNTRIES)[which],
            "post_code": f"{1000 + int(n)} AB",
        }
        return by_field.get(self.row.name) or by_form[self.row.form]

    # -- Business Central ------------------------------------------------------------------------------------------

    @property
    def contact(self) -> dict[str, Any]:
        """The contact before the edit, as a world holds it; none of it where Outlook's user makes it."""
        first, _, rest = self.name.partition(" ")
        middle, _, surname = rest.partition(" ")
        parts = {"firstName": first, "middleName": middle, "surname": surname, "initials": ""}
        made = person(self.name, f"persoon{self.n}@klant.example", number=f"P{self.n:04d}", **parts)
        made |= self.in_bc(self.before) if self.row.name != "company_name" else self._company(self.before)
        if self.row.name in ("first_name", "middle_name", "surname"):
            made["displayName"] = " ".join(filter(None, (made[name] for name in list(parts)[:3])))
        return made

    @staticmethod
    def _company(name: str) -> dict[str, str]:
        return {"companyName": name, "companyNumber": f"C{COMPANIES.index(name)}"} if name else {}

    def in_bc(self, value: str) -> dict[str, Any]:
        """Return what a user of Business Central sends to give the field a value."""
        lines = [*value.split("\n"), ""] if self.row.form == "lines" else [value]
        return {BC_PROPERTIES[column]: line for column, line in zip(self.row.bc_columns, lines, strict=False)}

    def of_bc(self, contact: dict[str, Any]) -> str:
        """Return what Business Central holds."""
        return "\n".join(line for c in self.row.bc_columns if (line := contact[BC_PROPERTIES[c]]))

    # -- Outlook ---------------------------------------------------------------------------------------------------

    def in_outlook(self, value: str, item: dict[str, Any]) -> dict[str, Any]:
        """Return what a user of Outlook sends to give the field a value."""
        place, text = self.row.outlook_property, self._in_outlook(value)
        if place.startswith("emailAddresses"):
            slot = 1 if self.row.name == "email2" else 0
            entries = list(item.get("emailAddresses") or [])
            entries[slot : slot + 1] = [{"address": text, "name": "x"}] if text else []
            return {"emailAddresses": entries}
        if place.startswith("businessPhones"):
            return {"businessPhones": [text] if text else []}
        if self.row.is_part_of_address:
            return {"businessAddress": {self.row.outlook_key: text}}
        return {place: text or None}

    def of_outlook(self, item: dict[str, Any]) -> str:
        """Return what Outlook holds, as Business Central writes it."""
        found: Any = item.get(self.row.outlook_property.partition(".")[0].partition("[")[0])
        if self.row.is_part_of_address:
            found = (found or {}).get(self.row.outlook_key)
        elif self.row.name in ("email", "email2"):
            addresses = [entry["address"] for entry in found or []]
            found = addresses[self.row.name == "email2" :][:1]
        if isinstance(found, list):
            found = found[0] if found else ""
        text = (found or "").replace("\r\n", "\n")
        codes = {name: code for code, name in COUNTRIES.items()}
        return codes.get(text, text) if self.row.form == "country" else text

    def _in_outlook(self, value: str) -> str:
        if self.row.form == "country":
            return COUNTRIES.get(value, "")
        return value.replace("\n", "\r\n")

    def is_at_first_in(self, side: str) -> bool:
        """Whether the contact is on a side before the edit: what lacks what it needs does not sync."""
        return side == self.side or not (self.kind == "set" and self.row.name in REQUIRED)


def cases_of(field_profile: str, direction: str = "both") -> list[Case]:
    """Return the cases of a field profile, a contact each; with one direction, those that can be coupled at all."""
    kinds = [(side, kind) for side, named in KINDS.items() for kind in named]
    rows = mapped_fields(field_profile)
    cases = [
        Case(row, side, kind, n)
        for n, (row, (side, kind)) in enumerate((row, one) for row in rows for one in kinds)
    ]
    return [
        case
        for case in cases
        if direction == "both" or case.is_at_first_in(BC) == case.is_at_first_in(OUTLOOK)
    ]


def world_of(cases: list[Case]) -> dict[str, Any]:
    """Return a company with the contacts of the cases that Business Central has at first."""
    companies = [
        {"type": "Company", "displayName": name, "number": f"C{n}", "email": f"info@c{n}.example"}
        for n, name in enumerate(COMPANIES)
    ]
    contacts = [case.contact for case in cases if case.is_at_first_in(BC)]
    return {
        "companies": [{"name": COMPANY, "contacts": [*companies, *contacts]}],
        "mailboxes": ["anna@voorbeeld.example"],
    }


def item_of(case: Case) -> dict[str, Any]:
    """Return the item of a case that Outlook's user makes."""
    item: dict[str, Any] = {"emailAddresses": [{"address": case.contact["email"], "name": "x"}]}
    if case.row.name == "email":
        return {"displayName": case.name, "emailAddresses": []}
    return item if case.row.name == "name" else item | {"displayName": case.name}


def folder_of(world: dict[str, Any]) -> dict[str, Any]:
    """Return the synced folder of a dump."""
    found: dict[str, Any] = next(f for f in world["mailboxes"][0]["folders"] if f["name"] == FOLDER)
    return found
