"""Faults of services that are less kind: each does what the manual says, as often as it says, and else nothing."""

from __future__ import annotations

import pytest
import requests

MAILBOX = "sanne@voorbeeld.example"
SANNE = {"givenName": "Sanne"}


def filtered(graph, folder, key):
    text = f"singleValueExtendedProperties/Any(ep: ep/id eq '{key}' and ep/value eq 'k')"
    expand = f"singleValueExtendedProperties($filter=id eq '{key}')"
    return graph.ok("GET", f"{folder}/contacts?$filter={text}&$expand={expand}")["value"]


# -- F24: a write refused for a reason that may pass ------------------------------------------------------------------


@pytest.mark.parametrize("status", [400, 403, 409, 413, 423])
def test_f24_refuses_one_write_and_carries_nothing_out(sim, bc, status):
    fault = sim.add_fault(name="F24", service="bc", status=status, code="Locked")
    url = f"{bc.company}/contacts"
    assert bc.ok("GET", url)["value"] == [], "a read is no write"
    assert bc.refused("POST", url, {"displayName": "A"}) == (status, "Locked")
    assert bc.ok("GET", url)["value"] == []
    made = bc.ok("POST", url, {"displayName": "A"})
    assert (fault.fired, fault.matched) == (1, 2)
    sim.add_fault(name="F24", service="bc", count=2)
    one = f"{url}({made['id']})"
    for method in ("PATCH", "DELETE"):
        refused = bc.refused(method, one, {"city": "Zaandam"}, If_Match="*")
        assert refused == (400, "Application_DialogException")
    assert bc.ok("GET", one)["@odata.etag"] == made["@odata.etag"]


def test_f24_hits_parts_of_a_batch_of_graph(sim, graph):
    fault = sim.add_fault(name="F24", service="graph", part=True, status=413, code="ErrorMessageSizeExceeded")
    headers = {"Content-Type": "application/json"}
    part = {"method": "POST", "url": f"/users/{MAILBOX}/contacts", "headers": headers, "body": SANNE}
    parts = [{**part, "id": str(n)} for n in range(3)]
    answers = graph.ok("POST", f"{graph.graph}/$batch", {"requests": parts})["responses"]
    assert sorted(answer["status"] for answer in answers) == [201, 201, 413]
    assert (fault.fired, fault.matched) == (1, 3)
    assert len(graph.ok("GET", f"{graph.user}/contacts")["value"]) == 2


# -- F27: a page of a proxy in place of the answer --------------------------------------------------------------------


@pytest.mark.parametrize("status", [403, 200, 407, 502, 511])
def test_f27_answers_with_a_page_of_a_proxy(sim, graph, status):
    fault = sim.add_fault(name="F27", service="graph", **({} if status == 403 else {"status": status}))
    response = graph.send("POST", f"{graph.user}/contacts", SANNE)
    assert (response.status_code, response.headers["Content-Type"]) == (status, "text/html")
    assert response.text.startswith("<!DOCTYPE html>")
    assert graph.ok("GET", f"{graph.user}/contacts")["value"] == [], "the service was never asked"
    assert fault.fired == 1


def test_f27_may_lead_elsewhere_and_hit_tokens(sim, graph):
    headers = {"Location": "https://login.proxy.example/"}
    sim.add_fault(name="F27", service="graph", status=302, headers=headers)
    response = graph.session.get(f"{graph.user}/contacts", allow_redirects=False, timeout=20)
    assert (response.status_code, response.headers["Location"]) == (302, headers["Location"])
    fault = sim.add_fault(name="F27", service="entra")
    assert graph.get(f"{graph.user}/contacts").status_code == 200
    url = f"{sim.info()['authority']}/oauth2/v2.0/token"
    assert requests.post(url, data={}, timeout=20).status_code == 403
    assert fault.fired == 1


# -- F28: look-ups by an extended property leave it out ---------------------------------------------------------------


def test_f28_changes_look_ups_from_one_of_them_on(sim, graph, contact_key):
    folder = graph.folder()
    item = {**SANNE, "singleValueExtendedProperties": [{"id": contact_key, "value": "k"}]}
    for place in (folder, graph.user):
        graph.ok("POST", f"{place}/contacts", item)
    fault = sim.add_fault(name="F28", nth=2)
    graph.ok("GET", f"{folder}/contacts")
    assert fault.matched == 0, "a list is no look-up"
    assert [
        item.get("singleValueExtendedProperties") is None for item in filtered(graph, folder, contact_key)
    ] == [False]
    for _ in range(2):
        found = filtered(graph, folder, contact_key)
        assert [item.get("singleValueExtendedProperties") for item in found] == [None, None]
    assert (fault.fired, fault.matched) == (1, 3)


# -- F29: a version is taken for a malformed one ----------------------------------------------------------------------


def test_f29_takes_a_version_for_a_malformed_one(sim, graph):
    made = graph.ok("POST", f"{graph.user}/contacts", SANNE)
    url, version = f"{graph.user}/contacts/{made['id']}", made["@odata.etag"]
    fault = sim.add_fault(name="F29")
    assert graph.ok("GET", url)["@odata.etag"] == version
    assert fault.matched == 0, "only what changes a contact sends a version"
    assert graph.refused("PATCH", url, {"surname": "x"}, If_Match=version) == (400, "ErrorInvalidChangeKey")
    assert graph.ok("GET", url)["@odata.etag"] == version
    assert graph.ok("PATCH", url, {"surname": "x"}, If_Match=version)["surname"] == "x"
    assert (fault.fired, fault.matched) == (1, 2)


