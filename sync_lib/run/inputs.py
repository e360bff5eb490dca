"""Read from staging what the diff of one profile looks at: frames for all contacts, whole rows for the few."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pandas as pd
from sqlalchemy import Connection

from sync_lib.diff.context import Policy
from sync_lib.diff.match import Partition, Views, name_key, partition
from sync_lib.fields import categories
from sync_lib.fields.bc_columns import COLUMN_NAMES
from sync_lib.fields.contact_keys import BcKey
from sync_lib.fields.filters import Filter
from sync_lib.fields.lookups import Lookups
from sync_lib.fields.mapper import FieldMapper
from sync_lib.fields.normal_forms import company_key, email_key
from sync_lib.model import BcSide, BcStatus, Coupling, CouplingState, Direction, OutlookSide
from sync_lib.store.changes import read_known_values, read_lost_creates
from sync_lib.store.companies import CompanyRow
from sync_lib.store.couplings import read_categories, read_coupling_rows, read_couplings
from sync_lib.store.profiles.rows import Profile
from sync_lib.store.settled import Unsettled
from sync_lib.store.snapshots import bc_contacts, outlook_items
from sync_lib.store.snapshots.outlook_items import FOLDER_DELETED


def mapper_of(company: CompanyRow, field_profile: str, language: str = "nl") -> FieldMapper:
    """Return what maps the records of a company, for profiles of a language; without the numbers of its companies."""
    lookups = Lookups(
        region=company.phone_region,
        language=language,
        countries=company.country_names,
        countries_read=company.countries_read,
    )
    return FieldMapper.of(field_profile, lookups)


def policy_of(profile: Profile) -> Policy:
    """Return what a profile decides about the diff."""
    return Policy(
        Direction(profile.direction),
        profile.deleted_in_outlook,
        profile.deleted_in_bc,
        profile.left_scope,
        profile.blank_in_bc,
        profile.categories,
    )


def written_categories(profile: Profile) -> tuple[str, ...] | None:
    """Return the templates of a profile's categories, or None where it writes none to Outlook (rules 7.9)."""
    return None if profile.direction == Direction.TO_BUSINESS_CENTRAL else profile.categories


@dataclass(frozen=True, slots=True)
class ProfileView:
    """What one diff of a profile starts from.

    Attributes:
        partition: The pairs in agreement, counted, and what is left.
        views: What is left, whole.
        extra: Pairs in agreement that the views hold nevertheless, since a key names them.
        company_names: Company names in Outlook that may have to be found in BC.
        agreed: Couplings in agreement that no comparison has marked as settled yet.
        is_whole: Everything was read, not what was unsettled alone.
    """

    partition: Partition
    views: Views
    extra: int
    company_names: frozenset[str]
    agreed: list[int] = field(default_factory=list)
    is_whole: bool = True


@dataclass(frozen=True, slots=True)
class Scope:
    """Whose contacts to read: the profile's company, folder, filter and direction, and the overlay of a dry run."""

    profile: int
    company: int
    filter: Filter
    me: str
    overlay: str = ""
    direction: str = ""
    #: Contacts of BC to look at one by one, whether they agree or not.
    attend: frozenset[str] = frozenset()
    #: Contacts of BC that a person leaves out of the folder.
    left_out: frozenset[str] = frozenset()
    #: Templates of the categories that items are to have; None where none are written.
    categories: tuple[str, ...] | None = None


