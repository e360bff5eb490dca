"""Statements that a process compiled before it forked, for the engines that its tasks open.

SQLAlchemy keeps what it compiles on the engine. A task opens its engine after the fork, and would compile anew what all
tasks before it have compiled. What is kept here for longer than a task was compiled without any value.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, MutableMapping, Sequence
from typing import Any, cast

from sqlalchemy import Connection, Dialect, Engine
from sqlalchemy.util import LRUCache

from sync_lib.store.prepared import DIALECTS

Kept = MutableMapping[Any, Any]

#: What was compiled before the fork; True: for PostgreSQL.
KEPT: dict[bool, Kept] = {True: {}, False: {}}
#: What a first connection sets on a dialect and a statement's text may hang on.
_SAID_BY_SERVER = ("_backslash_escapes", "_supports_jsonb_subscripting", "max_identifier_length")
#: As many as SQLAlchemy keeps on an engine.
_SIZE = 500


def serve(engine: Engine) -> None:
    """Let an engine that is connected use what was compiled before the fork, unless its server is of another kind."""
    postgresql = engine.dialect.name == "postgresql"
    kept, of_kind = KEPT[postgresql], DIALECTS[postgresql]
    if kept and all(_said(engine.dialect, name) == _said(of_kind, name) for name in _SAID_BY_SERVER):
        engine.update_execution_options(compiled_cache=_Cache(kept))


def _said(dialect: Dialect, name: str) -> Any:
    return getattr(dialect, name, None)


class _Cache(LRUCache[Any, Any]):
    """What one engine has compiled, beside what was compiled before: that is only read."""

    __slots__ = ("_kept",)

    def __init__(self, kept: Kept) -> None:
        super().__init__(_SIZE)
        self._kept = kept

    def get(self, key: Any, default: Any = None) -> Any:
        found = self._kept.get(_without_dialect(key))
        return super().get(key, default) if found is None else found


class _Keeping(dict[Any, Any]):
    """Takes what SQLAlchemy compiles, by the statement alone."""

    def get(self, key: Any, default: Any = None) -> Any:
        return super().get(_without_dialect(key), default)

    def __setitem__(self, key: Any, value: Any) -> None:
        super().__setitem__(_without_dialect(key), value)


def _without_dialect(key: Any) -> Any:
    # Each engine has a dialect of its own. A key of another form is found by nobody, which costs time alone.
    return key[1:] if isinstance(key, tuple) and key and isinstance(key[0], Dialect) else key


class Rehearsal:
    """Stands in for an engine and its connection: statements are compiled and kept, nothing is executed.

    Reads find nothing, and writes one row each.
    """

    def __init__(self, *, postgresql: bool) -> None:
        self.dialect = DIALECTS[postgresql]
        self._kept = _Keeping()
        # SQLAlchemy's name: as an engine and a connection of which none are set.
        self.get_execution_options: Callable[[], Mapping[str, Any]] = dict

    @property
    def conn(self) -> Connection:
        """This, as what a function of the store takes."""
        return cast("Connection", self)

    @property
    def engine(self) -> Engine:
        """This, as what a function of the store takes."""
        return cast("Engine", self)

    def keep(self) -> None:
        """Let the engines that are opened from now on use what was compiled."""
        KEPT[self.dialect.name == "postgresql"] = dict(self._kept)

    @contextlib.contextmanager
    def begin(self) -> Iterator[Rehearsal]:
        """As an engine does."""
        yield self

    def execute(self, statement: Any, values: Any = None) -> _Nothing:
        """Compile a statement as a connection compiles it before it executes it."""
        rows: Sequence[Any] = [values] if isinstance(values, Mapping) else list(values or ())
        # SQLAlchemy has no public way to compile for its cache. Where this one goes, tasks compile by themselves.
        statement._compile_w_cache(  # noqa: SLF001
            self.dialect,
            compiled_cache=self._kept,
            column_keys=sorted(rows[0]) if rows else [],
            for_executemany=len(rows) > 1,
        )
        return _NOTHING

    def scalars(self, statement: Any, values: Any = None) -> _Nothing:
        """As a connection does."""
        return self.execute(statement, values)

    def scalar(self, statement: Any, values: Any = None) -> None:
        """As a connection does."""
        self.execute(statement, values)

    def exec_driver_sql(self, text: str, values: Any = None) -> _Nothing:  # noqa: ARG002 - text is compiled already
        """As a connection does."""
        return _NOTHING


class _Nothing:
    """A result without rows."""

    rowcount = 1
    inserted_primary_key = (0,)

    @property
    def cursor(self) -> _Nothing:
        return self

    def mappings(self) -> _Nothing:
        return self

    def fetchall(self) -> list[Any]:
        return []

    all = fetchall

    def first(self) -> None:
        return None

    scalar = first
    scalar_one = first

    def __iter__(self) -> Iterator[Any]:
        return iter(())

    def __enter__(self) -> _Nothing:
        return self

    def __exit__(self, *_: object) -> None:
        return None


_NOTHING = _Nothing()
