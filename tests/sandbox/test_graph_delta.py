"""Delta queries: point 9."""

from __future__ import annotations

import pytest

MAILBOX = "sanne@voorbeeld.example"
FIXED = {"Prefer": 'IdType="ImmutableId", odata.maxpagesize=200'}


@pytest.fixture
def folder(graph):
    return graph.folder()


def add(graph, folder, *names):
    return [graph.ok("POST", f"{folder}/contacts", {"givenName": name}, **FIXED)["id"] for name in names]


def delta(graph, url, **headers):
    """Read a round; return its items and the delta link."""
    pages = graph.pages(url, **{**FIXED, **headers})
    assert all("@odata.deltaLink" not in page for page in pages[:-1])
    return [item for page in pages for item in page["value"]], pages[-1]["@odata.deltaLink"]


def removed(items):
    return {item["id"] for item in items if "@removed" in item}


def move(sim, contact, to):
    return sim.control("POST", "graph/move", {"mailbox": MAILBOX, "contact": contact, "to": to})


def test_a_round_shows_everything_and_the_next_only_what_changed(graph, folder):
    first, second, third = add(graph, folder, "A", "B", "C")
    items, link = delta(graph, f"{folder}/contacts/delta")
    assert {item["id"] for item in items} == {first, second, third}
    assert delta(graph, link)[0] == []
    graph.ok("PATCH", f"{graph.user}/contacts/{first}", {"jobTitle": "x"})
    graph.ok("DELETE", f"{graph.user}/contacts/{second}")
    items, later = delta(graph, link)
    assert {item["id"]: item.get("jobTitle") for item in items} == {first: "x", second: None}
    assert removed(items) == {second}
    assert [item["@removed"] for item in items if item["id"] == second] == [{"reason": "deleted"}]
    assert delta(graph, later)[0] == []
    # The older link still gives the same: replays happen.
    assert {item["id"] for item in delta(graph, link)[0]} == {first, second}


def test_pages_hold_at_most_200_and_can_be_read_again(sim, graph, folder):
    sim.set(graph_delta_page=4)
    ids = set(add(graph, folder, *"ABCDEFGHI"))
    pages = graph.pages(f"{folder}/contacts/delta", **FIXED)
    assert [len(page["value"]) for page in pages] == [4, 4, 1]
    assert {item["id"] for page in pages for item in page["value"]} == ids
    again = graph.ok("GET", pages[0]["@odata.nextLink"], **FIXED)
    assert again == pages[1]
    default = sim.call(lambda world: type(world.settings)().limit("graph_delta_page"))
    assert default == 200


def test_a_change_during_a_round_is_in_the_next_one(graph, folder):
    ids = add(graph, folder, *"ABC")
    page = graph.ok("GET", f"{folder}/contacts/delta", Prefer='IdType="ImmutableId", odata.maxpagesize=2')
    seen = {item["id"] for item in page["value"]}
    gone = next(item for item in ids if item not in seen)
    graph.ok("DELETE", f"{graph.user}/contacts/{gone}")
    late = add(graph, folder, "D")[0]
    items, link = delta(graph, page["@odata.nextLink"])
    assert removed(items) == {gone}
    assert {item["id"] for item in delta(graph, link)[0]} == {gone, late}


def test_an_item_moved_out_is_removed_and_one_moved_in_appears(sim, graph, folder):
    graph.folder("Elders")
    (contact,) = add(graph, folder, "A")
    _, link = delta(graph, f"{folder}/contacts/delta")
    move(sim, contact, "Elders")
    items, link = delta(graph, link)
    assert removed(items) == {contact}
    move(sim, contact, "Business Central")
    items, _ = delta(graph, link)
    assert [item["givenName"] for item in items] == ["A"]


@pytest.mark.parametrize(("value", "is_removed"), [("removed", True), ("present", False)])
def test_switch_graph_delta_returned_for_a_b_a_with_immutable_ids(sim, graph, folder, value, is_removed):
    sim.set(graph_delta_returned=value)
    graph.folder("Elders")
    (contact,) = add(graph, folder, "A")
    _, link = delta(graph, f"{folder}/contacts/delta")
    move(sim, contact, "Elders")
    move(sim, contact, "Business Central")
    items, later = delta(graph, link)
    assert (removed(items) == {contact}) is is_removed
    assert len(items) == 1
    assert delta(graph, later)[0] == []


def test_default_ids_show_a_b_a_as_another_item(sim, graph, folder):
    graph.folder("Elders")
    (contact,) = add(graph, folder, "A")
    items, link = delta(graph, f"{folder}/contacts/delta", Prefer="odata.maxpagesize=50")
    old = items[0]["id"]
    move(sim, contact, "Elders")
    new = move(sim, contact, "Business Central")["id"]
    items, _ = delta(graph, link, Prefer="odata.maxpagesize=50")
    assert removed(items) == {old}
    assert {item["id"] for item in items} == {old, new}


