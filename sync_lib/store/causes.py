"""Why runs and profiles fail, and since when: what all profiles share, and what is one mailbox's own (rules 8.8)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Select, bindparam, delete, func, insert, select, update

from sync_lib.store import clock
from sync_lib.store import tables as t

#: Causes of one mailbox alone, which no run of the others needs to be red for.
OWN_CAUSES = frozenset({"mailbox_not_found", "mailbox_access_denied", "mailbox_replaced"})
#: A run that was asked for something that there is not says nothing about the others.
REFUSED = "request_refused"

DAY = 86_400.0


@dataclass(frozen=True, slots=True)
class Cause:
    """Why one mailbox fails. ``known``: long enough, and of few enough, to make no run red; ``due``: to be reported."""

    reason: str
    since: str
    known: bool
    due: bool


@dataclass(frozen=True, slots=True)
class Trouble:
    """What keeps every profile from syncing: a reason, what the error said, since when, and the last run with it."""

    reason: str
    message: str
    since: str
    run: str


# -- what all profiles share -----------------------------------------------------------------------------------------


def read_trouble(conn: Connection) -> Trouble | None:
    """Return what kept the last run that is over from syncing anything, or None where it worked."""
    c = t.sync_run.c
    last = conn.execute(_finished().order_by(c.started_at.desc()).limit(1)).first()
    if last is None or not last.reason:
        return None
    good = conn.execute(_finished().where(c.reason == "").order_by(c.started_at.desc()).limit(1)).first()
    first = select(func.min(c.started_at)).where(c.started_at > (good.started_at if good else ""))
    since = conn.scalar(first.where(c.reason.not_in(["", REFUSED])))
    return Trouble(last.reason, last.message, since or last.started_at, last.id)


def read_reason(conn: Connection, run: str) -> str:
    """Return why a run failed as a whole, as a code; "" where nobody has written that down."""
    return conn.scalar(select(t.sync_run.c.reason).where(t.sync_run.c.id == run)) or ""


def _finished() -> Select[tuple[str, str, str, str]]:
    """The runs that are over and had something to do."""
    c = t.sync_run.c
    over = (c.ended_at.is_not(None), c.state.in_(["success", "failed"]), c.reason != REFUSED)
    return select(c.id, c.reason, c.message, c.started_at).where(*over)


# -- what is one mailbox's own ---------------------------------------------------------------------------------------


_FORGET = delete(t.profile_cause).where(t.profile_cause.c.profile == bindparam("profile"))
_CAUSES = (
    select(*(t.profile_cause.c[name] for name in ("profile", "reason", "since", "told_at")))
    .join(t.sync_profile, t.sync_profile.c.id == t.profile_cause.c.profile)
    .where(t.sync_profile.c.enabled)
)


def note_outcome(conn: Connection, profile: int, state: str, reason: str) -> None:
    """Note since when a profile fails for a cause of its own; one that synced has none.

    Any other failure, and a run that found the profile busy, leaves it as it is: it says nothing about the mailbox.
    """
    c = t.profile_cause.c
    if state in ("done", "held"):
        conn.execute(_FORGET, {"profile": profile})
    elif state == "failed" and reason in OWN_CAUSES:
        known = conn.scalar(select(c.reason).where(c.profile == profile))
        if known == reason:
            return
        conn.execute(delete(t.profile_cause).where(c.profile == profile))
        values = {"profile": profile, "reason": reason, "since": clock.now(conn)}
        conn.execute(insert(t.profile_cause).values(values))


def read_causes(conn: Connection, after: float, percent: float) -> dict[int, Cause]:
    """Return the own causes of the profiles that sync.

    Args:
        conn: Inside a transaction.
        after: Seconds for which a cause must have lasted to be known, by this database's clock.
        percent: Of the profiles: a cause that so many have, or more, is never known.
    """
    rows = conn.execute(_CAUSES).all()
    if not rows:
        return {}
    now = clock.now(conn)
    enabled = select(func.count()).select_from(t.sync_profile).where(t.sync_profile.c.enabled)
    profiles = conn.scalar(enabled) or 0
    reasons = Counter(row.reason for row in rows)

    def is_known(row: Any) -> bool:
        few = reasons[row.reason] * 100 < percent * profiles
        return few and _seconds(row.since, now) >= after

    return {
        row.profile: Cause(row.reason, row.since, is_known(row), _is_due(row.told_at, now)) for row in rows
    }


def note_reported(conn: Connection, profiles: Collection[int]) -> None:
    """Note that the own causes of some profiles are reported now."""
    c = t.profile_cause.c
    now = clock.now(conn)
    rows = conn.execute(select(c.profile, c.told_at).where(c.profile.in_(profiles))).all()
    due = [row.profile for row in rows if _is_due(row.told_at, now)]
    conn.execute(update(t.profile_cause).where(c.profile.in_(due)).values(told_at=now))


def _is_due(told_at: str | None, now: str) -> bool:
    return told_at is None or _seconds(told_at, now) >= DAY


def _seconds(since: str, now: str) -> float:
    return (datetime.fromisoformat(now) - datetime.fromisoformat(since)).total_seconds()
