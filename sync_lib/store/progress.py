"""How far the tasks at work are, for the pages: each writes it down every few seconds, and it goes with its end."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from datetime import datetime

from sqlalchemy import Connection, Text, bindparam, select, update

from sync_lib.store import tables as t

#: Seconds after which a task that says nothing may be dead: it tells every five.
SILENT = 60.0
#: The newest runs that are not over; one that was stopped from outside never is.
OPEN_RUNS = 10


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a task is.

    Attributes:
        done: Changes of the load under way that have an outcome.
        planned: Changes of that load; 0: it still reads.
        left: Seconds that the rest will take, by its pace so far and the documented limits; None: nobody can say yet.
        until: When a wait for a service ends, as the staging database writes times; None: it does not wait.
        pages: Pages that it has read.
        items: Contacts and items in them.
        at: When this was so, by the worker's clock.
    """

    done: int = 0
    planned: int = 0
    left: float | None = None
    until: str | None = None
    pages: int = 0
    items: int = 0
    at: str = ""

    @classmethod
    def parse(cls, stored: str | None) -> Progress | None:
        """Return what a row holds, None where that is nothing."""
        return cls(**json.loads(stored)) if stored else None

    def dump(self) -> str:
        """Return it as a row holds it."""
        return json.dumps(asdict(self))

    def left_at(self, now: str) -> float | None:
        """Return the seconds that are left at a later time; None: nobody can say."""
        if self.left is None or self.is_silent(now):
            return None
        return max(0.0, self.left - _between(self.at, now))

    def waits_at(self, now: str) -> bool:
        """Whether the task still waits for a service at a later time."""
        return self.until is not None and self.until > now

    def is_silent(self, now: str) -> bool:
        """Whether the task has not said for long how far it is: it may be dead."""
        return _between(self.at, now) > SILENT


def _between(first: str, second: str) -> float:
    return (datetime.fromisoformat(second) - datetime.fromisoformat(first)).total_seconds()


_TEXT = bindparam("text", type_=Text)
_PROFILE = (
    update(t.run_profile)
    .where(t.run_profile.c.run == bindparam("of_run"), t.run_profile.c.profile == bindparam("of_profile"))
    .values(progress=_TEXT)
)
_COMPANY = (
    update(t.run_company)
    .where(t.run_company.c.run == bindparam("of_run"), t.run_company.c.company == bindparam("of_company"))
    .values(progress=_TEXT)
)


def write_profile(conn: Connection, run: str, profile: int, progress: Progress) -> None:
    """Say how far a profile's task is."""
    conn.execute(_PROFILE, {"of_run": run, "of_profile": profile, "text": progress.dump()})


def write_company(conn: Connection, run: str, company: int, progress: Progress) -> None:
    """Say how far the read of a company is."""
    conn.execute(_COMPANY, {"of_run": run, "of_company": company, "text": progress.dump()})


# -- reading ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class AtWork:
    """A run that works on a profile, or is going to; ``progress`` is None until its task has said how far it is."""

    run: str
    state: str
    progress: Progress | None


@dataclass(frozen=True, slots=True)
class Reading:
    """A company that is being read now."""

    company: str
    progress: Progress


def read_of_profile(conn: Connection, profile: int) -> AtWork | None:
    """Return the newest run that is not over and has a profile before it, or at hand."""
    r, rp = t.sync_run.c, t.run_profile.c
    # Run by run: few are open, while a profile has rows of many.
    newest = select(r.id).where(r.ended_at.is_(None)).order_by(r.started_at.desc()).limit(OPEN_RUNS)
    for run in list(conn.scalars(newest)):
        row = conn.execute(select(rp.state, rp.progress).where(rp.run == run, rp.profile == profile)).first()
        if row is not None and row.state in ("planned", "running"):
            return AtWork(run, row.state, Progress.parse(row.progress))
    return None


def read_reading(conn: Connection) -> list[Reading]:
    """Return the companies that are being read now, and how far; few runs are not over."""
    r, rc, c = t.sync_run.c, t.run_company.c, t.company.c
    query = (
        select(c.name, rc.progress).join(t.run_company, rc.company == c.id).join(t.sync_run, r.id == rc.run)
    )
    query = query.where(r.ended_at.is_(None), rc.state == "running", rc.progress != "").order_by(c.name)
    return [Reading(name, found) for name, text in conn.execute(query) if (found := Progress.parse(text))]
