"""Settle what an earlier run may have carried out without learning the outcome (rules 8.1 and 8.4).

When a create may be planned and sent again is decided here: once it is found out, or too late for it to arrive.

This comes before matching, and goes by the values that were sent, whatever the scope is now. A create is looked up;
found, it is coupled as created. A value that its target holds counts as written, so that the next edit of its source
is no conflict with ourselves.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any

from sqlalchemy import Connection

from sync_lib.diff.baselines import (
    agree,
    agree_on_nothing,
    agree_whole,
    fields_after_write,
    left_coupling,
)
from sync_lib.extract.staging import gone_items
from sync_lib.fields.categories import is_written, remembered
from sync_lib.fields.contact_keys import BcKey
from sync_lib.fields.normal_forms import email_key
from sync_lib.load.couple import MadeInOutlook, couple_created, key_for, stage_business_central, stage_outlook
from sync_lib.load.creates import look_up
from sync_lib.load.target import Target
from sync_lib.model import (
    LATE_CREATE,
    UNDO,
    Action,
    BcContact,
    Coupling,
    CouplingState,
    Fields,
    Origin,
    Outcome,
    OutlookContact,
    PlannedChange,
)
from sync_lib.store.changes import finish_changes
from sync_lib.store.claims import drop_claim
from sync_lib.store.couplings import end_couplings, find_coupling, set_categories, write_couplings
from sync_lib.store.snapshots import bc_contacts, outlook_items

logger = logging.getLogger(__name__)

Row = dict[str, Any]


@dataclass(slots=True)
class Open:
    """Contacts whose create is still unknown: nothing may be created for them in this run."""

    bc_ids: set[str] = field(default_factory=set)
    outlook_ids: set[str] = field(default_factory=set)

    def add(self, changes: Iterable[PlannedChange]) -> None:
        """Take over the creates of a load whose outcome is unknown."""
        unknown = [change for change in changes if change.outcome is Outcome.UNKNOWN]
        self.bc_ids |= {c.bc_id for c in unknown if c.action is Action.CREATE_OUTLOOK and c.bc_id}
        self.outlook_ids |= {c.outlook_id for c in unknown if c.action is Action.CREATE_BC and c.outlook_id}


def settle(target: Target, rows: list[Row]) -> Open:
    """Settle the changes of earlier plans that were sent and have no outcome.

    Args:
        target: The profile that they belong to.
        rows: ``changes.read_unsettled``.
    """
    creates = (Action.CREATE_OUTLOOK, Action.CREATE_BC)
    left = _Creates(target).settle([row for row in rows if row["action"] in creates])
    _Updates(target).settle([row for row in rows if row["action"] not in creates])
    if rows:
        logger.info("settled %d changes of an earlier run", len(rows))
    return left


def settle_updates(target: Target, rows: list[Row]) -> dict[tuple[int, int], Outcome]:
    """Settle updates and deletes whose outcome is unknown; return each one's outcome by plan and number.

    Creates are left to a later run (rules 8.4).
    """
    creates = (Action.CREATE_OUTLOOK, Action.CREATE_BC)
    return _Updates(target).settle([row for row in rows if row["action"] not in creates])


def settle_mismatches(target: Target, rows: list[Row]) -> dict[tuple[int, int], Outcome]:
    """Find the updates that a service refused only because it had carried them out before its answer was lost.

    A conditional write is repeated, and then meets the version that its first try has made. Their targets have been
    read again. Without this the log would call a conflict that was decided a change that was left alone.
    """
    return _Updates(target).settle_mismatches(rows)


class _Creates:
    """Settles creates: each is looked up, and coupled where it is found."""

    def __init__(self, target: Target) -> None:
        self.target = target
        self.open = Open()

    def settle(self, rows: list[Row]) -> Open:
        """Look the creates up; return those of which nobody knows yet."""
        self._creates_in_outlook([row for row in rows if row["action"] == Action.CREATE_OUTLOOK])
        self._creates_in_bc([row for row in rows if row["action"] == Action.CREATE_BC])
        return self.open

    def _creates_in_outlook(self, rows: list[Row]) -> None:
        keys = {key_for(self.target.company_key, row["bc_id"], Origin.MADE_BY_SYNC): row for row in rows}
        if not keys:
            return
        found = self.target.outlook.find_by_keys(self.target.user, self.target.folder, list(keys))
        for key, row in keys.items():
            items = found.get(key) or []
            with self.target.engine.begin() as conn:
                self.target.check_lease(conn)
                if items and self._has_other_item(conn, row, items[0]):
                    # It came late: what becomes of it is planned, like every other delete (rules 2.3).
                    stage_outlook(conn, self.target, items)
                    _close(conn, row, Outcome.CREATED, LATE_CREATE)
                elif items:
                    self._couple_item(conn, row, items[0])
                    _close(conn, row, Outcome.CREATED, "settled")
                elif not self._give_up(conn, row):
                    self.open.bc_ids.add(row["bc_id"])

    def _has_other_item(self, conn: Connection, row: Row, item: OutlookContact) -> bool:
        """Whether the contact was coupled with another item meanwhile, which is there."""
        base = _coupling_of(self.target, conn, row["bc_id"])
        if base is None or not base.outlook_id or base.outlook_id == item.id:
            return False
        known = outlook_items.read_outlook_records(conn, self.target.profile, [base.outlook_id])
        present = known.get(base.outlook_id)
        live = base.state in (CouplingState.ACTIVE, CouplingState.PINNED)
        return live and present is not None and present["gone_since"] is None

    def _couple_item(self, conn: Connection, row: Row, item: OutlookContact) -> None:
        made = stage_outlook(conn, self.target, [item])[item.id]
        staged = bc_contacts.read_bc_rows(conn, self.target.company, ids=[row["bc_id"]])
        fields = {name: made.fields.get(name, "") for name in row["source"]}
        base = _coupling_of(self.target, conn, row["bc_id"])
        state = CouplingState.PINNED if base and base.state is CouplingState.PINNED else CouplingState.ACTIVE
        state = CouplingState.RELEASED if row["cause"] == UNDO else state
        coupling = Coupling(
            base.id if base else 0,
            row["bc_id"],
            staged[0]["row_id"] if staged else None,
            item.id,
            made.row,
            Origin.MADE_BY_SYNC,
            state,
            outlook_etag=item.etag,
            former=base.former if base else [],
            categories=remembered(row["categories"]) if row["categories"] else {},
            attention=state is not CouplingState.RELEASED,
        )
        coupling = agree_whole(coupling, row["source"], fields, item.record)
        write_couplings(conn, self.target.profile, [coupling], self.target.now())

    def _creates_in_bc(self, rows: list[Row]) -> None:
        if not rows:
            return
        # They may have been stored by a version with another normal form.
        keys = [email_key(row["email_key"]) for row in rows]
        held = look_up(self.target, keys)
        for row, key in zip(rows, keys, strict=True):
            self._create_in_bc(row, key, held[key])

    def _create_in_bc(self, row: Row, key: str, looked_up: list[BcContact] | None) -> None:
        normal = self.target.mapper.normal
        names = self.target.mapper.names_of_created(row["after"])
        if looked_up is None:
            self.open.outlook_ids.add(row["outlook_id"])
            return
        found = [each for each in looked_up if normal("name", each.values["name"]) in names]
        with self.target.engine.begin() as conn:
            self.target.check_lease(conn)
            if found:
                self._couple_contact(conn, row, found[0])
                _close(conn, row, Outcome.CREATED, "settled")
            elif self._give_up(conn, row):
                drop_claim(conn, self.target.company, key)
            else:
                self.open.outlook_ids.add(row["outlook_id"])

    def _couple_contact(self, conn: Connection, row: Row, contact: BcContact) -> None:
        stage_business_central(conn, self.target, [contact], force=True)
        known = outlook_items.read_outlook_records(conn, self.target.profile, [row["outlook_id"]]).get(
            row["outlook_id"]
        )
        if (
            known is None
            or _coupling_of(self.target, conn, contact.id)
            or _is_coupled(self.target, conn, row["outlook_id"])
        ):
            # Coupled otherwise meanwhile: one of two in BC is then reported as a duplicate, and never deleted.
            drop_claim(conn, self.target.company, row["email_key"])
            return
        item = OutlookContact(
            known["id"],
            known["etag"],
            known["last_modified"],
            known["created"],
            "",
            known["bc_key"],
            known["record"],
        )
        present = self.target.mapper.of_business_central(contact.values)
        normal = self.target.mapper.normal
        # The name is what the contact was found by, also where BC made it of its parts.
        written = {
            name: row["source"].get(name, sent)
            for name, sent in row["after"].items()
            if name == "name" or normal(name, present.get(name, "")) == normal(name, sent)
        }
        couple_created(conn, self.target, [MadeInOutlook(item, known["row_id"], written, contact)])

    def _give_up(self, conn: Connection, row: Row) -> bool:
        """Close a create that was looked up after the longest request time: it was never carried out.

        That counts from when its worker gave up waiting, where that is known: a request may wait in a queue for long
        before it leaves.
        """
        if max(row["sent_at"], row["ended_at"] or "") >= self.target.too_late(conn):
            return False
        _close(conn, row, Outcome.FAILED, "not_carried_out")
        return True


class _Updates:
    """Settles updates and deletes, by what their targets hold now."""

    def __init__(self, target: Target) -> None:
        self.target = target
        # The targets as they were read again, wherever they lie.
        self.items: dict[str, OutlookContact | None] = {}

    def settle(self, rows: list[Row]) -> dict[tuple[int, int], Outcome]:
        """Read the targets again, and go by what they hold."""
        self._read_again(rows)
        outcomes = {}
        for row in rows:
            with self.target.engine.begin() as conn:
                self.target.check_lease(conn)
                outcome = self._outcome_of(conn, row)
                self._remember_categories(conn, row)
                _close(conn, row, outcome, "settled")
            outcomes[row["plan"], row["n"]] = outcome
        return outcomes

    def settle_mismatches(self, rows: list[Row]) -> dict[tuple[int, int], Outcome]:
        outcomes = {}
        for row in rows:
            with self.target.engine.begin() as conn:
                self.target.check_lease(conn)
                outcome = self._carried_out(conn, row)
                self._remember_categories(conn, row)
                if outcome is not None:
                    _close(conn, row, outcome, "settled")
                    outcomes[row["plan"], row["n"]] = outcome
        return outcomes

    def _carried_out(self, conn: Connection, row: Row) -> Outcome | None:
        """The outcome of a write that was carried out whole, or None."""
        if row["action"] == Action.COUPLE:
            return Outcome.COUPLED if self._is_coupled_by(conn, row) else None
        if not row["after"] or self._taken(conn, row).keys() != row["after"].keys():
            return None
        self._take_over(conn, row)
        return Outcome.UPDATED

    def _outcome_of(self, conn: Connection, row: Row) -> Outcome:
        if row["action"] == Action.DELETE_OUTLOOK:
            return self._outcome_of_delete(conn, row)
        if row["action"] == Action.COUPLE:
            return Outcome.COUPLED if self._is_coupled_by(conn, row) else Outcome.SKIPPED
        if row["action"] == Action.UNTIE:
            item = self.items.get(row["outlook_id"])
            return Outcome.UPDATED if item is not None and not item.bc_key else Outcome.SKIPPED
        return Outcome.UPDATED if self._take_over(conn, row) else Outcome.SKIPPED

    def _outcome_of_delete(self, conn: Connection, row: Row) -> Outcome:
        key = row["outlook_id"]
        known = outlook_items.read_outlook_records(conn, self.target.profile, [key]).get(key)
        if known and known["gone_since"] is None:
            return Outcome.SKIPPED
        item = self.items.get(key)
        if item is not None and item.etag == row["etag"] and row["cause"] == "privacy_blocked":
            return Outcome.SKIPPED  # It lies in another folder as it was: a delete gives it another version.
        # It went by the sync and not by a colleague, so nothing stays away because of it (rules 2.1).
        if row["coupling"] and row["cause"] != UNDO:
            end_couplings(conn, [row["coupling"]])
        return Outcome.DELETED

    def _read_again(self, rows: list[Row]) -> None:
        items = sorted({row["outlook_id"] for row in rows if row["outlook_id"]})
        contacts = sorted({row["bc_id"] for row in rows if row["action"] == Action.UPDATE_BC})
        self.items = reread(self.target, items, contacts)

    def _is_coupled_by(self, conn: Connection, row: Row) -> bool:
        return self._couple_keyed(conn, row) and self._has_categories(conn, row)

    def _has_categories(self, conn: Connection, row: Row) -> bool:
        """Whether the item holds the categories that were sent, if any were."""
        if not row["categories"]:
            return True
        known = outlook_items.read_outlook_records(conn, self.target.profile, [row["outlook_id"]])
        item = known.get(row["outlook_id"])
        return item is not None and is_written(item["record"], row["categories"])

    def _remember_categories(self, conn: Connection, row: Row) -> None:
        """Remember what the sync put on an item where its write turns out to have been carried out."""
        is_write = row["action"] in (Action.COUPLE, Action.UPDATE_OUTLOOK) and bool(row["categories"])
        if is_write and self._has_categories(conn, row):
            known = remembered(row["categories"])
            set_categories(conn, self.target.profile, {row["outlook_id"]: known})

    def _couple_keyed(self, conn: Connection, row: Row) -> bool:
        """Couple an item whose key says that the write was carried out, so that the updates beside it find the pair."""
        item_id, bc_id = row["outlook_id"], row["bc_id"]
        item = outlook_items.read_outlook_records(conn, self.target.profile, [item_id]).get(item_id)
        staged = bc_contacts.read_bc_rows(conn, self.target.company, ids=[bc_id])
        if item is None or item["gone_since"] is not None or not staged:
            return False
        key = BcKey.parse(item["bc_key"] or "")
        if key is None or not key.same_company(self.target.company_key) or key.contact_id != bc_id.lower():
            return False
        own = _coupling_of(self.target, conn, bc_id)
        if own and own.outlook_id == item_id:
            return True
        # As matching does it: an item whose contact was made again keeps its baseline; one that takes another's
        # place has none. Where there are both, matching goes on.
        base = find_coupling(conn, self.target.profile, outlook_id=item_id)
        if base and own:
            return False
        if own:
            base = agree_on_nothing(left_coupling(own))
        base = base or Coupling(0, bc_id, None, None, None, key.origin, CouplingState.ACTIVE)
        coupling = replace(
            base,
            bc_id=bc_id,
            bc_row=staged[0]["row_id"],
            outlook_id=item_id,
            outlook_row=item["row_id"],
            origin=key.origin,
            state=CouplingState.ACTIVE,
            attention=True,
        )
        write_couplings(conn, self.target.profile, [coupling], self.target.now())
        return True

    def _take_over(self, conn: Connection, row: Row) -> bool:
        """Give both baselines the value that was sent, field by field, where the target holds it now (rules 8.1)."""
        held = self._taken(conn, row)
        coupling = _coupling_of(self.target, conn, row["bc_id"]) if held else None
        if coupling is None:
            return False
        sources = {name: row["source"].get(name, row["after"][name]) for name in held}
        to_bc = row["action"] == Action.UPDATE_BC
        self._write_baselines(conn, coupling, *((held, sources) if to_bc else (sources, held)))
        return True

    def _taken(self, conn: Connection, row: Row) -> Fields:
        """Return those of the values that were sent which the target holds now, as it writes them."""
        coupling = _coupling_of(self.target, conn, row["bc_id"]) if row["bc_id"] else None
        if coupling is None:
            return {}
        to_bc = row["action"] == Action.UPDATE_BC
        present = self._bc_fields(conn, row) if to_bc else self._outlook_fields(conn, coupling, row["after"])
        normal = self.target.mapper.normal
        return {
            name: present.get(name, "")
            for name, sent in row["after"].items()
            if normal(name, present.get(name, "")) == normal(name, sent)
        }

    def _write_baselines(self, conn: Connection, coupling: Coupling, bc: Fields, outlook: Fields) -> None:
        agreed = agree(coupling, bc, outlook, self._record(conn, coupling), self.target.mapper)
        changed = replace(agreed, attention=True)
        write_couplings(conn, self.target.profile, [changed], self.target.now())

    def _bc_fields(self, conn: Connection, row: Row) -> Fields:
        staged = bc_contacts.read_bc_rows(conn, self.target.company, ids=[row["bc_id"]])
        return self.target.mapper.of_business_central(staged[0]) if staged else {}

    def _outlook_fields(self, conn: Connection, coupling: Coupling, sent: Fields) -> Fields:
        record = self._record(conn, coupling)
        return fields_after_write(coupling, record, sent, self.target.mapper)

    def _record(self, conn: Connection, coupling: Coupling) -> dict[str, Any]:
        key = coupling.outlook_id or ""
        known = outlook_items.read_outlook_records(conn, self.target.profile, [key]).get(key)
        return known["record"] if known else {}


def _coupling_of(target: Target, conn: Connection, bc_id: str) -> Coupling | None:
    return find_coupling(conn, target.profile, bc_id=bc_id)


def _is_coupled(target: Target, conn: Connection, outlook_id: str) -> bool:
    return find_coupling(conn, target.profile, outlook_id=outlook_id) is not None


def _close(conn: Connection, row: Row, outcome: Outcome, reason: str) -> None:
    result = [(row["n"], outcome, reason, row["request_id"])]
    finish_changes(conn, row["plan"], result)


def reread(target: Target, outlook_ids: list[str], bc_ids: list[str]) -> dict[str, OutlookContact | None]:
    """Read contacts again and stage them: somebody edited them meanwhile, or nobody knows what became of a write.

    Returns the items, wherever in the mailbox they lie; None for one that is not there.
    """
    items = {}
    if outlook_ids:
        items = target.outlook.fetch_contacts(target.user, outlook_ids, target.folder)
    contacts = target.business_central.fetch_contacts(target.company_key.company_id, bc_ids) if bc_ids else {}
    with target.engine.begin() as conn:
        target.check_lease(conn)
        here = [item for item in items.values() if item and item.parent_folder_id == target.folder]
        stage_outlook(conn, target, here)
        for reason, gone in gone_items(items, target.folder):
            outlook_items.mark_gone_outlook(conn, target.profile, gone, at=target.now(), reason=reason)
        stage_business_central(
            conn, target, [contact for contact in contacts.values() if contact], force=True
        )
        missing = [key for key, contact in contacts.items() if contact is None]
        if missing:
            generation = bc_contacts.next_generation(conn, target.company)
            bc_contacts.mark_gone_business_central(
                conn, target.company, missing, at=target.now(), generation=generation
            )
    return items
