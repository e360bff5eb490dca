"""Make contacts in Business Central, none of them twice (rules 8.4 and 8.7), and give their items keys (rules 2.2).

What a create came to whose answer never arrived is found out by ``load.settle``, in a later run.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TypeGuard

from sqlalchemy import Connection

from sync_lib.diff.tables import REQUIRED
from sync_lib.errors import (
    AccessDeniedError,
    MalformedAnswerError,
    RecordError,
    RejectedError,
    ThrottledError,
)
from sync_lib.fields import categories
from sync_lib.fields.mapper import FieldMapper
from sync_lib.fields.normal_forms import email_key, email_spellings
from sync_lib.load.couple import (
    MadeInOutlook,
    couple_created,
    key_for,
    settle_keyed,
    stage_business_central,
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
    OutlookSide,
    PlannedChange,
)
from sync_lib.ports import BatchWrite, WriteResult
from sync_lib.store import runs
from sync_lib.store.bulk import chunks
from sync_lib.store.claims import ClaimState, claim_create, drop_claim, renew_claim, settle_claim, take_claim
from sync_lib.times import before

logger = logging.getLogger(__name__)

#: Seconds before the last read's watermark from which lists of addresses are looked through.
LOOK_BACK = 86_400.0
#: Why a create was not sent: nobody knows whether BC has the contact already.
NOT_LOOKED_UP = "not_looked_up"


class BusinessCentralCreates:
    """Creates contacts in one company."""

    def __init__(self, target: Target, outcomes: Outcomes) -> None:
        self.target = target
        self.outcomes = outcomes
        self.loaded = outcomes.loaded
        self.mapper = target.mapper
        # Items whose contacts were made by this load, and that have no key yet.
        self._unkeyed: list[tuple[Coupling, OutlookContact, Categories]] = []

    def create(self, change: PlannedChange) -> None:
        """Create a contact, unless another profile does, or BC has it."""
        state = self._claim(change)
        if state.mine or self._take_over(change, state):
            found = look_up(self.target, change.email_key)
            if found is None:
                self._leave(change, state)
            elif found:
                self._drop_claim(change, found)
                self._finish(change, Outcome.SKIPPED, "found_in_bc")
                self.loaded.reread_bc |= {contact.id for contact in found}
            else:
                self._send(change)
        elif state.bc_id:
            self._finish(change, Outcome.SKIPPED, "created_by_other_profile")
            self.loaded.reread_bc.add(state.bc_id)
        else:
            self._finish(change, Outcome.SKIPPED, "claimed_by_other_profile")

    def _finish(self, change: PlannedChange, outcome: Outcome, reason: str) -> None:
        self.outcomes.finish([(change, outcome, reason, "")])

    # -- claims ----------------------------------------------------------------------------------------------------

    def _claim(self, change: PlannedChange) -> ClaimState:
        with self.target.engine.begin() as conn:
            self.target.check_lease(conn)
            return claim_create(
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
            return renew_claim(
                conn,
                self.target.company,
                change.email_key,
                profile=self.target.profile,
                fencing=self.target.fencing,
            )

    def _take_over(self, change: PlannedChange, state: ClaimState) -> bool:
        """Take the claim of a worker that is gone, once nothing that it sent can still be carried out (8.7)."""
        if state.bc_id is not None:
            return False
        with self.target.engine.begin() as conn:
            self.target.check_lease(conn)
            if state.claimed_at > self.target.too_late(conn):
                return False
            return take_claim(
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
            drop_claim(conn, self.target.company, change.email_key)
            stage_business_central(conn, self.target, found, force=True)

    def _leave(self, change: PlannedChange, state: ClaimState) -> None:
        """Send no create without a look-up that can be believed (rules 8.4); the next run tries again."""
        if state.state == "open":
            with self.target.engine.begin() as conn:
                self.target.check_lease(conn)
                drop_claim(conn, self.target.company, change.email_key)
        self._finish(change, Outcome.FAILED, NOT_LOOKED_UP)

    # -- sending ---------------------------------------------------------------------------------------------------

    def _send(self, change: PlannedChange) -> None:
        body, _ = self.mapper.to_business_central(change.after, None)
        if not self._renew_claim(change):
            self._finish(change, Outcome.SKIPPED, "claimed_by_other_profile")
            return
        self.outcomes.begin([change])
        result = self._create_in_bc(body)
        if is_of_body(result.error) and len(change.after) > len(REQUIRED):
            # BC refuses something: what a contact must have first; the next round sends each other field by itself.
            change.after = {name: change.after[name] for name in REQUIRED}
            change.source = dict(change.after)
            body, _ = self.mapper.to_business_central(change.after, None)
            result = self._create_in_bc(body)
            if isinstance(result.contact, BcContact):
                self.loaded.reread_bc.add(result.contact.id)
        if is_unknown(result):
            name = self.mapper.normal("name", change.after.get("name", ""))
            for contact in look_up(self.target, change.email_key) or ():
                if self.mapper.normal("name", contact.values["name"]) == name:
                    result = WriteResult(contact=contact, request_id=result.request_id)
        self._record_create(change, result)

    def _create_in_bc(self, body: dict[str, str]) -> WriteResult:
        company = self.target.company_key.company_id
        try:
            return self.target.business_central.create_contact(company, body)
        except AccessDeniedError as error:
            return WriteResult(error=error, request_id=error.request_id)

    # -- what came of it -------------------------------------------------------------------------------------------

    def _record_create(self, change: PlannedChange, result: WriteResult) -> None:
        company, key = self.target.company, change.email_key
        with self.target.engine.begin() as conn:
            self.target.check_lease(conn)
            if isinstance(result.contact, BcContact) and change.item is not None:
                outcome, reason = Outcome.CREATED, self._couple(conn, change, change.item, result.contact)
            elif isinstance(result.error, RecordError | AccessDeniedError):
                drop_claim(conn, company, key)
                change.waits = True
                outcome, reason = Outcome.REJECTED, said(result.error, "refused_by_business_central")
            elif isinstance(result.error, ThrottledError):
                drop_claim(conn, company, key)
                self.loaded.stopped = result.error
                outcome, reason = Outcome.FAILED, "throttled"
            else:
                if is_away(result.error):
                    self.loaded.stopped = result.error
                settle_claim(conn, company, key, run=self.target.run, state="unknown")
                outcome, reason = Outcome.UNKNOWN, "no_answer"
            self.outcomes.finish_in(conn, [(change, outcome, reason, result.request_id)])

    def _couple(self, conn: Connection, change: PlannedChange, side: OutlookSide, contact: BcContact) -> str:
        """Couple what was made with its item; return what is to be said of it."""
        item = OutlookContact(side.id, side.etag, "", side.created, "", side.bc_key, side.record)
        kept = {refusal.field for refusal in change.refused}
        source: Fields = {name: value for name, value in change.source.items() if name not in kept}
        coupling = couple_created(conn, self.target, contact, MadeInOutlook(item, side.row_id, source))
        wanted = self.target.context.categories_of(contact.values)
        self._unkeyed.append((coupling, item, categories.decide(item.record, wanted, {}, keyed=False)))
        changed = changed_by_bc(self.mapper, source, contact)
        self.loaded.changed_by_bc |= bool(changed)
        return changed if coupling.state is CouplingState.ACTIVE else "created_outside_filter"

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
