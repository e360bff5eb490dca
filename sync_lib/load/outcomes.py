"""What became of the changes of a load, in memory and in the staging database, over both directions."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeGuard

from sqlalchemy import Connection

from sync_lib.diff.actions import try_digest
from sync_lib.errors import ApiError, InterceptedError, ServiceError, ThrottledError, WritesOffError
from sync_lib.load.target import Loaded, Target
from sync_lib.model import Action, Coupling, Outcome, PlannedChange
from sync_lib.ports import WriteResult
from sync_lib.store import postponed
from sync_lib.store.changes import begin_sending, finish_changes

#: A change, its outcome, the reason, and the service's request id.
Finished = tuple[PlannedChange, Outcome, str, str]

#: Writes in a ``$batch``.
BATCH = 20
#: The same refusal for so many actions of one kind in a row ends that kind for the run (rules 6).
MOST_REFUSALS = 20
REFUSED_IN_A_ROW = "refused_in_a_row"
FOLDER_MISSING = "folder_missing"
DEPENDS_ON_OUTLOOK = "depends_on_outlook"

_DONE = (Outcome.CREATED, Outcome.UPDATED, Outcome.DELETED, Outcome.COUPLED)


@dataclass(frozen=True, slots=True)
class WrittenItem:
    """An item as a write of this load left it."""

    record: dict[str, Any]
    etag: str
    fingerprint: int


class Outcomes:
    """Begins and finishes the changes of one plan.

    Attributes:
        loaded: What the load leaves to do.
        goes_on: BC contacts that the load writes to Business Central after Outlook; of others nothing is kept below.
        couplings: By BC contact, the coupling as this load left it: an update of BC builds on the update of Outlook.
        written: By BC contact, the item as this load wrote it.
        failed: BC contacts whose Outlook side failed: what depends on it is left to the next round.
    """

    def __init__(self, target: Target, plan: int, goes_on: frozenset[str | None]) -> None:
        self.target = target
        self.plan = plan
        self.loaded = Loaded()
        self.goes_on = goes_on
        self.couplings: dict[str, Coupling] = {}
        self.written: dict[str, WrittenItem] = {}
        self.failed: set[str] = set()
        # What a kind of action was refused for last, and how often in a row.
        self._refusals: dict[Action, tuple[str, int]] = {}

    def begin(self, changes: Sequence[PlannedChange]) -> None:
        """Mark changes as being sent, at the latest moment before they are.

        Raises:
            WritesOffError: The switch for writes is off.
            LeaseLostError: Another worker took over.
        """
        if not self.target.may_write():
            raise WritesOffError
        with self.target.engine.begin() as conn:
            self.target.check_lease(conn)
            self.begin_in(conn, changes)

    def begin_in(self, conn: Connection, changes: Sequence[PlannedChange]) -> None:
        """Mark changes as being sent, in a transaction that has checked the lease; the caller knows of the switch."""
        begin_sending(conn, self.plan, [change.n for change in changes], self.target.fencing)

    def remember(self, couplings: Iterable[Coupling]) -> None:
        """Keep couplings as they were stored, where the load goes on with their contacts."""
        self.couplings |= {each.bc_id: each for each in couplings if each.bc_id in self.goes_on}

    def is_over(self, action: Action) -> bool:
        """Whether a kind of action was refused so often in a row that more of it are of no use in this run."""
        return self._refusals.get(action, ("", 0))[1] >= MOST_REFUSALS

    def finish(self, results: list[Finished]) -> None:
        """Record outcomes in a transaction of their own."""
        with self.target.engine.begin() as conn:
            self.finish_in(conn, results)

    def finish_in(self, conn: Connection, results: list[Finished]) -> None:
        """Record outcomes, in the transaction that stores what the writes came to."""
        for change, outcome, reason, _ in results:
            change.outcome, change.reason = outcome, reason
        rows = [(change.n, outcome, reason, request) for change, outcome, reason, request in results]
        finish_changes(conn, self.plan, rows)
        changes = [change for change, _, _, _ in results]
        self._postpone(conn, changes)
        self._count_refusals(changes)

    def _postpone(self, conn: Connection, changes: Sequence[PlannedChange]) -> None:
        """Note what waits for its next try, and forget what was carried out (rules 6)."""
        waiting = [change for change in changes if change.waits]
        refused = [postponed.Refused(each.subject, try_digest(each), _code(each)) for each in waiting]
        postponed.refuse(conn, self.target.profile, self.target.run, refused)
        carried = {change.subject for change in changes if change.outcome in _DONE and not change.waits}
        postponed.forget(conn, self.target.profile, carried)

    def _count_refusals(self, changes: Sequence[PlannedChange]) -> None:
        for change in changes:
            if change.waits and change.outcome is Outcome.REJECTED:
                code, times = self._refusals.get(change.action, ("", 0))
                self._refusals[change.action] = (change.reason, times + 1 if code == change.reason else 1)
            elif change.reason != REFUSED_IN_A_ROW:
                self._refusals.pop(change.action, None)


def _code(change: PlannedChange) -> str:
    """What the service said of a change that it refused, or of a field of it."""
    if change.outcome is Outcome.REJECTED:
        return change.reason
    return next((refusal.reason for refusal in change.refused), change.reason)


def said(error: ApiError, otherwise: str) -> str:
    """Return what the service gave as its reason, as long as a reason may be in the staging database."""
    return error.code[:64] or otherwise


def is_unknown(result: WriteResult | None) -> bool:
    """Whether a write may have been carried out although no answer says so."""
    error = result.error if result else None
    return isinstance(error, ServiceError) and not isinstance(error, ThrottledError)


def is_away(error: Exception | None) -> TypeGuard[ServiceError]:
    """Whether the service as a whole does not answer: sending more would only make more unknown outcomes."""
    is_intercepted = isinstance(error, InterceptedError)
    return isinstance(error, ServiceError) and (is_intercepted or error.status in (0, 502, 503, 504))
