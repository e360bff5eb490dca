"""Contact folders: point 5."""

from __future__ import annotations

import pytest

MAILBOX = "sanne@voorbeeld.example"


def test_the_default_folder_is_hidden_but_has_an_alias(graph):
    assert graph.ok("GET", f"{graph.user}/contactFolders")["value"] == []
    default = graph.ok("GET", f"{graph.user}/contactFolders/Contacts")
    made = graph.ok("POST", f"{graph.user}/contactFolders", {"displayName": "Business Central"})
    assert made["parentFolderId"] == default["id"]
    listed = graph.ok("GET", f"{graph.user}/contactFolders")["value"]
    assert [item["id"] for item in listed] == [made["id"]]


def test_switch_graph_folder_alias(sim, graph):
    sim.set(graph_folder_alias="404")
    assert graph.send("GET", f"{graph.user}/contactFolders/Contacts").status_code in (400, 404)


def test_a_name_is_taken_once_per_parent(graph):
    parent = graph.folder()
    for name in ("Business Central", "business central"):
        taken = graph.refused("POST", f"{graph.user}/contactFolders", {"displayName": name})
        assert taken == (409, "ErrorFolderExists")
    child = graph.ok("POST", f"{parent}/childFolders", {"displayName": "Business Central"})
    assert graph.ok("GET", f"{parent}/childFolders")["value"][0]["id"] == child["id"]
    found = graph.ok("GET", f"{graph.user}/contactFolders?$filter=displayName eq 'Business Central'")["value"]
    assert len(found) == 1


def test_a_folder_keeps_its_id_when_renamed(graph):
    url = graph.folder()
    graph.folder("Taken")
    assert graph.ok("PATCH", url, {"displayName": "Klanten"})["displayName"] == "Klanten"
    assert graph.ok("GET", url)["displayName"] == "Klanten"
    assert graph.refused("PATCH", url, {"displayName": "taken"}) == (409, "ErrorFolderExists")
    assert graph.refused("PATCH", url, {"colour": "red"}) == (400, "RequestBodyRead")


def test_a_deleted_folder_is_gone_with_its_contacts(graph):
    url = graph.folder()
    made = graph.ok("POST", f"{url}/contacts", {"givenName": "A"}, Prefer='IdType="ImmutableId"')
    graph.ok("DELETE", url)
    assert graph.refused("GET", url) == (404, "ErrorItemNotFound")
    assert graph.refused("GET", f"{url}/contacts/delta") == (404, "ErrorSyncFolderNotFound")
    assert graph.refused("GET", f"{graph.user}/contacts/{made['id']}")[0] == 404
    assert graph.refused("DELETE", f"{graph.user}/contactFolders/Contacts")[0] == 400
    graph.folder()


def test_a_folder_is_found_by_its_extended_property(graph, contact_key):
    item = {"id": contact_key, "value": "CRONUS"}
    marked = graph.ok(
        "POST", f"{graph.user}/contactFolders", {"displayName": "A", "singleValueExtendedProperties": [item]}
    )
    plain = graph.folder("B")
    expand = f"$expand=singleValueExtendedProperties($filter=id eq '{contact_key}')"
    listed = graph.ok("GET", f"{graph.user}/contactFolders?{expand}&$top=100")["value"]
    assert [f.get("singleValueExtendedProperties") for f in listed] == [[item], None]
    graph.ok("PATCH", plain, {"singleValueExtendedProperties": [{"id": contact_key, "value": "Other"}]})
    assert graph.ok("GET", f"{plain}?{expand}")["singleValueExtendedProperties"][0]["value"] == "Other"
    text = f"singleValueExtendedProperties/any(ep:ep/id eq '{contact_key}' and ep/value eq 'cronus')"
    found = graph.ok("GET", f"{graph.user}/contactFolders?$filter={text}")["value"]
    assert [f["id"] for f in found] == [marked["id"]]


def test_a_contact_is_found_below_its_own_folder_only(graph):
    url, other = graph.folder(), graph.folder("Other")
    made = graph.ok("POST", f"{url}/contacts", {"givenName": "A"})
    assert graph.ok("GET", f"{url}/contacts/{made['id']}")["id"] == made["id"]
    assert graph.refused("GET", f"{other}/contacts/{made['id']}") == (404, "ErrorItemNotFound")


def test_a_folder_dragged_to_deleted_items_still_answers(sim, graph):
    url = graph.folder()
    sim.control(
        "POST", "graph/move-folder", {"mailbox": MAILBOX, "folder": "Business Central", "to": "deleteditems"}
    )
    deleted = graph.ok("GET", f"{graph.user}/contactFolders/deleteditems")["id"]
    assert graph.ok("GET", url)["parentFolderId"] == deleted
    assert graph.ok("GET", f"{graph.user}/contactFolders")["value"] == []


@pytest.mark.parametrize("below", [False, True])
def test_a_folder_deleted_for_good_is_gone_with_its_contacts(graph, below):
    url = graph.folder()
    if below:
        child = graph.ok("POST", f"{url}/childFolders", {"displayName": "Below"})["id"]
        url = f"{url}/childFolders/{child}"
    place = f"{graph.user}/contactFolders/{url.rpartition('/')[2]}"
    made = graph.ok("POST", f"{place}/contacts", {"givenName": "A"})
    response = graph.send("POST", f"{url}/permanentDelete")
    assert (response.status_code, response.content) == (204, b"")
    assert graph.refused("GET", place) == (404, "ErrorItemNotFound")
    assert graph.refused("GET", f"{graph.user}/contacts/{made['id']}") == (404, "ErrorItemNotFound")
    deleted = f"{graph.user}/contactFolders/deleteditems"
    assert graph.ok("GET", f"{deleted}/contacts")["value"] == []
    assert graph.ok("GET", f"{deleted}/childFolders")["value"] == []


def test_folder_delta_shows_new_and_gone_folders(graph):
    url = graph.folder()
    first = graph.ok("GET", f"{graph.user}/contactFolders/delta")
    graph.folder("Second")
    graph.ok("DELETE", url)
    second = graph.ok("GET", first["@odata.deltaLink"])["value"]
    assert [f.get("displayName", f.get("@removed")) for f in second] == ["Second", {"reason": "deleted"}]


@pytest.mark.parametrize("name", ["", " ", None, 5])
def test_a_folder_needs_a_name(graph, name):
    assert graph.refused("POST", f"{graph.user}/contactFolders", {"displayName": name})[0] == 400
