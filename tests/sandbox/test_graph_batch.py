"""Batches of Graph: point 11, and the part of point 12 that concerns them."""

from __future__ import annotations

import pytest

MAILBOX = "sanne@voorbeeld.example"


def part(number, method="POST", url=None, body=None, **more):
    result = {"id": str(number), "method": method, "url": url or f"/users/{MAILBOX}/contacts", **more}
    if method in ("POST", "PATCH"):
        result.setdefault("headers", {"Content-Type": "application/json"})
        result["body"] = body or {"givenName": str(number)}
    return result


def run(graph, *parts):
    response = graph.send("POST", f"{graph.graph}/$batch", {"requests": list(parts)})
    assert response.status_code == 200, response.text
    return {item["id"]: item for item in response.json()["responses"]}


def test_parts_are_done_and_answered_in_any_order(sim, graph):
    response = graph.ok("POST", f"{graph.graph}/$batch", {"requests": [part(n) for n in range(20)]})[
        "responses"
    ]
    assert [item["id"] for item in response] != [str(n) for n in range(20)]
    for item in response:
        assert (item["status"], item["body"]["givenName"]) == (201, item["id"])
    spellings = {name for item in response for name in item["headers"]}
    assert {"Content-Type", "content-type"} <= spellings
    mine = sim.counters()["app"]["graph"]["mailboxes"][MAILBOX]
    assert (mine["requests"], mine["operations"], mine["contacts_created"], mine["most_in_flight"]) == (
        1,
        20,
        20,
        4,
    )


def test_headers_of_a_part_are_its_own(graph):
    made = run(
        graph, part(1, headers={"Content-Type": "application/json", "Prefer": 'IdType="ImmutableId"'})
    )["1"]
    assert made["body"]["id"].startswith("AAkAL")
    url = f"/users/{MAILBOX}/contacts/{made['body']['id']}"
    run(graph, part(1, "PATCH", url, body={"jobTitle": "x"}))
    headers = {"Content-Type": "application/json", "If-Match": made["body"]["@odata.etag"]}
    answers = run(graph, part(1, "PATCH", url, headers=headers), part(2, "GET", url), part(3, "DELETE", url))
    assert answers["1"]["status"] == 412
    assert answers["2"]["body"]["id"].startswith("AAMkA")
    assert answers["3"]["status"] == 204
    assert "body" not in answers["3"]


def test_what_depends_on_a_failed_part_fails(graph):
    wrong = part(1, body={"nonsense": "x"})
    answers = run(graph, wrong, part(2, dependsOn=["1"]), part(3, dependsOn=["2"]), part(4))
    assert {key: item["status"] for key, item in answers.items()} == {"1": 400, "2": 424, "3": 424, "4": 201}


@pytest.mark.parametrize(
    "parts",
    [
        [part(n) for n in range(21)],
        [part("a"), part("A")],
        [part(1, dependsOn=["9"])],
        [{"id": "1", "method": "GET"}],
        [{"method": "GET", "url": "/users"}],
        [part(1, headers={})],
        "nonsense",
    ],
)
def test_a_batch_that_cannot_be_read_is_refused_whole(sim, graph, parts):
    assert graph.refused("POST", f"{graph.graph}/$batch", {"requests": parts}) == (400, "BadRequest")
    assert sim.counters()["app"]["graph"]["writes"] == 0


def test_batches_do_not_nest(graph):
    assert run(graph, part(1, "POST", "/$batch", {"requests": []}))["1"]["status"] == 400


@pytest.mark.parametrize(("value", "done"), [("queue", 10), ("429", 4)])
def test_switch_graph_batch_over_4(sim, graph, value, done):
    sim.set(graph_batch_over_4=value)
    answers = run(graph, *(part(n) for n in range(10)))
    statuses = [item["status"] for item in answers.values()]
    assert (statuses.count(201), statuses.count(429)) == (done, 10 - done)
    for item in answers.values():
        if item["status"] == 429:
            headers = {name.lower(): text for name, text in item["headers"].items()}
            assert headers["retry-after"] == "1"
            assert item["body"]["error"]["code"] == "ApplicationThrottled"
    assert sim.counters()["app"]["graph"]["mailboxes"][MAILBOX]["refusals"] == 10 - done


def test_parts_for_several_mailboxes_do_not_share_the_four(sim, graph):
    sim.set(graph_batch_over_4="429")
    other = "/users/daan@voorbeeld.example/contacts"
    answers = run(graph, *(part(n) for n in range(4)), *(part(n, url=other) for n in range(4, 8)))
    assert {item["status"] for item in answers.values()} == {201}


@pytest.mark.parametrize(("value", "status"), [("200", 200), ("424", 424)])
def test_switch_batch_outer_on_429(sim, graph, value, status):
    sim.set(batch_outer_on_429=value, graph_batch_over_4="429")
    response = graph.send("POST", f"{graph.graph}/$batch", {"requests": [part(n) for n in range(5)]})
    assert response.status_code == status
    assert len(response.json()["responses"]) == 5
