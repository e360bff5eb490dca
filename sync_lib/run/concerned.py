"""Which profiles a change in Business Central concerns, without comparing any of them (architecture 1).

A contact that changed concerns a profile whose filter it passes, that has it coupled, or that waits for it, for its
address or for its name. A pair that agrees with what the contact is now concerns nobody: so our own write to BC makes
no one else compare.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
from sqlalchemy import Connection

from sync_lib.errors import FilterSyntaxError
from sync_lib.fields import categories
from sync_lib.fields.bc_columns import COLUMN_NAMES
from sync_lib.fields.contact_keys import BcKey
from sync_lib.fields.filters import Filter, parse_filter
from sync_lib.fields.normal_forms import address_digest
from sync_lib.load.couple import key_for
from sync_lib.model import CouplingState, Origin
from sync_lib.store import awaited, companies, looking
from sync_lib.store.awaited import Awaited
from sync_lib.store.companies import CompanyRow
from sync_lib.store.looking import CHANGED_COLUMNS
from sync_lib.store.profiles.rows import Profile

logger = logging.getLogger(__name__)

#: With more changes than that every profile of the company compares: a file was imported, or everything read anew.
MOST = 2_000
#: Up to so many a filter looks at one by one: pandas takes longer to begin than it then saves.
FEW = 100

_TOGETHER = (CouplingState.ACTIVE, CouplingState.PINNED)


def find_concerned(
    conn: Connection, company: CompanyRow, members: Sequence[Profile], since: Mapping[int, int]
) -> set[int]:
    """Return the profiles of a company that a change since they were last looked at concerns.

    Args:
        conn: Inside a transaction.
        company: Their company.
        members: Profiles.
        since: The generation of each that it was last looked at with.
    """
    behind = [profile for profile in members if since[profile.id] < company.generation]
    if not behind:
        return set()
    rows = looking.read_changed(conn, company.id, min(since[each.id] for each in behind), MOST + 1)
    if len(rows) > MOST:
        logger.info("more than %d contacts changed: all profiles of the company compare", MOST)
        return {profile.id for profile in behind}
    if not rows:
        return set()
    changed = _Changed.read(conn, company, rows)
    return {profile.id for profile in behind if changed.concerns(profile, since[profile.id])}


@dataclass(frozen=True, slots=True)
class _Contact:
    """A contact that changed.

    Attributes:
        id: Its id in BC.
        generation: The read in which it changed.
        fingerprint: Of what it is now.
        address: Digest of its address; empty for none.
        name: Digest of its name as a company; empty for none.
        values: The columns of a filter, as text.
    """

    id: str
    generation: int
    fingerprint: int
    address: str
    name: str
    values: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class _Changed:
    """Contacts that changed, and all that ties profiles to them.

    Attributes:
        contacts: All of them.
        present: Those that a scope may hold: persons that are neither gone nor blocked.
        frame: The values of those present, where they are many.
        couplings: (profile, contact) -> state, and BC's fingerprint in agreement.
        waiting: Kind -> value -> profiles that wait for it.
        former: Profiles in which a blocked contact stood.
        passing: (groups of a filter, own code) -> contacts in scope by it.
    """

    contacts: Sequence[_Contact]
    present: Sequence[_Contact]
    frame: pd.DataFrame | None
    couplings: Mapping[tuple[int, str], tuple[str, int | None]]
    waiting: Mapping[str, Mapping[str, set[int]]]
    former: set[int]
    passing: dict[tuple[Any, str], frozenset[str]]

    @classmethod
    def read(cls, conn: Connection, company: CompanyRow, rows: list[tuple[Any, ...]]) -> _Changed:
        contacts, present, blocked = [], [], []
        for row in rows:
            values = dict(zip(CHANGED_COLUMNS, row, strict=True))
            contact = _Contact(
                values["id"],
                values["generation"],
                values["fingerprint"],
                address_digest(values["email_key"]),
                address_digest(values["company_key"]),
                values,
            )
            contacts.append(contact)
            if values["privacy_blocked"] == "true":
                blocked.append(contact.id)
            elif values["type"] == "Person" and values["gone_since"] is None:
                present.append(contact)
        ids = [contact.id for contact in contacts]
        wanted = Awaited(
            frozenset(ids),
            frozenset(contact.address for contact in contacts) - {""},
            frozenset(contact.name for contact in contacts) - {""},
        )
        frame = None
        if len(present) > FEW:
            frame = pd.DataFrame(
                [contact.values for contact in present], columns=[*COLUMN_NAMES], dtype="str"
            )
        former = looking.read_former(conn, blocked, _keys(conn, company, blocked)) if blocked else set()
        couplings = looking.read_couplings(conn, ids)
        return cls(contacts, present, frame, couplings, awaited.find_waiting(conn, wanted), former, {})

    def concerns(self, profile: Profile, since: int) -> bool:
        """Whether any contact that changed behind a generation concerns a profile."""
        if profile.id in self.former:
            return True
        passing = self._passing(profile)
        return any(
            contact.generation > since and self._concerns(profile, passing, contact)
            for contact in self.contacts
        )

    def _concerns(self, profile: Profile, passing: frozenset[str], contact: _Contact) -> bool:
        coupling = self.couplings.get((profile.id, contact.id))
        if coupling is not None:
            state, agreed = coupling
            # Categories by template come of fields that no fingerprint shows.
            plain = not categories.columns_asked(profile.categories)
            is_same = state in _TOGETHER and agreed == contact.fingerprint and plain
            return not (is_same and contact.id in passing)
        if contact.id in passing:
            return True
        return any(
            profile.id in self.waiting.get(kind, {}).get(value, ())
            for kind, value in (
                ("contact", contact.id), ("address", contact.address), ("company", contact.name)
            )
        )  # fmt: skip

    def _passing(self, profile: Profile) -> frozenset[str]:
        """The contacts that changed and are in a profile's scope now."""
        key = (profile.filter, profile.salesperson_code)
        if key not in self.passing:
            parsed, me = _parsed(profile), profile.salesperson_code
            if self.frame is None:
                found: Iterable[bool] = (parsed.passes(contact.values, me=me) for contact in self.present)
            else:
                found = parsed.mask(self.frame, me=me)
            self.passing[key] = frozenset(
                contact.id for contact, passes in zip(self.present, found, strict=True) if passes
            )
        return self.passing[key]


def _parsed(profile: Profile) -> Filter:
    try:
        return parse_filter(profile.filter, field_profile="extended")
    except FilterSyntaxError:
        # Its task says what is wrong with it.
        return parse_filter((), field_profile="extended")


def _keys(conn: Connection, company: CompanyRow, contacts: Sequence[str]) -> list[str]:
    """Every key that an item of one of some contacts may carry, by where the company is now and was before."""
    own = companies.read_key(conn, company)
    places = [own, *(BcKey(*binding, "", own.origin) for binding in own.former)]
    return [key_for(place, contact, origin) for place in places for contact in contacts for origin in Origin]
