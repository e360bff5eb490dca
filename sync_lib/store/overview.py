"""What the overview shows: one row per profile with its last run, filtered, sorted and paged by the database.

The number of queries does not depend on the number of profiles; each works on one page of them, or on one row per
profile through an index.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Select,
    Text,
    and_,
    case,
    cast,
    distinct,
    func,
    literal,
    or_,
    select,
)

from sync_lib.store import search
from sync_lib.store import tables as t
from sync_lib.store.plans import standing_hold

#: What the overview makes of a profile's last run, most urgent first: this is the default order.
STATES = ("failed", "held", "running", "never", "skipped", "done", "off")
SORTS = ("state", "mailbox", "company", "started", "good", "rejects")
#: Runs of the small chart.
HISTORY = 16


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which profiles to show.

    Attributes:
        run: What became of them in this run; "" for each one's last.
        text: Part of mailbox or company, whatever the case.
        state: One of ``STATES``, or "" for all.
        sort: One of ``SORTS``.
        descending: The other way round.
        part: From 1.
        size: Profiles in a part.
    """

    run: str = ""
    text: str = ""
    state: str = ""
    sort: str = "state"
    descending: bool = False
    part: int = 1
    size: int = 50


@dataclass(frozen=True, slots=True)
class ProfileLine:
    """One profile, with what became of it in its last run.

    ``map_index`` is that of its task in Airflow; ``hold`` is what waits for a person
    now, of the profile or its company.
    """

    id: int
    mailbox: str
    company: str
    folder: str
    direction: str
    state: str
    reason: str
    message: str
    run: str | None
    mode: str | None
    dry_run: bool
    started_at: str | None
    ended_at: str | None
    last_good_at: str | None
    rejects: int
    counters: dict[str, Any]
    map_index: int | None
    hold: int | None
    history: list[Bar] = field(default_factory=list)

    def outcome(self, *names: str) -> int:
        """Number of contacts with one of these outcomes in the last run."""
        outcomes = self.counters.get("outcomes", {})
        return sum(outcomes.get(name, 0) for name in names)

    @property
    def read(self) -> int | None:
        """Contacts that the last run read, or None where it did not come that far."""
        return self.counters.get("read")

    @property
    def in_agreement(self) -> int:
        """Contacts of the last run that are the same on both sides."""
        return self.outcome("unchanged", "created", "updated", "coupled", "conflict", "deleted")

    @property
    def written(self) -> int:
        """What the last run wrote, or a dry run would write, on both sides."""
        return sum((self.counters.get("planned") or self.counters.get("writes") or {}).values())


@dataclass(frozen=True, slots=True)
class Bar:
    """One run of a profile, in the small chart."""

    run: str
    state: str
    started_at: str
    written: int


@dataclass(frozen=True, slots=True)
class Overview:
    """One part of the list, and how many profiles there are per state."""

    lines: list[ProfileLine]
    counts: dict[str, int]
    total: int


@dataclass(frozen=True, slots=True)
class RunLine:
    """A run as a whole."""

    id: str
    mode: str
    dry_run: bool
    run_type: str
    state: str
    started_at: str
    ended_at: str | None


def read_overview(conn: Connection, wanted: Wanted) -> Overview:
    """Return one part of the profiles that a person wants to see."""
    every = _profiles(wanted).subquery("every_profile")
    counted = select(every.c.state, func.count()).where(_matches(every, wanted.text)).group_by(every.c.state)
    counts = {row[0]: row[1] for row in conn.execute(counted)}
    total = counts.get(wanted.state, 0) if wanted.state else sum(counts.values())
    rows = conn.execute(_part(every, wanted)).all()
    history = _read_history(conn, [row.id for row in rows])
    lines = [_line(row, history.get(row.id, [])) for row in rows]
    return Overview(lines, counts, total)


def read_run_line(conn: Connection, run: str) -> RunLine | None:
    """Return a run, or None where the sync has never heard of it."""
    row = conn.execute(_run_lines().where(t.sync_run.c.id == run)).first()
    return RunLine(*row) if row else None


def read_last_run(conn: Connection) -> RunLine | None:
    """Return the run that was started last."""
    row = conn.execute(_run_lines().order_by(t.sync_run.c.started_at.desc()).limit(1)).first()
    return RunLine(*row) if row else None


def _run_lines() -> Select[Any]:
    c = t.sync_run.c
    return select(c.id, c.mode, c.dry_run, c.run_type, c.state, c.started_at, c.ended_at)


# -- one row per profile ---------------------------------------------------------------------------------------------


def _profiles(wanted: Wanted) -> Select[Any]:
    """One row per profile with what became of it; of a given run, those only that it planned."""
    p, r, k = t.sync_profile.c, t.sync_run.c, t.cursor.c
    own = t.run_profile.alias("own")
    chosen = literal(wanted.run) if wanted.run else _last_run_of(p.id)
    rejects = select(func.count(distinct(t.reject.c.contact))).where(t.reject.c.profile == p.id)
    rejects = rejects.correlate(t.sync_profile)
    state, reason = _state(own, whole_run=bool(wanted.run))
    is_own = and_(k.side == "outlook", k.scope == cast(p.id, Text))
    return (
        select(
            p.id, p.mailbox, p.company_name.label("company"), p.folder_name.label("folder"), p.direction,
            state.label("state"), reason.label("reason"), func.coalesce(own.c.message, "").label("message"),
            own.c.run, own.c.chunk, r.mode, func.coalesce(r.dry_run, False).label("dry_run"),
            own.c.started_at, own.c.ended_at, k.last_good_at,
            rejects.scalar_subquery().label("rejects"),
        )
        .select_from(t.sync_profile)
        .join(own, and_(own.c.profile == p.id, own.c.run == chosen), isouter=not wanted.run)
        .outerjoin(t.sync_run, r.id == own.c.run)
        .outerjoin(t.cursor, is_own)
    )  # fmt: skip