def read_view(conn: Connection, scope: Scope, unsettled: Unsettled | None = None) -> ProfileView:
    """Return what the diff of a profile needs; time grows with its scope and folder, not with the company.

    Args:
        conn: Inside a transaction.
        scope: Whose contacts.
        unsettled: What alone to read, where all else is known to agree; time grows with that then.
    """
    frames = _read_frames(conn, scope, unsettled)
    people, items, couplings = frames.people, frames.items, frames.couplings
    if scope.attend:
        attended = couplings["bc_id"].isin(scope.attend)
        couplings = couplings.assign(attention=couplings["attention"] | attended)
    if stale := with_other_categories(conn, scope, people, unsettled.couplings if unsettled else None):
        couplings = couplings.assign(attention=couplings["attention"] | couplings["id"].isin(stale))
    named: list[str] = []
    if scope.left_out:
        left = people["id"].isin(scope.left_out)
        named = people.loc[left & ~people["id"].isin(couplings["bc_id"]), "id"].tolist()
        people = people[~left].reset_index(drop=True)
    split = partition(people, items, couplings)
    unmarked = couplings.loc[~couplings["settled"].to_numpy(bool), "id"].tolist()
    view = _Reader(conn, scope, _Frames(people, items, couplings)).view(split, named)
    view = replace(view, agreed=sorted(set(unmarked) - set(split.couplings)))
    if unsettled is None:
        return view
    n = unsettled.agreed
    whole = replace(split, same=split.same + n, present=split.present + n, live=split.live + n)
    return replace(view, partition=whole, is_whole=False)


def _read_frames(conn: Connection, scope: Scope, unsettled: Unsettled | None) -> _Frames:
    if unsettled is None:
        return _Frames(
            read_scope(conn, scope),
            outlook_items.read_outlook(conn, scope.profile, overlay=scope.overlay),
            read_couplings(conn, scope.profile, scope.direction),
        )
    return _Frames(
        read_scope(conn, scope, ids=unsettled.contacts),
        outlook_items.read_outlook(conn, scope.profile, ids=unsettled.items),
        read_couplings(conn, scope.profile, scope.direction, unsettled.couplings),
    )


def with_other_categories(
    conn: Connection, scope: Scope, people: pd.DataFrame, ids: Collection[int] | None = None
) -> list[int]:
    """Return the couplings whose templates come to something else than they last did: fingerprints don't show that.

    Args:
        conn: Inside a transaction.
        scope: The profile, and its templates.
        people: Its contacts.
        ids: Of these couplings alone.
    """
    if scope.categories is None:
        return []
    columns = categories.columns_asked(scope.categories)
    if not columns:
        found = read_categories(conn, scope.profile, categories.render(scope.categories, {}), ids)
        return [key for key, _, _ in found]
    values = zip(*(people[name].to_numpy(object).tolist() for name in columns), strict=True)
    rows = dict(zip(people["row_id"].to_numpy(object).tolist(), values, strict=True))
    rendered = {
        each: categories.render(scope.categories, dict(zip(columns, each, strict=True)))
        for each in set(rows.values())
    }
    return [
        key
        for key, row, known in read_categories(conn, scope.profile, ids=ids)
        if row in rows and known.get("asked") != rendered[rows[row]]
    ]


#: Contacts of which reading those that do not pass costs less than another statement.
_FEW = 100


def read_scope(
    conn: Connection,
    scope: Scope,
    columns: Sequence[str] = bc_contacts.SCOPE_COLUMNS,
    ids: Collection[str] | None = None,
) -> pd.DataFrame:
    """Return the persons that pass the filter and are not blocked, also those without a valid name or address.

    Args:
        conn: Inside a transaction.
        scope: Whose contacts.
        columns: What to read of them, beside the fields of the filter.
        ids: Only these contacts.
    """
    names = tuple(dict.fromkeys((*columns, *scope.filter.fields)))
    # Of a few contacts the mask alone says it, so that the statement is the same for each filter.
    is_few = ids is not None and len(ids) <= _FEW
    condition = None if is_few else scope.filter.to_sql(scope.me)
    frame = bc_contacts.read_scope(
        conn, scope.company, condition=condition, overlay=scope.overlay, columns=names, ids=ids
    )
    return frame[scope.filter.mask(frame, me=scope.me).to_numpy(bool)].reset_index(drop=True)


