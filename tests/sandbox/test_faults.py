"""Faults: each fires where it is aimed at, does what it says, and is counted."""

from __future__ import annotations

import time
from email.utils import parsedate_to_datetime

import pytest
import requests

MAILBOX = "sanne@voorbeeld.example"
SANNE = {"givenName": "Sanne"}


def count(graph):
    return graph.ok("GET", f"{graph.user}/contacts?$count=true")["@odata.count"]


@pytest.mark.parametrize("value", [3, 0.249, "date+5", None])
def test_f1_throttles_with_every_form_of_retry_after(sim, graph, value):
    fault = sim.add_fault(name="F1", retry_after=value)
    response = graph.get(f"{graph.user}/contacts")
    assert response.status_code == 429
    header = response.headers.get("Retry-After")
    if value == "date+5":
        assert parsedate_to_datetime(header)
    else:
        assert header == (None if value is None else str(value))
    assert graph.get(f"{graph.user}/contacts").status_code == 200
    assert (fault.fired, fault.matched) == (1, 2)
    assert sim.counters()["app"]["graph"]["refusals"] == 1


def test_f2_throttles_single_parts_of_a_batch(sim, graph):
    sim.add_fault(name="F2", nth=[2, 3], count=None)
    parts = [{"id": str(n), "method": "GET", "url": f"/users/{MAILBOX}/contacts"} for n in range(5)]
    answers = graph.ok("POST", f"{graph.graph}/$batch", {"requests": parts})["responses"]
    assert sorted(a["status"] for a in answers) == [200, 200, 200, 429, 429]
    refused = next(a for a in answers if a["status"] == 429)
    assert {name.lower(): value for name, value in refused["headers"].items()}["retry-after"] == "1"
    sim.clear_faults()
    fault = sim.add_fault(name="F2", count=None)
    assert graph.get(f"{graph.user}/contacts").status_code == 200
    assert fault.matched == 0


def test_f3_answers_with_an_empty_body_or_a_web_page(sim, graph, bc):
    sim.add_fault(name="F3")
    assert graph.get(f"{graph.user}/contacts").content == b""
    sim.add_fault(name="F3", body="html", status=502, retry_after=2)
    response = bc.get(f"{bc.company}/contacts")
    assert (response.status_code, response.headers["Content-Type"]) == (502, "text/html")
    assert response.headers["Retry-After"] == "2"


@pytest.mark.parametrize(("method", "left"), [("POST", 2), ("DELETE", 0)])
def test_f4_fails_after_the_write(sim, graph, method, left):
    made = graph.ok("POST", f"{graph.user}/contacts", SANNE)
    sim.add_fault(name="F4")
    url = f"{graph.user}/contacts" if method == "POST" else f"{graph.user}/contacts/{made['id']}"
    assert graph.send(method, url, SANNE if method == "POST" else None).status_code == 504
    assert count(graph) == left
    counted = sim.counters()["app"]["graph"]
    assert counted["contacts_created"] + counted["contacts_deleted"] == 2


@pytest.mark.parametrize(("moment", "left"), [("before", 0), ("after", 1), ("mid_body", 1)])
def test_f5_resets_the_connection(sim, graph, moment, left):
    fault = sim.add_fault(name="F5", moment=moment, method="POST")
    # In mid-body the status and the first bytes have come.
    broken = requests.exceptions.ChunkedEncodingError if moment == "mid_body" else requests.ConnectionError
    with pytest.raises(broken):
        graph.send("POST", f"{graph.user}/contacts", SANNE)
    assert fault.fired == 1
    assert count(graph) == left


def test_f5_can_lose_a_whole_batch_of_finished_writes(sim, graph):
    sim.add_fault(name="F5", path=r"/\$batch")
    part = {
        "method": "POST",
        "url": f"/users/{MAILBOX}/contacts",
        "headers": {"Content-Type": "application/json"},
    }
    parts = [{**part, "id": str(n), "body": SANNE} for n in range(5)]
    with pytest.raises(requests.RequestException):
        graph.send("POST", f"{graph.graph}/$batch", {"requests": parts})
    assert count(graph) == 5


