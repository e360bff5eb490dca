"""Figures per day (``tables.days``): how much agrees, what was written, and how long edits took to arrive.

They are counted anew from the change log whenever a run of that day ends, never added up, so that a task that is
repeated counts nothing twice, and what one run could not count the next one does.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Double,
    Select,
    Table,
    and_,
    bindparam,
    case,
    cast,
    func,
    or_,
    select,
    text,
)
from sqlalchemy.dialects.postgresql import TIMESTAMP

from sync_lib.model import Action, Outcome
from sync_lib.store import clock
from sync_lib.store import tables as t
from sync_lib.store.bulk import among, among_named, upsert
from sync_lib.store.engine import is_postgresql
from sync_lib.times import shift

#: Outcomes of contacts that are the same on both sides.
AGREED = ("unchanged", "created", "updated", "coupled", "conflict", "deleted")
#: Outcomes of changes that wrote something.
WRITTEN = (Outcome.CREATED, Outcome.UPDATED, Outcome.DELETED)
TO_BC = (Action.CREATE_BC, Action.UPDATE_BC)

#: Upper limits, in seconds, of the classes that times of arrival are counted in. Usual intervals are among them, so
#: that the share that arrived within one is exact.
LIMITS = (
    *(1, 2, 5, 10, 15, 20, 30, 45, 60, 90, 120, 180, 240, 300, 360, 480, 600, 720, 900, 1_200, 1_500, 1_800),
    *(2_700, 3_600, 5_400, 7_200, 10_800, 14_400, 21_600, 28_800, 43_200, 64_800, 86_400, 172_800, 604_800),
)
#: What took longer than the last limit.
BEYOND = 2_678_400
#: Days before today that a run which began then counts anew.
LONGEST_RUN = 3

_GAUGES = ("contacts", "agreed", "rejected", "held")
_SUMS = ("written_outlook", "written_business_central")


@dataclass(frozen=True, slots=True)
class Arrivals:
    """How long edits took from where they were made to our write on the other side, counted in classes of seconds."""

    counts: Mapping[int, int] = field(default_factory=dict)

    @classmethod
    def parse(cls, stored: str) -> Arrivals:
        """Return what a row holds as JSON."""
        return cls({int(limit): count for limit, count in json.loads(stored).items()})

    @classmethod
    def of(cls, seconds: Sequence[float]) -> Arrivals:
        """Return some times of arrival, counted."""
        return cls(Counter(next((each for each in LIMITS if one <= each), BEYOND) for one in seconds))

    def __add__(self, other: Arrivals) -> Arrivals:
        """Return both together."""
        return Arrivals(Counter(self.counts) + Counter(other.counts))

    def dump(self) -> str:
        """Return it as a row holds it."""
        return json.dumps({str(limit): count for limit, count in sorted(self.counts.items())})

    @property
    def total(self) -> int:
        """How many edits."""
        return sum(self.counts.values())

    def percentile(self, percent: float) -> float | None:
        """Return the seconds within which so many percent arrived, taken evenly within a class; None for no edits."""
        left = self.total * percent / 100
        for limit, count in sorted(self.counts.items()):
            if left <= count:
                lower = _lower(limit)
                return lower + (limit - lower) * left / count
            left -= count
        return None

    def share_within(self, seconds: float) -> float | None:
        """Return the part, from 0 to 1, that arrived within so many seconds; None for no edits."""
        if not self.total:
            return None
        found = 0.0
        for limit, count in self.counts.items():
            lower = _lower(limit)
            found += count * min(1.0, max(0.0, (seconds - lower) / (limit - lower)))
        return found / self.total


def _lower(limit: int) -> int:
    return max((each for each in (0, *LIMITS) if each < limit), default=0)


@dataclass(frozen=True, slots=True)
class Day:
    """One day of a profile, of a company, or of all of them together.

    ``contacts`` to ``held`` are as the last comparison found them, also where that was on an earlier day; None: there
    was none yet. ``written_*`` is how many contacts were written that day.
    """

    day: str
    contacts: int | None = None
    agreed: int | None = None
    rejected: int | None = None
    held: int | None = None
    written_outlook: int = 0
    written_business_central: int = 0
    arrivals: Arrivals = field(default_factory=Arrivals)

    @property
    def agreement(self) -> float | None:
        """The part, from 0 to 1, of the contacts that is the same on both sides."""
        return self.agreed / self.contacts if self.contacts and self.agreed is not None else None


# -- writing ---------------------------------------------------------------------------------------------------------


def count_run(conn: Connection, run: str, began: str) -> bool:
    """Count anew the days of a run: of the profiles that it gave a task, and of their companies.

    Returns whether there were such profiles.

    Args:
        conn: Inside the transaction that writes down the run's end.
        run: The run.
        began: When it began; what it wrote before midnight is of that day.
    """
    today = clock.now(conn)
    first = max(began, shift(today, -LONGEST_RUN * 86_400.0))[:10]
    worked_on = sorted(conn.scalars(_WORKED_ON, {"run": run}))
    companies = sorted(conn.scalars(_COMPANIES, {"run": run}))
    if not worked_on:
        companies = _without_day(conn, companies, today[:10])
    if companies:
        # One run at a time adds up the profiles of a company: of two that end together each would miss the other.
        conn.execute(_locked(is_postgresql(conn)), {"companies": companies}).all()
    if worked_on:
        _count_profiles(conn, worked_on, first, today[:10])
    for company in companies:
        _count_company(conn, company, first if worked_on else today[:10], today[:10])
    return bool(worked_on)


_WORKED_ON = select(t.run_profile.c.profile).where(
    t.run_profile.c.run == bindparam("run"), t.run_profile.c.map_index.is_not(None)
)
_COMPANIES = select(t.run_company.c.company).where(t.run_company.c.run == bindparam("run"))


@cache
def _locked(postgresql: bool) -> Select[Any]:
    key = t.company.c.id
    these = select(key).where(among_named(key, "companies", postgresql=postgresql))
    return these.order_by(key).with_for_update(key_share=True)


def count_all(conn: Connection, days: int) -> None:
    """Count anew today and so many days before, of all profiles: what a run that was killed left uncounted."""
    today = clock.now(conn)
    first = shift(today, -days * 86_400.0)[:10]
    companies = list(
        conn.scalars(select(t.company.c.id).order_by(t.company.c.id).with_for_update(key_share=True))
    )
    profiles = list(conn.scalars(select(t.sync_profile.c.id).order_by(t.sync_profile.c.id)))
    _count_profiles(conn, profiles, first, today[:10])
    for company in companies:
        _count_company(conn, company, first, today[:10])


def remove_days(conn: Connection, before: str) -> int:
    """Forget the days before a day; return how many rows."""
    removed = 0
    for table in (t.profile_day, t.company_day):
        removed += conn.execute(table.delete().where(table.c.day < before)).rowcount
    return removed


def _without_day(conn: Connection, companies: Sequence[int], day: str) -> list[int]:
    c = t.company_day.c
    has = set(conn.scalars(select(c.company).where(among(conn, c.company, companies), c.day == day)))
    return [company for company in companies if company not in has]


def _count_profiles(conn: Connection, profiles: Collection[int], first: str, today: str) -> None:
    """Count the days of some profiles from a day on."""
    found: dict[tuple[int, str], dict[str, Any]] = {}
    for (profile, day), sums in _written(conn, profiles, first).items():
        found[profile, day] = dict.fromkeys(_GAUGES) | sums
    asked = {"profiles": profiles, "first": first}
    for profile, at, *gauges in conn.execute(_compared(is_postgresql(conn)), asked):
        # A comparison of a worker whose clock is ahead is no news of tomorrow.
        sums = found.setdefault((profile, min(at[:10], today)), dict.fromkeys(_SUMS, 0) | {"arrivals": "{}"})
        sums |= dict(zip(_GAUGES, gauges, strict=True))
    rows = [{"profile": profile, "day": day, **values} for (profile, day), values in sorted(found.items())]
    _store(conn, t.profile_day, rows)


@cache
def _compared(postgresql: bool) -> Select[Any]:
    c = t.comparison.c
    ours = among_named(c.profile, "profiles", postgresql=postgresql)
    compared = select(c.profile, c.compared_at, *(c[name] for name in _GAUGES))
    return compared.where(ours, c.compared_at >= bindparam("first"))


def _written(
    conn: Connection, profiles: Collection[int], first: str
) -> dict[tuple[int, str], dict[str, Any]]:
    """What was written to each side per profile and day, and how long edits took, from the change log."""
    found: dict[tuple[int, str], dict[str, Any]] = {}
    arrived: dict[tuple[int, str], Counter[int]] = {}
    asked = {"profiles": profiles, "first": first}
    for profile, at, is_bc, limit, count in conn.execute(_written_by_day(is_postgresql(conn)), asked):
        sums = found.setdefault((profile, at), dict.fromkeys(_SUMS, 0))
        sums["written_business_central" if is_bc else "written_outlook"] += count
        if limit is not None:
            arrived.setdefault((profile, at), Counter())[limit] += count
    return {key: sums | {"arrivals": Arrivals(arrived.get(key, {})).dump()} for key, sums in found.items()}


@cache
def _written_by_day(postgresql: bool) -> Select[Any]:
    c, day = t.change.c, func.substr(t.change.c.ended_at, 1, 10)
    took = case((c.edited_at.is_not(None), _limit_of(_seconds_between(postgresql))), else_=None)
    ours = among_named(c.profile, "profiles", postgresql=postgresql)
    done = (ours, c.outcome.in_(WRITTEN), c.ended_at >= bindparam("first"))
    # By their places: an expression with parameters would be another one in GROUP BY.
    query = select(c.profile, day, c.action.in_(TO_BC), took, func.count())
    return query.where(*done).group_by(*map(text, "1234"))


def _seconds_between(postgresql: bool) -> ColumnElement[float]:
    """Seconds from the edit behind a change to its write."""
    c = t.change.c
    if postgresql:
        moments = (cast(each, TIMESTAMP(timezone=True)) for each in (c.ended_at, c.edited_at))
        ended, edited = moments
        return func.extract("epoch", ended - edited).cast(Double)
    return (func.julianday(c.ended_at) - func.julianday(c.edited_at)) * 86_400.0


def _limit_of(seconds: ColumnElement[float]) -> ColumnElement[int]:
    # Days as SQLite counts them are exact to some hundredths of a millisecond.
    return case(*((seconds <= limit + 0.0005, limit) for limit in LIMITS), else_=BEYOND)


def _count_company(conn: Connection, company: int, first: str, today: str) -> None:
    days: dict[str, dict[str, Any]] = {today: {"company": company, "day": today, **dict.fromkeys(_SUMS, 0)}}
    arrivals: dict[str, Arrivals] = {}
    asked = {"company": company, "first": first, "last": today}
    for day, *sums, arrived in conn.execute(_company_days(), asked):
        row = days.setdefault(day, {"company": company, "day": day, **dict.fromkeys(_SUMS, 0)})
        for name, number in zip(_SUMS, sums, strict=True):
            row[name] += number
        arrivals[day] = arrivals.get(day, Arrivals()) + Arrivals.parse(arrived)
    for day, row in days.items():
        gauges = _gauges(conn, company) if day == today else dict.fromkeys(_GAUGES)
        row |= gauges | {"arrivals": arrivals.get(day, Arrivals()).dump()}
    _store(conn, t.company_day, [days[day] for day in sorted(days)])


@cache
def _company_days() -> Select[Any]:
    d, p = t.profile_day.c, t.sync_profile.c
    ours = select(d.day, *(d[name] for name in _SUMS), d.arrivals).join(t.sync_profile, p.id == d.profile)
    within = (d.day >= bindparam("first"), d.day <= bindparam("last"))
    return ours.where(p.company == bindparam("company"), *within)


def _gauges(conn: Connection, company: int) -> dict[str, int | None]:
    """What the last comparisons of a company's profiles came to, all together."""
    row = conn.execute(_company_gauges(), {"company": company}).one()
    return dict(zip(_GAUGES, row, strict=True))


