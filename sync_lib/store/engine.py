"""Opens the staging database and hands out its transactions; everything else in ``store`` works inside one.

PostgreSQL goes by psycopg 3. SQLite is one file in WAL mode, so that readers never wait for a writer.
"""

from __future__ import annotations

import contextlib
import logging
import os
import re
import sqlite3
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import URL, ExceptionContext, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from sync_lib.errors import BrokenOffError, ConfigError, StagingAwayError
from sync_lib.store import compiled

logger = logging.getLogger(__name__)

T = TypeVar("T")

#: Seconds that a writer to SQLite waits for another writer. Staging a very large company takes a few seconds.
BUSY_SECONDS = 60.0
CONNECT_SECONDS = 10

_FIRST_PAUSE, _LONGEST_PAUSE = 0.25, 5.0
#: What a server says that is there and will never let us in; all else may pass (it starts, it shuts down, no route).
_REFUSED = re.compile(
    r"authentication failed|does not exist|no pg_hba\.conf entry|permission denied|not permitted"
)
#: What SQLAlchemy raises where the database is away, or goes away in the middle.
AWAY = (OperationalError, InterfaceError, PoolTimeoutError)

_READS = "contact_sync_reads"
_SHAPES = (
    "The URL of the staging database {}. It takes postgresql://user:password@host/database or"
    " sqlite:////absolute/path/of/the.file."
)


def open_engine(url: str, *, wait: float = 0.0, sleep: Callable[[float], None] = time.sleep) -> Engine:
    """Return an engine for the staging database, after one successful connection.

    Args:
        url: ``postgresql://`` (any driver name; psycopg 3 is used) or ``sqlite:///`` and the path of a file.
        wait: Seconds for which whoever begins a transaction waits for a PostgreSQL server that does not answer: it
            restarts, or fails over. A transaction that it broke off is not repeated.
        sleep: Waits so many seconds.

    Raises:
        ConfigError: The URL cannot be read, names another kind of database, or the server refuses us.
        StagingAwayError: Nobody answers there.
    """
    target = _parse(url)
    place = target.render_as_string(hide_password=True)
    # Both hide parameters: an error's text ends up in a task log, and the parameters are values of contacts.
    if target.get_backend_name() == "sqlite":
        engine = _open_sqlite(target)
    else:
        engine = _open_postgresql(target, _Patience(place, wait, sleep))
        event.listen(engine, "handle_error", _hide_values)
        event.listen(engine, "handle_error", _say_that_it_is_away)

    def look() -> None:
        with read(engine):
            pass

    try:
        # Looking at it twice does no harm, and the second time waits for a server that went away in the first.
        unbroken(look)
    except DBAPIError as error:
        engine.dispose()
        raise ConfigError(f"The staging database {place} cannot be opened: {error.orig}") from error
    except StagingAwayError:
        engine.dispose()
        raise
    compiled.serve(engine)
    return engine


@contextlib.contextmanager
def transaction(engine: Engine) -> Iterator[Connection]:
    """Run the block in one transaction that may write: all of it, or nothing of it."""
    with engine.begin() as conn:
        yield conn


