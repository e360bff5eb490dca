"""What random histories found: each bug once, by the shortest history that showed it."""

from __future__ import annotations

import contextlib
from dataclasses import replace

import pytest
from sqlalchemy import select

from sync_lib.store import tables as t
from sync_lib.store.engine import read
from tests.proof.interventions import Killed, Killer, expire_leases
from tests.sync.harness import Harness, person, world
from tests.transport import watch


def email(address: str) -> dict[str, str]:
    return {"address": address, "name": "x"}


@pytest.fixture
def one(make_harness) -> Harness:
    h = make_harness(world(person("Jan Jansen")))
    h.add_profiles()
    assert h.full().writes == {"created_outlook": 1}
    return h


def lose_database(h: Harness, url: str) -> None:
    h.close()
    h.database = url
    h.__init__(h.sim, url)
    h.add_profiles()


def killed_run(h: Harness, killer: Killer) -> bool:
    """A run whose worker is killed; another worker comes when its leases have run out."""
    killer.watch(h.edges)
    with contextlib.suppress(Killed):
        h.run(run_id="killed")
    h.edges.close()
    h.edges = h.open()
    expire_leases(h.edges)
    return killer.dead


def run_killed_behind_its_write(h: Harness) -> bool:
    """A run whose worker dies when Outlook has acted on its write, and before it has heard so."""
    killer = Killer("", 0, after=False)

    def behind(send):
        def watched(request, **options):
            answer = send(request, **options)
            if all(part in (request.body or b"") for part in (b'"PATCH"', b'"jobTitle"')):
                killer.dead = True
                raise Killed
            return answer

        return watched

    watch(h.edges, behind)
    return killed_run(h, killer)


def plans(h: Harness) -> list[tuple[str, set[str]]]:
    """Run and actions of all plans, in order."""
    with read(h.edges.engine) as conn:
        joined = select(t.plan.c.id, t.plan.c.run, t.change.c.digest).join(
            t.change, t.change.c.plan == t.plan.c.id
        )
        found: dict[tuple[int, str], set[str]] = {}
        for plan, run, digest in conn.execute(joined):
            found.setdefault((plan, run), set()).add(digest)
    return [(run, digests) for (_, run), digests in sorted(found.items())]


def test_a_pair_found_by_key_that_differs_is_stored_once(one, new_database, database_kind):
    one.edit_item("Jan Jansen", jobTitle="Inkoper")
    lose_database(one, new_database(database_kind))
    ran = one.full()
    assert ran.errors == []
    assert one.contacts()["Jan Jansen"]["jobTitle"] == "Inkoper"
    assert one.run().writes == {}


def test_a_pair_found_by_key_where_bc_differs_is_stored_once(one, new_database, database_kind):
    one.edit_contact("Jan Jansen", jobTitle="Inkoper")
    lose_database(one, new_database(database_kind))
    ran = one.full()
    assert ran.errors == []
    assert one.items()["Jan Jansen"]["jobTitle"] == "Inkoper"
    assert one.run().writes == {}


def test_a_filled_field_has_a_baseline_at_once(make_harness):
    item = {
        "displayName": "Jan Jansen", "jobTitle": "Inkoper", "emailAddresses": [email("jan.jansen@klant.example")],
    }  # fmt: skip
    box = {
        "user_principal_name": "anna@voorbeeld.example",
        "folders": [{"name": "Business Central", "contacts": [item]}],
    }
    h = make_harness(world(person("Jan Jansen"), mailboxes=[box]))
    h.add_profiles()
    h.full()
    assert h.contacts()["Jan Jansen"]["jobTitle"] == "Inkoper"
    h.edit_item("Jan Jansen", jobTitle="Directeur")
    h.run()
    assert h.contacts()["Jan Jansen"]["jobTitle"] == "Directeur", "an edit of one side is no conflict"


def test_a_dry_run_plans_what_only_bc_changed(one):
    one.edit_contact("Jan Jansen", jobTitle="Inkoper")
    one.run(dry_run=True, run_id="dry")
    one.run(run_id="real")
    made = dict(plans(one))
    assert made["dry"] == made["real"]