@cache
def _company_gauges() -> Select[Any]:
    c, p = t.comparison.c, t.sync_profile.c
    sums = select(*(func.sum(c[name]) for name in _GAUGES)).join(t.sync_profile, p.id == c.profile)
    return sums.where(p.company == bindparam("company"), p.enabled, p.ended_at.is_(None))


def _store(conn: Connection, table: Table, rows: Sequence[dict[str, Any]]) -> None:
    """Insert days, or replace what was counted before; what only the last comparison of a day knows stays."""
    if rows:
        conn.execute(_upsert(table, is_postgresql(conn)), rows)


@cache
def _upsert(table: Table, postgresql: bool) -> Any:
    new = upsert(postgresql)(table)
    counted = {name: new.excluded[name] for name in (*_SUMS, "arrivals")}
    found = {name: func.coalesce(new.excluded[name], table.c[name]) for name in _GAUGES}
    keys = [column.name for column in table.primary_key.columns]
    return new.on_conflict_do_update(index_elements=keys, set_=counted | found)


# -- reading ---------------------------------------------------------------------------------------------------------


def read_profile_days(conn: Connection, profile: int, days: int) -> list[Day]:
    """Return today and the days before it, oldest first, so many in all."""
    calendar = _calendar(conn, days)
    c = t.profile_day.c
    # What was last found before is what held on the first days.
    before = select(func.max(c.day)).where(c.profile == profile, c.day < calendar[0], c.contacts.is_not(None))
    since = or_(c.day >= calendar[0], c.day == before.scalar_subquery())
    return _filled(conn, t.profile_day, and_(c.profile == profile, since), calendar)


