"""The control plane, the seeded world, state files and the command."""

from __future__ import annotations

import json
import logging
import stat
import subprocess
import sys

import pytest
import requests

from sandbox import Sandbox
from sandbox.__main__ import parse_arguments

MAILBOX = "sanne@voorbeeld.example"


def test_info_is_enough_to_begin(sim):
    info = requests.get(f"{sim.base_url}/__sim/info", timeout=20).json()
    assert info == sim.info()
    headers = {"Authorization": f"Bearer {info['user_tokens']['graph']}"}
    user = info["mailboxes"][0]["user_principal_name"]
    assert requests.get(f"{info['graph_root']}/users/{user}/contacts", headers=headers, timeout=20).ok


@pytest.mark.parametrize("read_only", ["ignore", "400"])
def test_a_dump_makes_the_same_world_again(sim, graph, bc, read_only):
    sim.set(graph_readonly_in_patch=read_only)
    folder = graph.folder()
    made = graph.ok(
        "POST", f"{folder}/contacts", {"givenName": "A", "emailAddresses": [{"address": "a@x.example"}]}
    )
    graph.ok("POST", f"{graph.user}/contacts", {"givenName": "B"})
    doomed = graph.ok("POST", f"{folder}/contacts", {"givenName": "X"})
    earlier = graph.ok("GET", f"{folder}/contacts/delta")["@odata.deltaLink"]
    graph.ok("DELETE", f"{folder}/contacts/{doomed['id']}")
    link = graph.ok("GET", earlier)["@odata.deltaLink"]
    row = bc.ok("POST", f"{bc.company}/contacts", {"type": "Person", "displayName": "Jan"})
    dump = sim.dump()
    sim.reset(world=dump)
    assert sim.dump() == dump
    assert graph.ok("GET", f"{folder}/contacts/{made['id']}")["changeKey"] == made["changeKey"]
    assert bc.ok("GET", f"{bc.company}/contacts({row['id']})") == row
    assert graph.ok("GET", link)["value"] == []
    assert [item["id"] for item in graph.ok("GET", earlier)["value"]] == [doomed["id"]]
    graph.ok("POST", f"{folder}/contacts", {"givenName": "C"})
    assert [item["givenName"] for item in graph.ok("GET", link)["value"]] == ["C"]


def test_a_small_world_needs_few_words(sim):
    world = {
        "companies": [{"name": "A", "contacts": [{"displayName": "Jan van Dam", "email": "j@a.example"}]}],
        "mailboxes": [
            {
                "user_principal_name": MAILBOX,
                "folders": [
                    {
                        "name": "Business Central",
                        "contacts": [{"givenName": "Jan", "extended": {"String 0x3001": "x"}}],
                    }
                ],
            }
        ],
    }
    sim.reset(world=world)
    dump = sim.dump()
    contact = dump["companies"][0]["contacts"][0]
    assert (contact["type"], contact["surname"], contact["number"]) == ("Person", "Dam", "CT000001")
    folders = {f["name"]: f for f in dump["mailboxes"][0]["folders"]}
    assert folders["Business Central"]["contacts"][0]["extended"] == {"String 0x3001": "x"}
    assert folders["Business Central"]["parent_id"] == folders["Contacts"]["id"]


