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
from sync_lib.model import Side
from sync_lib.store import tables
from sync_lib.store.bulk import read_tuples
from tests.transport import Send, watch

#: Headers that decide what a request does.
_HEADERS = ("If-Match", "Prefer", "Isolation")
#: Which worker holds a lease or slot is a random id, and the digest of a run's profiles is made of their numbers;
#: rows are distinguished by what they hold.
_SERIAL = frozenset(
    {"row_id", "bc_row", "outlook_row", "coupling", "plan", "hold", "holder", "profiles_digest"}
)
_TOUCHED = re.compile(r"\b(?:INTO|UPDATE|FROM|COPY|JOIN)\s+\"?(\w+)", re.IGNORECASE)
#: PostgreSQL's COPY into them passes SQLAlchemy by, and so the listeners.
_COPIED = frozenset({"bc_contact", "outlook_contact", "change", "coupling"})
#: How settings and leases name a profile or a company.
_NUMBERED = re.compile(r"(|profile:|mailbox:|company:)([0-9]+)")
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
        self._numbers = _Numbers()
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
        self._numbers = _Numbers()

    def watch(self, edges: services.Services) -> None:
        """Follow a worker."""
        watch(edges, self._around)
        event.listen(edges.engine, "begin", self._began)
        event.listen(edges.engine, "before_cursor_execute", self._executed)
        self.watch_commits(edges)

    def watch_commits(self, edges: services.Services) -> None:
        """Look at commits behind all who listen to them so far: whoever dies in one has not committed."""
        if event.contains(edges.engine, "commit", self._committed):
            event.remove(edges.engine, "commit", self._committed)
        event.listen(edges.engine, "commit", self._committed)

    def _around(self, send: Send) -> Send:
        def watched(request: requests.PreparedRequest, **options: Any) -> requests.Response:
            given = {name: request.headers[name] for name in _HEADERS if name in request.headers}
            body = request.body or b""
            text = body.decode() if isinstance(body, bytes) else str(body)
            self.note(f"{request.method} {request.url} {given} {text}")
            try:
                answer = send(request, **options)
            except requests.RequestException as error:
                self.note(f"  {type(error).__name__}")
                raise
            self.note(f"  {answer.status_code} {hashlib.sha256(answer.content).hexdigest()[:16]}")
            return answer

        return watched

    def _began(self, conn: Connection) -> None:
        # What a transaction that was rolled back, or died, touched before is as it was.
        self._touched.pop(id(conn), None)

    def _executed(self, conn: Connection, _cursor: object, statement: str, *_others: object) -> None:
        if not statement.startswith(("SELECT", "PRAGMA", "BEGIN")):
            found = _TABLES.keys() & _TOUCHED.findall(statement)
            self._touched.setdefault(id(conn), set()).update(found)

    def _committed(self, conn: Connection) -> None:
        touched = self._touched.pop(id(conn), set())
        options = conn.get_execution_options()
        if conn.dialect.name == "postgresql" and not options.get("postgresql_readonly"):
            touched = touched | _COPIED
        self._numbers.read(conn, touched)
        for name in sorted(touched):
            columns = _kept_columns(name)
            # As the driver gives them: most rows of most tables are as they were, and only compared.
            found = Counter(read_tuples(conn, _kept_rows(name)))
            known = self._known.get(name, Counter())
            for sign, rows in (("-", known - found), ("+", found - known)):
                for row in sorted(self._row(columns, each) for each in rows.elements()):
                    self.note(f"{sign} {name} {row}")
            self._known[name] = found

    def _row(self, columns: Sequence[Column[Any]], row: Sequence[Any]) -> str:
        row_by_name = {column.name: value for column, value in zip(columns, row, strict=True)}
        for column in columns:
            # SQLite gives numbers for them.
            if isinstance(column.type, Boolean) and row_by_name[column.name] is not None:
                row_by_name[column.name] = bool(row_by_name[column.name])
        return str(self._numbers.ranked(columns[0].table.name, row_by_name))


class _Numbers:
    """Profiles and companies by the order in which they were made: PostgreSQL leaves numbers out, SQLite does not."""

    def __init__(self) -> None:
        self._ranks: dict[str, dict[int, int]] = {"sync_profile": {}, "company": {}}

    def read(self, conn: Connection, touched: set[str]) -> None:
        """Learn of those that a transaction made."""
        for name in touched & self._ranks.keys():
            ids = conn.scalars(select(_TABLES[name].c.id).order_by(_TABLES[name].c.id))
            self._ranks[name] = {number: rank for rank, number in enumerate(ids, 1)}

    def ranked(self, table: str, row: dict[str, Any]) -> dict[str, Any]:
        """Return a row with ranks in place of numbers."""
        found = dict(row)
        for column, value in row.items():
            if column in ("profile", "company", "id"):
                of = {"profile": "sync_profile", "id": table}.get(column, "company")
                found[column] = self._ranks.get(of, {}).get(value, value)
            elif column in ("scope", "key", "chunk") and (named := _NUMBERED.fullmatch(value)):
                of_company = named[1] == "company:" or row.get("side") == Side.BUSINESS_CENTRAL.value
                rank = self._ranks["company" if of_company else "sync_profile"].get(int(named[2]), named[2])
                found[column] = f"{named[1]}{rank}"
        return found


@cache
def _kept_columns(name: str) -> tuple[Column[Any], ...]:
    table = _TABLES[name]
    left_out = {column.name for column in table.columns if column is table.autoincrement_column}
    # Profiles and companies are distinguished by their numbers.
    left_out -= {"id"} if name in ("company", "sync_profile") else set()
    return tuple(column for column in table.columns if column.name not in left_out | _SERIAL)


@cache
def _kept_rows(name: str) -> Select[Any]:
    return select(*_kept_columns(name))
