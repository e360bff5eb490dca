"""Mapped fields of both services, and what two values have in common that mean the same; spelled out here again."""

from __future__ import annotations

import json
import re
import unicodedata
from typing import Any

from tests.proof import odd_values

#: Mapped field -> property in Business Central, for fields that are one plain property there.
BC_PROPERTIES = {
    "name": "displayName",
    "email": "email",
    "phone": "phoneNumber",
    "mobile": "mobilePhoneNumber",
    "job": "jobTitle",
    "city": "city",
    "county": "state",
    "post": "postalCode",
    "country": "country",
    "home": "website",
    "company": "companyName",
}
#: Of the ``extended`` field profile: no pair must agree in them, but what was typed may not be lost.
BC_PARTS = {
    "first": "firstName", "middle": "middleName", "surname": "surname", "initials": "initials",
    "email2": "email2",
}  # fmt: skip
PARTS = {"first": "givenName", "middle": "middleName", "surname": "surname", "initials": "initials"}
_ADDRESS = {"city": "city", "county": "state", "post": "postalCode", "country": "countryOrRegion"}
SCALARS = {"name": "displayName", "mobile": "mobilePhone", "job": "jobTitle", "home": "businessHomePage",
            "company": "companyName"}  # fmt: skip
FIELDS = (*BC_PROPERTIES, "street")
#: Under this name a contact says of which of the companies it is.
IN_COMPANY = "in_company"
_COUNTRIES = {
    "nederland": "nl", "netherlands": "nl", "holland": "nl", "belgië": "be", "duitsland": "de",
    "germany": "de", "frankrijk": "fr", "belgium": "be", "france": "fr",
}  # fmt: skip
#: Phone regions, and what stands for the zero of their numbers.
REGIONS = {"NL": "+31", "BE": "+32", "DE": "+49", "FR": "+33"}
_SEPARATES = re.compile(rf"\s+|\\[rnt]|\\u00[01][0-9a-f]|[\x00-\x1f{odd_values.INVISIBLE}()./-]")
_EMAIL = re.compile(r"[^\s@;,<>\"]+@[^\s@;,<>\".]+(\.[^\s@;,<>\".]+)+")


def compact(value: object) -> str:
    """Return a value as tokens are looked for: without white space, case, escapes and what separates digits."""
    raw = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    return _SEPARATES.sub("", unicodedata.normalize("NFC", raw)).casefold()


def key_of(value: str) -> str:
    """Return the part of a typed value that no other one has, as ``compact`` leaves it; "" where there is none."""
    first = compact(value.strip().splitlines()[0]) if value.strip() else ""
    unique = re.search(r"q\d+q|(?<=\d)\d{7}$", first)
    return unique[0] if unique else first


def normal(name: str, value: str, region: str = "NL") -> str:
    """Return what two values of a field have in common when they mean the same; phones in a region."""
    value = unicodedata.normalize("NFC", re.sub("\r\n|[\r\v\f\x85\u2028\u2029]", "\n", value))
    value = "".join(c for c in value if c in "\n\t" or unicodedata.category(c) not in ("Cc", "Cs"))
    if name in odd_values.CODES:
        value = "".join(c for c in value if c not in odd_values.INVISIBLE)
    if name in ("phone", "mobile"):
        return _normal_phone(value, REGIONS[region])
    if name == "post":
        return re.sub(r"\s", "", value).upper()
    if name == "country":
        return _COUNTRIES.get(value.strip().casefold(), value.strip().casefold())
    if name in ("email", "email2"):
        return value.partition(";")[0].strip().casefold()
    if name == "street":
        return "\n".join(line.strip() for line in value.splitlines() if line.strip())
    return re.sub(r"\s+", " ", value).strip()


def _normal_phone(value: str, country: str) -> str:
    if any(c.isalpha() for c in value):
        return re.sub(r"\s+", " ", value).strip()
    digits = re.sub(r"[^\d+]", "", value)
    digits = "+" + digits[2:] if digits.startswith("00") else digits
    digits = country + digits[1:] if digits.startswith("0") else digits
    return country + digits[len(country) + 1 :] if digits.startswith(f"{country}0") else digits


def valid_email(value: str) -> bool:
    """Whether an address may be synced, the first one of several."""
    return _EMAIL.fullmatch(normal("email", value)) is not None


def bc_values(contact: dict[str, Any]) -> dict[str, str]:
    """Mapped fields of a contact of Business Central, as the sandbox dumps it."""
    values = {name: contact.get(key) or "" for name, key in (BC_PROPERTIES | BC_PARTS).items()}
    values["street"] = f"{contact.get('addressLine1') or ''}\n{contact.get('addressLine2') or ''}"
    return values


def item_values(item: dict[str, Any]) -> dict[str, str]:
    """Mapped fields of an Outlook item's properties; arrays by their first entry."""
    values = {name: item.get(key) or "" for name, key in (SCALARS | PARTS).items()}
    address = item.get("businessAddress") or {}
    values |= {name: address.get(key) or "" for name, key in _ADDRESS.items()}
    values["street"] = address.get("street") or ""
    emails, phones = item.get("emailAddresses") or [], item.get("businessPhones") or []
    values["email"] = (emails[0].get("address") or "") if emails else ""
    values["email2"] = (emails[1].get("address") or "") if emails[1:] else ""
    values["phone"] = phones[0] if phones else ""
    return values
