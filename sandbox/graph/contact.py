"""What a Graph contact may hold, how a write changes it, and how it reads back."""

from __future__ import annotations

import re
from typing import Any

from sandbox.clock import iso_seconds
from sandbox.graph.mailbox import Contact, Mailbox
from sandbox.settings import Settings
from sandbox.wire import ApiError, words

NAMES = ("givenName", "middleName", "surname", "title", "generation", "nickName", "initials")
STRINGS = frozenset(
    words(
        "displayName fileAs givenName middleName surname nickName initials title generation yomiGivenName "
        "yomiSurname yomiCompanyName jobTitle companyName department officeLocation profession manager "
        "assistantName spouseName businessHomePage mobilePhone birthday personalNotes"
    )
)
ARRAYS = {"businessPhones": 2, "homePhones": 2, "imAddresses": 3, "children": 100, "categories": 100}
SLOTS = ("primaryEmailAddress", "secondaryEmailAddress", "tertiaryEmailAddress")
ADDRESSES = ("businessAddress", "homeAddress", "otherAddress")
ADDRESS_PARTS = ("street", "city", "state", "countryOrRegion", "postalCode")
READ_ONLY = frozenset(("id", "changeKey", "createdDateTime", "lastModifiedDateTime", "parentFolderId"))
EXTENDED = "singleValueExtendedProperties"
#: PidTagSensitivity: 0 normal, 1 personal, 2 private, 3 confidential. Shown only where it is expanded, never by delta.
SENSITIVITY = "Integer 0x36"

# The order in which Graph lists the properties of a contact.
TEMPLATE: dict[str, Any] = {
    **dict.fromkeys(
        (
            "@odata.etag",
            "id",
            "createdDateTime",
            "lastModifiedDateTime",
            "changeKey",
            "categories",
            "parentFolderId",
        )
    ),
    **dict.fromkeys(sorted(STRINGS)),
    **{name: [] for name in ARRAYS},
    "emailAddresses": [],
    **dict.fromkeys(SLOTS),
    **{name: {} for name in ADDRESSES},
}

_PROPERTY_ID = re.compile(
    r"^(?P<kind>String|Integer|Boolean|SystemTime|Long|Double)\s+"
    r"(?:(?P<guid>\{[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}\})\s+(?P<by>Name|Id)\s+(?P<name>.+)"
    r"|(?P<tag>0x[0-9A-Fa-f]{1,8}))$"
)


_INTEGER = re.compile(r"-?[0-9]{1,10}")


def property_key(text: object) -> str:
    """Return the one spelling of an extended property's id; the name keeps its case."""
    match = _PROPERTY_ID.match(text) if isinstance(text, str) else None
    if match is None:
        raise ApiError(400, "ErrorInvalidProperty", "The extended property id is not in a known format.")
    if match["tag"]:
        return f"{match['kind']} 0x{int(match['tag'], 16):x}"
    return f"{match['kind']} {match['guid'].lower()} {match['by']} {match['name']}"


def extended_values(body: dict[str, Any]) -> dict[str, str | None]:
    """Return the extended properties that a request body sets."""
    items = body.get(EXTENDED) or []
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        raise ApiError(
            400, "RequestBodyRead", "singleValueExtendedProperties must be a collection of objects."
        )
    values: dict[str, str | None] = {}
    for item in items:
        value = item.get("value")
        if value is not None and not isinstance(value, str):
            raise ApiError(
                400, "RequestBodyRead", "Cannot convert the literal to the expected type 'Edm.String'."
            )
        key = property_key(item.get("id"))
        if value is not None and key.startswith("Integer ") and not _INTEGER.fullmatch(value):
            raise ApiError(
                400, "ErrorInvalidProperty", f"The value of the extended property '{key}' is no Integer."
            )
        values[key] = value
    return values


def merge_extended(old: dict[str, str] | None, new: dict[str, str | None]) -> dict[str, str] | None:
    """Return the properties after a write; those that it does not name stay."""
    merged: dict[str, str | None] = {**(old or {}), **new}
    return {name: value for name, value in merged.items() if value is not None} or None