def read_company_days(conn: Connection, days: int) -> dict[int, list[Day]]:
    """Return the same of each company, by its key."""
    calendar = _calendar(conn, days)
    c = t.company_day.c
    return {
        company: _filled(conn, t.company_day, and_(c.company == company, c.day >= calendar[0]), calendar)
        for company in conn.scalars(select(t.company.c.id).order_by(t.company.c.name))
    }


def together(each: Collection[Sequence[Day]]) -> list[Day]:
    """Return the days of several companies as one: sums of all that is known."""
    return [_sum(days) for days in zip(*each, strict=True)]


def _calendar(conn: Connection, days: int) -> list[str]:
    now = clock.now(conn)
    return [shift(now, -n * 86_400.0)[:10] for n in range(days - 1, -1, -1)]


def _filled(
    conn: Connection, table: Table, condition: ColumnElement[bool], calendar: Sequence[str]
) -> list[Day]:
    names = ("day", *_GAUGES, *_SUMS, "arrivals")
    rows = {row.day: row for row in conn.execute(select(*(table.c[name] for name in names)).where(condition))}
    last, found = Day(""), []
    for day in sorted({*rows, *calendar}):
        row = rows.get(day)
        if row is not None and row.contacts is not None:
            last = Day("", row.contacts, row.agreed, row.rejected, row.held)
        own = replace(last, day=day)
        if row is not None:
            outlook, bc = row.written_outlook, row.written_business_central
            arrivals = Arrivals.parse(row.arrivals)
            own = replace(own, written_outlook=outlook, written_business_central=bc, arrivals=arrivals)
        found.append(own)
    return [each for each in found if each.day >= calendar[0]]


