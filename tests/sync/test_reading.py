"""Rules 5: what is read, and that neither a gap nor a fault in a read ever deletes, doubles or undoes anything."""

from __future__ import annotations

import random
from typing import Any

import pytest
from sqlalchemy import select, update

from sync_lib.store import tables as t
from sync_lib.store.engine import read
from tests.sync.harness import FOLDER, Harness, person, settled, world

ANNA = "anna@voorbeeld.example"


@pytest.fixture
def database_kind() -> str:
    """One database is enough here: where the two differ is tested with the store."""
    return "sqlite"


def people(count: int, **fields: object) -> list[dict]:
    return [person(f"Persoon {n:03}", f"p{n}@klant.example", **fields) for n in range(count)]


def email(address: str) -> list[dict[str, str]]:
    return [{"address": address, "name": "x"}]


@pytest.fixture
def make(make_harness) -> Any:
    def made(count: int = 4, **settings: Any) -> Harness:
        h = make_harness(world(*people(count)), **settings)
        h.add_profiles()
        assert h.full().writes == {"created_outlook": count}
        h.run()
        return h

    return made


def scanned_long_ago(h: Harness, never: bool = False) -> None:
    """Make the id scan due, or not."""
    at = "2999-01-01T00:00:00.000Z" if never else "2020-01-01T00:00:00.000Z"
    with h.edges.engine.begin() as conn:
        conn.execute(update(t.cursor).where(t.cursor.c.side == "business_central").values(last_scan_at=at))


def scans(h: Harness) -> int:
    """How many id scans there were among the requests since the last reset."""
    log = h.sim.control("GET", "requests?path=lastModifiedDateTime$")["requests"]
    return len([each for each in log if each["target"].endswith("$select=id,lastModifiedDateTime")])


def cursor(h: Harness, side: str) -> Any:
    with read(h.edges.engine) as conn:
        return conn.execute(select(t.cursor).where(t.cursor.c.side == side)).mappings().one()


# -- Business Central ------------------------------------------------------------------------------------------------


def test_a_row_that_was_committed_late_is_read_within_the_overlap(make):
    h = make(id_scan_requests=0)
    h.sim.control("POST", "bc/hold", {"identity": "user"})
    h.edit_contact("Persoon 001", jobTitle="laat")
    h.sim.clock(advance_seconds=300)
    on_time = {
        "id": h.contacts()["Persoon 002"]["id"],
        **person("Persoon 002", "p2@klant.example", jobTitle="op tijd"),
    }
    h.sim.control("POST", "bc/set", {"contacts": [on_time]})
    scanned_long_ago(h, never=True)
    assert h.run().writes == {"updated_outlook": 1}
    h.sim.control("POST", "bc/release", {})
    assert h.run().writes == {"updated_outlook": 1}
    assert h.items()["Persoon 001"]["jobTitle"] == "laat"
    settled(h)


def test_the_watermark_is_the_newest_stamp_read_never_a_clock(make):
    h = make()
    newest = max(contact["lastModifiedDateTime"] for contact in h.contacts().values())
    h.sim.clock(advance_seconds=7200)
    h.run()
    assert cursor(h, "business_central")["position"][:19] == newest[:19]
    # Two hours ahead of ours is a stamp that no clock here could have made.
    h.edit_contact("Persoon 001", jobTitle="Inkoper")
    h.run()
    newest = h.contacts()["Persoon 001"]["lastModifiedDateTime"]
    assert cursor(h, "business_central")["position"][:19] == newest[:19]


def test_the_id_scan_finds_what_stamps_do_not(make):
    h = make(id_scan_requests=0, overlap=0.0)
    scanned_long_ago(h, never=True)
    gone = h.contacts()["Persoon 001"]
    h.delete_contact("Persoon 001")
    came = person("Els Oud", lastModifiedDateTime="2020-01-01T00:00:00Z")
    h.sim.control("POST", "bc/set", {"contacts": [came]})
    assert h.run().writes == {}, "no read by stamps can see it, nor a count"
    scanned_long_ago(h)
    assert h.run().writes == {"deleted_outlook": 1, "created_outlook": 1}
    assert gone["displayName"] not in h.items()
    settled(h)


def test_a_cheap_id_scan_is_made_again_after_a_while(make):
    h = make()
    before = scans(h)
    h.run()
    assert scans(h) == before
    scanned_long_ago(h)
    h.run()
    h.run()
    assert scans(h) == before + 1


