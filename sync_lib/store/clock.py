"""The staging database's clock: the only one that decides anything (rules 8.8b).

Two tasks run on two machines, whose clocks may be hours apart. Whatever compares a moment of one task with a moment of
another (sent, claimed, tried, due, a rolling day) is therefore written and read by this clock, inside the statement or
transaction that needs it. A worker's own clock is good for records that people read, and decides nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from functools import lru_cache

from sqlalchemy import (
    ColumnElement,
    Connection,
    Double,
    Engine,
    String,
    bindparam,
    func,
    literal_column,
    select,
)

from sync_lib.store.engine import is_postgresql
from sync_lib.times import to_text

#: Execution option of an engine: seconds that its database's clock seems to be ahead. Only tests set it.
_OFFSET = "contact_sync_clock_offset"
#: Execution option of an engine: gives the time in place of the database. Only simulated worlds set it.
_SOURCE = "contact_sync_clock_source"


def seconds(bind: Engine | Connection) -> ColumnElement[float]:
    """Return the expression for the database's time, in seconds since 1970.

    The same object for as long as nobody sets another clock, so that statements made of it can be kept.
    """
    options = bind.get_execution_options()
    return _seconds(is_postgresql(bind), options.get(_OFFSET, 0.0), options.get(_SOURCE))


# A few clocks at a time: the two databases' own, and those of simulated worlds.
@lru_cache(maxsize=16)
def _seconds(postgresql: bool, offset: float, source: Callable[[], float] | None) -> ColumnElement[float]:
    if source is not None:
        # Asked whenever a statement with it is executed.
        return bindparam(None, callable_=lambda: source() + offset, type_=Double)
    if postgresql:
        # Not now(): that is when the transaction began, and a lock may have been waited for since.
        real: ColumnElement[float] = func.extract("epoch", func.clock_timestamp()).cast(Double)
    else:
        real = literal_column("((julianday('now') - 2440587.5) * 86400.0)", Double)
    return real + offset if offset else real


def moment(bind: Engine | Connection, after: float = 0.0) -> ColumnElement[str]:
    """Return the expression for the database's time as tables hold times: UTC text of 24 characters.

    Args:
        bind: Whose clock.
        after: So many seconds from now; less than 0 for what has passed.
    """
    options = bind.get_execution_options()
    return _moment(is_postgresql(bind), options.get(_OFFSET, 0.0), options.get(_SOURCE), after)


@lru_cache(maxsize=64)
def _moment(
    postgresql: bool, offset: float, source: Callable[[], float] | None, after: float
) -> ColumnElement[str]:
    if source is not None:
        return bindparam(None, callable_=lambda: _text(source() + offset + after), type_=String)
    at = _seconds(postgresql, offset, source)
    at = at + after if after else at
    if postgresql:
        utc = func.timezone("UTC", func.to_timestamp(at))
        return func.to_char(utc, 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"', type_=String)
    return func.strftime("%Y-%m-%dT%H:%M:%fZ", at, "unixepoch", type_=String)


def now(conn: Connection, after: float = 0.0) -> str:
    """Return the database's time, now or so many seconds from now, as tables hold times."""
    simulated = _simulated(conn)
    if simulated is not None:
        return _text(simulated + after)
    return str(conn.execute(select(moment(conn, after))).scalar_one())


def read_seconds(conn: Connection) -> float:
    """Return the database's time in seconds since 1970."""
    simulated = _simulated(conn)
    return float(conn.execute(select(seconds(conn))).scalar_one()) if simulated is None else simulated


def _simulated(bind: Engine | Connection) -> float | None:
    """Return the time of a simulated world; None where the database's own clock counts."""
    options = bind.get_execution_options()
    return options[_SOURCE]() + options.get(_OFFSET, 0.0) if _SOURCE in options else None


def _text(seconds: float) -> str:
    return to_text(datetime.fromtimestamp(seconds, UTC))


def set_offset(engine: Engine, seconds: float) -> None:
    """Let the database's clock seem to be so many seconds ahead, for all later connections of this engine.

    For tests, in which hours must pass. Every engine on one database needs the same offset, as they share one clock.
    """
    engine.update_execution_options(**{_OFFSET: seconds})


def set_source(engine: Engine, source: Callable[[], float]) -> None:
    """Let somebody else give the database's time, in seconds since 1970, for all later connections of this engine.

    For simulated worlds, in which time passes only when somebody waits.
    """
    engine.update_execution_options(**{_SOURCE: source})
