"""What the contact of a held action is known by in its profile: ids, and digests of addresses (rules 8.3). Pure."""

from __future__ import annotations

import hashlib

_BC, _EMAIL, _ITEM = "bc:", "email:", "outlook:"


def bc_key(bc_id: str) -> str:
    """Return what a contact of BC is known by."""
    return f"{_BC}{bc_id}"


def item_key(outlook_id: str) -> str:
    """Return what an item of Outlook is known by."""
    return f"{_ITEM}{outlook_id}"


def item_of(key: str) -> str:
    """Return the item that a key stands for, or "" where it stands for something else."""
    return key.removeprefix(_ITEM) if key.startswith(_ITEM) else ""


def email_key_digest(email_key: str) -> str:
    """Return what an address, in normal form, is known by: a digest that does not say it."""
    return _EMAIL + hashlib.blake2b(email_key.encode(), digest_size=16).hexdigest()


def is_email_digest(key: str) -> bool:
    """Whether a key stands for an address: another item may have it too."""
    return key.startswith(_EMAIL)


def bc_id_of(key: str) -> str:
    """Return the contact of BC that a key stands for, or "" where it stands for something else."""
    return key.removeprefix(_BC) if key.startswith(_BC) else ""
