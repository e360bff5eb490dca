"""What Business Central does with the values it is sent: checks, look-ups and knock-on effects.

Properties are applied in the order of the request body, as the server does.
"""

from __future__ import annotations

import re
from typing import Any

from sandbox.business_central.table import Company, Draft, Field, Row, changed
from sandbox.settings import Settings
from sandbox.wire import ApiError

_EMAIL = re.compile(r"[^\s@;,<>\"]+@[^\s@;,<>\".]+(\.[^\s@;,<>\".]+)+")
_ADDRESS = ("address1", "address2", "city", "state", "postal_code", "country")
_COMMUNICATION = ("phone", "email", "website")
DIALOG, VALIDATION = "Application_DialogException", "Application_FieldValidationException"


def convert(spec: Field, value: Any, settings: Settings) -> Any:
    """Return a JSON value as the table field keeps it, or raise the server's 400."""
    if spec.kind == "bool":
        if not isinstance(value, bool):
            raise ApiError(
                400, "BadRequest", f"Cannot convert a value to target type 'Edm.Boolean' ({spec.name})."
            )
        return value
    if value is None:
        if settings.is_on("bc_null_text", "blank"):
            return ""
        raise ApiError(
            400, "Application_EvaluateException", f"The value null can't be evaluated ({spec.name})."
        )
    if not isinstance(value, str):
        raise ApiError(
            400, "BadRequest", f"Cannot convert a value to target type 'Edm.String' ({spec.name})."
        )
    if spec.kind == "type":
        if value not in ("Company", "Person"):
            raise ApiError(400, "BadRequest", "The value is not a member of the enum contactType.")
        return value
    if spec.kind == "code":
        value = value.strip().upper()
    if len(value) > spec.length:
        message = (
            f"The length of the string is {len(value)}, but it must be less than or equal to {spec.length} "
            f"characters ({spec.name})."
        )
        raise ApiError(400, "Application_StringExceededLength", message)
    if spec.kind == "phone" and any(character.isalpha() for character in value):
        raise ApiError(400, VALIDATION, f"{spec.name} must not contain letters.")
    if spec.kind == "email" and value:
        for address in value.split(";"):
            if not _EMAIL.fullmatch(address.strip()):
                raise ApiError(400, DIALOG, f"The email address is not valid ({spec.name}).")
    return value


def validate(draft: Draft, spec: Field, value: Any, settings: Settings) -> None:
    """Put one value into a draft and do what the table's trigger does."""
    trigger = _TRIGGERS.get(spec.attribute)
    old = getattr(draft.row, spec.attribute)
    if spec.attribute == "country":
        _country(draft, value, settings)
    elif trigger is not None:
        trigger(draft, value)
    else:
        setattr(draft.row, spec.attribute, value)
    if draft.row.type == "Company" and getattr(draft.row, spec.attribute) != old:
        draft.cascade.setdefault(spec.attribute, old)


def _type(draft: Draft, value: str) -> None:
    row = draft.row
    if row.type == value:
        return
    row.type = value
    row.company_number = row.number if value == "Company" else ""
    row.company_name = row.display_name if value == "Company" else ""
    if value == "Person":
        split_name(row)
    else:
        row.first_name = row.middle_name = row.surname = ""


def _display_name(draft: Draft, value: str) -> None:
    if not value.strip():
        raise ApiError(400, DIALOG, "Name must be filled in. Enter a value.")
    _rename(draft.row, value)
    if draft.row.type == "Person":
        split_name(draft.row)


def _rename(row: Row, value: str) -> None:
    if row.search_name in ("", row.display_name.upper()):
        row.search_name = value.upper()
    row.display_name = value
    if row.type == "Company":
        row.company_name = value


def split_name(row: Row) -> None:
    """Split a person's name on spaces, as the server does: badly for Dutch names."""
    words = row.display_name.split()
    row.surname = words[-1][:30] if len(words) > 1 else ""
    row.middle_name = words[-2][:30] if len(words) > 2 else ""
    first = words[:1] if len(words) < 3 else words[:-2]
    row.first_name = " ".join(first)[:30]


def _name_part(attribute: str) -> Any:
    def apply(draft: Draft, value: str) -> None:
        row = draft.row
        setattr(row, attribute, value)
        if row.type == "Person":
            name = " ".join(part for part in (row.first_name, row.middle_name, row.surname) if part)[:92]
            if name:
                _rename(row, name)

    return apply


def _number(draft: Draft, value: str) -> None:
    row, company = draft.row, draft.company
    if value == row.number or (not value and draft.is_new):
        return
    if not company.manual_numbers:
        raise ApiError(400, DIALOG, "You may not enter numbers manually. Check the number series CONT.")
    if company.find_number(value, draft.identity) is not None:
        raise ApiError(400, "Internal_EntityWithSameKeyExists", "The record in table Contact already exists.")
    draft.cascade["number"] = row.number
    if row.type == "Company":
        row.company_number = value
    row.number = value


def _company_number(draft: Draft, value: str) -> None:
    row = draft.row
    if row.type == "Company":
        if value not in ("", row.number):
            raise ApiError(400, VALIDATION, "Type must be equal to 'Person'.")
        return
    company = draft.company.find_number(value, draft.identity) if value else None
    if value and (company is None or company.type != "Company"):
        raise ApiError(400, "Internal_InvalidTableRelation", "The company contact does not exist.")
    link_company(draft, company)


