"""What the oracle takes for lost, for refused, and for approved."""

from __future__ import annotations

import contextlib
import copy
import json
import random
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import Engine, create_engine, insert

from sync_lib.store import tables as t
from tests.proof import excuses, histories, mapped, oracle
from tests.proof.approvals import Approvals
from tests.proof.databases import Databases
from tests.proof.histories import History
from tests.proof.oracle import Item, Oracle, Scene, Setup
from tests.proof.pairs import Pairs
from tests.proof.player import Player
from tests.proof.verdict import Violation

BOX = "anna@voorbeeld.example"
NOW = "2026-03-02T08:00:00.000Z"


@pytest.fixture
def engine() -> Engine:
    """Only what the tests below put there."""
    made = create_engine("sqlite://")
    t.metadata.create_all(made)
    return made


def item(key: str, folder: str = "Business Central", **properties: Any) -> Item:
    return Item(key, folder, f"id of {folder}", "", "", properties, NOW, 1)


def scene(contacts: dict[str, dict[str, Any]], *items: Item) -> Scene:
    return Scene(contacts, {BOX: {each.id: each for each in items}}, {BOX: {}}, {})


def judge(found: Scene, engine: Engine, place: oracle.Place, ties: tuple[tuple[str, str], ...] = ()) -> None:
    judged = Oracle([Setup(BOX)])
    judged.typed_value(1, "typed", "job", "Functie q1q", place)
    for tie in ties:
        judged.tie(*tie)
    judged.judge_tokens(found, engine)


def test_a_value_that_only_another_contact_holds_is_lost(engine):
    found = scene({"a": {"jobTitle": ""}, "b": {"jobTitle": "Functie q1q"}})
    judge(found, engine, ("bc", "b"))
    with pytest.raises(Violation, match="I1: 'Functie q1q' is lost"):
        judge(found, engine, ("bc", "a"))


def test_a_value_in_the_item_that_is_coupled_is_not_lost(engine):
    found = scene({"a": {"jobTitle": ""}}, item("i", jobTitle="functie  Q1Q"))
    judge(found, engine, ("bc", "a"), (("a", "i"),))
    with pytest.raises(Violation):
        judge(found, engine, ("bc", "a"))


@pytest.mark.parametrize("folder", ["deleteditems", "Prive", "deleted/Business Central"])
def test_a_value_in_an_item_that_nobody_syncs_is_lost(engine, folder):
    with pytest.raises(Violation):
        judge(scene({"a": {}}, item("i", folder, jobTitle="Functie q1q")), engine, (BOX, "i"), (("a", "i"),))


def put(engine: Engine, table: Any, **values: Any) -> None:
    with engine.begin() as conn:
        conn.execute(insert(table).values(values))


def test_a_refused_field_excuses_itself_alone(engine):
    of_one = {"profile": 1, "side": "outlook", "outcome": "rejected", "since": NOW, "run": "r"}
    put(engine, t.reject, contact="i", field="job_title", reason="too_long", **of_one)
    put(engine, t.reject, contact="j", field="country", reason="unknown_country", **of_one)
    put(engine, t.reject, contact="k", field="", reason="email_missing", **of_one)
    found = excuses.read(engine, 1)
    assert found.difference("job", "a", "i")
    assert not found.difference("city", "a", "i")
    assert not found.absence("i")
    assert not found.presence("i")
    assert found.difference("post", "j")
    assert not found.difference("street", "j")
    assert found.difference("city", "k")
    assert found.absence("k")
    assert not excuses.read(engine, 2).difference("job", "i")


def hold(engine: Engine, action: str, after: dict[str, str]) -> None:
    put(engine, t.hold, id=1, plan=1, run="r", hash="h", state="open", opened_at=NOW)
    change = {"plan": 1, "n": 1, "profile": 1, "bc_id": "a", "state": "done", "outcome": "held"}
    put(engine, t.change, action=action, after=json.dumps(after), **change)


def test_a_held_delete_excuses_that_the_item_is_there_and_nothing_else(engine):
    hold(engine, "delete_outlook", {})
    found = excuses.read(engine, 1)
    assert found.presence("a")
    assert not found.absence("a")
    assert not found.difference("job", "a")


