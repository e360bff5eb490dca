"""Statements that are made and compiled once, and then sent as text.

SQLAlchemy looks at a statement and at each of its parameters every time that it executes it, which takes longer than
SQLite needs to carry it out. What every batch of a load executes is therefore prepared here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from sqlalchemy import ClauseElement, Connection, CursorResult, Dialect
from sqlalchemy.engine import make_url

Row = tuple[Any, ...]

#: One dialect for each kind of database (True: PostgreSQL), of no connection and no engine.
DIALECTS: dict[bool, Dialect] = {
    True: make_url("postgresql+psycopg://").get_dialect()(),
    False: make_url("sqlite+pysqlite://").get_dialect()(),
}
_NAMED = re.compile(r"%\((\w+)\)s|%%")


class Prepared:
    """One statement for one kind of database.

    Its values come as a tuple in the order of ``names``. A parameter with a value of its own, such as a simulated
    clock, is asked for it each time. Results are as the driver gives them.

    Args:
        statement: The statement; its lists are parameters of one value (``bulk.among_named``).
        names: Names of the parameters that each execution gives a value.
        postgresql: The kind of database; False for SQLite.
    """

    def __init__(self, statement: ClauseElement, names: Sequence[str], *, postgresql: bool) -> None:
        dialect = DIALECTS[postgresql]
        compiled: Any = statement.compile(dialect=dialect)
        self.text, order = _positional(compiled)
        binds = compiled.binds
        places = {name: place for place, name in enumerate(names)}
        self._getters = [_getter(binds[name], places, dialect) for name in order]
        missing = places.keys() - set(order)
        if missing:
            raise ValueError(f"no parameters of this statement: {sorted(missing)}")

    def execute(self, conn: Connection, *values: Any) -> CursorResult[Any]:
        """Execute it once."""
        return conn.exec_driver_sql(self.text, self._bound(values))

    def read(self, conn: Connection, *values: Any) -> list[Row]:
        """Return the rows that it finds, as ``bulk.read_tuples`` does."""
        with self.execute(conn, *values) as result:
            rows: list[Row] = list(result.cursor.fetchall())
            return rows

    def execute_many(self, conn: Connection, rows: Iterable[Row]) -> int:
        """Execute it for each of some rows; return how many rows of the database that concerned."""
        given = [self._bound(row) for row in rows]
        return conn.exec_driver_sql(self.text, given).rowcount if given else 0

    def _bound(self, values: Sequence[Any]) -> Row:
        return tuple([get(values) for get in self._getters])


def _positional(compiled: Any) -> tuple[str, list[str]]:
    """Return a statement's text with a mark for each parameter, and their names in this order."""
    text = str(compiled)
    if compiled.positional:
        return text, list(compiled.positiontup)
    order: list[str] = []

    def mark(found: re.Match[str]) -> str:
        if found[1] is None:
            return found[0]
        order.append(found[1])
        return "%s"

    return _NAMED.sub(mark, text), order


def _getter(bind: Any, places: dict[str, int], dialect: Dialect) -> Callable[[Sequence[Any]], Any]:
    process = bind.type.dialect_impl(dialect).bind_processor(dialect)
    if bind.key in places:
        place = places[bind.key]
        if process is None:
            return lambda values: values[place]
        return lambda values: process(values[place])
    if bind.callable is not None:
        ask: Callable[[], Any] = bind.callable
        return lambda _values: ask() if process is None else process(ask())
    fixed = bind.value if process is None else process(bind.value)
    return lambda _values: fixed