@pytest.mark.parametrize("requests", [5, 0])
def test_a_count_that_differs_brings_the_id_scan_forward(make, requests):
    h = make(id_scan_requests=requests)
    h.delete_contact("Persoon 001")
    assert h.run().writes == {"deleted_outlook": 1}
    settled(h)


def test_where_bc_gives_no_count_the_id_scan_waits_for_its_time(make):
    h = make()
    h.sim.add_fault(kind="status", status=501, service="bc", path=r"\$count=true", count=None)
    h.delete_contact("Persoon 001")
    assert h.run().writes == {}
    scanned_long_ago(h)
    assert h.run().writes == {"deleted_outlook": 1}
    settled(h)


@pytest.mark.parametrize("mode", ["incremental", "full"])
def test_a_contact_left_out_of_a_read_is_deleted_only_after_a_404(make, mode):
    h = make()
    fault = h.sim.add_fault(name="F17", keep=0.75, count=None)
    assert h.run(mode).writes == {}
    assert fault.fired
    h.sim.clear_faults()
    assert len(h.items()) == 4
    settled(h)


@pytest.mark.parametrize("status", [500, 403])
def test_a_look_up_that_fails_deletes_nothing(make, status):
    h = make(retry_cap=0.0)
    h.delete_contact("Persoon 001")
    h.sim.add_fault(kind="status", status=status, service="bc", method="GET", path=r"contacts\(", count=None)
    h.sim.add_fault(kind="status", status=status, service="bc", path=r"\$batch", count=None)
    ran = h.run()
    assert ran.writes == {}
    assert not ran.verdict.ok
    h.sim.clear_faults()
    assert h.run().writes == {"deleted_outlook": 1}
    settled(h)


@pytest.mark.parametrize("variant", ["truncated", "no_value", "next_self", "next_foreign"])
@pytest.mark.parametrize("service", ["bc", "graph"])
def test_a_spoilt_page_fails_the_read_and_changes_nothing(make, service, variant):
    h = make(retry_cap=0.0)
    position = cursor(h, "outlook" if service == "graph" else "business_central")["position"]
    path = r"/contacts(\?|$)" if service == "bc" else "delta"
    h.edit_contact("Persoon 001", jobTitle="Inkoper")
    h.add_item(displayName="Els Nieuw", emailAddresses=email("els@nieuw.example"))
    h.sim.add_fault(kind="malformed", variant=variant, service=service, method="GET", path=path, count=None)
    ran = h.run("full")
    assert ran.writes == {}
    assert not ran.verdict.ok
    assert cursor(h, "outlook" if service == "graph" else "business_central")["position"] == position
    h.sim.clear_faults()
    h.run()
    assert h.items()["Persoon 001"]["jobTitle"] == "Inkoper"
    assert len(h.contacts()) == len(h.items()) == 5
    settled(h)


@pytest.mark.parametrize("variant", ["empty_page", "duplicate"])
@pytest.mark.parametrize(
    ("service", "path"), [("bc", r"/contacts(\?|$)"), ("graph", "delta"), ("graph", r"/contacts\?")]
)
@pytest.mark.parametrize("mode", ["incremental", "full"])
def test_an_odd_page_deletes_and_doubles_nothing(make, service, path, variant, mode):
    h = make()
    h.sim.add_fault(kind="malformed", variant=variant, service=service, method="GET", path=path)
    assert h.run(mode).writes == {}
    h.sim.clear_faults()
    assert len(h.items()) == 4
    settled(h)


# -- Outlook ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", ["410", "400"])
def test_an_expired_delta_link_creates_and_deletes_nothing_by_itself(make, status):
    h = make()
    h.sim.set(graph_delta_expired=status)
    h.edit_item("Persoon 001", jobTitle="Inkoper")
    h.delete_item("Persoon 002")
    h.sim.control("POST", "graph/expire-delta", {"mailbox": ANNA})
    ran = h.run()
    assert (ran.errors, ran.writes) == ([], {"updated_business_central": 1, "created_outlook": 1})
    h.sim.control("POST", "graph/expire-delta", {"mailbox": ANNA})
    assert h.run().writes == {}
    settled(h)


def test_a_link_that_expires_in_the_middle_of_a_round_starts_the_read_again(make_harness):
    h = make_harness(world(*people(6)), sandbox={"graph_delta_page": 2})
    h.add_profiles()
    h.full()
    h.add_item(displayName="Els Nieuw", emailAddresses=email("els@nieuw.example"))
    h.sim.add_fault(name="F8", path="skiptoken")
    ran = h.full()
    assert ran.writes in ({"created_business_central": 1}, {})
    h.run()
    assert len(h.contacts()) == len(h.items()) == 7
    settled(h)