def test_counters_keep_apps_users_and_writes_apart(sim, graph, graph_user, bc):
    made = graph.ok("POST", f"{graph.user}/contacts", {"givenName": "A"})
    graph_user.ok("PATCH", f"{graph.user}/contacts/{made['id']}", {"givenName": "B"})
    graph.ok("DELETE", f"{graph.user}/contacts/{made['id']}")
    bc.get(f"{bc.company}/contacts")
    counted = sim.counters()
    mine = counted["app"]["graph"]
    assert (mine["requests"], mine["operations"], mine["writes"]) == (2, 2, 2)
    assert (mine["contacts_created"], mine["contacts_updated"], mine["contacts_deleted"]) == (1, 0, 1)
    assert mine["mailboxes"][MAILBOX]["writes"] == 2
    assert mine["paths"] == {"POST /users/{user}/contacts": 1, "DELETE /users/{user}/contacts/{contact}": 1}
    assert counted["user"]["graph"]["mailboxes"][MAILBOX]["contacts_updated"] == 1
    company = sim.info()["companies"][0]["id"]
    assert counted["app"]["bc"]["companies"][company]["requests"] == 1
    assert counted["app"]["bc"]["writes"] == 0
    assert counted["app"]["bc"]["paths"] == {"GET /companies({company})/contacts": 1}
    log = sim.control("GET", "requests?path=contacts")["requests"]
    assert [(item["identity"], item["method"]) for item in log] == [
        ("app", "POST"),
        ("user", "PATCH"),
        ("app", "DELETE"),
        ("app", "GET"),
    ]
    sim.reset_counters()
    assert sim.counters()["app"]["graph"]["requests"] == 0


def test_a_refused_write_is_not_counted_as_one(sim, graph, bc):
    graph.refused("POST", f"{graph.user}/contacts", {"nonsense": 1})
    bc.refused("POST", f"{bc.company}/contacts", {})
    assert sim.counters()["app"]["graph"]["writes"] == sim.counters()["app"]["bc"]["writes"] == 0
    assert sim.counters()["app"]["bc"]["by_status"] == {"400": 1}


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("switches", {"graph_if_match": "maybe"}),
        ("switches", {"no_such": 1}),
        ("clock", {"set": "yesterday"}),
        ("graph/mailbox", {"mailbox": "nobody@x.example"}),
        ("graph/mailbox", {"mailbox": MAILBOX, "state": "odd"}),
        ("graph/move", {"mailbox": MAILBOX, "contact": "x", "to": "Contacts"}),
        ("bc/company", {"company": "none", "state": "normal"}),
        ("bc/set", {"contacts": [{"nonsense": 1}]}),
        ("save", {}),
        ("nonsense", {}),
    ],
)
def test_refusals_of_the_control_plane_say_why(sim, path, body):
    response = requests.post(f"{sim.base_url}/__sim/{path}", json=body, timeout=20)
    assert response.status_code in (400, 404)
    assert response.json()["error"]


def test_a_wrong_setting_changes_nothing(sim):
    before = sim.control("GET", "switches")
    with pytest.raises(ValueError, match="SettingsError"):
        sim.control("POST", "switches", {"graph_if_match": "ignore", "no_such": 1})
    assert sim.control("GET", "switches") == before


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("graph_concurrency", "off", None),
        ("graph_concurrency", "2", 2),
        ("delta_shuffle", "false", False),
        ("delta_shuffle", "true", True),
        ("retry_after", "none", "none"),
        ("bc_stale_status", "412", "412"),
    ],
)
def test_settings_can_be_given_as_text(sim, name, text, value):
    sim.set(**{name: text})
    groups = sim.control("GET", "switches").values()
    assert [group[name] for group in groups if name in group] == [value]


def test_a_mailbox_can_be_added(sim, graph):
    sim.control("POST", "graph/mailbox", {"mailbox": "nieuw@voorbeeld.example", "create": True})
    assert graph.get(f"{graph.graph}/users/nieuw@voorbeeld.example/contacts").status_code == 200


def test_the_log_holds_no_values_and_no_tokens(sim, graph, caplog):
    caplog.set_level(logging.DEBUG)
    graph.ok("POST", f"{graph.user}/contacts", {"givenName": "Geheim"})
    graph.get(f"{graph.user}/contacts?$filter=emailAddresses/any(a:a/address eq 'geheim@x.example')")
    sent = graph.session.headers["Authorization"].split()[1]
    text = "\n".join(
        record.getMessage() for record in caplog.records if record.name.startswith(("sandbox", "aiohttp"))
    )
    assert "/contacts" in text
    assert "geheim" not in text.lower()
    assert sent not in text


# The seeded world


@pytest.fixture(scope="module")
def seeded():
    with Sandbox() as sim:
        yield sim


