"""Stage what a service returned just now, and make the coupling that a write came to (rules 7.7 and 8.6)."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from sqlalchemy import Connection

from sync_lib.diff.baselines import (
    agree_on_nothing,
    agree_whole,
    agreed_baselines,
    hold_baselines,
    left_coupling,
    without,
)
from sync_lib.extract.staging import bc_row, row_of
from sync_lib.fields.categories import remembered
from sync_lib.fields.contact_keys import BcKey
from sync_lib.fields.mapper import FieldMapper
from sync_lib.fields.normal_forms import email_key
from sync_lib.fields.reading import outlook_baseline
from sync_lib.load.target import Target
from sync_lib.model import (
    UNDO,
    Action,
    BcContact,
    Categories,
    Coupling,
    CouplingState,
    Fields,
    Origin,
    OutlookContact,
    PlannedChange,
)
from sync_lib.store.claims import settle_claim
from sync_lib.store.couplings import set_categories, set_outlook_etags, write_couplings
from sync_lib.store.snapshots import bc_contacts, outlook_items


def key_for(company: BcKey, bc_id: str, origin: Origin) -> str:
    """Return the key that an item gets of a company's contact."""
    return str(replace(company, contact_id=bc_id, origin=origin))


# -- staging ---------------------------------------------------------------------------------------------------------


class StagedItem(NamedTuple):
    """An item that was staged just now: its row, its fingerprint, and the fields that its record was read as."""

    row: int
    fingerprint: int
    fields: Fields


def stage_outlook(
    conn: Connection, target: Target, contacts: Sequence[OutlookContact], tied: Collection[str] = ()
) -> dict[str, StagedItem]:
    """Stage items that were read or returned just now; return them by id."""
    read = [target.mapper.of_outlook(contact.record) for contact in contacts]
    rows = [row_of(each, fields, target.mapper) for each, fields in zip(contacts, read, strict=True)]
    outlook_items.stage_outlook(
        conn, target.profile, rows, normaliser=target.mapper.version, force=True, tied=tied
    )
    numbers = outlook_items.outlook_row_ids(conn, target.profile, [contact.id for contact in contacts])
    return {
        row.contact.id: StagedItem(numbers[row.contact.id], row.fingerprint, fields)
        for row, fields in zip(rows, read, strict=True)
    }


def stage_business_central(
    conn: Connection, target: Target, contacts: Sequence[BcContact], *, force: bool = False
) -> None:
    """Stage BC contacts that were read or returned just now."""
    rows = [bc_row(contact, target.mapper) for contact in contacts]
    if rows:
        generation = bc_contacts.next_generation(conn, target.company)
        bc_contacts.stage_business_central(
            conn, target.company, rows, generation=generation, normaliser=target.mapper.version, force=force
        )


def settle_keyed(
    conn: Connection,
    target: Target,
    contacts: Sequence[OutlookContact],
    categories: Mapping[str, Categories],
) -> None:
    """Take over the versions that our own key writes gave to items, so that they do not look edited.

    What the same writes made of their categories is remembered, by item.
    """
    set_outlook_etags(conn, target.profile, {contact.id: contact.etag for contact in contacts})
    set_categories(conn, target.profile, categories)


# -- an item that was written ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ItemWrite:
    """A write to Outlook that succeeded: its changes, the body that was sent, and what came back.

    Attributes:
        staged: What came back, as it is staged.
        bc: The fields of the contact that was written.
    """

    changes: Sequence[PlannedChange]
    body: dict[str, Any]
    contact: OutlookContact
    staged: StagedItem
    bc: Fields


def coupled_by(write: ItemWrite, mapper: FieldMapper) -> Coupling:
    """Return the coupling as it is after a create or update of its item."""
    first, contact, staged = write.changes[0], write.contact, write.staged
    coupling = _base_coupling(first, contact, staged.row)
    written = next((change.categories for change in write.changes if change.categories), None)
    known = remembered(written) if written else coupling.categories
    if first.bc is None:
        # The key of a kept item: nothing is agreed between the sides.
        return replace(coupling, categories=known)
    sent = {name: value for change in write.changes for name, value in change.source.items()}
    for refusal in (refusal for change in write.changes for refusal in change.refused):
        sent.pop(refusal.field, None)
    baselines = _new_baselines(coupling, sent, write, mapper)
    outlook = mapper.of_outlook_again(staged.fields, contact.record, baselines[1])
    agreed = hold_baselines(baselines, write.bc, outlook, mapper)
    return replace(
        coupling,
        baseline_bc=baselines[0],
        baseline_outlook=baselines[1],
        differs=without(coupling.differs, sent),
        categories=known,
        outlook_etag=contact.etag,
        bc_fingerprint=first.bc.fingerprint if agreed else None,
        outlook_fingerprint=staged.fingerprint if agreed else None,
        attention=not agreed and coupling.state is not CouplingState.RELEASED,
    )


def _base_coupling(change: PlannedChange, contact: OutlookContact, row: int) -> Coupling:
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
    made = replace(
        left_coupling(change.coupling),
        outlook_id=contact.id,
        outlook_row=row,
        origin=Origin.MADE_BY_SYNC,
        state=state,
    )
    return agree_on_nothing(made)


def _new_baselines(
    coupling: Coupling, sent: Fields, write: ItemWrite, mapper: FieldMapper
) -> tuple[Fields, dict[str, Any]]:
    """Return the baselines with those of the fields that were sent, and of those only (rules 8.6)."""
    record, old = write.contact.record, coupling.baseline_outlook.get("fields", {})
    # What was sent says which entries of the arrays are ours, whatever Outlook made of them.
    ours = outlook_baseline(record | write.body, old | sent)
    returned = mapper.of_outlook_again(write.staged.fields, record, ours)
    held = {name: returned.get(name, "") for name in sent}
    return agreed_baselines(coupling, sent, held, record, mapper)


# -- a contact that was made of an item ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class MadeInOutlook:
    """A contact of BC that was made of a user's item.

    Attributes:
        item: The item.
        row: Of the staged item.
        source: The values that were read from it.
        contact: The contact.
    """

    item: OutlookContact
    row: int
    source: Fields
    contact: BcContact


def couple_created(conn: Connection, target: Target, made: Sequence[MadeInOutlook]) -> list[Coupling]:
    """Couple items of a user with the BC contacts that were made of them (rules 7.7), and settle their claims."""
    if not made:
        return []
    contacts = [each.contact for each in made]
    stage_business_central(conn, target, contacts, force=True)
    ids = [contact.id for contact in contacts]
    rows = {row["id"]: row["row_id"] for row in bc_contacts.read_bc_rows(conn, target.company, ids=ids)}
    couplings = [_coupling_of(target, each, rows[each.contact.id]) for each in made]
    stored = write_couplings(conn, target.profile, couplings, target.now())
    for contact in contacts:
        address = email_key(contact.values.get("email", ""))
        settle_claim(conn, target.company, address, run=target.run, state="done", bc_id=contact.id)
    return stored


def _coupling_of(target: Target, made: MadeInOutlook, row: int) -> Coupling:
    contact, item = made.contact, made.item
    state = CouplingState.ACTIVE if target.in_filter(contact.values) else CouplingState.PINNED
    agreed = {name: value for name, value in made.source.items() if value}
    coupling = Coupling(0, contact.id, row, item.id, made.row, Origin.MADE_BY_USER, state, attention=True)
    return agree_whole(coupling, agreed, agreed, item.record)
