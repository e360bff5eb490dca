"""From fields to the body of a write to Business Central (rules 6), by the rows of ``table.py``.

A value that BC can't hold is refused with a reason and never cut.
"""

from __future__ import annotations

from collections.abc import Mapping

from sync_lib.fields.lookups import Lookups
from sync_lib.fields.names import is_turned
from sync_lib.fields.normal_forms import company_key, country_code, email_problem, first_address
from sync_lib.fields.table import BC_PROPERTIES, NAME_PARTS, FieldMap, mapped_fields, written_to_bc
from sync_lib.fields.texts import clean_lines, length
from sync_lib.fields.written import COUNTRIES_NOT_READ, one_line
from sync_lib.model import Fields, Refusal


def to_business_central(
    changes: Fields, current_values: Mapping[str, str] | None, *, lookups: Lookups, field_profile: str
) -> tuple[dict[str, str], list[Refusal]]:
    """Return the body of a PATCH, or of a POST where ``current_values`` is None, and what BC can't hold.

    BC applies the properties in the order of the body: the type before the name, which it splits for a person only;
    the company before everything that it may hand down; the country before the post code and city that a change of
    country clears. A blank is "", never null; a create leaves blanks out.

    ``extended``: the name parts are the truth. The name itself is sent only when no part is: BC puts it together
    from the parts, or splits it into them, and what it answers follows rules 8.6. On create a refused part makes
    the whole name go instead, so that the contact is never saved under half a name; so does a name whose words are in
    another order than its parts, of which BC would make another name.

    Args:
        changes: Fields to write, in written form.
        current_values: The contact's columns as they are now.
        lookups: Table of countries and the company contacts.
        field_profile: ``standard`` or ``extended``.
    """
    writer = _BcWriter(changes, current_values, lookups)
    writer.write_names(extended=field_profile == "extended")
    for row in written_to_bc(field_profile):
        writer.write(row)
    return writer.body, writer.refusals


_ROWS = {row.name: row for row in mapped_fields("extended")}
_LENGTHS = {name: row.lengths for name, row in _ROWS.items()}
_NAMES = frozenset({"name", *NAME_PARTS, "initials"})
#: Columns of the address, in the order in which BC must get them.
_ADDRESS = tuple(
    column for row in written_to_bc("extended") if row.is_part_of_address for column in row.bc_columns
)

#: The row at whose turn the whole address is written.
_FIRST_OF_ADDRESS = next(row.name for row in written_to_bc("extended") if row.is_part_of_address)


