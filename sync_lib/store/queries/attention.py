"""What waits for people, in two numbers that every page shows: by index, however long the history is."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, func, literal_column, select

from sync_lib.store import tables as t


@dataclass(frozen=True, slots=True)
class Attention:
    """How many holds nobody has decided about, and how many contacts do not sync, over all profiles."""

    holds: int
    rejects: int


def read_attention(conn: Connection) -> Attention:
    """Return what waits for people."""
    # Written out, not as a parameter, so that the small index of open holds serves.
    is_open = t.hold.c.state == literal_column("'open'")
    holds = select(func.count()).where(is_open).scalar_subquery()
    rejects = select(func.coalesce(func.sum(t.comparison.c.rejected), 0)).scalar_subquery()
    return Attention(*conn.execute(select(holds, rejects)).one())