@dataclass(frozen=True, slots=True)
class _Frames:
    """All contacts of a profile, light: persons that pass the filter, present items, couplings."""

    people: pd.DataFrame
    items: pd.DataFrame
    couplings: pd.DataFrame


class _Reader:
    def __init__(self, conn: Connection, scope: Scope, frames: _Frames) -> None:
        self.conn = conn
        self.scope = scope
        self.people = frames.people
        self.items = frames.items
        self.frame = frames.couplings

    def view(self, split: Partition, left_out: Sequence[str] = ()) -> ProfileView:
        outlook = self._outlook(split.outlook_ids)
        named = {key.contact_id for item in outlook.values() if (key := BcKey.parse(item.bc_key))}
        extra = self._named_couplings(named, set(split.couplings))
        couplings = read_coupling_rows(self.conn, self.scope.profile, [*split.couplings, *extra])
        addresses = {item.email_key for item in outlook.values()}
        coupled = self._rows([c.outlook_id for c in couplings if c.outlook_id])
        outlook |= _present(coupled)
        bc = self._bc(couplings, [*split.bc_ids, *named, *self.scope.attend])
        by_email = {
            key: [bc.get(other.id, other) for other in others]
            for key, others in self._by_email(addresses).items()
        }
        coupled_items = dict(zip(self.frame["bc_id"], self.frame["outlook_row"], strict=True))
        views = Views(
            couplings=couplings,
            bc=bc,
            items=outlook,
            uncoupled_bc=split.bc_ids,
            uncoupled_items=split.outlook_ids,
            coupled_bc=coupled_items,
            held_emails=self._held_emails(),
            by_email=by_email,
            in_filter=frozenset(self.people["id"]) & bc.keys(),
            known=self._known(couplings, bc, named),
            lost_items=frozenset(k for k, row in coupled.items() if row["gone_reason"] == FOLDER_DELETED),
            gone_created={key: row["created"] for key, row in coupled.items() if row["gone_since"]},
            sent=read_lost_creates(self.conn, self.scope.profile, sorted(named)),
            left_out=tuple(left_out),
        )
        names = frozenset(company_key(str(item.record.get("companyName") or "")) for item in outlook.values())
        return ProfileView(split, views, len(extra), names - {""})

    # -- Outlook ---------------------------------------------------------------------------------------------------

    def _outlook(self, ids: Collection[str]) -> dict[str, OutlookSide]:
        return _present(self._rows(ids))

    def _rows(self, ids: Collection[str]) -> dict[str, dict[str, Any]]:
        return outlook_items.read_outlook_records(
            self.conn, self.scope.profile, list(ids), overlay=self.scope.overlay
        )

    def _named_couplings(self, named: set[str], known: set[int]) -> list[int]:
        """Couplings in agreement whose BC contact the key of an uncoupled item names: a copy, or one that returns."""
        if not named:
            return []
        matching = self.frame.loc[self.frame["bc_id"].isin(named), "id"].tolist()
        return [key for key in matching if key not in known]

    def _held_emails(self) -> frozenset[str]:
        present = self.frame.loc[self.frame["outlook_row"].isin(self.items["row_id"]), "bc_row"]
        held = self.people["row_id"].isin(present)
        return frozenset(self.people.loc[held, "email_key"])

    # -- Business Central ------------------------------------------------------------------------------------------

    def _bc(self, couplings: Iterable[Coupling], ids: Iterable[str]) -> dict[str, BcSide]:
        pinned = {c.bc_id for c in couplings if c.state is CouplingState.PINNED}
        wanted = {c.bc_id for c in couplings} | set(ids)
        here = self.people[self.people["id"].isin(wanted)]
        sides = {row["id"]: bc_side(row, in_filter=True) for row in to_dicts(here)}
        others = sorted(wanted - sides.keys())
        for row in bc_contacts.read_bc_rows(
            self.conn, self.scope.company, ids=others, overlay=self.scope.overlay
        ):
            sides[row["id"]] = bc_side(row, in_filter=row["id"] in pinned)
        return {key: self._unless_left_out(side) for key, side in sides.items()}

    def _unless_left_out(self, side: BcSide) -> BcSide:
        """A contact that a person leaves out is out of the scope, also where its coupling is pinned."""
        if side.id not in self.scope.left_out or side.status in (BcStatus.BLOCKED, BcStatus.GONE):
            return side
        return replace(side, status=BcStatus.OUT, left_out=True)

    def _by_email(self, keys: Iterable[str]) -> dict[str, list[BcSide]]:
        wanted = sorted({key for key in keys if key})
        found: dict[str, list[BcSide]] = {}
        for row in bc_contacts.read_bc_by_email(
            self.conn, self.scope.company, wanted, overlay=self.scope.overlay
        ):
            side = self._unless_left_out(bc_side(row, in_filter=False))
            found.setdefault(row["email_key"], []).append(side)
        return found

    def _known(
        self, couplings: Iterable[Coupling], bc: Mapping[str, BcSide], named: set[str]
    ) -> dict[str, tuple[frozenset[str], frozenset[str]]]:
        """All names and addresses that the BC contacts named by keys have or had (rules 2.6)."""
        values: list[tuple[str, dict[str, Any]]] = [(key, bc[key].values) for key in named if key in bc]
        for coupling in couplings:
            if coupling.bc_id in named:
                values.append((coupling.bc_id, coupling.baseline_bc))
                values.append((coupling.bc_id, coupling.baseline_outlook.get("fields", {})))
        if named:
            values += read_known_values(self.conn, self.scope.profile, sorted(named))
        known: dict[str, tuple[set[str], set[str]]] = {}
        for key, fields in values:
            names, emails = known.setdefault(key, (set(), set()))
            names.add(name_key(fields.get("name")))
            emails.add(email_key(str(fields.get("email", ""))))
        return {key: (frozenset(names), frozenset(emails)) for key, (names, emails) in known.items()}