class _BcWriter:
    """Collects one body for BC and the refusals met on the way."""

    def __init__(self, changes: Fields, current: Mapping[str, str] | None, lookups: Lookups) -> None:
        self._changes = {
            name: text if name == "street" else one_line(name, text) for name, text in changes.items()
        }
        self._current = current
        self._lookups = lookups
        self.body: dict[str, str] = {} if current is not None else {"type": "Person"}
        self.refusals: list[Refusal] = []

    def write(self, row: FieldMap) -> None:
        """Write a field that is no part of a name; the first part of an address writes all of it."""
        if row.name in _NAMES:
            return
        if row.is_part_of_address:
            if row.name == _FIRST_OF_ADDRESS:
                self.write_address()
        elif row.name == "company_name":
            self.write_company()
        elif row.form == "phone":
            self.write_phone(row)
        elif row.form == "email":
            self.write_email(row.name)
        else:
            self.write_plain(row)

    def _put(self, key: str, value: str) -> None:
        if value or self._current is not None:
            self.body[key] = value

    def _refuse(self, field: str, reason: str) -> None:
        self.refusals.append(Refusal(field, reason))

    def _fitting(self, field: str) -> str | None:
        """Return the value to write, or None where it is not to be written or, refused, does not fit."""
        text = self._changes.get(field)
        if text is not None and length(text) > _LENGTHS[field][0]:
            self._refuse(field, "too_long")
            return None
        return text

    def write_plain(self, row: FieldMap) -> None:
        text = self._fitting(row.name)
        if text is not None:
            self._put(BC_PROPERTIES[row.bc_columns[0]], text)

    def write_names(self, *, extended: bool) -> None:
        parts = self._parts() if extended else {}
        if not parts and "name" in self._changes:
            if self._changes["name"]:
                self.write_plain(_ROWS["name"])
            else:
                self._refuse("name", "name_missing")
        for key, text in parts.items():
            self._put(key, text)
        if extended:
            self.write_plain(_ROWS["initials"])

    def _parts(self) -> dict[str, str]:
        """Return the name parts to write, or none where they would leave BC without a whole name."""
        changed = [field for field in NAME_PARTS if field in self._changes]
        fitting = {field: text for field in changed if (text := self._fitting(field)) is not None}
        future = {**(self._current or {}), **fitting}
        if fitting and not any(future.get(field) for field in NAME_PARTS):
            if self._current is not None:
                for field in fitting:
                    self._refuse(field, "name_missing")
            return {}
        name = self._changes.get("name", "")
        if name and self._current is None and len(fitting) < len(changed):
            return {}
        if name and is_turned(name, [future.get(field) or "" for field in NAME_PARTS]):
            return {}
        return {BC_PROPERTIES[field]: text for field, text in fitting.items()}

    def write_company(self) -> None:
        """Write the number of the company contact with exactly this name; BC's own search takes the first hit."""
        name = self._changes.get("company_name")
        if name is None:
            return
        number = self._lookups.companies.get(company_key(name)) if name else ""
        if number is None:
            self._refuse("company_name", "company_not_unique")
        else:
            self._put("companyNumber", number)

    def write_phone(self, row: FieldMap) -> None:
        text = self._changes.get(row.name)
        # The same test as the field's own trigger in BC: any letter, whatever the script.
        if text is not None and any(character.isalpha() for character in text):
            self._refuse(row.name, "letters_in_phone")
        else:
            self.write_plain(row)

    def write_email(self, field: str) -> None:
        """Write an e-mail field with its first address replaced; BC keeps further ones behind semicolons."""
        address = self._valid_email(field)
        if address is None:
            return
        text = replace_first_address((self._current or {}).get(field) or "", address)
        if length(text) > _LENGTHS[field][0]:
            self._refuse(field, "too_long")
        else:
            self._put(field, text)

    def _valid_email(self, field: str) -> str | None:
        text = self._changes.get(field)
        if text and email_problem(text) == "email_invalid":
            self._refuse(field, "email_invalid")
            return None
        return None if text is None else first_address(text)

    def write_address(self) -> None:
        """Write all parts of the address when one part changes; parts that nobody decided carry BC's own."""
        changed = self._address_changes()
        if not changed:
            return
        current = self._current or {}
        for column in _ADDRESS:
            self._put(
                BC_PROPERTIES[column], changed[column] if column in changed else current.get(column) or ""
            )

    def _address_changes(self) -> dict[str, str]:
        columns = {
            field: text
            for field in ("post_code", "city", "county")
            if (text := self._fitting(field)) is not None
        }
        country = self._country()
        if country is not None:
            columns["country"] = country
        return columns | self._street()

    def _country(self) -> str | None:
        text = self._changes.get("country")
        if not text:
            return text
        if not self._lookups.countries_read:
            self._refuse("country", COUNTRIES_NOT_READ)
            return None
        code = country_code(text, self._lookups.language, self._lookups.countries)
        if not code or length(code) > _LENGTHS["country"][0]:
            self._refuse("country", "unknown_country")
            return None
        return code

    def _street(self) -> dict[str, str]:
        text = self._changes.get("street")
        if text is None:
            return {}
        lines = clean_lines(text)
        if len(lines) > len(_LENGTHS["street"]):
            self._refuse("street", "too_many_lines")
            return {}
        if any(length(line) > most for line, most in zip(lines, _LENGTHS["street"], strict=False)):
            self._refuse("street", "too_long")
            return {}
        return dict(zip(("address", "address2"), [*lines, "", ""], strict=False))


def replace_first_address(text: str, address: str) -> str:
    """Return a ``;`` list with its first address replaced, the others as they were; blank removes it."""
    parts = text.split(";")
    first = next((index for index, part in enumerate(parts) if part.strip()), None)
    if first is None:
        return address
    rest = parts[first + 1 :]
    if not address:
        return ";".join(rest).strip()
    return ";".join([address, *rest])
