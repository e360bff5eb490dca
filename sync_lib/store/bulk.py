"""Many rows at once, by each database's fast way: into a table, out into a frame, and found by a list of values."""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from sqlalchemy import (
    ARRAY,
    BigInteger,
    ColumnElement,
    Connection,
    Integer,
    Select,
    Table,
    Text,
    any_,
    bindparam,
    cast,
    func,
    literal_column,
    select,
)

from sync_lib.store.engine import is_postgresql

if TYPE_CHECKING:
    import pandas as pd

T = TypeVar("T")
Row = tuple[Any, ...]

#: Rows that are held in memory at a time.
PART = 10_000


def parts(rows: Iterable[T]) -> Iterator[list[T]]:
    """Yield ``rows`` in lists of at most ``PART``."""
    iterator = iter(rows)
    while part := list(itertools.islice(iterator, PART)):
        yield part


def among(
    conn: Connection, column: ColumnElement[Any], values: Collection[str] | Collection[int]
) -> ColumnElement[bool]:
    """Return the condition that ``column`` is one of ``values``: one parameter, however many values there are."""
    numbers = isinstance(column.type, Integer)
    if is_postgresql(conn):
        kind = ARRAY(BigInteger() if numbers else Text())
        return column == any_(bindparam(None, list(values), type_=kind, unique=True))
    # SQLite limits the parameters of a statement, not their size.
    listed = func.json_each(json.dumps(list(values))).table_valued("value")
    return column.in_(select(listed.c.value))


def insert_rows(conn: Connection, table: Table, names: Sequence[str], rows: Sequence[Row]) -> None:
    """Insert rows, each a tuple in the order of ``names``."""
    if not rows:
        return
    if is_postgresql(conn):
        _copy(conn, _quoted(conn, table.name), _list(conn, names), rows)
        return
    marks = ", ".join("?" * len(names))
    target = f"{_quoted(conn, table.name)} ({_list(conn, names)})"
    conn.exec_driver_sql(f"INSERT INTO {target} VALUES ({marks})", list(rows))  # noqa: S608 - names of our own


def update_rows(conn: Connection, table: Table, names: Sequence[str], rows: Sequence[Row]) -> None:
    """Set ``names`` of the rows whose primary key is the last value of each tuple."""
    if not rows:
        return
    key = next(iter(table.primary_key.columns)).name
    target = _quoted(conn, table.name)
    if not is_postgresql(conn):
        settings = ", ".join(f"{_quoted(conn, name)} = ?" for name in names)
        statement = f"UPDATE {target} SET {settings} WHERE {_quoted(conn, key)} = ?"  # noqa: S608
        conn.exec_driver_sql(statement, list(rows))
        return
    columns = [*names, key]
    temporary = _temporary(conn, table, columns)
    _copy(conn, temporary, _list(conn, columns), rows)
    settings = ", ".join(f"{_quoted(conn, name)} = new.{_quoted(conn, name)}" for name in names)
    condition = f"{target}.{_quoted(conn, key)} = new.{_quoted(conn, key)}"
    conn.exec_driver_sql(f"UPDATE {target} SET {settings} FROM {temporary} AS new WHERE {condition}")  # noqa: S608
    conn.exec_driver_sql(f"DELETE FROM {temporary}")  # noqa: S608


def _temporary(conn: Connection, table: Table, names: Sequence[str]) -> str:
    """Return a temporary table with some of a table's columns; made once per session, empty again after each commit.

    Dropping and making it each time would fill PostgreSQL's catalogue with dead rows.
    """
    columns = ", ".join(
        f"{_quoted(conn, name)} {table.c[name].type.compile(dialect=conn.dialect)}" for name in names
    )
    digest = hashlib.sha256(columns.encode()).hexdigest()[:12]
    temporary = f"pg_temp.new_{table.name}_{digest}"
    # IF NOT EXISTS would warn the server's log each time; the look-up is as cheap.
    known = conn.exec_driver_sql("SELECT to_regclass(%s)", (temporary,)).scalar()
    if known is None:
        conn.exec_driver_sql(f"CREATE TEMPORARY TABLE {temporary} ({columns}) ON COMMIT DELETE ROWS")
    return temporary


def _copy(conn: Connection, target: str, columns: str, rows: Iterable[Row]) -> None:
    # SQLAlchemy has no COPY; the driver's cursor works inside the same transaction.
    cursor = conn.connection.cursor()
    try:
        with cursor.copy(f"COPY {target} ({columns}) FROM STDIN") as copy:
            for row in rows:
                copy.write_row(row)
    finally:
        cursor.close()


def _quoted(conn: Connection, name: str) -> str:
    return conn.dialect.identifier_preparer.quote(name)


def _list(conn: Connection, names: Sequence[str]) -> str:
    return ", ".join(_quoted(conn, name) for name in names)


def read_tuples(conn: Connection, statement: Select[Any]) -> list[Row]:
    """Return the rows of a query as the driver gives them, without SQLAlchemy's row objects."""
    with conn.execute(statement) as result:
        rows: list[Row] = list(result.cursor.fetchall())
        return rows


# Unit separator: no value should hold it, and one that does is noticed.
_SEPARATOR = "\x1f"


def read_frame(conn: Connection, statement: Select[Any]) -> pd.DataFrame:
    """Return a query as a frame: text as ``str``, whole numbers as ``int64``. The query must not yield NULL.

    The database joins each column to one text, which Python splits at once: several times faster than a row at a
    time, and PyArrow is not needed for it.
    """
    import numpy as np
    import pandas as pd

    texts, size = _read_joined(conn, statement)
    columns = [text.split(_SEPARATOR) if size else [] for text in texts]
    if any(len(values) != size for values in columns):
        # Some text holds the separator.
        columns = [list(values) for values in zip(*read_tuples(conn, statement), strict=True)]
    frame = {
        column.name: np.array(values, dtype="int64")
        if isinstance(column.type, Integer)
        else pd.array(values, dtype="str")
        for column, values in zip(statement.selected_columns, columns, strict=True)
    }
    return pd.DataFrame(frame, copy=False)


def _read_joined(conn: Connection, statement: Select[Any]) -> tuple[Sequence[str], int]:
    """Return each column as one text, all in the same order of rows, and the number of rows."""
    rows = statement.subquery("frame")
    join = func.string_agg if is_postgresql(conn) else func.group_concat
    # Part of the statement, since SQLite is slower with a parameter here.
    separator: ColumnElement[str] = literal_column(f"'{_SEPARATOR}'")
    joined = (join(cast(each, Text), separator) for each in rows.c)
    [(size, *texts)] = read_tuples(conn, select(func.count(), *joined).select_from(rows))
    return texts, size
