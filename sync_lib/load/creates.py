"""Make contacts in Business Central, none of them twice (rules 8.4 and 8.7), and give their items keys (rules 2.2).

What a create came to whose answer never arrived is found out by ``load.settle``, in a later run.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import TypeGuard

from sqlalchemy import Connection

from sync_lib.diff.tables import REQUIRED
from sync_lib.errors import (
    AccessDeniedError,
    ApiError,
    AuthError,
    RecordError,
    RejectedError,
    ThrottledError,
)
from sync_lib.fields import categories
from sync_lib.fields.mapper import FieldMapper
from sync_lib.fields.normal_forms import email_key, email_spellings
from sync_lib.load.claims import Claims
from sync_lib.load.couple import (
    MadeInOutlook,
    couple_created,
    key_for,
    settle_keyed,
    stage_outlook,
)
from sync_lib.load.outcomes import BATCH, Outcomes, is_away, is_unknown, said
from sync_lib.load.target import Target
from sync_lib.model import (
    BcContact,
    Categories,
    Coupling,
    CouplingState,
    Fields,
    Outcome,
    OutlookContact,
    PlannedChange,
)
from sync_lib.ports import BatchWrite, WriteResult
from sync_lib.store import runs
from sync_lib.store.bulk import chunks
from sync_lib.store.claims import ClaimState, drop_claim, settle_claim
from sync_lib.times import before

logger = logging.getLogger(__name__)

#: Seconds before the last read's watermark from which lists of addresses are looked through.
LOOK_BACK = 86_400.0
#: Why a create was not sent: nobody knows whether BC has the contact already.
NOT_LOOKED_UP = "not_looked_up"


@dataclass(slots=True)
class _Sending:
    """One create that was sent, and what it came to."""

    change: PlannedChange
    result: WriteResult


class BusinessCentralCreates:
    """Creates contacts in one company."""

    def __init__(self, target: Target, outcomes: Outcomes) -> None:
        self.target = target
        self.outcomes = outcomes
        self.loaded = outcomes.loaded
        self.mapper = target.mapper
        self.claims = Claims(target)
        # Items whose contacts were made by this load, and that have no key yet.
        self._unkeyed: list[tuple[Coupling, OutlookContact, Categories]] = []

    def create(self, changes: Sequence[PlannedChange]) -> None:
        """Create the contacts of one of the ``waves``, but for those that another profile makes, or BC has."""
        claimed = self._claimed(changes)
        if not claimed:
            return
        held = look_up(self.target, [change.email_key for change, _ in claimed])
        wanted = []
        for change, state in claimed:
            found = held[change.email_key]
            if found is None:
                self._leave(change, state)
            elif found:
                self.claims.drop(change.email_key, found)
                self._finish(change, Outcome.SKIPPED, "found_in_bc")
                self.loaded.reread_bc |= {contact.id for contact in found}
            else:
                wanted.append(change)
        self._send(self._with_renewed_claims(wanted))

    def _finish(self, change: PlannedChange, outcome: Outcome, reason: str) -> None:
        self.outcomes.finish([(change, outcome, reason, "")])

    # -- claims ----------------------------------------------------------------------------------------------------

    def _claimed(self, changes: Sequence[PlannedChange]) -> list[tuple[PlannedChange, ClaimState]]:
        """Return the creates that are ours to make, with their claims; finish the others."""
        if not changes:
            return []
        states, claimed = self.claims.claim(change.email_key for change in changes), []
        for change in changes:
            state = states[change.email_key]
            if state.mine or self.claims.take_over(change.email_key, state):
                claimed.append((change, state))
            elif state.bc_id:
                self._finish(change, Outcome.SKIPPED, "created_by_other_profile")
                self.loaded.reread_bc.add(state.bc_id)
            else:
                self._finish(change, Outcome.SKIPPED, "claimed_by_other_profile")
        return claimed

    def _with_renewed_claims(self, changes: Sequence[PlannedChange]) -> list[PlannedChange]:
        if not changes:
            return []
        renewed = self.claims.renew(change.email_key for change in changes)
        for change in changes:
            if change.email_key not in renewed:
                self._finish(change, Outcome.SKIPPED, "claimed_by_other_profile")
        return [change for change in changes if change.email_key in renewed]

    def _leave(self, change: PlannedChange, state: ClaimState) -> None:
        """Send no create without a look-up that can be believed (rules 8.4); the next run tries again."""
        if state.state == "open":
            self.claims.drop(change.email_key)
        self._finish(change, Outcome.FAILED, NOT_LOOKED_UP)

    # -- sending ---------------------------------------------------------------------------------------------------

    def _send(self, changes: Sequence[PlannedChange]) -> None:
        if not changes:
            return
        self.outcomes.begin(changes)
        results = self._create_in_bc(changes)
        sendings = [_Sending(*each) for each in zip(changes, results, strict=True)]
        self._send_what_is_required(sendings)
        self._look_up_unknown(sendings)
        self._record(sendings)

    def _create_in_bc(self, changes: Sequence[PlannedChange]) -> list[WriteResult]:
        bodies = [self.mapper.to_business_central(change.after, None)[0] for change in changes]
        company = self.target.company_key.company_id
        try:
            return self.target.business_central.create_contacts(company, bodies)
        except AccessDeniedError as error:
            return [WriteResult(error=error, request_id=error.request_id) for _ in bodies]

    def _send_what_is_required(self, sendings: Sequence[_Sending]) -> None:
        """Where BC refuses something, send what a contact must have; the next round sends the other fields singly."""
        again = [
            sending
            for sending in sendings
            if is_of_body(sending.result.error) and len(sending.change.after) > len(REQUIRED)
        ]
        if not again:
            return
        for change in (sending.change for sending in again):
            change.after = {name: change.after[name] for name in REQUIRED}
            change.source = dict(change.after)
        results = self._create_in_bc([sending.change for sending in again])
        for sending, result in zip(again, results, strict=True):
            sending.result = result
            if isinstance(result.contact, BcContact):
                self.loaded.reread_bc.add(result.contact.id)

    def _look_up_unknown(self, sendings: Sequence[_Sending]) -> None:
        """Look once for creates whose outcome is unknown (rules 8.4), by address and name."""
        unknown = [sending for sending in sendings if is_unknown(sending.result)]
        if not unknown:
            return
        try:
            held = look_up(self.target, [sending.change.email_key for sending in unknown])
        except ApiError as error:
            logger.warning("looking up %d unknown creates failed: %s", len(unknown), error)
            return
        for sending in unknown:
            names = self.mapper.names_of_created(sending.change.after)
            for contact in held[sending.change.email_key] or ():
                if self.mapper.normal("name", contact.values["name"]) in names:
                    sending.result = WriteResult(contact=contact, request_id=sending.result.request_id)

    # -- what came of it -------------------------------------------------------------------------------------------

    def _record(self, sendings: Sequence[_Sending]) -> None:
        """Store what came of one request: outcomes, claims, snapshots and couplings, in one transaction."""
        with self.target.engine.begin() as conn:
            self.target.check_lease(conn)
            said_of_made = self._couple(conn, sendings)
            finished = []
            for sending in sendings:
                made = said_of_made.get(sending.change.n)
                outcome, reason = (
                    self._record_create(conn, sending) if made is None else (Outcome.CREATED, made)
                )
                finished.append((sending.change, outcome, reason, sending.result.request_id))
            self.outcomes.finish_in(conn, finished)

    def _record_create(self, conn: Connection, sending: _Sending) -> tuple[Outcome, str]:
        """Say what became of the claim of a create that made nothing, as far as anybody knows."""
        company, key, error = self.target.company, sending.change.email_key, sending.result.error
        if isinstance(error, RecordError | AccessDeniedError):
            drop_claim(conn, company, key)
            sending.change.waits = True
            return Outcome.REJECTED, said(error, "refused_by_business_central")
        if isinstance(error, ThrottledError):
            drop_claim(conn, company, key)
            self.loaded.stopped = error
            return Outcome.FAILED, "throttled"
        if isinstance(error, AuthError):
            drop_claim(conn, company, key)
            return Outcome.FAILED, "access_denied"
        if is_away(error):
            self.loaded.stopped = error
        settle_claim(conn, company, key, run=self.target.run, state="unknown")
        return Outcome.UNKNOWN, "no_answer"

    def _couple(self, conn: Connection, sendings: Sequence[_Sending]) -> dict[int, str]:
        """Couple what was made with its items; return what is to be said of each, by the number of its change."""
        made = []
        for sending in sendings:
            side, contact = sending.change.item, sending.result.contact
            if side is not None and isinstance(contact, BcContact):
                item = OutlookContact(side.id, side.etag, "", side.created, "", side.bc_key, side.record)
                kept = {refusal.field for refusal in sending.change.refused}
                source = {name: value for name, value in sending.change.source.items() if name not in kept}
                made.append((sending.change.n, MadeInOutlook(item, side.row_id, source, contact)))
        reasons = {}
        couplings = couple_created(conn, self.target, [each for _, each in made])
        for (n, each), coupling in zip(made, couplings, strict=True):
            wanted = self.target.context.categories_of(each.contact.values)
            decided = categories.decide(each.item.record, wanted, {}, keyed=False)
            self._unkeyed.append((coupling, each.item, decided))
            changed = changed_by_bc(self.mapper, each.source, each.contact)
            self.loaded.changed_by_bc |= bool(changed)
            reasons[n] = changed if coupling.state is CouplingState.ACTIVE else "created_outside_filter"
        return reasons

    def write_keys(self) -> None:
        """Give the items whose contacts were made in BC their key, in the load that couples them (rules 2.2).

        A key that can't be written now is written by the next run: the coupling asks for attention until then.
        """
        for part in chunks(self._unkeyed, BATCH):
            writes = [
                BatchWrite(
                    "PATCH",
                    contact_id=item.id,
                    etag=item.etag,
                    body=_body(found),
                    bc_key=key_for(self.target.company_key, coupling.bc_id, coupling.origin),
                )
                for coupling, item, found in part
            ]
            results = self.target.outlook.apply_writes(self.target.user, writes)
            keyed = [
                replace(result.contact, bc_key=write.bc_key)
                for write, result in zip(writes, results, strict=True)
                if isinstance(result.contact, OutlookContact)
            ]
            written = {contact.id for contact in keyed}
            known = {item.id: categories.remembered(found) for _, item, found in part if item.id in written}
            with self.target.engine.begin() as conn:
                self.target.check_lease(conn)
                stage_outlook(conn, self.target, keyed)
                settle_keyed(conn, self.target, keyed, known)
        self._unkeyed.clear()


def _body(found: Categories) -> dict[str, list[str]]:
    return {} if found["before"] == found["after"] else {"categories": found["after"]}


def changed_by_bc(mapper: FieldMapper, sent: Fields, contact: object) -> str:
    """Return ``changed_by_bc`` where BC made something else of a value that it was sent (rules 8.6), else ""."""
    if not isinstance(contact, BcContact):
        return ""
    returned = mapper.of_business_central(contact.values)
    same = all(mapper.is_equal(name, returned.get(name, ""), value) for name, value in sent.items())
    return "" if same else "changed_by_bc"


def is_of_body(error: Exception | None) -> TypeGuard[RejectedError]:
    """Whether a part of the body may be to blame, so that its other fields can pass by themselves."""
    return isinstance(error, RejectedError) and error.status in (0, 400, 422)


def waves(changes: Iterable[PlannedChange]) -> Iterator[list[PlannedChange]]:
    """Yield creates in groups that are looked up and sent together, no two of a group for one address.

    So few go at a time since of each, should its answer be lost, nobody knows what became of it, and since between
    its look-up and itself nobody else should have made the contact.
    """
    wave: dict[str, PlannedChange] = {}
    for change in changes:
        if len(wave) == BATCH or change.email_key in wave:
            yield list(wave.values())
            wave = {}
        wave[change.email_key] = change
    if wave:
        yield list(wave.values())


def look_up(target: Target, keys: Sequence[str]) -> dict[str, list[BcContact] | None]:
    """Return the contacts of BC with each address (normal form), or None where BC's answer cannot be believed.

    Lists of addresses that changed before the last read are in the snapshot: whom they hold is matched already.
    """
    with target.engine.connect() as conn:
        cursor = runs.read_cursor(conn, "business_central", target.company)
    since = before(cursor.position, LOOK_BACK) if cursor.position else ""
    asked = {key: email_spellings(key) for key in keys}
    found = target.business_central.find_by_emails(
        target.company_key.company_id, list(chain.from_iterable(asked.values())), since=since
    )
    return {key: _with_address(key, [found[each] for each in spellings]) for key, spellings in asked.items()}


def _with_address(key: str, answers: Sequence[list[BcContact] | None]) -> list[BcContact] | None:
    """Return whoever has an address, or None where one of the answers about its spellings proves nothing."""
    same: dict[str, BcContact] = {}
    for answer in answers:
        if answer is None:
            return None
        same |= {each.id: each for each in answer if email_key(each.values.get("email", "")) == key}
    return list(same.values())