def test_an_item_of_a_blocked_contact_that_a_user_puts_back_goes_again(one):
    jan = one.items()["Jan Jansen"]["id"]
    one.edit_contact("Jan Jansen", privacyBlocked=True)
    assert one.run().writes == {"deleted_outlook": 1}
    box = one.mailbox()["user_principal_name"]
    one.sim.control("POST", "graph/move", {"mailbox": box, "contact": jan, "to": one.folder_id()})
    assert one.run().writes == {"deleted_outlook": 1}, "delta says only that it was removed"
    assert one.items() == {}


def test_a_dry_run_notices_that_the_folder_was_deleted(one):
    one.in_outlook("DELETE", f"contactFolders/{one.folder_id()}")
    one.run(dry_run=True, run_id="dry")
    assert one.run(run_id="real").writes == {"created_outlook": 1}
    made = dict(plans(one))
    assert made["dry"] == made["real"]


def test_a_pair_that_waits_is_found_again_after_a_migration(one):
    one.edit_item("Jan Jansen", emailAddresses=[])
    one.run()
    box = one.mailbox()["user_principal_name"]
    one.sim.control("POST", "graph/mailbox", {"mailbox": box, "migrate": True})
    one.run()
    with read(one.edges.engine) as conn:
        assert list(conn.scalars(select(t.coupling.c.outlook_id))) == [one.items()["Jan Jansen"]["id"]]


def test_a_dropped_count_holds_incremental_runs_too(make_harness):
    h = make_harness(world(*(person(f"Persoon {n}") for n in range(4))), id_scan_requests=0)
    h.add_profiles()
    h.full()
    for n in range(3):
        h.delete_contact(f"Persoon {n}")
    h.edit_contact("Persoon 3", jobTitle="Inkoper")
    assert h.full().report.companies[0].state == "held"
    ran = h.run()
    assert (ran.report.companies[0].state, ran.writes) == ("held", {})
    for n in range(3):
        h.add_contact(f"Persoon {n}")
    assert h.run().report.companies[0].state == "done"
    assert h.items()["Persoon 3"]["jobTitle"] == "Inkoper"


def losers(h: Harness) -> list[str]:
    with read(h.edges.engine) as conn:
        done = t.change.c.outcome == "updated"
        return list(conn.scalars(select(t.change.c.losing).where(t.change.c.losing != "{}", done)))


def test_a_value_that_was_let_differ_is_kept_when_it_is_replaced(make_harness):
    h = make_harness(world(person("Jan Jansen")))
    h.add_profiles(direction="to_outlook")
    h.full()
    h.edit_item("Jan Jansen", jobTitle="van Outlook")
    h.run()
    assert h.items()["Jan Jansen"]["jobTitle"] == "van Outlook"
    h.edit_contact("Jan Jansen", jobTitle="van BC")
    h.run()
    assert h.items()["Jan Jansen"]["jobTitle"] == "van BC"
    assert losers(h) == ['{"job_title":"van Outlook"}']


def test_a_value_of_bc_that_was_let_differ_is_kept_when_it_is_replaced(one):
    one.add_profiles(direction="to_business_central")
    one.run()
    one.edit_contact("Jan Jansen", jobTitle="van BC")
    one.run()
    one.edit_item("Jan Jansen", jobTitle="van Outlook")
    one.run()
    assert one.contacts()["Jan Jansen"]["jobTitle"] == "van Outlook"
    assert losers(one) == ['{"job_title":"van BC"}']


def test_an_edit_that_only_a_look_up_can_judge_survives_its_failure(make_harness):
    h = make_harness(world(person("Jan Jansen")), retry_cap=0.0)
    h.sim.clock(freeze=True)
    h.add_profiles()
    h.full()
    h.run()
    h.edit_item("Jan Jansen", jobTitle="Inkoper")  # in the same second as our write: stamps say nothing
    h.sim.add_fault(name="F1", service="graph", part=False, path="batch", count=1)
    assert h.run().errors
    assert h.run().writes == {"updated_business_central": 1}
    assert h.contacts()["Jan Jansen"]["jobTitle"] == "Inkoper"


@pytest.mark.parametrize("at", [6, 8, 10, 12])
def test_an_edit_is_not_lost_with_a_worker_that_is_killed_at_a_commit(one, at):
    one.run()
    one.run()
    one.edit_item("Jan Jansen", jobTitle="Inkoper")
    killed_run(one, Killer("commit", at, after=False))
    one.run()
    assert one.contacts()["Jan Jansen"]["jobTitle"] == "Inkoper"


