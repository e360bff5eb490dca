"""Which profile is to be checked next, and what the checks of all of them found."""

from __future__ import annotations

import json

from sqlalchemy import Connection, func, insert, select

from sync_lib.store import tables as t


def read_due(conn: Connection, count: int) -> list[int]:
    """Return the profiles that were checked longest ago, or never, and have synced at least once."""
    p, c = t.sync_profile.c, t.drift_check.c
    # By number, since two checks of one night may have the same time.
    last = select(func.max(c.id)).where(c.profile == p.id).correlate(t.sync_profile).scalar_subquery()
    ready = (p.enabled, p.folder_id.is_not(None), p.company.is_not(None))
    return list(conn.scalars(select(p.id).where(*ready).order_by(func.coalesce(last, 0), p.id).limit(count)))


def read_rejects(conn: Connection, profile: int) -> dict[str, frozenset[str]]:
    """Return what of a profile does not sync: contact -> fields, "" for the whole contact."""
    r = t.reject.c
    found: dict[str, frozenset[str]] = {}
    for contact, name in conn.execute(select(r.contact, r.field).where(r.profile == profile)):
        found[contact] = found.get(contact, frozenset()) | {name}
    return found


def write_check(
    conn: Connection, profile: int, at: str, planned: dict[str, int], **values: int | str
) -> None:
    """Write down what a check found: ``pairs``, ``agreeing``, ``explained``, ``reason``."""
    row = {"profile": profile, "at": at, "planned": json.dumps(planned, sort_keys=True)}
    conn.execute(insert(t.drift_check).values(row | values))
