"""Quiet means quiet (I21): whoever was given no task is worked on all the same, and must come to nothing.

``Harness.audits`` lets every run of a test be looked at so, right behind ``find_work``. What users do in the middle of
a run would be found by it, too: only where they act between runs is what it finds a fault.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import select, update

from sync_lib import pipeline
from sync_lib.store import looking, runs
from sync_lib.store import tables as t
from sync_lib.store.engine import read, transaction

if TYPE_CHECKING:
    from tests.sync.harness import Harness

#: What a task may not move, by table, and the columns that say when and where it was last seen.
TABLES = (t.coupling, t.reject, t.held_action, t.hold, t.postponed, t.undo, t.wish, t.left_out, t.awaited)
_PASSING = {"updated_at", "run", "since", "plan", "hash", "asked_hash", "digest", "reasons", "settled"}


def audit(h: Harness, run_id: str) -> None:
    """Work on the quiet profiles of a run, whose ``find_work`` has decided, and put its own rows back."""
    with read(h.edges.engine) as conn:
        run = runs.read_run(conn, run_id)
        if run is None or not run.finds_work or run.found_at is None:
            return
        quiet = [each.profile for each in looking.read_outcomes(conn, run) if each.state == looking.QUIET]
    for profile in quiet:
        before, cursor = state(h, profile), _cursor(h, profile)
        _force(h, run_id, profile)
        [result] = pipeline.sync_profile(h.edges, run_id, str(profile))
        writes = result.counters.get("writes", {})
        found = f"{profile} was left out and had work: {result.state} {result.reason} {writes}"
        assert (result.state in ("done", "held"), writes) == (True, {}), found
        after = state(h, profile)
        moved = {name: (before[name], after[name]) for name in before if before[name] != after[name]}
        # What was waited for while an undo was open may be more than what is waited for behind it.
        extra = {*after["awaited"]} - {*before["awaited"]}
        moved.pop("awaited", None)
        assert (moved, extra) == ({}, set()), f"{profile} was left out and had work"
        _put_back(h, run_id, profile, cursor)


def state(h: Harness, profile: int) -> dict[str, Any]:
    """What is stored of a profile, but for times."""
    found: dict[str, Any] = {}
    with read(h.edges.engine) as conn:
        for table in TABLES:
            columns = [column for column in table.c if column.name not in _PASSING]
            rows = conn.execute(select(*columns).where(table.c.profile == profile))
            found[table.name] = sorted(tuple(map(str, row)) for row in rows)
        outcomes = select(t.change.c.outcome).join(t.plan, t.plan.c.id == t.change.c.plan)
        done = conn.execute(outcomes.where(t.plan.c.profile == profile, ~t.plan.c.dry_run)).all()
        found["changes"] = len(done)
    return found


def _force(h: Harness, run_id: str, profile: int) -> None:
    """Let the task compare, whatever it thinks of it."""
    c = t.cursor.c
    with transaction(h.edges.engine) as conn:
        mine = (c.side == "outlook", c.scope == str(profile))
        conn.execute(update(t.cursor).where(*mine).values(pending=True))
        places = runs.read_mapped(conn, run_id)
        runs.map_profiles(conn, run_id, [runs.Chunk((profile,))], first=max(places, default=-1) + 1)


def _cursor(h: Harness, profile: int) -> dict[str, Any]:
    c = t.cursor.c
    with read(h.edges.engine) as conn:
        row = conn.execute(select(t.cursor).where(c.side == "outlook", c.scope == str(profile))).one()
    return dict(row._mapping)


def _put_back(h: Harness, run_id: str, profile: int, cursor: dict[str, Any]) -> None:
    c, own = t.cursor.c, t.run_profile.c
    with transaction(h.edges.engine) as conn:
        conn.execute(t.run_profile.delete().where(own.run == run_id, own.profile == profile))
        mine = (c.side == "outlook", c.scope == str(profile))
        conn.execute(update(t.cursor).where(*mine).values(due_at=cursor["due_at"], pending=cursor["pending"]))
