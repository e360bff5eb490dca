"""Leases: the right to work on a profile or company, with fencing numbers, by the database's own clock (rules 8.9)."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from functools import lru_cache
from types import TracebackType
from typing import Any, Self

from sqlalchemy import (
    ColumnElement,
    Connection,
    Double,
    Engine,
    Executable,
    and_,
    bindparam,
    or_,
    select,
    update,
)
from sqlalchemy.exc import DBAPIError

from sync_lib.errors import LeaseExpiredError, LeaseLostError, StagingAwayError
from sync_lib.ports import SYSTEM, Clock
from sync_lib.store import clock
from sync_lib.store import tables as t
from sync_lib.store.bulk import upsert
from sync_lib.store.engine import is_postgresql, transaction, unbroken
from sync_lib.store.prepared import Prepared

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to work on a profile or company, as long as ``fencing`` is still the number in the database."""

    key: str
    holder: str
    fencing: int


def acquire_lease(engine: Engine, key: str, holder: str, seconds: float) -> Lease | None:
    """Return the lease, or None while somebody else holds it and it has not expired.

    Each acquisition has a higher fencing number than all before it. A holder that asks again gets the lease anew:
    what is stored under its name but with the older number (a first try that still lives) has lost it.
    """
    take = _take_lease(is_postgresql(engine), clock.seconds(engine))
    with transaction(engine) as conn:
        fencing = conn.execute(take, {"key": key, "holder": holder, "seconds": seconds}).scalar()
    return None if fencing is None else Lease(key, holder, fencing)


@lru_cache(maxsize=16)
def _take_lease(postgresql: bool, now: ColumnElement[float]) -> Executable:
    lease = t.lease
    expires_at = now + bindparam("seconds", type_=Double)
    new = upsert(postgresql)(lease).values(
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
    held = _held_lease(is_postgresql(conn), clock.seconds(conn))
    found = held.execute(conn, lease.key, lease.holder, lease.fencing).first()
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
def _held_lease(postgresql: bool, now: ColumnElement[float]) -> Prepared:
    wanted = select(t.lease.c.expires_at > now).where(_IS_HELD).with_for_update(read=True)
    return Prepared(wanted, ("of_key", "of_holder", "of_fencing"), postgresql=postgresql)


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