def _sum(days: Sequence[Day]) -> Day:
    def known(values: Iterable[int | None]) -> int | None:
        found = [value for value in values if value is not None]
        return sum(found) if found else None

    return Day(
        days[0].day,
        known(each.contacts for each in days),
        known(each.agreed for each in days),
        known(each.rejected for each in days),
        known(each.held for each in days),
        sum(each.written_outlook for each in days),
        sum(each.written_business_central for each in days),
        sum((each.arrivals for each in days), Arrivals()),
    )


# -- one run ---------------------------------------------------------------------------------------------------------


def read_run_arrivals(conn: Connection, run: str, began: str) -> dict[str, list[float]]:
    """Return how many seconds each edit took that a run carried over, by the name of the company.

    Below zero is what the services' clocks are ahead of the staging database's; that counts as no time.
    """
    found: dict[str, list[float]] = {}
    asked = {"run": run, "since": shift(began, -86_400.0)}
    for name, seconds in conn.execute(_run_arrivals(is_postgresql(conn)), asked):
        found.setdefault(name, []).append(max(0.0, seconds))
    return found


@cache
def _run_arrivals(postgresql: bool) -> Select[Any]:
    rp, c, p, co, sp = t.run_profile.c, t.change.c, t.plan.c, t.company.c, t.sync_profile.c
    # Plans are found by their profiles: of runs they have no index.
    ours = select(p.id, rp.profile).join(t.run_profile, and_(rp.run == p.run, rp.profile == p.profile))
    plans = ours.where(rp.run == bindparam("run"), p.created_at >= bindparam("since")).subquery()
    query = select(co.name, _seconds_between(postgresql)).select_from(plans)
    query = query.join(t.change, c.plan == plans.c.id)
    query = query.join(t.sync_profile, sp.id == plans.c.profile).join(t.company, co.id == sp.company)
    return query.where(c.outcome.in_(WRITTEN), c.edited_at.is_not(None))
