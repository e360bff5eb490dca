"""Statements that are compiled before a fork: executed with a task's own values, and by servers of their kind alone."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import Connection, Engine, bindparam, literal, select, union_all

from sync_lib.store import compiled
from sync_lib.store.bulk import among
from sync_lib.store.compiled import Rehearsal
from sync_lib.store.engine import is_postgresql, read

_WORDS = union_all(*(select(literal(word).label("word")) for word in ("one", "two", "three"))).subquery(
    "words"
)


def find(conn: Connection, first: str, *others: str) -> list[str]:
    """Look words up in three ways: by a value of the statement, by a parameter, and by a list."""
    word = _WORDS.c.word
    wanted = select(word).where((word == first) | (word == bindparam("given")) | among(conn, word, others))
    return sorted(conn.scalars(wanted, {"given": "none"}))


@pytest.fixture(autouse=True)
def nothing_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that has imported Airflow may have rehearsed as well."""
    monkeypatch.setattr(compiled, "KEPT", {True: {}, False: {}})


@pytest.fixture
def rehearsed(nothing_kept: None, engine: Engine) -> Engine:
    """An engine beside what was rehearsed with other values than it will be given."""
    rehearsal = Rehearsal(postgresql=is_postgresql(engine))
    find(rehearsal.conn, "", "")
    rehearsal.keep()
    return engine


def kept_by(engine: Engine) -> Any:
    """What an engine keeps; in tests it is there from the start."""
    return engine.get_execution_options()["compiled_cache"]


def own(engine: Engine) -> list[str]:
    return [str(each) for each in kept_by(engine).values()]


def test_what_was_rehearsed_takes_the_values_that_it_is_given(rehearsed: Engine) -> None:
    compiled.serve(rehearsed)
    with read(rehearsed) as conn:
        assert find(conn, "one", "two", "four") == ["one", "two"]
        assert find(conn, "three") == ["three"]
    assert own(rehearsed) == []


def test_what_was_not_is_kept_by_the_engine_alone(rehearsed: Engine) -> None:
    compiled.serve(rehearsed)
    with read(rehearsed) as conn:
        assert list(conn.scalars(select(_WORDS.c.word).where(_WORDS.c.word == "two"))) == ["two"]
    assert len(own(rehearsed)) == 1
    assert len(compiled.KEPT[is_postgresql(rehearsed)]) == 1


def test_a_server_of_another_kind_is_told_nothing_that_was_rehearsed(
    rehearsed: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = kept_by(rehearsed)
    # As PostgreSQL says it where standard_conforming_strings is off.
    monkeypatch.setattr(rehearsed.dialect, "_backslash_escapes", True, raising=False)
    compiled.serve(rehearsed)
    assert kept_by(rehearsed) is before
    with read(rehearsed) as conn:
        assert find(conn, "one", "two") == ["one", "two"]


def test_without_a_rehearsal_an_engine_stays_as_it_is(nothing_kept: None, engine: Engine) -> None:
    before = kept_by(engine)
    compiled.serve(engine)
    assert kept_by(engine) is before
