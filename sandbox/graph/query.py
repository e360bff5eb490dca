"""The few query options that Graph knows on contacts and contact folders; all others are refused."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from sandbox.graph.contact import property_key
from sandbox.graph.mailbox import Contact, Folder
from sandbox.wire import ApiError, words

_TEXT = r"'(?P<{}>(?:[^']|'')*)'"
_EMAIL = re.compile(
    r"\s*emailAddresses\s*/\s*any\s*\(\s*(?P<v>\w+)\s*:\s*(?P=v)\s*/\s*address\s+eq\s+"
    + _TEXT.format("value")
    + r"\s*\)\s*",
    re.IGNORECASE,
)
_PROPERTY = re.compile(
    r"\s*singleValueExtendedProperties\s*/\s*any\s*\(\s*(?P<v>\w+)\s*:\s*(?P=v)\s*/\s*id\s+eq\s+"
    + _TEXT.format("id")
    + r"\s+and\s+(?:(?P=v)\s*/\s*value\s+(?P<op>eq|ne)\s+"
    + _TEXT.format("value")
    + r"|(?P<function>contains|startswith)\s*\(\s*(?P=v)\s*/\s*value\s*,\s*"
    + _TEXT.format("argument")
    + r"\s*\))\s*\)\s*",
    re.IGNORECASE,
)
_NAME = re.compile(r"\s*displayName\s+eq\s+" + _TEXT.format("value") + r"\s*")


def _unquote(text: str) -> str:
    return text.replace("''", "'")


def refused() -> ApiError:
    """Return the error for a filter that the service does not know."""
    return ApiError(400, "ErrorInvalidUrlQueryFilter", "The query filter contains one or more invalid nodes.")


def property_filter(text: str) -> Callable[[dict[str, str] | None], bool] | None:
    """Return a test on extended properties, or None when the filter is of another kind."""
    match = _PROPERTY.fullmatch(text)
    if match is None:
        return None
    key = property_key(_unquote(match["id"]))
    wanted = _unquote(match["value"] if match["op"] else match["argument"]).casefold()
    operation = (match["op"] or match["function"]).lower()
    tests: dict[str, Callable[[str], bool]] = {
        "eq": lambda value: value == wanted,
        "ne": lambda value: value != wanted,
        "contains": lambda value: wanted in value,
        "startswith": lambda value: value.startswith(wanted),
    }
    test = tests[operation]

    def matches(extended: dict[str, str] | None) -> bool:
        return extended is not None and key in extended and test(extended[key].casefold())

    return matches


def contact_filter(text: str | None) -> Callable[[Contact], bool] | None:
    """Return the test for a list of contacts, or None without a filter."""
    if text is None:
        return None
    by_property = property_filter(text)
    if by_property is not None:
        return lambda contact: by_property(contact.extended)
    match = _EMAIL.fullmatch(text)
    if match is None:
        raise refused()
    wanted = _unquote(match["value"]).casefold()

    def has_address(contact: Contact) -> bool:
        emails = contact.fields.get("emailAddresses", [])
        return any((item.get("address") or "").casefold() == wanted for item in emails)

    return has_address


def folder_filter(text: str | None) -> Callable[[Folder], bool] | None:
    """Return the test for a list of folders, or None without a filter."""
    if text is None:
        return None
    by_property = property_filter(text)
    if by_property is not None:
        return lambda folder: by_property(folder.extended)
    match = _NAME.fullmatch(text)
    if match is None:
        raise refused()
    wanted = _unquote(match["value"]).casefold()
    return lambda folder: folder.name.casefold() == wanted


_ORDERABLE = frozenset(
    words("displayName givenName surname companyName fileAs createdDateTime lastModifiedDateTime jobTitle")
)


def sort_contacts(contacts: list[Contact], orderby: str | None) -> list[Contact]:
    """Return contacts in the asked order; without one in the order of creation."""
    result = sorted(contacts, key=lambda contact: contact.number)
    for item in reversed((orderby or "").split(",")):
        name, _, direction = item.strip().partition(" ")
        if not name:
            continue
        if name not in _ORDERABLE or direction.strip().lower() not in ("", "asc", "desc"):
            raise ApiError(400, "ErrorInvalidUrlQuery", "The orderby expression is not supported.")
        result.sort(key=_order_key(name), reverse=direction.strip().lower() == "desc")
    return result


def _order_key(name: str) -> Callable[[Contact], Any]:
    if name == "createdDateTime":
        return lambda contact: contact.created
    if name == "lastModifiedDateTime":
        return lambda contact: contact.modified
    return lambda contact: (contact.fields.get(name) or "").casefold()
