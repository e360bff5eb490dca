"""What a history did, line by line: every request, every row written, every decision; the same for the same seed.

Serial numbers and random ids are no part of a trace: they differ
between databases and say nothing.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Sequence
from functools import cache
from typing import Any

import requests
from sqlalchemy import Boolean, Column, Connection, Select, Table, event, select

from sync_lib import services
from sync_lib.store import tables
from sync_lib.store.bulk import read_tuples
from tests.transport import Send, watch

#: Headers that decide what a request does.
_HEADERS = ("If-Match", "Prefer", "Isolation")
#: Which worker holds a lease or slot is a random id; rows are told from each other by what they hold.
_SERIAL = frozenset({"row_id", "bc_row", "outlook_row", "coupling", "plan", "hold", "holder"})
_TOUCHED = re.compile(r"\b(?:INTO|UPDATE|FROM|COPY|JOIN)\s+\"?(\w+)", re.IGNORECASE)
#: PostgreSQL's COPY into them passes SQLAlchemy by, and so the listeners.
_COPIED = frozenset({"bc_contact", "outlook_contact", "change", "coupling"})
_TABLES: dict[str, Table] = tables.metadata.tables


class Trace:
    """Lines, and the digest of all of them.

    Args:
        keep: Keeps the lines.
    """

    def __init__(self, *, keep: bool = False) -> None:
        self.lines: list[str] = []
        self._keep = keep
        self._digest = hashlib.sha256()
        self._known: dict[str, Counter[tuple[Any, ...]]] = {}
        self._touched: dict[int, set[str]] = {}

    def note(self, line: str) -> None:
        """Add a line."""
        self._digest.update(line.encode() + b"\n")
        if self._keep:
            self.lines.append(line)

    def digest(self) -> str:
        """Return the digest of all lines so far."""
        return self._digest.hexdigest()[:32]

    def forget_database(self) -> None:
        """Another database takes the place of the one whose rows are known."""
        self._known.clear()

    def watch(self, edges: services.Services) -> None:
        """Follow a worker."""
        watch(edges, self._around)
        event.listen(edges.engine, "before_cursor_execute", self._executed)
        event.listen(edges.engine, "commit", self._committed)
        event.listen(edges.engine, "rollback", self._rolled_back)

    def _around(self, send: Send) -> Send:
        def watched(request: requests.PreparedRequest, **options: Any) -> requests.Response:
            given = {name: request.headers[name] for name in _HEADERS if name in request.headers}
            body = request.body or b""
            told = body.decode() if isinstance(body, bytes) else str(body)
            self.note(f"{request.method} {request.url} {given} {told}")
            try:
                answer = send(request, **options)
            except requests.RequestException as error:
                self.note(f"  {type(error).__name__}")
                raise
            self.note(f"  {answer.status_code} {hashlib.sha256(answer.content).hexdigest()[:16]}")
            return answer

        return watched

    def _executed(self, conn: Connection, _cursor: object, statement: str, *_others: object) -> None:
        if not statement.startswith(("SELECT", "PRAGMA", "BEGIN")):
            found = _TABLES.keys() & _TOUCHED.findall(statement)
            self._touched.setdefault(id(conn), set()).update(found)

    def _committed(self, conn: Connection) -> None:
        touched = self._touched.pop(id(conn), set())
        options = conn.get_execution_options()
        if conn.dialect.name == "postgresql" and not options.get("postgresql_readonly"):
            touched = touched | _COPIED
        for name in sorted(touched):
            columns = _told_columns(name)
            # As the driver gives them: most rows of most tables are as they were, and only compared.
            found = Counter(read_tuples(conn, _told_rows(name)))
            known = self._known.get(name, Counter())
            for sign, rows in (("-", known - found), ("+", found - known)):
                for row in sorted(_told(columns, each) for each in rows.elements()):
                    self.note(f"{sign} {name} {row}")
            self._known[name] = found

    def _rolled_back(self, conn: Connection) -> None:
        self._touched.pop(id(conn), None)


@cache
def _told_columns(name: str) -> tuple[Column[Any], ...]:
    table = _TABLES[name]
    left_out = {column.name for column in table.columns if column is table.autoincrement_column}
    # Profiles and companies are told by their numbers, which are given in the order in which they are made.
    left_out -= {"id"} if name in ("company", "sync_profile") else set()
    return tuple(column for column in table.columns if column.name not in left_out | _SERIAL)


@cache
def _told_rows(name: str) -> Select[Any]:
    return select(*_told_columns(name))


def _told(columns: Sequence[Column[Any]], row: Sequence[Any]) -> str:
    told = {column.name: value for column, value in zip(columns, row, strict=True)}
    for column in columns:
        # SQLite gives numbers for them.
        if isinstance(column.type, Boolean) and told[column.name] is not None:
            told[column.name] = bool(told[column.name])
    return str(told)
