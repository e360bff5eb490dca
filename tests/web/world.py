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
    return int(conn.execute(insert(t.sync_profile).values(row).returning(t.sync_profile.c.id)).scalar_one())


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
    mapped = {"chunk": str(profile), "map_index": profile - 1}
    row = {"run": run, "profile": profile, "state": state, **mapped, **values}
    conn.execute(insert(t.run_profile).values(counters=json.dumps(counters), **row))


def add_reject(conn: Connection, profile: int, contact: str, reason: str, **values: Any) -> None:
    row = {"side": "business_central", "outcome": "rejected", "since": NOON, "run": "r", **values}
    conn.execute(insert(t.reject).values(profile=profile, contact=contact, reason=reason, **row))


def counters(read: int = 0, **outcomes: int) -> dict[str, Any]:
    return {"read": read, "outcomes": outcomes, "writes": {"updated_outlook": outcomes.get("updated", 0)}}


def add_company(conn: Connection, name: str = "Molenzicht BV") -> int:
    row = {"tenant_id": "t", "environment": "e", "company_id": name, "name": name}
    return int(conn.execute(insert(t.company).values(row).returning(t.company.c.id)).scalar_one())


def add_person(conn: Connection, company: int, key: str, **values: Any) -> None:
    row = {"company": company, "id": key, "etag": "", "last_modified": NOON, "type": "Person", **values}
    conn.execute(insert(t.bc_contact).values(row))


def add_item(conn: Connection, profile: int, key: str, **values: Any) -> None:
    row = {"profile": profile, "id": key, "etag": "", "last_modified": NOON, "record": "{}", **values}
    conn.execute(insert(t.outlook_contact).values(row))


def add_plan(conn: Connection, profile: int, run: str, *changes: dict[str, Any], **values: Any) -> int:
    """A plan with its changes; each change says what it does not leave to the defaults."""
    row = {"profile": profile, "run": run, "mode": "incremental", "fencing": 1, "created_at": NOON, **values}
    plan = int(conn.execute(insert(t.plan).values(row).returning(t.plan.c.id)).scalar_one())
    for n, change in enumerate(changes, 1):
        parts = {
            name: json.dumps(change.get(name, {}), ensure_ascii=False, separators=(",", ":"))
            for name in ("before", "after", "losing")
        }
        known = {
            "plan": plan,
            "n": n,
            "profile": profile,
            "state": "done",
            "ended_at": NOON,
            "cause": "changed_in_bc",
        }
        conn.execute(insert(t.change).values(known | change | parts))
    return plan


def add_hold(conn: Connection, **values: Any) -> int:
    """A hold of a profile's plan, or of a company; open unless it is said."""
    row = {"run": "r", "hash": "0123456789abcdef", "state": "open", "opened_at": NOON, **values}
    row["reasons"] = json.dumps(row.get("reasons", ["too_many_deletes"]))
    return int(conn.execute(insert(t.hold).values(row).returning(t.hold.c.id)).scalar_one())
