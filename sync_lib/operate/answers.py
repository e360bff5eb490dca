"""What persons answer about accounts and folders of a profile; the next run carries it out (rules 1)."""

from __future__ import annotations

from sqlalchemy import Connection

from sync_lib.errors import ConfigError
from sync_lib.store import runs
from sync_lib.store.profiles import rows as profiles
from sync_lib.store.profiles.rows import Profile
from sync_lib.store.snapshots import outlook_items
from sync_lib.store.snapshots.outlook_items import FOLDER_DELETED


def answer_second_folder(conn: Connection, profile: Profile, said: str) -> None:
    """Store what a person says about the second folder; the next run carries it out.

    Args:
        conn: Inside a transaction.
        profile: A profile whose ``second_folder`` waits for this.
        said: ``rows.GO_BACK`` or ``rows.LEAVE``.

    Raises:
        ConfigError: No second folder is known.
    """
    if not profile.second_folder:
        raise ConfigError(f"{profile.mailbox}: no second folder of this profile is known.")
    profiles.bind_profile(conn, profile.id, second_answer=said)


def accept_successor(conn: Connection, profile: Profile, *, now: str) -> None:
    """Take another account that has a mailbox's address for the same colleague (rules 1).

    Every profile of the account that is gone goes over to it; their folders count as emptied ones.

    Args:
        conn: Inside a transaction.
        profile: A profile whose ``successor`` waits for this.
        now: The time.

    Raises:
        ConfigError: No other account is known to have the address.
    """
    if not profile.successor:
        raise ConfigError(f"{profile.mailbox}: no other account is known to have this address.")
    for each in [profile, *profiles.read_neighbours(conn, profile)]:
        if each.graph_user_id == profile.graph_user_id:
            _move_to_successor(conn, each, profile.successor, now)


def _move_to_successor(conn: Connection, profile: Profile, successor: str, now: str) -> None:
    bound = {"graph_user_id": successor, "folder_id": None, "folder_seen": "", "folder_made_by_sync": False}
    no_second = {"second_folder": "", "second_answer": "", "leaving_folder": ""}
    profiles.bind_profile(conn, profile.id, successor="", **no_second, **bound)
    outlook_items.mark_all_gone_outlook(conn, profile.id, at=now, reason=FOLDER_DELETED)
    runs.write_cursor(conn, "outlook", profile.id, updated_at=now, position="", diffed_generation=None)
