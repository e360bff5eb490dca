"""Rules 1: companies and mailboxes are known by their ids, wherever they are copied, moved or renamed to."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest
import yaml
from sqlalchemy import select

from sync_lib.errors import ConfigError
from sync_lib.model import Decision
from sync_lib.operate import answers, checks
from sync_lib.store import companies, holds
from sync_lib.store import tables as t
from sync_lib.store.engine import read, transaction
from sync_lib.store.holds import HoldState
from sync_lib.store.profiles import rows as profiles
from sync_lib.store.profiles.history import Author
from sync_lib.store.profiles.importing import import_profiles
from sync_lib.store.profiles.rows import Profile
from sync_lib.store.profiles.settings import add_profile
from tests.sync.harness import COMPANY, Harness, person, world


@pytest.fixture
def database_kind() -> str:
    """One database is enough here: where the two differ is tested with the store."""
    return "sqlite"


def people(count: int) -> list[dict]:
    return [person(f"Persoon {n:03}", f"p{n}@klant.example") for n in range(count)]


def copy_environment(h: Harness, name: str) -> None:
    """An administrator copies the environment, which keeps all ids, and points the Connection to the copy."""
    copied = h.sim.dump() | {"environment": name}
    h.sim.control("POST", "reset", {"world": copied})
    point(h, name)


def point(h: Harness, environment: str, **more: str) -> None:
    settings = replace(h.edges.business_central_settings, environment=environment, **more)
    h.close()
    h.edges = h.open()
    h.edges.business_central_settings = settings


def reasons(ran) -> set[tuple[str, str]]:
    return {(p.state, p.reason) for p in ran.report.profiles}


def keys(h: Harness) -> set[str]:
    return {item["key"].rsplit("/", 1)[0] for item in h.items().values()}


def accept(h: Harness, environment: str) -> None:
    with transaction(h.edges.engine) as conn:
        company = companies.find_company(conn, COMPANY)
        companies.accept_move(conn, company, environment, now=h.edges.now())


def approve(h: Harness) -> None:
    with transaction(h.edges.engine) as conn:
        (hold,) = holds.read_holds(conn, HoldState.OPEN)
        assert holds.decide(conn, hold, Decision(True, "eva", "person", h.edges.now()))


@pytest.fixture
def synced(make_harness) -> Harness:
    h = make_harness(world(*people(4)))
    h.add_profiles()
    assert h.full().writes == {"created_outlook": 4}
    return h


# -- a company is where it was first read from -----------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["incremental", "full"])
def test_a_copied_environment_is_neither_read_nor_written(synced, mode):
    """I1: the copy has the same ids, so its edits would overwrite the mailboxes."""
    copy_environment(synced, "Test-kopie")
    synced.edit_contact("Persoon 001", jobTitle="Alleen in de kopie")
    synced.edit_item("Persoon 002", jobTitle="Inkoper")
    synced.sim.control("POST", "counters/reset")
    ran = synced.run(mode)
    assert reasons(ran) == {("failed", "environment_changed")}
    assert "accept-move" in ran.report.profiles[0].message
    assert synced.app_writes() == 0
    assert synced.sim.counters()["app"]["bc"]["requests"] == 0
    assert synced.items()["Persoon 001"].get("jobTitle") != "Alleen in de kopie"
    assert synced.contacts()["Persoon 002"].get("jobTitle") != "Inkoper"


def test_a_new_profile_of_the_copy_does_not_pass_it_by(synced):
    """I1: a copy is never bound beside the company that it was made of."""
    copy_environment(synced, "Kopie")
    synced.add_profiles(folder="Tweede")
    assert reasons(synced.full()) == {("failed", "environment_changed")}


def test_a_connection_that_is_pointed_back_goes_on(synced):
    """I1: nothing has to be accepted, and nothing is asked."""
    before = synced.sim.dump()
    copy_environment(synced, "Kopie")
    assert reasons(synced.run()) == {("failed", "environment_changed")}
    synced.sim.control("POST", "reset", {"world": before})
    point(synced, "PRODUCTION")
    synced.edit_contact("Persoon 001", jobTitle="Inkoper")
    assert synced.run().writes == {"updated_outlook": 1}
    with pytest.raises(ConfigError, match="no move to accept"):
        accept(synced, "Kopie")


def test_a_tenant_may_be_written_as_a_domain_name(synced):
    """I1: tenants compare by the id that the authority gives."""
    environment = synced.edges.business_central_settings.environment
    point(synced, environment.lower(), tenant_id="voorbeeld.example")
    synced.edit_contact("Persoon 001", jobTitle="Inkoper")
    assert synced.run().writes == {"updated_outlook": 1}


def test_a_tenant_bound_by_its_domain_name_stays_the_same(make_harness):
    """I1: the key of a company that an earlier version bound by a domain name still counts as ours."""
    h = make_harness(world(*people(2)))
    point(h, h.edges.business_central_settings.environment, tenant_id="voorbeeld.example")
    h.add_profiles()
    h.full()
    assert keys(h) == {f"{h.sim.info()['tenant_id']}/production/{h.sim.info()['companies'][0]['id']}"}
    with transaction(h.edges.engine) as conn:
        conn.execute(t.company.update().values(tenant_id="voorbeeld.example"))
    point(h, "Production", tenant_id=h.sim.info()["tenant_id"])
    h.edit_contact("Persoon 001", jobTitle="Inkoper")
    assert h.run().writes == {"updated_outlook": 1}


def test_another_tenant_is_another_place(synced):
    """I1: the same environment name in another tenant."""
    with transaction(synced.edges.engine) as conn:
        conn.execute(t.company.update().values(tenant_id="99999999-2222-4333-8444-555555555555"))
    assert reasons(synced.run()) == {("failed", "environment_changed")}


# -- an accepted move ------------------------------------------------------------------------------------------------


def test_an_accepted_move_reads_all_anew_and_holds_what_differs(synced):
    """I1: the first run after it is a restored one: full, each difference a conflict, its plan held."""
    copy_environment(synced, "Nieuw")
    synced.edit_contact("Persoon 001", jobTitle="Uit de kopie")
    synced.edit_item("Persoon 002", jobTitle="Inkoper")
    synced.run()
    with pytest.raises(ConfigError, match="'Nieuw', not 'Anders'"):
        accept(synced, "Anders")
    accept(synced, "nieuw")
    ran = synced.run()
    assert (ran.errors, ran.writes) == ([], {})
    assert ran.report.profiles[0].state == "held"
    assert set(ran.reasons()) == {"company_moved"}
    with read(synced.edges.engine) as conn:
        held = select(t.change.c.action, t.change.c.cause).where(t.change.c.outcome == "held")
        planned = Counter(map(tuple, conn.execute(held)))
    assert planned["update_outlook", "conflict"] == 2
    assert synced.run().report.profiles[0].state == "held", "it was no plain comparison"
    again = synced.run()
    assert again.report.profiles[0].state == "quiet"
    assert "Waiting for a person" in again.verdict.message
    assert set(again.reasons()) == {"company_moved"}


def test_a_move_to_an_older_copy_is_held_as_a_move(make_harness):
    """I1: what a person accepted is said, not what follows from it: that the copy lacks what came after it."""
    h = make_harness(world(*people(20)), id_scan_cheap_every=0.0)
    h.add_profiles()
    h.full()
    before = h.sim.dump()
    h.sim.clock(advance_seconds=7200)
    for n in range(12):
        h.edit_contact(f"Persoon {n:03}", jobTitle="Nieuw")
    assert h.run().writes == {"updated_outlook": 12}
    h.sim.reset(world={**h.sim.dump(), "companies": before["companies"], "environment": "Nieuw"})
    point(h, "Nieuw")
    h.run()
    accept(h, "Nieuw")
    for mode in ("incremental", "full"):
        ran = h.run(mode)
        assert (ran.errors, ran.writes) == ([], {})
        assert set(ran.reasons()) == {"company_moved"}


def test_keys_and_marker_are_rewritten_by_the_loads_that_follow(synced):
    """I1: those of the former binding count as ours until then."""
    before = keys(synced)
    copy_environment(synced, "Nieuw")
    synced.run()
    accept(synced, "Nieuw")
    assert synced.run().writes == {}
    assert keys(synced) == before
    approve(synced)
    ran = synced.run()
    assert ran.errors == []
    assert keys(synced) == {key.replace("production", "nieuw") for key in before}
    synced.edit_item("Persoon 003", jobTitle="Inkoper")
    assert synced.full().writes == {"updated_business_central": 1}
    assert synced.full().writes == {}


def test_a_move_back_is_a_move_too(synced):
    """I1: what was the former binding becomes the binding again, and the other way round."""
    copy_environment(synced, "Nieuw")
    synced.run()
    accept(synced, "Nieuw")
    synced.run()
    copy_environment(synced, "Production")
    assert reasons(synced.run()) == {("failed", "environment_changed")}
    accept(synced, "Production")
    synced.run()
    with read(synced.edges.engine) as conn:
        company = companies.find_company(conn, COMPANY)
        former = companies.read_key(conn, company).former
    assert (company.environment, [each[1] for each in former]) == ("Production", ["nieuw"])


# -- an account that was deleted and made again ----------------------------------------------------------------------

ANNA = "anna@voorbeeld.example"


def profile(h: Harness, key: int = 1) -> Profile:
    with read(h.edges.engine) as conn:
        return profiles.read_profile(conn, key)


def load(h: Harness, mailbox: str, **fields: str) -> None:
    """Import a file of one row."""
    text = yaml.safe_dump({"profiles": [{"mailbox": mailbox, "company": COMPANY, **fields}]})
    import_profiles(h.edges.engine, text, now=h.edges.now(), field_profile="standard")


def say_same_colleague(h: Harness) -> None:
    with transaction(h.edges.engine) as conn:
        answers.accept_successor(conn, profiles.read_profile(conn, 1), now=h.edges.now())


@pytest.mark.parametrize("mode", ["incremental", "full"])
def test_an_account_made_again_waits_for_a_person(synced, mode):
    """I10: another user id is a successor, and perhaps not the same colleague."""
    synced.sim.control("POST", "graph/mailbox", {"mailbox": ANNA, "replace": True})
    synced.edit_contact("Persoon 001", jobTitle="Inkoper")
    ran = synced.run(mode)
    assert reasons(ran) == {("failed", "mailbox_replaced")}
    assert "same-colleague" in ran.report.profiles[0].message
    assert synced.items() == {}
    assert [f["name"] for f in synced.mailbox()["folders"]] == ["Contacts", "Deleted Items"]
    assert profile(synced).successor == synced.mailbox()["id"]
    said = [check for check in checks.check_connections(synced.edges) if check.kind == "mailbox"]
    assert [(check.ok, check.reason) for check in said] == [(False, "mailbox_replaced")]


@pytest.mark.parametrize("policy", ["recreate", "stay_away"])
def test_the_same_colleague_gets_the_contacts_again(make_harness, policy):
    """I10: the folder counts as an emptied one, whatever the policy."""
    h = make_harness(world(*people(4)))
    h.add_profiles(policies={"deleted_in_outlook": policy})
    h.full()
    h.sim.control("POST", "graph/mailbox", {"mailbox": ANNA, "replace": True})
    h.run()
    say_same_colleague(h)
    ran = h.run()
    assert (ran.errors, ran.writes) == ([], {"created_outlook": 4})
    assert profile(h).graph_user_id == h.mailbox()["id"]
    assert profile(h).successor == ""
    h.edit_item("Persoon 002", jobTitle="Inkoper")
    assert h.run().writes == {"updated_business_central": 1}
    assert h.full().writes == {}


def test_many_contacts_of_a_replaced_mailbox_are_held(make_harness):
    """I10: as of any folder that is suddenly empty."""
    h = make_harness(world(*people(12)))
    h.add_profiles()
    h.full()
    h.sim.control("POST", "graph/mailbox", {"mailbox": ANNA, "replace": True})
    h.full()
    say_same_colleague(h)
    assert h.run().reasons() == {"folder_suddenly_empty": 12}


@pytest.mark.parametrize("is_known", [False, True])
def test_a_dry_run_asks_nobody_about_a_successor(synced, is_known):
    before = synced.sim.dump()
    synced.sim.control("POST", "graph/mailbox", {"mailbox": ANNA, "replace": True})
    if is_known:
        synced.run()
        synced.sim.control("POST", "reset", {"world": before})
    known = profile(synced).successor
    assert bool(known) == is_known
    synced.full(dry_run=True)
    assert profile(synced).successor == known


def test_all_profiles_of_a_mailbox_go_to_the_successor_at_once(make_harness):
    """I10: a person is asked once for each colleague."""
    h = make_harness(world(*people(3)))
    h.add_profiles()
    h.add_profiles(folder="Klanten", filter={"Name": "Persoon 001"})
    h.full()
    h.sim.control("POST", "graph/mailbox", {"mailbox": ANNA, "replace": True})
    h.run()
    say_same_colleague(h)
    assert h.run().errors == []
    assert set(h.items(folder="Klanten")) == {"Persoon 001"}
    assert len(h.items()) == 3


def test_an_account_that_is_gone_has_no_successor(synced):
    """I10: with nobody at the address, it is as it was."""
    synced.sim.control("POST", "graph/mailbox", {"mailbox": ANNA, "state": "removed"})
    assert reasons(synced.run()) == {("failed", "mailbox_not_found")}
    with pytest.raises(ConfigError, match="no other account"):
        say_same_colleague(synced)
    synced.sim.control("POST", "graph/mailbox", {"mailbox": ANNA, "state": "normal"})
    assert synced.run().errors == []


# -- names are followed ----------------------------------------------------------------------------------------------


def test_a_mailbox_with_another_address_is_followed(synced):
    """I12: the profile shows today's address, and a file may name the former one."""
    synced.sim.control("POST", "graph/mailbox", {"mailbox": ANNA, "rename": "a.devries@voorbeeld.example"})
    assert synced.full().errors == []
    assert profile(synced).mailbox == "a.devries@voorbeeld.example"
    for name in (ANNA, "A.deVries@voorbeeld.example"):
        load(synced, name, salesperson="AV")
    with read(synced.edges.engine) as conn:
        assert [each.salesperson_code for each in profiles.read_profiles(conn)] == ["AV"]