def test_an_edit_behind_the_last_page_of_a_full_read_is_seen_by_the_next_run(make):
    h = make(2)
    item = h.items()["Persoon 000"]["id"]
    edit = {"method": "PATCH", "path": f"/users/{ANNA}/contacts/{item}", "body": {"jobTitle": "Laatste"}}
    spec = {"service": "graph", "method": "GET", "path": r"/contacts\?", "moment": "after"}
    fault = h.sim.add_fault(kind="user_action", action=edit, **spec)
    assert h.full().writes == {}
    assert fault.fired == 1
    assert h.run().writes == {"updated_business_central": 1}
    assert h.contacts()["Persoon 000"]["jobTitle"] == "Laatste"


def test_a_moved_item_is_gone_from_this_folder_and_only_from_it(make):
    h = make()
    jan = h.items()["Persoon 001"]["id"]
    h.sim.control("POST", "graph/move", {"mailbox": ANNA, "contact": jan, "to": "Contacts"})
    assert h.run().writes == {"created_outlook": 1}
    with read(h.edges.engine) as conn:
        row = conn.execute(select(t.outlook_contact).where(t.outlook_contact.c.id == jan)).mappings().one()
    assert row["gone_reason"] == "moved"
    assert set(h.items(folder="Contacts")) == {"Persoon 001"}
    settled(h)


def leave_and_come_back(h, item):
    for to in ("Contacts", FOLDER):
        h.sim.control("POST", "graph/move", {"mailbox": ANNA, "contact": item, "to": to})


@pytest.mark.parametrize("returned", ["removed", "present"])
def test_an_item_that_left_and_came_back_between_two_runs_never_left(make, returned):
    h = make()
    h.sim.set(graph_delta_returned=returned)
    jan = h.items()["Persoon 001"]["id"]
    leave_and_come_back(h, jan)
    assert h.run().writes == {}
    assert h.items()["Persoon 001"]["id"] == jan
    settled(h)


@pytest.mark.parametrize("returned", ["removed", "present"])
def test_a_new_item_that_left_and_came_back_before_anybody_looked_is_seen(make, returned):
    h = make()
    h.sim.set(graph_delta_returned=returned)
    new = h.add_item(
        displayName="Nora Nieuw", emailAddresses=[{"address": "nora@klant.example", "name": "x"}]
    )
    leave_and_come_back(h, new["id"])
    assert h.run().writes == {"created_business_central": 1}
    assert "Nora Nieuw" in h.contacts()
    settled(h)


@pytest.mark.parametrize("returned", ["removed", "present"])
def test_a_copy_that_left_and_came_back_goes_with_a_privacy_block(make, returned):
    h = make()
    h.sim.set(graph_delta_returned=returned)
    jan = h.items()["Persoon 001"]["id"]
    copy = h.sim.control("POST", "graph/copy", {"mailbox": ANNA, "contact": jan})["immutable_id"]
    leave_and_come_back(h, copy)
    h.edit_contact("Persoon 001", privacyBlocked=True)
    assert h.run().writes == {"deleted_outlook": 2}
    assert "Persoon 001" not in h.items()
    settled(h)


def test_an_item_that_came_and_went_between_two_runs_is_nothing(make):
    h = make()
    new = h.add_item(
        displayName="Nora Nieuw", emailAddresses=[{"address": "nora@klant.example", "name": "x"}]
    )
    h.in_outlook("DELETE", f"contacts/{new['id']}")
    assert h.run().writes == {}
    settled(h)


@pytest.mark.parametrize("body", ["full", "partial"])
def test_what_a_delta_leaves_out_keeps_its_value(make, body):
    h = make()
    h.sim.set(graph_delta_body=body)
    h.edit_contact("Persoon 001", phoneNumber="020 555 0110", jobTitle="Inkoper")
    h.run()
    h.run()
    # A newer stamp: with the same one a look-up by id would decide, which brings the whole item.
    h.sim.clock(advance_seconds=60)
    h.edit_item("Persoon 001", mobilePhone="06 5550 1234")
    assert h.run().writes == {"updated_business_central": 1}
    contact = h.contacts()["Persoon 001"]
    assert (contact["phoneNumber"], contact["jobTitle"]) == ("020 555 0110", "Inkoper")
    assert contact["mobilePhoneNumber"] == "06 5550 1234"
    settled(h)


