"""Nothing lost, nothing doubled: the guard, lost state, failures of one profile, and a service that goes away."""

from __future__ import annotations

import pytest
from sqlalchemy import select

from sync_lib.errors import ConfigError
from sync_lib.store import tables as t
from sync_lib.store.engine import read
from tests.sync.harness import COMPANY, Harness, person, world


def people(count: int, **fields: object) -> list[dict]:
    return [person(f"Persoon {n:03}", f"p{n}@klant.example", **fields) for n in range(count)]


@pytest.fixture
def thirty(make_harness) -> Harness:
    h = make_harness(world(*people(30)))
    h.add_profiles()
    assert h.full().writes == {"created_outlook": 30}
    return h


def test_an_emptied_folder_is_held(thirty):
    for name in list(thirty.items()):
        thirty.delete_item(name)
    ran = thirty.run()
    assert ran.writes == {}
    assert ran.report.outcomes["held"] == 30
    assert ran.verdict.ok
    assert ran.report.profiles[0].state == "held"
    assert "folder_suddenly_empty" in str(ran.report.lines())
    assert thirty.items() == {}
    again = thirty.run()
    assert again.report.outcomes["held"] == 30
    with read(thirty.edges.engine) as conn:
        assert list(conn.scalars(select(t.hold.c.state))) == ["open"]


def test_a_deleted_folder_is_an_emptied_one(thirty):
    thirty.in_outlook("DELETE", f"contactFolders/{thirty.folder_id()}")
    ran = thirty.run()
    assert ran.errors == []
    assert ran.report.outcomes["held"] == 30
    assert thirty.items() == {}


def test_a_filter_that_would_remove_most_is_held(thirty):
    thirty.add_profiles(filter={"Name": "Persoon 00*"})
    ran = thirty.run()
    assert ran.report.outcomes["held"] == 20
    assert len(thirty.items()) == 30


def test_one_of_three_is_made_again(make_harness):
    h = make_harness(world(*people(3)))
    h.add_profiles()
    h.full()
    h.delete_item("Persoon 001")
    assert h.run().writes == {"created_outlook": 1}


def test_a_company_that_lists_nothing_is_held(thirty):
    thirty.sim.add_fault(name="F17", keep=0, count=None)
    ran = thirty.full()
    assert ran.writes == {}
    assert ran.report.companies[0].state == "held"
    assert ran.verdict.ok
    thirty.sim.clear_faults()
    assert thirty.full().report.profiles[0].state == "done"
    assert len(thirty.items()) == 30


def test_lost_staging_database_couples_everything_again(make_harness, new_database, database_kind):
    twin = person("Tweeling", "p1@klant.example")
    h = make_harness(world(*people(8), person("Els Nieuw"), twin))
    h.add_profiles()
    h.full()
    h.add_item(displayName="Van Outlook", emailAddresses=[{"address": "vo@klant.example", "name": "x"}])
    h.run()
    h.close()
    h.database = new_database(database_kind)
    h.__init__(h.sim, h.database)
    h.add_profiles()
    h.sim.reset_counters()
    ran = h.full()
    assert ran.errors == []
    assert ran.writes == {}
    assert h.app_writes() == 0
    assert ran.report.outcomes == {"coupled": 10, "skipped": 1}
    assert h.run().writes == {}


def test_failures_stay_with_their_profiles(make_harness):
    boxes = [
        "anna@voorbeeld.example",
        {"user_principal_name": "geen@voorbeeld.example", "state": "no_mailbox"},
        {"user_principal_name": "dicht@voorbeeld.example", "state": "policy_denied"},
    ]
    h = make_harness(world(*people(3), mailboxes=boxes))
    h.add_profiles(
        "anna@voorbeeld.example", "geen@voorbeeld.example", "dicht@voorbeeld.example", "weg@voorbeeld.example"
    )
    ran = h.full()
    assert ran.profile("anna@voorbeeld.example").state == "done"
    assert len(h.items("anna@voorbeeld.example")) == 3
    for name, reason in (
        ("geen", "mailbox_not_found"),
        ("weg", "mailbox_not_found"),
        ("dicht", "mailbox_access_denied"),
    ):
        result = ran.profile(f"{name}@voorbeeld.example")
        assert (result.state, result.reason) == ("failed", reason)
        assert result.message.endswith(".")
    assert not ran.verdict.ok
    assert "geen@voorbeeld.example (mailbox_not_found)" in ran.verdict.message


