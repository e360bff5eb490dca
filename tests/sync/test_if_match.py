"""Rules 8.5: the first load that changes an item finds out whether Graph enforces ``If-Match``."""

from __future__ import annotations

from typing import Any

import pytest

from sync_lib.store import runs
from sync_lib.store.engine import read
from tests.sync.harness import Harness, person, settled, world

JAN, PIET = "Jan Jansen", "Piet Bos"


@pytest.fixture
def synced(make_harness) -> Harness:
    h = make_harness(world(person(JAN), person(PIET)))
    h.add_profiles()
    h.full()
    return h


def fact(h: Harness) -> str | None:
    with read(h.edges.engine) as conn:
        return runs.read_fact(conn, h.edges.graph_settings.tenant_id, "graph_if_match")


def requests(h: Harness, edit: Any) -> int:
    """Requests to Graph of the run that carries an edit of BC to Outlook."""
    edit()
    h.sim.reset_counters()
    assert h.run().writes == {"updated_outlook": 1}
    return int(h.counters()["app"]["graph"]["requests"])


@pytest.mark.parametrize("noop", ["bump", "keep"])
@pytest.mark.parametrize(("switch", "answer"), [("enforce", "enforced"), ("ignore", "ignored")])
def test_the_first_run_that_changes_an_item_finds_out(synced, switch, answer, noop):
    h = synced
    h.sim.set(graph_if_match=switch, graph_noop_patch=noop)
    assert fact(h) is None, "creates have no version that could be old"
    # The delta, the folder's marker, the read before the write, the write; and the same write as it was before it.
    assert requests(h, lambda: h.edit_contact(JAN, jobTitle="Inkoper")) == 5
    assert fact(h) == answer
    assert requests(h, lambda: h.edit_contact(JAN, jobTitle="Chef")) == (3 if answer == "enforced" else 4)
    assert h.items()[JAN]["jobTitle"] == "Chef"
    settled(h)


@pytest.mark.parametrize("switch", ["enforce", "ignore"])
def test_finding_out_is_no_edit(synced, switch):
    """What is deleted in BC in the next run goes in Outlook, too: nobody edited the item since."""
    h = synced
    h.sim.set(graph_if_match=switch)
    requests(h, lambda: h.edit_contact(JAN, jobTitle="Inkoper"))
    assert fact(h)
    h.delete_contact(JAN)
    h.run()
    assert set(h.items()) == {PIET}


@pytest.mark.parametrize("switch", ["enforce", "ignore"])
def test_an_edit_right_before_the_question_is_not_lost(synced, switch):
    h = synced
    h.sim.set(graph_if_match=switch)
    h.edit_contact(JAN, jobTitle="Inkoper")
    action = {"method": "PATCH", "path": "{path}", "body": {"mobilePhone": "06 5550 1234"}}
    fault = h.sim.add_fault(
        kind="user_action",
        service="graph",
        method="PATCH",
        path="/contacts/",
        part=True,
        nth=2,
        action=action,
    )
    h.run()
    assert fault.fired == 1
    h.run()
    assert h.items()[JAN]["mobilePhone"] == h.contacts()[JAN]["mobilePhoneNumber"] == "06 5550 1234"
    settled(h)


@pytest.mark.parametrize(
    "refusal",
    [
        {"status": 400, "code": "ErrorInvalidChangeKey"},
        {"status": 403, "code": "ErrorAccessDenied"},
        {"status": 504, "count": None},
    ],
    ids=str,
)
def test_an_answer_that_says_nothing_leaves_it_unknown(synced, refusal):
    """The run is none the worse for it, reads go on before writes, and the next one asks again."""
    h = synced
    h.edit_contact(JAN, jobTitle="Inkoper")
    nth = {"nth": 2} if refusal.get("count", 1) else {"nth": list(range(2, 40))}
    h.sim.add_fault(
        kind="status", service="graph", method="PATCH", path="/contacts/", part=True, **refusal | nth
    )
    ran = h.run()
    assert (ran.errors, ran.writes, fact(h)) == ([], {"updated_outlook": 1}, None)
    assert ran.verdict.ok
    h.sim.clear_faults()
    requests(h, lambda: h.edit_contact(JAN, jobTitle="Chef"))
    assert fact(h) == "enforced"
    settled(h)


def test_what_is_found_out_counts_from_the_next_batch_on(make_harness):
    """One read before the first batch, none before the two that follow."""
    h = make_harness(world(*[person(f"Persoon {n:02}") for n in range(45)]))
    h.add_profiles()
    h.full()
    for n in range(45):
        h.edit_contact(f"Persoon {n:02}", jobTitle="Inkoper")
    h.sim.reset_counters()
    assert h.run().writes == {"updated_outlook": 45}
    # The delta, the marker, a read, the question, and three batches.
    assert h.counters()["app"]["graph"]["requests"] == 1 + 1 + 1 + 1 + 3
