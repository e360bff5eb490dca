"""Whether Graph enforces ``If-Match`` for contacts (rules 8.5), found out by the first load that changes an item.

The version that an item had before our write is a real one, and old by then. So the item's own BC key is written once
more on condition of that version: where Graph refuses it, nothing has changed anywhere, not even a version; where it
does not, the item holds what it held.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass, replace

from sqlalchemy import Connection

from sync_lib.errors import ApiError, VersionMismatchError
from sync_lib.load.target import Target
from sync_lib.model import OutlookContact
from sync_lib.ports import WriteResult
from sync_lib.store import runs
from sync_lib.store.couplings import follow_own_write

logger = logging.getLogger(__name__)

_FACT = "graph_if_match"
_ANSWERS = {"enforced": True, "ignored": False}


@dataclass(frozen=True, slots=True)
class Changed:
    """An item that this load has changed: its version before, and what Graph returned, with its key."""

    etag_before: str
    item: OutlookContact


def read_known(conn: Connection, tenant: str) -> bool | None:
    """Return whether Graph enforces versions, or None where nobody has found out yet."""
    return _ANSWERS.get(runs.read_fact(conn, tenant, _FACT) or "")


class IfMatch:
    """What one load knows of it.

    Attributes:
        is_enforced: True, False, or None while nobody knows.
    """

    def __init__(self, target: Target) -> None:
        self.target = target
        self.is_enforced = target.enforces_if_match
        # Once in a load: a service whose answer says nothing is asked again by the next one that changes an item.
        self._asked = False

    def find_out(self, changed: Iterable[Changed]) -> None:
        """Ask Graph with the first item that will do, where nobody knows yet, and remember the answer.

        Raises:
            WritesOffError: Somebody stopped all writes meanwhile.
            LeaseLostError: Another worker took over.
        """
        if self._asked or self.is_enforced is not None:
            return
        ours = (each for each in changed if each.item.bc_key and each.etag_before != each.item.etag)
        if (probe := next(ours, None)) is not None:
            self._asked = True
            self.is_enforced = _ask(self.target, probe)


def _ask(target: Target, probe: Changed) -> bool | None:
    try:
        result = target.outlook.write_again(target.user, replace(probe.item, etag=probe.etag_before))
    except ApiError as error:
        result = WriteResult(error=error)
    written = result.contact
    if isinstance(result.error, VersionMismatchError):
        answer = "enforced"
    elif isinstance(written, OutlookContact):
        answer = "ignored"
    else:
        logger.info("whether Graph enforces If-Match stays unknown: %s", result.error)
        return None
    with target.engine.begin() as conn:
        target.check_lease(conn)
        runs.write_fact(conn, target.graph_tenant, _FACT, answer, target.now())
        # What its owner edited meanwhile goes on looking edited.
        if isinstance(written, OutlookContact) and written.record == probe.item.record:
            follow_own_write(conn, target.profile, probe.item, written)
    logger.info("Graph's answer to a write with an old version: %s", answer)
    return _ANSWERS[answer]
