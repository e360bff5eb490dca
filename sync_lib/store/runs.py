"""Runs, what became of each company and profile in them, and cursors: where the next extract of a side starts."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Select,
    Text,
    Update,
    and_,
    bindparam,
    cast,
    delete,
    insert,
    or_,
    select,
    text,
    true,
    update,
)

from sync_lib.model import Before, CompanyResult, ProfileResult, Run
from sync_lib.store import tables as t
from sync_lib.store.bulk import among_named
from sync_lib.store.days import AGREED
from sync_lib.store.engine import is_postgresql


@dataclass(frozen=True, slots=True)
class Cursor:
    """Where the next extract starts, and what the last complete diff saw."""

    position: str = ""
    last_full_at: str | None = None
    full_tried_at: str | None = None
    full_failures: int = 0
    last_scan_at: str | None = None
    version: int = 0
    diffed_generation: int | None = None
    diffed_settings: str = ""
    pending: bool = True
    contacts: int = 0
    last_good_at: str | None = None
    updated_at: str = ""
    settled_generation: int | None = None


# -- runs ------------------------------------------------------------------------------------------------------------


def lock_runs(conn: Connection) -> None:
    """Let one run at a time be planned: which does a backfill's full sync, and which companies there are."""
    if is_postgresql(conn):
        conn.execute(text("LOCK TABLE sync_run IN SHARE ROW EXCLUSIVE MODE"))


_RUN = select(*(t.sync_run.c[name] for name in Run.__dataclass_fields__)).where(
    t.sync_run.c.id == bindparam("run")
)
_CHANGE_RUN = update(t.sync_run).where(t.sync_run.c.id == bindparam("of_run"))


def read_run(conn: Connection, run: str) -> Run | None:
    """Return a run, or None where it has never been planned."""
    row = conn.execute(_RUN, {"run": run}).first()
    return Run(*row) if row else None


def write_run(conn: Connection, run: str, values: dict[str, Any]) -> None:
    """Insert a run, or update the one that a retry or a clear starts again."""
    if not conn.execute(_CHANGE_RUN, {"of_run": run, **values}).rowcount:
        conn.execute(insert(t.sync_run), {"id": run, **values})


def find_full_sync(conn: Connection, run: str, digest: str, since: str, backfill_since: str) -> str | None:
    """Return a full sync of the same profiles, running or succeeded, that started since a time, or None.

    Args:
        conn: Inside the transaction that locked the runs.
        run: The run that asks; it does not find itself.
        digest: Digest of the profiles.
        since: For runs of any type.
        backfill_since: For runs of a backfill, whose runs are made one after the other.
    """
    c = t.sync_run.c
    late_enough = or_(c.started_at >= since, and_(c.run_type == "backfill", c.started_at >= backfill_since))
    return conn.scalar(
        select(c.id)
        .where(c.id != run, c.mode == "full", ~c.dry_run, c.profiles_digest == digest, late_enough)
        .where(c.state.in_(["running", "success"]))
        .order_by(c.started_at)
        .limit(1)
    )


def plan_run_rows(conn: Connection, run: str, companies: Iterable[int], chunks: Iterable[Chunk]) -> None:
    """Write the companies and profiles that a run must give an outcome to; those that have one are planned anew."""
    for table in (t.run_company, t.run_profile):
        conn.execute(table.delete().where(table.c.run == run))
    company_rows = [{"run": run, "company": company, "state": "planned"} for company in companies]
    if company_rows:
        conn.execute(insert(t.run_company), company_rows)
    map_profiles(conn, run, chunks)


def map_profiles(
    conn: Connection, run: str, chunks: Iterable[Chunk], why: Mapping[int, str] | None = None, first: int = 0
) -> None:
    """Write the profiles of mapped tasks, of which the first has the place ``first`` among those of the run."""
    rows = [
        {
            "run": run,
            "profile": profile,
            "chunk": chunk.key,
            "map_index": index,
            "why": (why or {}).get(profile, ""),
            "state": "planned",
        }
        for index, chunk in enumerate(chunks, first)
        for profile in chunk.profiles
    ]
    if rows:
        conn.execute(insert(t.run_profile), rows)


@dataclass(frozen=True, slots=True)
class Chunk:
    """The profiles of one mapped task, and the key that it is mapped over: their ids, so that it says whose it is."""

    profiles: tuple[int, ...]

    @property
    def key(self) -> str:
        """The ids, in their order."""
        return "-".join(map(str, self.profiles))

    @classmethod
    def parse(cls, key: str) -> Chunk | None:
        """Return the chunk of a key, or None where that names no profiles."""
        parts = key.split("-")
        return cls(tuple(map(int, parts))) if all(part.isdecimal() for part in parts) else None


