"""Which profiles have work: what is known of each without asking a service, and what was decided (architecture 1).

``cursor.due_at`` says when a profile has something to do although nothing changes, by the staging database's clock:

* ``runs.DUE``: now. Written when it is mapped, and when its task begins; the comparison behind that says when next.
* ``ASKED``: now, since a person decided something. Only a task that begins after that takes it away.
* A time: of the next try of something that was refused for a reason that may pass.
* None: not until something changes.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from typing import Any

from sqlalchemy import (
    Connection,
    Select,
    Text,
    Update,
    and_,
    bindparam,
    case,
    cast,
    func,
    or_,
    select,
    update,
)

from sync_lib.fields.bc_columns import COLUMN_NAMES
from sync_lib.model import HeldState, ProfileResult, Run
from sync_lib.store import clock, runs
from sync_lib.store import tables as t
from sync_lib.store.bulk import among, among_named, read_tuples
from sync_lib.store.engine import is_postgresql
from sync_lib.store.runs import DUE, Cursor

ASKED = ""

#: State of a profile that a run gave no task, since there was nothing to do.
QUIET = "quiet"

#: Seconds to the second task of a mailbox that fails its question; each further gap is twice as long, up to an hour.
FIRST_GAP, LONGEST_GAP = 300.0, 3600.0
#: Seconds after which the link of an empty answer replaces the stored one.
LINK_AGE = 6 * 3600.0


class Why(StrEnum):
    """What a profile is mapped for."""

    NEW = "never_synced"
    DUE = "due"
    FULL = "full_due"
    SETTINGS = "settings"
    PERSON = "person"
    OUTLOOK = "outlook"
    MAILBOX = "mailbox"
    BUSINESS_CENTRAL = "business_central"
    UNDECIDED = "undecided"


@dataclass(frozen=True, slots=True)
class Look:
    """What is known of a profile: its cursor, and what of it is due.

    Attributes:
        cursor: Where its next read starts.
        looked: The generation of its company that it was looked at with, or compared; None: neither.
        due_at: As above.
        linked_at: When the delta link was given.
        ask_failures: How often in a row its question failed.
        ask_due: When its task says again why; None: it did not fail.
    """

    cursor: Cursor
    looked: int | None
    due_at: str | None
    linked_at: str | None
    ask_failures: int
    ask_due: str | None


_K = t.cursor.c
_OWN = ("looked_generation", "due_at", "linked_at", "ask_failures", "ask_due")
_LOOKS = select(_K.scope, *(_K[name] for name in (*Cursor.__dataclass_fields__, *_OWN))).where(
    _K.side == "outlook"
)
_IS_PROFILE = and_(_K.side == "outlook", _K.scope == bindparam("of_scope"))


def read_looks(conn: Connection) -> dict[int, Look]:
    """Return what is known of each profile that a run has begun to work on."""
    found = {}
    for scope, *values in read_tuples(conn, _LOOKS, {}):
        cursor = Cursor(*values[: -len(_OWN)])
        looked, *rest = values[-len(_OWN) :]
        seen = [each for each in (looked, cursor.diffed_generation) if each is not None]
        found[int(scope)] = Look(cursor, max(seen, default=None), *rest)
    return found


# -- one profile -----------------------------------------------------------------------------------------------------

_BEGIN = update(t.cursor).where(_IS_PROFILE).values(due_at=DUE)
_END = (
    update(t.cursor)
    .where(_IS_PROFILE)
    .values(
        due_at=case((_K.due_at == ASKED, ASKED), else_=bindparam("due", type_=Text)),
        ask_failures=0,
        ask_due=None,
    )
)


def begin(conn: Connection, profile: int) -> None:
    """Let a profile be due until a comparison says otherwise: its task may get no further."""
    conn.execute(_BEGIN, {"of_scope": str(profile)})


def end(conn: Connection, profile: int, due: str | None) -> None:
    """Say when a profile is due next, unless a person has decided something meanwhile."""
    conn.execute(_END, {"of_scope": str(profile), "due": due})


def ask(conn: Connection, profiles: Collection[int]) -> None:
    """Let some profiles be compared by their next run, whatever is under way now."""
    if profiles:
        scopes = [str(profile) for profile in profiles]
        due = update(t.cursor).where(_K.side == "outlook", among(conn, _K.scope, scopes))
        conn.execute(due.values(pending=True, due_at=ASKED))


# -- what persons want, and who is at work ---------------------------------------------------------------------------


def read_wanted(conn: Connection) -> set[int]:
    """Return the profiles of which a person wants something that is not carried out yet."""
    queries = (
        select(t.undo.c.profile).where(t.undo.c.state == "open"),
        select(t.wish.c.profile).where(t.wish.c.ended_at.is_(None)),
        select(t.held_action.c.profile).where(t.held_action.c.state == HeldState.APPROVED),
    )
    return {int(profile) for query in queries for profile in conn.scalars(query.distinct())}


def read_postponed(conn: Connection) -> set[int]:
    """Return the profiles of which something waits for its next try."""
    return set(conn.scalars(select(t.postponed.c.profile).distinct()))


def read_left_out(conn: Connection) -> dict[int, set[str]]:
    """Return which contacts of BC persons leave out of each folder."""
    c, found = t.left_out.c, dict[int, set[str]]()
    for profile, contact in conn.execute(select(c.profile, c.bc_id).where(c.back_at.is_(None))):
        found.setdefault(profile, set()).add(contact)
    return found


def read_busy(conn: Connection) -> set[int]:
    """Return the profiles that a run works on now."""
    c = t.lease.c
    held = and_(c.key.like("profile:%"), c.holder != "", c.expires_at > clock.seconds(conn))
    return {int(key.partition(":")[2]) for key in conn.scalars(select(c.key).where(held))}


# -- what changed in Business Central --------------------------------------------------------------------------------

#: What is read of a contact that changed.
CHANGED_COLUMNS = (
    *("id", "generation", "fingerprint", "email_key", "company_key", "gone_since"),
    *COLUMN_NAMES,
)


def read_changed(conn: Connection, company: int, since: int, most: int) -> list[tuple[Any, ...]]:
    """Return ``CHANGED_COLUMNS`` of the contacts of a company that changed behind a generation, up to ``most``."""
    c = t.bc_contact.c
    wanted = select(*(c[name] for name in CHANGED_COLUMNS))
    newer = (c.company == company, c.overlay == "", c.generation > since)
    return list(read_tuples(conn, wanted.where(*newer).order_by(c.generation, c.id).limit(most), {}))


def read_couplings(
    conn: Connection, contacts: Collection[str]
) -> dict[tuple[int, str], tuple[str, int | None]]:
    """Return state and fingerprint of BC's side in agreement of the couplings of some contacts, in any profile."""
    c = t.coupling.c
    wanted = select(c.profile, c.bc_id, c.state, case((c.attention, None), else_=c.bc_fingerprint))
    rows = read_tuples(conn, wanted.where(among(conn, c.bc_id, contacts)), {})
    return {(profile, contact): (state, fingerprint) for profile, contact, state, fingerprint in rows}


