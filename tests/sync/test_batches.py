"""A load of several batches: what is stored of one, and that the next one is being sent, is one transaction."""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
import requests
from sqlalchemy import event, func, select, update

from sync_lib.errors import LeaseLostError
from sync_lib.load import outlook
from sync_lib.store import tables as t
from tests.sync.harness import Harness, person, world
from tests.transport import watch

ANNA = "anna@voorbeeld.example"


@pytest.fixture
def start(make_harness, monkeypatch) -> Callable[..., Harness]:
    def make(contacts: int, batch: int, **settings: Any) -> Harness:
        monkeypatch.setattr(outlook, "BATCH", batch)
        h = make_harness(world(*(person(f"Jan Nummer{n}") for n in range(contacts))), **settings)
        h.add_profiles(ANNA)
        return h

    return make


def around_batches(h: Harness, act: Callable[[int], None]) -> None:
    """Call ``act`` with the number of each request that makes items, right before it is sent."""
    numbers = iter(range(1, 1000))

    def around(send: Callable[..., Any]) -> Callable[..., Any]:
        def sent(request: requests.PreparedRequest, **options: Any) -> Any:
            parts = json.loads(request.body)["requests"] if "/$batch" in (request.url or "") else ()
            if any(part["method"] == "POST" and part["url"].endswith("/contacts") for part in parts):
                act(next(numbers))
            return send(request, **options)

        return sent

    watch(h.edges, around)


def states(h: Harness) -> dict[str, int]:
    with h.edges.engine.connect() as conn:
        c = t.change.c
        rows = conn.execute(select(c.state, func.count()).group_by(c.state)).all()
        return dict(map(tuple, rows))


def couplings(h: Harness) -> int:
    with h.edges.engine.connect() as conn:
        return conn.scalar(select(func.count()).select_from(t.coupling)) or 0


@pytest.mark.both_databases
def test_each_further_batch_is_one_more_transaction(start) -> None:
    h = start(8, batch=2)
    commits: list[int] = []
    seen: list[int] = []
    around_batches(h, lambda _number: seen.append(len(commits)))
    event.listen(h.edges.engine, "commit", lambda _conn: commits.append(1))
    assert h.run().writes == {"created_outlook": 8}
    assert [after - before for before, after in pairwise(seen)] == [1, 1, 1]


@pytest.mark.both_databases
def test_before_each_request_its_batch_and_no_other_is_being_sent(start) -> None:
    h = start(7, batch=3)
    seen: list[tuple[dict[str, int], int]] = []
    around_batches(h, lambda _number: seen.append((states(h), couplings(h))))
    assert h.run().writes == {"created_outlook": 7}
    assert seen == [
        ({"sending": 3, "planned": 4}, 0),
        ({"done": 3, "sending": 3, "planned": 1}, 3),
        ({"done": 6, "sending": 1}, 6),
    ]


@pytest.mark.both_databases
def test_what_was_written_is_stored_also_where_the_next_batch_is_not_ours_any_more(start) -> None:
    h = start(4, batch=2)

    def close_the_others(number: int) -> None:
        with h.edges.engine.begin() as conn:
            planned = update(t.change).where(t.change.c.state == "planned")
            conn.execute(planned.values(state="done", outcome="skipped"))

    around_batches(h, close_the_others)
    ran = h.run()
    assert [type(error) for error in ran.errors] == [LeaseLostError]
    assert couplings(h) == 2
    assert states(h) == {"done": 4}


def test_the_switch_is_asked_before_each_batch(start) -> None:
    h = start(6, batch=2)
    off: list[int] = []
    h.edges.read_switch = lambda: not off
    around_batches(h, lambda number: off.append(number) if number == 2 else None)
    h.run()
    assert couplings(h) == 4
    assert states(h) == {"done": 4, "planned": 2}
    off.clear()
    h.edges.read_switch = None
    assert h.run().writes == {"created_outlook": 2}


def test_a_batch_with_a_refusal_is_stored_before_the_next_one_begins(start) -> None:
    """What it came to may keep the next one from being sent."""
    h = start(6, batch=2)
    h.sim.add_fault(name="F24", service="graph", method="POST", path="/contacts", status=403, code="Refused")
    commits: list[int] = []
    seen: list[int] = []
    around_batches(h, lambda _number: seen.append(len(commits)))
    event.listen(h.edges.engine, "commit", lambda _conn: commits.append(1))
    assert h.run().writes == {"created_outlook": 5}
    assert [after - before for before, after in pairwise(seen)] == [2, 1]