def test_a_company_that_cannot_be_read_fails_its_own_profiles(make_harness):
    two = world(*people(2))
    two["companies"].append({"name": "Dicht BV", "contacts": people(2), "state": "forbidden"})
    h = make_harness(two)
    h.add_profiles()
    h.add_profiles(company="Dicht BV", folder="Dicht")
    h.add_profiles(company="Bestaat niet", folder="Anders")
    ran = h.full()
    states = {(p.company, p.state, p.reason) for p in ran.report.profiles}
    assert states == {
        (COMPANY, "done", ""),
        ("Dicht BV", "failed", "company_not_read"),
        ("Bestaat niet", "failed", "company_not_found"),
    }
    (unknown,) = (p.message for p in ran.report.profiles if p.reason == "company_not_found")
    assert COMPANY in unknown, "those that there are"
    assert not ran.verdict.ok
    assert ("Dicht BV", "failed", "company_access_denied") in {
        (c.name, c.state, c.reason) for c in ran.report.companies
    }


def test_a_company_that_is_gone_from_business_central_says_so(make_harness):
    h = make_harness(world(*people(2)))
    h.add_profiles()
    h.full()
    h.sim.control("POST", "bc/company", {"state": "missing"})
    ran = h.run()
    [company] = ran.report.companies
    assert (company.state, company.reason) == ("failed", "company_not_found")
    h.sim.control("POST", "bc/company", {"state": "normal"})
    assert h.run().verdict.ok


def test_no_profiles_is_a_clear_error(make_harness):
    h = make_harness(world())
    with pytest.raises(ConfigError, match="Import some"):
        h.run()
    h.add_profiles()
    with pytest.raises(ConfigError, match="niemand@voorbeeld"):
        h.run(profiles=["niemand@voorbeeld.example"])


def test_a_dry_run_plans_the_same_and_changes_nothing(make_harness):
    h = make_harness(world(*people(5)))
    h.add_profiles()
    dry = h.full(dry_run=True)
    assert dry.errors == []
    assert h.app_writes() == 0
    assert h.items() == {}
    assert dry.report.outcomes == {"skipped": 5}
    assert dry.report.profiles[0].counters["planned"] == {"created_outlook": 5}
    assert "5/0/0" in str(dry.report.lines())
    real = h.full()
    assert real.writes == {"created_outlook": 5}
    with read(h.edges.engine) as conn:
        plans = conn.execute(select(t.change.c.plan, t.change.c.action, t.change.c.digest)).all()
    first, last = min(p for p, _, _ in plans), max(p for p, _, _ in plans)
    assert {(a, d) for p, a, d in plans if p == first} == {(a, d) for p, a, d in plans if p == last}
    h.edit_contact("Persoon 001", jobTitle="Inkoper")
    h.add_item(displayName="Nieuw", emailAddresses=[{"address": "n@klant.example", "name": "x"}])
    h.sim.reset_counters()
    before = _staging(h)
    assert h.run(dry_run=True).writes == {}
    assert h.app_writes() == 0
    assert _staging(h) == before
    assert h.run().writes == {"updated_outlook": 1, "created_business_central": 1}


def _staging(h: Harness) -> dict[str, list]:
    """All rows that a dry run must leave as they are."""
    tables = (t.bc_contact, t.outlook_contact, t.coupling, t.cursor, t.claim, t.sync_profile, t.reject)
    with read(h.edges.engine) as conn:
        return {table.name: [tuple(row) for row in conn.execute(select(table))] for table in tables}


def test_graph_goes_away_in_the_middle_and_comes_back(make_harness):
    h = make_harness(world(*people(60)), retry_cap=1.0, longest_request=0.0)
    h.add_profiles()

    def cut(_call: object) -> None:
        h.sim._server.faults.add({"service": "graph", "kind": "reset", "count": None}, None)

    h.sim.add_fault(cut, kind="callback", service="graph", method="POST", path=r"\$batch$", nth=3)
    ran = h.full()
    assert ran.report.outcomes == {"created": 20, "unknown": 20, "failed": 20}
    assert ran.report.profiles[0].reason == "service_away"
    assert not ran.verdict.ok
    h.sim.clear_faults()
    again = h.run()
    assert again.errors == []
    h.run()
    assert len(h.items()) == 60
    assert len({item["key"] for item in h.items().values()}) == 60
    assert h.run().writes == {}


@pytest.mark.parametrize("moment", ["before", "after"])
def test_an_unknown_create_in_bc_is_never_doubled(make_harness, moment):
    h = make_harness(world(*people(2)), longest_request=0.0, retry_cap=1.0)
    h.add_profiles()
    h.full()
    h.add_item(displayName="Els Nieuw", emailAddresses=[{"address": "els@klant.example", "name": "x"}])
    h.sim.add_fault(
        service="bc", kind="status", status=504, method="POST", path="contacts", moment=moment, count=1
    )
    for _ in range(3):
        h.run()
    names = [c["displayName"] for c in h.sim.dump()["companies"][0]["contacts"]]
    assert names.count("Els Nieuw") == 1
    assert h.run().writes == {}