def _last_run_of(profile: ColumnElement[int]) -> Any:
    """The run that the profile's task started in last; or the newest run of all, while the task waits in it."""
    c, newest = t.run_profile.alias("last").c, t.run_profile.alias("newest").c
    run = select(t.sync_run.c.id).order_by(t.sync_run.c.started_at.desc()).limit(1)
    waits = select(newest.run).where(newest.run == run.scalar_subquery(), newest.profile == profile)
    started = select(c.run).where(c.profile == profile, c.started_at.is_not(None))
    return func.coalesce(
        waits.where(newest.state == "planned").correlate(t.sync_profile).scalar_subquery(),
        started.order_by(c.started_at.desc()).limit(1).correlate(t.sync_profile).scalar_subquery(),
    )


def _state(own: Any, *, whole_run: bool) -> tuple[ColumnElement[str], ColumnElement[str]]:
    """State and reason: a task that is over without having written an outcome has failed."""
    p, r = t.sync_profile.c, t.sync_run.c
    dead = and_(own.c.state.in_(["planned", "running"]), r.ended_at.is_not(None))
    state = case(
        # In a run that is looked back at, it does not matter what was switched off since.
        *([] if whole_run else [(~p.enabled, "off")]),
        (dead, "failed"),
        (own.c.run.is_(None), "never"),
        (own.c.state == "planned", "running"),
        else_=own.c.state,
    )
    return state, case((dead, "no_outcome"), else_=func.coalesce(own.c.reason, ""))


def _matches(every: Any, text: str) -> ColumnElement[bool]:
    return search.holds(text, every.c.mailbox, every.c.company)


def _part(every: Any, wanted: Wanted) -> Select[Any]:
    """The shown profiles, with what only they need: counters, and which of the mapped tasks is theirs."""
    chosen = select(every).where(_matches(every, wanted.text))
    if wanted.state:
        chosen = chosen.where(every.c.state == wanted.state)
    chosen = chosen.order_by(*_order(every, wanted)).limit(wanted.size)
    part = chosen.offset((wanted.part - 1) * wanted.size).subquery("part")

    # Airflow numbers the mapped tasks of a run in this order of their keys: see ``pipeline.plan_run``.
    other, length = t.run_profile.alias("other").c, func.length(part.c.chunk)
    is_longer = func.length(other.chunk) < length
    before = or_(is_longer, and_(func.length(other.chunk) == length, other.chunk < part.c.chunk))
    index = select(func.count(distinct(other.chunk))).where(other.run == part.c.run, before).correlate(part)
    shown = t.run_profile.alias("shown")
    return (
        select(
            part, shown.c.counters, index.scalar_subquery().label("map_index"), standing_hold().label("hold")
        )
        .join(t.sync_profile, t.sync_profile.c.id == part.c.id)
        .outerjoin(shown, and_(shown.c.run == part.c.run, shown.c.profile == part.c.id))
        .order_by(*_order(part, wanted))
    )


def _order(rows: Any, wanted: Wanted) -> list[ColumnElement[Any]]:
    c = rows.c
    by: dict[str, ColumnElement[Any]] = {
        "state": case({state: n for n, state in enumerate(STATES)}, value=c.state, else_=len(STATES)),
        "mailbox": func.lower(c.mailbox),
        "company": func.lower(c.company),
        "started": func.coalesce(c.started_at, ""),
        "good": func.coalesce(c.last_good_at, ""),
        "rejects": c.rejects,
    }
    first = by[wanted.sort]
    return [first.desc() if wanted.descending else first, func.lower(c.mailbox), c.id]


def _line(row: Any, history: list[Bar]) -> ProfileLine:
    values = row._asdict()
    del values["chunk"]
    return ProfileLine(**values | {"counters": json.loads(row.counters or "{}"), "history": history})


# -- the last runs ---------------------------------------------------------------------------------------------------


def _read_history(conn: Connection, profiles: Sequence[int]) -> dict[int, list[Bar]]:
    """Return the last runs of some profiles, oldest first; dry runs, which change nothing, are left out."""
    rp, p, r = t.run_profile.c, t.sync_profile.c, t.sync_run.c
    # Where a profile's chart begins is one step through the index, however long its history is.
    edge = t.run_profile.alias("edge").c
    first = select(edge.started_at).where(edge.profile == p.id, edge.started_at.is_not(None))
    first = first.order_by(edge.started_at.desc()).limit(1).offset(HISTORY - 1).correlate(t.sync_profile)
    rows = conn.execute(
        select(rp.profile, rp.run, rp.state, rp.started_at, rp.counters, r.ended_at)
        .select_from(t.sync_profile)
        .join(
            t.run_profile,
            and_(rp.profile == p.id, rp.started_at >= func.coalesce(first.scalar_subquery(), "")),
        )
        .join(t.sync_run, and_(r.id == rp.run, ~r.dry_run))
        .where(p.id.in_(profiles))
        .order_by(rp.started_at)
    )
    bars: dict[int, list[Bar]] = {}
    for row in rows:
        state = "failed" if row.state == "running" and row.ended_at else row.state
        writes = json.loads(row.counters).get("writes") or {}
        bars.setdefault(row.profile, []).append(Bar(row.run, state, row.started_at, sum(writes.values())))
    return bars
