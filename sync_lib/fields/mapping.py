"""From records to fields and from fields to bodies (rules 6), for both services.

Written forms travel; normal forms (``normal_forms.py``) only decide what is equal. A value that the other side
can't hold is refused with a reason and never cut. Control characters, which neither service can hold, are dropped
when written and do not count when compared.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sync_lib.fields import slots
from sync_lib.fields.names import compose_name, split_name
from sync_lib.fields.normal_forms import (
    company_key,
    country_code,
    country_name,
    email_problem,
    first_address,
)
from sync_lib.fields.table import OUTLOOK_PROPERTIES, FieldMap, diffed_fields, mapped_fields
from sync_lib.fields.texts import clean_code, clean_line, clean_lines, length
from sync_lib.model import Fields, Lookups, Refusal

__all__ = [
    "CATEGORY",
    "OUTLOOK_PROPERTIES",
    "FieldMap",
    "diffed_fields",
    "ensure_category",
    "from_business_central",
    "from_outlook",
    "mapped_fields",
    "outlook_baseline",
    "to_business_central",
    "to_outlook",
    "without_category",
]

#: The Outlook category of every item that the sync made or adopted.
CATEGORY = "Business Central"
#: Why a country waits: without BC's own table nobody can say which code or name stands for it (rules 5).
COUNTRIES_NOT_READ = "countries_not_read"

_SCALARS = {
    "job_title": "jobTitle",
    "company_name": "companyName",
    "mobile_phone": "mobilePhone",
    "home_page": "businessHomePage",
}
_PARTS = {
    "first_name": "givenName",
    "middle_name": "middleName",
    "surname": "surname",
    "initials": "initials",
}
_ADDRESS = {
    "street": "street",
    "city": "city",
    "county": "state",
    "post_code": "postalCode",
    "country": "countryOrRegion",
}
# Fields whose written form in BC is the value itself.
_PLAIN_BC = (
    "name", "job_title", "company_name", "phone", "mobile_phone", "home_page", "city", "county", "post_code", "country",
)  # fmt: skip


def from_business_central(values: Mapping[str, str], field_profile: str) -> Fields:
    """Return the mapped fields of a BC contact (``BcContact.values``, or a row of its staging table).

    The country stays a code. Of several e-mail addresses the first one is mapped.
    """
    get = values.get
    fields = {name: get(name) or "" for name in _PLAIN_BC}
    fields["email"] = first_address(get("email") or "")
    if field_profile == "extended":
        fields |= {name: get(name) or "" for name in _PARTS}
        fields["email2"] = first_address(get("email2") or "")
    first, second = get("address") or "", get("address2") or ""
    fields["street"] = f"{first}\n{second}" if first and second else first or second
    return fields


def from_outlook(
    record: Mapping[str, Any], field_profile: str, *, baseline: Mapping[str, Any] | None = None
) -> Fields:
    """Return the mapped fields of an Outlook record in Graph's spelling.

    A property that the record lacks gives no field ("not known"); null, ``{}`` and ``[]`` give blank ones.

    Args:
        record: The properties of ``OUTLOOK_PROPERTIES`` as the service sent them.
        field_profile: ``standard`` or ``extended``.
        baseline: What ``outlook_baseline`` made when the pair last agreed. With it, an own entry of the user that
            moved up to slot 0 of an array is not taken for the mapped value (rules 6, arrays).
    """
    fields = {name: _text(record[key]) for name, key in _SCALARS.items() if key in record}
    if name := _name(record):
        fields["name"] = name
    elif "displayName" in record:
        fields["name"] = ""
    if "businessAddress" in record:
        address = record["businessAddress"]
        address = address if isinstance(address, dict) else {}
        for field, key in _ADDRESS.items():
            fields[field] = _text(address.get(key))
    if "emailAddresses" in record:
        fields |= _emails(record, field_profile, baseline)
    if "businessPhones" in record:
        fields["phone"] = _phone(record, baseline)
    if field_profile == "extended":
        fields |= {name: _text(record[key]) for name, key in _PARTS.items() if key in record}
    return fields


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _name(record: Mapping[str, Any]) -> str:
    name = _text(record.get("displayName"))
    if name.strip():
        return name
    return compose_name(*(_text(record.get(part)) for part in ("givenName", "middleName", "surname")))


def _phone(record: Mapping[str, Any], baseline: Mapping[str, Any] | None) -> str:
    first = slots.phone_slots(record, baseline).first_value()
    return "" if first is None else slots.phones(record)[first]


def _emails(record: Mapping[str, Any], field_profile: str, baseline: Mapping[str, Any] | None) -> Fields:
    addresses, found = slots.addresses(record), slots.email_slots(record, baseline)
    fields = {"email": _email(addresses, found.first_value())}
    if field_profile == "extended":
        fields["email2"] = _email(addresses, found.second_value())
    return fields


def _email(addresses: list[str], slot: int | None) -> str:
    """Return the address of a slot; one that can't be read is no reason to take another one, nor blank (rules 6)."""
    return "" if slot is None else first_address(addresses[slot]) or slots.UNREADABLE