_CHUNK = (
    select(t.run_profile.c.profile)
    .where(t.run_profile.c.run == bindparam("run"), t.run_profile.c.chunk == bindparam("chunk"))
    .order_by(t.run_profile.c.profile)
)


def read_chunk(conn: Connection, run: str, chunk: str) -> list[int]:
    """Return the ids of the profiles that a mapped task works on."""
    return list(conn.scalars(_CHUNK, {"run": run, "chunk": chunk}))


def read_mapped(conn: Connection, run: str) -> dict[int, tuple[str, list[int]]]:
    """Return the mapped tasks of a run by their places: the key of each, and its profiles."""
    c = t.run_profile.c
    wanted = select(c.map_index, c.chunk, c.profile).where(c.run == run, c.map_index.is_not(None))
    found: dict[int, tuple[str, list[int]]] = {}
    for index, key, profile in conn.execute(wanted.order_by(c.map_index, c.profile)):
        found.setdefault(index, (key, []))[1].append(profile)
    return found


def write_profile_state(conn: Connection, run: str, profile: int, **values: Any) -> None:
    """Record what became of a profile in a run."""
    _write_state(conn, _CHANGE_PROFILE, {"of_run": run, "of_profile": profile}, values)


def write_company_state(conn: Connection, run: str, company: int, **values: Any) -> None:
    """Record what became of a company in a run."""
    _write_state(conn, _CHANGE_COMPANY, {"of_run": run, "of_company": company}, values)


_CHANGE_PROFILE = update(t.run_profile).where(
    t.run_profile.c.run == bindparam("of_run"), t.run_profile.c.profile == bindparam("of_profile")
)
_CHANGE_COMPANY = update(t.run_company).where(
    t.run_company.c.run == bindparam("of_run"), t.run_company.c.company == bindparam("of_company")
)


def _write_state(conn: Connection, change: Update, key: dict[str, Any], values: dict[str, Any]) -> None:
    if "counters" in values:
        values["counters"] = json.dumps(values["counters"])
    conn.execute(change, key | values)


@cache
def _company_results() -> Select[Any]:
    rc, c = t.run_company.c, t.company.c
    return (
        select(rc.company, c.name, rc.state, rc.reason, rc.message, rc.counters)
        .join(t.company, c.id == rc.company)
        .where(rc.run == bindparam("run"))
        .order_by(c.name)
    )


def read_company_results(conn: Connection, run: str) -> list[CompanyResult]:
    """Return the outcome of each company of a run."""
    rows = conn.execute(_company_results(), {"run": run})
    return [
        CompanyResult(row.company, row.name, row.state, row.reason, row.message, json.loads(row.counters))
        for row in rows
    ]


@cache
def _profile_results() -> Select[Any]:
    rp, p, k, seen = t.run_profile.c, t.sync_profile.c, t.cursor.c, t.comparison.c
    is_own = and_(k.side == "outlook", k.scope == cast(p.id, Text))
    return (
        select(
            rp.profile, p.mailbox, p.company_name, rp.state, rp.reason, rp.message, rp.counters,
            k.last_good_at, seen.run.label("seen_run"), seen.compared_at, seen.counters.label("seen_counters"),
        )
        .join(t.sync_profile, p.id == rp.profile)
        .outerjoin(t.cursor, is_own)
        .outerjoin(t.comparison, seen.profile == rp.profile)
        .where(rp.run == bindparam("run"))
        .order_by(p.mailbox, p.id)
    )  # fmt: skip


@cache
def _results_of_some(postgresql: bool) -> Select[Any]:
    these = among_named(t.run_profile.c.profile, "profiles", postgresql=postgresql)
    return _profile_results().where(these)


def read_profile_results(
    conn: Connection, run: str, profiles: Collection[int] | None = None
) -> list[ProfileResult]:
    """Return the outcome of each profile that a run worked on, or of some, with the time of its last good sync."""
    results = []
    wanted = _profile_results() if profiles is None else _results_of_some(is_postgresql(conn))
    for row in conn.execute(wanted, {"run": run, **({} if profiles is None else {"profiles": profiles})}):
        last = Comparison(row.seen_run, row.compared_at, row.seen_counters) if row.seen_run else None
        counters, at = figures(row.counters, last)
        own = (row.profile, row.mailbox, row.company_name, row.state, row.reason, row.message)
        results.append(ProfileResult(*own, counters, row.last_good_at, at))
    return results


