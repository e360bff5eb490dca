"""What both snapshots are made of: rows to stage, rows that are staged, and how an overlay shows them.

``overlay`` is "" for the snapshot itself. A dry run gives its run id: rows that it stages shadow the real ones of the
same id, for whoever reads with that overlay, until ``drop_overlay`` throws them away (rules 8.2).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeVar

from sqlalchemy import (
    BindParameter,
    ColumnElement,
    Connection,
    FromClause,
    Table,
    and_,
    bindparam,
    case,
    exists,
    select,
    true,
    union_all,
)

from sync_lib.fields.bc_columns import COLUMN_NAMES
from sync_lib.model import BcContact, OutlookContact
from sync_lib.store.engine import is_postgresql
from sync_lib.store.prepared import Prepared

if TYPE_CHECKING:
    pass


Values = tuple[Any, ...]
#: A service's stamp and version token of one contact.
Version = tuple[str, str]


class BcRow(NamedTuple):
    """A contact of BC to stage; ``problem`` is why it may not go to Outlook (rules 3), "" = it may."""

    contact: BcContact
    fingerprint: int
    email_key: str
    problem: str = ""


class OutlookRow(NamedTuple):
    """An Outlook item to stage; its record is complete: parts that a delta left out are filled in already."""

    contact: OutlookContact
    fingerprint: int
    email_key: str
    name: str
    address_digest: str = ""


@dataclass(slots=True)
class Staged:
    """What staging came to.

    Attributes:
        changed: Rows that were new, replaced, or present again.
        unchanged: Rows that the snapshot held already.
        conflicting: Ids whose staged row is newer, or as new and another version: GET by id decides (rules 5).
        stored: The versions that the conflicting rows had; hand them back as ``force``.
    """

    changed: int = 0
    unchanged: int = 0
    conflicting: list[str] = field(default_factory=list)
    stored: dict[str, Version] = field(default_factory=dict)


#: True: the rows come from a GET by id and replace whatever is staged. Versions: only where these are still staged.
Force = bool | Mapping[str, Version]


class Stored(NamedTuple):
    id: str
    row_id: int
    overlay: str
    last_modified: str
    etag: str
    normaliser: int
    gone_since: str | None
    bc_key: str | None
    private: bool | None = None
    flag_etag: str = ""
    texts: tuple[str, ...] = ()


R = TypeVar("R", BcRow, OutlookRow)


@dataclass(frozen=True)
class Snapshot(Generic[R]):
    """One of the two tables, and how a row of its side becomes a row of it."""

    table: Table
    owner: str
    names: tuple[str, ...]
    values: Callable[[R, Stored | None], Values]
    #: Columns that decide whether a row of the same version is another one all the same.
    compared: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Stage:
    """Where rows are staged, and under which rules."""

    scope: int
    overlay: str
    force: Force
    normaliser: int
    # Values that every row gets, in the order of the snapshot's last columns.
    common: Values
    # Rows to write whatever is stored.
    rewrite: frozenset[str] = frozenset()


def lock(conn: Connection, table: Table, key: int) -> None:
    """Keep others from staging for one company or profile until the transaction ends."""
    # FOR NO KEY UPDATE: rows that only refer to this one may still be written by others. SQLite has one writer.
    if is_postgresql(conn):
        _lock(table).execute(conn, key)


@cache
def _lock(table: Table) -> Prepared:
    wanted = select(table.c.id).where(table.c.id == bindparam("of_id")).with_for_update(key_share=True)
    return Prepared(wanted, ("of_id",), postgresql=True)


def storable(texts: tuple[str, ...]) -> tuple[str, ...]:
    """Return the texts without NUL and halves of surrogate pairs, which no database takes (PostgreSQL) or keeps."""
    text = "".join(texts)
    if "\x00" not in text and (text.isascii() or _is_unicode(text)):
        return texts
    return tuple(text.replace("\x00", "").encode(errors="ignore").decode() for text in texts)


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


_bc_values = itemgetter(*COLUMN_NAMES)


def bc_texts(contact: BcContact) -> tuple[str, ...]:
    """Return a contact's fields as they are stored."""
    try:
        values = _bc_values(contact.values)
    except KeyError:
        values = tuple(contact.values.get(name, "") for name in COLUMN_NAMES)
    return storable(values)


# Statements are made once, since making one takes longer than SQLite needs to answer it; ``_in`` gives the values.
SCOPE: BindParameter[int] = bindparam("scope")

OVERLAY: BindParameter[str] = bindparam("overlay")


def seen_in(scope: int, overlay: str, **values: Any) -> dict[str, Any]:
    """Return the values that every statement of a snapshot takes."""
    return {"scope": scope, "overlay": overlay, **values}


def owner_of(table: FromClause) -> ColumnElement[int]:
    """Return the column that names whose snapshot a row belongs to."""
    column: ColumnElement[int] = table.c.company if "company_key" in table.c else table.c.profile
    return column


@cache
def rows_of(table: Table, overlaid: bool) -> tuple[FromClause, ColumnElement[bool]]:
    """Return what holds the rows of a snapshot as an overlay shows them, and the condition that picks them.

    ``row_id`` is that of the real row, which couplings name; a row that only the overlay has gets its own, negative.
    """
    if not overlaid:
        return table, and_(owner_of(table) == SCOPE, table.c.overlay == "")
    real, over, shadowed = table.alias("real"), table.alias("over"), table.alias("shadowed")
    others = [column.name for column in table.c if column.name != "row_id"]

    def pair(one: FromClause, other: FromClause) -> ColumnElement[bool]:
        layer = other.c.overlay == OVERLAY if other is over else other.c.overlay == ""
        return and_(owner_of(other) == SCOPE, layer, other.c.id == one.c.id)

    link = case((shadowed.c.row_id.is_(None), -over.c.row_id), else_=shadowed.c.row_id).label("row_id")
    plain = select(real.c.row_id, *(real.c[name] for name in others)).where(
        owner_of(real) == SCOPE, real.c.overlay == "", ~exists().where(pair(real, over)).correlate(real)
    )
    own = (
        select(link, *(over.c[name] for name in others))
        .select_from(over.outerjoin(shadowed, pair(over, shadowed)))
        .where(owner_of(over) == SCOPE, over.c.overlay == OVERLAY)
    )
    return union_all(plain, own).subquery("seen"), true()


def present_rows(table: Table, overlaid: bool) -> tuple[FromClause, ColumnElement[bool]]:
    """Return ``rows_of`` without the rows that are gone."""
    rows, picked = rows_of(table, overlaid)
    return rows, and_(picked, rows.c.gone_since.is_(None))
