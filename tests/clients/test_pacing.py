from __future__ import annotations

import math
import threading
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sync_lib.clients.pacing import Patience, WindowPacer, retry_after
from tests.clients.fakes import FakeTime

NOW = datetime(2026, 3, 2, 9, 15, 4, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("7", 7.0),
        (" 7 ", 7.0),
        ("2.128", 2.128),
        ("0.249", 0.5),
        ("0", 0.5),
        ("-3", 0.5),
        ("", None),
        ("soon", None),
        ("nan", None),
        ("inf", None),
        ("-inf", None),
        ("99999999999999999999 Mar", None),
        ("86400", 300.0),
        ("1e300", 300.0),
        ("Fri, 31 Dec 9999 23:59:59 GMT", 300.0),
    ],
)
def test_retry_after_takes_seconds_and_fractions_and_ignores_nonsense(
    text: str, seconds: float | None
) -> None:
    assert retry_after({"Retry-After": text}) == seconds


def test_retry_after_is_found_in_any_case_and_may_be_missing() -> None:
    assert retry_after({"retry-AFTER": "3"}) == 3.0
    assert retry_after({}) is None


def test_a_date_counts_from_the_answers_own_clock() -> None:
    until = format_datetime(NOW + timedelta(seconds=30), usegmt=True)
    skewed = {"Retry-After": until, "Date": format_datetime(NOW, usegmt=True)}

    assert retry_after(skewed, now=0.0) == 30.0
    assert retry_after({"Retry-After": until}, now=NOW.timestamp() + 10) == 20.0
    assert retry_after({"Retry-After": until}, now=NOW.timestamp() + 99) == 0.5


@given(st.text())
def test_no_retry_after_text_breaks_the_parser(text: str) -> None:
    seconds = retry_after({"Retry-After": text, "Date": text})
    assert seconds is None or (seconds >= 0.5 and math.isfinite(seconds))


@given(st.floats(min_value=0.5, max_value=300))
def test_every_number_of_seconds_up_to_the_longest_wait_comes_through(seconds: float) -> None:
    assert retry_after({"Retry-After": repr(seconds)}) == seconds


def test_patience_grows_and_ends() -> None:
    time = FakeTime()
    patience = Patience(20, sleep=time.sleep, jitter=lambda: 0.0)

    while patience.wait() is not None:
        pass

    assert time.slept == [0.5, 1.0, 2.0, 4.0, 8.0]


def test_patience_never_comes_back_before_it_was_asked_to() -> None:
    time = FakeTime()
    patience = Patience(1000, sleep=time.sleep, jitter=lambda: 1.0)

    assert patience.wait(7.0) == 7.5
    assert patience.wait(7.0) == 7.5


def test_a_service_that_always_says_one_second_is_asked_less_and_less_often() -> None:
    time = FakeTime()
    patience = Patience(1000, sleep=time.sleep, jitter=lambda: 0.0)

    assert [patience.wait(1.0) for _ in range(5)] == [1.0, 1.0, 2.0, 4.0, 8.0]


def test_time_lost_in_attempts_uses_up_patience() -> None:
    patience = Patience(120, sleep=lambda _: None, jitter=lambda: 0.0)
    patience.spend(120)
    assert patience.wait() is None


def test_waits_longer_than_patience_are_not_begun() -> None:
    time = FakeTime()
    assert Patience(120, sleep=time.sleep, jitter=lambda: 0.0).wait(121.0) is None
    assert time.slept == []


@given(
    limit=st.integers(1, 30),
    calls=st.lists(
        st.tuples(st.integers(1, 20), st.floats(0, 5), st.floats(0, 5), st.floats(0, 20)), max_size=40
    ),
)
def test_no_window_of_the_service_ever_holds_more_than_the_limit(
    limit: int, calls: list[tuple[int, float, float, float]]
) -> None:
    """The service counts a request when it arrives, somewhere between our sending it and its answer."""
    time, window = FakeTime(), 10.0
    pacer = WindowPacer(limit, window, clock=time.clock, sleep=time.sleep)
    arrived: list[tuple[float, int]] = []
    for wanted, way, back, rest in calls:
        operations = min(wanted, limit)
        with pacer.slot(operations):
            time.now += way
            arrived.append((time.now, operations))
            time.now += back
        time.now += rest
    for start, _ in arrived:
        # A hair less than the window: rounding of sums of floats is not what is tested.
        assert sum(count for at, count in arrived if start <= at < start + window - 1e-6) <= limit


def test_the_window_is_used_to_its_full() -> None:
    time = FakeTime()
    pacer = WindowPacer(100, 600, clock=time.clock, sleep=time.sleep)
    began = time.now
    for _ in range(15):
        with pacer.slot(20):
            pass
    assert time.now - began == pytest.approx(1200.0)


def test_more_than_the_window_holds_passes_when_it_is_empty() -> None:
    time = FakeTime()
    pacer = WindowPacer(5, 600, clock=time.clock, sleep=time.sleep)
    for _ in range(2):
        with pacer.slot(20):
            pass
    assert sum(time.slept) == pytest.approx(600.0)


def test_a_pause_holds_everybody_back() -> None:
    time = FakeTime()
    pacer = WindowPacer(100, 600, clock=time.clock, sleep=time.sleep)
    pacer.pause(30)
    pacer.pause(10)
    with pacer.slot():
        assert sum(time.slept) == pytest.approx(30.0)


def test_operations_of_a_failed_request_count_too() -> None:
    time = FakeTime()
    pacer = WindowPacer(1, 600, clock=time.clock, sleep=time.sleep)
    with pytest.raises(RuntimeError), pacer.slot():
        raise RuntimeError
    with pacer.slot():
        assert sum(time.slept) == pytest.approx(600.0)


def test_never_more_in_flight_than_allowed() -> None:
    pacer = WindowPacer(1000, 600, concurrency=3)
    inside, most, lock = 0, 0, threading.Lock()
    enough = threading.Event()

    def work() -> None:
        nonlocal inside, most
        for _ in range(20):
            with pacer.slot():
                with lock:
                    inside += 1
                    most = max(most, inside)
                    if most == 3:
                        enough.set()
                enough.wait(5)
                with lock:
                    inside -= 1

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == 3