def outlook_baseline(record: Mapping[str, Any], fields: Fields) -> dict[str, Any]:
    """Return the Outlook baseline of a coupling: the agreed fields, and the arrays whole (rules 6)."""
    return {
        "fields": dict(fields),
        "emailAddresses": slots.addresses(record),
        "businessPhones": slots.phones(record),
    }


def without_category(record: Mapping[str, Any]) -> list[str]:
    """Return an item's categories without ``CATEGORY``."""
    present = record.get("categories")
    categories = [text for text in present if isinstance(text, str)] if isinstance(present, list) else []
    return [text for text in categories if text.casefold() != CATEGORY.casefold()]


def ensure_category(record: Mapping[str, Any]) -> list[str] | None:
    """Return the categories with ``CATEGORY`` added for an adopted item, or None when it has it already."""
    present = record.get("categories")
    categories = [text for text in present if isinstance(text, str)] if isinstance(present, list) else []
    if any(text.casefold() == CATEGORY.casefold() for text in categories):
        return None
    return [*categories, CATEGORY]


def to_outlook(  # noqa: PLR0913 - what a body depends on; a settings object would only hide it
    changes: Fields,
    current_record: Mapping[str, Any] | None,
    *,
    all_fields: Fields,
    lookups: Lookups,
    field_profile: str,
    baseline: Mapping[str, Any] | None = None,
) -> tuple[dict[str, Any], list[Refusal]]:
    """Return the body of a PATCH, or of a POST where ``current_record`` is None, and what Outlook can't hold.

    Arrays and the address are written whole, because Graph replaces arrays and may replace addresses; entries and
    parts that nobody decided carry their present value. A blank is an explicit null; a create leaves blanks out.

    Args:
        changes: Fields to write, in written form.
        current_record: The item as it is now.
        all_fields: All fields as they will be: the name stands beside e-mail addresses.
        lookups: Language and table of country names.
        field_profile: ``standard`` or ``extended``.
        baseline: The item's ``outlook_baseline``, by which our own slots are told from the user's.
    """
    record: Mapping[str, Any] = current_record or {}
    changes = {name: _written(name, text) for name, text in changes.items()}
    unread = changes.get("country") and not lookups.countries_read
    if unread:
        changes.pop("country")
    body: dict[str, Any] = _name_body(changes, record, all_fields, field_profile)
    body |= {key: changes[name] or None for name, key in _SCALARS.items() if name in changes}
    if not _ADDRESS.keys().isdisjoint(changes):
        body["businessAddress"] = _address_body(changes, record, lookups)
    arrays, refusals = _arrays_body(changes, record, all_fields, baseline)
    body |= arrays
    refusals += [Refusal("country", COUNTRIES_NOT_READ)] if unread else []
    if current_record is None:
        body = {key: value for key, value in body.items() if _filled(value)} | {"categories": [CATEGORY]}
    return body, refusals


