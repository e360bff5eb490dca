"""Staging databases for the programs of this folder: copies of one migrated template, dropped when they are played."""

from __future__ import annotations

import contextlib
import itertools
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Self

ROOT = Path(__file__).resolve().parents[2]
# Pytest finds them by its settings; a program of its own, and its workers, have to be set up so.
for _folder in (str(ROOT / "scripts"), str(ROOT)):
    if _folder not in sys.path:
        sys.path.insert(0, _folder)

from sync_lib.store.engine import open_engine  # noqa: E402
from sync_lib.store.migrate import migrate  # noqa: E402
from tests.databases import PostgresDatabases, postgres_server, share_compiled_statements  # noqa: E402

share_compiled_statements()


class Databases:
    """SQLite files, and a PostgreSQL server that is started when the first database of it is asked for."""

    def __init__(self) -> None:
        self.home = Path(tempfile.mkdtemp(prefix="contact-sync-proof-"))
        self._open = contextlib.ExitStack()
        self._open.callback(shutil.rmtree, self.home, ignore_errors=True)
        self._numbers = itertools.count(1)
        self._made: list[str] = []
        self._postgres: PostgresDatabases | None = None
        self.template = self.home / "template.db"
        engine = open_engine(f"sqlite:///{self.template}")
        migrate(engine)
        engine.dispose()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Stop the server, and remove all files."""
        self._open.close()

    def new(self, kind: str) -> str:
        """Return the URL of a new database, ``sqlite`` or ``postgresql``."""
        if kind == "sqlite":
            path = self.home / f"staging{next(self._numbers)}.db"
            shutil.copy(self.template, path)
            self._made.append(str(path))
            return f"sqlite:///{path}"
        if self._postgres is None:
            self._postgres = self._open.enter_context(postgres_server())
        url = self._postgres.create()
        self._made.append(url)
        return url

    def drop(self) -> None:
        """Drop what was made so far."""
        for made in self._made:
            if made.startswith("postgresql"):
                assert self._postgres
                self._postgres.give_back(made)
            else:
                for path in self.home.glob(Path(made).name + "*"):
                    path.unlink()
        self._made.clear()