def apply(fields: dict[str, Any], body: dict[str, Any], settings: Settings) -> dict[str, Any]:
    """Return the properties of a contact after a POST (``fields`` empty) or PATCH, or raise the 400."""
    result = dict(fields)
    for name, value in body.items():
        if "@odata." in name or name in (EXTENDED, "multiValueExtendedProperties"):
            continue
        if name in READ_ONLY:
            if settings.is_on("graph_readonly_in_patch", "400"):
                raise ApiError(
                    400, "ErrorInvalidRequest", f"The property '{name}' is read-only and cannot be set."
                )
            continue
        if name in SLOTS:
            _set_slot(result, SLOTS.index(name), value, settings)
        else:
            _store(result, name, _checked(name, value, result, settings))
    if "displayName" not in body and any(name in body for name in NAMES):
        _store(result, "displayName", full_name(result))
    if not result.get("displayName") and not fields:
        _store(result, "displayName", full_name(result) or result.get("companyName") or first_address(result))
    if "fileAs" not in body and (not fields or any(name in body for name in NAMES)):
        _store(result, "fileAs", file_as(result))
    return result


def full_name(fields: dict[str, Any]) -> str | None:
    """Return the display name that Exchange makes of the parts."""
    parts = (fields.get(name) for name in ("givenName", "middleName", "surname", "generation"))
    return " ".join(part for part in parts if part) or None


def file_as(fields: dict[str, Any]) -> str | None:
    """Return the name under which Exchange files a contact."""
    given = " ".join(part for part in (fields.get("givenName"), fields.get("middleName")) if part)
    return ", ".join(part for part in (fields.get("surname"), given) if part) or fields.get("displayName")


def first_address(fields: dict[str, Any]) -> str | None:
    """Return the first e-mail address, if any."""
    return next((item.get("address") for item in fields.get("emailAddresses", []) if item), None)


def _store(fields: dict[str, Any], name: str, value: Any) -> None:
    if value is None or value in ([], {}):
        fields.pop(name, None)
    else:
        fields[name] = value


def _refuse(name: str) -> ApiError:
    return ApiError(400, "RequestBodyRead", f"Cannot read the value of the property '{name}': wrong type.")


def _checked(name: str, value: Any, fields: dict[str, Any], settings: Settings) -> Any:
    if name in STRINGS:
        if value is not None and not isinstance(value, str):
            raise _refuse(name)
        return value
    if name in ARRAYS:
        if value is not None and not (
            isinstance(value, list) and all(isinstance(item, str) for item in value)
        ):
            raise _refuse(name)
        return _limited(name, value or [], ARRAYS[name])
    if name == "emailAddresses":
        if value is not None and not isinstance(value, list):
            raise _refuse(name)
        return [_email(item, settings) for item in _limited(name, value or [], 3)]
    if name in ADDRESSES:
        return _address(name, value, fields.get(name, {}), settings)
    message = f"The property '{name}' does not exist on type 'microsoft.graph.contact'."
    raise ApiError(400, "RequestBodyRead", message)


def _limited(name: str, items: list[Any], most: int) -> list[Any]:
    if len(items) > most:
        message = (
            f"The multi value property '{name}' has {len(items)} entries, which exceeds the max of {most}."
        )
        raise ApiError(400, "ErrorPropertyValidationFailure", message)
    return items


def _email(item: Any, settings: Settings) -> dict[str, str]:
    if not isinstance(item, dict) or not all(v is None or isinstance(v, str) for v in item.values()):
        raise _refuse("emailAddresses")
    if not item.get("address") and settings.is_on("graph_email_without_address", "400"):
        message = "The email address is missing: at least one recipient isn't valid."
        raise ApiError(400, "ErrorInvalidRecipients", message)
    address, name = item.get("address"), item.get("name") or item.get("address")
    # An address with a stray comma is kept as a name only (msgraph-training issue 2186).
    pairs = {"name": name, "address": None if address and "," in address else address}
    return {key: value for key, value in pairs.items() if value is not None}


