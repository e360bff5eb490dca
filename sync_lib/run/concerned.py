"""Which profiles a change in Business Central concerns, without comparing any of them (architecture 1).

A contact that changed concerns a profile whose filter it passes, that has it coupled, or that waits for it, for its
address or for its name. A pair that agrees with what the contact is now concerns nobody: so our own write to BC makes
no one else compare.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
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
class _Changed:
    """Contacts that changed, and all that ties profiles to them.

    Attributes:
        frame: The contacts: ``CHANGED_COLUMNS``, and digests of address and of name as a company.
        couplings: (profile, contact) -> state, and BC's fingerprint in agreement.
        waiting: Kind -> value -> profiles that wait for it.
        former: Profiles in which a blocked contact stood.
        passing: (groups of a filter, own code) -> contacts in scope by it.
    """

    frame: pd.DataFrame
    couplings: Mapping[tuple[int, str], tuple[str, int | None]]
    waiting: Mapping[str, Mapping[str, set[int]]]
    former: set[int]
    passing: dict[tuple[Any, str], frozenset[str]]

    @classmethod
    def read(cls, conn: Connection, company: CompanyRow, rows: list[tuple[Any, ...]]) -> _Changed:
        frame = pd.DataFrame(rows, columns=pd.Index(CHANGED_COLUMNS), dtype=object)
        texts = dict.fromkeys(COLUMN_NAMES, "str")
        frame = frame.astype(texts)
        frame["address"] = list(map(address_digest, frame["email_key"]))
        frame["company_name_key"] = list(map(address_digest, frame["company_key"]))
        ids = frame["id"].tolist()
        wanted = Awaited(
            frozenset(ids),
            frozenset(frame["address"]) - {""},
            frozenset(frame["company_name_key"]) - {""},
        )
        blocked = frame.loc[frame["privacy_blocked"] == "true", "id"].tolist()
        former = looking.read_former(conn, blocked, _keys(conn, company, blocked)) if blocked else set()
        return cls(frame, looking.read_couplings(conn, ids), awaited.find_waiting(conn, wanted), former, {})

    def concerns(self, profile: Profile, since: int) -> bool:
        """Whether any contact that changed behind a generation concerns a profile."""
        if profile.id in self.former:
            return True
        passing = self._passing(profile)
        columns = ("id", "generation", "fingerprint", "address", "company_name_key")
        values = (self.frame[name].tolist() for name in columns)
        return any(
            generation > since and self._concerns(profile, passing, contact, fingerprint, address, name)
            for contact, generation, fingerprint, address, name in zip(*values, strict=True)
        )

    def _concerns(  # noqa: PLR0913 - one contact, by what it is known by
        self,
        profile: Profile,
        passing: frozenset[str],
        contact: str,
        fingerprint: int,
        address: str,
        name: str,
    ) -> bool:
        coupling = self.couplings.get((profile.id, contact))
        if coupling is not None:
            state, agreed = coupling
            # Categories by template come of fields that no fingerprint shows.
            plain = not categories.columns_asked(profile.categories)
            is_same = state in _TOGETHER and agreed == fingerprint and plain
            return not (is_same and contact in passing)
        if contact in passing:
            return True
        return any(
            profile.id in self.waiting.get(kind, {}).get(value, ())
            for kind, value in (("contact", contact), ("address", address), ("company", name))
        )

    def _passing(self, profile: Profile) -> frozenset[str]:
        """The contacts that changed and are in a profile's scope now."""
        key = (profile.filter, profile.salesperson_code)
        if key not in self.passing:
            frame = self.frame
            present = (
                frame["gone_since"].isna()
                & (frame["type"] == "Person")
                & (frame["privacy_blocked"] != "true")
            )
            mask = present & _parsed(profile).mask(frame, me=profile.salesperson_code).to_numpy(bool)
            self.passing[key] = frozenset(frame.loc[mask, "id"])
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