def test_a_held_update_excuses_its_fields(engine):
    hold(engine, "update_outlook", {"job_title": "x"})
    found = excuses.read(engine, 1)
    assert found.difference("job", "a")
    assert not found.difference("city", "a")
    assert not found.presence("a")
    assert not found.absence("a")


def test_a_contact_is_approved_with_the_values_that_were_shown(engine):
    hold(engine, "create_business_central", {"name": "Jan", "email": "jan@klant.example"})
    approvals = Approvals({"guard_creates": 0, "guard_creates_percent": 0})
    assert approvals.every_create_waits
    assert not approvals.every_delete_waits
    values = {"name": "Jan", "email": "Jan@klant.example", "job": ""}
    assert not approvals.was_shown(values, mapped.normal)
    with engine.begin() as conn:
        approvals.approve(conn, 1)
    assert approvals.was_shown(values, mapped.normal)
    assert not approvals.was_shown(values | {"email": "piet@klant.example"}, mapped.normal)


CONTACT = {
    "id": "a", "type": "Person", "displayName": "Jan", "email": "jan@klant.example", "city": "Utrecht",
    "privacyBlocked": False, mapped.IN_COMPANY: 0,
}  # fmt: skip


def pair(engine: Engine, **coupling: Any) -> Scene:
    """A contact and its item, which are coupled."""
    put(
        engine,
        t.sync_profile,
        id=1,
        mailbox=BOX,
        company_name="A",
        folder_id="f",
        created_at=NOW,
        updated_at=NOW,
    )
    values = {"origin": "made_by_sync", "state": "active", "created_at": NOW, "updated_at": NOW, **coupling}
    put(engine, t.coupling, profile=1, bc_id="a", outlook_id="i", **values)
    properties = {"displayName": "Jan", "emailAddresses": [{"address": "jan@klant.example"}]}
    address = {"businessAddress": {"city": "Utrecht"}}
    made = Item("i", "Business Central", "f", "a", "made_by_sync", properties | address, NOW, 1)
    return scene({"a": CONTACT}, made)


@pytest.mark.parametrize("action", ["update_outlook", "update_business_central"])
def test_a_pair_whose_edit_is_held_may_stay_when_its_contact_leaves(engine, action):
    found = pair(engine)
    judged = Oracle([Setup(BOX, city="Zaandam", key=1)])
    with pytest.raises(Violation, match="stays, out of scope"):
        judged._judge_pairs(found, engine)
    hold(engine, action, {"job_title": "x"})
    judged._judge_pairs(found, engine)
    found.contacts["a"] = CONTACT | {"mobilePhoneNumber": "+31 6 12345678"}
    with pytest.raises(Violation, match="mobile is"):
        judged._judge_pairs(found, engine)


def own(first: str, *others: str) -> dict[str, Any]:
    return {"emailAddresses": [{"address": address} for address in (first, *others)]}


def test_an_own_address_that_no_run_saw_beside_the_mapped_one_takes_its_place(engine):
    """To the sync it is the mapped value, edited; with direction to_outlook that of Business Central comes back."""
    pair(engine, baseline_outlook=json.dumps({"emailAddresses": ["jan@klant.example"]}))
    judged = Oracle([Setup(BOX, key=1)])
    judged.saw_couplings(engine)
    before, after = item("i", **own("eigen1@thuis.example")), item("i", **own("jan@klant.example"))
    judged._hands_off(BOX, before, after)


def test_an_own_address_that_was_there_when_the_pair_agreed_stays(engine):
    pair(
        engine, baseline_outlook=json.dumps({"emailAddresses": ["jan@klant.example", "eigen1@thuis.example"]})
    )
    judged = Oracle([Setup(BOX, key=1)])
    judged.saw_couplings(engine)
    before = item("i", **own("eigen1@thuis.example"))
    judged._hands_off(BOX, before, item("i", **own("jan@klant.example", "eigen1@thuis.example")))
    with pytest.raises(Violation, match="the user's own 'eigen1@thuis"):
        judged._hands_off(BOX, before, item("i", **own("jan@klant.example")))


def test_an_own_address_behind_the_mapped_one_stays_whether_a_run_saw_it_or_not():
    before = item("i", **own("jan@klant.example", "eigen1@thuis.example"))
    with pytest.raises(Violation, match="the user's own"):
        Oracle([Setup(BOX, key=1)])._hands_off(BOX, before, item("i", **own("jan@klant.example")))


