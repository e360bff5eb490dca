"""Many rows at once, by each database's fast way: into a table, out into a frame, and found by a list of values."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Boolean,
    ColumnElement,
    Connection,
    Dialect,
    Integer,
    Select,
    Table,
    Text,
    TypeDecorator,
    any_,
    bindparam,
    cast,
    func,
    literal_column,
    select,
)
from sqlalchemy.dialects import postgresql as postgres
from sqlalchemy.dialects import sqlite
from sqlalchemy.types import TypeEngine

from sync_lib.store.engine import hide_values, is_postgresql
from sync_lib.store.json_texts import to_json

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


class _Listed(TypeDecorator[Collection[Any]]):
    """Many values in one parameter: an array; SQLite limits the parameters of a statement, not their size."""

    impl = Text
    cache_ok = True

    def __init__(self, *, of_numbers: bool) -> None:
        super().__init__()
        self.of_numbers = of_numbers

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        if dialect.name == "postgresql":
            return dialect.type_descriptor(ARRAY(BigInteger() if self.of_numbers else Text()))
        return dialect.type_descriptor(Text())

    def process_bind_param(self, value: Collection[Any] | None, dialect: Dialect) -> Any:
        values = list(value or ())
        return values if dialect.name == "postgresql" else to_json(values)


def among(
    conn: Connection, column: ColumnElement[Any], values: Collection[str] | Collection[int]
) -> ColumnElement[bool]:
    """Return the condition that ``column`` is one of ``values``: one parameter, however many values there are."""
    return _among(column, is_postgresql(conn), None, values)


def among_named(column: ColumnElement[Any], name: str, *, postgresql: bool) -> ColumnElement[bool]:
    """Return ``among`` for a statement that is made once: the values come as a parameter of this name."""
    return _among(column, postgresql, name, ())


def _among(
    column: ColumnElement[Any], postgresql: bool, name: str | None, values: Collection[Any]
) -> ColumnElement[bool]:
    kind = _Listed(of_numbers=isinstance(column.type, Integer))
    given = bindparam(name, type_=kind) if name else bindparam(None, values, type_=kind, unique=True)
    if postgresql:
        return column == any_(given)
    listed = func.json_each(given).table_valued("value")
    return column.in_(select(listed.c.value))


def upsert(postgresql: bool) -> Callable[..., postgres.Insert | sqlite.Insert]:
    """Return what makes an INSERT that can say what to do about a row that is there."""
    return postgres.insert if postgresql else sqlite.insert


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


def insert_returning(
    conn: Connection, table: Table, names: Sequence[str], rows: Sequence[Row], returned: Sequence[str]
) -> list[Row]:
    """Insert rows as ``insert_rows`` does; return columns of what was inserted, in any order."""
    found: list[Row] = []
    for part in chunks(rows, _ROWS_RETURNED):
        target = f"{_quoted(conn, table.name)} ({_list(conn, names)})"
        mark = f"({', '.join(('%s' if is_postgresql(conn) else '?',) * len(names))})"
        marks = ", ".join((mark,) * len(part))
        statement = f"INSERT INTO {target} VALUES {marks} RETURNING {_list(conn, returned)}"  # noqa: S608 - ours
        values = tuple(itertools.chain.from_iterable(part))
        found += map(tuple, conn.exec_driver_sql(statement, values).all())
    return found


def update_rows(conn: Connection, table: Table, names: Sequence[str], rows: Sequence[Row]) -> None:
    """Set ``names`` of the rows whose primary key is the last value of each tuple."""
    if not rows:
        return
    key = next(iter(table.primary_key.columns)).name
    target = _quoted(conn, table.name)
    if not is_postgresql(conn):
        settings = ", ".join(f"{_quoted(conn, name)} = ?" for name in names)
        statement = f"UPDATE {target} SET {settings} WHERE {_quoted(conn, key)} = ?"  # noqa: S608 - ours
        conn.exec_driver_sql(statement, list(rows))
        return
    columns = [*names, key]
    temporary = _temporary(conn, table, columns)
    _copy(conn, temporary, _list(conn, columns), rows)
    settings = ", ".join(f"{_quoted(conn, name)} = new.{_quoted(conn, name)}" for name in names)
    condition = f"{target}.{_quoted(conn, key)} = new.{_quoted(conn, key)}"
    statement = f"UPDATE {target} SET {settings} FROM {temporary} AS new WHERE {condition}"  # noqa: S608 - ours
    conn.exec_driver_sql(statement)
    conn.exec_driver_sql(f"DELETE FROM {temporary}")  # noqa: S608 - ours


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
    except Exception as error:
        # SQLAlchemy does not see it, and the driver says in which row, with its values.
        hide_values(error)
        raise
    finally:
        cursor.close()


def _quoted(conn: Connection, name: str) -> str:
    return conn.dialect.identifier_preparer.quote(name)


def _list(conn: Connection, names: Sequence[str]) -> str:
    return ", ".join(_quoted(conn, name) for name in names)


def read_tuples(
    conn: Connection, statement: Select[Any], values: Mapping[str, Any] | None = None
) -> list[Row]:
    """Return the rows of a query as the driver gives them, without SQLAlchemy's row objects."""
    with conn.execute(statement, values) as result:
        rows: list[Row] = list(result.cursor.fetchall())
        return rows


