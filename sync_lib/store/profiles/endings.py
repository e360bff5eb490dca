"""How a profile ends (rules 1): what a person said, how far it has come, and what is left of it: ids for a block."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, delete, func, select, update

from sync_lib.errors import ConfigError
from sync_lib.fields.contact_keys import BcKey
from sync_lib.model import FormerItem, Outcome
from sync_lib.store import clock, former_items
from sync_lib.store import tables as t
from sync_lib.store.bulk import among
from sync_lib.store.couplings import end_couplings
from sync_lib.store.holds import HoldState
from sync_lib.store.profiles import history, rows
from sync_lib.store.profiles.history import Author
from sync_lib.store.profiles.rows import Profile, lock_profiles
from sync_lib.store.undo import UndoState

#: How a profile may end.
KEEP, REMOVE = "keep", "remove"
ENDED = "profile_ended"
#: Seconds for which edits that Business Central does not take are waited for, from when a person said so.
PATIENCE = 86_400.0

_P = t.sync_profile.c

#: What a profile leaves behind nothing of. Its change log, plans, runs and holds go by the retention; ids stay.
_FORGOTTEN = (
    t.reject,
    t.dry_reject,
    t.postponed,
    t.awaited,
    t.comparison,
    t.held_action,
    t.profile_cause,
    t.profile_check,
    t.former_folder,
    t.former_mailbox,
    t.drift_check,
    t.outlook_contact,
    t.left_out,
    t.wish,
    t.own_run,
    t.weekly_mail,
)


@dataclass(frozen=True, slots=True)
class Ended:
    """A profile that has ended.

    Attributes:
        profile: It; its folder is the one that it had.
        who: Who wanted it, "" where that is no longer known.
        notes: What was done, and what could not be: see ``run.ending``.
        ids: Items whose ids are kept for a privacy block.
    """

    profile: Profile
    who: str = ""
    notes: dict[str, Any] = field(default_factory=dict)
    ids: int = 0


def ask_end(conn: Connection, profile: Profile, how: str, by: Author) -> None:
    """Store that a profile is to end; the next run that may write carries it out.

    Raises:
        ConfigError: It has never synced, is about to end already, or has ended.
    """
    ask_ends(conn, [profile], how, by)


def ask_ends(conn: Connection, profiles: Sequence[Profile], how: str, by: Author) -> None:
    """Store that many profiles are to end.

    Raises:
        ConfigError: One of them has never synced, is about to end already, or has ended.
    """
    lock_profiles(conn)
    for profile in profiles:
        _refuse_end(profile)
    asked = [profile for profile in profiles if profile.ending != how]
    values = {"ending": how, "ending_at": clock.now(conn), "updated_at": by.now}
    keys = [profile.id for profile in asked]
    conn.execute(update(t.sync_profile).where(among(conn, _P.id, keys)).values(values))
    history.write_setting(conn, ((profile.id, profile.ending) for profile in asked), "ending", how, by)


def _refuse_end(profile: Profile) -> None:
    if not profile.has_synced:
        raise ConfigError(f"{profile.mailbox}: this profile has never synced. Remove it instead.")
    if profile.ended_at:
        raise ConfigError(f"{profile.mailbox}: this profile has ended already.")
    if profile.ending_began:
        raise ConfigError(f"{profile.mailbox}: this profile is being ended already.")


def begin_end(conn: Connection, profile: int, notes: dict[str, Any]) -> None:
    """Note that the last edits are where they can go: from now on nothing of the profile is synced."""
    began = update(t.sync_profile).where(_P.id == profile, _P.ending_began.is_(None))
    conn.execute(began.values(ending_began=clock.moment(conn)))
    write_notes(conn, profile, notes)


def read_notes(conn: Connection, profile: int) -> dict[str, Any]:
    """Return what has been done of an end so far, and what could not be."""
    notes: dict[str, Any] = json.loads(conn.scalar(select(_P.ended_notes).where(_P.id == profile)) or "{}")
    return notes


def write_notes(conn: Connection, profile: int, notes: dict[str, Any]) -> None:
    """Store the same."""
    text = json.dumps(notes, sort_keys=True)
    conn.execute(update(t.sync_profile).where(_P.id == profile).values(ended_notes=text))


def count_done(conn: Connection, profile: int, cause: str) -> dict[str, int]:
    """Return how many items went (``deleted``), and how many lost their key (``freed``), over all its runs."""
    c = t.change.c
    done = select(c.outcome, func.count()).where(c.profile == profile, c.cause == cause).group_by(c.outcome)
    counts = {str(row[0]): int(row[1]) for row in conn.execute(done)}
    notes = {"deleted": counts.get(Outcome.DELETED, 0), "freed": counts.get(Outcome.UPDATED, 0)}
    return {name: count for name, count in notes.items() if count}


def is_late(conn: Connection, profile: int) -> bool:
    """Whether what Business Central does not take has been waited for long enough."""
    wanted = select(_P.ending_at <= clock.moment(conn, -PATIENCE)).where(_P.id == profile)
    return bool(conn.scalar(wanted))


def remember_keyed(conn: Connection, profile: int, company: BcKey) -> None:
    """Remember all staged items that bear a key of the company, wherever they lie now."""
    item, f = t.outlook_contact.c, t.former_item.c
    known = set(conn.scalars(select(f.outlook_id).where(f.profile == profile)))
    staged = conn.execute(select(item.id, item.bc_key).where(item.profile == profile, item.overlay == ""))
    found = [
        FormerItem(key.contact_id, row.id, key.origin)
        for row in staged
        if row.id not in known and (key := BcKey.parse(row.bc_key or "")) and key.same_company(company)
    ]
    former_items.remember(conn, profile, found)


def end_profile(conn: Connection, profile: Profile, company: BcKey | None, notes: dict[str, Any]) -> None:
    """End a profile: ids alone stay, and its history; its folder and its name are free.

    Args:
        conn: Inside a transaction that nobody without the profile's lease can commit.
        profile: The profile.
        company: Its company's own key.
        notes: What was done, and what could not be.
    """
    lock_profiles(conn)
    end_couplings(conn, list(conn.scalars(select(t.coupling.c.id).where(t.coupling.c.profile == profile.id))))
    if company is not None:
        remember_keyed(conn, profile.id, company)
    _close_open(conn, profile.id)
    for table in _FORGOTTEN:
        conn.execute(delete(table).where(table.c.profile == profile.id))
    conn.execute(delete(t.cursor).where(t.cursor.c.side == "outlook", t.cursor.c.scope == str(profile.id)))
    values = {
        "enabled": False,
        "folder_id": None,
        "folder_seen": profile.folder_name,
        "folder_name": _free_name(conn, profile),
        # Filters may name people.
        "filter": "[]",
        "categories": "[]",
        "salesperson_code": "",
        **dict.fromkeys(("successor", "second_folder", "second_answer", "leaving_folder", "restored_by"), ""),
        "looked_at": "",
        "folder_asked": "",
        "ended_at": clock.moment(conn),
        "ended_notes": json.dumps(notes, sort_keys=True),
    }
    conn.execute(update(t.sync_profile).where(_P.id == profile.id).values(values))


def _close_open(conn: Connection, profile: int) -> None:
    """End what waits: nobody carries it out any more."""
    h, c, u = t.hold.c, t.change.c, t.undo.c
    waiting = h.state.in_([HoldState.OPEN, HoldState.APPROVED, HoldState.REJECTED])
    ended = update(t.hold).where(h.profile == profile, waiting)
    conn.execute(ended.values(state=HoldState.SUPERSEDED))
    at = clock.moment(conn)
    planned = update(t.change).where(c.profile == profile, c.state == "planned")
    conn.execute(planned.values(state="done", outcome=Outcome.SKIPPED, reason=ENDED, ended_at=at))
    sent = update(t.change).where(c.profile == profile, c.state == "sending")
    conn.execute(sent.values(state="done", outcome=Outcome.UNKNOWN, reason=ENDED, ended_at=at))
    withdrawn = update(t.undo).where(u.profile == profile, u.state == UndoState.OPEN)
    conn.execute(withdrawn.values(state=UndoState.WITHDRAWN, ended_at=at))


def _free_name(conn: Connection, profile: Profile) -> str:
    """A name for its folder that leaves the real one to another profile."""
    name = f"{profile.folder_name} #{profile.id}"
    place = (_P.mailbox == profile.mailbox, _P.company_name == profile.company_name, _P.id != profile.id)
    taken = set(conn.scalars(select(_P.folder_name).where(*place)))
    while name in taken:
        name += "#"
    return name


# -- what is asked of it ---------------------------------------------------------------------------------------------


def read_ended_list(conn: Connection, limit: int) -> list[Profile]:
    """Return the last profiles that ended, the newest first."""
    ended = sorted(rows.read_ended(conn), key=lambda each: each.ended_at or "", reverse=True)
    return ended[:limit]


def read_ended(conn: Connection, profile: Profile) -> Ended:
    """Return what became of a profile that has ended."""
    f = t.former_item.c
    ids = conn.scalar(select(func.count()).select_from(t.former_item).where(f.profile == profile.id)) or 0
    return Ended(profile, history.read_author(conn, profile.id, "ending"), read_notes(conn, profile.id), ids)


def count_ending(conn: Connection) -> int:
    """Return how many profiles are to end, and have not yet."""
    waiting = (_P.ending != "", _P.ended_at.is_(None))
    return conn.scalar(select(func.count()).select_from(t.sync_profile).where(*waiting)) or 0