def to_dicts(frame: pd.DataFrame) -> Iterator[dict[str, Any]]:
    """Yield the rows of a frame as dicts of plain Python values. The one place where frames become dicts."""
    columns = [frame[name].to_numpy(object).tolist() for name in frame.columns]
    names = list(frame.columns)
    return (dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True))


def bc_side(row: Mapping[str, Any], *, in_filter: bool) -> BcSide:
    """Return a staged BC contact as a profile sees it (rules 3)."""
    return BcSide(
        id=row["id"],
        row_id=int(row["row_id"]),
        fingerprint=int(row["fingerprint"]),
        etag=row["etag"],
        email_key=row["email_key"],
        number=row["number"],
        status=_status(row, in_filter),
        values={name: row[name] for name in COLUMN_NAMES},
        problem=row["problem"],
        last_modified=row["last_modified"],
    )


def _status(row: Mapping[str, Any], in_filter: bool) -> BcStatus:
    if row.get("gone_since"):
        return BcStatus.GONE
    if row["privacy_blocked"] == "true":
        return BcStatus.BLOCKED
    if row["type"] != "Person" or not in_filter:
        return BcStatus.OUT
    return BcStatus.INVALID if row["problem"] else BcStatus.IN_SCOPE


def _present(rows: Mapping[str, Mapping[str, Any]]) -> dict[str, OutlookSide]:
    return {key: _outlook_side(row) for key, row in rows.items() if row["gone_since"] is None}


def _outlook_side(row: Mapping[str, Any]) -> OutlookSide:
    return OutlookSide(
        id=row["id"],
        row_id=int(row["row_id"]),
        fingerprint=int(row["fingerprint"]),
        etag=row["etag"],
        created=row["created"],
        email_key=row["email_key"],
        bc_key=row["bc_key"] or "",
        record=row["record"],
        private=bool(row["private"]),
        flag_read=row["private"] is not None and row["flag_etag"] == row["etag"],
        address_digest=row["address_digest"],
        last_modified=row["last_modified"],
    )
