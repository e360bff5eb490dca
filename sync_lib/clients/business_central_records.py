"""Records of Business Central's API: how they are asked for, and the contacts made of them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import quote

from sync_lib.clients.batch import BatchSender
from sync_lib.clients.odata import to_stamp
from sync_lib.clients.session import ApiSession
from sync_lib.errors import MalformedAnswerError
from sync_lib.fields.bc_columns import BcColumn
from sync_lib.model import BcContact
from sync_lib.ports import Pages

#: Language and number format of BC's messages, so that they do not depend on who registered the app.
LANGUAGE = {"Accept-Language": "en-US"}

#: Parts of a ``$batch``.
BATCH_SIZE = 100
#: Without this preference the standard leaves open whether BC looks at the parts of a ``$batch`` after one that failed.
_BATCH_HEADERS = {**LANGUAGE, "Prefer": "odata.continue-on-error"}


def bc_batch(session: ApiSession, api: str) -> BatchSender:
    """Return what sends batches to one of BC's APIs; they stay as large as they are, since BC limits requests."""
    path = f"{api}/$batch"
    return BatchSender(session, path, most=BATCH_SIZE, headers=_BATCH_HEADERS, fewest=BATCH_SIZE)


def contacts_of(company_id: str) -> str:
    """Return the path of a company's contacts, relative to the API's."""
    return f"companies({to_segment(company_id)})/contacts"


def to_select(columns: Sequence[BcColumn]) -> str:
    """Return the properties to ask for of each contact."""
    return ",".join(["id", "lastModifiedDateTime", *(column.property for column in columns)])


def iter_rows(
    session: ApiSession, path: str, query: Mapping[str, str], listing: Pages
) -> Iterator[dict[str, Any]]:
    """Yield the records of a list, page by page.

    Raises:
        MalformedAnswerError: The list broke off, or a record is not one.
    """
    for page in session.iter_pages(path, query, LANGUAGE, paging=listing):
        for row in page["value"]:
            if not isinstance(row, dict):
                raise malformed()
            yield row


def to_contact(record: object, columns: Sequence[BcColumn]) -> BcContact:
    """Return a contact made of BC's record, its values as text: blank is "", whatever BC calls it.

    Raises:
        MalformedAnswerError: It has no id or version, or lacks a property that was asked for: an invented blank
            would clear the field in Outlook.
    """
    if not isinstance(record, dict) or not record.get("@odata.etag"):
        raise malformed()
    try:
        values = {column.name: _text(column, record[column.property]) for column in columns}
    except KeyError as error:
        raise MalformedAnswerError(f"Business Central sent a contact without {error.args[0]}.") from None
    return BcContact(guid_of(record), str(record["@odata.etag"]), stamp_of(record), values)


def _text(column: BcColumn, value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    text = str(value)
    if column.kind == "date" and text.startswith("0001-01-01"):
        return ""
    return _unescape(text).strip() if column.kind == "option" else text


_ESCAPE = re.compile(r"_x([0-9A-Fa-f]{4})_")


def _unescape(text: str) -> str:
    # Names of enum values: what XML names cannot hold is escaped, so blank comes as _x0020_.
    return _ESCAPE.sub(lambda match: chr(int(match.group(1), 16)), text)


def guid_of(record: Mapping[str, Any]) -> str:
    """Return a record's id, as we spell it."""
    value = record.get("id")
    if not isinstance(value, str) or not value:
        raise malformed()
    return value.lower()


def stamp_of(record: Mapping[str, Any]) -> str:
    """Return when a record last changed."""
    try:
        stamp = to_stamp(record.get("lastModifiedDateTime"))
    except ValueError:
        stamp = ""
    if not stamp:
        raise malformed()
    return stamp


def to_segment(text: str) -> str:
    """Return a text as a part of a path."""
    return quote(text, safe="")


def malformed() -> MalformedAnswerError:
    """Return the error for a record that cannot be used."""
    return MalformedAnswerError("Business Central sent a record that is not what was asked for.")
