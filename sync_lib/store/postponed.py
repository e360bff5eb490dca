"""Changes that a service refused for a reason that may pass: a lock, a right, a full mailbox (rules 6).

Each is tried again by the next run, and then with growing gaps, by the staging database's clock.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Select,
    bindparam,
    delete,
    func,
    insert,
    select,
    tuple_,
    update,
)

from sync_lib.store import clock
from sync_lib.store import tables as t
from sync_lib.store.engine import is_postgresql
from sync_lib.store.prepared import Prepared

DAY = 86_400.0
#: Seconds to the third try; each further gap is twice as long.
FIRST_GAP = 900.0

#: Action and contact, the latter as rejects name it.
Key = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Refused:
    """A change that was refused just now.

    Attributes:
        key: Action and contact.
        digest: Of what was to be written and of both sides; another one is tried at once.
        code: What the service said.
    """

    key: Key
    digest: str
    code: str


@dataclass(frozen=True, slots=True)
class Postponed:
    """A change that waits for its next try.

    Attributes:
        digest, code: As in ``Refused``.
        run: The run that tried it last.
        is_due: Its next try has come.
    """

    digest: str
    code: str
    run: str
    is_due: bool


def gap(tries: int) -> float:
    """Return the seconds from a try to the next one: none after the first, at most a day."""
    return 0.0 if tries <= 1 else min(DAY, FIRST_GAP * 2.0 ** min(tries - 2, 10))


def read(conn: Connection, profile: int) -> dict[Key, Postponed]:
    """Return what of a profile waits."""
    return {
        (row.action, row.contact): Postponed(row.digest, row.code, row.run, bool(row.due))
        for row in conn.execute(_waiting(clock.moment(conn)), {"profile": profile})
    }


def read_next_try(conn: Connection, profile: int) -> str | None:
    """Return when something of a profile is tried next, by the staging database's clock; None: nothing waits."""
    c = t.postponed.c
    found: str | None = conn.scalar(select(func.min(c.next_try)).where(c.profile == profile))
    return found


@lru_cache(maxsize=16)
def _waiting(now: ColumnElement[str]) -> Select[Any]:
    c = t.postponed.c
    due = (c.next_try <= now).label("due")
    wanted = select(c.action, c.contact, c.digest, c.code, c.run, due)
    return wanted.where(c.profile == bindparam("profile"))


def refuse(conn: Connection, profile: int, run: str, refused: Iterable[Refused]) -> None:
    """Note one more try that was refused; another digest begins anew."""
    c = t.postponed.c
    for each in refused:
        action, contact = each.key
        row = (c.profile == profile, c.action == action, c.contact == contact)
        known = conn.execute(select(c.digest, c.tries).where(*row)).first()
        tries = known.tries + 1 if known and known.digest == each.digest else 1
        values = {"digest": each.digest, "code": each.code, "run": run, "tries": tries}
        values["next_try"] = clock.now(conn, gap(tries))
        if known:
            conn.execute(update(t.postponed).where(*row).values(values))
        else:
            key = {"profile": profile, "action": action, "contact": contact}
            conn.execute(insert(t.postponed).values(key | values))


def keep_only(conn: Connection, profile: int, keys: Collection[Key]) -> None:
    """Forget what waited and is not planned any more, since somebody else did it, or nothing asks for it."""
    known = conn.execute(_waiting(clock.moment(conn)), {"profile": profile})
    forget(conn, profile, {(row.action, row.contact) for row in known} - set(keys))


def forget(conn: Connection, profile: int, keys: Collection[Key]) -> None:
    """Forget what waited, since it was carried out."""
    if not keys:
        return
    # Hardly ever does anything wait, and looking is cheaper than deleting what is not there.
    waiting = set(map(tuple, _keys(is_postgresql(conn)).execute(conn, profile)))
    if carried := sorted(waiting.intersection(keys)):
        c = t.postponed.c
        conn.execute(
            delete(t.postponed).where(c.profile == profile, tuple_(c.action, c.contact).in_(carried))
        )


@cache
def _keys(postgresql: bool) -> Prepared:
    c = t.postponed.c
    wanted = select(c.action, c.contact).where(c.profile == bindparam("profile"))
    return Prepared(wanted, ("profile",), postgresql=postgresql)
