"""What runs were: by schedule, by hand, a backfill, a decision, or one of our own that only looks."""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import Connection, select

from sync_lib.store import tables as t


def read_run_kinds(conn: Connection, runs: Collection[str]) -> dict[str, str]:
    """Return the kind of each run by its id; those that housekeeping has removed are left out."""
    c = t.sync_run.c
    return {row.id: row.run_type for row in conn.execute(select(c.id, c.run_type).where(c.id.in_(runs)))}
