"""Carry a plan's changes to Outlook: twenty writes a request, each on condition of its version (rules 8.4 and 8.5)."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from itertools import chain, islice, pairwise
from typing import Any

from sync_lib.errors import (
    AccessDeniedError,
    ApiError,
    AuthError,
    LeaseLostError,
    NotFoundError,
    RecordError,
    RejectedError,
    ThrottledError,
    VersionMismatchError,
)
from sync_lib.fields.mapper import FieldMapper
from sync_lib.fields.slots import has_unreadable
from sync_lib.load.couple import ItemWrite, StagedItem, coupled_by, key_for, stage_outlook
from sync_lib.load.if_match import Changed, IfMatch
from sync_lib.load.outcomes import (
    BATCH,
    FOLDER_MISSING,
    REFUSED_IN_A_ROW,
    Outcomes,
    WrittenItem,
    is_away,
    is_unknown,
    said,
)
from sync_lib.load.target import Target
from sync_lib.model import (
    UNDO,
    Action,
    Categories,
    Coupling,
    Fields,
    Origin,
    Outcome,
    OutlookContact,
    PlannedChange,
    Refusal,
)
from sync_lib.ports import BatchWrite, WriteResult
from sync_lib.store.couplings import end_couplings, write_couplings
from sync_lib.store.snapshots import outlook_items

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class _Sending:
    """One write to Outlook; it may carry out two changes (the key and the fields of one item)."""

    changes: list[PlannedChange]
    write: BatchWrite
    #: The fields of the contact of BC that is written; {} where there is none.
    bc: Fields = field(default_factory=dict)
    result: WriteResult | None = None


class OutlookLoad:
    """Applies changes to one folder."""

    def __init__(self, target: Target, outcomes: Outcomes) -> None:
        self.target = target
        self.outcomes = outcomes
        self.loaded = outcomes.loaded
        # Whether the batch that comes next is marked as being sent already.
        self._begun = False
        self._if_match = IfMatch(target)

    def apply(self, changes: Sequence[PlannedChange]) -> None:
        """Send the changes, a batch at a time. A batch is made when the one before it is about to be sent.

        So of a first sync of many contacts only two batches with their answers are in memory.
        """
        sendings = self._sendings(changes)
        batches = iter(lambda: list(islice(sendings, BATCH)), [])
        for part, following in pairwise(chain(batches, [[]])):
            if self.loaded.stopped:
                self._leave(part, Outcome.FAILED, "service_away")
            else:
                self._send(self._allowed(part), following)

    def _allowed(self, part: Iterable[_Sending]) -> list[_Sending]:
        """Leave out kinds of actions that are of no use any more in this run."""
        allowed = []
        for sending in part:
            first = sending.changes[0]
            if self.loaded.folder_missing and first.action is Action.CREATE_OUTLOOK:
                self._leave([sending], Outcome.SKIPPED, FOLDER_MISSING)
            elif self.outcomes.is_over(first.action):
                self._leave([sending], Outcome.SKIPPED, REFUSED_IN_A_ROW)
            else:
                allowed.append(sending)
        return allowed

    # -- what is sent ----------------------------------------------------------------------------------------------

    def _sendings(self, changes: Sequence[PlannedChange]) -> Iterator[_Sending]:
        by_item: dict[str, list[PlannedChange]] = {}
        for change in changes:
            by_item.setdefault(f"{change.outlook_id or ''}|{change.bc_id}", []).append(change)
        for group in by_item.values():
            bc = _fields_of(group[0], self.target.mapper)
            body = self._body(group, bc)
            if body is not None:
                yield _Sending(group, _write_of(group, body, self.target), bc)

    def _body(self, group: list[PlannedChange], bc: Fields) -> dict[str, Any] | None:
        """The body of one write, or None where nothing that Outlook can hold is left of it."""
        after = {name: value for change in group for name, value in change.after.items()}
        first = group[0]
        if first.action is Action.DELETE_OUTLOOK:
            return {}
        categories = _categories_of(group)
        body = {"categories": categories["after"]} if categories else {}
        if first.action is Action.UNTIE:
            return body
        record = first.item.record if first.item else None
        fields, refused = self.target.mapper.to_outlook(
            after,
            record,
            all_fields=bc | after,
            baseline=first.coupling.baseline_outlook if first.coupling else None,
        )
        for change in group:
            change.refused += [refusal for refusal in refused if refusal.field in change.after]
        body = fields | body
        if not body and first.action is Action.UPDATE_OUTLOOK:
            self._finish_refused(group)
            return None
        return body

    def _finish_refused(self, group: list[PlannedChange]) -> None:
        for change in group:
            reason = change.refused[0].reason if change.refused else "nothing_to_write"
            self.outcomes.finish([(change, Outcome.REJECTED, reason, "")])

    # -- sending ---------------------------------------------------------------------------------------------------

    def _send(self, sendings: list[_Sending], following: Sequence[_Sending]) -> None:
        if self._begun:
            self._begun = False
        else:
            sendings = self._unchanged_since_read(sendings)
            if not sendings:
                return
            self.outcomes.begin(_changes_of(sendings))
        for sending, result in zip(sendings, self._write_items(sendings), strict=True):
            sending.result = result
        self._send_without_addresses(sendings)
        self._look_up_unknown(sendings)
        if _can_follow(sendings, following, self.outcomes):
            with suppress(LeaseLostError):
                self._record(sendings, following)
                self._begun = True
                return
            # What was written is stored all the same, if that may be: then the next batch finds out by itself.
        self._record(sendings)
        if not self.loaded.stopped:
            self._if_match.find_out(each for sending in sendings if (each := _changed(sending)) is not None)

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
                    change.refused += [Refusal(name, said(error, "refused_by_outlook")) for name in waiting]
        if again:
            for sending, result in zip(again, self._write_items(again), strict=True):
                sending.result = result

    def _write_items(self, sendings: list[_Sending]) -> list[WriteResult]:
        writes = [sending.write for sending in sendings]
        try:
            return self.target.outlook.apply_writes(self.target.user, writes)
        except AccessDeniedError as error:
            # The folder could be read: what is missing is a right to write, for these items or for all.
            return [WriteResult(error=error, request_id=error.request_id) for _ in writes]

    def _unchanged_since_read(self, sendings: list[_Sending]) -> list[_Sending]:
        """Where Graph does not check versions, read each item right before its write (rules 8.5)."""
        ids = [sending.write.contact_id for sending in sendings if sending.write.contact_id]
        if self._if_match.is_enforced or not ids:
            return sendings
        present = self.target.outlook.fetch_contacts(self.target.user, ids)
        kept = []
        for sending in sendings:
            now = present.get(sending.write.contact_id)
            if not sending.write.contact_id or (now is not None and now.etag == sending.write.etag):
                kept.append(sending)
            else:
                self._mismatch(sending)
        return kept

    def _look_up_unknown(self, sendings: list[_Sending]) -> None:
        """Look once for creates whose outcome is unknown (rules 8.4), by the key that was written with them."""
        unknown = {
            sending.write.bc_key: sending
            for sending in sendings
            if sending.write.method == "POST" and is_unknown(sending.result)
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
                request = sending.result.request_id if sending.result else ""
                sending.result = WriteResult(contact=items[0], request_id=request)

    # -- what came of it -------------------------------------------------------------------------------------------

    def _record(self, sendings: list[_Sending], following: Sequence[_Sending] = ()) -> None:
        """Store what came of one batch: outcomes, snapshots and couplings, in one transaction.

        It also marks the batch ``following`` as being sent, which nothing comes before now.
        """
        contacts = [contact for sending in sendings if (contact := _in_folder(sending)) is not None]
        with self.target.engine.begin() as conn:
            self.target.check_lease(conn)
            rows = stage_outlook(conn, self.target, contacts, tied=[contact.id for contact in contacts])
            deleted = [sending.write.contact_id for sending in sendings if _is_deleted(sending)]
            outlook_items.mark_gone_outlook(
                conn, self.target.profile, deleted, at=self.target.now(), reason="deleted_by_sync"
            )
            finished, couplings, ended = [], [], []
            for sending in sendings:
                outcome, reason = self._outcome(sending)
                request = sending.result.request_id if sending.result else ""
                finished += [(change, _own(change, outcome), reason, request) for change in sending.changes]
                couplings += self._coupled(sending, outcome, rows)
                ended += _uncoupled(sending, outcome)
            end_couplings(conn, ended)
            stored = write_couplings(conn, self.target.profile, couplings, self.target.now())
            self.outcomes.remember(stored)
            self.outcomes.finish_in(conn, finished)
            if following:
                self.outcomes.begin_in(conn, _changes_of(following))

    def _outcome(self, sending: _Sending) -> tuple[Outcome, str]:
        assert sending.result is not None
        error, method = sending.result.error, sending.write.method
        if error is None or _is_deleted(sending):
            done = {"POST": Outcome.CREATED, "PATCH": Outcome.UPDATED, "DELETE": Outcome.DELETED}[method]
            return done, sending.changes[0].reason
        self.outcomes.failed.add(sending.changes[0].bc_id or "")
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
            return Outcome.REJECTED, said(error, "refused_by_outlook")
        if is_away(error):
            self.loaded.stopped = error
        self.loaded.reread_outlook |= {item} - {""}
        return Outcome.UNKNOWN, "no_answer"

    def _mismatch(self, sending: _Sending) -> None:
        self.loaded.reread_outlook.add(sending.write.contact_id)
        self._leave([sending], Outcome.SKIPPED, "version_mismatch")

    def _leave(self, sendings: Iterable[_Sending], outcome: Outcome, reason: str) -> None:
        changes = _changes_of(sendings)
        self.outcomes.failed |= {change.bc_id or "" for change in changes}
        self.outcomes.finish([(change, outcome, reason, "") for change in changes])

    def _coupled(self, sending: _Sending, outcome: Outcome, rows: dict[str, StagedItem]) -> list[Coupling]:
        """The coupling as it is after a successful create or update of an item."""
        if outcome not in (Outcome.CREATED, Outcome.UPDATED) or sending.result is None:
            return []
        contact, first = sending.result.contact, sending.changes[0]
        if first.action is Action.UNTIE:
            return []
        assert isinstance(contact, OutlookContact)
        staged = rows[contact.id]
        if first.bc is not None and first.bc.id in self.outcomes.goes_on:
            self.outcomes.written[first.bc.id] = WrittenItem(contact.record, contact.etag, staged.fingerprint)
        write = ItemWrite(sending.changes, sending.write.body or {}, contact, staged, sending.bc)
        return [coupled_by(write, self.target.mapper)]


def _fields_of(change: PlannedChange, mapper: FieldMapper) -> Fields:
    """The fields of the contact of BC that a change is about; {} where there is none."""
    if change.action is Action.CREATE_OUTLOOK and change.source:
        return change.source  # All of them, as they were read when it was planned.
    return mapper.of_business_central(change.bc.values) if change.bc else {}


def _write_of(group: list[PlannedChange], body: dict[str, Any], target: Target) -> BatchWrite:
    first = group[0]
    etag = first.item.etag if first.item else ""
    if first.action is Action.DELETE_OUTLOOK:
        return BatchWrite("DELETE", contact_id=first.outlook_id or "", etag=etag)
    if first.action is Action.UNTIE:
        return BatchWrite("PATCH", contact_id=first.outlook_id or "", etag=etag, body=body, clears_key=True)
    if first.action is Action.CREATE_OUTLOOK:
        key = key_for(target.company_key, first.bc_id or "", Origin.MADE_BY_SYNC)
        return BatchWrite("POST", folder_id=target.folder, body=body, bc_key=key)
    couples = any(change.action is Action.COUPLE for change in group)
    origin = first.coupling.origin if first.coupling else Origin.ADOPTED
    key = key_for(target.company_key, first.bc_id or "", origin) if couples else ""
    return BatchWrite("PATCH", contact_id=first.outlook_id or "", etag=etag, body=body, bc_key=key)


def _can_follow(sendings: Sequence[_Sending], following: Sequence[_Sending], outcomes: Outcomes) -> bool:
    """Whether the next batch is to be sent whole and at once, whatever this one came to.

    Then both are written down in one transaction. Where it depends on this one, or on a read before it, it has one
    of its own; so it has where the switch is off, which raises there.
    """
    is_good = all(sending.result is not None and sending.result.error is None for sending in sendings)
    is_read_first = not outcomes.target.enforces_if_match and any(each.write.contact_id for each in following)
    if not following or not is_good or is_read_first or outcomes.loaded.folder_missing:
        return False
    is_over = any(outcomes.is_over(each.changes[0].action) for each in following)
    return not is_over and outcomes.target.may_write()


def _changes_of(sendings: Iterable[_Sending]) -> list[PlannedChange]:
    return [change for sending in sendings for change in sending.changes]


def _categories_of(changes: Iterable[PlannedChange]) -> Categories:
    """Return what is written of an item's categories: at most one of its changes does."""
    return next((change.categories for change in changes if change.categories), {})


