"""What keeps workers out of each other's way: leases, BC's shared budget, and claims on creates (rules 8.7 and 8.9).

Leases and the budget go by the database's own clock, so that no two workers disagree about the time.
"""

from __future__ import annotations

import contextlib
import logging
import math
import random
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cache, lru_cache
from types import TracebackType
from typing import Any, Self

from sqlalchemy import (
    BindParameter,
    ColumnElement,
    Connection,
    Double,
    Engine,
    Executable,
    Select,
    and_,
    bindparam,
    delete,
    or_,
    select,
    update,
)
from sqlalchemy.dialects import postgresql as postgres
from sqlalchemy.dialects import sqlite
from sqlalchemy.exc import DBAPIError

from sync_lib.errors import LeaseExpiredError, LeaseLostError, StagingAwayError
from sync_lib.fields import normal_forms
from sync_lib.ports import SYSTEM, Clock
from sync_lib.store import clock
from sync_lib.store import tables as t
from sync_lib.store.clock import read_seconds
from sync_lib.store.engine import is_postgresql, transaction, unbroken

logger = logging.getLogger(__name__)


def _upsert(postgresql: bool) -> Callable[..., postgres.Insert | sqlite.Insert]:
    return postgres.insert if postgresql else sqlite.insert


# -- leases ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to work on a profile or company, as long as ``fencing`` is still the number in the database."""

    key: str
    holder: str
    fencing: int


def acquire_lease(engine: Engine, key: str, holder: str, seconds: float) -> Lease | None:
    """Return the lease, or None while somebody else holds it and it has not expired.

    Each acquisition has a higher fencing number than all before it. A holder that asks again gets the lease anew:
    what stands under its name but with the older number (a first try that still lives) has lost it.
    """
    take = _take_lease(is_postgresql(engine), clock.seconds(engine))
    with transaction(engine) as conn:
        fencing = conn.execute(take, {"key": key, "holder": holder, "seconds": seconds}).scalar()
    return None if fencing is None else Lease(key, holder, fencing)


@lru_cache(maxsize=16)
def _take_lease(postgresql: bool, now: ColumnElement[float]) -> Executable:
    lease = t.lease
    expires_at = now + bindparam("seconds", type_=Double)
    new = _upsert(postgresql)(lease).values(
        key=bindparam("key"), holder=bindparam("holder"), fencing=1, expires_at=expires_at
    )
    return new.on_conflict_do_update(
        index_elements=[lease.c.key],
        set_={"holder": new.excluded.holder, "fencing": lease.c.fencing + 1, "expires_at": expires_at},
        where=or_(lease.c.expires_at <= now, lease.c.holder == new.excluded.holder),
    ).returning(lease.c.fencing)


def renew_lease(engine: Engine, lease: Lease, seconds: float) -> None:
    """Let the lease last ``seconds`` from now. One that expired is renewed if nobody has taken it meanwhile.

    Raises:
        LeaseLostError: Somebody has taken it.
    """
    renewed = _CHANGE_LEASE.values(expires_at=clock.seconds(engine) + seconds)
    with transaction(engine) as conn:
        if not conn.execute(renewed, _key_of(lease)).rowcount:
            raise _lost(lease)


def check_lease(conn: Connection, lease: Lease) -> None:
    """Make sure that the lease is held, and let nobody take it before the caller's transaction ends.

    Raises:
        LeaseLostError: It was taken; roll the transaction back.
        LeaseExpiredError: Nobody renewed it, and nobody has taken it yet; roll the transaction back.
    """
    found = conn.execute(_held_lease(clock.seconds(conn)), _key_of(lease)).first()
    if found is None:
        raise _lost(lease)
    if not found[0]:
        raise LeaseExpiredError(f"The lease {lease.key} ({lease.fencing}) expired before it was renewed.")