def result_in(chosen: Any, *, by_profile: bool) -> tuple[Any, ColumnElement[bool]]:
    """Return what became of the outer query's profile in a run, to be joined, and the condition of that join.

    Args:
        chosen: The run, as an expression of the outer query.
        by_profile: PostgreSQL: the limit keeps it from reading all runs of all profiles to join them some other way.
    """
    p, own = t.sync_profile.c, t.run_profile.alias("own")
    if not by_profile:
        return own, and_(own.c.profile == p.id, own.c.run == chosen)
    row = t.run_profile
    found = select(row).where(row.c.profile == p.id, row.c.run == chosen).limit(1)
    return found.correlate(t.sync_profile).lateral("own"), true()


# -- comparisons -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Comparison:
    """What a profile's last comparison found; ``counters`` is JSON."""

    run: str
    compared_at: str
    counters: str


def write_comparison(  # noqa: PLR0913 - what a comparison came to
    conn: Connection, profile: int, run: str, counters: dict[str, Any], at: str, rejected: int
) -> None:
    """Store what a comparison found; belongs into the transaction that closes it.

    Args:
        conn: Inside a transaction.
        profile: The profile.
        run: The run that compared.
        counters: As the report shows them.
        at: When.
        rejected: How many contacts do not sync, or not with all their fields.
    """
    outcomes = counters["outcomes"]
    values = {
        "run": run,
        "compared_at": at,
        "counters": json.dumps(counters),
        "contacts": counters["read"],
        "agreed": sum(outcomes.get(name, 0) for name in AGREED),
        "rejected": rejected,
        "held": outcomes.get("held", 0),
    }
    if not conn.execute(_CHANGE_COMPARISON, {"of_profile": profile, **values}).rowcount:
        conn.execute(insert(t.comparison), {"profile": profile, **values})


_CHANGE_COMPARISON = update(t.comparison).where(t.comparison.c.profile == bindparam("of_profile"))


_COMPARED_IN = select(t.comparison.c.run).where(t.comparison.c.profile == bindparam("profile"))


def quiet_counters(conn: Connection, profile: int) -> dict[str, Any]:
    """Return the counters of a run that found a profile quiet: no outcomes, but whose comparison still holds."""
    run = conn.scalar(_COMPARED_IN, {"profile": profile})
    return {"quiet": True, "compared_in": run or ""}


def figures(counters: str, comparison: Comparison | None) -> tuple[dict[str, Any], str | None]:
    """Return the counters to show of a run, and when they were found if that was before it (rules 8.8).

    Args:
        counters: Of the run, as JSON.
        comparison: The last one of the profile. One that came later says nothing of this run.
    """
    own: dict[str, Any] = json.loads(counters)
    if not own.get("quiet"):
        return own, None
    if comparison is None or comparison.run != own["compared_in"]:
        return own, ""
    return json.loads(comparison.counters) | {"writes": {}, "planned": {}}, comparison.compared_at


def read_waiting(conn: Connection) -> tuple[int, int]:
    """Return how many writes the last run only planned, and how many of them are deletes after a privacy block."""
    r, rp = t.sync_run.c, t.run_profile.c
    over = (r.ended_at.is_not(None), r.state != "skipped")
    last = conn.execute(select(r.id, r.dry_run).where(*over).order_by(r.started_at.desc()).limit(1)).first()
    if last is None or not last.dry_run:
        return 0, 0
    counters = [json.loads(text) for text in conn.scalars(select(rp.counters).where(rp.run == last.id))]
    planned = sum(sum(each.get("planned", {}).values()) for each in counters)
    return planned, sum(each.get("planned_for_privacy", 0) for each in counters)


def read_before(conn: Connection, run: Run) -> dict[int, Before]:
    """Return what became of each profile of a run in the run before that worked on it; dry runs do not count."""
    mine, older = t.run_profile.alias("mine"), t.run_profile.alias("older")
    c, o, r = t.run_profile.c, older.c, t.sync_run.c
    earlier = (o.profile == mine.c.profile, o.run != run.id, o.started_at < run.started_at, ~r.dry_run)
    last = select(o.run).join(t.sync_run, r.id == o.run).where(*earlier)
    last = last.order_by(o.started_at.desc()).limit(1).correlate(mine)
    rows = conn.execute(
        select(c.profile, c.state, c.reason, c.started_at)
        .join(mine, mine.c.profile == c.profile)
        .where(mine.c.run == run.id, c.run == last.scalar_subquery())
    )
    return {row.profile: Before(row.state, row.reason, row.started_at) for row in rows}