def _company_name(draft: Draft, value: str) -> None:
    row = draft.row
    if row.type == "Company":
        _rename(row, value or row.display_name)
    elif not value:
        link_company(draft, None)
    elif value != row.company_name:
        link_company(draft, find_company(draft, value))


def find_company(draft: Draft, text: str) -> Row:
    """Return the company contact that the server takes for a text: sometimes the wrong one."""
    companies = [row for row in draft.company.everything(draft.identity) if row.type == "Company"]
    companies.sort(key=lambda row: row.number)
    folded = text.casefold()
    exact = [row for row in companies if row.number == text.upper()]
    exact = exact or [row for row in companies if row.display_name.casefold() == folded]
    exact = exact or [
        row
        for row in companies
        if row.number.casefold().startswith(folded) or row.display_name.casefold().startswith(folded)
    ]
    if exact:
        return exact[0]
    found = [
        row
        for row in companies
        if any(
            folded in part.casefold()
            for part in (row.number, row.display_name, row.city, row.phone, row.postal_code)
            if part
        )
    ]
    if len(found) != 1:
        raise ApiError(400, DIALOG, "This contact is not registered: the company name was not found.")
    return found[0]


def link_company(draft: Draft, company: Row | None) -> None:
    """Tie a person to a company contact (or to none), with what it inherits."""
    row = draft.row
    old = draft.company.find_number(row.company_number, draft.identity) if row.company_number else None
    row.company_number = company.number if company else ""
    row.company_name = company.display_name if company else ""
    if company is None or company is old:
        return
    for names in _inherited(draft.company):
        # Address and communication details are taken as a whole, and only where the person has none of its own.
        mine = [getattr(row, name) for name in names]
        theirs = [getattr(old, name) for name in names] if old else []
        if not any(mine) or mine == theirs:
            for name in names:
                if getattr(company, name):
                    setattr(row, name, getattr(company, name))


def _inherited(company: Company) -> list[tuple[str, ...]]:
    groups: dict[str, list[tuple[str, ...]]] = {
        "salesperson": [("salesperson",)],
        "territory": [("territory",)],
        "country": [("country",)],
        "language": [("language",)],
        "address": [_ADDRESS],
        "communication": [(name,) for name in _COMMUNICATION],
    }
    # The address comes before the country, which would make the address look filled.
    order = ("address", "salesperson", "territory", "country", "language", "communication")
    return [group for name in order if name in company.inherit for group in groups[name]]


def _country(draft: Draft, value: str, settings: Settings) -> None:
    row = draft.row
    if value and value not in draft.company.countries:
        message = "The field Country/Region Code contains a value that cannot be found in the related table."
        raise ApiError(400, "Internal_InvalidTableRelation", message)
    if row.country and value and value != row.country and settings.is_on("bc_country_change", "clear"):
        row.city = row.state = row.postal_code = ""
    row.country = value


def _city(draft: Draft, value: str) -> None:
    draft.row.city = value
    for code, (city, state) in draft.company.post_codes.items():
        if value and city.casefold() == value.casefold():
            draft.row.city, draft.row.state, draft.row.postal_code = city, state, code
            return


def _postal_code(draft: Draft, value: str) -> None:
    draft.row.postal_code = value
    if value in draft.company.post_codes:
        draft.row.city, draft.row.state = draft.company.post_codes[value]


def _salesperson(draft: Draft, value: str) -> None:
    if value and value not in {person["code"] for person in draft.company.salespeople}:
        message = "The field Salesperson Code contains a value that cannot be found in the related table."
        raise ApiError(400, "Internal_InvalidTableRelation", message)
    draft.row.salesperson = value


def _minor(draft: Draft, value: bool) -> None:
    draft.row.minor = value
    draft.row.privacy_blocked = draft.row.privacy_blocked or value


_TRIGGERS: dict[str, Any] = {
    "minor": _minor,
    "type": _type,
    "display_name": _display_name,
    "first_name": _name_part("first_name"),
    "middle_name": _name_part("middle_name"),
    "surname": _name_part("surname"),
    "number": _number,
    "company_number": _company_number,
    "company_name": _company_name,
    "city": _city,
    "postal_code": _postal_code,
    "salesperson": _salesperson,
}


def cascade(draft: Draft, now: float) -> None:
    """Carry the changes of a company contact over to its persons."""
    company, row = draft.company, draft.row
    if row.type != "Company" or draft.is_new or not draft.cascade:
        return
    number = draft.cascade.get("number", row.number)
    followers = {name for names in _inherited(company) for name in names}
    for person in company.everything(draft.identity):
        if person.type != "Person" or person.company_number != number:
            continue
        values: dict[str, Any] = {"company_number": row.number, "company_name": row.display_name}
        for name, old in draft.cascade.items():
            if name in followers and getattr(person, name) == old:
                values[name] = getattr(row, name)
        if any(getattr(person, name) != value for name, value in values.items()):
            company.store(changed(person, values), now, draft.identity)


def apply_defaults(draft: Draft) -> None:
    """Give a new row what the marketing setup prescribes."""
    for name, value in draft.company.defaults.items():
        if not getattr(draft.row, name):
            setattr(draft.row, name, value)


def check_deletion(company: Company, row: Row, identity: str) -> list[Row]:
    """Return the rows that go with one, or raise the refusal."""
    rows = [row]
    if row.type == "Company":
        rows += [
            r for r in company.everything(identity) if r.type == "Person" and r.company_number == row.number
        ]
    for item in rows:
        if item.delete_refused:
            raise ApiError(400, DIALOG, f"You cannot delete this contact: {item.delete_refused}.")
    return rows