def _filled(value: object) -> bool:
    return any(value.values()) if isinstance(value, dict) else bool(value)


def _written(field: str, text: str) -> str:
    """Return a value as it is written: cleaned, NFC, otherwise as typed."""
    return "\r\n".join(clean_lines(text)) if field == "street" else _one_line(field, text)


# Joiners are spelling, so what nobody sees stays in names and other text; in what a machine reads it is a fault.
_TEXTS = frozenset(row.name for row in mapped_fields("extended") if row.form in ("text", "lines"))


def _one_line(field: str, text: str) -> str:
    return clean_line(text) if field in _TEXTS else clean_code(text)


def _name_body(
    changes: Fields, record: Mapping[str, Any], all_fields: Fields, field_profile: str
) -> dict[str, str | None]:
    """Return the name properties. Graph may regenerate displayName when a part changes, so it goes along."""
    if field_profile == "extended":
        parts = {key: changes[name] or None for name, key in _PARTS.items() if name in changes}
    else:
        parts = _split_body(changes.get("name", ""), record)
    if not parts and "name" not in changes:
        return {}
    current = _text(record.get("displayName")) or clean_line(all_fields.get("name", ""))
    return {"displayName": changes.get("name", current) or None, **parts}


def _split_body(name: str, record: Mapping[str, Any]) -> dict[str, str | None]:
    """Return the name split into parts, unless the item's own parts make up that name already.

    So parts that a user keeps better than a parser can (two first names) survive a write of the same name.
    """
    own = (_text(record.get(key)) for key in ("givenName", "middleName", "surname"))
    if not name or compose_name(*own) == name:
        return {}
    parts = split_name(name)
    values = (parts.given, parts.middle, parts.surname, parts.initials)
    return {key: value or None for key, value in zip(_PARTS.values(), values, strict=True)}


def _address_body(changes: Fields, record: Mapping[str, Any], lookups: Lookups) -> dict[str, str | None]:
    present = record.get("businessAddress")
    present = present if isinstance(present, dict) else {}
    body: dict[str, str | None] = {key: _text(present.get(key)) or None for key in _ADDRESS.values()}
    body |= {key: changes[field] or None for field, key in _ADDRESS.items() if field in changes}
    if changes.get("country"):
        body["countryOrRegion"] = country_name(changes["country"], lookups.language, lookups.countries)
    return body


def _arrays_body(
    changes: Fields, record: Mapping[str, Any], all_fields: Fields, baseline: Mapping[str, Any] | None
) -> tuple[dict[str, Any], list[Refusal]]:
    """Return the arrays whole, with our own entries replaced and the user's kept, and what found no slot."""
    body: dict[str, Any] = {}
    refused: list[str] = []
    refusals: list[Refusal] = []
    if "phone" in changes:
        numbers = slots.with_phone(record, baseline, changes["phone"])
        refused += [] if numbers is not None else ["phone"]
        body |= {} if numbers is None else {"businessPhones": numbers}
    emails: Fields = {field: changes[field] for field in ("email", "email2") if field in changes}
    # Outlook takes any text for an address, and gives back nothing of what it can't read.
    if email_problem(emails.get("email2", "")) == "email_invalid":
        del emails["email2"]
        refusals.append(Refusal("email2", "email_invalid"))
    if emails:
        name = clean_line(changes.get("name") or all_fields.get("name", ""))
        entries, unplaced = slots.with_emails(record, baseline, emails, name)
        refused += unplaced
        body |= {} if len(unplaced) == len(emails) else {"emailAddresses": entries}
    return body, [*refusals, *(Refusal(field, "no_free_slot") for field in refused)]


