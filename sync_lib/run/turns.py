"""Leases around a task's work: one worker per profile and per company, one profile at a time per mailbox (8.9)."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from sync_lib.errors import ProfileBusyError
from sync_lib.store.engine import read
from sync_lib.store.leases import Lease, LeaseKeeper, acquire_lease, release_lease
from sync_lib.store.profiles import rows as profiles
from sync_lib.store.profiles.rows import Profile

if TYPE_CHECKING:
    from sync_lib.services import Services

logger = logging.getLogger(__name__)

#: Seconds between two tries for the lease of a mailbox or profile, and of a company.
MAILBOX_WAIT, COMPANY_WAIT = 2.0, 5.0
#: Seconds that a profile waits for another one of its mailbox; what takes longer must not keep a run from its end.
MAILBOX_PATIENCE = 60.0


def take(services: Services, key: str) -> Lease | None:
    """Return a lease, or None while somebody else has it."""
    return acquire_lease(services.engine, key, services.worker, services.settings.lease)


def wait_for(
    services: Services, key: str, seconds: float, message: str, patience: float = float("inf")
) -> Lease | None:
    """Return a lease, once nobody else has it; the message is logged at each wait. None: that took too long."""
    began = services.clock.monotonic()
    while (lease := take(services, key)) is None:
        if services.clock.monotonic() - began >= patience:
            return None
        logger.info("%s", message)
        services.clock.sleep(seconds)
    return lease


@contextmanager
def keep_lease(services: Services, lease: Lease) -> Iterator[None]:
    """Renew a lease while the block runs, and give it back behind it."""
    with LeaseKeeper(services.engine, lease, services.settings.lease, clock=services.clock):
        try:
            yield
        finally:
            release_lease(services.engine, lease)


@contextmanager
def company_turn(services: Services, company: int) -> Iterator[None]:
    """Wait for the company's lease: of two runs that read one company, the second uses the first one's snapshot."""
    message = "another run reads this company: waiting"
    lease = wait_for(services, f"company:{company}", COMPANY_WAIT, message)
    assert lease is not None
    with keep_lease(services, lease):
        yield


@contextmanager
def mailbox_turn(services: Services, profile: Profile, patience: float = MAILBOX_PATIENCE) -> Iterator[None]:
    """Wait until no other profile of the same mailbox works: Outlook takes four operations at a time for both.

    Raises:
        ProfileBusyError: The other one takes longer than somebody is patient.
    """
    with read(services.engine) as conn:
        neighbours = profiles.read_neighbours(conn, profile)
    if not neighbours:
        yield
        return
    key = f"mailbox:{min(each.id for each in [profile, *neighbours])}"
    message = "another profile of this mailbox is at work: waiting"
    lease = wait_for(services, key, MAILBOX_WAIT, message, patience)
    if lease is None:
        raise ProfileBusyError(
            "Another profile of this mailbox is at work for long; this run leaves it alone."
        )
    with keep_lease(services, lease):
        yield
