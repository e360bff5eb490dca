"""Couplings, plans, changes and rejects in the staging database (rules 2 and 8)."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from functools import cache, lru_cache
from typing import Any, TypeVar

import pandas as pd
from sqlalchemy import (
    Boolean,
    ColumnElement,
    Connection,
    CursorResult,
    Select,
    and_,
    bindparam,
    case,
    delete,
    false,
    func,
    insert,
    or_,
    select,
    type_coerce,
    update,
)

from sync_lib.diff import LATE_CREATE, PlannedChange, Reject
from sync_lib.errors import LeaseLostError
from sync_lib.model import (
    Action,
    Coupling,
    CouplingState,
    Direction,
    Origin,
    Outcome,
    OutlookContact,
    Run,
    Side,
)
from sync_lib.store import clock, former_items, snapshots
from sync_lib.store import tables as t
from sync_lib.store.bulk import FrameQuery, among
from sync_lib.store.engine import is_postgresql
from sync_lib.store.profiles import Profile

T = TypeVar("T")

CHUNK = 500
#: The guard's windows, in seconds (rules 8.3).
DAY, HOUR = 86_400.0, 3_600.0
_JSON_COLUMNS = ("baseline_bc", "baseline_outlook", "refused", "former", "differs")


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def chunks(values: Sequence[T], size: int = CHUNK) -> Iterable[Sequence[T]]:
    """Yield ``values`` in pieces that fit the number of parameters a statement may have."""
    for start in range(0, len(values), size):
        yield values[start : start + size]


# -- couplings -------------------------------------------------------------------------------------------------------


def read_couplings(conn: Connection, profile: int, direction: str = "") -> pd.DataFrame:
    """Return what the diff needs of all couplings of a profile: integers, state, version. No row is 0.

    With a direction, a coupling asks for attention that lets a field differ because of another one (rules 7.9).
    """
    return _light_couplings(direction, is_postgresql(conn)).read(conn, {"profile": profile})


@cache
def _light_couplings(direction: str, postgresql: bool) -> FrameQuery:
    c = t.coupling.c
    others = [c.differs.contains(f':"{each}"', autoescape=True) for each in Direction if each != direction]
    decided_anew = or_(*others) if direction else false()
    attention = or_(c.attention, c.bc_fingerprint.is_(None), c.outlook_fingerprint.is_(None), decided_anew)
    wanted = select(
        c.id,
        c.bc_id,
        func.coalesce(c.bc_row, 0).label("bc_row"),
        func.coalesce(c.outlook_row, 0).label("outlook_row"),
        c.state,
        func.coalesce(c.bc_fingerprint, 0).label("bc_fingerprint"),
        func.coalesce(c.outlook_fingerprint, 0).label("outlook_fingerprint"),
        c.outlook_etag,
        type_coerce(case((attention, 1), else_=0), Boolean).label("attention"),
    ).where(c.profile == bindparam("profile"))
    return FrameQuery(wanted, postgresql=postgresql)


def read_coupling_rows(conn: Connection, profile: int, ids: Sequence[int]) -> list[Coupling]:
    """Return whole couplings by their ids."""
    found = []
    for part in chunks(ids):
        wanted = select(t.coupling).where(t.coupling.c.profile == profile, t.coupling.c.id.in_(part))
        found += [_coupling(row) for row in conn.execute(wanted).mappings()]
    return found


def read_live_couplings(conn: Connection, profile: int) -> list[Coupling]:
    """Return the whole couplings of a profile that are active or pinned."""
    c = t.coupling.c
    live = c.state.in_([CouplingState.ACTIVE, CouplingState.PINNED])
    rows = conn.execute(select(t.coupling).where(c.profile == profile, live).order_by(c.id))
    return [_coupling(row) for row in rows.mappings()]


def read_couplings_of(conn: Connection, profile: int, outlook_ids: Collection[str]) -> list[Coupling]:
    """Return the whole couplings of some items."""
    c = t.coupling.c
    wanted = select(t.coupling).where(c.profile == profile, among(conn, c.outlook_id, outlook_ids))
    return [_coupling(row) for row in conn.execute(wanted).mappings()]


def find_coupling(
    conn: Connection, profile: int, *, bc_id: str | None = None, outlook_id: str | None = None
) -> Coupling | None:
    """Return the coupling of one contact, named by either side, or None."""
    c = t.coupling.c
    wanted = c.bc_id == bc_id if bc_id else c.outlook_id == outlook_id
    row = conn.execute(select(t.coupling).where(c.profile == profile, wanted)).mappings().first()
    return _coupling(row) if row else None


def _coupling(row: Any) -> Coupling:
    parsed = {name: json.loads(row[name]) for name in _JSON_COLUMNS}
    return Coupling(
        id=row["id"],
        bc_id=row["bc_id"],
        bc_row=row["bc_row"],
        outlook_id=row["outlook_id"],
        outlook_row=row["outlook_row"],
        origin=Origin(row["origin"]),
        state=CouplingState(row["state"]),
        bc_fingerprint=row["bc_fingerprint"],
        outlook_fingerprint=row["outlook_fingerprint"],
        outlook_etag=row["outlook_etag"],
        attention=bool(row["attention"]),
        **parsed,
    )


def write_couplings(
    conn: Connection, profile: int, couplings: Iterable[Coupling], now: str
) -> list[Coupling]:
    """Insert the couplings that have no id yet, and update the others; return them all with their ids."""
    couplings = list(couplings)
    new: list[dict[str, Any]] = []
    known: list[dict[str, Any]] = []
    for coupling in couplings:
        values = {
            "profile": profile,
            "bc_id": coupling.bc_id,
            "bc_row": coupling.bc_row,
            "outlook_id": coupling.outlook_id,
            "outlook_row": coupling.outlook_row,
            "origin": coupling.origin,
            "state": coupling.state,
            "bc_fingerprint": coupling.bc_fingerprint,
            "outlook_fingerprint": coupling.outlook_fingerprint,
            "outlook_etag": coupling.outlook_etag,
            "attention": coupling.attention,
            "updated_at": now,
            **{name: _json(getattr(coupling, name)) for name in _JSON_COLUMNS},
        }
        (known if coupling.id else new).append(values | {"key": coupling.id})
    if known:
        names = [name for name in known[0] if name not in ("key", "profile")]
        statement = update(t.coupling).where(t.coupling.c.id == bindparam("key"))
        conn.execute(statement.values({name: bindparam(name) for name in names}), known)
    if new:
        rows = [
            {name: value for name, value in row.items() if name != "key"} | {"created_at": now} for row in new
        ]
        conn.execute(insert(t.coupling), rows)
    ids = _coupling_ids(conn, profile, [coupling.bc_id for coupling in couplings if not coupling.id])
    return [c if c.id else replace(c, id=ids[c.bc_id]) for c in couplings]


def _coupling_ids(conn: Connection, profile: int, bc_ids: Sequence[str]) -> dict[str, int]:
    c = t.coupling.c
    found: dict[str, int] = {}
    for part in chunks(bc_ids):
        wanted = select(c.bc_id, c.id).where(c.profile == profile, c.bc_id.in_(part))
        found |= {row.bc_id: row.id for row in conn.execute(wanted)}
    return found


def end_couplings(conn: Connection, ids: Sequence[int]) -> None:
    """Remove couplings (rules 2.1); their items are remembered for a privacy block (7.4)."""
    stored = [key for key in ids if key]
    if stored:
        former_items.remember_ended(conn, stored)
    for part in chunks(stored):
        conn.execute(delete(t.coupling).where(t.coupling.c.id.in_(part)))


def set_outlook_etags(conn: Connection, profile: int, etags: dict[str, str]) -> None:
    """Record the versions that our own writes gave to coupled items, so that they do not look edited."""
    c = t.coupling.c
    statement = update(t.coupling).where(c.profile == profile, c.outlook_id == bindparam("key"))
    rows = [{"key": outlook_id, "etag": etag} for outlook_id, etag in etags.items()]
    if rows:
        conn.execute(statement.values(outlook_etag=bindparam("etag")), rows)


def follow_own_write(conn: Connection, profile: int, before: OutlookContact, after: OutlookContact) -> None:
    """Record the version that a write of ours gave to an item, where ``before`` is the one that we had last seen.

    An item that its owner edited meanwhile goes on looking edited.
    """
    coupled, staged = t.coupling.c, t.outlook_contact.c
    seen = (coupled.profile == profile, coupled.outlook_id == before.id, coupled.outlook_etag == before.etag)
    conn.execute(update(t.coupling).where(*seen).values(outlook_etag=after.etag))
    rows = (staged.profile == profile, staged.id == before.id, staged.etag == before.etag)
    values = {"etag": after.etag, "last_modified": after.last_modified}
    conn.execute(update(t.outlook_contact).where(*rows).values(**values))


def count_attention(conn: Connection, profile: int) -> int:
    """Return how many live couplings the next diff must look at, whatever the fingerprints say."""
    c = t.coupling.c
    live = c.state.in_([CouplingState.ACTIVE, CouplingState.PINNED])
    return int(conn.scalar(select(func.count()).where(c.profile == profile, live, c.attention)) or 0)


# -- plans -----------------------------------------------------------------------------------------------------------


def write_plan(conn: Connection, values: dict[str, Any], changes: Sequence[PlannedChange]) -> int:
    """Store a plan with its changes, before anything is applied (rules 8.1); return its id."""
    result = conn.execute(insert(t.plan).values(values | {"created_at": clock.moment(conn)}))
    assert result.inserted_primary_key is not None
    plan = int(result.inserted_primary_key[0])
    now = clock.now(conn)
    rows = [_change_row(plan, values["profile"], change, now) for change in changes]
    if rows:
        conn.execute(insert(t.change), rows)
    return plan


def _change_row(plan: int, profile: int, change: PlannedChange, now: str) -> dict[str, Any]:
    done = change.outcome is not None
    return {
        "plan": plan,
        "n": change.n,
        "profile": profile,
        "action": change.action,
        "coupling": change.coupling.id if change.coupling else None,
        "bc_id": change.bc_id,
        "outlook_id": change.outlook_id,
        "email_key": change.email_key,
        "before": _json(change.before),
        "after": _json(change.after),
        "source": _json(change.source),
        "losing": _json(change.losing),
        "etag": _etag(change),
        "cause": change.cause,
        "reason": change.reason,
        "digest": change.digest,
        "guard_class": change.guard_class,
        "hold": change.hold,
        "state": "done" if done else "planned",
        "outcome": change.outcome,
        "ended_at": now if done else None,
    }


def _etag(change: PlannedChange) -> str:
    side = change.bc if change.action is Action.UPDATE_BC else change.item
    return side.etag if side else ""


def begin_sending(conn: Connection, plan: int, numbers: Sequence[int], fencing: int) -> None:
    """Set changes to ``sending``, by compare-and-set (rules 8.4): once this is committed, each may be carried out.

    Raises:
        LeaseLostError: One of them is no longer ``planned``; another worker has taken over.
    """
    c = t.change.c
    statement = update(t.change).where(c.plan == plan, c.n.in_(numbers), c.state == "planned")
    result = conn.execute(statement.values(state="sending", fencing=fencing, sent_at=clock.moment(conn)))
    if result.rowcount != len(numbers):
        raise LeaseLostError(f"Plan {plan} was taken over by another worker.")


def finish_changes(conn: Connection, plan: int, results: Iterable[tuple[int, Outcome, str, str]]) -> None:
    """Record outcome, reason and request id of changes of one plan. An ``unknown`` one stays to be settled."""
    rows = [
        {
            "key_plan": plan,
            "key_n": n,
            "state": "sending" if outcome is Outcome.UNKNOWN else "done",
            "outcome": outcome,
            "reason": reason,
            "request_id": request_id,
        }
        for n, outcome, reason, request_id in results
    ]
    if rows:
        names = ("state", "outcome", "reason", "request_id")
        statement = update(t.change).where(
            t.change.c.plan == bindparam("key_plan"), t.change.c.n == bindparam("key_n")
        )
        statement = statement.values({name: bindparam(name) for name in names})
        conn.execute(statement.values(ended_at=clock.moment(conn)), rows)


def has_planned(conn: Connection, profile: int) -> bool:
    """Return whether a load of this profile broke off before it had sent all that it was to send."""
    return conn.execute(_REALLY_PLANNED, {"of_profile": profile}).first() is not None


def give_up_planned(conn: Connection, profile: int, reason: str) -> None:
    """Close changes that were planned and never sent, for example by a worker that was killed."""
    of_profile = {"of_profile": profile}
    # Hardly ever are there any, and looking is cheaper than writing.
    if conn.execute(_PLANNED, of_profile).first() is not None:
        ended = {"state": "done", "outcome": Outcome.SKIPPED, "reason": reason}
        conn.execute(_END_PLANNED.values(ended_at=clock.moment(conn)), of_profile | ended)


_IS_PLANNED = and_(t.change.c.profile == bindparam("of_profile"), t.change.c.state == "planned")
_PLANNED = select(t.change.c.n).where(_IS_PLANNED).limit(1)
_REALLY_PLANNED = _PLANNED.join(t.plan, t.plan.c.id == t.change.c.plan).where(~t.plan.c.dry_run)
_END_PLANNED = update(t.change).where(_IS_PLANNED)


def read_unsettled(conn: Connection, profile: int) -> list[dict[str, Any]]:
    """Return the changes that may have been carried out and have no final outcome, oldest first."""
    return _parsed(conn.execute(_UNSETTLED, {"profile": profile}))


def read_mismatched(conn: Connection, plan: int) -> list[dict[str, Any]]:
    """Return the updates of a plan that met another version than they were made for, and keys with them."""
    c = t.change.c
    updates = c.action.in_([Action.COUPLE, Action.UPDATE_OUTLOOK, Action.UPDATE_BC])
    wanted = select(t.change).where(c.plan == plan, updates, c.reason == "version_mismatch")
    return _parsed(conn.execute(wanted.order_by(c.n)))


_UNSETTLED = (
    select(t.change)
    .where(t.change.c.profile == bindparam("profile"), t.change.c.state == "sending")
    .order_by(t.change.c.plan, t.change.c.n)
)


def _parsed(found: CursorResult[Any]) -> list[dict[str, Any]]:
    rows = [dict(row) for row in found.mappings()]
    for row in rows:
        for name in ("before", "after", "source"):
            row[name] = json.loads(row[name])
    return rows


# -- what the guard counts -------------------------------------------------------------------------------------------


def read_recent(conn: Connection, profile: int) -> dict[str, frozenset[str]]:
    """Return, by class, the contacts that this profile wrote in the last 24 hours without an approval (rules 8.3).

    What was sent and has no answer yet may have been written.
    """
    found: dict[str, set[str]] = {}
    for row in conn.execute(_written_by(clock.moment(conn, -DAY)), {"profile": profile}):
        found.setdefault(row.guard_class, set()).add(row.bc_id or row.outlook_id or "")
    return {name: frozenset(contacts) for name, contacts in found.items()}


@lru_cache(maxsize=16)
def _written_by(since: ColumnElement[str]) -> Select[Any]:
    c = t.change.c
    counted = (c.guard_class != "", c.hold.is_(None), _written_since(since))
    return select(c.guard_class, c.bc_id, c.outlook_id).where(c.profile == bindparam("profile"), *counted)


def lock_company(conn: Connection, company: int) -> None:
    """Let one plan of a company at a time be counted and stored, until the transaction ends."""
    wanted = select(t.company.c.id).where(t.company.c.id == company)
    # Rows that refer to the company may be written meanwhile: its key is not touched.
    conn.execute(wanted.with_for_update(key_share=True))


def count_company_writes(conn: Connection, company: int) -> int:
    """Return how many writes to BC were done, or are reserved, in the last hour for a company, over all profiles.

    A stored plan is the reservation: what it has not written by its end it gives back, and a retry closes what its
    first try left. What a person approved does not count. The caller has locked the company.
    """
    c = t.change.c
    ours = select(t.sync_profile.c.id).where(t.sync_profile.c.company == company)
    p, since = t.plan.c, clock.moment(conn, -HOUR)
    stored = (
        select(p.id).where(p.id == c.plan, ~p.dry_run, p.created_at >= since).correlate(t.change).exists()
    )
    reserved = and_(c.state == "planned", stored)
    wanted = select(func.count()).where(
        c.profile.in_(ours),
        c.action.in_([Action.CREATE_BC, Action.UPDATE_BC]),
        c.hold.is_(None),
        or_(reserved, _written_since(since)),
    )
    return int(conn.scalar(wanted) or 0)


def _written_since(since: ColumnElement[str]) -> ColumnElement[bool]:
    c = t.change.c
    done = c.outcome.in_([Outcome.CREATED, Outcome.UPDATED, Outcome.DELETED])
    return or_(and_(done, c.ended_at >= since), and_(c.state == "sending", c.sent_at >= since))


def read_known_values(
    conn: Connection, profile: int, bc_ids: Sequence[str]
) -> list[tuple[str, dict[str, str]]]:
    """Return (BC id, values) of everything that the change log holds of these contacts (rules 2.6)."""
    c = t.change.c
    found = []
    for part in chunks(bc_ids):
        wanted = select(c.bc_id, c.before, c.after, c.losing).where(c.profile == profile, c.bc_id.in_(part))
        for row in conn.execute(wanted):
            found += [(row.bc_id, json.loads(text)) for text in (row.before, row.after, row.losing)]
    return found


def read_lost_creates(
    conn: Connection, profile: int, bc_ids: Sequence[str]
) -> dict[str, list[dict[str, str]]]:
    """Return, by BC id, the values of creates in Outlook whose item nobody has seen, so that it may yet turn up.

    A late create that was deleted accounts for one of them.
    """
    c = t.change.c
    creates = and_(c.action == Action.CREATE_OUTLOOK, c.sent_at.is_not(None))
    lost = and_(creates, or_(c.state == "sending", c.reason.in_([LATE_CREATE, "not_carried_out"])))
    deleted = and_(c.cause == LATE_CREATE, c.outcome == Outcome.DELETED)
    found: dict[str, list[dict[str, str]]] = {}
    for part in chunks(bc_ids):
        wanted = select(c.bc_id, c.cause, c.after).where(c.profile == profile, c.bc_id.in_(part))
        for row in conn.execute(wanted.where(or_(lost, deleted)).order_by(c.plan, c.n)):
            sent = found.setdefault(row.bc_id, [])
            if row.cause != LATE_CREATE:
                sent.append(json.loads(row.after))
            elif sent:
                sent.pop(0)
    return {bc_id: sent for bc_id, sent in found.items() if sent}


# -- rejects ---------------------------------------------------------------------------------------------------------


_REJECTS = select(*(t.reject.c[name] for name in ("side", "contact", "field", "outcome", "reason"))).where(
    t.reject.c.profile == bindparam("profile")
)
_DRY_REJECTS = delete(t.dry_reject).where(t.dry_reject.c.profile == bindparam("profile"))


def replace_rejects(conn: Connection, profile: int, rejects: Iterable[Reject], run: str, now: str) -> None:
    """Make the standing rejects of a profile those given; rows that stay as they are are not written.

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
    """Make what a dry run would leave out those given, with the contacts' names, beside the standing rejects."""
    _drop_dry_rejects(conn, profile.id)
    found = {(r.side, r.contact, r.field): r for r in rejects}.values()
    if not found:
        return
    told = _names(conn, profile, run.overlay, found)
    rows = []
    for r in found:
        row = _reject_row(profile.id, (r.side, r.contact, r.field), (r.outcome, r.reason), run.id, now)
        name, email = told.get((r.side, r.contact), ("", ""))
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
    people = snapshots.read_bc_rows(
        conn, profile.company or 0, ids=ids[Side.BUSINESS_CENTRAL], overlay=overlay
    )
    items = snapshots.read_outlook_records(conn, profile.id, ids[Side.OUTLOOK], overlay)
    named = {(Side.BUSINESS_CENTRAL, row["id"]): (row["name"], row["email"]) for row in people}
    return named | {(Side.OUTLOOK, key): (row["name"], row["email_key"]) for key, row in items.items()}
