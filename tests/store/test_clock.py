"""The staging database's clock: what it is read as, and how hours pass in tests."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import select

from sync_lib.store import clock
from sync_lib.store.engine import open_engine, read, transaction
from sync_lib.times import shift

_MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")


def at(text: str) -> datetime:
    return datetime.fromisoformat(text)


@pytest.fixture
def engine(engine):
    yield engine
    clock.set_offset(engine, 0.0)


@pytest.mark.parametrize("opens", [read, transaction])
def test_a_moment_is_utc_text_of_24_characters(engine, opens):
    before = datetime.now(UTC) - timedelta(seconds=1)
    with opens(engine) as conn:
        moment = clock.now(conn)
    assert _MOMENT.fullmatch(moment)
    assert before <= at(moment) <= datetime.now(UTC) + timedelta(seconds=1)


@pytest.mark.parametrize("after", [-86_400.0, -0.5, 600.0, 3_600.0])
def test_a_moment_before_or_after_now(engine, after):
    with read(engine) as conn:
        moved = clock.now(conn, after)
        now = clock.now(conn)
    assert abs(at(moved) - at(shift(now, after))) < timedelta(seconds=2)


def test_two_moments_of_one_transaction_are_not_the_same_one(engine):
    """I2: a transaction that waited for a lock must not go by the time when it began."""
    with transaction(engine) as conn:
        first = clock.now(conn)
        while clock.now(conn) == first:
            pass


@pytest.mark.parametrize("offset", [7_200.0, -7_200.0])
def test_an_offset_moves_every_reading_of_the_clock(engine, offset):
    clock.set_offset(engine, offset)
    with read(engine) as conn:
        text, number = clock.now(conn), conn.execute(select(clock.seconds(conn))).scalar_one()
    ahead = datetime.now(UTC) + timedelta(seconds=offset)
    assert abs(at(text) - ahead) < timedelta(seconds=5)
    assert abs(number - ahead.timestamp()) < 5


@given(st.floats(-3e8, 3e8))
def test_sqlite_writes_any_moment_in_the_same_form(tmp_path_factory, after):
    engine = open_engine(f"sqlite:///{tmp_path_factory.mktemp('clock')}/staging.db")
    with read(engine) as conn:
        assert _MOMENT.fullmatch(clock.now(conn, after))
    engine.dispose()
