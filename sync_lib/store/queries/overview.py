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
    false,
    func,
    literal,
    or_,
    select,
    text,
    true,
)

from sync_lib.store import tables as t
from sync_lib.store.days import AGREED
from sync_lib.store.engine import is_postgresql
from sync_lib.store.progress import Progress
from sync_lib.store.queries import search
from sync_lib.store.queries.plans import hold_in_force
from sync_lib.store.queries.reasons import reason_of
from sync_lib.store.runs import Comparison, figures, result_in

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
    """One profile, with what became of it in its last run that is over.

    ``state`` is ``running`` where a run works on it, or is going to; ``last_state`` is how the last one ended all the
    same. ``compared_at`` is when its figures were found, where that was before its last run. ``map_index`` is that of
    its task in Airflow; ``hold`` is what waits for a person now, of the profile or its company; ``progress`` is how far
    the run is that works on it.
    """

    id: int
    mailbox: str
    company: str
    folder: str
    direction: str
    state: str
    last_state: str
    reason: str
    message: str
    run: str | None
    mode: str | None
    dry_run: bool
    started_at: str | None
    ended_at: str | None
    last_good_at: str | None
    rejects: int
    now: str | None
    counters: dict[str, Any]
    compared_at: str | None
    map_index: int | None
    hold: int | None
    progress: Progress | None = None
    history: list[Bar] = field(default_factory=list)

    def outcome(self, *names: str) -> int:
        """Number of contacts with one of these outcomes, as they were last compared."""
        outcomes = self.counters.get("outcomes", {})
        return sum(outcomes.get(name, 0) for name in names)

    @property
    def read(self) -> int | None:
        """Contacts that were read when they were last compared, or None where that never was."""
        return self.counters.get("read")

    @property
    def in_agreement(self) -> int:
        """Contacts that are the same on both sides, as they were last compared."""
        return self.outcome(*AGREED)

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
    """A run as a whole.

    Attributes:
        quiet: How many profiles it gave no task, since they had nothing to do.
        reason: Why it failed as a whole, "" where it did not; ``message`` is what the error said.
    """

    id: str
    mode: str
    dry_run: bool
    run_type: str
    state: str
    started_at: str
    ended_at: str | None
    quiet: int
    reason: str = ""
    message: str = ""


def read_overview(conn: Connection, wanted: Wanted) -> Overview:
    """Return one part of the profiles that a person wants to see."""
    _compile_nothing(conn)
    every = _profiles(wanted, by_profile=is_postgresql(conn)).subquery("every_profile")
    counted = select(every.c.state, func.count()).where(_matches(every, wanted.text)).group_by(every.c.state)
    counts = {row[0]: row[1] for row in conn.execute(counted)}
    total = counts.get(wanted.state, 0) if wanted.state else sum(counts.values())
    rows = conn.execute(_part(every, wanted)).all()
    history = _read_history(conn, [row.id for row in rows])
    lines = [_line(row, history.get(row.id, []), of_run=bool(wanted.run)) for row in rows]
    return Overview(lines, counts, total)


def read_line(conn: Connection, profile: int) -> ProfileLine | None:
    """Return one profile as the overview shows it; None for one that has ended, or never was."""
    one = Wanted(size=1)
    chosen = _profiles(one, by_profile=is_postgresql(conn)).where(t.sync_profile.c.id == profile)
    row = conn.execute(_part(chosen.subquery("every_profile"), one)).first()
    return _line(row, _read_history(conn, [profile]).get(profile, []), of_run=False) if row else None


def read_chosen(conn: Connection, wanted: Wanted) -> list[int]:
    """Return the ids of all profiles that the overview would list, in all its parts, in ascending order."""
    _compile_nothing(conn)
    every = _profiles(wanted, by_profile=is_postgresql(conn)).subquery("every_profile")
    chosen = select(every.c.id).where(_matches(every, wanted.text))
    if wanted.state:
        chosen = chosen.where(every.c.state == wanted.state)
    return list(conn.scalars(chosen.order_by(every.c.id)))


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
    quiet = func.coalesce(c.quiet, 0)
    return select(
        c.id, c.mode, c.dry_run, c.run_type, c.state, c.started_at, c.ended_at, quiet, c.reason, c.message
    )


def _compile_nothing(conn: Connection) -> None:
    """By what PostgreSQL expects of the look-ups it would compile them first, which takes longer than they."""
    if is_postgresql(conn):
        conn.execute(text("SET LOCAL jit = off"))


# -- one row per profile ---------------------------------------------------------------------------------------------


