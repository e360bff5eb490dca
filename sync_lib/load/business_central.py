"""Carry a plan's changes to Business Central: many a request, each on condition of its version (rules 8.5)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from sync_lib.diff.baselines import agree, is_agreed, refusal_digest, without
from sync_lib.errors import (
    AccessDeniedError,
    ApiError,
    AuthError,
    NotFoundError,
    RecordError,
    ThrottledError,
    ValueRefusedError,
    VersionMismatchError,
)
from sync_lib.extract.staging import bc_row
from sync_lib.load.couple import stage_business_central
from sync_lib.load.creates import BusinessCentralCreates, changed_by_bc, is_of_body, waves
from sync_lib.load.outcomes import DEPENDS_ON_OUTLOOK, REFUSED_IN_A_ROW, Finished, Outcomes, is_away, said
from sync_lib.load.target import Target
from sync_lib.model import Action, BcContact, Coupling, Fields, Outcome, PlannedChange, Refusal
from sync_lib.ports import BcUpdate, WriteResult
from sync_lib.store.bulk import chunks
from sync_lib.store.couplings import write_couplings

#: Updates in a ``$batch``: as many as BC takes.
UPDATES = 100


@dataclass(frozen=True, slots=True)
class _Written:
    """What one update came to: the values that were sent, and those that BC cannot hold, with reasons."""

    change: PlannedChange
    result: WriteResult
    sent: Fields
    refused: dict[str, str] = field(default_factory=dict)


class BusinessCentralLoad:
    """Applies changes to one company."""

    def __init__(self, target: Target, outcomes: Outcomes) -> None:
        self.target = target
        self.outcomes = outcomes
        self.loaded = outcomes.loaded
        self.mapper = target.mapper
        self.creates = BusinessCentralCreates(target, outcomes)

    def apply(self, changes: Sequence[PlannedChange]) -> None:
        """Send the changes, updates before creates; then give the items of what was made their keys."""
        updates = [change for change in changes if change.action is Action.UPDATE_BC]
        for part in chunks(updates, UPDATES):
            self._update(self._allowed(part))
        for part in waves([change for change in changes if change.action is not Action.UPDATE_BC]):
            self.creates.create(self._allowed(part))
        self.creates.write_keys()

    def _allowed(self, changes: Sequence[PlannedChange]) -> list[PlannedChange]:
        """Leave out what depends on something that failed, and kinds of actions that are of no use any more."""
        left: list[Finished] = []
        for change in changes:
            if self.loaded.stopped:
                left.append((change, Outcome.FAILED, "service_away", ""))
            elif change.bc_id in self.outcomes.failed:
                left.append((change, Outcome.SKIPPED, DEPENDS_ON_OUTLOOK, ""))
            elif self.outcomes.is_over(change.action):
                left.append((change, Outcome.SKIPPED, REFUSED_IN_A_ROW, ""))
        if left:
            self.outcomes.finish(left)
        return [change for change in changes if change.outcome is None]

    # -- sending ---------------------------------------------------------------------------------------------------

    def _update(self, changes: Sequence[PlannedChange]) -> None:
        if not changes:
            return
        self.outcomes.begin(changes)
        results = self._send([self._to_update(change) for change in changes])
        answered, again = [], []
        for change, result in zip(changes, results, strict=True):
            if is_of_body(result.error) and len(change.after) > 1:
                again.append(change)
            else:
                answered.append(_Written(change, result, change.after))
        self._record(answered)
        for change in again:
            # What BC refused did nothing, so that whatever ends the load meanwhile leaves it as it was.
            for allowed in self._allowed([change]):
                self._update_singly(allowed)

    def _to_update(self, change: PlannedChange) -> BcUpdate:
        assert change.bc is not None
        body, _ = self.mapper.to_business_central(change.after, change.bc.values)
        return BcUpdate(change.bc_id or "", body, change.bc.etag)

    def _send(self, updates: Sequence[BcUpdate]) -> list[WriteResult]:
        company = self.target.company_key.company_id
        try:
            return self.target.business_central.update_contacts(company, updates)
        except AccessDeniedError as error:
            # The company could be read: what is missing is a right to write.
            return [WriteResult(error=error, request_id=error.request_id) for _ in updates]

    def _update_singly(self, change: PlannedChange) -> None:
        """BC refused the whole body: send each field on its own, so that one bad value does not stop the others."""
        assert change.bc is not None
        values, etag, sent, last = dict(change.bc.values), change.bc.etag, {}, WriteResult()
        refused: dict[str, ApiError] = {}
        for name, value in change.after.items():
            body, _ = self.mapper.to_business_central({name: value}, values)
            [result] = self._send([BcUpdate(change.bc_id or "", body, etag)])
            if is_of_body(result.error):
                refused[name] = result.error
            elif result.error is not None:
                self._record([_Written(change, result, {})])
                return
            elif isinstance(result.contact, BcContact):
                values, etag, last = result.contact.values, result.contact.etag, result
                sent[name] = value
        self._record([_Written(change, last, sent, self._refused_fields(change, sent, refused))])

    # -- what came of it -------------------------------------------------------------------------------------------

    def _refused_fields(
        self, change: PlannedChange, sent: Fields, errors: dict[str, ApiError]
    ) -> dict[str, str]:
        """Return the fields whose values BC cannot hold, with reasons; what else it refused waits (rules 6)."""
        reasons = {name: said(error, "refused_by_business_central") for name, error in errors.items()}
        of_value = {name for name, error in errors.items() if isinstance(error, ValueRefusedError)}
        change.waits = change.waits or errors.keys() != of_value
        if sent:
            change.refused += [Refusal(name, reason) for name, reason in reasons.items()]
        else:
            # What may pass weighs more: it is what the next try is about.
            change.reason = next((reasons[name] for name in reasons if name not in of_value), "")
        return {name: reasons[name] for name in of_value}

    def _record(self, written: Sequence[_Written]) -> None:
        """Store what came of one request: outcomes, snapshots and couplings, in one transaction."""
        if not written:
            return
        finished, couplings = [], []
        for each in written:
            outcome, reason, refused = self._judged(each)
            finished.append((each.change, outcome, reason, each.result.request_id))
            coupling = self._after_update(each, refused)
            if coupling is not None:
                couplings.append(self._settled(coupling, each.change, each.result.contact))
        contacts = [c for each in written if isinstance(c := each.result.contact, BcContact)]
        with self.target.engine.begin() as conn:
            self.target.check_lease(conn)
            stage_business_central(conn, self.target, contacts, force=True)
            write_couplings(conn, self.target.profile, couplings, self.target.now())
            self.outcomes.finish_in(conn, finished)

    def _judged(self, written: _Written) -> tuple[Outcome, str, dict[str, str]]:
        """Return an outcome, its reason, and the values that BC turned out not to hold, with their reasons."""
        change, error, refused = written.change, written.result.error, written.refused
        if error is not None:
            outcome, reason = self._failure(change, error)
            if outcome is Outcome.REJECTED and isinstance(error, ApiError):
                refused = self._refused_fields(change, {}, dict.fromkeys(change.after, error))
            return outcome, reason, refused
        if written.sent:
            return Outcome.UPDATED, changed_by_bc(self.mapper, written.sent, written.result.contact), refused
        return Outcome.REJECTED, change.reason or next(iter(refused.values()), ""), refused

    def _failure(self, change: PlannedChange, error: Exception) -> tuple[Outcome, str]:
        if isinstance(error, ThrottledError):
            self.loaded.stopped = error
            return Outcome.FAILED, "throttled"
        if isinstance(error, VersionMismatchError | NotFoundError):
            self.loaded.reread_bc.add(change.bc_id or "")
            return Outcome.SKIPPED, "version_mismatch"
        if isinstance(error, AuthError):
            return Outcome.FAILED, "access_denied"
        if isinstance(error, RecordError | AccessDeniedError):
            return Outcome.REJECTED, said(error, "refused_by_business_central")
        if is_away(error):
            self.loaded.stopped = error
        self.loaded.reread_bc.add(change.bc_id or "")
        return Outcome.UNKNOWN, "no_answer"

    def _after_update(self, written: _Written, refused: dict[str, str]) -> Coupling | None:
        """New baselines for what was sent (rules 8.6); a refused value is remembered by its digest."""
        change, contact, sent = written.change, written.result.contact, written.sent
        base = self.outcomes.couplings.get(change.bc_id or "", change.coupling)
        if base is None or base.id == 0 or not (sent or refused):
            return None
        bc: Fields = {}
        outlook: Fields = {}
        if isinstance(contact, BcContact):
            returned = self.mapper.of_business_central(contact.values)
            for name, value in sent.items():
                same = self.mapper.is_equal(name, returned.get(name, ""), value)
                # BC made something else of it: both baselines hold what was sent, so that the next diff takes BC's
                # form to Outlook, once.
                bc[name] = returned.get(name, "") if same else value
                outlook[name] = change.source.get(name, value)
        digests = {
            name: {
                "digest": refusal_digest(change.after[name], self.mapper.lookups),
                "reason": reason,
            }
            for name, reason in refused.items()
        }
        assert change.item is not None
        return replace(
            agree(base, bc, outlook, change.item.record, self.mapper),
            differs=without(base.differs, sent),
            refused=base.refused | digests,
            attention=True,
        )

    def _settled(self, coupling: Coupling, change: PlannedChange, contact: object) -> Coupling:
        """The coupling in agreement, where this update was all that was missing between its sides.

        So the item counts as edited no longer: one that returns meanwhile takes its place in the next run (2.6).
        """
        item = self.outcomes.written.get(coupling.bc_id) or change.item
        assert item is not None
        if not isinstance(contact, BcContact) or coupling.refused or change.waits:
            return coupling
        if not is_agreed(coupling, contact.values, item.record, self.mapper):
            self.loaded.changed_by_bc = True
            return coupling
        return replace(
            coupling,
            bc_fingerprint=bc_row(contact, self.mapper).fingerprint,
            outlook_fingerprint=item.fingerprint,
            outlook_etag=item.etag,
            attention=False,
        )
