"""What each company of Business Central held when it was last read.

Every function works inside the caller's transaction, so that a cursor is saved with the rows that it stands for.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    FromClause,
    Select,
    and_,
    func,
    literal_column,
    or_,
    select,
    true,
    update,
)

from sync_lib.fields import filters
from sync_lib.fields.bc_columns import COLUMN_NAMES
from sync_lib.fields.texts import clean_line, fold_case
from sync_lib.store import tables as t
from sync_lib.store.bulk import (
    FrameQuery,
    among,
    among_named,
    read_tuples,
)
from sync_lib.store.engine import is_postgresql

if TYPE_CHECKING:
    import pandas as pd
from sync_lib.store.snapshots.rows import (
    BcRow,
    Force,
    Snapshot,
    Stage,
    Staged,
    Stored,
    Values,
    bc_texts,
    lock,
    present_rows,
    rows_of,
    seen_in,
    storable,
)
from sync_lib.store.snapshots.writing import mark_gone, stage_rows

#: What the diff needs of a profile's scope.
SCOPE_COLUMNS = (
    *("row_id", "id", "fingerprint", "etag", "last_modified", "email_key", "problem"),
    *COLUMN_NAMES,
)


def stage_business_central(  # noqa: PLR0913 - flat keywords read best at the call
    conn: Connection,
    company: int,
    rows: Iterable[BcRow],
    *,
    generation: int,
    normaliser: int,
    overlay: str = "",
    force: Force = False,
) -> Staged:
    """Take contacts of BC into the snapshot; older never replaces newer.

    Args:
        conn: Inside a transaction.
        company: Key of the company.
        rows: Contacts as read, in any order.
        generation: What ``next_generation`` gave; the rows that change carry it.
        normaliser: Version of the normal forms (and of everything else that fingerprints depend on, such as the
            field profile). A row with another one is written again although its version is the same.
        overlay: Run id of a dry run, or "".
        force: The rows are answers to a GET by id.
    """
    stage = Stage(company, overlay, force, normaliser, (normaliser, generation))
    lock_company(conn, company)
    return stage_rows(conn, _BC, stage, rows)


def lock_company(conn: Connection, company: int) -> None:
    """Keep others from staging contacts of a company until the transaction ends."""
    lock(conn, t.company, company)


def _values_of_bc(row: BcRow, _: Stored | None) -> Values:
    contact = row.contact
    version = storable((contact.etag, contact.last_modified))
    derived = storable((row.email_key, _company_key(contact.values), row.problem))
    return (*version, *bc_texts(contact), *derived, row.fingerprint, None)


def _company_key(values: Mapping[str, str]) -> str:
    is_company = values.get("type", "").casefold() == "company"
    return fold_case(clean_line(values.get("name", ""))) if is_company else ""


_BC = Snapshot[BcRow](
    t.bc_contact,
    "company",
    (
        "etag",
        "last_modified",
        *COLUMN_NAMES,
        "email_key",
        "company_key",
        "problem",
        "fingerprint",
        "gone_since",
        "normaliser",
        "generation",
    ),
    _values_of_bc,
    COLUMN_NAMES,
)


def next_generation(conn: Connection, company: int) -> int:
    """Count the company's generation up and return it; others wait for this transaction before they get theirs."""
    columns = t.company.c
    statement = update(t.company).where(columns.id == company).values(generation=columns.generation + 1)
    return int(conn.execute(statement.returning(columns.generation)).scalar_one())


def mark_gone_business_central(  # noqa: PLR0913 - flat keywords read best at the call
    conn: Connection, company: int, ids: Collection[str], *, at: str, generation: int, overlay: str = ""
) -> int:
    """Mark contacts that BC no longer has; return how many were present until now."""
    lock_company(conn, company)
    return mark_gone(conn, t.bc_contact, company, overlay, ids, gone_since=at, generation=generation)


def read_stamps(conn: Connection, company: int, overlay: str = "") -> dict[str, str]:
    """Return the stamp of every present contact by its id: what an id scan is compared with."""
    return dict(read_tuples(conn, _stamps(bool(overlay)), seen_in(company, overlay)))


