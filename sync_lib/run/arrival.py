"""How long an edit takes from where it was made to our write on the other side.

An edit is known by the stamp that its service gives the contact (``lastModifiedDateTime``), and our write by the time
at which its outcome is stored, by the staging database's clock. What the two clocks differ by is in the figures.
"""

from __future__ import annotations

from collections.abc import Iterable

from sync_lib.model import Action, PlannedChange
from sync_lib.times import before

#: Causes that are edits of a person; all others come from settings, first matches, decisions or deletes.
EDITS = frozenset(
    {
        "new_in_bc",
        "new_in_outlook",
        "changed_in_bc",
        "changed_in_outlook",
        "changed_in_bc_while_away",
        "conflict",
    }
)
_FROM_BC = (Action.CREATE_OUTLOOK, Action.UPDATE_OUTLOOK)
_FROM_OUTLOOK = (Action.CREATE_BC, Action.UPDATE_BC)


def note_edits(changes: Iterable[PlannedChange], last_good_at: str | None, overlap: float) -> None:
    """Note when the edits behind changes were made, of those that are younger than the profile's last good sync.

    What a first sync writes, what comes into a scope by a setting, and what a person approved took no time to arrive
    that says anything; nor does what was refused before, which the rejects tell of.

    Args:
        changes: Of a plan, as the guard left them.
        last_good_at: When the profile synced to the end last, None for never.
        overlap: Seconds that clocks may differ by, and that a read goes back.
    """
    if not last_good_at:
        return
    since = before(last_good_at, overlap)
    for change in changes:
        stamp = _stamp_of(change)
        if stamp >= since and change.cause in EDITS and change.hold is None and change.outcome is None:
            change.edited_at = stamp


def _stamp_of(change: PlannedChange) -> str:
    """When the side that a change comes from was changed last; "" for neither, or where nobody knows."""
    if change.action in _FROM_BC and change.bc:
        return change.bc.last_modified
    if change.action in _FROM_OUTLOOK and change.item:
        return change.item.last_modified
    return ""
