"""What a run asks of the staging database: statements, how many rows they find, and by which plan."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Engine, event

from sync_lib.store.engine import is_postgresql


@dataclass
class Asked:
    """The statements that were sent, and how many rows each query of them found."""

    statements: list[tuple[str, Any]] = field(default_factory=list)
    rows: list[tuple[str, int]] = field(default_factory=list)


@contextmanager
def asked(engine: Engine) -> Iterator[Asked]:
    """Yield what is asked of a database while the block runs."""
    found = Asked()

    def note(_conn: Any, cursor: Any, statement: str, parameters: Any, _context: Any, many: bool) -> None:
        if statement.startswith(("PRAGMA", "BEGIN")):
            return
        found.statements.append((statement, parameters))
        if statement.lstrip().startswith(("SELECT", "WITH")) and not many:
            found.rows.append((statement, _count(engine, cursor, statement, parameters)))

    event.listen(engine, "after_cursor_execute", note)
    try:
        yield found
    finally:
        event.remove(engine, "after_cursor_execute", note)


def _count(engine: Engine, cursor: Any, statement: str, parameters: Any) -> int:
    if " AS frame" in statement:
        # A frame comes as one row, which begins with the number of its own.
        other = cursor.connection.cursor()
        other.execute(statement, parameters)
        return int(other.fetchone()[0])
    if is_postgresql(engine):
        return int(cursor.rowcount)
    # SQLite says how many rows there are only to whoever fetches them.
    other = cursor.connection.cursor()
    other.execute(f"SELECT count(*) FROM ({statement})", parameters)
    return int(other.fetchone()[0])


def whole_reads(engine: Engine, found: Asked, tables: Collection[str]) -> list[tuple[str, str]]:
    """The lines of query plans in which all rows of one of some tables are gone through, where there is no need to."""
    wrong = []
    with engine.connect() as conn:
        cursor = conn.connection.cursor()
        if is_postgresql(engine):
            # What is read whole nevertheless has no index that would serve.
            cursor.execute("SET enable_seqscan = off")
        for statement, parameters in found.statements:
            if statement.lstrip().startswith(("SELECT", "WITH")):
                wrong += _whole_reads(cursor, statement, parameters, tables)
    return wrong


def plan_of(engine: Engine, statement: str, found: Asked) -> str:
    """The plan of a statement that was sent."""
    parameters = next(given for each, given in found.statements if each == statement)
    with engine.connect() as conn:
        cursor = conn.connection.cursor()
        if is_postgresql(engine):
            cursor.execute("SET enable_seqscan = off")
        return "\n".join(_plan(cursor, statement, parameters))


def _plan(cursor: Any, statement: str, parameters: Any) -> list[str]:
    explain = "EXPLAIN" if hasattr(cursor, "copy") else "EXPLAIN QUERY PLAN"
    cursor.execute(f"{explain} {statement}", parameters)
    return [str(row[-1]).strip() for row in cursor.fetchall()]


def _whole_reads(
    cursor: Any, statement: str, parameters: Any, tables: Collection[str]
) -> list[tuple[str, str]]:
    aliases = {alias: table for table, alias in re.findall(r"\b(\w+) AS (\w+)", statement)}
    whole = re.compile(r"Seq Scan on (\w+)|^SCAN (\w+)(?!.*USING (?:COVERING )?INDEX)")
    lines = _plan(cursor, statement, parameters)
    names = [(line, match[1] or match[2]) for line in lines if (match := whole.search(line))]
    return [(statement, line) for line, name in names if aliases.get(name, name) in tables]
