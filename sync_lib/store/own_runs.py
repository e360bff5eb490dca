"""Runs that colleagues start for profiles of their own: the last one of each DAG, and whose turn it is (rules 9)."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, select, update

from sync_lib.store import clock
from sync_lib.store import tables as t
from sync_lib.store.bulk import upsert
from sync_lib.store.engine import is_postgresql

#: Seconds from one run that a colleague starts to the next one, for each profile and DAG.
APART = 60.0

_O = t.own_run.c


@dataclass(frozen=True, slots=True)
class OwnRun:
    """The last run of a DAG that was started for a profile; ``run`` is "" where Airflow refused to start one."""

    asked_at: str
    asked_by: str
    run: str


def take_turn(conn: Connection, profile: int, dag: str, by: str) -> bool:
    """Take the profile's turn to start a run of a DAG; False where the last one was less than a minute ago.

    Of two requests at once one gets it: the database's clock and its row decide (rules 8.8b).
    """
    new = upsert(is_postgresql(conn))(t.own_run).values(
        profile=profile, dag=dag, asked_at=clock.moment(conn), asked_by=by, run=""
    )
    values = {"asked_at": new.excluded.asked_at, "asked_by": new.excluded.asked_by, "run": ""}
    taken = new.on_conflict_do_update(
        index_elements=["profile", "dag"], set_=values, where=_O.asked_at <= clock.moment(conn, -APART)
    )
    return conn.execute(taken.returning(_O.profile)).first() is not None


def write_run(conn: Connection, profile: int, dag: str, run: str) -> None:
    """Store which run was started in the turn that was taken."""
    conn.execute(update(t.own_run).where(_O.profile == profile, _O.dag == dag).values(run=run))


def read_last(conn: Connection, profile: int, dag: str) -> OwnRun | None:
    """Return the last run of a DAG that a colleague started for a profile, or None."""
    wanted = select(_O.asked_at, _O.asked_by, _O.run).where(_O.profile == profile, _O.dag == dag)
    row = conn.execute(wanted).first()
    return OwnRun(*row) if row else None
