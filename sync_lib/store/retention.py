"""What the staging database forgets (rules 9): the change log, plans and runs that are older than the retention.

Old alone is not enough: a row that a later run still reads stays as long as that is so. Which rows those are is written
in one condition per table. Each batch is a transaction of its own, so that a sync never waits long, and a night that
was cut short goes on where it stopped.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

from sqlalchemy import ColumnElement, Connection, Engine, Select, and_, delete, func, or_, select, tuple_

from sync_lib.fields.contact_keys import BcKey
from sync_lib.model import Outcome, Side
from sync_lib.store import tables as t
from sync_lib.store.bulk import among
from sync_lib.store.engine import read, transaction
from sync_lib.store.holds import HoldState
from sync_lib.store.snapshots import bc_contacts, outlook_items
from sync_lib.store.snapshots.writing import drop_overlay

#: Rows that one transaction removes at most.
BATCH = 1000
#: Runs that one transaction removes at most; each has a row for every profile.
RUNS = 20

#: Holds whose actions the guard still asks for.
IN_FORCE = (HoldState.OPEN, HoldState.APPROVED, HoldState.REJECTED)

#: A bounded delete; returns how many rows it removed.
Remove = Callable[[Connection], int]


def remove_old(engine: Engine, before: str, *, quiet_before: str = "", batch: int = BATCH) -> dict[str, int]:
    """Remove what is older than a time and needed by no later run; return the number of rows per table.

    Args:
        engine: The staging database.
        before: What happened since this time stays.
        quiet_before: The same of runs that had nothing to do; "": all of them stay as long as others.
        batch: Rows per transaction.
    """
    removed: dict[str, int] = {}
    for table, remove in _steps(engine, before, quiet_before, batch):
        size = RUNS if table == "sync_run" else batch
        removed[table] = removed.get(table, 0) + _drain(engine, remove, size)
    return removed


def drop_left_overlays(engine: Engine, before: str) -> int:
    """Throw away what dry runs staged that started before a time and never came to their end; return their number."""
    c = t.sync_run.c
    with read(engine) as conn:
        left = list(conn.scalars(select(c.id).where(c.dry_run, c.ended_at.is_(None), c.started_at < before)))
    for run in left:
        with transaction(engine) as conn:
            drop_overlay(conn, run)
    return len(left)


def _drain(engine: Engine, remove: Remove, size: int) -> int:
    total, removed = 0, size
    while removed >= size:
        with transaction(engine) as conn:
            removed = remove(conn)
        total += removed
    return total


def _steps(engine: Engine, before: str, quiet_before: str, batch: int) -> Iterator[tuple[str, Remove]]:
    """Yield the deletes in the order in which tables refer to each other."""
    with read(engine) as conn:
        # In one order, whatever the order of the rows: what is done is then the same on every database.
        profiles = list(conn.scalars(select(t.sync_profile.c.id).order_by(t.sync_profile.c.id)))
        companies = list(conn.scalars(select(t.company.c.id).order_by(t.company.c.id)))
    for key in profiles:
        yield "change", partial(_remove_changes, profile=key, before=before, batch=batch)
    yield "hold", partial(_remove_holds, before=before, batch=batch)
    yield "plan", partial(_remove_plans, before=before, batch=batch)
    yield "sync_run", partial(_remove_runs, before=before)
    yield "sync_run", partial(_remove_quiet_runs, before=quiet_before)
    yield "former_item", partial(_remove_former_items, batch=batch)
    for key in companies:
        yield "bc_contact", partial(_remove_gone_contacts, company=key, before=before, batch=batch)
    for key in profiles:
        yield "outlook_contact", partial(_remove_gone_items, profile=key, before=before, batch=batch)
    yield "left_out", partial(_remove_left_out, before=before, batch=batch)
    yield "wish", partial(_remove_wishes, before=before, batch=batch)
    yield "claim", partial(_remove_claims, before=before, batch=batch)
    yield "undo", partial(_remove_undos, before=before, batch=batch)
    yield "dry_reject", partial(_remove_dry_rejects, before=before, batch=batch)
    yield "profile_change", partial(_remove_profile_changes, before=before, batch=batch)
    yield "drift_check", partial(_remove_drift_checks, before=before, batch=batch)


# -- the change log --------------------------------------------------------------------------------------------------


def _remove_changes(conn: Connection, profile: int, before: str, batch: int) -> int:
    c, p = t.change.c, t.plan.c
    old = (p.profile == profile, p.created_at < before, func.coalesce(c.ended_at, "") < before)
    rows = select(c.plan, c.n).select_from(t.change.join(t.plan, p.id == c.plan)).where(*old)
    rows = rows.where(~_needed(conn, profile)).limit(batch)
    return conn.execute(delete(t.change).where(tuple_(c.plan, c.n).in_(rows))).rowcount


def _needed(conn: Connection, profile: int) -> ColumnElement[bool]:
    """The changes of a profile that a later run still reads, however old they are."""
    c, p, h = t.change.c, t.plan.c, t.hold.c
    # What may have been sent and has no outcome is settled first of all (8.4); what broke off is looked into (2.8).
    unsettled = and_(c.state != "done", ~p.dry_run)
    in_force = select(h.id).where(h.plan == c.plan, h.state.in_(IN_FORCE)).correlate(t.change).exists()
    held = and_(func.coalesce(c.outcome, "") == Outcome.HELD, in_force)
    # A copy is distinguished from a person of its own by every name and address that its contact ever had here (2.6).
    copied = among(conn, func.coalesce(c.bc_id, ""), _copied(conn, profile))
    return or_(unsettled, held, copied)


def _copied(conn: Connection, profile: int) -> list[str]:
    """BC contacts whose key is on an item of the folder that is not coupled."""
    item, tie = t.outlook_contact.c, t.coupling.c
    coupled = select(tie.id).where(tie.profile == item.profile, tie.outlook_id == item.id).exists()
    present = (item.profile == profile, item.overlay == "", item.gone_since.is_(None))
    keys = conn.scalars(select(item.bc_key).where(*present, item.bc_key != "", ~coupled))
    return sorted({key.contact_id for text in keys if (key := BcKey.parse(text or ""))})


# -- holds, plans, runs ----------------------------------------------------------------------------------------------


def _remove_holds(conn: Connection, before: str, batch: int) -> int:
    c, h = t.change.c, t.hold.c
    old = (h.opened_at < before, func.coalesce(h.decided_at, "") < before, h.state.not_in(IN_FORCE))
    # Whoever reads a change of the log may ask who approved it.
    named = select(c.hold).where(c.profile == h.profile, c.hold == h.id).correlate(t.hold).exists()
    return _delete(conn, t.hold.c.id, select(h.id).where(*old, ~named).limit(batch))


def _remove_plans(conn: Connection, before: str, batch: int) -> int:
    p = t.plan.c
    changes = select(t.change.c.n).where(t.change.c.plan == p.id).correlate(t.plan).exists()
    holds = select(t.hold.c.id).where(t.hold.c.plan == p.id).correlate(t.plan).exists()
    return _delete(conn, p.id, select(p.id).where(p.created_at < before, ~changes, ~holds).limit(batch))


def _remove_runs(conn: Connection, before: str) -> int:
    r = t.sync_run.c
    named = or_(
        r.id.in_(select(t.plan.c.run)),
        r.id.in_(select(t.hold.c.run)),
        # What the pages show of a profile that has not run for long.
        r.id.in_(_last_runs()),
    )
    runs = list(conn.scalars(select(r.id).where(r.started_at < before, ~named).limit(RUNS)))
    for table in (t.run_profile, t.run_company):
        conn.execute(delete(table).where(table.c.run.in_(runs)))
    return conn.execute(delete(t.sync_run).where(r.id.in_(runs))).rowcount


def _remove_quiet_runs(conn: Connection, before: str) -> int:
    """Runs that had nothing to do: a run a minute leaves half a million of them a year."""
    r, own = t.sync_run.c, t.run_profile.c
    named = or_(r.id.in_(select(t.plan.c.run)), r.id.in_(select(t.hold.c.run)), r.id.in_(select(own.run)))
    quiet = (r.finds_work, r.found_at.is_not(None), r.state == "success", r.ended_at < before, ~named)
    runs = list(conn.scalars(select(r.id).where(*quiet).limit(RUNS)))
    conn.execute(delete(t.run_company).where(t.run_company.c.run.in_(runs)))
    return conn.execute(delete(t.sync_run).where(r.id.in_(runs))).rowcount


def _last_runs() -> Select[tuple[str]]:
    c = t.run_profile.c
    newest = select(c.run).where(c.profile == t.sync_profile.c.id, c.started_at.is_not(None))
    newest = newest.order_by(c.started_at.desc()).limit(1).correlate(t.sync_profile)
    # Not NULL, which would make it unknown of every run whether it is named.
    return select(func.coalesce(newest.scalar_subquery(), ""))


# -- snapshots -------------------------------------------------------------------------------------------------------


def _remove_gone_contacts(conn: Connection, company: int, before: str, batch: int) -> int:
    """Contacts that BC no longer has, and that nothing here refers to."""
    bc_contacts.lock_company(conn, company)
    row, ours = t.bc_contact.c, select(t.sync_profile.c.id).where(t.sync_profile.c.company == company)
    tie, log, left = t.coupling.c, t.change.c, t.reject.c
    named = or_(
        row.id.in_(select(tie.bc_id).where(tie.profile.in_(ours))),
        select(log.n).where(log.bc_id == row.id, log.profile.in_(ours)).correlate(t.bc_contact).exists(),
        row.id.in_(select(left.contact).where(left.profile.in_(ours), left.side == Side.BUSINESS_CENTRAL)),
    )
    gone = (row.company == company, row.overlay == "", row.gone_since < before)
    return _delete(conn, row.row_id, select(row.row_id).where(*gone, ~named).limit(batch))


def _remove_gone_items(conn: Connection, profile: int, before: str, batch: int) -> int:
    """Items that the folder no longer has, and that nothing here refers to."""
    outlook_items.lock_profile(conn, profile)
    row, tie, log, left = t.outlook_contact.c, t.coupling.c, t.change.c, t.reject.c
    named = or_(
        row.id.in_(select(tie.outlook_id).where(tie.profile == profile, tie.outlook_id.is_not(None))),
        row.id.in_(select(log.outlook_id).where(log.profile == profile, log.outlook_id.is_not(None))),
        row.id.in_(select(left.contact).where(left.profile == profile, left.side == Side.OUTLOOK)),
    )
    gone = (row.profile == profile, row.overlay == "", row.gone_since < before)
    return _delete(conn, row.row_id, select(row.row_id).where(*gone, ~named).limit(batch))


def _remove_former_items(conn: Connection, batch: int) -> int:
    """Items of contacts that are forgotten themselves: such a contact is blocked no more (rules 7.4)."""
    f, p, bc = t.former_item.c, t.sync_profile.c, t.bc_contact.c
    known = select(bc.row_id).where(bc.company == p.company, bc.overlay == "", bc.id == f.bc_id)
    rows = select(f.profile, f.outlook_id).join(t.sync_profile, p.id == f.profile)
    rows = rows.where(~known.correlate(t.sync_profile, t.former_item).exists()).limit(batch)
    return conn.execute(delete(t.former_item).where(tuple_(f.profile, f.outlook_id).in_(rows))).rowcount


# -- the rest --------------------------------------------------------------------------------------------------------


def _remove_claims(conn: Connection, before: str, batch: int) -> int:
    """Claims that no change can settle any more: their worker is long gone, and so is what it sent."""
    claim, c = t.claim.c, t.change.c
    unsettled = (c.profile == claim.profile, c.email_key == claim.email_key, c.state != "done")
    settling = select(c.n).where(*unsettled).correlate(t.claim).exists()
    key = tuple_(claim.company, claim.email_key)
    old = select(claim.company, claim.email_key).where(claim.claimed_at < before, ~settling).limit(batch)
    return conn.execute(delete(t.claim).where(key.in_(old))).rowcount


def _remove_dry_rejects(conn: Connection, before: str, batch: int) -> int:
    c = t.dry_reject.c
    key = tuple_(c.profile, c.side, c.contact, c.field)
    old = select(c.profile, c.side, c.contact, c.field).where(c.since < before).limit(batch)
    return conn.execute(delete(t.dry_reject).where(key.in_(old))).rowcount


def _remove_drift_checks(conn: Connection, before: str, batch: int) -> int:
    """All but the last one of each profile, by which the next night chooses whom to check."""
    c, later = t.drift_check.c, t.drift_check.alias("later").c
    newer = select(later.id).where(later.profile == c.profile, later.id > c.id).correlate(t.drift_check)
    return _delete(conn, c.id, select(c.id).where(c.at < before, newer.exists()).limit(batch))


def _remove_profile_changes(conn: Connection, before: str, batch: int) -> int:
    """All but the last one of each profile: old filters may name people."""
    c, later = t.profile_change.c, t.profile_change.alias("later").c
    newer = select(later.id).where(later.profile == c.profile, later.id > c.id).correlate(t.profile_change)
    return _delete(conn, c.id, select(c.id).where(c.at < before, newer.exists()).limit(batch))


def _remove_undos(conn: Connection, before: str, batch: int) -> int:
    c = t.undo.c
    return _delete(conn, c.id, select(c.id).where(c.ended_at < before).limit(batch))


def _remove_left_out(conn: Connection, before: str, batch: int) -> int:
    """What was taken back long ago, and what is left out of contacts that are forgotten themselves."""
    c, p, bc = t.left_out.c, t.sync_profile.c, t.bc_contact.c
    known = select(bc.row_id).where(bc.company == p.company, bc.overlay == "", bc.id == c.bc_id)
    forgotten = and_(c.left_at < before, ~known.correlate(t.sync_profile, t.left_out).exists())
    rows = select(c.id).join(t.sync_profile, p.id == c.profile).where(or_(c.back_at < before, forgotten))
    return _delete(conn, c.id, rows.limit(batch))


def _remove_wishes(conn: Connection, before: str, batch: int) -> int:
    c = t.wish.c
    return _delete(conn, c.id, select(c.id).where(c.ended_at < before).limit(batch))


def _delete(conn: Connection, key: ColumnElement[int], keys: Select[tuple[int]]) -> int:
    # The condition is judged inside the delete: what somebody else changes meanwhile is not removed.
    return conn.execute(delete(key.table).where(key.in_(keys))).rowcount