def _set_slot(fields: dict[str, Any], slot: int, value: Any, settings: Settings) -> None:
    emails: list[Any] = list(fields.get("emailAddresses", []))
    if value is None:
        del emails[slot : slot + 1]
    elif slot < len(emails):
        emails[slot] = _email(value, settings)
    else:
        emails.append(_email(value, settings))
    _store(fields, "emailAddresses", emails)


def _address(name: str, value: Any, old: dict[str, Any], settings: Settings) -> dict[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, dict) or not all(v is None or isinstance(v, str) for v in value.values()):
        raise _refuse(name)
    for part in value:
        if part not in ADDRESS_PARTS and "@odata." not in part:
            message = f"The property '{part}' does not exist on type 'microsoft.graph.physicalAddress'."
            raise ApiError(400, "RequestBodyRead", message)
    merged = {**old, **value} if settings.is_on("graph_address_patch", "merge") else value
    return {part: merged[part] for part in ADDRESS_PARTS if merged.get(part)}


class View:
    """How contacts are written: id form, selected properties, expanded extended properties, the parent's spelling."""

    def __init__(
        self,
        *,
        immutable: bool,
        select: tuple[str, ...] = (),
        expand: tuple[str, ...] = (),
        other_parent: bool = False,
    ) -> None:
        self.immutable = immutable
        self.other_parent = other_parent
        self.select = select
        self.expand = expand

    def write(self, mailbox: Mailbox, contact: Contact, *, in_list: bool = False) -> dict[str, Any]:
        """Return a contact as JSON object."""
        result = dict(TEMPLATE)
        result.update(contact.fields)
        key = mailbox.change_key(contact)
        result["@odata.etag"] = f'W/"{key}"'
        result["id"] = mailbox.item_id(contact, immutable=self.immutable)
        result["changeKey"] = key
        result["createdDateTime"] = iso_seconds(contact.created)
        result["lastModifiedDateTime"] = iso_seconds(contact.modified)
        result["parentFolderId"] = mailbox.folder_id(contact.folder, other=self.other_parent)
        result.update(zip(SLOTS, result["emailAddresses"], strict=False))
        if in_list and result["personalNotes"]:
            # Lists shorten the notes and lose leading line breaks (docs-contrib issue 413).
            result["personalNotes"] = result["personalNotes"].lstrip("\r\n")[:256]
        if self.select:
            result = {name: result[name] for name in ("@odata.etag", "id", *self.select) if name in result}
        self.write_extended(result, contact.extended)
        return result

    def write_extended(self, result: dict[str, Any], extended: dict[str, str] | None) -> None:
        """Add the expanded extended properties, under the ids as they were asked for."""
        values = [
            {"id": wanted, "value": extended[key]}
            for wanted in self.expand
            if extended and (key := property_key(wanted)) in extended
        ]
        if values:
            result[EXTENDED] = values


def parse_select(text: str | None, known: frozenset[str]) -> tuple[str, ...]:
    """Return the names of ``$select``; an unknown one is refused."""
    names = tuple(name.strip() for name in (text or "").split(",") if name.strip())
    for name in names:
        if name not in known:
            message = f"Could not find a property named '{name}' on type 'microsoft.graph.contact'."
            raise ApiError(400, "RequestBroker--ParseUri", message)
    return names


def parse_expand(text: str | None) -> tuple[str, ...]:
    """Return the ids of the extended properties that ``$expand`` asks for."""
    if not text:
        return ()
    match = re.fullmatch(
        r"\s*singleValueExtendedProperties\s*\(\s*\$filter\s*=(?P<filter>.*)\)\s*", text, re.DOTALL
    )
    ids = re.findall(r"\s*id\s+eq\s+'((?:[^']|'')*)'\s*(?:or|$)", match["filter"]) if match else []
    if not ids:
        raise ApiError(
            400, "ErrorInvalidUrlQuery", "Only singleValueExtendedProperties($filter=id eq '...') expands."
        )
    wanted = tuple(item.replace("''", "'") for item in ids)
    for item in wanted:
        property_key(item)
    return wanted


SELECTABLE = frozenset(TEMPLATE) - {"@odata.etag"}
