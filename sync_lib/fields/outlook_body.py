"""From fields to the body of a write to Outlook (rules 6), by the rows of ``table.py``.

A value that Outlook can't hold is refused with a reason and never cut.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sync_lib.fields import slots
from sync_lib.fields.lookups import Lookups
from sync_lib.fields.names import compose_name, split_name
from sync_lib.fields.normal_forms import country_name, email_problem
from sync_lib.fields.reading import as_text
from sync_lib.fields.table import FIELD_MAPS, NAME_PARTS
from sync_lib.fields.texts import clean_line
from sync_lib.fields.written import COUNTRIES_NOT_READ, written
from sync_lib.model import Fields, Refusal

_PARTS = {row.name: row.outlook_property for row in FIELD_MAPS if row.name in (*NAME_PARTS, "initials")}
_SCALARS = {
    row.name: row.outlook_property
    for row in FIELD_MAPS
    if row.is_scalar and row.name != "name" and row.name not in _PARTS
}
_ADDRESS = {row.name: row.outlook_key for row in FIELD_MAPS if row.is_part_of_address}


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
        all_fields: All fields as they will be: the name is written beside e-mail addresses.
        lookups: Language and table of country names.
        field_profile: ``standard`` or ``extended``.
        baseline: The item's ``outlook_baseline``, which shows which slots are ours and which are the user's.
    """
    record: Mapping[str, Any] = current_record or {}
    changes = {name: written(name, text) for name, text in changes.items()}
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
        body = {key: value for key, value in body.items() if _filled(value)}
    return body, refusals


def _filled(value: object) -> bool:
    return any(value.values()) if isinstance(value, dict) else bool(value)


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
    current = as_text(record.get("displayName")) or clean_line(all_fields.get("name", ""))
    return {"displayName": changes.get("name", current) or None, **parts}


def _split_body(name: str, record: Mapping[str, Any]) -> dict[str, str | None]:
    """Return the name split into parts, unless the item's own parts make up that name already.

    So parts that a user keeps better than a parser can (two first names) survive a write of the same name.
    """
    own = (as_text(record.get(key)) for key in ("givenName", "middleName", "surname"))
    if not name or compose_name(*own) == name:
        return {}
    parts = split_name(name)
    values = (parts.given, parts.middle, parts.surname, parts.initials)
    return {key: value or None for key, value in zip(_PARTS.values(), values, strict=True)}


def _address_body(changes: Fields, record: Mapping[str, Any], lookups: Lookups) -> dict[str, str | None]:
    present = record.get("businessAddress")
    present = present if isinstance(present, dict) else {}
    body: dict[str, str | None] = {key: as_text(present.get(key)) or None for key in _ADDRESS.values()}
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
