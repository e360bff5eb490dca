"""The last runs that worked on one profile, for its page. A run that found it quiet left no row of it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, select

from sync_lib.store import tables as t
from sync_lib.store.queries.reasons import reason_of

#: Runs that the page of a profile shows.
RUNS = 24


@dataclass(frozen=True, slots=True)
class ProfileRun:
    """What became of a profile in one run.

    Attributes:
        run: The run's id.
        state: ``done``, ``held``, ``failed``, ``skipped``, ``running`` or ``planned``.
        reason: Why it is not ``done``, as a code; "" for none.
        mode: ``incremental`` or ``full``.
        dry_run: It only planned.
        started_at: When its turn came.
        map_index: Place of its task in Airflow, None for none.
        writes: Action -> contacts that it wrote; of a dry run, that it would write.
    """

    run: str
    state: str
    reason: str
    mode: str
    dry_run: bool
    started_at: str
    map_index: int | None
    writes: Mapping[str, int]

    @property
    def written(self) -> int:
        """How many contacts it wrote, or would write, on both sides."""
        return sum(self.writes.values())

    @property
    def is_over(self) -> bool:
        """Whether it came to an outcome that says something of the profile."""
        return self.state in ("done", "held")


def read_runs(conn: Connection, profile: int, limit: int = RUNS) -> list[ProfileRun]:
    """Return the last runs of a profile, oldest first, by index however long its history is."""
    rp, r = t.run_profile.c, t.sync_run.c
    wanted = (
        select(
            rp.run, rp.state, reason_of(rp).label("reason"), rp.started_at, rp.counters, rp.map_index,
            r.mode, r.dry_run, r.ended_at,
        )
        .join(t.sync_run, r.id == rp.run)
        .where(rp.profile == profile, rp.started_at.is_not(None))
        .order_by(rp.started_at.desc())
        .limit(limit)
    )  # fmt: skip
    return [_run(row) for row in reversed(conn.execute(wanted).all())]


def _run(row: Any) -> ProfileRun:
    # A run that is over left nobody at work.
    dead = row.state in ("planned", "running") and row.ended_at is not None
    state, reason = ("failed", "no_outcome") if dead else (row.state, row.reason or "")
    counters: dict[str, Any] = json.loads(row.counters)
    writes = (counters.get("planned") if row.dry_run else counters.get("writes")) or {}
    own = (row.run, state, reason, row.mode, bool(row.dry_run), row.started_at, row.map_index)
    return ProfileRun(*own, writes)