# -- F33: what happens to an account ----------------------------------------------------------------------------------


@pytest.mark.parametrize("by_id", [False, True])
def test_f33_makes_an_account_again_under_its_address(sim, graph, by_id):
    made = graph.ok("POST", f"{graph.folder()}/contacts", SANNE)
    old = graph.ok("GET", graph.user)["id"]
    body = {"mailbox": old if by_id else MAILBOX, "replace": True}
    action = {"method": "POST", "path": "/__sim/graph/mailbox", "body": body}
    fault = sim.add_fault(name="F33", path="/contactFolders", action=action)
    assert graph.ok("GET", graph.user)["id"] == old
    assert graph.ok("GET", f"{graph.user}/contactFolders")["value"] == []
    new = graph.ok("GET", graph.user)
    assert (new["id"] != old, new["userPrincipalName"]) == (True, MAILBOX)
    assert graph.refused("GET", f"{graph.graph}/users/{old}")[0] == 404
    assert graph.refused("GET", f"{graph.user}/contacts/{made['id']}")[0] == 404
    graph.folder()
    assert len(graph.ok("GET", f"{graph.user}/contactFolders")["value"]) == 1
    assert (fault.fired, fault.matched > 1) == (1, True)


def test_f33_renames_an_account(sim, graph):
    made = graph.ok("POST", f"{graph.user}/contacts", SANNE)
    user = graph.ok("GET", graph.user)["id"]
    body = {"mailbox": MAILBOX, "rename": "sanne.bos@voorbeeld.example"}
    action = {"method": "POST", "path": "/__sim/graph/mailbox", "body": body}
    fault = sim.add_fault(name="F33", path="/contacts", action=action, moment="after")
    graph.ok("GET", f"{graph.user}/contacts")
    assert graph.refused("GET", graph.user)[0] == 404
    for name in (user, "sanne.bos@voorbeeld.example"):
        assert graph.ok("GET", f"{graph.graph}/users/{name}")["id"] == user
        assert graph.ok("GET", f"{graph.graph}/users/{name}/contacts/{made['id']}")["givenName"] == "Sanne"
    assert fault.fired == 1


# -- F34: what happens to a folder ------------------------------------------------------------------------------------


def test_f34_drags_a_folder_to_deleted_items_and_back(sim, graph):
    url = graph.folder()
    graph.ok("POST", f"{url}/contacts", SANNE)
    bin_, home = (
        graph.ok("GET", f"{graph.user}/contactFolders/{name}")["id"] for name in ("deleteditems", "contacts")
    )
    faults = []
    for to in ("deleteditems", "contacts"):
        body = {"mailbox": MAILBOX, "folder": url.rpartition("/")[2], "to": to}
        action = {"method": "POST", "path": "/__sim/graph/move-folder", "body": body}
        faults.append(sim.add_fault(name="F34", nth=len(faults) + 2, action=action))
    assert [graph.ok("GET", url)["parentFolderId"] for _ in range(4)] == [home, bin_, home, home]
    assert len(graph.ok("GET", f"{url}/contacts")["value"]) == 1
    assert [fault.fired for fault in faults] == [1, 1]


def test_f34_deletes_a_folder_for_good(sim, graph):
    url = graph.folder()
    made = graph.ok("POST", f"{url}/contacts", SANNE)
    action = {"method": "POST", "path": f"{url.partition('/v1.0')[2]}/permanentDelete"}
    fault = sim.add_fault(name="F34", method="GET", action=action)
    assert graph.refused("GET", url) == (404, "ErrorItemNotFound")
    assert graph.refused("GET", f"{graph.user}/contacts/{made['id']}") == (404, "ErrorItemNotFound")
    assert graph.ok("GET", f"{graph.user}/contactFolders/deleteditems/contacts")["value"] == []
    assert fault.fired == 1


# -- none of them -----------------------------------------------------------------------------------------------------


def test_what_is_planned_for_others_does_nothing(sim, graph, bc, graph_user, bc_user, contact_key):
    """Users are spared, and so is what a fault is not aimed at."""
    folder = graph.folder()
    action = {"method": "POST", "path": "/__sim/graph/mailbox", "body": {"mailbox": MAILBOX, "replace": True}}
    named = [
        ("F24", {}),
        ("F27", {}),
        ("F28", {}),
        ("F29", {}),
        ("F33", {"action": action}),
        ("F34", {"action": action}),
    ]
    faults = [
        sim.add_fault(name=name, mailbox="daan@voorbeeld.example", count=None, **more) for name, more in named
    ]
    faults += [sim.add_fault(name=name, count=None, identity="another app", **more) for name, more in named]
    for client in (graph, graph_user):
        made = client.ok(
            "POST",
            f"{folder}/contacts",
            {**SANNE, "singleValueExtendedProperties": [{"id": contact_key, "value": "k"}]},
        )
        client.ok(
            "PATCH", f"{client.user}/contacts/{made['id']}", {"surname": "x"}, If_Match=made["@odata.etag"]
        )
        assert all(item["singleValueExtendedProperties"] for item in filtered(client, folder, contact_key))
    for client in (bc, bc_user):
        made = client.ok("POST", f"{client.company}/contacts", {"displayName": "A"})
        client.ok("DELETE", f"{client.company}/contacts({made['id']})", If_Match="*")
    assert [fault.fired for fault in faults] == [0] * len(faults)
