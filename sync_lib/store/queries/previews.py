"""What a preview of a profile's settings looks at: its couplings with their items, and contacts by their keys."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import (
    Boolean,
    ColumnElement,
    Connection,
    Select,
    and_,
    case,
    func,
    select,
    type_coerce,
)

from sync_lib.model import Origin
from sync_lib.store import tables as t
from sync_lib.store.bulk import among, read_frame

if TYPE_CHECKING:
    import pandas as pd


def read_pairs(conn: Connection, profile: int) -> pd.DataFrame:
    """Return all couplings of a profile: ``bc_row`` (0 for none), ``state`` and ``origin``.

    ``present`` says whether the item is in the folder, ``edited`` whether somebody edited it since the pair last
    agreed (rules 2.1).
    """
    return read_frame(conn, _pairs().where(t.coupling.c.profile == profile))


def read_pairs_of(conn: Connection, profiles: Sequence[int]) -> pd.DataFrame:
    """Return the same of many profiles, each pair with its ``profile``."""
    c = t.coupling.c
    return read_frame(conn, _pairs().add_columns(c.profile).where(among(conn, c.profile, profiles)))


def _pairs() -> Select[Any]:
    c, item = t.coupling.c, t.outlook_contact.c
    return (
        select(
            func.coalesce(c.bc_row, 0).label("bc_row"),
            c.state,
            c.origin,
            type_coerce(case((item.row_id.is_not(None), 1), else_=0), Boolean).label("present"),
            type_coerce(case((_is_edited(), 1), else_=0), Boolean).label("edited"),
        )
        .select_from(t.coupling)
        .outerjoin(t.outlook_contact, and_(item.row_id == c.outlook_row, item.gone_since.is_(None)))
    )


@dataclass(frozen=True, slots=True)
class FolderItems:
    """Items of a folder: all, those tied to a contact, and of what the sync made the plain and the edited ones."""

    items: int
    tied: int
    plain: int
    edited: int


def count_items(conn: Connection, profile: int) -> FolderItems:
    """Return how many items of a folder there are, by what would become of them if the profile ended (rules 1)."""
    return count_items_of(conn, [profile]).get(profile, FolderItems(0, 0, 0, 0))


def count_items_of(conn: Connection, profiles: Sequence[int]) -> dict[int, FolderItems]:
    """Return the same of many profiles, in one query; of those that have any."""
    c, item = t.coupling.c, t.outlook_contact.c
    made = c.origin == Origin.MADE_BY_SYNC
    is_edited = _is_edited() | (c.differs != "{}")
    wanted = (
        select(
            item.profile,
            func.count(),
            func.count(c.id),
            func.coalesce(func.sum(case((made & ~is_edited, 1), else_=0)), 0),
            func.coalesce(func.sum(case((made & is_edited, 1), else_=0)), 0),
        )
        .select_from(t.outlook_contact)
        .outerjoin(t.coupling, and_(c.profile == item.profile, c.outlook_id == item.id))
        .where(among(conn, item.profile, profiles), item.overlay == "", item.gone_since.is_(None))
        .group_by(item.profile)
    )
    return {int(row[0]): FolderItems(*(int(number) for number in row[1:])) for row in conn.execute(wanted)}


def count_states(conn: Connection, profiles: Sequence[int]) -> dict[str, int]:
    """Return how many couplings many profiles have together, by state."""
    c = t.coupling.c
    wanted = select(c.state, func.count()).where(among(conn, c.profile, profiles)).group_by(c.state)
    return {str(row[0]): int(row[1]) for row in conn.execute(wanted)}


def _is_edited() -> ColumnElement[bool]:
    """Whether somebody edited an item since its pair last agreed (rules 2.1)."""
    c, item = t.coupling.c, t.outlook_contact.c
    other = c.outlook_fingerprint.is_not(None) & (item.fingerprint != c.outlook_fingerprint)
    return (item.etag != c.outlook_etag) | other


def read_persons(conn: Connection, row_ids: Sequence[int]) -> pd.DataFrame:
    """Return contacts of BC by their keys, with what a list shows: those that are there and not blocked."""
    c = t.bc_contact.c
    columns = (c.row_id, c.id, c.number, c.name, c.company_name, c.city, c.email_key)
    wanted = select(*columns).where(
        among(conn, c.row_id, row_ids), c.gone_since.is_(None), c.privacy_blocked != "true"
    )
    return read_frame(conn, wanted)


def read_time_of_snapshot(conn: Connection, company: int) -> str:
    """Return when a company was last read, "" for never."""
    c = t.cursor.c
    read_at = select(c.updated_at).where(c.side == "business_central", c.scope == str(company))
    return conn.scalar(read_at) or ""