# Unit separator: no value should hold it, and one that does is noticed.
_SEPARATOR = "\x1f"


class FrameQuery:
    """A query that is read as a frame: text as ``str``, whole numbers as ``int64``, flags (1 or 0) as ``bool``.

    It must not yield NULL.

    The database joins each column to one text, which Python splits at once: several times faster than a row at a
    time, and PyArrow is not needed for it.

    Args:
        statement: The query. Made once, it is given its values when it is read.
        postgresql: The database that it is for.
    """

    def __init__(self, statement: Select[Any], *, postgresql: bool) -> None:
        self._statement = statement
        self._columns = [(each.name, _kind(each)) for each in statement.selected_columns]
        self._joined = _joined(statement, postgresql)

    def read(self, conn: Connection, values: Mapping[str, Any] | None = None) -> pd.DataFrame:
        """Return the frame."""
        import numpy as np
        import pandas as pd

        [(size, *texts)] = read_tuples(conn, self._joined, values)
        columns = [text.split(_SEPARATOR) if size else [] for text in texts]
        if any(len(each) != size for each in columns):
            # Some text holds the separator.
            rows = read_tuples(conn, self._statement, values)
            columns = [list(each) for each in zip(*rows, strict=True)]
        frame: dict[str, Any] = {}
        for (name, kind), found in zip(self._columns, columns, strict=True):
            if kind == "str":
                frame[name] = pd.array(found, dtype="str")
            else:
                frame[name] = np.array(found, dtype="int64").astype(kind, copy=False)
        return pd.DataFrame(frame, copy=False)


def _kind(column: ColumnElement[Any]) -> str:
    if isinstance(column.type, Boolean):
        return "bool"
    return "int64" if isinstance(column.type, Integer) else "str"


def _joined(statement: Select[Any], postgresql: bool) -> Select[Any]:
    """Return the query for the number of rows, and each column as one text, all in the same order of rows."""
    rows = statement.subquery("frame")
    join = func.string_agg if postgresql else func.group_concat
    # Part of the statement, since SQLite is slower with a parameter here.
    separator: ColumnElement[str] = literal_column(f"'{_SEPARATOR}'")
    return select(func.count(), *(join(cast(each, Text), separator) for each in rows.c)).select_from(rows)


def read_frame(conn: Connection, statement: Select[Any]) -> pd.DataFrame:
    """Return a query that is made only once as a frame; see ``FrameQuery``."""
    return FrameQuery(statement, postgresql=is_postgresql(conn)).read(conn)


#: How many values a statement gets as parameters of their own.
CHUNK = 500
# Of 20 columns each, far below what either database takes; more of them are no faster.
_ROWS_RETURNED = 100


def chunks(values: Sequence[T], size: int = CHUNK) -> Iterable[Sequence[T]]:
    """Yield ``values`` in pieces that fit the number of parameters a statement may have."""
    for start in range(0, len(values), size):
        yield values[start : start + size]