def test_a_profile_that_never_synced_and_names_a_former_address_is_corrected():
    history = History(
        1, "sqlite", histories._settings(random.Random(1)) | {"id_scan_requests": 5}, {}, "standard",
        False, 2, (Setup(BOX, enabled=False),), (("rename_account", 0, 0), ("run", "full")),
    )  # fmt: skip
    with Databases() as databases:
        player = Player(history, databases.new)
        player.play()
    assert player.today[BOX] != BOX


def test_numbers_that_were_one_in_another_region_may_stay_as_they_are():
    judged = Oracle([Setup(BOX)])
    pairs = [("06 51234567", "+31651234567", True), ("06 51234567", "+32651234567", False)]
    assert [judged._agree(CONTACT, "mobile", one, other) for one, other, _ in pairs] == [True, False]
    judged.regions[0] = ["NL", "BE"]
    assert all(judged._agree(CONTACT, "mobile", one, other) for one, other, _ in pairs)
    assert not judged._agree(CONTACT, "mobile", "06 51234567", "+33651234567")


def test_what_lost_before_the_log_was_cut_is_not_lost(engine):
    change = {"plan": 1, "n": 1, "profile": 1, "bc_id": "a", "action": "update_outlook", "state": "done"}
    put(engine, t.change, outcome="conflict", losing=json.dumps({"job_title": "Functie q1q"}), **change)
    judged = Oracle([Setup(BOX)])
    judged.typed_value(1, "typed", "job", "Functie q1q", ("bc", "a"))
    judged.log = judged.read_log(engine)
    with engine.begin() as conn:
        conn.execute(t.change.delete())
    judged.judge_tokens(scene({"a": {"jobTitle": ""}}), engine)
    judged.log = []
    with pytest.raises(Violation, match="is lost"):
        judged.judge_tokens(scene({"a": {"jobTitle": ""}}), engine)


def test_of_who_is_erased_only_what_is_still_there_has_to_stay(engine):
    judged = Oracle([Setup(BOX)])
    for key, value in (("a", "Functie q1q"), ("a", "Functie q2q"), ("b", "Functie q3q")):
        judged.typed_value(1, "typed", "job", value, ("bc", key))
    found = scene({"a": {"jobTitle": "Functie q2q"}, "b": {"jobTitle": ""}})
    judged.erased(found, "a")
    assert set(judged.tokens) == {"q2q", "q3q"}


@pytest.mark.parametrize("folder", ["deleteditems", "deleted/Business Central"])
def test_of_a_log_that_is_lost_nobody_need_find_what_it_alone_held(engine, folder):
    judged = Oracle([Setup(BOX)])
    judged.typed_value(1, "typed", "job", "Functie q1q", (BOX, "deleted"))
    judged.typed_value(1, "typed", "job", "Functie q2q", (BOX, "there"))
    left = item("there", jobTitle="Functie q2q")
    gone = item("deleted", folder, jobTitle="Functie q1q")
    judged.tokens = scene({}, left, gone).without_log(judged.tokens)
    judged.judge_tokens(scene({}, left, gone), engine)
    with pytest.raises(Violation, match="I1: 'Functie q2q' is lost"):
        judged.judge_tokens(scene({}, gone), engine)


def test_two_folders_of_a_mailbox_are_two_places(engine):
    """What left the scope of one profile is no cause for a delete in the folder of the other one."""
    for key, folder in ((1, "f"), (2, "g")):
        values = {"mailbox": BOX, "company_name": "A", "created_at": NOW, "updated_at": NOW}
        put(engine, t.sync_profile, id=key, folder_id=folder, folder_name=folder, **values)
    judged = Oracle([Setup(BOX, "f", city="Zaandam", key=1), Setup(BOX, "g", key=2)])
    judged.saw_couplings(engine)
    items = [Item(f"i{each}", each, each, "a", "made_by_sync", {}, NOW, 1) for each in "fg"]
    before = scene({"a": CONTACT}, *items)
    judged.saw(before)
    judged._judge_deletes(before, scene({"a": CONTACT}, items[1]))
    with pytest.raises(Violation, match="was deleted without a cause"):
        judged._judge_deletes(before, scene({"a": CONTACT}, items[0]))