@pytest.mark.parametrize("at", range(12, 44, 4))
def test_an_edit_that_a_look_up_judged_is_not_lost_with_the_worker(make_harness, at):
    h = make_harness(world(person("Jan Jansen")))
    h.sim.clock(freeze=True)
    h.add_profiles()
    h.full()
    h.run()
    h.run()
    h.edit_item("Jan Jansen", jobTitle="Inkoper")  # in the same second as our write: stamps say nothing
    killed_run(h, Killer("commit", at, after=False))
    h.run()
    assert h.contacts()["Jan Jansen"]["jobTitle"] == "Inkoper"


def made_again(make_harness) -> Harness:
    """A contact that was deleted and made again in BC, while somebody edited its item."""
    h = make_harness(world(person("Jan Jansen"), person("Piet Puk"), person("Els Eik")))
    h.add_profiles()
    h.full()
    h.delete_contact("Jan Jansen")
    h.add_contact("Jan Jansen", jobTitle="van BC")
    h.edit_item("Jan Jansen", jobTitle="van Outlook")
    return h


def adopted(make_harness) -> Harness:
    """A person who is new in BC, and whom somebody had in the folder by hand."""
    h = make_harness(world(person("Piet Puk"), person("Els Eik")))
    h.add_profiles()
    h.full()
    h.add_contact("Jan Jansen", jobTitle="van BC")
    h.add_item(
        displayName="Jan Jansen", emailAddresses=[email("jan.jansen@klant.example")], jobTitle="van Outlook"
    )
    return h


def replaced(make_harness) -> Harness:
    """A contact whose item somebody deleted, and put another one in its place."""
    h = make_harness(world(person("Jan Jansen", jobTitle="ooit"), person("Piet Puk"), person("Els Eik")))
    h.add_profiles()
    h.full()
    h.edit_contact("Jan Jansen", jobTitle="van BC")
    h.delete_item("Jan Jansen")
    h.add_item(
        displayName="Jan Jansen", emailAddresses=[email("jan.jansen@klant.example")], jobTitle="van Outlook"
    )
    return h


@pytest.mark.parametrize("how", [made_again, adopted, replaced])
@pytest.mark.parametrize("edit", [None, "bc", "outlook"])
def test_what_an_item_lost_when_it_was_coupled_is_in_the_log_after_a_crash(make_harness, how, edit):
    h = how(make_harness)
    assert run_killed_behind_its_write(h)
    value = "van BC"
    if edit == "bc":
        # What was written counts as written: this is an edit, and no conflict with ourselves.
        h.edit_contact("Jan Jansen", jobTitle=(value := "later"))
    elif edit == "outlook":
        h.edit_item("Jan Jansen", mobilePhone="06 5550 1111")
    for _ in range(2):
        assert h.run().errors == []
    assert h.contacts()["Jan Jansen"]["jobTitle"] == h.items()["Jan Jansen"]["jobTitle"] == value
    if edit == "outlook":
        assert h.contacts()["Jan Jansen"]["mobilePhoneNumber"] == "06 5550 1111"
    assert losers(h) == ['{"job_title":"van Outlook"}']
    assert h.full().writes == {}


@pytest.mark.parametrize("how", [made_again, adopted, replaced])
def test_what_an_item_lost_when_it_was_coupled_is_in_the_log_without_an_answer(make_harness, how):
    h = how(make_harness)
    h.sim.add_fault(name="F4", service="graph", method="PATCH", part=True, path="/contacts/", count=1)
    ran = h.run()
    assert ran.errors == []
    assert ran.report.profiles[0].counters["outcomes"].get("skipped", 0) == 0
    assert h.contacts()["Jan Jansen"]["jobTitle"] == h.items()["Jan Jansen"]["jobTitle"] == "van BC"
    assert losers(h) == ['{"job_title":"van Outlook"}']
    assert h.run().writes == {}


@pytest.mark.parametrize("phone", ["", "+31 20 5550199"])
def test_the_first_match_decides_about_the_first_phone_too(make_harness, phone):
    item = {
        "displayName": "Jan Jansen",
        "emailAddresses": [email("jan.jansen@klant.example")],
        "businessPhones": ["+31 20 5550100", "+49 30 5550100"],
    }
    box = {
        "user_principal_name": "anna@voorbeeld.example",
        "folders": [{"name": "Business Central", "contacts": [item]}],
    }
    h = make_harness(world(person("Jan Jansen", phoneNumber=phone), mailboxes=[box]))
    h.add_profiles(policies={"blank_in_business_central": "overwrite"})
    h.full()
    own = ["+49 30 5550100"]
    assert h.items()["Jan Jansen"]["businessPhones"] == ([phone] if phone else []) + own
    assert h.run().writes == {}