@cache
def _stamps(overlaid: bool) -> Select[Any]:
    rows, present = present_rows(t.bc_contact, overlaid)
    return select(rows.c.id, rows.c.last_modified).where(present)


def read_blocked(conn: Connection, company: int, overlay: str = "") -> list[str]:
    """Return the ids of the present contacts of a company that are blocked for privacy."""
    return sorted(conn.scalars(_blocked(bool(overlay)), seen_in(company, overlay)))


@cache
def _blocked(overlaid: bool) -> Select[Any]:
    rows, present = present_rows(t.bc_contact, overlaid)
    return select(rows.c.id).where(present, rows.c.privacy_blocked == literal_column("'true'"))


def known_bc(
    conn: Connection, company: int, ids: Collection[str], overlay: str = ""
) -> dict[str, tuple[str, ...]]:
    """Return stamp, version and fields (as ``bc_texts`` gives them) of some present contacts by their ids."""
    wanted = _known_bc(bool(overlay), is_postgresql(conn))
    return {row[0]: row[1:] for row in read_tuples(conn, wanted, seen_in(company, overlay, ids=ids))}


@cache
def _known_bc(overlaid: bool, postgresql: bool) -> Select[Any]:
    rows, present = present_rows(t.bc_contact, overlaid)
    names = ("last_modified", "etag", *COLUMN_NAMES)
    wanted = select(rows.c.id, *(rows.c[name] for name in names))
    return wanted.where(present, among_named(rows.c.id, "ids", postgresql=postgresql))


def count_present(conn: Connection, company: int, overlay: str = "") -> int:
    """Return how many contacts the company has, of any type."""
    rows, present = present_rows(t.bc_contact, bool(overlay))
    wanted = select(func.count()).select_from(rows).where(present)
    return conn.execute(wanted, seen_in(company, overlay)).scalar_one()


def read_scope(  # noqa: PLR0913 - flat keywords read best at the call
    conn: Connection,
    company: int,
    *,
    condition: filters.Condition | None = None,
    overlay: str = "",
    columns: Sequence[str] = SCOPE_COLUMNS,
    ids: Collection[str] | None = None,
) -> pd.DataFrame:
    """Return the persons of a company that may be in a profile's scope: present and not blocked.

    Args:
        conn: Inside a transaction.
        company: Key of the company.
        condition: What of the profile's filter SQL can say (``Filter.to_sql``); ``Filter.mask`` decides.
        overlay: Run id of a dry run, or "".
        columns: What to read: keys, versions, address, ``problem`` (rules 3: not "" = may not go), fields.
        ids: Only these contacts.
    """
    wanted = condition or filters.Everything()
    query = _scope(bool(overlay), wanted, tuple(columns), ids is not None, is_postgresql(conn))
    return query.read(conn, seen_in(company, overlay, **({"ids": sorted(ids)} if ids is not None else {})))


# As many as a task that works through several profiles may need: filters and what is read of them.
@lru_cache(maxsize=64)
def _scope(
    overlaid: bool, condition: filters.Condition, columns: tuple[str, ...], by_id: bool, postgresql: bool
) -> FrameQuery:
    rows, present = present_rows(t.bc_contact, overlaid)
    wanted = select(*(rows.c[name] for name in columns)).where(
        present,
        rows.c.type == "Person",
        rows.c.privacy_blocked != "true",
        _condition(rows, condition),
    )
    if by_id:
        wanted = wanted.where(among_named(rows.c.id, "ids", postgresql=postgresql))
    return FrameQuery(wanted, postgresql=postgresql)


def _condition(rows: FromClause, condition: filters.Condition) -> ColumnElement[bool]:
    if isinstance(condition, filters.Everything):
        return true()
    if isinstance(condition, filters.And):
        return and_(true(), *(_condition(rows, part) for part in condition.parts))
    if isinstance(condition, filters.Or):
        # ``IS NULL`` of a column without NULLs: Or(()) means nothing.
        return or_(rows.c.id.is_(None), *(_condition(rows, part) for part in condition.parts))
    column = rows.c[condition.column]
    if isinstance(condition, filters.In):
        return column.not_in(condition.values) if condition.negated else column.in_(condition.values)
    if condition.op == "like":
        return column.like(condition.value, escape=filters.LIKE_ESCAPE)
    return column.op(condition.op, is_comparison=True)(condition.value)