def read_former(conn: Connection, contacts: Collection[str], keys: Collection[str]) -> set[int]:
    """Return the profiles of which an item stood for one of some contacts, or carries a key of one (rules 7.4)."""
    f, item = t.former_item.c, t.outlook_contact.c
    former = select(f.profile).where(among(conn, f.bc_id, contacts))
    keyed = select(item.profile).where(item.overlay == "", among(conn, func.lower(item.bc_key), keys))
    return {int(profile) for query in (former, keyed) for profile in conn.scalars(query.distinct())}


# -- what was decided ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a profile that got no task."""

    profile: int
    state: str
    reason: str
    message: str


def read_failing(conn: Connection) -> dict[int, tuple[str, str]]:
    """Return why the mailboxes that fail for a cause of their own do, by profile: the reason, and what was said."""
    c, rp = t.profile_cause.c, t.run_profile.c
    last = select(rp.message).where(
        rp.profile == c.profile, rp.reason == c.reason, rp.started_at.is_not(None)
    )
    last = last.order_by(rp.started_at.desc()).limit(1).correlate(t.profile_cause)
    rows = conn.execute(select(c.profile, c.reason, func.coalesce(last.scalar_subquery(), "")))
    return {profile: (reason, message) for profile, reason, message in rows}


def drop_undecided(conn: Connection, run: str) -> None:
    """Forget what an earlier try decided about profiles that got no task; mapped ones keep their places."""
    c = t.run_profile.c
    conn.execute(t.run_profile.delete().where(c.run == run, c.map_index.is_(None)))