@pytest.mark.parametrize("body", ["full", "partial"])
def test_a_delta_that_lags_behind_our_own_write_undoes_nothing(make, body):
    h = make()
    h.sim.set(graph_delta_body=body)
    h.edit_item("Persoon 001", mobilePhone="06 5550 1234")
    h.run()
    h.sim.control("POST", "graph/hold-delta", {"mailbox": ANNA, "hold": True})
    h.edit_contact("Persoon 001", jobTitle="Inkoper")
    assert h.run().writes == {"updated_outlook": 1}
    assert h.run().writes == {}
    h.sim.control("POST", "graph/hold-delta", {"mailbox": ANNA, "hold": False})
    assert h.run().writes == {}
    assert h.items()["Persoon 001"]["jobTitle"] == "Inkoper"
    settled(h)


def test_edits_with_equal_stamps_are_all_taken(make):
    h = make()
    h.sim.clock(freeze=True)
    for n, title in enumerate(("een", "twee", "drie")):
        h.edit_contact("Persoon 001", jobTitle=title)
        h.edit_item("Persoon 002", jobTitle=title)
        h.run()
        assert h.items()["Persoon 001"]["jobTitle"] == title, n
        assert h.contacts()["Persoon 002"]["jobTitle"] == title, n
    settled(h)


def test_a_replica_that_lags_undoes_nothing(make):
    h = make()
    h.sim.control("POST", "bc/replica", {"frozen": True})
    h.edit_item("Persoon 001", jobTitle="Inkoper")
    assert h.run().writes == {"updated_business_central": 1}
    assert h.run().writes == {}
    assert h.full().writes == {}
    h.sim.control("POST", "bc/replica", {"frozen": False})
    assert h.contacts()["Persoon 001"]["jobTitle"] == "Inkoper"
    settled(h)


# -- full and incremental give the same plan -------------------------------------------------------------------------


def edit_somewhere(h: Harness, rng: random.Random) -> None:
    """One small edit of a user, on either side."""
    contact, item = rng.choice(sorted(h.contacts())), rng.choice(sorted(h.items()))
    n = rng.randrange(1000)
    jan = h.items()[item]["id"]
    match rng.randrange(9):
        case 0:
            h.edit_contact(contact, jobTitle=f"bc {n}")
        case 1:
            h.edit_item(item, jobTitle=f"ol {n}")
        case 2:
            h.edit_contact(contact, email=f"nieuw{n}@klant.example", city=rng.choice(["Zaandam", "Haarlem"]))
        case 3:
            h.edit_item(item, businessPhones=[f"020 555 {n:04}", "010 555 0199"])
        case 4:
            h.add_contact(f"Nieuw {n}", city="Zaandam")
        case 5:
            h.add_item(displayName=f"Item {n}", emailAddresses=email(f"item{n}@klant.example"))
        case 6:
            h.delete_contact(contact)
        case 7:
            h.delete_item(item)
        case 8:
            h.sim.control("POST", "graph/copy", {"mailbox": ANNA, "contact": jan})


def plan_of(h: Harness, run: str) -> set[tuple[str, str]]:
    with read(h.edges.engine) as conn:
        joined = t.change.join(t.plan, t.plan.c.id == t.change.c.plan)
        wanted = select(t.change.c.action, t.change.c.digest).select_from(joined).where(t.plan.c.run == run)
        return {(row.action, row.digest) for row in conn.execute(wanted)}


@pytest.mark.parametrize("seed", range(3))
def test_incremental_and_full_plan_the_same(make_harness, seed):
    rng = random.Random(seed)
    h = make_harness(world(*people(8, city="Zaandam")), longest_request=0.0)
    h.add_profiles(filter={"City": "Zaandam"})
    h.full()
    for step in range(6):
        for _ in range(rng.randrange(1, 4)):
            edit_somewhere(h, rng)
        for mode in ("incremental", "full"):
            assert h.run(mode, dry_run=True, run_id=f"{mode}-{step}").errors == []
        plans = [plan_of(h, f"{mode}-{step}") for mode in ("incremental", "full")]
        assert plans[0] == plans[1], f"step {step}"
        h.run(run_id=f"real-{step}")
        if plans[0]:
            assert plans[0] <= plan_of(h, f"real-{step}") | _waiting(h)
    for _ in range(3):
        h.run()
    with read(h.edges.engine) as conn:
        held = conn.scalar(select(t.hold.c.id).where(t.hold.c.state == "open"))
    if held is None:
        assert h.full().writes == {}


def _waiting(h: Harness) -> set[tuple[str, str]]:
    with read(h.edges.engine) as conn:
        wanted = select(t.change.c.action, t.change.c.digest).where(t.change.c.outcome == "held")
        return {(row.action, row.digest) for row in conn.execute(wanted)}
