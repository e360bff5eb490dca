"""What services and networks answer oddly, in whole runs: other roots, two spellings of a folder, proxies."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import Any

import pytest
import requests
from requests.adapters import HTTPAdapter
from sqlalchemy import update

from sync_lib.errors import InterceptedError
from sync_lib.store import tables as t
from tests.sync.harness import FOLDER, Harness, person, world

ANNA, BRAM = "anna@voorbeeld.example", "bram@voorbeeld.example"


@pytest.fixture
def database_kind() -> str:
    """One database is enough here: all of it is about what the services answer."""
    return "sqlite"


@pytest.fixture
def synced(make_harness) -> Harness:
    h = make_harness(world(person("Jan Jansen"), person("Piet Pieters"), mailboxes=[ANNA, BRAM]))
    h.add_profiles(ANNA, BRAM)
    assert h.full().writes == {"created_outlook": 4}
    return h


# -- R14: the root has changed ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "link", ["https://graph.microsoft.us/v1.0/users/u/delta?$deltatoken=a", "nonsense", "/v1.0/x"]
)
def test_a_delta_link_of_another_root_makes_that_profile_read_in_full(synced, link, caplog):
    """R14: an edit made meanwhile is seen in that very run, and the next one is incremental again."""
    h = synced
    h.edit_item("Jan Jansen", ANNA, jobTitle="Inkoper")
    with h.edges.engine.begin() as conn:
        chosen = (t.cursor.c.side == "outlook") & (t.cursor.c.scope == 1)
        conn.execute(update(t.cursor).where(chosen).values(position=link))
    with caplog.at_level(logging.WARNING):
        ran = h.run()
    assert ran.errors == []
    assert ran.writes == {"updated_business_central": 1, "updated_outlook": 1}
    assert h.contacts()["Jan Jansen"]["jobTitle"] == "Inkoper"
    assert "api_root_changed" in caplog.text
    caplog.clear()
    h.sim.reset_counters()
    assert h.run().writes == {}
    assert "api_root_changed" not in caplog.text


# -- R13: look-ups by key, and where an item lies ---------------------------------------------------------------------


@pytest.mark.parametrize("filtered", ["expand", "omit"])
@pytest.mark.parametrize("scope", ["folder", "mailbox"])
@pytest.mark.parametrize("parent", ["same", "items", "all"])
def test_a_create_whose_answer_is_lost_is_found_again_by_its_key(synced, filtered, scope, parent):
    """R13: whatever the look-up leaves out, the item is coupled with, and there is one of it."""
    h = synced
    h.sim.set(graph_filtered_property=filtered, graph_filter_scope=scope, graph_parent_id=parent)
    h.edges = h.open()
    h.add_contact("Kees Kok")
    h.sim.add_fault(name="F4", service="graph", mailbox=ANNA, path="/contacts$", part=True)
    assert h.run().errors == []
    h.run()
    for mailbox in (ANNA, BRAM):
        assert sorted(h.items(mailbox)) == ["Jan Jansen", "Kees Kok", "Piet Pieters"]
        assert len(in_mailbox(h, mailbox, "Kees Kok")) == 1
    assert h.run().writes == {}


def test_look_ups_that_begin_to_leave_the_property_out(synced):
    """R13: in the middle of a run, at the very look-up of a create whose answer was lost."""
    h = synced
    h.add_contact("Kees Kok")
    h.sim.add_fault(name="F4", service="graph", mailbox=ANNA, path="/contacts$", part=True)
    looser = h.sim.add_fault(name="F28")
    assert h.run().errors == []
    assert looser.fired
    h.run()
    assert len(in_mailbox(h, ANNA, "Kees Kok")) == 1
    assert h.run().writes == {}


def test_a_key_in_deleted_items_is_no_item_of_the_folder(synced):
    """R13: a create that is looked up is not taken for the item that its user deleted before."""
    h = synced
    h.sim.set(graph_filtered_property="omit", graph_filter_scope="mailbox")
    h.delete_item("Jan Jansen", ANNA)
    h.sim.add_fault(
        name="F6", kind="status", status=504, service="graph", method="POST", path="/contacts$", part=True
    )
    h.run()
    h.run()
    h.edges.settings = replace(h.edges.settings, longest_request=0.0)
    h.run()
    assert sorted(h.items(ANNA)) == ["Jan Jansen", "Piet Pieters"]
    assert len(in_mailbox(h, ANNA, "Jan Jansen")) == 2
    assert h.run().writes == {}


@pytest.mark.parametrize("parent", ["items", "all"])
def test_a_folder_whose_id_is_spelled_in_two_ways_is_one_folder(synced, parent):
    """R13: nothing is taken for moved away, and what is moved away is made again."""
    h = synced
    h.sim.set(graph_parent_id=parent)
    h.settings = replace(h.settings, map_quiet=True)
    h.edges = h.open()
    assert (h.full().writes, h.run().writes) == ({}, {})
    moved = h.items(ANNA)["Jan Jansen"]["id"]
    h.sim.control("POST", "graph/move", {"mailbox": ANNA, "contact": moved, "to": "Contacts"})
    h.sim.control("POST", "graph/move", {"mailbox": ANNA, "contact": moved, "to": FOLDER})
    assert h.run().writes == {}, "it left and came back"
    h.edit_item("Piet Pieters", ANNA, jobTitle="Inkoper")
    h.sim.control("POST", "graph/move", {"mailbox": ANNA, "contact": moved, "to": "Contacts"})
    assert h.run().writes == {"created_outlook": 1, "updated_business_central": 1, "updated_outlook": 1}
    assert (h.full().writes, sorted(h.items(ANNA))) == ({}, ["Jan Jansen", "Piet Pieters"])
    assert [folder["name"] for folder in h.mailbox(ANNA)["folders"] if not folder["well_known"]] == [FOLDER]


@pytest.mark.parametrize("parent", ["items", "all"])
def test_a_new_worker_that_settles_a_write_first_knows_the_folder_in_either_spelling(synced, parent):
    """R13: it looks items up before it has read anything of the folder; none of them has moved away."""
    h = synced
    h.sim.set(graph_parent_id=parent)
    h.settings = replace(h.settings, map_quiet=True)
    h.edges = h.open()
    h.edit_item("Jan Jansen", ANNA, jobTitle="Inkoper")
    lost = h.sim.add_fault(name="F4", service="bc", method="PATCH", moment="before", count=None)
    h.run()
    assert lost.fired
    h.sim.clear_faults()
    h.edges = h.open()
    assert h.run().writes == {"updated_business_central": 1, "updated_outlook": 1}
    for mailbox in (ANNA, BRAM):
        assert len(in_mailbox(h, mailbox, "Jan Jansen")) == 1
    assert (h.full().writes, h.run().writes) == ({}, {})


def in_mailbox(h: Harness, mailbox: str, name: str) -> list[Any]:
    folders = h.mailbox(mailbox)["folders"]
    return [item for f in folders for item in f["contacts"] if item["properties"].get("displayName") == name]


# -- R7: national clouds ----------------------------------------------------------------------------------------------


AUTHORITY = "https://login.microsoftonline.us"


class Cloud(HTTPAdapter):
    """Leads the addresses of a national cloud to the sandbox, as a gateway would, and shows what was asked for."""

    def __init__(self, sim: Any) -> None:
        super().__init__()
        self.base = sim.info()["base_url"]

    def send(self, request: Any, *args: Any, **options: Any) -> Any:
        host = requests.utils.urlparse(request.url).netloc
        request.url = request.url.replace(f"https://{host}", self.base)
        request.headers["Host"] = host
        request.headers["X-Forwarded-Proto"] = "https"
        return super().send(request, *args, **options)


ROOTS = {
    "graph_settings": "https://graph.microsoft.us/graph/v1.0",
    "business_central_settings": "https://api.businesscentral.dynamics.us/bc/v2.0",
}


def in_cloud(h: Harness, monkeypatch, **more: Any) -> None:
    adapter, real = Cloud(h.sim), requests.Session

    def session() -> requests.Session:
        made = real()
        for address in (*ROOTS.values(), AUTHORITY):
            made.mount("https://" + address.split("/")[2], adapter)
        return made

    monkeypatch.setattr(requests, "Session", session)
    for name, root in ROOTS.items():
        setattr(h.edges, name, replace(getattr(h.edges, name), root=root, authority=AUTHORITY, **more))


@pytest.mark.sockets
def test_a_national_cloud_takes_tokens_of_its_own(make_harness, monkeypatch):
    """R7: both services, from the roots of the Connections alone."""
    h = make_harness(world(person("Jan Jansen"), mailboxes=[ANNA]))
    h.add_profiles(ANNA)
    in_cloud(h, monkeypatch)
    assert h.full().writes == {"created_outlook": 1}
    h.edit_contact("Jan Jansen", jobTitle="Inkoper")
    assert h.run().writes == {"updated_outlook": 1}


@pytest.mark.sockets
def test_a_token_for_another_cloud_is_refused_with_a_remedy(make_harness, monkeypatch):
    """R7: the audience of the extra wins, right or wrong."""
    h = make_harness(world(person("Jan Jansen"), mailboxes=[ANNA]))
    h.add_profiles(ANNA)
    in_cloud(h, monkeypatch, audience="https://graph.microsoft.com")
    with pytest.raises(Exception, match="one cloud"):
        h.full()


# -- R8: proxies ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [200, 302, 403, 404, 407, 511])
def test_a_page_of_a_proxy_says_nothing_about_the_mailbox(synced, status):
    """R8: the profile fails with what lies between; nothing is written, made again or taken for gone."""
    h = synced
    h.edit_contact("Jan Jansen", jobTitle="Inkoper")
    fault = (
        {"status": status, "headers": {"Location": "https://proxy.example/"}}
        if status == 302
        else {"status": status}
    )
    h.sim.add_fault(name="F27", service="graph", mailbox=ANNA, count=None, **fault)
    ran = h.run()
    found = ran.profile(ANNA)
    assert (found.state, found.reason) == ("failed", "InterceptedError")
    assert "proxy" in found.message.lower()
    assert "licence" not in found.message
    assert "policy" not in found.message
    assert ran.profile(BRAM).state == "done"
    h.sim.clear_faults()
    assert h.run().writes == {"updated_outlook": 1}


@pytest.mark.parametrize("path", ["openid-configuration", "oauth2/v2.0/token"])
@pytest.mark.parametrize("status", [200, 307, 403, 407, 502, 511])
def test_a_page_in_place_of_entra_id_is_reported_as_such(synced, status, path):
    """R8: and the secret goes nowhere else."""
    h = synced
    headers = {"Location": "http://localhost:9/"} if status == 307 else {}
    h.sim.add_fault(name="F27", service="entra", path=path, status=status, headers=headers, count=None)
    edges = h.open()
    with pytest.raises(Exception, match=r"(?i)proxy") as caught:
        edges.outlook.fetch_user_id(ANNA)
    edges.close()
    assert status == 502 or isinstance(caught.value, InterceptedError)
    assert edges.graph_settings.client_secret not in str(caught.value)


# -- how long a service may make everybody wait -----------------------------------------------------------------------


@pytest.mark.parametrize("asked", [86_400, "1e15", "date+31536000"])
@pytest.mark.parametrize("service", ["bc", "graph"])
def test_no_answer_stops_the_sync_for_longer_than_minutes(make_harness, service, asked):
    h = make_harness(world(person("Jan Jansen")), transport="in_process")
    h.add_profiles()
    h.full()
    h.sim.add_fault(service=service, kind="status", status=503, count=1, moment="before", retry_after=asked)
    h.edit_contact("Jan Jansen", jobTitle="Chef")
    h.run()
    before = h.sim.time.time()
    h.run()
    assert h.sim.time.time() - before < 310
    assert h.items()["Jan Jansen"]["jobTitle"] == "Chef"