def to_business_central(
    changes: Fields, current_values: Mapping[str, str] | None, *, lookups: Lookups, field_profile: str
) -> tuple[dict[str, str], list[Refusal]]:
    """Return the body of a PATCH, or of a POST where ``current_values`` is None, and what BC can't hold.

    BC applies the properties in the order of the body: the type before the name, which it splits for a person only;
    the company before everything that it may hand down; the country before the post code and city that a change of
    country clears. A blank is "", never null; a create leaves blanks out.

    ``extended``: the name parts are the truth. The name itself is sent only when no part is: BC puts it together
    from the parts, or splits it into them, and what it answers follows rules 8.6. On create a refused part makes
    the whole name go instead, so that the contact is never saved under half a name.

    Args:
        changes: Fields to write, in written form.
        current_values: The contact's columns as they are now.
        lookups: Table of countries and the company contacts.
        field_profile: ``standard`` or ``extended``.
    """
    writer = _BcWriter(changes, current_values, lookups)
    writer.write_names(extended=field_profile == "extended")
    writer.write_company()
    writer.write_plain("job_title", "jobTitle")
    writer.write_address()
    writer.write_phone("phone", "phoneNumber")
    writer.write_phone("mobile_phone", "mobilePhoneNumber")
    writer.write_email("email")
    if field_profile == "extended":
        writer.write_email("email2")
    writer.write_plain("home_page", "website")
    return writer.body, writer.refusals


_LENGTHS = {row.name: row.lengths for row in mapped_fields("extended")}
_BC_PARTS = {"first_name": "firstName", "middle_name": "middleName", "surname": "surname"}
# Column and property, in the order in which BC must get them.
_BC_ADDRESS = {
    "country": "country",
    "post_code": "postalCode",
    "city": "city",
    "county": "state",
    "address": "addressLine1",
    "address2": "addressLine2",
}


class _BcWriter:
    """Collects one body for BC and the refusals met on the way."""

    def __init__(self, changes: Fields, current: Mapping[str, str] | None, lookups: Lookups) -> None:
        self._changes = {
            name: text if name == "street" else _one_line(name, text) for name, text in changes.items()
        }
        self._current = current
        self._lookups = lookups
        self.body: dict[str, str] = {} if current is not None else {"type": "Person"}
        self.refusals: list[Refusal] = []

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

    def write_plain(self, field: str, key: str) -> None:
        text = self._fitting(field)
        if text is not None:
            self._put(key, text)

    def write_names(self, *, extended: bool) -> None:
        parts = self._parts() if extended else {}
        if not parts and "name" in self._changes:
            if self._changes["name"]:
                self.write_plain("name", "displayName")
            else:
                self._refuse("name", "name_missing")
        for key, text in parts.items():
            self._put(key, text)
        if extended:
            self.write_plain("initials", "initials")

    def _parts(self) -> dict[str, str]:
        """Return the name parts to write, or none where they would leave BC without a whole name."""
        changed = [field for field in _BC_PARTS if field in self._changes]
        fitting = {field: text for field in changed if (text := self._fitting(field)) is not None}
        current = self._current or {}
        if fitting and not any((current | fitting).get(field) for field in _BC_PARTS):  # type: ignore[operator]
            if self._current is not None:
                for field in fitting:
                    self._refuse(field, "name_missing")
            return {}
        if self._current is None and len(fitting) < len(changed) and self._changes.get("name"):
            return {}
        return {_BC_PARTS[field]: text for field, text in fitting.items()}

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

    def write_phone(self, field: str, key: str) -> None:
        text = self._changes.get(field)
        # The same test as the field's own trigger in BC: any letter, whatever the script.
        if text is not None and any(character.isalpha() for character in text):
            self._refuse(field, "letters_in_phone")
        else:
            self.write_plain(field, key)

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
        for column, key in _BC_ADDRESS.items():
            self._put(key, changed[column] if column in changed else current.get(column) or "")

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