def here(key: str, **properties: Any) -> Item:
    """An item of the contact "a" in the folder of the profile."""
    return Item(key, "Business Central", "f", "a", "made_by_sync", properties, NOW, 1)


def test_an_item_that_is_where_it_was_is_displaced_by_no_other(engine):
    found = pair(engine)
    followed = Pairs()
    followed.follow(engine, found, found, mapped.bc_values)
    both = scene({"a": CONTACT}, here("i"), here("j"))
    with engine.begin() as conn:
        conn.execute(t.coupling.update().values(outlook_id="j"))
    for before, after in ((both, scene({"a": CONTACT}, here("j"))), (scene({"a": CONTACT}), both)):
        copy.deepcopy(followed).follow(engine, before, after, mapped.bc_values)
    with pytest.raises(Violation, match="another item took the place of i"):
        followed.follow(engine, both, both, mapped.bc_values)


@pytest.mark.parametrize("outcome", [None, "failed", "unknown", "skipped"])
def test_what_was_made_anew_of_an_item_that_came_back_may_go_with_a_later_run(engine, outcome):
    found = pair(engine)
    followed = Pairs()
    followed.follow(engine, found, found, mapped.bc_values)
    both = scene({"a": CONTACT}, here("i"), here("j"))
    change = {"plan": 1, "n": 1, "profile": 1, "bc_id": "a", "outlook_id": "i", "action": "delete_outlook"}
    ended = {"state": "done", "outcome": outcome} if outcome else {"state": "sending"}
    put(engine, t.change, cause="returned", **change, **ended)
    with engine.begin() as conn:
        conn.execute(t.coupling.update().values(outlook_id="j"))
    copy.deepcopy(followed).follow(engine, both, both, mapped.bc_values)
    with engine.begin() as conn:
        conn.execute(t.change.update().values(cause="left_scope"))
    with pytest.raises(Violation, match="another item took the place of i"):
        followed.follow(engine, both, both, mapped.bc_values)


def test_an_edit_that_no_run_read_before_the_item_went_away_brings_it_back(engine):
    """It is no baseline of what went away, and neither is what only its writer sees."""
    changed = scene({"a": CONTACT | {"city": "Haarlem"}})
    pair(engine, baseline_bc=json.dumps({"city": "Utrecht"}))
    with engine.begin() as conn:
        conn.execute(t.coupling.update().values(outlook_id=None, state="away"))
    for found, known in ((scene({"a": CONTACT}), True), (changed, False)):
        followed = Pairs()
        followed.follow(engine, found, found, mapped.bc_values)
        assert (followed.away[1, "a"] is not None) == known
    held = Scene({"a": CONTACT}, {BOX: {}}, {BOX: {}}, {"companies": [{"held": {"a": CONTACT}}]})
    followed = Pairs()
    followed.follow(engine, held, held, mapped.bc_values)
    assert followed.away == {(1, "a"): None}


@pytest.mark.parametrize(
    ("reason", "change", "others"),
    [
        ("email_missing", {"email": "geen adres"}, {}),
        ("name_missing", {"displayName": " "}, {}),
        ("privacy_blocked", {"privacyBlocked": True}, {}),
        ("duplicate_email_in_bc", {}, {"b": CONTACT | {"id": "b", "email": "JAN@klant.example"}}),
    ],
)
def test_a_reason_excuses_where_it_is_so(engine, reason, change, others):
    pair(engine)
    with engine.begin() as conn:
        conn.execute(t.coupling.delete())
    of_one = {"profile": 1, "side": "business_central", "outcome": "skipped", "since": NOW, "run": "r"}
    put(engine, t.reject, contact="a", field="", reason=reason, **of_one)
    judged = Oracle([Setup(BOX, key=1, city="Utrecht")])
    contacts = {"a": CONTACT | change} | {key: row | {"city": "Haarlem"} for key, row in others.items()}
    judged._judge_pairs(scene(contacts), engine)
    with pytest.raises(Violation, match=f"is not synced for {reason}, and that is not so"):
        judged._judge_pairs(scene({"a": CONTACT}), engine)