def test_a_dry_run_reads_the_folder_of_a_migrated_mailbox(one):
    box = one.mailbox()["user_principal_name"]
    one.sim.control("POST", "graph/mailbox", {"mailbox": box, "migrate": True})
    one.edit_contact("Jan Jansen", jobTitle="Inkoper")
    assert one.run(dry_run=True, run_id="dry").errors == []
    one.run(run_id="real")
    made = dict(plans(one))
    assert made["dry"] == made["real"]


def test_an_item_that_returns_beside_an_edited_one_waits_for_one_run(one):
    box, jan = one.mailbox()["user_principal_name"], one.items()["Jan Jansen"]["id"]
    one.delete_item("Jan Jansen")
    assert one.run().writes == {"created_outlook": 1}
    one.edit_item("Jan Jansen", jobTitle="Inkoper")
    one.sim.control("POST", "graph/move", {"mailbox": box, "contact": jan, "to": one.folder_id()})
    assert one.run().writes == {"updated_business_central": 1}
    assert one.run().writes == {"deleted_outlook": 1, "updated_outlook": 1}
    assert one.run().writes == {}
    assert (one.items()["Jan Jansen"]["id"], one.items()["Jan Jansen"]["jobTitle"]) == (jan, "Inkoper")


def test_an_item_that_returns_brings_back_what_was_let_differ(make_harness):
    h = make_harness(world(person("Jan Jansen")))
    h.add_profiles(direction="to_outlook")
    h.full()
    box, jan = h.mailbox()["user_principal_name"], h.items()["Jan Jansen"]["id"]
    h.edit_item("Jan Jansen", jobTitle="van Outlook")
    h.run()
    h.delete_item("Jan Jansen")
    h.run()
    h.sim.control("POST", "graph/move", {"mailbox": box, "contact": jan, "to": h.folder_id()})
    assert h.run().writes == {"deleted_outlook": 1}
    h.add_profiles(direction="both")
    assert h.run().writes == {"updated_business_central": 1}
    assert h.contacts()["Jan Jansen"]["jobTitle"] == "van Outlook"


@pytest.fixture
def keyless(make_harness) -> Harness:
    """A pair whose item did not get its key: its user edited it right before that was written."""
    h = make_harness(world())
    h.add_profiles()
    h.full()
    h.add_item(displayName="Jan Jansen", emailAddresses=[email("jan@klant.example")])
    action = {"method": "PATCH", "path": "{path}", "body": {"businessHomePage": "https://jan.example"}}
    h.sim.add_fault(name="F10", service="graph", part=True, path="/contacts/", action=action)
    assert h.run().writes == {"created_business_central": 1}
    assert h.items()["Jan Jansen"]["key"] == ""
    return h


def test_a_key_that_could_not_be_written_is_written_to_a_kept_item(keyless, new_database, database_kind):
    h = keyless
    h.delete_contact("Jan Jansen")
    ran = h.run()
    assert (ran.writes, ran.reasons()) == ({}, {"deleted_in_bc_edited_in_outlook": 1})
    assert h.items()["Jan Jansen"]["key"]
    h.sim.reset_counters()
    h.run()
    assert h.app_writes() == 0
    lose_database(h, new_database(database_kind))
    assert h.full().writes == {}
    assert h.contacts() == {}


def test_an_item_that_became_a_pair_counts_once_over_all_rounds(make_harness):
    h = make_harness(world(person("Persoon 000"), post_codes={"1501 AB": ["ZAANDAM", "NH"]}))
    h.add_profiles()
    h.full()
    # BC returns another state than was sent, which the second round takes to Outlook; a mismatch makes that round.
    h.add_item(
        displayName="Jan Jansen",
        emailAddresses=[email("jan@klant.example")],
        businessAddress={"city": "Zaandam", "postalCode": "1501 AB", "state": "Noord", "street": ""},
    )
    h.edit_item("Persoon 000", jobTitle="Inkoper")
    action = {"method": "PATCH", "path": "{path}", "body": {"mobilePhoneNumber": "+31 6 12345678"}}
    h.sim.add_fault(name="F10", service="bc", method="PATCH", action=action)
    ran = h.run()
    assert ran.writes["created_business_central"] == 1
    assert ran.writes["updated_outlook"] >= 1
    assert ran.report.profiles[0].counters["read"] == 2


