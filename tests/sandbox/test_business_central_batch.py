"""``$batch`` of Business Central under faults: of the whole, and of its parts. Points 17 and 19."""

from __future__ import annotations

import pytest
import requests


@pytest.fixture
def rows(bc):
    names = ("Anna Vos", "Jan Bos", "Piet Smit")
    return [
        bc.ok("POST", f"{bc.company}/contacts", {"type": "Person", "displayName": name}) for name in names
    ]


def place(bc):
    return bc.company.partition("/api/v2.0/")[2]


def creates(bc, *names):
    return [
        {
            "id": name,
            "method": "POST",
            "url": f"{place(bc)}/contacts",
            "headers": {"Content-Type": "application/json"},
            "body": {"type": "Person", "displayName": name},
        }
        for name in names
    ]


def updates(bc, rows, **etags):
    return [
        {
            "id": row["displayName"],
            "method": "PATCH",
            "url": f"{place(bc)}/contacts({row['id']})",
            "headers": {
                "Content-Type": "application/json",
                "If-Match": etags.get(row["number"], row["@odata.etag"]),
            },
            "body": {"jobTitle": "Inkoper"},
        }
        for row in rows
    ]


def run(bc, parts):
    body = {"requests": parts}
    return bc.ok("POST", f"{bc.api}/$batch", body, Prefer="odata.continue-on-error")["responses"]


def titles(bc):
    return {row["displayName"]: row["jobTitle"] for row in bc.ok("GET", f"{bc.company}/contacts")["value"]}


@pytest.mark.parametrize(("switch", "status"), [("409", 409), ("412", 412)])
def test_each_part_has_a_version_of_its_own(sim, bc, rows, switch, status):
    sim.set(bc_stale_status=switch)
    bc.ok("PATCH", f"{bc.company}/contacts({rows[1]['id']})", {"city": "Delft"}, If_Match="*")
    parts = updates(bc, rows)
    del parts[2]["headers"]["If-Match"]
    assert [answer["status"] for answer in run(bc, parts)] == [200, status, 400]
    assert titles(bc) == {"Anna Vos": "Inkoper", "Jan Bos": "", "Piet Smit": ""}


def test_a_part_is_throttled_alone(sim, bc, rows):
    fault = sim.add_fault(name="F2", nth=2)
    answers = run(bc, updates(bc, rows))
    assert [answer["status"] for answer in answers] == [200, 429, 200]
    assert {name.lower(): value for name, value in answers[1]["headers"].items()}["retry-after"] == "1"
    assert (fault.fired, titles(bc)["Jan Bos"]) == (1, "")


def test_a_batch_that_is_refused_as_a_whole_counts_as_a_refusal(sim, bc, rows):
    fault = sim.add_fault(name="F1", service="bc", method="POST", path=r"/\$batch")
    before = sum(
        app.get("bc", {}).get("refusals", 0) for app in sim.counters().values() if isinstance(app, dict)
    )
    assert bc.send("POST", f"{bc.api}/$batch", {"requests": updates(bc, rows)}).status_code == 429
    after = sum(
        app.get("bc", {}).get("refusals", 0) for app in sim.counters().values() if isinstance(app, dict)
    )
    assert (fault.fired, after - before, titles(bc)["Jan Bos"]) == (1, 1, "")


def test_parts_count_singly_against_the_rate(sim, bc, rows):
    sim.set(bc_rate=len(rows) + 2)
    assert [answer["status"] for answer in run(bc, updates(bc, rows))] == [200, 200, 429]


@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_part_fails_before_or_after_it_was_carried_out(sim, bc, rows, moment):
    sim.add_fault(name="F4", moment=moment, service="bc", method="PATCH", nth=2)
    assert [answer["status"] for answer in run(bc, updates(bc, rows))] == [200, 504, 200]
    assert titles(bc)["Jan Bos"] == ("" if moment == "before" else "Inkoper")


@pytest.mark.parametrize("path", [r"/\$batch", r"/contacts$"])
def test_the_answer_of_a_batch_that_was_carried_out_is_lost(sim, bc, path):
    fault = sim.add_fault(name="F5", method="POST", path=path)
    with pytest.raises(requests.RequestException):
        bc.send("POST", f"{bc.api}/$batch", {"requests": creates(bc, "A", "B", "C")})
    assert fault.fired == 1
    assert sorted(titles(bc)) == ["A", "B", "C"]


def test_a_create_of_a_batch_is_carried_out_late(sim, bc):
    fault = sim.add_fault(name="F37", service="bc", nth=2)
    answers = run(bc, creates(bc, "A", "B", "C"))
    assert [(answer["id"], answer["status"]) for answer in answers] == [("A", 201), ("B", 504), ("C", 201)]
    assert (fault.fired, sorted(titles(bc))) == (1, ["A", "C"])
    assert sim.control("POST", "late") == {"statuses": [201]}
    assert sorted(titles(bc)) == ["A", "B", "C"]


def test_a_user_edits_between_two_parts(sim, bc, rows):
    action = {"method": "PATCH", "path": "{path}", "body": {"city": "Delft"}}
    sim.add_fault(name="F10", service="bc", part=True, nth=2, action=action)
    assert [answer["status"] for answer in run(bc, updates(bc, rows))] == [200, 409, 200]


def test_answers_are_missing_shuffled_or_under_ids_that_nobody_gave(sim, bc, rows):
    def answered(variant, **more):
        fault = sim.add_fault(kind="malformed", variant=variant, service="bc", path=r"/\$batch", **more)
        answers = run(bc, updates(bc, rows, **dict.fromkeys((row["number"] for row in rows), "*")))
        assert fault.fired == 1
        return [answer["id"] for answer in answers]

    names = [row["displayName"] for row in rows]
    assert answered("short", keep=0.67) == names[:2]
    assert answered("foreign_ids") == [f"x{name}" for name in names]
    shuffled = answered("shuffled", seed=3)
    assert (sorted(shuffled), shuffled != names) == (names, True)
    assert set(titles(bc).values()) == {"Inkoper"}
