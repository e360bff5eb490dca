"""What the standing rejects, skips and uncoupled contacts of a profile wait for: contacts of BC, addresses, companies.

A comparison stores it, so that a change in BC is known to concern the profile without comparing it again.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from sqlalchemy import Connection, Select, bindparam, delete, insert, select

from sync_lib.fields.normal_forms import address_digest
from sync_lib.store import tables as t
from sync_lib.store.bulk import among

_A = t.awaited.c
#: Kind of what nobody waits for: contacts that a comparison found in the scope without a coupling (``store.settled``).
SCOPE = "scope"

_KNOWN = select(_A.kind, _A.value).where(_A.profile == bindparam("profile"), _A.kind != SCOPE)
_IN_SCOPE = select(_A.kind, _A.value).where(_A.profile == bindparam("profile"), _A.kind == SCOPE)
_DROP = delete(t.awaited).where(
    _A.profile == bindparam("of_profile"), _A.kind == bindparam("of_kind"), _A.value == bindparam("of_value")
)


@dataclass(frozen=True, slots=True)
class Awaited:
    """What is waited for.

    Attributes:
        contacts: Contacts of BC, by system id.
        addresses: Digests of addresses (``normal_forms.address_digest``): no value of a contact is stored here.
        companies: Digests of company names (``normal_forms.company_key``), by the same function.
    """

    contacts: frozenset[str] = frozenset()
    addresses: frozenset[str] = frozenset()
    companies: frozenset[str] = frozenset()

    def rows(self) -> set[tuple[str, str]]:
        """Return kind and value of each."""
        kinds = (("contact", self.contacts), ("address", self.addresses), ("company", self.companies))
        return {(kind, value) for kind, values in kinds for value in values if value}


def digests(values: Iterable[str]) -> frozenset[str]:
    """Return what addresses, or company names, are known by here."""
    return frozenset(map(address_digest, values)) - {""}


def replace_awaited(conn: Connection, profile: int, awaited: Awaited) -> None:
    """Store what a profile waits for; rows that stay as they are are not written."""
    _replace(conn, profile, _KNOWN, awaited.rows())


def read_in_scope(conn: Connection, profile: int) -> set[str]:
    """Return the contacts that were in the scope without a coupling, or whose coupling has ended since."""
    return {row.value for row in conn.execute(_IN_SCOPE, {"profile": profile})}


def replace_in_scope(conn: Connection, profile: int, contacts: Iterable[str]) -> None:
    """Store which contacts a comparison found in the scope without a coupling."""
    _replace(conn, profile, _IN_SCOPE, {(SCOPE, contact) for contact in contacts})


def add_in_scope(conn: Connection, uncoupled: Iterable[tuple[int, str]]) -> None:
    """Add contacts whose couplings have ended, each with its profile."""
    for profile, contact in uncoupled:
        known = _IN_SCOPE.where(_A.value == contact)
        if conn.execute(known, {"profile": profile}).first() is None:
            conn.execute(insert(t.awaited), {"profile": profile, "kind": SCOPE, "value": contact})


def _replace(
    conn: Connection, profile: int, stored: Select[tuple[str, str]], wanted: set[tuple[str, str]]
) -> None:
    known = {(row.kind, row.value) for row in conn.execute(stored, {"profile": profile})}
    if gone := sorted(known - wanted):
        conn.execute(
            _DROP, [{"of_profile": profile, "of_kind": kind, "of_value": value} for kind, value in gone]
        )
    if new := sorted(wanted - known):
        conn.execute(
            insert(t.awaited), [{"profile": profile, "kind": kind, "value": value} for kind, value in new]
        )


def find_waiting(conn: Connection, awaited: Awaited) -> Mapping[str, Mapping[str, set[int]]]:
    """Return which profiles wait for some of these: kind -> value -> profiles."""
    found: dict[str, dict[str, set[int]]] = defaultdict(lambda: defaultdict(set))
    values: Collection[str]
    for kind, values in (
        ("contact", awaited.contacts),
        ("address", awaited.addresses),
        ("company", awaited.companies),
    ):
        if values:
            wanted = select(_A.value, _A.profile).where(_A.kind == kind, among(conn, _A.value, values))
            for value, profile in conn.execute(wanted):
                found[kind][value].add(profile)
    return found
