"""What ending a profile would do, from what is staged: how many items go, stay, and were edited (rules 1).

Nothing is read from the services, and nothing is written. Edits that reach Business Central before the end are counted
as edited here: their items go all the same.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection

from sync_lib.errors import ConfigError
from sync_lib.model import Direction
from sync_lib.store.profiles import endings
from sync_lib.store.profiles.rows import Profile
from sync_lib.store.queries import previews


@dataclass(frozen=True, slots=True)
class EndPreview:
    """What an end means.

    Attributes:
        items: Contacts that are in the folder.
        goes: Of these, what the sync made and nobody edited since: deleted by *remove*.
        edited: What the sync made and somebody edited since: it stays, unless the edit reaches Business Central first.
        tied: Contacts that lose key and category, if they stay.
        folder_goes: *Remove* deletes the folder too, where nothing else is in it by then.
        read_at: When BC was last read; "" for never.
    """

    items: int
    goes: int
    edited: int
    tied: int
    folder_goes: bool
    read_at: str

    def stays(self, how: str) -> int:
        """How many contacts stay in the folder."""
        return self.items - (self.goes if how == endings.REMOVE else 0)


def preview_end(conn: Connection, profile: Profile) -> EndPreview:
    """Return what ending a profile would do.

    Raises:
        ConfigError: It has never synced, or has ended.
    """
    if not profile.has_synced or profile.ended_at:
        raise ConfigError(f"{profile.mailbox}: only a profile that has synced can be ended, and only once.")
    found = previews.count_items(conn, profile.id)
    may_delete = profile.direction != Direction.TO_BUSINESS_CENTRAL
    goes = found.plain if may_delete else 0
    ours = profile.folder_made_by_sync and not profile.default_folder and may_delete
    read_at = previews.read_time_of_snapshot(conn, profile.company or 0)
    return EndPreview(found.items, goes, found.edited, found.tied, ours and found.items == goes, read_at)
