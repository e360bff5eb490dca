"""Whether a comparison may leave out what the last one found in agreement, and what it reads then (``store.settled``).

Whatever is out of the ordinary is compared as a whole: what is left out must agree with certainty.
"""

from __future__ import annotations

from sqlalchemy import Connection

from sync_lib.run.inputs import ProfileView, Scope
from sync_lib.run.profile_run import ProfileRun
from sync_lib.store import runs, settled
from sync_lib.store.settled import Marks, Unsettled

#: Of so many couplings one may be unsettled, or so many rows, before reading everything is cheaper.
SHARE, ROWS = 8, 200


def unsettled(conn: Connection, profile_run: ProfileRun, scope: Scope) -> Unsettled | None:
    """Return what a comparison has to read, or None where it has to read everything.

    Args:
        conn: The transaction in which the comparison reads.
        profile_run: The profile's run, with its company as it is in this transaction.
        scope: Whose contacts.
    """
    if not _is_ordinary(profile_run) or scope.attend:
        return None
    cursor = runs.read_cursor(conn, "outlook", profile_run.id)
    generation = cursor.settled_generation
    if generation is None or generation != cursor.diffed_generation:
        return None
    if cursor.diffed_settings != profile_run.settings_digest():
        return None
    most = max(ROWS, cursor.contacts // SHARE)
    return settled.read_unsettled(conn, profile_run.id, profile_run.company.id, generation, most)


def mark(conn: Connection, profile_run: ProfileRun, view: ProfileView) -> int | None:
    """Leave the marks of a comparison that is about to be stored; return the generation that they are of, or None."""
    if not _is_ordinary(profile_run, reads_all=True):
        return None
    views = view.views
    # Also of those in agreement that a key names: another item may take the place of theirs.
    looked_at = {each.id: each.outlook_id for each in views.couplings}
    marks = Marks(
        [key for key in view.agreed if key not in looked_at],
        sorted(looked_at),
        [*views.uncoupled_items, *filter(None, looked_at.values())],
        [*views.uncoupled_bc, *views.left_out],
    )
    settled.mark(conn, profile_run.id, marks)
    return profile_run.company.generation


def _is_ordinary(profile_run: ProfileRun, *, reads_all: bool = False) -> bool:
    """Whether nothing decides about a profile but its settings, both sides, and its couplings."""
    full = profile_run.is_full and not reads_all
    special = profile_run.is_restored or profile_run.wanted.keys or profile_run.wishes.keys
    moved = profile_run.company_key.former
    return not (full or profile_run.run.dry_run or special or moved or profile_run.held_as_a_whole())