def _profiles(wanted: Wanted, *, by_profile: bool) -> Select[Any]:
    """One row per profile with what became of it; of a given run, those only that it planned.

    Args:
        wanted: Which profiles.
        by_profile: Look the last run up for each profile by itself (PostgreSQL, which would read all runs otherwise).
    """
    p, r, k = t.sync_profile.c, t.sync_run.c, t.cursor.c
    chosen = literal(wanted.run) if wanted.run else _last_run_of(p.id)
    own, is_its = result_in(chosen, by_profile=by_profile)
    now = t.sync_run.alias("now")
    is_now = false() if wanted.run else now.c.id == _run_now_of(p.id)
    state, last, reason = _state(own, now, whole_run=bool(wanted.run))
    is_own = and_(k.side == "outlook", k.scope == cast(p.id, Text))
    goes_on = true() if wanted.run else p.ended_at.is_(None)
    return (
        select(
            p.id, p.mailbox, p.company_name.label("company"), p.folder_name.label("folder"), p.direction,
            state.label("state"), last.label("last_state"), reason.label("reason"),
            func.coalesce(own.c.message, "").label("message"),
            own.c.run, r.mode, func.coalesce(r.dry_run, False).label("dry_run"),
            own.c.started_at, own.c.ended_at, k.last_good_at, _rejects().label("rejects"), now.c.id.label("now"),
        )
        .select_from(t.sync_profile)
        .join(own, is_its, isouter=not wanted.run)
        .outerjoin(t.sync_run, r.id == own.c.run)
        .outerjoin(now, is_now)
        .outerjoin(t.cursor, is_own)
        .where(goes_on)
    )  # fmt: skip


def _rejects() -> ColumnElement[int]:
    """How many contacts do not sync; after a dry run those too that it would leave out."""
    p, r, left, dry = t.sync_profile.c, t.sync_run.c, t.reject.c, t.dry_reject.c
    stored = select(func.count(distinct(left.contact))).where(left.profile == p.id)
    known = select(left.contact).where(left.profile == dry.profile, left.contact == dry.contact)
    more = select(func.count(distinct(dry.contact))).where(
        dry.profile == p.id, dry.run == r.id, ~known.correlate(t.dry_reject).exists()
    )
    of_dry_run = more.correlate(t.sync_profile, t.sync_run).scalar_subquery()
    return stored.correlate(t.sync_profile).scalar_subquery() + case((r.dry_run, of_dry_run), else_=0)


def _last_run_of(profile: ColumnElement[int]) -> Any:
    """The last run that is over for the profile; or the newest run of all, where its task never began in it."""
    last, newest = t.run_profile.alias("last").c, t.run_profile.alias("newest").c
    r, whole = t.sync_run.alias("r"), t.sync_run.alias("whole").c
    run = select(whole.id).order_by(whole.started_at.desc()).limit(1).scalar_subquery()
    dead = select(newest.run).join(r, and_(r.c.id == newest.run, r.c.ended_at.is_not(None)))
    dead = dead.where(newest.run == run, newest.profile == profile, newest.state == "planned")
    is_over = or_(last.state.not_in(["planned", "running"]), r.c.ended_at.is_not(None))
    over = select(last.run).join(r, r.c.id == last.run)
    over = over.where(last.profile == profile, last.started_at.is_not(None), is_over)
    return func.coalesce(
        dead.correlate(t.sync_profile).scalar_subquery(),
        over.order_by(last.started_at.desc()).limit(1).correlate(t.sync_profile).scalar_subquery(),
    )


def _run_now_of(profile: ColumnElement[int]) -> Any:
    """The newest run that is not over and has the profile before it, or at hand; few runs are not over."""
    c, r = t.run_profile.alias("at_hand").c, t.sync_run.alias("open")
    at_hand = (c.run == r.c.id, c.profile == profile, c.state.in_(["planned", "running"]))
    waits = select(c.run).where(*at_hand).correlate(r, t.sync_profile).exists()
    found = select(r.c.id).where(r.c.ended_at.is_(None), waits).order_by(r.c.started_at.desc())
    return found.limit(1).correlate(t.sync_profile).scalar_subquery()


