"""Carry a plan's changes to Business Central: each conditional, one by one, updates before creates (rules 8.5)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from sync_lib.diff.baselines import agree, is_agreed, refusal_digest, without
from sync_lib.errors import (
    AccessDeniedError,
    ApiError,
    NotFoundError,
    RecordError,
    ThrottledError,
    ValueRefusedError,
    VersionMismatchError,
)
from sync_lib.extract.staging import bc_row
from sync_lib.load.couple import stage_business_central
from sync_lib.load.creates import BusinessCentralCreates, changed_by_bc, is_of_body
from sync_lib.load.outcomes import DEPENDS_ON_OUTLOOK, REFUSED_IN_A_ROW, Outcomes, is_away, said
from sync_lib.load.target import Target
from sync_lib.model import Action, BcContact, Coupling, Fields, Outcome, PlannedChange, Refusal
from sync_lib.ports import WriteResult
from sync_lib.store.couplings import write_couplings


class BusinessCentralLoad:
    """Applies changes to one company."""

    def __init__(self, target: Target, outcomes: Outcomes) -> None:
        self.target = target
        self.outcomes = outcomes
        self.loaded = outcomes.loaded
        self.mapper = target.mapper
        self.creates = BusinessCentralCreates(target, outcomes)

    def apply(self, changes: Sequence[PlannedChange]) -> None:
        """Send the changes; then give the items of what was made their keys."""
        for change in changes:
            if self.loaded.stopped:
                self.outcomes.finish([(change, Outcome.FAILED, "service_away", "")])
            elif change.bc_id in self.outcomes.failed:
                self.outcomes.finish([(change, Outcome.SKIPPED, DEPENDS_ON_OUTLOOK, "")])
            elif self.outcomes.is_over(change.action):
                self.outcomes.finish([(change, Outcome.SKIPPED, REFUSED_IN_A_ROW, "")])
            elif change.action is Action.UPDATE_BC:
                self._update(change)
            else:
                self.creates.create(change)
        self.creates.write_keys()

    # -- sending ---------------------------------------------------------------------------------------------------

    def _update(self, change: PlannedChange) -> None:
        assert change.bc is not None
        body, _ = self.mapper.to_business_central(change.after, change.bc.values)
        self.outcomes.begin([change])
        result = self._send(change, body, change.bc.etag)
        if is_of_body(result.error) and len(change.after) > 1:
            self._update_singly(change)
            return
        self._record(change, result, change.after)

    def _send(self, change: PlannedChange, body: dict[str, str], etag: str) -> WriteResult:
        company = self.target.company_key.company_id
        try:
            return self.target.business_central.update_contact(company, change.bc_id or "", body, etag)
        except AccessDeniedError as error:
            # The company could be read: what is missing is a right to write.
            return WriteResult(error=error, request_id=error.request_id)

    def _update_singly(self, change: PlannedChange) -> None:
        """BC refused the whole body: send each field on its own, so that one bad value does not stop the others."""
        assert change.bc is not None
        values, etag, sent, last = dict(change.bc.values), change.bc.etag, {}, WriteResult()
        refused: dict[str, ApiError] = {}
        for name, value in change.after.items():
            body, _ = self.mapper.to_business_central({name: value}, values)
            result = self._send(change, body, etag)
            if is_of_body(result.error):
                refused[name] = result.error
            elif result.error is not None:
                self._record(change, result, {})
                return
            elif isinstance(result.contact, BcContact):
                values, etag, last = result.contact.values, result.contact.etag, result
                sent[name] = value
        self._record(change, last, sent, self._refused_fields(change, sent, refused))

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

    def _record(
        self, change: PlannedChange, result: WriteResult, sent: Fields, refused: dict[str, str] | None = None
    ) -> None:
        refused = refused or {}
        if result.error is not None:
            outcome, reason = self._failure(change, result.error)
            if outcome is Outcome.REJECTED and isinstance(result.error, ApiError):
                refused = self._refused_fields(change, {}, dict.fromkeys(change.after, result.error))
        elif sent:
            outcome, reason = Outcome.UPDATED, changed_by_bc(self.mapper, sent, result.contact)
        else:
            outcome, reason = Outcome.REJECTED, change.reason or next(iter(refused.values()), "")
        with self.target.engine.begin() as conn:
            self.target.check_lease(conn)
            if isinstance(result.contact, BcContact):
                stage_business_central(conn, self.target, [result.contact], force=True)
            coupling = self._after_update(change, result.contact, sent, refused)
            if coupling is not None:
                coupling = self._settled(coupling, change, result.contact)
                write_couplings(conn, self.target.profile, [coupling], self.target.now())
            self.outcomes.finish_in(conn, [(change, outcome, reason, result.request_id)])

    def _failure(self, change: PlannedChange, error: Exception) -> tuple[Outcome, str]:
        if isinstance(error, ThrottledError):
            self.loaded.stopped = error
            return Outcome.FAILED, "throttled"
        if isinstance(error, VersionMismatchError | NotFoundError):
            self.loaded.reread_bc.add(change.bc_id or "")
            return Outcome.SKIPPED, "version_mismatch"
        if isinstance(error, RecordError | AccessDeniedError):
            return Outcome.REJECTED, said(error, "refused_by_business_central")
        if is_away(error):
            self.loaded.stopped = error
        self.loaded.reread_bc.add(change.bc_id or "")
        return Outcome.UNKNOWN, "no_answer"

    def _after_update(
        self, change: PlannedChange, contact: object, sent: Fields, refused: dict[str, str]
    ) -> Coupling | None:
        """New baselines for what was sent (rules 8.6); a refused value is remembered by its digest."""
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