def test_f6_writes_although_the_client_gave_up(sim, graph, bc):
    fault = sim.add_fault(name="F6", seconds=0.3)
    with pytest.raises(requests.ReadTimeout):
        bc.session.post(f"{bc.company}/contacts", json={"displayName": "A"}, timeout=0.1)
    assert fault.fired == 1
    # Nothing ends the wait but the write itself, or the time-out that every test has.
    while bc.get(f"{bc.company}/contacts/$count").text != "1":
        time.sleep(0.02)


def test_f7_refuses_tokens_and_their_making(sim, graph):
    sim.add_fault(name="F7", service="graph", nth=2)
    assert [graph.get(f"{graph.user}/contacts").status_code for _ in range(3)] == [200, 401, 200]
    info = sim.info()
    url = f"{info['authority']}/oauth2/v2.0/token"
    for status in (400, 401, 429, 500):
        sim.add_fault(name="F7", service="entra", path="token", status=status)
        assert requests.post(url, data={}, timeout=20).status_code == status
    assert sim.counters()["entra"]["refused"] == 4


def test_f8_expires_delta_and_next_links(sim, graph):
    for _ in range(3):
        graph.ok("POST", f"{graph.user}/contacts", SANNE)
    url = f"{graph.user}/contacts/delta"
    fault = sim.add_fault(name="F8", count=2)
    page = graph.ok("GET", url, Prefer="odata.maxpagesize=2")
    assert graph.refused("GET", page["@odata.nextLink"]) == (410, "SyncStateNotFound")
    link = graph.ok("GET", url)["@odata.deltaLink"]
    assert graph.refused("GET", link) == (410, "SyncStateNotFound")
    assert graph.ok("GET", link)["value"] == []
    assert fault.fired == 2


@pytest.mark.parametrize(
    "variant", ["truncated", "no_value", "next_self", "next_foreign", "empty_page", "short"]
)
def test_f9_and_f17_spoil_pages(sim, bc, variant):
    for name in "ABCD":
        bc.ok("POST", f"{bc.company}/contacts", {"displayName": name})
    sim.add_fault(name="F9", variant=variant, keep=0.5)
    url = f"{bc.company}/contacts"
    response = bc.get(url)
    assert response.status_code == 200
    if variant == "truncated":
        with pytest.raises(requests.JSONDecodeError):
            response.json()
        return
    body = response.json()
    assert len(body.get("value", [])) == {"no_value": 0, "empty_page": 0, "short": 2}.get(variant, 4)
    link = {"next_self": url, "empty_page": url, "next_foreign": "https://graph.evil.example/v1.0/next"}.get(
        variant
    )
    assert body.get("@odata.nextLink") == link
    assert len(bc.ok("GET", url)["value"]) == 4


def test_f10_edits_between_read_and_write(sim, graph, bc):
    made = graph.ok("POST", f"{graph.user}/contacts", SANNE)
    action = {"method": "PATCH", "path": "{path}", "body": {"jobTitle": "by the user"}}
    sim.add_fault(name="F10", action=action, count=2)
    url = f"{graph.user}/contacts/{made['id']}"
    assert graph.refused("PATCH", url, {"surname": "x"}, If_Match=made["@odata.etag"])[0] == 412
    assert graph.ok("GET", url)["jobTitle"] == "by the user"
    row = bc.ok("POST", f"{bc.company}/contacts", {"displayName": "A"})
    url = f"{bc.company}/contacts({row['id']})"
    assert bc.refused("PATCH", url, {"city": "x"}, If_Match=row["@odata.etag"])[0] == 409
    assert bc.ok("GET", url)["jobTitle"] == "by the user"
    assert sim.counters()["user"]["graph"]["contacts_updated"] == 1
    assert sim.counters()["user"]["bc"]["contacts_updated"] == 1


def test_f10_says_whether_the_edit_was_refused(sim, graph):
    url = f"{graph.user}/contacts/{graph.ok('POST', f'{graph.user}/contacts', SANNE)['id']}"
    action = {"method": "PATCH", "path": "{path}", "body": {"jobTitle": "by the user"}}
    fault = sim.add_fault(name="F10", action=action, count=2)
    graph.ok("PATCH", url, {"surname": "x"})
    assert (fault.fired, fault.refused) == (1, 0)
    graph.ok("DELETE", url)
    assert graph.refused("PATCH", url, {"surname": "y"})[0] == 404
    assert (fault.fired, fault.refused) == (2, 1)