def _changed(sending: _Sending) -> Changed | None:
    """The item that a write has changed, with the version that it had before; None for any other write."""
    item = _in_folder(sending) if sending.write.method == "PATCH" else None
    return None if item is None else Changed(sending.write.etag, item)


def _in_folder(sending: _Sending) -> OutlookContact | None:
    """The item as a write left it, with its key, unless it lies in another folder: there it is no part of this one."""
    if sending.result is None or sending.result.error is not None:
        return None
    contact, first = sending.result.contact, sending.changes[0]
    if first.action is Action.UNTIE or not isinstance(contact, OutlookContact):
        return None
    key = sending.write.bc_key or (first.item.bc_key if first.item else None)
    return replace(contact, bc_key=key)


def _uncoupled(sending: _Sending, outcome: Outcome) -> list[int]:
    coupling = sending.changes[0].coupling
    # What a person did not want stays away (7.1), as if a colleague had deleted it: the next diff says so.
    stays = sending.changes[0].cause == UNDO
    return [coupling.id] if outcome is Outcome.DELETED and coupling and not stays else []


def _own(change: PlannedChange, outcome: Outcome) -> Outcome:
    """The outcome of one of the changes that a write carried out: a key counts as coupling, not as update (2.2)."""
    couples = change.action is Action.COUPLE and outcome is Outcome.UPDATED
    return Outcome.COUPLED if couples else outcome


def _is_deleted(sending: _Sending) -> bool:
    if sending.write.method != "DELETE" or sending.result is None:
        return False
    return sending.result.error is None or isinstance(sending.result.error, NotFoundError)
