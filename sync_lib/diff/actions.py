"""What a planned action is known by: its order, its digest, and a part of it (rules 8.3 and 8.10)."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection
from dataclasses import replace

from sync_lib.model import Action, Fields, PlannedChange

_ORDER = {
    Action.DELETE_OUTLOOK: 0,
    Action.UNTIE: 0,
    Action.COUPLE: 1,
    Action.UPDATE_OUTLOOK: 2,
    Action.CREATE_OUTLOOK: 3,
    Action.UPDATE_BC: 4,
    Action.CREATE_BC: 5,
}


def load_order(change: PlannedChange) -> tuple[int, str, str]:
    """Return the key to sort by: BC to Outlook before Outlook to BC; a coupling before the updates that need it."""
    return (_ORDER[change.action], change.bc_id or "", change.outlook_id or "")


def digest_of(change: PlannedChange) -> str:
    """Return the identity of an action with its values: what an approval is bound to (rules 8.3)."""
    parts = [change.action, change.bc_id or "", change.outlook_id or "", sorted(change.normal.items())]
    return hashlib.blake2b(json.dumps(parts).encode(), digest_size=16).hexdigest()


def try_digest(change: PlannedChange) -> str:
    """Return the digest of what is to be written and of both sides: with another one a refused change is tried anew."""
    parts: list[object] = [change.digest]
    parts += [side.fingerprint if side else 0 for side in (change.bc, change.item)]
    if change.categories:
        # Neither fingerprint shows that a template has changed.
        parts.append(change.categories["after"])
    return hashlib.blake2b(json.dumps(parts).encode(), digest_size=16).hexdigest()


def part_of(change: PlannedChange, names: Collection[str]) -> PlannedChange:
    """Return the part of an update that writes these fields, as an action of its own."""

    def some(values: Fields) -> Fields:
        return {name: value for name, value in values.items() if name in names}

    overwritten = change.overwritten & set(names)
    plain = "changed_in_bc" if change.action is Action.UPDATE_OUTLOOK else "changed_in_outlook"
    part = replace(
        change,
        cause=change.cause if overwritten else plain,
        before=some(change.before),
        after=some(change.after),
        source=some(change.source),
        losing=some(change.losing),
        normal=some(change.normal),
        refused=[refusal for refusal in change.refused if refusal.field in names],
        overwritten=overwritten,
        guard_class="overwrites" if overwritten else "",
    )
    part.digest = digest_of(part)
    return part