def write_outcomes(conn: Connection, run: str, outcomes: Iterable[Outcome], now: str) -> None:
    """Store the outcomes of profiles that got no task."""
    rows = [
        {
            "run": run,
            "profile": each.profile,
            "chunk": "",
            "state": each.state,
            "reason": each.reason,
            "message": each.message,
            "started_at": now,
            "ended_at": now,
        }
        for each in outcomes
    ]
    if rows:
        conn.execute(t.run_profile.insert(), rows)


def note_mapped(conn: Connection, profiles: Collection[int]) -> None:
    """Let mapped profiles be due until they have compared: their tasks may never begin."""
    scopes = [str(profile) for profile in profiles]
    conn.execute(_make_due(is_postgresql(conn)), {"scopes": scopes})


@cache
def _make_due(postgresql: bool) -> Update:
    ours = (_K.side == "outlook", among_named(_K.scope, "scopes", postgresql=postgresql))
    return update(t.cursor).where(*ours).values(due_at=DUE)


def note_quiet(conn: Connection, profiles: Collection[int], generation: int, now: str) -> None:
    """Note that profiles of one company were looked at: nothing is left to do. Nothing is set back by that."""
    scopes = [str(profile) for profile in profiles]
    looked = case(
        (or_(_K.looked_generation.is_(None), _K.looked_generation < generation), generation),
        else_=_K.looked_generation,
    )
    good = case((func.coalesce(_K.last_good_at, "") < now, now), else_=_K.last_good_at)
    quiet = update(t.cursor).where(_K.side == "outlook", among(conn, _K.scope, scopes))
    conn.execute(quiet.values(looked_generation=looked, last_good_at=good, ask_failures=0, ask_due=None))


def note_failures(conn: Connection, failures: Mapping[int, int]) -> None:
    """Note how often in a row the question about some mailboxes has failed, and when a task says again why."""
    gaps = {n: min(LONGEST_GAP, FIRST_GAP * 2.0 ** min(max(n - 1, 0), 10)) for n in failures.values()}
    due = {n: clock.now(conn, gap) for n, gap in gaps.items()}
    rows = [
        {"of_scope": str(profile), "failures": n, "due": due[n]} for profile, n in sorted(failures.items())
    ]
    if rows:
        noted: dict[str, Any] = {"ask_failures": bindparam("failures"), "ask_due": bindparam("due")}
        conn.execute(update(t.cursor).where(_IS_PROFILE).values(noted), rows)


def renew_links(conn: Connection, links: Mapping[int, tuple[str, str]]) -> None:
    """Replace delta links, each as (stored, new), where the stored one is still that."""
    rows = [
        {"of_scope": str(profile), "stored": stored, "new": new} for profile, (stored, new) in links.items()
    ]
    if rows:
        same = update(t.cursor).where(_IS_PROFILE, _K.position == bindparam("stored"))
        conn.execute(same.values(position=bindparam("new"), linked_at=clock.now(conn)), rows)


@cache
def _quiet() -> Select[Any]:
    p, seen, own = t.sync_profile.c, t.comparison.c, t.run_profile.c
    worked_on = select(own.profile).where(own.run == bindparam("run"), own.profile == p.id)
    return (
        select(p.id, p.mailbox, p.company_name, _K.last_good_at, seen.compared_at, seen.counters)
        .outerjoin(t.cursor, and_(_K.side == "outlook", _K.scope == cast(p.id, Text)))
        .outerjoin(t.comparison, seen.profile == p.id)
        .where(p.enabled, p.ended_at.is_(None), ~worked_on.correlate(t.sync_profile).exists())
        .order_by(p.mailbox, p.id)
    )


def read_outcomes(conn: Connection, run: Run) -> list[ProfileResult]:
    """Return what became of each profile of a run: those that it worked on, and those that it found quiet.

    The latter have the figures of their last comparison, and when that was (rules 8.8). Where nobody has decided who
    has work, they have no outcome.
    """
    results = runs.read_profile_results(conn, run.id)
    if not run.finds_work:
        return results
    state = "planned" if run.found_at is None else QUIET
    for key, mailbox, company, good, compared_at, counters in read_tuples(conn, _quiet(), {"run": run.id}):
        if state == QUIET and good is None:
            continue  # It was added, or switched on, behind the decision.
        figures = json.loads(counters or "{}") | {"writes": {}, "planned": {}}
        other = ProfileResult(key, mailbox, company, state, "", "", figures, good, compared_at or "")
        results.append(other)
    return sorted(results, key=lambda result: (result.mailbox, result.profile))