def test_a_person_acts_although_another_fault_answers_the_call(sim, graph):
    made = graph.ok("POST", f"{graph.user}/contacts", SANNE)
    sim.add_fault(name="F29")
    action = {"method": "PATCH", "path": "{path}", "body": {"jobTitle": "typed meanwhile"}}
    edit = sim.add_fault(name="F10", action=action)
    item = f"{graph.user}/contacts/{made['id']}"
    assert graph.send("PATCH", item, {"surname": "Bos"}).status_code == 400
    assert (edit.fired, edit.refused) == (1, 0)
    held = graph.ok("GET", item)
    assert (held["jobTitle"], held["surname"]) == ("typed meanwhile", None)


def test_of_two_answers_to_one_call_only_the_first_is_given_and_counted(sim, graph):
    given, other = sim.add_fault(name="F1"), sim.add_fault(name="F3")
    assert graph.get(f"{graph.user}/contacts").status_code == 429
    assert (given.fired, other.fired) == (1, 0)
    assert graph.get(f"{graph.user}/contacts").status_code == 503
    assert (given.fired, other.fired) == (1, 1)


def test_an_answer_that_has_no_page_is_not_spoilt(sim, graph):
    sim.add_fault(name="F1")
    spoilt = sim.add_fault(name="F9", variant="no_value")
    assert graph.get(f"{graph.user}/contacts").status_code == 429
    assert spoilt.fired == 0


def test_f11_hits_one_mailbox_only(sim, graph):
    sim.add_fault(name="F11", mailbox=MAILBOX)
    assert graph.refused("GET", f"{graph.user}/contacts") == (404, "MailboxNotEnabledForRESTAPI")
    assert graph.get(f"{graph.graph}/users/daan@voorbeeld.example/contacts").status_code == 200


def test_f12_and_f20_act_on_folders_and_clock(sim, graph):
    url = graph.folder()
    before = sim.clock()["offset_seconds"]
    sim.add_fault(name="F12", method="POST", action={"method": "DELETE", "path": url.partition("/v1.0")[2]})
    sim.add_fault(
        name="F20", action={"method": "POST", "path": "/__sim/clock", "body": {"advance_seconds": 86400}}
    )
    assert graph.refused("POST", f"{url}/contacts", SANNE) == (404, "ErrorItemNotFound")
    assert sim.clock()["offset_seconds"] == pytest.approx(before + 86400)


def test_f13_moves_and_copies_in_mid_run(sim, graph, contact_key):
    item = {"id": contact_key, "value": "k"}
    made = graph.ok("POST", f"{graph.user}/contacts", {**SANNE, "singleValueExtendedProperties": [item]})
    body = {"mailbox": MAILBOX, "contact": made["id"]}
    sim.add_fault(name="F13", action={"method": "POST", "path": "/__sim/graph/copy", "body": body})
    text = f"singleValueExtendedProperties/any(ep:ep/id eq '{contact_key}' and ep/value eq 'k')"
    assert len(graph.ok("GET", f"{graph.user}/contacts?$filter={text}")["value"]) == 2


def test_f14_refuses_a_record(sim, bc):
    sim.add_fault(name="F14")
    refused = bc.refused("POST", f"{bc.company}/contacts", {"displayName": "A"})
    assert refused == (400, "Application_StringExceededLength")


def test_f15_opens_a_transaction(sim, bc, bc_user):
    sim.add_fault(name="F15")
    bc.get(f"{bc.company}/contacts")
    bc_user.ok("POST", f"{bc.company}/contacts", {"displayName": "A"})
    assert bc.get(f"{bc.company}/contacts/$count").text == "0"


def test_f16_changes_rows_during_paging(sim, bc):
    for name in "ABC":
        bc.ok("POST", f"{bc.company}/contacts", {"displayName": name})
    place = bc.company.partition("/api/v2.0")[2]
    sim.add_fault(
        name="F16", action={"method": "POST", "path": f"{place}/contacts", "body": {"displayName": "New"}}
    )
    pages = bc.pages(f"{bc.company}/contacts", Prefer="odata.maxpagesize=2")
    assert [row["displayName"] for page in pages for row in page["value"]] == ["A", "B", "C", "New"]


