"""What all processes together may send to Business Central; by the database's own clock."""

from __future__ import annotations

import contextlib
import math
import random
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache

from sqlalchemy import (
    BindParameter,
    Connection,
    Engine,
    and_,
    bindparam,
    delete,
    select,
    update,
)
from sqlalchemy.dialects import postgresql as postgres
from sqlalchemy.dialects import sqlite

from sync_lib.store import tables as t
from sync_lib.store.bulk import upsert
from sync_lib.store.clock import read_seconds
from sync_lib.store.engine import is_postgresql, transaction, unbroken

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
            new = upsert(is_postgresql(conn))(t.budget).on_conflict_do_nothing()
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
        taken = set(conn.execute(_SLOTS_IN_USE, {"scope": self._scope, "now": now}).scalars())
        # One after the other: a limit that nobody meant may be a number of any size.
        return next((slot for slot in range(self._limits.concurrency) if slot not in taken), None)

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
    new = upsert(postgresql)(t.budget_slot)
    values = {"holder": new.excluded.holder, "expires_at": new.excluded.expires_at}
    return new.on_conflict_do_update(index_elements=["scope", "slot"], set_=values)


@cache
def _count_up(postgresql: bool) -> postgres.Insert | sqlite.Insert:
    new = upsert(postgresql)(t.budget_use)
    more = {"requests": t.budget_use.c.requests + new.excluded.requests}
    return new.on_conflict_do_update(index_elements=["scope", "slice"], set_=more)