def test_that_something_stays_away_excuses_as_long_as_it_is_so(engine):
    pair(engine)
    with engine.begin() as conn:
        conn.execute(t.coupling.update().values(outlook_id=None, state="away"))
    of_one = {"profile": 1, "side": "business_central", "outcome": "skipped", "since": NOW, "run": "r"}
    put(engine, t.reject, contact="a", field="", reason="stay_away", **of_one)
    judged = Oracle([Setup(BOX, key=1)])
    found = scene({"a": CONTACT})
    judged.pairs.follow(engine, found, found, mapped.bc_values)
    judged._judge_pairs(found, engine)
    with pytest.raises(Violation, match="is not synced for stay_away, and that is not so"):
        judged._judge_pairs(scene({"a": CONTACT | {"jobTitle": "Functie q1q"}}), engine)


def test_an_own_number_that_moved_up_is_no_difference(engine):
    baseline = {"fields": {"phone": ""}, "businessPhones": ["+49 30 5001003"]}
    found = pair(engine, baseline_outlook=json.dumps(baseline))
    [one] = found.items[BOX].values()
    judged = Oracle([Setup(BOX, key=1)])
    judged.saw_couplings(engine)
    for phone, same in (("+49 30 5001003", True), ("+49 30 5001004", False)):
        one.properties["businessPhones"] = [phone]
        if same:
            judged._judge_pairs(found, engine)
            continue
        with pytest.raises(Violation, match="phone is"):
            judged._judge_pairs(found, engine)


def test_what_is_away_comes_back_when_business_central_changes_it(engine):
    found = pair(engine)
    with engine.begin() as conn:
        conn.execute(t.coupling.update().values(outlook_id=None, state="away"))
    judged = Oracle([Setup(BOX, key=1, deleted_in_outlook="stay_away")])
    judged.pairs.follow(engine, found, found, mapped.bc_values)
    judged._judge_pairs(found, engine)
    found.contacts["a"] = CONTACT | {"jobTitle": "Functie q1q"}
    with pytest.raises(Violation, match="in scope and not in Outlook"):
        judged._judge_pairs(found, engine)
    judged.pairs.forget()
    judged._judge_pairs(found, engine)


def test_what_is_away_is_not_made_again_by_itself(engine):
    found = pair(engine)
    judged = Oracle([Setup(BOX, key=1)])
    judged.pairs.follow(engine, found, found, mapped.bc_values)
    with engine.begin() as conn:
        conn.execute(t.coupling.update().values(outlook_id=None, state="away"))
    gone, again = scene({"a": CONTACT}), scene({"a": CONTACT}, here("j"))
    judged.pairs.follow(engine, gone, gone, mapped.bc_values)
    with engine.begin() as conn:
        conn.execute(t.coupling.update().values(outlook_id="j", state="active"))
    with pytest.raises(Violation, match="I5: a stayed away, was made again"):
        copy.deepcopy(judged.pairs).follow(engine, gone, again, mapped.bc_values)
    # What a user made, or moved back, was there before the run.
    copy.deepcopy(judged.pairs).follow(engine, again, again, mapped.bc_values)
    changed = scene({"a": CONTACT | {"jobTitle": "Functie q1q"}}, *found.items[BOX].values())
    copy.deepcopy(judged.pairs).follow(engine, changed, changed, mapped.bc_values)
    judged.wanted_back({"profile": 1, "bc_id": "a", "action": "delete_outlook", "after": "{}"})
    judged.pairs.follow(engine, gone, again, mapped.bc_values)


@pytest.mark.parametrize(("went", "now", "is_asked"), [
    ("stay_away", "recreate", True),
    ("stay_away", "stay_away", False),
    ("recreate", "recreate", False),
])  # fmt: skip
def test_what_is_away_comes_back_when_its_profile_says_no_longer_that_it_stays(engine, went, now, is_asked):
    """What somebody left away whatever the policy is not asked for by the policy."""
    found = pair(engine)
    gone, again = scene({"a": CONTACT}), scene({"a": CONTACT}, here("j"))
    followed = Pairs()
    followed.follow(engine, found, found, mapped.bc_values)
    for policy, values in ((went, {"outlook_id": None, "state": "away"}), (now, {})):
        with engine.begin() as conn:
            conn.execute(t.sync_profile.update().values(deleted_in_outlook=policy))
            if values:
                conn.execute(t.coupling.update().values(values))
        followed.follow(engine, gone, gone, mapped.bc_values)
    with engine.begin() as conn:
        conn.execute(t.coupling.update().values(outlook_id="j", state="active"))
    with contextlib.nullcontext() if is_asked else pytest.raises(Violation, match="a stayed away, was made"):
        followed.follow(engine, gone, again, mapped.bc_values)