def test_select_is_kept_in_the_link(graph, folder):
    (contact,) = add(graph, folder, "A")
    items, link = delta(graph, f"{folder}/contacts/delta?$select=givenName,jobTitle")
    assert set(items[0]) == {"@odata.etag", "id", "givenName", "jobTitle"}
    graph.ok("PATCH", f"{graph.user}/contacts/{contact}", {"jobTitle": "x"})
    assert set(delta(graph, link)[0][0]) == {"@odata.etag", "id", "givenName", "jobTitle"}


def test_other_query_options_fail(graph, folder):
    expand = "?$expand=singleValueExtendedProperties($filter=id eq 'String 0x3001')"
    assert graph.refused("GET", f"{folder}/contacts/delta{expand}") == (500, "ErrorInternalServerError")
    assert graph.refused("GET", f"{folder}/contacts/delta?$filter=a eq 1") == (400, "ErrorInvalidUrlQuery")


@pytest.mark.parametrize("status", ["410", "400"])
def test_switch_graph_delta_expired(sim, graph, folder, status):
    sim.set(graph_delta_expired=status)
    add(graph, folder, *"ABC")
    _, link = delta(graph, f"{folder}/contacts/delta")
    page = graph.ok("GET", f"{folder}/contacts/delta", Prefer="odata.maxpagesize=2")
    sim.control("POST", "graph/expire-delta", {"mailbox": MAILBOX, "only": "next"})
    assert graph.refused("GET", page["@odata.nextLink"]) == (int(status), "SyncStateNotFound")
    assert delta(graph, link)[0] == []
    sim.control("POST", "graph/expire-delta", {"mailbox": MAILBOX})
    assert graph.refused("GET", link) == (int(status), "SyncStateNotFound")
    assert len(delta(graph, f"{folder}/contacts/delta")[0]) == 3


def test_a_link_of_another_folder_is_refused(graph, folder):
    _, link = delta(graph, f"{folder}/contacts/delta")
    other = graph.folder("Other")
    wrong = f"{other}/contacts/delta?{link.partition('?')[2]}"
    assert graph.refused("GET", wrong) == (400, "SyncStateInvalid")
    assert graph.refused("GET", f"{folder}/contacts/delta?$deltatoken=nonsense")[1] == "SyncStateNotFound"


@pytest.mark.parametrize(("value", "has_all"), [("full", True), ("partial", False)])
def test_switch_graph_delta_body(sim, graph, folder, value, has_all):
    sim.set(graph_delta_body=value)
    old, _ = add(graph, folder, "A", "B")
    _, link = delta(graph, f"{folder}/contacts/delta")
    (new,) = add(graph, folder, "C")
    graph.ok("PATCH", f"{graph.user}/contacts/{old}", {"jobTitle": "x"})
    graph.ok("PATCH", f"{graph.user}/contacts/{new}", {"jobTitle": "y"})
    items = {item["id"]: item for item in delta(graph, link)[0]}
    assert items[old]["jobTitle"] == "x"
    assert ("givenName" in items[old]) is has_all
    assert items[new]["givenName"] == "C"


def test_changes_can_lag_behind_by_the_clock_and_by_hand(sim, graph, folder):
    sim.clock(freeze=True)
    sim.set(delta_lag_seconds=60)
    _, link = delta(graph, f"{folder}/contacts/delta")
    (first,) = add(graph, folder, "A")
    items, link = delta(graph, link)
    assert items == []
    sim.clock(advance_seconds=61)
    items, link = delta(graph, link)
    assert [item["id"] for item in items] == [first]
    sim.set(delta_lag_seconds=0)
    sim.control("POST", "graph/hold-delta", {"mailbox": MAILBOX})
    (second,) = add(graph, folder, "B")
    items, link = delta(graph, link)
    assert items == []
    sim.control("POST", "graph/hold-delta", {"mailbox": MAILBOX, "hold": False})
    assert [item["id"] for item in delta(graph, link)[0]] == [second]


def test_rounds_can_be_disorderly(sim, graph, folder):
    ids = add(graph, folder, *"ABCDEFGHIJ")
    graph.ok("DELETE", f"{graph.user}/contacts/{ids[0]}")
    sim.set(delta_duplicates=1.0, delta_empty_pages=1.0, delta_removed_in_first_round=True)
    pages = graph.pages(f"{folder}/contacts/delta", **FIXED)
    assert pages[0]["value"] == []
    items = [item for page in pages for item in page["value"]]
    assert sorted(item["id"] for item in items) == sorted(ids * 2)
    assert removed(items) == {ids[0]}
    order = [item["id"] for item in items if "@removed" not in item]
    assert order != [i for i in ids if i in order] * 2


def test_own_writes_come_back(graph, folder):
    (contact,) = add(graph, folder, "A")
    _, link = delta(graph, f"{folder}/contacts/delta")
    written = graph.ok("PATCH", f"{graph.user}/contacts/{contact}", {"jobTitle": "x"})
    assert delta(graph, link)[0][0]["changeKey"] == written["changeKey"]


def test_the_default_folder_has_a_delta_too(graph):
    made = graph.ok("POST", f"{graph.user}/contacts", {"givenName": "A"}, **FIXED)
    for url in (f"{graph.user}/contacts/delta", f"{graph.user}/contactFolders/contacts/contacts/delta()"):
        assert [item["id"] for item in delta(graph, url)[0]] == [made["id"]]