def test_an_address_that_went_to_somebody_else_means_them(make_harness):
    """I12: the former address counts only where no profile has it today."""
    h = make_harness(world(*people(1), mailboxes=[ANNA, "bob@voorbeeld.example"]))
    h.add_profiles()
    h.full()
    h.sim.control("POST", "graph/mailbox", {"mailbox": ANNA, "rename": "anna2@voorbeeld.example"})
    h.sim.control("POST", "graph/mailbox", {"mailbox": "bob@voorbeeld.example", "rename": ANNA})
    assert h.full().errors == []
    with transaction(h.edges.engine) as conn:
        add_profile(conn, replace(profiles.entry_of(profile(h)), mailbox=ANNA), by=Author("eva", "2026"))
    h.add_profiles(ANNA, salesperson="BB")
    assert [profile(h, key).salesperson_code for key in (1, 2)] == ["", "BB"]
    assert h.full().writes == {"created_outlook": 1}


def rename_company(h: Harness, name: str) -> None:
    dump = h.sim.dump()
    dump["companies"][0]["name"] = name
    h.sim.control("POST", "reset", {"world": dump})


def test_a_company_with_another_name_is_followed(synced):
    """I13: it is known by its id, to the check too; its name is today's, and a file may name the former one."""
    with transaction(synced.edges.engine) as conn:
        profiles.write_phone_region(conn, COMPANY, "BE")
    rename_company(synced, "Molenzicht Groep BV")
    said = checks.check_connections(synced.edges)
    assert [check.ok for check in said if check.kind == "company"] == [True]
    assert synced.full().errors == []
    assert profile(synced).company_name == "Molenzicht Groep BV"
    load(synced, ANNA, salesperson="AV")
    assert profile(synced).salesperson_code == "AV"
    with read(synced.edges.engine) as conn:
        assert companies.find_company(conn, "Molenzicht Groep BV").phone_region == "BE"
    synced.edit_item("Persoon 001", jobTitle="Inkoper")
    assert synced.run().writes == {"updated_business_central": 1}