def _state(
    own: Any, now: Any, *, whole_run: bool
) -> tuple[ColumnElement[str], ColumnElement[str], ColumnElement[str]]:
    """State now, state of the last run and its reason: a task that is over without an outcome has failed."""
    p, r, k = t.sync_profile.c, t.sync_run.c, t.cursor.c
    dead = and_(own.c.state.in_(["planned", "running"]), r.ended_at.is_not(None))
    # A run that found it quiet has no row of it: what failed before, or kept it waiting, is over by that.
    is_over = and_(k.last_good_at > own.c.ended_at, hold_in_force().is_(None))
    is_good = false() if whole_run else func.coalesce(is_over, false())
    last = case(
        (dead, "failed"),
        (own.c.run.is_(None), "never"),
        (own.c.state == "planned", "running"),
        (is_good, "done"),
        else_=own.c.state,
    )
    # A run that was stopped from outside never ends; one that is over since says that it is not at work any more.
    is_now = and_(now.c.id.is_not(None), now.c.started_at >= func.coalesce(r.started_at, ""))
    # In a run that is looked back at, it does not matter what was switched off since.
    state = last if whole_run else case((~p.enabled, "off"), (is_now, "running"), else_=last)
    reason = case((dead, "no_outcome"), (is_good, ""), else_=reason_of(own.c))
    return state, last, reason


def _matches(every: Any, text: str) -> ColumnElement[bool]:
    return search.holds(text, every.c.mailbox, every.c.company)


def _part(every: Any, wanted: Wanted) -> Select[Any]:
    """The shown profiles, with what only they need: counters, and which of the mapped tasks is theirs."""
    chosen = select(every).where(_matches(every, wanted.text))
    if wanted.state:
        chosen = chosen.where(every.c.state == wanted.state)
    chosen = chosen.order_by(*_order(every, wanted)).limit(wanted.size)
    part = chosen.offset((wanted.part - 1) * wanted.size).subquery("part")

    shown, busy, seen = t.run_profile.alias("shown"), t.run_profile.alias("busy"), t.comparison.c
    progress = func.coalesce(func.nullif(busy.c.progress, ""), shown.c.progress, "").label("progress")
    return (
        select(
            part, shown.c.counters, shown.c.map_index, hold_in_force().label("hold"),
            seen.run.label("compared_in"), seen.compared_at, seen.counters.label("compared"), progress,
        )
        .join(t.sync_profile, t.sync_profile.c.id == part.c.id)
        .outerjoin(shown, and_(shown.c.run == part.c.run, shown.c.profile == part.c.id))
        .outerjoin(busy, and_(busy.c.run == part.c.now, busy.c.profile == part.c.id))
        .outerjoin(t.comparison, seen.profile == part.c.id)
        .order_by(*_order(part, wanted))
    )  # fmt: skip


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


def _line(row: Any, history: list[Bar], *, of_run: bool) -> ProfileLine:
    values = row._asdict()
    compared = Comparison(*(values.pop(name) for name in ("compared_in", "compared_at", "compared")))
    counters, at = _figures(row, compared if compared.run else None, of_run=of_run)
    values["progress"] = Progress.parse(row.progress)
    return ProfileLine(**values | {"counters": counters, "compared_at": at, "history": history})


def _figures(row: Any, compared: Comparison | None, *, of_run: bool) -> tuple[dict[str, Any], str | None]:
    """What a line shows: of a given run, or of a dry run, that run's; else what was last compared."""
    own, at = figures(row.counters or "{}", compared)
    if of_run or row.dry_run or compared is None:
        return own, at
    written = {"writes": own.get("writes") or {}, "planned": {}}
    return json.loads(compared.counters) | written, None if compared.run == row.run else compared.compared_at


# -- the last runs ---------------------------------------------------------------------------------------------------


def _read_history(conn: Connection, profiles: Sequence[int]) -> dict[int, list[Bar]]:
    """Return the last runs of some profiles, oldest first; dry runs, which change nothing, are left out."""
    p, r = t.sync_profile.c, t.sync_run.c
    last, is_its = _last_runs(by_profile=is_postgresql(conn))
    rp = last.c
    rows = conn.execute(
        select(rp.profile, rp.run, rp.state, rp.started_at, rp.counters, r.ended_at)
        .select_from(t.sync_profile)
        .join(last, is_its)
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


def _last_runs(*, by_profile: bool) -> tuple[Any, ColumnElement[bool]]:
    """The last runs of the outer query's profile, found through the index however long its history is, and its join.

    PostgreSQL would read the whole history for a comparison with where the chart begins; SQLite knows no lateral join.
    """
    p, edge = t.sync_profile.c, t.run_profile.alias("edge")
    c = edge.c
    newest = select(edge).where(c.profile == p.id, c.started_at.is_not(None))
    newest = newest.order_by(c.started_at.desc()).correlate(t.sync_profile)
    if by_profile:
        return newest.limit(HISTORY).lateral("last"), true()
    first = newest.with_only_columns(c.started_at).limit(1).offset(HISTORY - 1).scalar_subquery()
    own = t.run_profile.c
    return t.run_profile, and_(own.profile == p.id, own.started_at >= func.coalesce(first, ""))