def release_lease(engine: Engine, lease: Lease) -> None:
    """Give the lease back, if it is still ours. Its row stays, because fencing numbers never start again."""

    def release() -> None:
        with transaction(engine) as conn:
            conn.execute(_CHANGE_LEASE, _key_of(lease) | {"holder": "", "expires_at": 0.0})

    # A lease that stays behind is one of nobody: the next try would take it for another run, and skip the profile.
    unbroken(release)


_IS_HELD = and_(
    t.lease.c.key == bindparam("of_key"),
    t.lease.c.holder == bindparam("of_holder"),
    t.lease.c.fencing == bindparam("of_fencing"),
)
_CHANGE_LEASE = update(t.lease).where(_IS_HELD)


@lru_cache(maxsize=16)
def _held_lease(now: ColumnElement[float]) -> Select[Any]:
    return select(t.lease.c.expires_at > now).where(_IS_HELD).with_for_update(read=True)


def _key_of(lease: Lease) -> dict[str, Any]:
    return {"of_key": lease.key, "of_holder": lease.holder, "of_fencing": lease.fencing}


def _lost(lease: Lease) -> LeaseLostError:
    return LeaseLostError(f"Another worker took over {lease.key} (lease {lease.fencing}).")


class LeaseKeeper:
    """Renews a lease in the background while the block runs; does not release it.

    Args:
        engine: The staging database.
        lease: As ``acquire_lease`` gave it.
        seconds: How long each renewal lasts; it is renewed after a third of that.
        clock: Says when a third has passed.
    """

    def __init__(
        self,
        engine: Engine,
        lease: Lease,
        seconds: float,
        *,
        clock: Clock = SYSTEM,
    ) -> None:
        self._engine = engine
        self._lease = lease
        self._seconds = seconds
        self._lost = False
        self._renewals = clock.every(seconds / 3, self._renew)

    def __enter__(self) -> Self:
        self._renewals.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._renewals.__exit__(kind, error, trace)

    def check(self) -> None:
        """Raise when the lease was found lost; costs nothing, so call it before each write to a service.

        Raises:
            LeaseLostError: Another worker has the lease.
        """
        if self._lost:
            raise _lost(self._lease)

    def _renew(self) -> bool:
        """Renew once; return whether there is anything left to renew."""
        try:
            renew_lease(self._engine, self._lease, self._seconds)
        except LeaseLostError:
            self._lost = True
        except (DBAPIError, StagingAwayError):
            # The database is away: the next renewal may reach it. ``check_lease`` decides before each write.
            logger.warning("lease %s could not be renewed now", self._lease.key)
        return not self._lost


# -- BC's budget -----------------------------------------------------------------------------------------------------

# Slices that a window is counted in: the finer, the less is given away at its edge, and the more rows there are.
_SLICES = 50
_SHORTEST_WAIT, _LONGEST_WAIT = 0.01, 0.25


@dataclass(frozen=True, slots=True)
class _Taken:
    slot: int
    slice: int


@dataclass(frozen=True, slots=True, kw_only=True)
class BcLimits:
    """How much may be sent to BC.

    Attributes:
        concurrency: Requests in flight.
        window_requests: Operations per window.
        window: Seconds.
        slot_seconds: Longer than the longest request: a process that died gives its slot back after so long.
    """

    concurrency: int
    window_requests: int
    window: float
    slot_seconds: float


