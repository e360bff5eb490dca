"""Rows for the staging database, as runs leave them: enough of each for what a page shows."""

from __future__ import annotations

import json
from typing import Any

from sqlalchemy import Connection, insert

from sync_lib.store import tables as t

NOON = "2026-03-02T12:00:00.000Z"


def at(minute: int) -> str:
    """A time some minutes after noon."""
    return f"2026-03-02T{12 + minute // 60:02d}:{minute % 60:02d}:00.000Z"


def add_profile(conn: Connection, mailbox: str, **values: Any) -> int:
    row = {
        "mailbox": mailbox,
        "company_name": "Molenzicht BV",
        "created_at": NOON,
        "updated_at": NOON,
        **values,
    }
    return int(conn.execute(insert(t.sync_profile).values(row)).inserted_primary_key[0])


def add_run(conn: Connection, run: str, started: str, **values: Any) -> str:
    row = {
        "id": run,
        "mode": "incremental",
        "state": "success",
        "started_at": started,
        "ended_at": started,
        **values,
    }
    conn.execute(insert(t.sync_run).values(row))
    return run


def add_result(conn: Connection, run: str, profile: int, state: str = "done", **values: Any) -> None:
    counters = values.pop("counters", {})
    row = {"run": run, "profile": profile, "chunk": str(profile), "state": state, **values}
    conn.execute(insert(t.run_profile).values(counters=json.dumps(counters), **row))


def add_reject(conn: Connection, profile: int, contact: str, reason: str, **values: Any) -> None:
    row = {"side": "business_central", "outcome": "rejected", "since": NOON, "run": "r", **values}
    conn.execute(insert(t.reject).values(profile=profile, contact=contact, reason=reason, **row))


def counters(read: int = 0, **outcomes: int) -> dict[str, Any]:
    return {"read": read, "outcomes": outcomes, "writes": {"updated_outlook": outcomes.get("updated", 0)}}
