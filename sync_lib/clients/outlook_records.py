"""Records of Microsoft Graph about contacts and their folders: how they are asked for, and what is made of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sync_lib.clients.mailboxes import malformed
from sync_lib.clients.odata import to_literal, to_stamp
from sync_lib.errors import NotFoundError
from sync_lib.fields.table import OUTLOOK_PROPERTIES
from sync_lib.model import OutlookContact
from sync_lib.ports import Folder

#: One namespace and three names for ever: Exchange counts distinct named properties per mailbox, and a second
#: spelling would be a second property.
_NAMESPACE = "{0f2d8a64-5c1b-4e0e-9c53-7a3b6e1d94c8}"
BC_KEY_ID = f"String {_NAMESPACE} Name BcContactKey"
MARKER_ID = f"String {_NAMESPACE} Name ContactSyncFolder"
#: PidTagSensitivity (MS-OXCMSG 2.2.1.13): 0 normal, 1 personal, 2 private, 3 confidential; absent is normal.
SENSITIVITY_ID = "Integer 0x36"
_NOT_PRIVATE = frozenset(("", "0", "1"))
#: The marker's other slot: the two are written in turn, so that a write whose answer is lost spares one of them.
OTHER_MARKER_ID = f"{MARKER_ID}2"

SELECT = ",".join(("id", "parentFolderId", "createdDateTime", "lastModifiedDateTime", *OUTLOOK_PROPERTIES))

#: A 404 with one of these is about the item or folder; any other one is about the mailbox, the user, or a proxy.
_GONE = frozenset({"erroritemnotfound", "errorfoldernotfound", "errorsyncfoldernotfound"})


def to_contact(record: object, *, key_read: bool = False) -> OutlookContact:
    """Return a contact made of Graph's record, perhaps of a part of it; what was not sent stays out of ``record``.

    Args:
        record: As Graph sent it.
        key_read: Whether BC key and private flag were asked for, so that their absence means "has none".

    Raises:
        MalformedAnswerError: It has no id, or a time that is none.
    """
    if not isinstance(record, dict) or not isinstance(record.get("id"), str) or not record["id"]:
        raise malformed("contact")
    try:
        modified, created = (
            to_stamp(record.get("lastModifiedDateTime")),
            to_stamp(record.get("createdDateTime")),
        )
    except ValueError:
        raise malformed("contact") from None
    return OutlookContact(
        id=record["id"],
        etag=str(record.get("@odata.etag") or ""),
        last_modified=modified,
        created=created,
        parent_folder_id=str(record.get("parentFolderId") or ""),
        bc_key=_property_of(record, BC_KEY_ID) if key_read else None,
        record={name: record[name] for name in OUTLOOK_PROPERTIES if name in record},
        # A value that is none of the four counts as private: nobody can say that it is not.
        private=_property_of(record, SENSITIVITY_ID).strip() not in _NOT_PRIVATE if key_read else None,
    )


def to_folder(record: object) -> Folder:
    """Return a contact folder made of Graph's record; the markers are "" where they were not asked for."""
    if not isinstance(record, dict) or not isinstance(record.get("id"), str) or not record["id"]:
        raise malformed("folder")
    return Folder(
        id=record["id"],
        name=str(record.get("displayName") or ""),
        parent_id=str(record.get("parentFolderId") or ""),
        marker=_property_of(record, MARKER_ID),
        other_marker=_property_of(record, OTHER_MARKER_ID),
    )


def is_gone(error: NotFoundError) -> bool:
    """Return whether it is the item or folder that is not there, not the mailbox."""
    return error.code.lower() in _GONE


def to_property(property_id: str, value: str) -> dict[str, str]:
    """Return an extended property as Graph takes it."""
    return {"id": property_id, "value": value}


def _property_of(record: Mapping[str, Any], property_id: str) -> str:
    """Return the value of an extended property, "" where the record has none."""
    # Services spell the GUID within the id in either case.
    for one in record.get("singleValueExtendedProperties") or []:
        if isinstance(one, dict) and str(one.get("id")).lower() == property_id.lower():
            return str(one.get("value") or "")
    return ""


def to_expand(*property_ids: str) -> str:
    """Return the ``$expand`` that asks for extended properties."""
    wanted = " or ".join(f"id eq {to_literal(each)}" for each in property_ids)
    return f"singleValueExtendedProperties($filter={wanted})"