class BcBudget:
    """What all processes together may send to BC: so many at a time, so many per window, nothing during a pause.

    An operation counts from before it is sent until ``window`` seconds after its answer, since BC may count it at any
    moment between the two. A request costs two short transactions.

    Args:
        engine: The staging database.
        scope: Whose budget it is: tenant and environment.
        concurrency, window_requests, window, slot_seconds: As in ``BcLimits``.
        clock: Reads the time inside a transaction; the database's own, except in tests.
        sleep: Waits, outside any transaction.
        jitter: Yields 0 to 1: the part of each wait that keeps waiting processes from coming back together.
    """

    def __init__(  # noqa: PLR0913 - the limits, and what tests replace
        self,
        engine: Engine,
        scope: str,
        *,
        concurrency: int,
        window_requests: int,
        window: float,
        slot_seconds: float,
        clock: Callable[[Connection], float] | None = None,
        sleep: Callable[[float], None] = time.sleep,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._engine = engine
        self._scope = scope
        self._limits = BcLimits(
            concurrency=concurrency, window_requests=window_requests, window=window, slot_seconds=slot_seconds
        )
        self._clock = clock or read_seconds
        self._sleep = sleep
        self._jitter = jitter

    @contextlib.contextmanager
    def slot(self, operations: int = 1) -> Iterator[None]:
        """Wait until so many operations may be sent, and count them; the block is the request in flight."""
        holder = uuid.uuid4().hex
        spread = _SHORTEST_WAIT
        while not isinstance(taken := self._take(holder, operations), _Taken):
            self._sleep(taken + spread * self._jitter())
            spread = min(2 * spread, _LONGEST_WAIT)
        try:
            yield
        finally:
            # A slot that stays behind is lost to all processes until the longest request has passed. Given back twice,
            # operations of others may count for longer than they have to.
            unbroken(lambda: self._give_back(holder, taken, operations))

    def pause(self, seconds: float) -> None:
        """Let nothing pass, in any process, for a while: BC asked us to wait."""
        with transaction(self._engine) as conn:
            self._lock(conn)
            until = self._clock(conn) + seconds
            later = and_(t.budget.c.scope == self._scope, t.budget.c.not_before < until)
            conn.execute(update(t.budget).where(later).values(not_before=until))

    def _take(self, holder: str, operations: int) -> _Taken | float:
        """Take a slot, or return how many seconds must pass before it is worth another try."""
        with transaction(self._engine) as conn:
            not_before = self._lock(conn)
            now = self._clock(conn)
            wait = max(not_before - now, self._window_wait(conn, now, operations))
            if wait > 0:
                return wait
            slot = self._free_slot(conn, now)
            if slot is None:
                return _SHORTEST_WAIT
            self._write_slot(conn, slot, holder, now + self._limits.slot_seconds)
            self._count(conn, self._slice(now), operations)
            return _Taken(slot, self._slice(now))

    def _give_back(self, holder: str, taken: _Taken, operations: int) -> None:
        free = {"of_scope": self._scope, "of_slot": taken.slot, "of_holder": holder}
        with transaction(self._engine) as conn:
            self._lock(conn)
            conn.execute(_CHANGE_SLOT, free | {"holder": "", "expires_at": 0.0})
            ended = self._slice(self._clock(conn))
            if ended != taken.slice:
                begun = {"of_scope": self._scope, "of_slice": taken.slice, "operations": operations}
                conn.execute(_COUNT_DOWN, begun)
                self._count(conn, ended, operations)

    def _lock(self, conn: Connection) -> float:
        """Return the end of the pause, and keep other processes out until the transaction ends."""
        ours = {"scope": self._scope}
        found = conn.execute(_BUDGET, ours).scalar()
        if found is None:
            new = _upsert(is_postgresql(conn))(t.budget).on_conflict_do_nothing()
            conn.execute(new, ours | {"not_before": 0.0})
            found = conn.execute(_BUDGET, ours).scalar_one()
        return float(found)

    def _window_wait(self, conn: Connection, now: float, operations: int) -> float:
        """Return the seconds until the window has room, 0 if it has it now."""
        oldest = {"scope": self._scope, "oldest": self._slice(now - self._limits.window)}
        counts = [(row[0], row[1]) for row in conn.execute(_USES, oldest)]
        if counts and counts[0][0] < oldest["oldest"]:
            conn.execute(_DROP_USES, oldest)
            counts = [(number, count) for number, count in counts if number >= oldest["oldest"]]
        # More operations than a window may hold pass when it is empty; they could never pass otherwise.
        limit = max(self._limits.window_requests, operations)
        excess = sum(count for _, count in counts) + operations - limit
        wait = 0.0
        for number, count in counts:
            if excess <= 0:
                break
            excess -= count
            wait = (number + 1) * self._slice_seconds + self._limits.window - now
        return wait

    def _free_slot(self, conn: Connection, now: float) -> int | None:
        taken = conn.execute(_SLOTS_IN_USE, {"scope": self._scope, "now": now}).scalars()
        free = set(range(self._limits.concurrency)).difference(taken)
        return min(free, default=None)

    def _write_slot(self, conn: Connection, slot: int, holder: str, expires_at: float) -> None:
        values = {"scope": self._scope, "slot": slot, "holder": holder, "expires_at": expires_at}
        conn.execute(_use_slot(is_postgresql(conn)), values)

    def _count(self, conn: Connection, number: int, operations: int) -> None:
        values = {"scope": self._scope, "slice": number, "requests": operations}
        conn.execute(_count_up(is_postgresql(conn)), values)

    @property
    def _slice_seconds(self) -> float:
        return self._limits.window / _SLICES

    def _slice(self, moment: float) -> int:
        return math.floor(moment / self._slice_seconds)


# Statements that each request to BC needs, made once.
_OF_SCOPE: BindParameter[str] = bindparam("scope")
_BUDGET = select(t.budget.c.not_before).where(t.budget.c.scope == _OF_SCOPE).with_for_update()
_USES = (
    select(t.budget_use.c.slice, t.budget_use.c.requests)
    .where(t.budget_use.c.scope == _OF_SCOPE)
    .order_by(t.budget_use.c.slice)
)
_DROP_USES = delete(t.budget_use).where(
    t.budget_use.c.scope == _OF_SCOPE, t.budget_use.c.slice < bindparam("oldest")
)
_COUNT_DOWN = (
    update(t.budget_use)
    .where(t.budget_use.c.scope == bindparam("of_scope"), t.budget_use.c.slice == bindparam("of_slice"))
    .values(requests=t.budget_use.c.requests - bindparam("operations"))
)
_SLOTS_IN_USE = select(t.budget_slot.c.slot).where(
    t.budget_slot.c.scope == _OF_SCOPE, t.budget_slot.c.expires_at > bindparam("now")
)
_CHANGE_SLOT = update(t.budget_slot).where(
    t.budget_slot.c.scope == bindparam("of_scope"),
    t.budget_slot.c.slot == bindparam("of_slot"),
    t.budget_slot.c.holder == bindparam("of_holder"),
)


@cache
def _use_slot(postgresql: bool) -> postgres.Insert | sqlite.Insert:
    new = _upsert(postgresql)(t.budget_slot)
    values = {"holder": new.excluded.holder, "expires_at": new.excluded.expires_at}
    return new.on_conflict_do_update(index_elements=["scope", "slot"], set_=values)


@cache
def _count_up(postgresql: bool) -> postgres.Insert | sqlite.Insert:
    new = _upsert(postgresql)(t.budget_use)
    more = {"requests": t.budget_use.c.requests + new.excluded.requests}
    return new.on_conflict_do_update(index_elements=["scope", "slice"], set_=more)


# -- claims ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ClaimState:
    """Who may create a contact with one address in BC, and how far that is.

    Attributes:
        mine: The asking profile holds the claim, from now or from before, and it is not done.
        profile: The profile that holds it.
        fencing: The number of the lease that it was claimed under.
        state: ``open`` (may be sent at any moment), ``unknown`` (was sent, nobody knows), ``done``.
        bc_id: The contact that came of it, when done.
        claimed_at: When it was claimed, by the staging database's clock.
    """

    mine: bool
    profile: int
    fencing: int
    state: str
    bc_id: str | None
    claimed_at: str


def claim_create(  # noqa: PLR0913 - what a row of the table holds
    conn: Connection, company: int, email_key: str, *, profile: int, fencing: int, run: str
) -> ClaimState:
    """Claim the right to create a contact with this address, and return who has it.

    A profile takes over its own claim of an earlier lease: ``state`` tells whether that was sent. A claim of another
    profile stands until it is settled, dropped, or taken by ``take_claim``.
    """
    values = {"profile": profile, "fencing": fencing, "run": run, "claimed_at": clock.moment(conn)}
    new = _upsert(is_postgresql(conn))(t.claim).values(
        company=company, email_key=email_key, state="open", **values
    )
    made = conn.execute(new.on_conflict_do_nothing().returning(t.claim.c.claimed_at)).first()
    if made:
        return ClaimState(True, profile, fencing, "open", None, made.claimed_at)
    found = _read_claim(conn, company, email_key)
    if found is None or found.profile != profile or found.state == "done":
        # None: dropped at this very moment; the next run asks again.
        return found or ClaimState(False, 0, 0, "open", None, clock.now(conn))
    mine = replace(found, mine=True, fencing=fencing)
    conn.execute(update(t.claim).where(_is_claim(company, email_key)).values(fencing=fencing, run=run))
    return mine


def take_claim(  # noqa: PLR0913 - what a row of the table holds
    conn: Connection, company: int, email_key: str, seen: ClaimState, *, profile: int, fencing: int, run: str
) -> bool:
    """Take over another profile's claim as it was seen; False when it has changed since.

    For claims whose holder is gone: wait the longest request time first, and look the contact up before creating it.
    """
    columns = t.claim.c
    unchanged = and_(
        _is_claim(company, email_key),
        columns.profile == seen.profile,
        columns.fencing == seen.fencing,
        columns.state == seen.state,
        columns.claimed_at == seen.claimed_at,
    )
    values = {"profile": profile, "fencing": fencing, "run": run, "claimed_at": clock.moment(conn)}
    taken = update(t.claim).where(unchanged).values(values)
    return bool(conn.execute(taken).rowcount)


def renew_claim(conn: Connection, company: int, email_key: str, *, profile: int, fencing: int) -> bool:
    """Let our claim count from now, right before its create is sent; False where another profile has taken it."""
    columns = t.claim.c
    ours = and_(_is_claim(company, email_key), columns.profile == profile, columns.fencing == fencing)
    renewed = update(t.claim).where(ours).values(claimed_at=clock.moment(conn))
    return bool(conn.execute(renewed).rowcount)


def settle_claim(  # noqa: PLR0913 - what a row of the table holds
    conn: Connection, company: int, email_key: str, *, run: str, state: str, bc_id: str | None = None
) -> None:
    """Say what became of a claim: ``unknown``, or ``done`` with the contact, which ends with the run that found it."""
    values = {"state": state, "bc_id": bc_id, "run": run}
    conn.execute(update(t.claim).where(_is_claim(company, email_key)).values(values))


def drop_claim(conn: Connection, company: int, email_key: str) -> None:
    """Give the address free again, after a definite refusal."""
    conn.execute(delete(t.claim).where(_is_claim(company, email_key)))


def renew_claims(conn: Connection, company: int) -> None:
    """Bring the addresses of a company's claims into the present normal form: a key is the key of itself, or older."""
    keys = list(conn.scalars(select(t.claim.c.email_key).where(t.claim.c.company == company)))
    for old in keys:
        new = normal_forms.email_key(old)
        if new != old and new not in keys:
            conn.execute(update(t.claim).where(_is_claim(company, old)).values(email_key=new))


def drop_done_claims(conn: Connection, run: str) -> None:
    """Forget what a run created: from its end on, the snapshots tell."""
    conn.execute(delete(t.claim).where(t.claim.c.run == run, t.claim.c.state == "done"))


def _is_claim(company: int, email_key: str) -> ColumnElement[bool]:
    return and_(t.claim.c.company == company, t.claim.c.email_key == email_key)


def _read_claim(conn: Connection, company: int, email_key: str) -> ClaimState | None:
    columns = t.claim.c
    wanted = select(columns.profile, columns.fencing, columns.state, columns.bc_id, columns.claimed_at)
    row = conn.execute(wanted.where(_is_claim(company, email_key))).first()
    return ClaimState(False, *row) if row else None