def test_a_mismatch_with_what_was_to_be_written_is_a_conflict_in_the_log(make_harness):
    h = make_harness(world(person("Jan Jansen")))
    h.add_profiles()
    h.full()
    h.edit_item("Jan Jansen", jobTitle="van Outlook")
    h.edit_contact("Jan Jansen", jobTitle="van BC")
    # As when the answer of our own first try was lost: the second finds its own values under another version.
    action = {"method": "PATCH", "path": "{path}", "body": {"jobTitle": "van BC"}}
    h.sim.add_fault(name="F10", service="graph", part=True, method="PATCH", path="/contacts/", action=action)
    h.run()
    assert h.items()["Jan Jansen"]["jobTitle"] == "van BC"
    with read(h.edges.engine) as conn:
        row = conn.execute(select(t.change).where(t.change.c.action == "update_outlook")).mappings().one()
    assert (row["outcome"], row["reason"]) == ("updated", "settled")
    assert (row["cause"], row["losing"]) == ("conflict", '{"job_title":"van Outlook"}')
    assert h.full().writes == {}


@pytest.fixture
def named(make_harness) -> Harness:
    """A company whose own page gives the parts of a name, which BC makes of a new name by itself."""
    h = make_harness(world(person("Jan Jansen")))
    h.edges.business_central_settings = replace(h.edges.business_central_settings, field_profile="extended")
    h.add_profiles()
    h.full()
    return h


def test_the_name_parts_that_bc_makes_reach_outlook_in_the_same_run(named):
    named.edit_item("Jan Jansen", displayName="Jan Pietersen")
    assert named.run().writes == {"updated_business_central": 1, "updated_outlook": 1}
    assert named.items()["Jan Pietersen"]["surname"] == "Pietersen"
    assert named.run().writes == {}


def test_the_name_parts_of_a_contact_made_in_bc_reach_outlook_in_the_same_run(named):
    named.add_item(displayName="Els Nieuw", emailAddresses=[email("els@nieuw.example")])
    assert named.run().writes == {"created_business_central": 1, "updated_outlook": 1}
    assert named.items()["Els Nieuw"]["surname"] == "Nieuw"
    assert named.run().writes == {}


def test_an_item_that_returns_beside_a_renamed_one_takes_its_place_in_the_next_run(named):
    box, jan = named.mailbox()["user_principal_name"], named.items()["Jan Jansen"]["id"]
    named.delete_item("Jan Jansen")
    named.run()
    named.edit_item("Jan Jansen", displayName="Jan Pietersen")
    named.sim.control("POST", "graph/move", {"mailbox": box, "contact": jan, "to": named.folder_id()})
    named.run()
    named.run()
    assert named.items()["Jan Pietersen"]["id"] == jan
    assert named.run().writes == {}


def test_an_item_that_never_got_its_key_goes_when_its_contact_is_blocked(keyless):
    keyless.edit_contact("Jan Jansen", privacyBlocked=True)
    assert keyless.run().writes == {"deleted_outlook": 1}


def test_an_item_that_was_left_aside_and_is_made_a_contact_in_the_same_run_counts_once(make_harness):
    """It had the address of another one, which got a new one; Business Central made the run go round again."""
    h = make_harness(world(post_codes={"1501 AB": ["ZAANDAM", "NH"]}))
    h.add_profiles()
    h.full()
    for name in ("Jan Jansen", "Jan Twee"):
        h.add_item(displayName=name, emailAddresses=[email("jan@klant.example")])
        h.run()
    assert h.run().reasons() == {"duplicate_email_in_outlook": 1}
    address = {"city": "Zaandam", "postalCode": "1501 AB", "state": "Noord"}
    h.edit_item("Jan Jansen", emailAddresses=[email("nieuw@klant.example")], businessAddress=address)
    ran = h.run()
    counters = ran.report.profiles[0].counters
    assert counters["outcomes"] == {"created": 1, "updated": 1}
    assert (counters["unbalanced"], counters["reasons"]) == (0, {})