@contextlib.contextmanager
def read(engine: Engine) -> Iterator[Connection]:
    """Run the block on one unchanging picture of the database; both databases refuse a write in it."""
    options: dict[str, Any] = {_READS: True}
    if is_postgresql(engine):
        options = {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
    with engine.connect().execution_options(**options) as conn, conn.begin():
        yield conn


def unbroken(act: Callable[[], T]) -> T:
    """Return what the act returns, done once more where the database broke it off.

    For what nobody would do again, or only much later. Once is enough, since the second time waits for the database.

    Args:
        act: May be done twice, and the first time stored as well.
    """
    try:
        return act()
    except BrokenOffError:
        logger.warning("the staging database broke off a transaction: once more")
        return act()


def is_postgresql(bind: Engine | Connection) -> bool:
    """Return True for PostgreSQL, False for SQLite; there is no third."""
    return bind.dialect.name == "postgresql"


def _parse(url: str) -> URL:
    scheme, separator, rest = url.strip().partition(":")
    try:
        target = make_url(f"{'postgresql' if scheme == 'postgres' else scheme}{separator}{rest}")
    except (ArgumentError, ValueError):
        # The error's own text repeats the URL, and the password with it.
        raise ConfigError(_SHAPES.format("cannot be read")) from None
    kind = target.get_backend_name()
    if kind not in ("postgresql", "sqlite"):
        raise ConfigError(_SHAPES.format(f"names {kind!r}"))
    return target.set(drivername="postgresql+psycopg" if kind == "postgresql" else "sqlite+pysqlite")


def _open_postgresql(target: URL, patience: _Patience) -> Engine:
    # Never a prepared statement: PostgreSQL would plan it without its values, and go through a list of 10,000 ids
    # once per row; and behind a connection pooler it may be prepared on another connection.
    arguments: dict[str, Any] = {"prepare_threshold": None}
    if "connect_timeout" not in target.query:
        arguments["connect_timeout"] = CONNECT_SECONDS
    if "application_name" not in target.query:
        arguments["application_name"] = "contact_sync"
    # A server that restarted, or a firewall that forgot the connection, costs a look before use, not a task.
    kind: Any = target.get_dialect()
    driver = kind.import_dbapi()
    given, options = kind(dbapi=driver).create_connect_args(target)

    def connect() -> Any:
        attempt = partial(driver.connect, *given, **options, **arguments)
        return patience.connect(attempt, driver.OperationalError)

    return create_engine(target, creator=connect, pool_pre_ping=True, hide_parameters=True)


@dataclass(frozen=True, slots=True)
class _Patience:
    """How long a server is waited for that is away, and what it is called then."""

    place: str
    seconds: float
    sleep: Callable[[float], None]

    def connect(self, attempt: Callable[[], Any], away: type[Exception]) -> Any:
        """Return what the attempt does, tried until the server answers.

        Raises:
            StagingAwayError: Nobody answered for as long as we wait. What the server refuses is raised as it is.
        """
        waited, pause, since = 0.0, _FIRST_PAUSE, time.monotonic()
        while True:
            try:
                return attempt()
            except away as error:
                if _REFUSED.search(str(error)):
                    raise
                # The pauses count at least for what they say, and attempts that take long count too.
                waited = max(waited, time.monotonic() - since)
                if waited >= self.seconds:
                    raise StagingAwayError(f"The staging database {self.place} does not answer.") from error
            logger.warning("the staging database does not answer: waiting")
            pause = min(pause, self.seconds - waited)
            self.sleep(pause)
            waited, pause = waited + pause, min(2 * pause, _LONGEST_PAUSE)


def hide_values(error: BaseException) -> None:
    """Leave of what PostgreSQL says of an error nothing but what is wrong.

    Below that it says which row it was, with all its values: *Failing row contains*, *Key (email_key)=*, *COPY, line
    3*. An error ends up in a task's log.
    """
    found: Any = error
    diagnosis = getattr(found, "diag", None)
    if diagnosis is None:
        return
    said = diagnosis.message_primary or str(error).partition("\n")[0]
    # A value of the wrong form is named behind a colon.
    wrong_form = (found.sqlstate or "").startswith("22")
    error.args = (said.partition(":")[0] if wrong_form else said,)


def _hide_values(context: ExceptionContext) -> None:
    # Both are in a traceback, and SQLAlchemy's error has taken over the driver's words by now.
    original, ours = context.original_exception, context.sqlalchemy_exception
    hide_values(original)
    if isinstance(ours, DBAPIError):
        ours.args = (f"({type(original).__module__}.{type(original).__name__}) {original}",)


def _say_that_it_is_away(context: ExceptionContext) -> None:
    """A transaction that the server broke off may work later; without this it would count as a bug."""
    # The look before use is no transaction: the pool connects anew, and that waits. What is no error of the driver (a
    # task that is stopped) is handed on as it is.
    of_driver = isinstance(context.sqlalchemy_exception, DBAPIError)
    if (context.is_disconnect or _is_lost_at_first(context)) and of_driver and not context.is_pre_ping:
        name = type(context.original_exception).__name__
        raise BrokenOffError(f"The staging database broke off a transaction ({name}).") from (
            context.original_exception
        )


def _is_lost_at_first(context: ExceptionContext) -> bool:
    """Whether the server went away while SQLAlchemy asked its first questions: it knows no connection by then."""
    error = context.original_exception
    of_kind = isinstance(context.sqlalchemy_exception, OperationalError)
    return context.connection is None and of_kind and not _REFUSED.search(str(error))


def _open_sqlite(target: URL) -> Engine:
    path = target.database or ""
    if path in ("", ":memory:") or path.startswith("file:"):
        raise ConfigError(_SHAPES.format("names no file"))
    if not Path(path).absolute().parent.is_dir():
        raise ConfigError(f"The directory of the staging database {path} does not exist; create it first.")
    _create_unreadable(path)
    engine = create_engine(target, connect_args={"timeout": BUSY_SECONDS}, hide_parameters=True)
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _create_unreadable(path: str) -> None:
    """Make a new file readable for its owner alone: it holds contacts. SQLite gives its side files the same mode."""
    with contextlib.suppress(FileExistsError, PermissionError):
        os.close(os.open(path, os.O_CREAT | os.O_EXCL, 0o600))


def _prepare_sqlite(connection: sqlite3.Connection, _: object) -> None:
    # The driver's own transaction control leaves out BEGIN before SELECT and DDL; ``_begin_sqlite`` sends it.
    connection.isolation_level = None
    _set_wal(connection)
    # In WAL mode NORMAL cannot corrupt the file; a power cut may undo the last commits, which rules 8.4 allow for.
    connection.execute("PRAGMA synchronous=NORMAL")
    connection.execute("PRAGMA foreign_keys=ON")


def _set_wal(connection: sqlite3.Connection) -> None:
    """Switch the file to WAL; the busy timeout does not cover this switch, so it is tried again here."""
    give_up = time.monotonic() + BUSY_SECONDS
    while connection.execute("PRAGMA journal_mode").fetchone() != ("wal",):
        try:
            connection.execute("PRAGMA journal_mode=WAL")
        except sqlite3.OperationalError:
            if time.monotonic() > give_up:
                raise
            time.sleep(0.02)
        else:
            # A file system without shared memory keeps its old journal: slower, and just as safe.
            break


def _begin_sqlite(conn: Connection) -> None:
    """Take the write lock at the start of a writing transaction.

    A transaction that reads first and writes later cannot wait for another writer: SQLite fails it at once,
    because what it read would be stale. With ``IMMEDIATE`` it waits its turn before it reads.
    """
    reads = bool(conn.get_execution_options().get(_READS))
    # What cannot fail goes to the driver directly: there are so many transactions that the way there can be felt.
    connection: Any = conn.connection.dbapi_connection
    if conn.info.get(_READS) != reads:
        connection.execute(f"PRAGMA query_only={'ON' if reads else 'OFF'}")
        conn.info[_READS] = reads
    if reads:
        connection.execute("BEGIN")
    else:
        conn.exec_driver_sql("BEGIN IMMEDIATE")