def drop_run(conn: Connection, run: str) -> None:
    """Forget a run that left nothing but its plans, and these too."""
    plans = select(t.plan.c.id).where(t.plan.c.run == run)
    conn.execute(delete(t.change).where(t.change.c.plan.in_(plans)))
    for table in (t.plan, t.run_profile, t.run_company):
        conn.execute(delete(table).where(table.c.run == run))
    conn.execute(delete(t.sync_run).where(t.sync_run.c.id == run))


# -- cursors ---------------------------------------------------------------------------------------------------------

#: What is due now: the next comparison says when it is due again.
DUE = "0"

_IS_CURSOR = and_(t.cursor.c.side == bindparam("of_side"), t.cursor.c.scope == bindparam("of_scope"))
_CURSOR = select(*(t.cursor.c[name] for name in Cursor.__dataclass_fields__)).where(_IS_CURSOR)
_CHANGE_CURSOR = update(t.cursor).where(_IS_CURSOR)


def read_cursor(conn: Connection, side: str, scope: int) -> Cursor:
    """Return the cursor of a company (side ``business_central``) or a profile (side ``outlook``)."""
    row = conn.execute(_CURSOR, {"of_side": side, "of_scope": str(scope)}).first()
    return Cursor(*row) if row else Cursor()


def write_cursor(conn: Connection, side: str, scope: int, *, updated_at: str, **values: Any) -> None:
    """Update a cursor; belongs into the transaction that stages what it stands for.

    A profile that has to compare is due, unless the caller says since when.
    """
    values["updated_at"] = updated_at
    if values.get("pending"):
        values.setdefault("due_at", DUE)
    key = {"of_side": side, "of_scope": str(scope)}
    if not conn.execute(_CHANGE_CURSOR, key | values).rowcount:
        conn.execute(insert(t.cursor), {"side": side, "scope": str(scope), **values})


def begin_full(conn: Connection, side: str, scope: int, now: str) -> None:
    """Note that a full read that is due begins; it counts as failed until ``last_full_at`` says otherwise."""
    begun = _CHANGE_CURSOR.values(full_failures=t.cursor.c.full_failures + 1)
    conn.execute(begun, {"of_side": side, "of_scope": str(scope), "full_tried_at": now})


def end_full(began: str) -> dict[str, Any]:
    """Return what a cursor says after a complete full read that began at a time."""
    return {"last_full_at": began, "full_tried_at": None, "full_failures": 0}


# -- facts -----------------------------------------------------------------------------------------------------------

#: Scope and name of the fact that says which run was the last one that worked, and when it ended.
LAST_GOOD = ("runs", "last_good")

_IS_FACT = and_(t.fact.c.scope == bindparam("of_scope"), t.fact.c.name == bindparam("of_name"))
_FACT = select(t.fact.c.value).where(_IS_FACT)
_CHANGE_FACT = update(t.fact).where(_IS_FACT)


def read_fact(conn: Connection, scope: str, name: str) -> str | None:
    """Return what was found out about a service, or None."""
    return conn.scalar(_FACT, {"of_scope": scope, "of_name": name})


def read_last_good(conn: Connection) -> str | None:
    """Return when the last run ended that worked for everybody and was no dry run, or None for never."""
    c = t.fact.c
    return conn.scalar(select(c.found_at).where(c.scope == LAST_GOOD[0], c.name == LAST_GOOD[1]))


def digest_of(profiles: Iterable[int]) -> str:
    """Return the digest by which a run says over which profiles it went."""
    return hashlib.sha256(repr(sorted(profiles)).encode()).hexdigest()


def read_last_failures(conn: Connection, everybody: str) -> int:
    """Return how many companies and profiles failed in the last run that is over and was no dry run.

    One over all profiles, by their digest, counts before one over some: that one says nothing of the others. Where the
    profiles have changed since there is none yet, and the last run of any kind counts.
    """
    c = t.sync_run.c
    over = (c.ended_at.is_not(None), c.state.in_(["success", "failed"]), ~c.dry_run)
    last = select(c.counters).where(*over).order_by(c.started_at.desc()).limit(1)
    counters = conn.scalar(last.where(c.profiles_digest == everybody)) or conn.scalar(last)
    return int(json.loads(counters or "{}").get("failures", 0))


def write_fact(conn: Connection, scope: str, name: str, value: str, found_at: str) -> None:
    """Record what was found out about a service."""
    values = {"value": value, "found_at": found_at}
    if not conn.execute(_CHANGE_FACT, {"of_scope": scope, "of_name": name, **values}).rowcount:
        conn.execute(insert(t.fact), {"scope": scope, "name": name, **values})
