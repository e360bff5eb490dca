"""What does not sync, and why: the rejects in force of a profile, and those that a dry run would leave."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sqlalchemy import (
    Connection,
    and_,
    bindparam,
    delete,
    insert,
    select,
)

from sync_lib.model import (
    Reject,
    Run,
    Side,
)
from sync_lib.store import tables as t
from sync_lib.store.profiles.rows import Profile
from sync_lib.store.snapshots import bc_contacts, outlook_items

# -- rejects ---------------------------------------------------------------------------------------------------------


_REJECTS = select(*(t.reject.c[name] for name in ("side", "contact", "field", "outcome", "reason"))).where(
    t.reject.c.profile == bindparam("profile")
)

_DRY_REJECTS = delete(t.dry_reject).where(t.dry_reject.c.profile == bindparam("profile"))


def replace_rejects(conn: Connection, profile: int, rejects: Iterable[Reject], run: str, now: str) -> None:
    """Make the rejects in force of a profile those given; rows that stay as they are are not written.

    What a dry run found before is out of date by that.
    """
    _drop_dry_rejects(conn, profile)
    table, c = t.reject, t.reject.c
    wanted = {(r.side, r.contact, r.field): (r.outcome, r.reason) for r in rejects}
    rows = conn.execute(_REJECTS, {"profile": profile})
    known = {(row.side, row.contact, row.field): (row.outcome, row.reason) for row in rows}
    gone = [key for key, value in known.items() if wanted.get(key) != value]
    new = [key for key, value in wanted.items() if known.get(key) != value]
    if gone:
        match = and_(
            c.side == bindparam("k_side"),
            c.contact == bindparam("k_contact"),
            c.field == bindparam("k_field"),
        )
        keys = [dict(zip(("k_side", "k_contact", "k_field"), key, strict=True)) for key in gone]
        conn.execute(delete(table).where(c.profile == profile, match), keys)
    if new:
        conn.execute(insert(table), [_reject_row(profile, key, wanted[key], run, now) for key in new])


def _reject_row(
    profile: int, key: tuple[str, str, str], value: tuple[str, str], run: str, now: str
) -> dict[str, Any]:
    side, contact, field = key
    outcome, reason = value
    row = {"profile": profile, "side": side, "contact": contact, "field": field, "run": run, "since": now}
    return row | {"outcome": outcome, "reason": reason}


def replace_dry_rejects(
    conn: Connection, run: Run, profile: Profile, rejects: Iterable[Reject], now: str
) -> None:
    """Make what a dry run would leave out those given, with the contacts' names, beside the rejects in force."""
    _drop_dry_rejects(conn, profile.id)
    found = {(r.side, r.contact, r.field): r for r in rejects}.values()
    if not found:
        return
    names = _names(conn, profile, run.overlay, found)
    rows = []
    for r in found:
        row = _reject_row(profile.id, (r.side, r.contact, r.field), (r.outcome, r.reason), run.id, now)
        name, email = names.get((r.side, r.contact), ("", ""))
        rows.append(row | {"name": name, "email": email})
    conn.execute(insert(t.dry_reject), rows)


def _drop_dry_rejects(conn: Connection, profile: int) -> None:
    conn.execute(_DRY_REJECTS, {"profile": profile})


def _names(
    conn: Connection, profile: Profile, overlay: str, rejects: Iterable[Reject]
) -> dict[tuple[Side, str], tuple[str, str]]:
    """Return name and address of the contacts of some rejects, as a run has staged them."""
    ids: dict[Side, set[str]] = {side: set() for side in Side}
    for reject in rejects:
        ids[reject.side].add(reject.contact)
    people = bc_contacts.read_bc_rows(
        conn, profile.company or 0, ids=ids[Side.BUSINESS_CENTRAL], overlay=overlay
    )
    items = outlook_items.read_outlook_records(conn, profile.id, ids[Side.OUTLOOK], overlay)
    named = {(Side.BUSINESS_CENTRAL, row["id"]): (row["name"], row["email"]) for row in people}
    return named | {(Side.OUTLOOK, key): (row["name"], row["email_key"]) for key, row in items.items()}
