"""Throttling of both services: points 12 and 18. Time is moved, not waited for."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from email.utils import parsedate_to_datetime

import pytest

MAILBOX = "sanne@voorbeeld.example"


class Gate:
    """Holds requests inside the server until as many have come as a test wants."""

    def __init__(self, sim, service):
        self.sim = sim
        self.service = service
        sim.set(**{f"{service}_latency_ms": 150})

    def burst(self, function, count):
        barrier = threading.Barrier(count)

        def one():
            barrier.wait()
            return function()

        with ThreadPoolExecutor(count) as pool:
            return [future.result() for future in [pool.submit(one) for _ in range(count)]]


def test_the_window_refuses_what_is_too_much_and_opens_again(sim, graph):
    sim.clock(freeze=True)
    sim.set(graph_window_operations=3, graph_window_seconds=60)
    url = f"{graph.user}/contacts"
    assert [graph.get(url).status_code for _ in range(4)] == [200, 200, 200, 429]
    assert graph.get(f"{graph.graph}/users/daan@voorbeeld.example/contacts").status_code == 200
    refused = graph.get(url)
    assert refused.json()["error"]["code"] == "ApplicationThrottled"
    assert 0 < int(refused.headers["Retry-After"]) <= 60
    sim.clock(advance_seconds=61)
    assert graph.get(url).status_code == 200
    assert sim.counters()["app"]["graph"]["mailboxes"][MAILBOX]["refusals"] == 2


def test_refused_requests_count_too(sim, graph):
    sim.clock(freeze=True)
    sim.set(graph_window_operations=1, graph_window_seconds=60)
    statuses = []
    for _ in range(3):
        statuses.append(graph.get(f"{graph.user}/contacts").status_code)
        sim.clock(advance_seconds=31)
    assert statuses == [200, 429, 429]


def test_parts_of_a_batch_count_singly(sim, graph):
    sim.set(graph_window_operations=5)
    parts = [{"id": str(n), "method": "GET", "url": f"/users/{MAILBOX}/contacts"} for n in range(8)]
    answers = graph.ok("POST", f"{graph.graph}/$batch", {"requests": parts})["responses"]
    assert sorted(item["status"] for item in answers) == [200] * 5 + [429] * 3


@pytest.mark.parametrize("style", ["integer", "fractional", "date", "none"])
def test_forms_of_retry_after(sim, graph, style):
    sim.set(graph_window_operations=1, retry_after=style)
    graph.get(f"{graph.user}/contacts")
    value = graph.get(f"{graph.user}/contacts").headers.get("Retry-After")
    if style == "none":
        assert value is None
    elif style == "date":
        assert parsedate_to_datetime(value).tzinfo is not None
    else:
        assert ("." in value) is (style == "fractional")


def test_more_than_four_at_a_time_are_refused(sim, graph):
    answers = Gate(sim, "graph").burst(lambda: graph.get(f"{graph.user}/contacts"), 8)
    statuses = [answer.status_code for answer in answers]
    assert statuses.count(200) >= 4
    assert statuses.count(429) >= 1
    mine = sim.counters()["app"]["graph"]["mailboxes"][MAILBOX]
    assert mine["most_in_flight"] == 4
    assert mine["most_requests_in_flight"] > 4


@pytest.mark.parametrize(("scope", "refusals"), [("mailbox", False), ("app", True)])
def test_switch_graph_concurrency_scope(sim, graph, scope, refusals):
    sim.set(graph_concurrency_scope=scope)
    boxes = iter([MAILBOX, "daan@voorbeeld.example"] * 4)
    answers = Gate(sim, "graph").burst(lambda: graph.get(f"{graph.graph}/users/{next(boxes)}/contacts"), 8)
    assert (429 in [answer.status_code for answer in answers]) is refusals


def test_a_limit_can_be_off_and_users_are_not_limited(sim, graph, graph_user):
    sim.set(graph_window_operations=1)
    assert [graph_user.get(f"{graph.user}/contacts").status_code for _ in range(3)] == [200] * 3
    sim.control("POST", "switches", {"limits": {"graph_window_operations": None}})
    assert [graph.get(f"{graph.user}/contacts").status_code for _ in range(3)] == [200] * 3


@pytest.mark.parametrize(("value", "has_header"), [("yes", True), ("no", False)])
def test_switch_bc_retry_after_on_429(sim, bc, value, has_header):
    sim.set(bc_rate=2, bc_retry_after_on_429=value)
    statuses = [bc.get(f"{bc.company}/contacts").status_code for _ in range(2)]
    refused = bc.get(f"{bc.company}/contacts")
    assert [*statuses, refused.status_code] == [200, 200, 429]
    assert ("Retry-After" in refused.headers) is has_header


def test_bc_works_on_five_queues_the_others_and_refuses_when_the_queue_is_full(sim, bc):
    sim.set(bc_concurrency=2, bc_queue=2)
    answers = Gate(sim, "bc").burst(lambda: bc.get(f"{bc.company}/contacts"), 8)
    statuses = [answer.status_code for answer in answers]
    assert statuses.count(200) >= 4
    assert statuses.count(429) >= 1
    assert sim.counters()["app"]["bc"]["most_in_flight"] == 2
    assert bc.get(f"{bc.company}/contacts").status_code == 200


def test_bc_gives_up_on_what_waits_too_long(sim, bc):
    sim.set(bc_concurrency=1, bc_queue_seconds=0.05)
    answers = Gate(sim, "bc").burst(lambda: bc.get(f"{bc.company}/contacts"), 4)
    assert 503 in [answer.status_code for answer in answers]
    assert bc.get(f"{bc.company}/contacts").status_code == 200