def read_bc_rows(
    conn: Connection,
    company: int,
    *,
    row_ids: Collection[int] | None = None,
    ids: Collection[str] | None = None,
    overlay: str = "",
) -> list[dict[str, Any]]:
    """Return whole rows, also of contacts that are gone, by their keys or system ids (or all of them)."""
    given = {name: values for name, values in (("row_ids", row_ids), ("ids", ids)) if values is not None}
    return _dicts(conn, _bc_rows(bool(overlay), tuple(given), is_postgresql(conn)), company, overlay, **given)


@cache
def _bc_rows(overlaid: bool, given: tuple[str, ...], postgresql: bool) -> Select[Any]:
    rows, picked = rows_of(t.bc_contact, overlaid)
    columns = {"row_ids": rows.c.row_id, "ids": rows.c.id}
    named = (among_named(columns[name], name, postgresql=postgresql) for name in given)
    return select(rows).where(picked, *named)


def read_bc_by_email(
    conn: Connection, company: int, email_keys: Collection[str], overlay: str = ""
) -> list[dict[str, Any]]:
    """Return the present contacts, of any type, that have one of these addresses (normal form)."""
    wanted = _bc_by_email(bool(overlay), is_postgresql(conn))
    return _dicts(conn, wanted, company, overlay, email_keys=email_keys)


@cache
def _bc_by_email(overlaid: bool, postgresql: bool) -> Select[Any]:
    rows, present = present_rows(t.bc_contact, overlaid)
    named = among_named(rows.c.email_key, "email_keys", postgresql=postgresql)
    return select(rows).where(present, named)


def read_company_numbers(
    conn: Connection, company: int, names: Collection[str], overlay: str = ""
) -> dict[str, str | None]:
    """Return the number of each company contact that has one of these names, by the name as it was asked.

    Args:
        conn: Inside a transaction.
        company: Key of the company.
        names: Names in any case; those that no company contact has are left out of the answer.
        overlay: Run id of a dry run, or "".

    Returns:
        None where several company contacts have the name.
    """
    asked = {name: fold_case(clean_line(name)) for name in names}
    if not asked:
        return {}
    wanted = _company_numbers(bool(overlay), is_postgresql(conn))
    numbers: dict[str, str | None] = {}
    for found, number in read_tuples(conn, wanted, seen_in(company, overlay, names=set(asked.values()))):
        numbers[found] = None if found in numbers else number
    return {name: numbers[folded] for name, folded in asked.items() if folded in numbers}


@cache
def _company_numbers(overlaid: bool, postgresql: bool) -> Select[Any]:
    rows, present = present_rows(t.bc_contact, overlaid)
    key = rows.c.company_key
    # ``<> ''`` lets both databases use the index, which leaves out the persons.
    named = (key != "", among_named(key, "names", postgresql=postgresql))
    return select(key, rows.c.number).where(present, *named)


def read_companies_named(conn: Connection, company: int, names: Collection[str]) -> set[str]:
    """Return the ids of the company contacts that have one of these names, however many have the same."""
    folded = {fold_case(clean_line(name)) for name in names} - {""}
    if not folded:
        return set()
    rows, present = present_rows(t.bc_contact, overlaid=False)
    key = rows.c.company_key
    wanted = select(rows.c.id).where(present, key != "", among(conn, key, folded))
    return set(conn.scalars(wanted, seen_in(company, "")))


def _dicts(
    conn: Connection, statement: Select[Any], company: int, overlay: str, **values: Any
) -> list[dict[str, Any]]:
    found = read_tuples(conn, statement, seen_in(company, overlay, **values))
    names = [column.name for column in statement.selected_columns] if found else []
    return [dict(zip(names, row, strict=True)) for row in found]