def test_where_every_overwrite_waits_what_a_user_typed_in_business_central_stays_too(engine):
    pair(engine, baseline_bc=json.dumps({"job_title": "Oud"}))
    judged = Oracle([Setup(BOX, key=1)])
    judged.approvals = Approvals({"guard_overwrites": 0, "guard_overwrites_percent": 0})
    judged.saw_couplings(engine)
    judged.typed_value(1, "typed", "job", "Functie q1q", ("bc", "a"))
    before, after = (
        scene({"a": CONTACT | {"jobTitle": job}}, here("i")) for job in ("Functie q1q", "Van Outlook")
    )
    judged.judge_run(before, before, users_acted=False)
    judged.judge_run(scene({"a": CONTACT | {"jobTitle": "Oud"}}, here("i")), after, users_acted=False)
    with pytest.raises(Violation, match="I19: 'Functie q1q' of Business Central was replaced"):
        judged.judge_run(before, after, users_acted=False)
    hold(engine, "update_business_central", {"job_title": "Van Outlook"})
    with engine.begin() as conn:
        judged.approvals.approve(conn, 1)
    judged.judge_run(before, after, users_acted=False)


def test_where_every_overwrite_waits_what_a_user_typed_is_replaced_as_approved_only(engine):
    pair(engine, baseline_outlook=json.dumps({"fields": {"job_title": "Oud"}}))
    judged = Oracle([Setup(BOX, key=1)])
    judged.approvals = Approvals({"guard_overwrites": 0, "guard_overwrites_percent": 0})
    judged.saw_couplings(engine)
    judged.typed_value(1, "typed", "job", "Functie q1q", (BOX, "i"))
    before, after = scene({}, here("i", jobTitle="Functie q1q")), scene({}, here("i", jobTitle="Van BC"))
    judged.judge_run(before, before, users_acted=False)
    judged.judge_run(scene({}, here("i", jobTitle="Oud")), after, users_acted=False)
    with pytest.raises(Violation, match="I19: 'Functie q1q' was replaced"):
        judged.judge_run(before, after, users_acted=False)
    hold(engine, "update_outlook", {"job_title": "Van BC"})
    with engine.begin() as conn:
        judged.approvals.approve(conn, 1)
    judged.judge_run(before, after, users_acted=False)


def test_a_folder_of_a_mailbox_that_moved_to_another_server_is_not_emptied(engine):
    found = pair(engine)
    followed = Pairs()
    followed.follow(engine, found, found, mapped.bc_values)
    moved = scene({"a": CONTACT}, replace(here("i2"), folder_id="f2"))
    assert followed.emptied(moved, 1) == {(1, "a")}
    followed.rename({"f": "f1", "i": "i1"})
    followed.rename({"f1": "f2", "i1": "i2"})
    assert followed.emptied(moved, 1) == set()
    assert followed.emptied(scene({"a": CONTACT}), 1) == {(1, "a")}


def test_of_an_emptied_folder_nothing_is_made_again_before_it_is_approved(engine):
    found = pair(engine)
    judged = Oracle([Setup(BOX, key=1)], users_deletes={"i"})
    judged.pairs.follow(engine, found, found, mapped.bc_values)
    emptied, again = scene({"a": CONTACT}), scene({"a": CONTACT}, here("j"))
    judged.approvals = Approvals({"guard_emptied_from": 2})
    judged.judge_run(emptied, again, users_acted=False)
    judged.approvals = Approvals({"guard_emptied_from": 1})
    judged.judge_run(found, found, users_acted=False)
    with pytest.raises(Violation, match="I19: a of an emptied folder was made again"):
        judged.judge_run(emptied, again, users_acted=False)
    both = Oracle([Setup(BOX, key=1), Setup(BOX, "Relaties", key=2)], users_deletes={"i"})
    both.approvals, both.pairs = judged.approvals, judged.pairs
    both.judge_run(emptied, again, users_acted=False)
    hold(engine, "create_outlook", {})
    with engine.begin() as conn:
        judged.approvals.approve(conn, 1)
    judged.judge_run(emptied, again, users_acted=False)
