"""Judges that what is the user's stays as it is: other folders, unmapped properties, categories, own entries (I8)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from tests.proof.verdict import check

if TYPE_CHECKING:
    from tests.proof.oracle import Item

CATEGORY = "Business Central"
#: Properties of an item that the sync neither reads nor writes.
UNMAPPED = ("personalNotes", "nickName", "homePhones", "birthday", "department", "homeAddress")
#: Arrays of which the first entry is mapped, and the others are the user's.
_ARRAYS = ("emailAddresses", "businessPhones")


def judge(mailbox: str, item: Item, now: Item | None, baseline: str, *, is_blocked: bool) -> None:
    """Judge what a run did to an item while no user acted.

    Args:
        mailbox: Where it lies.
        item: The item before the run.
        now: The item behind it; None where it is gone.
        baseline: What the coupling before the run says of Outlook's side; "" where there was none.
        is_blocked: Whether its contact was blocked: what the sync made goes wherever its owner moved it, another one
            loses key and category (rules 7.4).
    """
    if now is None or now.folder_id != item.folder_id:
        is_ours = is_blocked and item.origin == "made_by_sync"
        is_private = item.folder in ("contacts", "Prive")
        check(is_ours or not is_private, "I8", f"a private item of {mailbox} is gone")
        return
    if item.folder in ("contacts", "Prive", "deleteditems"):
        untouched = now.version == item.version or (is_blocked and not now.bc_id)
        check(untouched, "I8", f"an item outside the folder was written: {item.id}")
    for name in UNMAPPED:
        same = now.properties.get(name) == item.properties.get(name)
        check(same, "I8", f"{name} of {item.properties.get('displayName')!r} was changed")
    kept = set(item.properties.get("categories") or []) - {CATEGORY}
    check(kept <= set(now.properties.get("categories") or []), "I8", "a category of the user is gone")
    left = [entry for entries in _entries(now.properties).values() for entry in entries]
    for own in own_entries(item.properties, baseline):
        check(own in left, "I8", f"the user's own {own!r} is gone from {item.id}")


def own_entries(properties: Mapping[str, Any], baseline: str) -> list[str]:
    """Return the user's own addresses and phones of an item.

    The first entry is the mapped value, whoever typed it, unless the coupling knows it as one of the user's own: then
    the mapped value is blank, and the entry has moved up (rules 6).
    """
    known = json.loads(baseline or "{}")
    found = []
    for name, (first, *rest) in _entries(properties).items():
        is_own = first in (known.get(name) or [])[1:]
        found += [entry for entry in ([first] if is_own else []) + rest if _is_marked(entry)]
    return found


def moved_up(properties: Mapping[str, Any], baseline: str) -> set[str]:
    """Return the mapped fields that are blank, and whose array begins with an entry of the user's own (rules 6)."""
    known, entries = json.loads(baseline or "{}"), _entries(properties)
    return {
        name
        for array, name in {"emailAddresses": "email", "businessPhones": "phone"}.items()
        for first in entries.get(array, [])[:1]
        if _is_marked(first) and known.get(array, [])[:1] == [first] and not known["fields"].get(name)
    }


def _entries(properties: Mapping[str, Any]) -> dict[str, list[str]]:
    """Entries of the arrays as texts, without arrays that hold nothing."""
    arrays = {name: properties.get(name) or [] for name in _ARRAYS}
    texts = {
        name: [(entry.get("address") or "") if isinstance(entry, dict) else entry for entry in entries]
        for name, entries in arrays.items()
    }
    return {name: entries for name, entries in texts.items() if entries}


def _is_marked(entry: str) -> bool:
    """Whether an entry is one of those that the users of a history add as their own."""
    return "eigen" in entry or entry.startswith("+49")