def test_f18_repeats_items_of_a_round(sim, graph):
    graph.ok("POST", f"{graph.user}/contacts", SANNE)
    sim.add_fault(name="F18")
    assert len(graph.ok("GET", f"{graph.user}/contacts/delta")["value"]) == 2


def test_f19_calls_back_after_the_write(sim, graph):
    seen = []
    sim.add_fault(lambda call: seen.append((call.method, call.notes["written"])), name="F19", method="POST")
    graph.ok("POST", f"{graph.user}/contacts", SANNE)
    assert seen == [("POST", "contacts_created")]


def test_f21_makes_parallel_requests_meet(sim, graph):
    fault = sim.add_fault(name="F21", seconds=0)
    graph.get(f"{graph.user}/contacts")
    graph.get(f"{graph.user}/contacts")
    assert fault.fired == 2


def test_faults_are_planned_listed_and_forgotten_over_http(sim, graph):
    url = f"{sim.base_url}/__sim/faults"
    planned = requests.post(
        url, json={"faults": [{"name": "F1"}, {"name": "mine", "kind": "delay"}]}, timeout=20
    )
    assert [item["name"] for item in planned.json()["faults"]] == ["F1", "mine"]
    graph.get(f"{graph.user}/contacts")
    assert requests.get(url, timeout=20).json()["fired"] == {"F1": 1, "mine": 1}
    requests.delete(url, params={"name": "F1"}, timeout=20)
    assert requests.get(url, timeout=20).json()["fired"] == {"mine": 1}
    requests.delete(url, timeout=20)
    assert requests.get(url, timeout=20).json() == {"faults": [], "fired": {}}


@pytest.mark.parametrize(
    "spec",
    [
        {"name": "F99"},
        {"kind": "explode"},
        {"name": "F1", "stauts": 5},
        {"name": "F9", "variant": "other"},
        {"name": "F12"},
        {"name": "F1", "path": "("},
    ],
)
def test_a_fault_that_makes_no_sense_is_refused(sim, spec):
    with pytest.raises(ValueError, match="FaultError"):
        sim.control("POST", "faults", spec)


def test_chance_follows_the_seed_and_users_are_spared(sim, graph, graph_user):
    def pattern():
        sim.clear_faults()
        sim.add_fault(name="F1", probability=0.5, seed=7, count=None)
        return [graph.get(f"{graph.user}/contacts").status_code for _ in range(12)]

    first = pattern()
    assert set(first) == {200, 429}
    assert pattern() == first
    sim.clear_faults()
    sim.add_fault(name="F1", count=None)
    assert graph_user.get(f"{graph.user}/contacts").status_code == 200
    sim.add_fault(name="F3", identity="user")
    assert graph_user.get(f"{graph.user}/contacts").status_code == 503


@pytest.mark.parametrize("batched", [False, True])
def test_f37_keeps_a_create_until_it_is_carried_out(sim, graph, batched):
    before = count(graph)
    fault = sim.add_fault(name="F37")
    if batched:
        url = f"/users/{MAILBOX}/contacts"
        part = {"id": "1", "method": "POST", "url": url, "body": SANNE}
        part["headers"] = {"Content-Type": "application/json"}
        answers = graph.ok("POST", f"{graph.graph}/$batch", {"requests": [part]})["responses"]
        assert answers[0]["status"] == 504
    else:
        assert graph.send("POST", f"{graph.user}/contacts", SANNE).status_code == 504
    assert (fault.fired, count(graph)) == (1, before)
    assert sim.control("POST", "late") == {"statuses": [201]}
    assert count(graph) == before + 1
    assert sim.control("POST", "late") == {"statuses": []}


def test_what_arrives_late_can_be_refused(sim, bc):
    url = f"{bc.company}/contacts"
    made = bc.ok("POST", url, {"type": "Person", "displayName": "Sanne"})
    sim.add_fault(name="F37", method="PATCH", path="/contacts")
    one = f"{url}({made['id']})"
    version = made["@odata.etag"]
    assert bc.send("PATCH", one, {"jobTitle": "late"}, If_Match=version).status_code == 504
    bc.ok("PATCH", one, {"jobTitle": "first"}, If_Match=version)
    assert sim.control("POST", "late") == {"statuses": [409]}
    assert bc.ok("GET", one)["jobTitle"] == "first"
