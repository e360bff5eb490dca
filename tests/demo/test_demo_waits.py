"""P10: on a slow machine the demo waits for as long as there is progress, and says in words what it gave up on."""

from __future__ import annotations

import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import requests
from demo_parts import processes
from demo_parts.airflow import ATTEMPTS, AirflowInstance
from demo_parts.processes import LONGEST, DemoError, wait_until


class Clock:
    """A clock that only sleeping moves."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(processes, "time", made)
    return made


def test_who_makes_progress_is_waited_for(clock: Clock) -> None:
    """P10: a start that takes five times as long as thought."""
    wait_until(lambda: clock.now > 500, 100, "ready", every=1, progress=lambda: clock.now // 90)
    assert clock.now > 500


def test_who_makes_none_is_given_up(clock: Clock) -> None:
    with pytest.raises(DemoError, match="ready: not after 28"):
        wait_until(lambda: False, 100, "ready", every=1, progress=lambda: min(clock.now, 200) // 90)
    assert 280 <= clock.now <= 285


def test_nobody_is_waited_for_for_ever(clock: Clock) -> None:
    with pytest.raises(DemoError, match="ready: not after 10"):
        wait_until(lambda: False, 100, "ready", every=1, progress=lambda: clock.now)
    assert clock.now <= LONGEST * 100 + 2


class Silent:
    """A session that answers the n-th call, and times out before."""

    def __init__(self, answers_at: int) -> None:
        self.calls = 0
        self.answers_at = answers_at
        self.headers: dict[str, str] = {}

    def request(self, *_arguments: Any, **_options: Any) -> Any:
        self.calls += 1
        if self.calls < self.answers_at:
            raise requests.ReadTimeout("HTTPConnectionPool(host=...): Read timed out.")
        return SimpleNamespace(ok=True, content=b"{}", json=lambda: {"dags": []})


def instance(session: Silent) -> AirflowInstance:
    airflow = AirflowInstance.__new__(AirflowInstance)
    airflow.url = "http://localhost:1"
    airflow._session = session  # type: ignore[assignment]
    airflow._token_until = time.monotonic() + 600
    airflow.program = SimpleNamespace(require_alive=lambda: None, log=Path("standalone.log"))  # type: ignore[assignment]
    return airflow


def test_a_reading_call_that_gets_no_answer_is_made_again() -> None:
    """P10: it ended the demo with a raw ReadTimeout."""
    assert instance(Silent(ATTEMPTS)).get("dags") == {"dags": []}


@pytest.mark.parametrize(("method", "calls"), [("GET", ATTEMPTS), ("POST", 1)])
def test_silence_is_said_in_words(method: str, calls: int) -> None:
    session = Silent(99)
    with pytest.raises(DemoError, match=r"did not answer .*ReadTimeout.*very slow\? .*standalone.log"):
        instance(session).call(method, "dags")
    assert session.calls == calls
