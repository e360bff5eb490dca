"""Ids of folders and items as Exchange issues them: long, opaque and case-sensitive.

They are computed from the mailbox and a number, so two million contacts need
no room for them. The default form changes with each move, the immutable one
does not.
"""

from __future__ import annotations

import base64
import hashlib

_DEFAULT = b"\x00\x03\x24\x00"
_IMMUTABLE = b"\x00\x09\x00\x2e"
_FOLDER = b"\x01\x03\x24\x00"
_OTHER_FOLDER = b"\x01\x09\x00\x2e"
_CHANGE_KEY = b"\x11\x00\x00\x00\x16\x00\x00\x00"


def mailbox_key(user_id: str, epoch: int) -> bytes:
    """Return the bytes that all ids of one mailbox share; a migration (new epoch) changes them."""
    return hashlib.shake_256(f"{user_id}/{epoch}".encode()).digest(98)


def _encode(blob: bytes) -> str:
    return base64.urlsafe_b64encode(blob).decode()


def _decode(text: str) -> bytes:
    try:
        blob = base64.b64decode(text.encode("ascii"), altchars=b"-_", validate=True)
    except ValueError:
        return b""
    return blob if _encode(blob) == text else b""


def item_id(key: bytes, number: int, moves: int) -> str:
    """Return the default id of an item (152 characters)."""
    return _encode(_DEFAULT + key + moves.to_bytes(4, "big") + number.to_bytes(8, "big"))


def immutable_id(key: bytes, number: int) -> str:
    """Return the immutable id of an item (152 characters)."""
    return _encode(_IMMUTABLE + key + b"\0\0\0\0" + number.to_bytes(8, "big"))


def folder_id(key: bytes, number: int, *, other: bool = False) -> str:
    """Return the id of a folder (120 characters), or another spelling of it, which works as well."""
    return _encode((_OTHER_FOLDER if other else _FOLDER) + key[:78] + number.to_bytes(8, "big"))


def parse_item_id(key: bytes, text: str) -> tuple[int, int | None] | None:
    """Return (number, moves) of an id of this mailbox; moves is None for the immutable form."""
    blob = _decode(text)
    if len(blob) != 114 or blob[4:102] != key:
        return None
    number = int.from_bytes(blob[106:], "big")
    if blob[:4] == _DEFAULT:
        return number, int.from_bytes(blob[102:106], "big")
    return (number, None) if blob[:4] == _IMMUTABLE else None


def parse_folder_id(key: bytes, text: str) -> int | None:
    """Return the number of a folder of this mailbox."""
    blob = _decode(text)
    if len(blob) != 90 or blob[:4] not in (_FOLDER, _OTHER_FOLDER) or blob[4:82] != key[:78]:
        return None
    return int.from_bytes(blob[82:], "big")


def change_key(key: bytes, usn: int) -> str:
    """Return the change key that belongs to a number of the mailbox's change counter."""
    return _encode(_CHANGE_KEY + key[:16] + usn.to_bytes(6, "big"))


def is_change_key(text: str) -> bool:
    """Return whether a text has the form of a change key, of whatever mailbox and version."""
    blob = _decode(text)
    return len(blob) == len(_CHANGE_KEY) + 22 and blob.startswith(_CHANGE_KEY)
