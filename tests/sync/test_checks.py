"""Rules S6: the self-test names each thing that is wrong, and how to fix it; what it finds out is used."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import update

from sync_lib import pipeline
from sync_lib.errors import ProfileError
from sync_lib.operate.checks import Check, check_connections
from sync_lib.store import runs
from sync_lib.store import tables as t
from sync_lib.store.engine import read
from sync_lib.store.leases import acquire_lease
from tests.sync.harness import Harness, person, world

ANNA = "anna@voorbeeld.example"


@pytest.fixture
def database_kind() -> str:
    """One database is enough here: the self-test asks the services."""
    return "sqlite"


@pytest.fixture
def synced(make_harness) -> Harness:
    h = make_harness(world(person("Jan Jansen"), mailboxes=[ANNA, "bram@voorbeeld.example"]))
    h.add_profiles()
    assert h.full().writes == {"created_outlook": 1}
    return h


def check(h: Harness) -> list[Check]:
    edges = h.open()
    try:
        return check_connections(edges)
    finally:
        edges.close()


def wrong(h: Harness) -> dict[str, Check]:
    return {each.name: each for each in check(h) if not (each.ok or each.unknown)}


def grant(h: Harness, **roles: list[str]) -> None:
    h.sim.control("POST", "entra/app", roles)


def fact(h: Harness) -> str | None:
    with read(h.edges.engine) as conn:
        return runs.read_fact(conn, h.edges.graph_settings.tenant_id, "graph_if_match")


@pytest.mark.sockets
def test_what_test_connection_asks(synced):
    edges = synced.edges
    said = pipeline.check_business_central(edges.business_central_settings)
    assert said == "Business Central answers: the app sees 1 companies in Production."
    assert "Contacts.ReadWrite" in pipeline.check_graph(edges.graph_settings)
    assert pipeline.check_staging(edges.staging_settings) == "The staging database answers (SQLite)."


@pytest.mark.sockets
def test_test_connection_says_what_is_wrong(synced):
    grant(synced, graph_roles=["User.ReadBasic.All", "Mail.Read"])
    assert "Contacts.ReadWrite is not in the token" in pipeline.check_graph(synced.edges.graph_settings)
    grant(synced, graph_roles=["Contacts.ReadWrite"])
    with pytest.raises(ProfileError, match="The app lacks User"):
        pipeline.check_graph(synced.edges.graph_settings)


def test_all_is_well(synced):
    synced.sim.reset_counters()
    found = check(synced)
    assert [each for each in found if not each.ok] == []
    lines = "\n".join(f"{each.name}: {each.detail}" for each in found)
    for part in (
        "staging database",
        "token for Microsoft Graph",
        "Business Central",
        "1: Molenzicht BV",
        "filter",
        "mailbox",
    ):
        assert part in lines
    assert all(each.detail.endswith((".", "All")) for each in found)


@pytest.mark.parametrize(
    ("settings", "service"),
    [("graph_settings", "Microsoft Graph"), ("business_central_settings", "Business Central")],
)
def test_a_wrong_secret_is_named_by_its_service(synced, settings, service):
    setattr(synced.edges, settings, replace(getattr(synced.edges, settings), client_secret="wrong"))
    found = {each.name: each for each in check_connections(synced.edges) if not each.ok}
    assert set(found) == {f"token for {service}"}
    one = found[f"token for {service}"]
    assert "secret" in one.remedy
    assert "wrong" not in one.detail


@pytest.mark.parametrize(
    ("roles", "name", "lacks"),
    [
        ({"graph_roles": ["Contacts.ReadWrite"]}, "permissions in Microsoft Graph", "User.ReadBasic.All"),
        ({"bc_roles": []}, "permissions in Business Central", "API.ReadWrite.All"),
    ],
)
def test_a_missing_permission_is_named_with_its_remedy(synced, roles, name, lacks):
    grant(synced, **roles)
    found = wrong(synced)
    assert lacks in found[name].detail
    assert "Grant" in found[name].remedy


def test_no_permission_on_contacts_is_wrong_where_no_mailbox_opens(synced):
    grant(synced, graph_roles=["User.Read.All"])
    found = wrong(synced)
    assert "Contacts.ReadWrite" in found["permissions in Microsoft Graph"].detail


def test_a_surplus_permission_is_named_and_hides_nothing_else(synced):
    grant(synced, graph_roles=["Contacts.ReadWrite", "User.Read.All", "Mail.ReadWrite"])
    synced.add_profiles("niemand@voorbeeld.example")
    found = wrong(synced)
    surplus = found["permissions in Microsoft Graph"]
    assert "Mail.ReadWrite" in surplus.detail
    assert "Contacts" not in surplus.detail
    assert "Remove" in surplus.remedy
    assert any("niemand@" in name for name in found)


@pytest.mark.parametrize(
    ("state", "reason", "remedy"),
    [("no_mailbox", "no mailbox", "licence"), ("policy_denied", "may not open", "policy")],
)
def test_a_mailbox_that_does_not_open_is_named_with_its_remedy(synced, state, reason, remedy):
    synced.sim.control("POST", "graph/mailbox", {"mailbox": ANNA, "state": state})
    (one,) = (each for name, each in wrong(synced).items() if name.endswith("mailbox"))
    assert ANNA in one.name
    assert reason in one.detail
    assert remedy in one.remedy


def test_an_unknown_mailbox_is_named(synced):
    synced.add_profiles("niemand@voorbeeld.example")
    (one,) = wrong(synced).values()
    assert "niemand@voorbeeld.example" in one.detail
    assert "mailbox" in one.remedy


def test_a_wrong_filter_and_an_unknown_company_are_named(synced):
    synced.add_profiles("bram@voorbeeld.example", company="Bestaat niet")
    with synced.edges.engine.begin() as conn:
        conn.execute(update(t.sync_profile).where(t.sync_profile.c.id == 1).values(filter='[["City", "(a"]]'))
    found = wrong(synced)
    assert {name.rpartition(": ")[2] for name in found} == {"filter", "company"}
    lines = {name.rpartition(": ")[2]: each for name, each in found.items()}
    assert "City" in lines["filter"].detail
    assert "filter" in lines["filter"].remedy
    assert "Molenzicht BV" in lines["company"].detail, "those that there are"
    assert "company" in lines["company"].remedy


def test_a_company_that_is_closed_to_the_app_is_named(synced):
    synced.sim.control("POST", "bc/company", {"state": "forbidden"})
    found = wrong(synced)
    assert found
    assert all(each.remedy for each in found.values())
    assert "company_access_denied" in {each.reason for each in found.values()}


def test_a_folder_of_somebody_else_is_named(synced):
    synced.sim.control("POST", "graph/mailbox", {"mailbox": "cato@voorbeeld.example", "create": True})
    synced.add_profiles(folder="Anders")
    folder = synced.folder_id()
    with synced.edges.engine.begin() as conn:
        conn.execute(
            update(t.sync_profile).where(t.sync_profile.c.id == 2).values(folder_name="Business central")
        )
    with synced.edges.engine.begin() as conn:
        conn.execute(update(t.sync_profile).where(t.sync_profile.c.id == 1).values(folder_id=folder + "x"))
    found = wrong(synced)
    assert all(each.remedy for each in found.values())


# -- If-Match --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("noop", ["bump", "keep"])
@pytest.mark.parametrize(("switch", "answer"), [("enforce", "enforced"), ("ignore", "ignored")])
def test_whether_graph_enforces_if_match_is_found_out_and_used(synced, switch, answer, noop):
    """R6: with a version that the item had, whether or not a write that changes nothing makes a new one."""
    h = synced
    h.sim.set(graph_if_match=switch, graph_noop_patch=noop)
    before = h.items()["Jan Jansen"]
    found = {each.name: each for each in check(h)}
    assert found["Graph enforces If-Match for contacts"].ok
    assert fact(h) == answer
    moved = {"lastModifiedDateTime", "changeKey", "@odata.etag"}
    after = h.items()["Jan Jansen"]
    assert {name: after[name] for name in after.keys() - moved} == {
        name: before[name] for name in before.keys() - moved
    }
    h.run()
    h.edit_contact("Jan Jansen", jobTitle="Inkoper")
    h.sim.reset_counters()
    assert h.run().writes == {"updated_outlook": 1}
    reads = h.sim.counters()["app"]["graph"]["requests"]
    # One delta, one batch for the folder's marker, one for the write; and the read before it.
    assert reads == (3 if answer == "enforced" else 4)
    assert h.run().writes == {}


def test_without_a_synced_contact_it_is_not_known_yet(make_harness):
    h = make_harness(world(person("Jan Jansen")))
    h.add_profiles()
    (one,) = (each for each in check(h) if "If-Match" in each.name)
    assert (one.ok, one.unknown) == (False, True), "P8: not known is not ok"
    assert "not known yet" in one.detail
    assert fact(h) is None
    sent: dict[str, Any] = h.sim.counters()["app"]["graph"]
    assert sent["writes"] == 0


def if_match(h: Harness) -> Check:
    (one,) = (each for each in check(h) if each.kind == "if_match")
    return one


def versions(h: Harness) -> dict[str, str]:
    listed = h.in_outlook("GET", f"contactFolders/{h.folder_id()}/contacts?$top=50")["value"]
    return {item["displayName"]: item["@odata.etag"] for item in listed}


@pytest.mark.parametrize("noop", ["bump", "keep"])
def test_the_self_test_makes_no_item_look_edited(make_harness, noop):
    """R6: what we wrote for the test is no edit of its owner: the item goes with its contact (rules 7.2)."""
    h = make_harness(world(*(person(f"Jan Jansen {letter}") for letter in "ABCD"), mailboxes=[ANNA]))
    h.sim.set(graph_noop_patch=noop)
    h.add_profiles()
    h.full()
    before = versions(h)
    assert if_match(h).ok
    (asked,) = (name for name, version in versions(h).items() if version != before[name])
    h.delete_contact(asked)
    assert h.run().writes == {"deleted_outlook": 1}


def test_an_edit_of_the_owner_goes_on_looking_like_one(synced):
    """R6: also if the self-test writes to that item before the edit was read."""
    h = synced
    for name in ("Kees Kok", "Piet Pieters"):
        h.add_contact(name)
    h.run()
    for name in h.items():
        h.edit_item(name, personalNotes="Belt graag terug")
    before = versions(h)
    assert if_match(h).ok
    (asked,) = (name for name, version in versions(h).items() if version != before[name])
    h.delete_contact(asked)
    assert h.run().writes == {}
    assert len(h.items()) == 3


@pytest.mark.parametrize("nth", [1, 2])
def test_a_version_that_is_taken_for_malformed_says_nothing(synced, nth):
    """R6, P8: neither a tick nor a cross, with what there is to do."""
    h = synced
    h.sim.add_fault(name="F29", part=True, nth=nth)
    one = if_match(h)
    assert (one.ok, one.unknown) == (False, True)
    assert "ErrorInvalidChangeKey" in one.detail
    assert one.remedy
    assert fact(h) is None


def test_an_item_that_is_gone_gives_way_to_another_profile(make_harness):
    """P8: a profile without an item that will do is no reason to say that nobody has one."""
    h = make_harness(world(person("Jan Jansen"), mailboxes=[ANNA, "bram@voorbeeld.example"]))
    h.add_profiles(ANNA, "bram@voorbeeld.example")
    h.full()
    item = h.items(ANNA)["Jan Jansen"]["id"]
    h.sim.control("POST", "graph/purge", {"mailbox": ANNA, "contact": item})
    assert if_match(h).ok
    assert fact(h) == "enforced"


def test_a_profile_that_another_task_works_on_is_left_alone(synced):
    """P8: and the line does not say that there is none."""
    h = synced
    lease = acquire_lease(h.edges.engine, "profile:1", "another worker", 60)
    assert lease
    one = if_match(h)
    assert one.unknown
    assert "not known" in one.detail
    assert "none of the profiles" not in one.detail


def test_writes_that_are_off_are_off_for_the_self_test(synced):
    """P8: the line says why it is not known (rules 8.8c)."""
    synced.settings = replace(synced.settings, writes=False)
    one = if_match(synced)
    assert one.unknown
    assert "CONTACT_SYNC_WRITES" in one.detail


def test_an_app_that_sees_no_company_is_reported(make_harness):
    """P8: "the app sees 0" had a tick."""
    h = make_harness(world(person("Jan Jansen"), mailboxes=[ANNA]))
    h.add_profiles()
    h.sim.control("POST", "bc/company", {"state": "missing"})
    one = wrong(h)["companies in Business Central"]
    assert "no company" in one.detail
    assert one.remedy


def test_a_company_that_is_not_listed_is_reported_beside_those_that_are(make_harness):
    """P3: a slip of the pen is seen at once."""
    h = make_harness(world(person("Jan Jansen")))
    h.add_profiles(company="Molenzigt BV")
    (found,) = (each for each in check(h) if each.kind == "company")
    assert (found.ok, found.reason, found.detail) == (
        False,
        "company_not_found",
        "Business Central lists: Molenzicht BV.",
    )
