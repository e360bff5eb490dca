"""From records to fields (rules 6), for both services, by the rows of ``table.py``.

Written forms travel; normal forms (``normal_forms.py``) only decide what is equal.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

from sync_lib.fields import slots
from sync_lib.fields.names import compose_name
from sync_lib.fields.normal_forms import first_address
from sync_lib.fields.table import ADDRESS, FieldMap, mapped_fields
from sync_lib.model import Fields


def from_business_central(values: Mapping[str, str], field_profile: str) -> Fields:
    """Return the mapped fields of a BC contact (``BcContact.values``, or a row of its staging table).

    The country stays a code. Of several e-mail addresses the first one is mapped.
    """
    get = values.get
    fields: Fields = {}
    for name, form, columns in _bc_rows(field_profile):
        if form == "lines":
            fields[name] = "\n".join(line for column in columns if (line := get(column) or ""))
        elif form == "email":
            fields[name] = first_address(get(columns[0]) or "")
        else:
            fields[name] = get(columns[0]) or ""
    return fields


@cache
def _bc_rows(field_profile: str) -> tuple[tuple[str, str, tuple[str, ...]], ...]:
    rows = sorted(mapped_fields(field_profile), key=_order)
    return tuple((row.name, row.form, row.bc_columns) for row in rows)


def _order(row: FieldMap) -> tuple[bool, bool, bool]:
    # The order of the values in stored plans: what takes more than reading one column comes last.
    return row.form == "lines", row.extended, row.form == "email"


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
    scalars, extended, address = _outlook_rows(field_profile)
    fields = {name: as_text(record[key]) for name, key in scalars if key in record}
    if name := _name(record):
        fields["name"] = name
    elif "displayName" in record:
        fields["name"] = ""
    if _ADDRESS in record:
        parts = record[_ADDRESS]
        parts = parts if isinstance(parts, dict) else {}
        for field, key in address:
            fields[field] = as_text(parts.get(key))
    fields |= _in_arrays(record, field_profile, baseline)
    fields |= {name: as_text(record[key]) for name, key in extended if key in record}
    return fields


def read_again(
    fields: Fields, record: Mapping[str, Any], field_profile: str, *, baseline: Mapping[str, Any] | None
) -> Fields:
    """Return ``from_outlook`` of a record that was read with another baseline, or with none: as ``fields``."""
    return fields | _in_arrays(record, field_profile, baseline)


def _in_arrays(record: Mapping[str, Any], field_profile: str, baseline: Mapping[str, Any] | None) -> Fields:
    """Return the fields that are a slot of an array: all that a baseline decides about."""
    fields: Fields = {}
    if "emailAddresses" in record:
        fields |= _emails(record, field_profile, baseline)
    if "businessPhones" in record:
        fields["phone"] = _phone(record, baseline)
    return fields


_ADDRESS = ADDRESS.removesuffix(".")
_Pairs = tuple[tuple[str, str], ...]


@cache
def _outlook_rows(field_profile: str) -> tuple[_Pairs, _Pairs, _Pairs]:
    """Fields that are a property each, those of the ``extended`` field profile, and the parts of the address."""
    rows = mapped_fields(field_profile)
    scalars = [row for row in rows if row.is_scalar and row.name != "name"]
    own = tuple((row.name, row.outlook_property) for row in scalars if not row.extended)
    extended = tuple((row.name, row.outlook_property) for row in scalars if row.extended)
    return own, extended, tuple((row.name, row.outlook_key) for row in rows if row.is_part_of_address)


def as_text(value: object) -> str:
    """Return a property's text; "" for null and for what is no text."""
    return value if isinstance(value, str) else ""


def _name(record: Mapping[str, Any]) -> str:
    name = as_text(record.get("displayName"))
    if name.strip():
        return name
    return compose_name(*(as_text(record.get(part)) for part in ("givenName", "middleName", "surname")))


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
