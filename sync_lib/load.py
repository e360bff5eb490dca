"""Carry out a plan (rules 8): conditional writes, creates that cannot be doubled, baselines per field and side.

Everything a write came to is stored in one transaction per request: the outcome, the snapshot that the service
returned, and the coupling. The lease is checked in the same transaction that marks changes as ``sending``, so that a
worker that was stalled and lost its lease cannot write.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeGuard

from sqlalchemy import Connection, Engine

from sync_lib.diff import (
    MENDING,
    UNDO,
    DiffContext,
    PlannedChange,
    left_coupling,
    moved_baseline,
    refusal_digest,
)
from sync_lib.errors import (
    AccessDeniedError,
    ApiError,
    AuthError,
    InterceptedError,
    MalformedAnswerError,
    NotFoundError,
    RecordError,
    RejectedError,
    ServiceError,
    ThrottledError,
    ValueRefusedError,
    VersionMismatchError,
    WritesOffError,
)
from sync_lib.fields import mapping
from sync_lib.fields.normal_forms import Normaliser, email_key, email_spellings
from sync_lib.fields.required import to_outlook_problem
from sync_lib.fields.slots import UNREADABLE, has_unreadable
from sync_lib.model import (
    Action,
    BatchWrite,
    BcContact,
    BcKey,
    Coupling,
    CouplingState,
    Direction,
    Fields,
    Origin,
    Outcome,
    OutlookContact,
    Refusal,
    WriteResult,
)
from sync_lib.moments import before
from sync_lib.store import clock, ledger, locks, postponed, runs, snapshots

logger = logging.getLogger(__name__)

BATCH = 20
#: The same refusal for so many actions of one kind in a row ends that kind for the run (rules 6).
MOST_REFUSALS = 20
REFUSED_IN_A_ROW = "refused_in_a_row"
FOLDER_MISSING = "folder_missing"
DEPENDS_ON_OUTLOOK = "depends_on_outlook"
#: Seconds before the last read's watermark from which lists of addresses are looked through.
LOOK_BACK = 86_400.0


@dataclass(frozen=True, slots=True)
class Target:
    """Whose contacts a load works on, and through what.

    Attributes:
        company: Row of the BC company in the staging database.
        company_key: Any BC key of the company; its tenant, environment and company are what counts.
        in_filter: Whether a BC contact with these values passes the profile's filter.
        enforces_if_match: Graph refuses a write with an old version; else each write is preceded by a read (8.5).
        check_lease: Raises ``LeaseLostError`` where another worker took over; called inside the transaction.
        may_write: Reads the switch for writes; a change is not marked as being sent while it is off (8.8c).
    """

    engine: Engine
    outlook: Any
    business_central: Any
    run: str
    profile: int
    user: str
    folder: str
    company: int
    company_key: BcKey
    context: DiffContext
    in_filter: Callable[[dict[str, str]], bool]
    enforces_if_match: bool
    check_lease: Callable[[Connection], None]
    may_write: Callable[[], bool]
    fencing: int
    now: Callable[[], str]
    longest_request: float

    def too_late(self, conn: Connection) -> str:
        """Return the time before which a request was sent that is not carried out now and never will be."""
        return clock.now(conn, -self.longest_request)


@dataclass(slots=True)
class Loaded:
    """What a load left to do.

    Attributes:
        reread_outlook: Items to read again before the next round.
        reread_bc: Contacts to read again before the next round.
        changed_by_bc: BC made something else of what it was sent, which the next round takes to Outlook (rules 8.6).
        folder_missing: Something of the folder answered 404: is it still there (rules 1)?
        stopped: What stopped the load, if anything did.
    """

    reread_outlook: set[str] = field(default_factory=set)
    reread_bc: set[str] = field(default_factory=set)
    changed_by_bc: bool = False
    folder_missing: bool = False
    stopped: ServiceError | None = None

    @property
    def reread(self) -> bool:
        """Whether anything is to be read again."""
        return bool(self.reread_outlook or self.reread_bc or self.folder_missing)


def apply_plan(target: Target, plan: int, changes: Sequence[PlannedChange]) -> Loaded:
    """Apply the changes that are not held, BC to Outlook first (rules 8.10), and record every outcome."""
    loader = _Loader(target, plan)
    open_changes = [change for change in changes if change.outcome is None]
    loader.apply_outlook([change for change in open_changes if change.action not in _TO_BC])
    loader.apply_business_central([change for change in open_changes if change.action in _TO_BC])
    return loader.loaded


_TO_BC = (Action.UPDATE_BC, Action.CREATE_BC)
_DONE = (Outcome.CREATED, Outcome.UPDATED, Outcome.DELETED, Outcome.COUPLED)
_ORDER = (Action.DELETE_OUTLOOK, Action.COUPLE, Action.UPDATE_OUTLOOK, Action.CREATE_OUTLOOK)


@dataclass(slots=True)
class _Sending:
    """One write to Outlook; it may carry out two changes (the key and the fields of one item)."""

    changes: list[PlannedChange]
    write: BatchWrite
    result: WriteResult | None = None


@dataclass(frozen=True, slots=True)
class _Written:
    """An item as a write of this load left it."""

    record: dict[str, Any]
    etag: str
    fingerprint: int


class _Loader:
    def __init__(self, target: Target, plan: int) -> None:
        self.target = target
        self.plan = plan
        self.loaded = Loaded()
        self.normaliser: Normaliser = target.context.normaliser
        self.field_profile = target.context.policy.field_profile
        # The coupling of a BC contact as this load left it: an update of BC builds on the update of Outlook.
        self.couplings: dict[str, Coupling] = {}
        # The item of a BC contact as this load wrote it.
        self.written: dict[str, _Written] = {}
        # Contacts whose Outlook side failed: what depends on it is left to the next round.
        self.failed: set[str] = set()
        self.unkeyed: list[tuple[Coupling, OutlookContact]] = []
        # What a kind of action was refused for last, and how often in a row.
        self.refusals: dict[Action, tuple[str, int]] = {}

    # -- Outlook ---------------------------------------------------------------------------------------------------

    def apply_outlook(self, changes: Sequence[PlannedChange]) -> None:
        sendings = self._sendings(changes)
        for part in ledger.chunks(sendings, BATCH):
            if self.loaded.stopped:
                self._leave(part, Outcome.FAILED, "service_away")
            else:
                self._send(self._allowed(part))

    def _allowed(self, part: Iterable[_Sending]) -> list[_Sending]:
        """Leave out kinds of actions that are of no use any more in this run."""
        allowed = []
        for sending in part:
            first = sending.changes[0]
            if self.loaded.folder_missing and first.action is Action.CREATE_OUTLOOK:
                self._leave([sending], Outcome.SKIPPED, FOLDER_MISSING)
            elif self._is_over(first.action):
                self._leave([sending], Outcome.SKIPPED, REFUSED_IN_A_ROW)
            else:
                allowed.append(sending)
        return allowed

    def _is_over(self, action: Action) -> bool:
        return self.refusals.get(action, ("", 0))[1] >= MOST_REFUSALS

    def _sendings(self, changes: Sequence[PlannedChange]) -> list[_Sending]:
        by_item: dict[str, list[PlannedChange]] = {}
        for change in changes:
            by_item.setdefault(f"{change.outlook_id or ''}|{change.bc_id}", []).append(change)
        sendings = []
        for group in by_item.values():
            body = self._body(group)
            if body is not None:
                sendings.append(_Sending(group, self._write(group, body)))
        return sendings

    def _body(self, group: list[PlannedChange]) -> dict[str, Any] | None:
        """The body of one write, or None where nothing that Outlook can hold is left of it."""
        after = {name: value for change in group for name, value in change.after.items()}
        first = group[0]
        if first.action is Action.DELETE_OUTLOOK:
            return {}
        if first.action is Action.UNTIE:
            categories = mapping.without_category(first.item.record if first.item else {})
            return {} if categories is None else {"categories": categories}
        record = first.item.record if first.item else None
        body, refused = mapping.to_outlook(
            after,
            record,
            all_fields=self._fields_of(first) | after,
            lookups=self.target.context.lookups,
            field_profile=self.field_profile,
            baseline=first.coupling.baseline_outlook if first.coupling else None,
        )
        for change in group:
            change.refused += [refusal for refusal in refused if refusal.field in change.after]
        if first.action is Action.COUPLE and record is not None:
            body |= self._category(record)
        if not body and first.action is Action.UPDATE_OUTLOOK:
            self._finish_refused(group)
            return None
        return body

    def _fields_of(self, change: PlannedChange) -> Fields:
        return mapping.from_business_central(change.bc.values, self.field_profile) if change.bc else {}

    def _finish_refused(self, group: list[PlannedChange]) -> None:
        for change in group:
            reason = change.refused[0].reason if change.refused else "nothing_to_write"
            self._finish([(change, Outcome.REJECTED, reason, "")])

    def _write(self, group: list[PlannedChange], body: dict[str, Any]) -> BatchWrite:
        first = group[0]
        etag = first.item.etag if first.item else ""
        if first.action is Action.DELETE_OUTLOOK:
            return BatchWrite("DELETE", contact_id=first.outlook_id or "", etag=etag)
        if first.action is Action.UNTIE:
            return BatchWrite(
                "PATCH", contact_id=first.outlook_id or "", etag=etag, body=body, clears_key=True
            )
        if first.action is Action.CREATE_OUTLOOK:
            key = self._key(first.bc_id or "", Origin.MADE_BY_SYNC)
            return BatchWrite("POST", folder_id=self.target.folder, body=body, bc_key=key)
        couples = any(change.action is Action.COUPLE for change in group)
        origin = first.coupling.origin if first.coupling else Origin.ADOPTED
        key = self._key(first.bc_id or "", origin) if couples else ""
        return BatchWrite("PATCH", contact_id=first.outlook_id or "", etag=etag, body=body, bc_key=key)

    def _key(self, bc_id: str, origin: Origin) -> str:
        return str(replace(self.target.company_key, contact_id=bc_id, origin=origin))

    def _send(self, sendings: list[_Sending]) -> None:
        sendings = self._unchanged_since_read(sendings)
        if not sendings:
            return
        self._begin([change for sending in sendings for change in sending.changes])
        for sending, result in zip(sendings, self._write_items(sendings), strict=True):
            sending.result = result
        self._send_without_addresses(sendings)
        self._look_up_unknown(sendings)
        self._record(sendings)

    def _send_without_addresses(self, sendings: list[_Sending]) -> None:
        """Let the other fields go on where Graph takes no entries back that it gave without an address (rules 6)."""
        again = []
        for sending in sendings:
            body, error = sending.write.body or {}, sending.result.error if sending.result else None
            if not isinstance(error, RejectedError) or not has_unreadable(body.get("emailAddresses")):
                continue
            rest = {name: value for name, value in body.items() if name != "emailAddresses"}
            if rest or sending.write.bc_key:
                sending.write = replace(sending.write, body=rest)
                again.append(sending)
                for change in sending.changes:
                    waiting = change.after.keys() & {"email", "email2"}
                    change.waits = change.waits or bool(waiting)
                    change.refused += [Refusal(name, _said(error, "refused_by_outlook")) for name in waiting]
        if again:
            for sending, result in zip(again, self._write_items(again), strict=True):
                sending.result = result

    def _write_items(self, sendings: list[_Sending]) -> list[WriteResult]:
        writes = [sending.write for sending in sendings]
        try:
            results: list[WriteResult] = self.target.outlook.apply_writes(self.target.user, writes)
        except AccessDeniedError as error:
            # The folder could be read: what is missing is a right to write, for these items or for all.
            return [WriteResult(error=error, request_id=error.request_id) for _ in writes]
        return results

    def _begin(self, changes: Sequence[PlannedChange]) -> None:
        if not self.target.may_write():
            raise WritesOffError
        with self.target.engine.begin() as conn:
            self.target.check_lease(conn)
            numbers = [change.n for change in changes]
            ledger.begin_sending(conn, self.plan, numbers, self.target.fencing)

    def _unchanged_since_read(self, sendings: list[_Sending]) -> list[_Sending]:
        """Where Graph does not check versions, read each item right before its write (rules 8.5)."""
        ids = [sending.write.contact_id for sending in sendings if sending.write.contact_id]
        if self.target.enforces_if_match or not ids:
            return sendings
        present = self.target.outlook.fetch_contacts(self.target.user, ids)
        kept = []
        for sending in sendings:
            now = present.get(sending.write.contact_id)
            if not sending.write.contact_id or (now is not None and now.etag == sending.write.etag):
                kept.append(sending)
            else:
                self._mismatch(sending, "")
        return kept

    def _look_up_unknown(self, sendings: list[_Sending]) -> None:
        """Look once for creates whose outcome is unknown (rules 8.4), by the key that was written with them."""
        unknown = {
            sending.write.bc_key: sending
            for sending in sendings
            if sending.write.method == "POST" and _is_unknown(sending.result)
        }
        if not unknown:
            return
        try:
            found = self.target.outlook.find_by_keys(self.target.user, self.target.folder, list(unknown))
        except ApiError as error:
            logger.warning("looking up %d unknown creates failed: %s", len(unknown), error)
            return
        for key, sending in unknown.items():
            if items := found.get(key):
                sending.result = WriteResult(
                    contact=items[0], request_id=sending.result.request_id if sending.result else ""
                )

    def _record(self, sendings: list[_Sending]) -> None:
        """Store what came of one batch: outcomes, snapshots and couplings, in one transaction."""
        written = [sending for sending in sendings if sending.result and sending.result.error is None]
        contacts = [
            replace(sending.result.contact, bc_key=sending.write.bc_key or _key_of(sending))
            for sending in written
            # What lies in another folder is no part of this one's snapshot.
            if sending.changes[0].action is not Action.UNTIE
            and sending.result
            and isinstance(sending.result.contact, OutlookContact)
        ]
        with self.target.engine.begin() as conn:
            self.target.check_lease(conn)
            rows = stage_outlook(conn, self.target, contacts, tied=[contact.id for contact in contacts])
            deleted = [sending.write.contact_id for sending in sendings if _is_deleted(sending)]
            snapshots.mark_gone_outlook(
                conn, self.target.profile, deleted, at=self.target.now(), reason="deleted_by_sync"
            )
            finished, couplings, ended = [], [], []
            for sending in sendings:
                outcome, reason = self._outcome(sending)
                request = sending.result.request_id if sending.result else ""
                finished += [(change, _own(change, outcome), reason, request) for change in sending.changes]
                couplings += self._coupled(sending, outcome, rows)
                ended += self._uncoupled(sending, outcome)
            ledger.end_couplings(conn, ended)
            stored = ledger.write_couplings(conn, self.target.profile, couplings, self.target.now())
            self.couplings |= {coupling.bc_id: coupling for coupling in stored}
            self._finish_in(conn, finished)

    def _outcome(self, sending: _Sending) -> tuple[Outcome, str]:
        assert sending.result is not None
        error, method = sending.result.error, sending.write.method
        if error is None or _is_deleted(sending):
            done = {"POST": Outcome.CREATED, "PATCH": Outcome.UPDATED, "DELETE": Outcome.DELETED}[method]
            return done, sending.changes[0].reason
        self.failed.add(sending.changes[0].bc_id or "")
        return self._failure(error, sending)

    def _failure(self, error: Exception, sending: _Sending) -> tuple[Outcome, str]:
        item = sending.write.contact_id  # "" for a create
        if isinstance(error, ThrottledError):
            self.loaded.stopped = error
            return Outcome.FAILED, "throttled"
        if isinstance(error, NotFoundError):
            self.loaded.folder_missing = True
        if isinstance(error, VersionMismatchError | NotFoundError) and item:
            self.loaded.reread_outlook.add(item)
            return Outcome.SKIPPED, "version_mismatch"
        if isinstance(error, NotFoundError):
            return Outcome.SKIPPED, FOLDER_MISSING
        if isinstance(error, AuthError):
            return Outcome.FAILED, "access_denied"
        if isinstance(error, RecordError | AccessDeniedError):
            for change in sending.changes:
                change.waits = True
            return Outcome.REJECTED, _said(error, "refused_by_outlook")
        if _is_away(error):
            self.loaded.stopped = error
        self.loaded.reread_outlook |= {item} - {""}
        return Outcome.UNKNOWN, "no_answer"

    def _mismatch(self, sending: _Sending, request_id: str) -> None:
        self.loaded.reread_outlook.add(sending.write.contact_id)
        self.failed.add(sending.changes[0].bc_id or "")
        self._finish(
            [(change, Outcome.SKIPPED, "version_mismatch", request_id) for change in sending.changes]
        )

    def _leave(self, sendings: Iterable[_Sending], outcome: Outcome, reason: str) -> None:
        changes = [change for sending in sendings for change in sending.changes]
        self.failed |= {change.bc_id or "" for change in changes}
        self._finish([(change, outcome, reason, "") for change in changes])

    def _coupled(
        self, sending: _Sending, outcome: Outcome, rows: dict[str, tuple[int, int]]
    ) -> list[Coupling]:
        """The coupling as it stands after a successful create or update of an item."""
        if outcome not in (Outcome.CREATED, Outcome.UPDATED) or sending.result is None:
            return []
        contact, first = sending.result.contact, sending.changes[0]
        if first.action is Action.UNTIE:
            return []
        assert isinstance(contact, OutlookContact)
        row, fingerprint = rows[contact.id]
        if first.bc is None:
            # The key of a kept item: nothing is agreed between the sides.
            return [self._base_coupling(first, contact, row)]
        coupling = self._base_coupling(first, contact, row)
        sent = {name: value for change in sending.changes for name, value in change.source.items()}
        for refusal in (refusal for change in sending.changes for refusal in change.refused):
            sent.pop(refusal.field, None)
        coupling = self._with_baselines(coupling, sent, contact, sending.write.body or {})
        agreed = self._agreed(coupling, first.bc.values, contact.record)
        self.written[first.bc.id] = _Written(contact.record, contact.etag, fingerprint)
        coupling = replace(
            coupling,
            outlook_etag=contact.etag,
            bc_fingerprint=first.bc.fingerprint if agreed else None,
            outlook_fingerprint=fingerprint if agreed else None,
            attention=not agreed and coupling.state is not CouplingState.RELEASED,
        )
        return [coupling]

    def _base_coupling(self, change: PlannedChange, contact: OutlookContact, row: int) -> Coupling:
        if change.action is not Action.CREATE_OUTLOOK:
            assert change.coupling is not None
            return replace(change.coupling, outlook_row=row)
        if change.coupling is None:
            assert change.bc is not None
            return Coupling(
                0, change.bc.id, change.bc.row_id, contact.id, row, Origin.MADE_BY_SYNC, CouplingState.ACTIVE
            )
        # One that comes back by an undo while its contact is out of scope is kept, and no longer synced (2.1).
        kept = CouplingState.RELEASED if change.cause == UNDO else CouplingState.PINNED
        state = kept if change.coupling.state is kept else CouplingState.ACTIVE
        return replace(
            left_coupling(change.coupling),
            outlook_id=contact.id,
            outlook_row=row,
            origin=Origin.MADE_BY_SYNC,
            state=state,
            baseline_bc={},
            baseline_outlook={},
        )

    def _with_baselines(
        self, coupling: Coupling, sent: Fields, contact: OutlookContact, body: dict[str, Any]
    ) -> Coupling:
        """New baselines for the fields that were sent, and for those only (rules 8.6)."""
        old = coupling.baseline_outlook.get("fields", {})
        # What was sent says which entries of the arrays are ours, whatever Outlook made of them.
        ours = mapping.outlook_baseline(contact.record | body, old | sent)
        returned = mapping.from_outlook(contact.record, self.field_profile, baseline=ours)
        fields = old | {name: returned.get(name, "") for name in sent}
        return replace(
            coupling,
            differs=_without(coupling.differs, sent),
            baseline_bc=coupling.baseline_bc | sent,
            baseline_outlook=moved_baseline(
                coupling.baseline_outlook, contact.record, fields, self.target.context
            ),
        )

    def _agreed(self, coupling: Coupling, values: dict[str, str], record: dict[str, Any]) -> bool:
        """Whether every field of both sides is what its baseline says: then fingerprints stand for the pair."""
        bc = mapping.from_business_central(values, self.field_profile)
        outlook = mapping.from_outlook(record, self.field_profile, baseline=coupling.baseline_outlook)
        baseline = coupling.baseline_outlook["fields"]
        return all(
            name in coupling.baseline_bc
            and self._equal(name, bc.get(name, ""), coupling.baseline_bc[name])
            and self._equal(name, outlook.get(name, ""), baseline.get(name, ""))
            for name in mapping.diffed_fields(self.field_profile)
        )

    def _equal(self, name: str, one: str, other: str) -> bool:
        return one == other or self.normaliser.normal(name, one) == self.normaliser.normal(name, other)

    def _uncoupled(self, sending: _Sending, outcome: Outcome) -> list[int]:
        coupling = sending.changes[0].coupling
        # What a person did not want stays away (7.1), as if a colleague had deleted it: the next diff says so.
        stays = sending.changes[0].cause == UNDO
        return [coupling.id] if outcome is Outcome.DELETED and coupling and not stays else []

    # -- Business Central ------------------------------------------------------------------------------------------

    def apply_business_central(self, changes: Sequence[PlannedChange]) -> None:
        for change in changes:
            if self.loaded.stopped:
                self._finish([(change, Outcome.FAILED, "service_away", "")])
            elif change.bc_id in self.failed:
                self._finish([(change, Outcome.SKIPPED, DEPENDS_ON_OUTLOOK, "")])
            elif self._is_over(change.action):
                self._finish([(change, Outcome.SKIPPED, REFUSED_IN_A_ROW, "")])
            elif change.action is Action.UPDATE_BC:
                self._update_bc(change)
            else:
                self._create_bc(change)
        self._write_keys()

    def _update_bc(self, change: PlannedChange) -> None:
        assert change.bc is not None
        body, _ = mapping.to_business_central(
            change.after,
            change.bc.values,
            lookups=self.target.context.lookups,
            field_profile=self.field_profile,
        )
        self._begin([change])
        result = self._send_to_bc(change, body, change.bc.etag)
        if _is_of_body(result.error) and len(change.after) > 1:
            self._update_singly(change)
            return
        self._record_update(change, result, change.after)

    def _send_to_bc(self, change: PlannedChange, body: dict[str, str], etag: str) -> WriteResult:
        company = self.target.company_key.company_id
        try:
            result: WriteResult = self.target.business_central.update_contact(
                company, change.bc_id, body, etag
            )
        except AccessDeniedError as error:
            # The company could be read: what is missing is a right to write.
            return WriteResult(error=error, request_id=error.request_id)
        return result

    def _update_singly(self, change: PlannedChange) -> None:
        """BC refused the whole body: send each field on its own, so that one bad value does not stop the others."""
        assert change.bc is not None
        values, etag, sent, last = dict(change.bc.values), change.bc.etag, {}, WriteResult()
        refused: dict[str, ApiError] = {}
        for name, value in change.after.items():
            body, _ = mapping.to_business_central(
                {name: value}, values, lookups=self.target.context.lookups, field_profile=self.field_profile
            )
            result = self._send_to_bc(change, body, etag)
            if _is_of_body(result.error):
                refused[name] = result.error
            elif result.error is not None:
                self._record_update(change, result, {})
                return
            elif isinstance(result.contact, BcContact):
                values, etag, last = result.contact.values, result.contact.etag, result
                sent[name] = value
        self._record_update(change, last, sent, self._refused_fields(change, sent, refused))

    def _refused_fields(
        self, change: PlannedChange, sent: Fields, errors: dict[str, ApiError]
    ) -> dict[str, str]:
        """Return the fields whose values BC cannot hold, with reasons; what else it refused waits (rules 6)."""
        reasons = {name: _said(error, "refused_by_business_central") for name, error in errors.items()}
        of_value = {name for name, error in errors.items() if isinstance(error, ValueRefusedError)}
        change.waits = change.waits or errors.keys() != of_value
        if sent:
            change.refused += [Refusal(name, reason) for name, reason in reasons.items()]
        else:
            # What may pass weighs more: it is what the next try is about.
            change.reason = next((reasons[name] for name in reasons if name not in of_value), "")
        return {name: reasons[name] for name in of_value}

    def _record_update(
        self, change: PlannedChange, result: WriteResult, sent: Fields, refused: dict[str, str] | None = None
    ) -> None:
        refused = refused or {}
        if result.error is not None:
            outcome, reason = self._bc_failure(change, result.error)
            if outcome is Outcome.REJECTED and isinstance(result.error, ApiError):
                refused = self._refused_fields(change, {}, dict.fromkeys(change.after, result.error))
        elif sent:
            outcome, reason = Outcome.UPDATED, self._changed_by_bc(sent, result.contact)
        else:
            outcome, reason = Outcome.REJECTED, change.reason or next(iter(refused.values()), "")
        with self.target.engine.begin() as conn:
            self.target.check_lease(conn)
            if isinstance(result.contact, BcContact):
                stage_business_central(conn, self.target, [result.contact], force=True)
            coupling = self._after_update(change, result.contact, sent, refused)
            if coupling is not None:
                coupling = self._settled(coupling, change, result.contact)
                ledger.write_couplings(conn, self.target.profile, [coupling], self.target.now())
            self._finish_in(conn, [(change, outcome, reason, result.request_id)])

    def _changed_by_bc(self, sent: Fields, contact: object) -> str:
        """Say so where BC made something else of a value that it was sent (rules 8.6)."""
        if not isinstance(contact, BcContact):
            return ""
        returned = mapping.from_business_central(contact.values, self.field_profile)
        same = all(self._equal(name, returned.get(name, ""), value) for name, value in sent.items())
        return "" if same else "changed_by_bc"

    def _bc_failure(self, change: PlannedChange, error: Exception) -> tuple[Outcome, str]:
        if isinstance(error, ThrottledError):
            self.loaded.stopped = error
            return Outcome.FAILED, "throttled"
        if isinstance(error, VersionMismatchError | NotFoundError):
            self.loaded.reread_bc.add(change.bc_id or "")
            return Outcome.SKIPPED, "version_mismatch"
        if isinstance(error, RecordError | AccessDeniedError):
            return Outcome.REJECTED, _said(error, "refused_by_business_central")
        if _is_away(error):
            self.loaded.stopped = error
        self.loaded.reread_bc.add(change.bc_id or "")
        return Outcome.UNKNOWN, "no_answer"

    def _after_update(
        self, change: PlannedChange, contact: object, sent: Fields, refused: dict[str, str]
    ) -> Coupling | None:
        """New baselines for what was sent (rules 8.6); a refused value is remembered by its digest."""
        base = self.couplings.get(change.bc_id or "", change.coupling)
        if base is None or base.id == 0 or not (sent or refused):
            return None
        baseline_bc, fields = dict(base.baseline_bc), dict(base.baseline_outlook.get("fields", {}))
        if isinstance(contact, BcContact):
            returned = mapping.from_business_central(contact.values, self.field_profile)
            for name, value in sent.items():
                same = self._equal(name, returned.get(name, ""), value)
                # BC made something else of it: both baselines hold what was sent, so that the next diff takes BC's
                # form to Outlook, once.
                baseline_bc[name] = returned.get(name, "") if same else value
                fields[name] = change.source.get(name, value)
        digests = {
            name: {
                "digest": refusal_digest(change.after[name], self.target.context.lookups),
                "reason": reason,
            }
            for name, reason in refused.items()
        }
        assert change.item is not None
        baseline = moved_baseline(base.baseline_outlook, change.item.record, fields, self.target.context)
        return replace(
            base,
            baseline_bc=baseline_bc,
            baseline_outlook=baseline,
            differs=_without(base.differs, sent),
            refused=base.refused | digests,
            attention=True,
        )

    def _settled(self, coupling: Coupling, change: PlannedChange, contact: object) -> Coupling:
        """The coupling in agreement, where this update was all that stood between its sides.

        So the item counts as edited no longer: one that returns meanwhile takes its place in the next run (2.6).
        """
        item = self.written.get(coupling.bc_id) or change.item
        assert item is not None
        if not isinstance(contact, BcContact) or coupling.refused or change.waits:
            return coupling
        if not self._agreed(coupling, contact.values, item.record):
            self.loaded.changed_by_bc = True
            return coupling
        return replace(
            coupling,
            bc_fingerprint=bc_row(contact, self.target.context).fingerprint,
            outlook_fingerprint=item.fingerprint,
            outlook_etag=item.etag,
            attention=False,
        )

    def _create_bc(self, change: PlannedChange) -> None:
        state = self._claim(change)
        if state.mine or self._take_over(change, state):
            found = self._in_bc(change.email_key)
            if found is None:
                self._leave_create(change, state)
            elif found:
                self._drop_claim(change, found)
                self._finish([(change, Outcome.SKIPPED, "found_in_bc", "")])
                self.loaded.reread_bc |= {contact.id for contact in found}
            else:
                self._send_create(change)
        elif state.bc_id:
            self._finish([(change, Outcome.SKIPPED, "created_by_other_profile", "")])
            self.loaded.reread_bc.add(state.bc_id)
        else:
            self._finish([(change, Outcome.SKIPPED, "claimed_by_other_profile", "")])

    def _claim(self, change: PlannedChange) -> locks.ClaimState:
        with self.target.engine.begin() as conn:
            self.target.check_lease(conn)
            return locks.claim_create(
                conn,
                self.target.company,
                change.email_key,
                profile=self.target.profile,
                fencing=self.target.fencing,
                run=self.target.run,
            )

    def _renew_claim(self, change: PlannedChange) -> bool:
        """Whether the claim is still ours: the look-up before a create may have queued for long (8.7)."""
        with self.target.engine.begin() as conn:
            self.target.check_lease(conn)
            return locks.renew_claim(
                conn,
                self.target.company,
                change.email_key,
                profile=self.target.profile,
                fencing=self.target.fencing,
            )

    def _take_over(self, change: PlannedChange, state: locks.ClaimState) -> bool:
        """Take the claim of a worker that is gone, once nothing that it sent can still be carried out (8.7)."""
        if state.bc_id is not None:
            return False
        with self.target.engine.begin() as conn:
            self.target.check_lease(conn)
            if state.claimed_at > self.target.too_late(conn):
                return False
            return locks.take_claim(
                conn,
                self.target.company,
                change.email_key,
                state,
                profile=self.target.profile,
                fencing=self.target.fencing,
                run=self.target.run,
            )

    def _drop_claim(self, change: PlannedChange, found: list[BcContact]) -> None:
        with self.target.engine.begin() as conn:
            self.target.check_lease(conn)
            locks.drop_claim(conn, self.target.company, change.email_key)
            stage_business_central(conn, self.target, found, force=True)

    def _leave_create(self, change: PlannedChange, state: locks.ClaimState) -> None:
        """Send no create without a look-up that can be believed (rules 8.4); the next run tries again."""
        if state.state == "open":
            with self.target.engine.begin() as conn:
                self.target.check_lease(conn)
                locks.drop_claim(conn, self.target.company, change.email_key)
        self._finish([(change, Outcome.FAILED, NOT_LOOKED_UP, "")])

    def _in_bc(self, key: str) -> list[BcContact] | None:
        return look_up(self.target, key)

    def _send_create(self, change: PlannedChange) -> None:
        body, _ = mapping.to_business_central(
            change.after, None, lookups=self.target.context.lookups, field_profile=self.field_profile
        )
        if not self._renew_claim(change):
            self._finish([(change, Outcome.SKIPPED, "claimed_by_other_profile", "")])
            return
        self._begin([change])
        result = self._create_in_bc(body)
        if _is_of_body(result.error) and len(change.after) > len(MENDING):
            # BC refuses something: what a contact must have first; the next round sends each other field by itself.
            change.after = {name: change.after[name] for name in MENDING}
            change.source = dict(change.after)
            body, _ = mapping.to_business_central(
                change.after, None, lookups=self.target.context.lookups, field_profile=self.field_profile
            )
            result = self._create_in_bc(body)
            if isinstance(result.contact, BcContact):
                self.loaded.reread_bc.add(result.contact.id)
        if _is_unknown(result):
            name = self.normaliser.normal("name", change.after.get("name", ""))
            for contact in self._in_bc(change.email_key) or ():
                if self.normaliser.normal("name", contact.values["name"]) == name:
                    result = WriteResult(contact=contact, request_id=result.request_id)
        self._record_create(change, result)

    def _create_in_bc(self, body: dict[str, str]) -> WriteResult:
        company = self.target.company_key.company_id
        try:
            result: WriteResult = self.target.business_central.create_contact(company, body)
        except AccessDeniedError as error:
            return WriteResult(error=error, request_id=error.request_id)
        return result

    def _record_create(self, change: PlannedChange, result: WriteResult) -> None:
        with self.target.engine.begin() as conn:
            self.target.check_lease(conn)
            if isinstance(result.contact, BcContact) and change.item is not None:
                item = OutlookContact(
                    change.item.id,
                    change.item.etag,
                    "",
                    change.item.created,
                    "",
                    change.item.bc_key,
                    change.item.record,
                )
                kept = {refusal.field for refusal in change.refused}
                source = {name: value for name, value in change.source.items() if name not in kept}
                made = MadeInOutlook(item, change.item.row_id, source)
                coupling = couple_created(conn, self.target, result.contact, made)
                self.unkeyed.append((coupling, item))
                outcome = Outcome.CREATED
                reason = self._changed_by_bc(source, result.contact)
                self.loaded.changed_by_bc |= bool(reason)
                if coupling.state is not CouplingState.ACTIVE:
                    reason = "created_outside_filter"
            elif isinstance(result.error, RecordError | AccessDeniedError):
                locks.drop_claim(conn, self.target.company, change.email_key)
                change.waits = True
                outcome, reason = Outcome.REJECTED, _said(result.error, "refused_by_business_central")
            elif isinstance(result.error, ThrottledError):
                locks.drop_claim(conn, self.target.company, change.email_key)
                self.loaded.stopped = result.error
                outcome, reason = Outcome.FAILED, "throttled"
            else:
                if _is_away(result.error):
                    self.loaded.stopped = result.error
                locks.settle_claim(
                    conn, self.target.company, change.email_key, run=self.target.run, state="unknown"
                )
                outcome, reason = Outcome.UNKNOWN, "no_answer"
            self._finish_in(conn, [(change, outcome, reason, result.request_id)])

    def _write_keys(self) -> None:
        """Give the items whose contacts were made in BC their key, in the load that couples them (rules 2.2).

        A key that can't be written now is written by the next run: the coupling asks for attention until then.
        """
        for part in ledger.chunks(self.unkeyed, BATCH):
            writes = [
                BatchWrite(
                    "PATCH",
                    contact_id=item.id,
                    etag=item.etag,
                    body=self._category(item.record),
                    bc_key=self._key(coupling.bc_id, coupling.origin),
                )
                for coupling, item in part
            ]
            results = self.target.outlook.apply_writes(self.target.user, writes)
            keyed = [
                replace(result.contact, bc_key=write.bc_key)
                for write, result in zip(writes, results, strict=True)
                if isinstance(result.contact, OutlookContact)
            ]
            with self.target.engine.begin() as conn:
                self.target.check_lease(conn)
                self._stage_outlook(conn, keyed)
                settle_keyed(conn, self.target, keyed)
        self.unkeyed.clear()

    def _category(self, record: dict[str, Any]) -> dict[str, Any]:
        """Our category for an item that gets its key, where anything but keys may be written to Outlook (7.9)."""
        if self.target.context.policy.direction is Direction.TO_BUSINESS_CENTRAL:
            return {}
        categories = mapping.ensure_category(record)
        return {"categories": categories} if categories else {}

    # -- outcomes --------------------------------------------------------------------------------------------------

    def _stage_outlook(
        self, conn: Connection, contacts: Sequence[OutlookContact]
    ) -> dict[str, tuple[int, int]]:
        return stage_outlook(conn, self.target, contacts)

    def _finish(self, results: list[tuple[PlannedChange, Outcome, str, str]]) -> None:
        with self.target.engine.begin() as conn:
            self._finish_in(conn, results)

    def _finish_in(self, conn: Connection, results: list[tuple[PlannedChange, Outcome, str, str]]) -> None:
        for change, outcome, reason, _ in results:
            change.outcome, change.reason = outcome, reason
        rows = [(change.n, outcome, reason, request) for change, outcome, reason, request in results]
        ledger.finish_changes(conn, self.plan, rows)
        changes = [change for change, _, _, _ in results]
        self._postpone(conn, changes)
        self._count_refusals(changes)

    def _postpone(self, conn: Connection, changes: Sequence[PlannedChange]) -> None:
        """Note what waits for its next try, and forget what was carried out (rules 6)."""
        waiting = [change for change in changes if change.waits]
        refused = [postponed.Refused(each.subject, each.try_digest, _code(each)) for each in waiting]
        postponed.refuse(conn, self.target.profile, self.target.run, refused)
        carried = {change.subject for change in changes if change.outcome in _DONE and not change.waits}
        postponed.forget(conn, self.target.profile, carried)

    def _count_refusals(self, changes: Sequence[PlannedChange]) -> None:
        for change in changes:
            if change.waits and change.outcome is Outcome.REJECTED:
                code, times = self.refusals.get(change.action, ("", 0))
                self.refusals[change.action] = (change.reason, times + 1 if code == change.reason else 1)
            elif change.reason != REFUSED_IN_A_ROW:
                self.refusals.pop(change.action, None)


# -- looking up in BC ------------------------------------------------------------------------------------------------

#: Why a create was not sent: nobody knows whether BC has the contact already.
NOT_LOOKED_UP = "not_looked_up"


def look_up(target: Target, key: str) -> list[BcContact] | None:
    """Return the contacts of BC with an address (normal form), or None where BC's answer cannot be believed.

    Lists of addresses that changed before the last read are in the snapshot: whom they hold is matched already.
    """
    with target.engine.connect() as conn:
        cursor = runs.read_cursor(conn, "business_central", target.company)
    since = before(cursor.position, LOOK_BACK) if cursor.position else ""
    try:
        found = [
            contact
            for spelling in email_spellings(key)
            for contact in target.business_central.find_by_email(
                target.company_key.company_id, spelling, since=since
            )
        ]
    except (RejectedError, MalformedAnswerError) as error:
        logger.warning("looking up an address in Business Central proves nothing: %s", error)
        return None
    same = {each.id: each for each in found if email_key(each.values.get("email", "")) == key}
    return list(same.values())


# -- staging what a service returned ---------------------------------------------------------------------------------


def stage_outlook(
    conn: Connection, target: Target, contacts: Sequence[OutlookContact], tied: Collection[str] = ()
) -> dict[str, tuple[int, int]]:
    """Stage items that were read or returned just now; return row and fingerprint by id."""
    rows = [outlook_row(contact, target.context) for contact in contacts]
    snapshots.stage_outlook(
        conn, target.profile, rows, normaliser=target.context.version, force=True, tied=tied
    )
    numbers = snapshots.outlook_row_ids(conn, target.profile, [row.contact.id for row in rows])
    return {row.contact.id: (numbers[row.contact.id], row.fingerprint) for row in rows}


def outlook_row(contact: OutlookContact, context: DiffContext) -> snapshots.OutlookRow:
    """Return an item as it is staged: with the fingerprint, address and name that the diff looks at."""
    fields = mapping.from_outlook(contact.record, context.policy.field_profile)
    address = fields.get("email", "")
    key = "" if address == UNREADABLE else email_key(address)
    return snapshots.OutlookRow(
        contact, context.normaliser.fingerprint(fields), key, fields.get("name", "").strip()
    )


def bc_row(contact: BcContact, context: DiffContext) -> snapshots.BcRow:
    """Return a BC contact as it is staged."""
    fields = mapping.from_business_central(contact.values, context.policy.field_profile)
    problem = to_outlook_problem(fields.get("name", ""), fields.get("email", "")) or ""
    address = email_key(contact.values.get("email", ""))
    return snapshots.BcRow(contact, context.normaliser.fingerprint(fields), address, problem)


def stage_business_central(
    conn: Connection, target: Target, contacts: Sequence[BcContact], *, force: bool = False
) -> None:
    """Stage BC contacts that were read or returned just now."""
    rows = [bc_row(contact, target.context) for contact in contacts]
    if rows:
        generation = snapshots.next_generation(conn, target.company)
        snapshots.stage_business_central(
            conn, target.company, rows, generation=generation, normaliser=target.context.version, force=force
        )


@dataclass(frozen=True, slots=True)
class MadeInOutlook:
    """An item of a user that a BC contact was made of: its staging row, and the values that were read from it."""

    item: OutlookContact
    row: int
    source: Fields


def couple_created(conn: Connection, target: Target, contact: BcContact, made: MadeInOutlook) -> Coupling:
    """Couple an item of a user with the BC contact that was made of it (rules 7.7)."""
    stage_business_central(conn, target, [contact], force=True)
    row = snapshots.read_bc_rows(conn, target.company, ids=[contact.id])[0]
    state = CouplingState.ACTIVE if target.in_filter(contact.values) else CouplingState.PINNED
    baseline = {name: value for name, value in made.source.items() if value}
    coupling = Coupling(
        0,
        contact.id,
        row["row_id"],
        made.item.id,
        made.row,
        Origin.MADE_BY_USER,
        state,
        baseline_bc=baseline,
        baseline_outlook=mapping.outlook_baseline(made.item.record, baseline),
        attention=True,
    )
    ledger.write_couplings(conn, target.profile, [coupling], target.now())
    address = email_key(contact.values.get("email", ""))
    locks.settle_claim(conn, target.company, address, run=target.run, state="done", bc_id=contact.id)
    return coupling


def settle_keyed(conn: Connection, target: Target, contacts: Sequence[OutlookContact]) -> None:
    """Take over the versions that our own key writes gave to items, so that they do not look edited."""
    ledger.set_outlook_etags(conn, target.profile, {contact.id: contact.etag for contact in contacts})


def _without(differs: dict[str, str], sent: Iterable[str]) -> dict[str, str]:
    """What is still let differ when these fields were written."""
    return {name: direction for name, direction in differs.items() if name not in set(sent)}


def _own(change: PlannedChange, outcome: Outcome) -> Outcome:
    """The outcome of one of the changes that a write carried out: a key counts as coupling, not as update (2.2)."""
    couples = change.action is Action.COUPLE and outcome is Outcome.UPDATED
    return Outcome.COUPLED if couples else outcome


def _is_unknown(result: WriteResult | None) -> bool:
    """Whether a write may have been carried out although no answer says so."""
    error = result.error if result else None
    return isinstance(error, ServiceError) and not isinstance(error, ThrottledError)


def _is_of_body(error: Exception | None) -> TypeGuard[RejectedError]:
    """Whether a part of the body may be to blame, so that its other fields can pass by themselves."""
    return isinstance(error, RejectedError) and error.status in (0, 400, 422)


def _said(error: ApiError, otherwise: str) -> str:
    """What the service gave as its reason, as long as a reason may be in the staging database."""
    return error.code[:64] or otherwise


def _code(change: PlannedChange) -> str:
    """What the service said of a change that it refused, or of a field of it."""
    if change.outcome is Outcome.REJECTED:
        return change.reason
    return next((refusal.reason for refusal in change.refused), change.reason)


def _is_away(error: Exception | None) -> TypeGuard[ServiceError]:
    """Whether the service as a whole does not answer: sending more would only make more unknown outcomes."""
    is_intercepted = isinstance(error, InterceptedError)
    return isinstance(error, ServiceError) and (is_intercepted or error.status in (0, 502, 503, 504))


def _is_deleted(sending: _Sending) -> bool:
    if sending.write.method != "DELETE" or sending.result is None:
        return False
    return sending.result.error is None or isinstance(sending.result.error, NotFoundError)


def _key_of(sending: _Sending) -> str | None:
    item = sending.changes[0].item
    return item.bc_key if item else None