def test_the_seeded_world_is_always_the_same(seeded):
    assert seeded.dump() == seeded.dump()
    with Sandbox() as twin, Sandbox(size={"seed": 2}) as other:
        first = json.dumps(seeded.dump(), sort_keys=True)
        assert json.dumps(twin.dump(), sort_keys=True) == first
        assert json.dumps(other.dump(), sort_keys=True) != first


def test_the_seeded_world_holds_what_real_ones_hold(seeded):
    dump = seeded.dump()
    main = dump["companies"][0]
    persons = [row for row in main["contacts"] if row["type"] == "Person"]
    emails = [row["email"] for row in persons]
    assert len(main["contacts"]) == 300
    assert len(main["salespeople"]) == 4
    assert len(dump["companies"]) == 2
    assert len(set(emails)) < len(emails)
    assert "" in emails
    assert any(";" in email for email in emails)
    assert any(email and "@" not in email for email in emails)
    assert any(row["privacyBlocked"] for row in persons)
    assert {"van der", "'t", "de"} <= {row["middleName"] for row in persons}
    assert any(not row["displayName"].isascii() for row in persons)
    assert {m["state"] for m in dump["mailboxes"]} == {"normal", "no_mailbox", "policy_denied"}
    hand_made = [f for m in dump["mailboxes"] for f in m["folders"] if f["name"] == "Business Central"]
    names = [c["properties"]["displayName"] for c in hand_made[0]["contacts"]]
    assert len(set(names)) < len(names)
    shared = {
        e["address"] for c in hand_made[0]["contacts"] for e in c["properties"]["emailAddresses"]
    } & set(emails)
    assert shared


def test_all_seeded_domains_are_reserved(seeded):
    text = json.dumps(seeded.dump())
    domains = {part.split('"')[0].split(";")[0].split(" ")[0] for part in text.split("@")[1:]}
    assert {
        d for d in domains if d and not d.startswith("odata") and not d.lower().endswith(".example")
    } == set()


def test_mailboxes_of_big_worlds_are_filled_when_touched():
    with Sandbox(size={"contacts": 50, "mailboxes": 300, "per_mailbox": 500}) as sim:
        untouched = sim.call(lambda world: sum(m.fill is not None for m in world.mailboxes.values()))
        assert untouched == 294
        name = sim.info()["mailboxes"][250]["user_principal_name"]
        assert sim.call(lambda world: len(world.mailbox(name).contacts)) == 500


# The command


def test_the_command_keeps_its_state(tmp_path):
    state = tmp_path / "world.json"

    def start():
        command = [sys.executable, "-m", "sandbox", "--port", "0", "--contacts", "30", "--state", str(state)]
        command += ["--switch", "graph_if_match=ignore", "--quiet"]
        process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        return process, process.stderr.readline().split(" answers at ")[1].split(";")[0]

    def stop(process):
        process.terminate()
        process.stderr.close()
        assert process.wait(20) == 0

    process, base = start()
    info = requests.get(f"{base}/__sim/info", timeout=20).json()
    headers = {"Authorization": f"Bearer {info['user_tokens']['graph']}"}
    path = f"users/{info['mailboxes'][0]['user_principal_name']}/contacts"
    made = requests.post(
        f"{info['graph_root']}/{path}", json={"givenName": "A"}, headers=headers, timeout=20
    ).json()
    assert requests.get(f"{base}/__sim/switches", timeout=20).json()["switches"]["graph_if_match"] == "ignore"
    assert requests.post(f"{base}/__sim/save", timeout=20).ok
    # O8: it holds contacts and secrets.
    assert stat.S_IMODE(state.stat().st_mode) == 0o600
    stop(process)
    process, base = start()
    again = requests.get(f"{base}/graph/v1.0/{path}/{made['id']}", headers=headers, timeout=20).json()
    stop(process)
    assert again["changeKey"] == made["changeKey"]


def test_options_of_the_command():
    options = parse_arguments(["--mailboxes", "9", "--per-mailbox", "3", "--latency-ms", "20"])
    assert (options.mailboxes, options.per_mailbox, options.latency_ms, options.port) == (9, 3, 20, 8765)
