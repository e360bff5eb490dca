"""What a run shows of a profile in which nothing changed, and whose books are right when a run is over (rules 8.8)."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import select

from sync_lib.store import tables as t
from sync_lib.store.engine import read
from sync_lib.web.app import make_app
from tests.sync.harness import Harness, Ran, person, world
from tests.web.surroundings import open_seams

#: Five that do not sync, for three reasons.
LEFT_OUT = (
    person("Zonder Adres"),
    person("Ook Zonder"),
    person("Fout Adres", "geen-adres"),
    person("Dubbel Een", "dubbel@klant.example"),
    person("Dubbel Twee", "dubbel@klant.example"),
    person("Dubbel Drie", "dubbel@klant.example"),
)


@pytest.fixture
def h(make_harness) -> Harness:
    people = [person(f"Persoon {n}") for n in range(7)]
    h = make_harness(world(*people, *LEFT_OUT))
    h.add_profiles()
    for name in ("Zonder Adres", "Ook Zonder"):
        h.edit_contact(name, email="")
    return h


def figures(ran: Ran) -> dict:
    counters = ran.report.profiles[0].counters
    return {name: counters[name] for name in ("read", "outcomes", "reasons")}


def rejects(h: Harness, table=t.reject) -> dict[str, int]:
    with read(h.edges.engine) as conn:
        reasons = list(conn.scalars(select(table.c.reason)))
    return {reason: reasons.count(reason) for reason in reasons}


def shown(h: Harness, address: str) -> str:
    return TestClient(make_app(open_seams(h.edges.engine))).get(address).text


def cells(html: str) -> dict[str, str]:
    """The figures of the only profile on the overview: text of each cell by its label."""
    found = re.findall(r'<td data-label="([^"]*)"[^>]*>(.*?)</td>', html, flags=re.DOTALL)
    texts = {label: " ".join(re.sub(r"<[^>]*>", " ", cell).split()) for label, cell in found}
    return {label: texts[label] for label in ("In agreement", "Written", "Held", "Not synced")}


def test_five_that_do_not_sync_still_count_after_three_quiet_runs(h):
    """P1: a quiet run shows what the last comparison found, and when that was; these are no outcomes of its own."""
    h.full()
    h.run()
    compared = h.full()
    quiet = [h.run() for _ in range(3)]
    expected = {"duplicate_email_in_bc": 2, "email_invalid": 1, "email_missing": 2}
    assert [figures(ran) for ran in quiet] == [figures(compared)] * 3
    assert figures(compared)["reasons"] == rejects(h) == expected
    assert compared.report.profiles[0].compared_at is None
    (at,) = {ran.report.profiles[0].compared_at for ran in quiet}
    assert at
    assert "of these, not synced: 2 duplicate_email_in_bc, 1 email_invalid, 2 email_missing" in str(
        quiet[-1].report.lines()
    )
    with read(h.edges.engine) as conn:
        stored = conn.scalar(select(t.sync_run.c.counters).where(t.sync_run.c.id == quiet[-1].report.run))
    assert json.loads(stored)["outcomes"] == {}, "no outcomes of this run"


def test_the_overview_after_three_quiet_runs_is_that_after_a_full_run(h):
    """P1: the figures of the page, and the list of what does not sync."""
    h.full()
    h.run()
    h.full()
    after_full, list_after_full = cells(shown(h, "/")), shown(h, "/rejects")
    assert after_full == {"In agreement": "8 / 13", "Written": "", "Held": "", "Not synced": "5"}
    for _ in range(3):
        assert h.run().report.profiles[0].compared_at
    assert cells(shown(h, "/")) == after_full
    assert shown(h, "/rejects").count("Zonder") == list_after_full.count("Zonder") == 2


def test_the_page_of_an_earlier_quiet_run_does_not_show_a_later_comparison(h):
    """P1: figures of a comparison that came afterwards are not those of the run that is looked back at."""
    h.full()
    h.run()
    quiet = h.run(profiles=["anna@voorbeeld.example"])
    assert cells(shown(h, f"/runs/{quiet.report.run}"))["In agreement"] == "8 / 13"
    h.edit_contact("Persoon 1", email="")
    h.run()
    assert cells(shown(h, "/"))["In agreement"] == "7 / 13"
    assert cells(shown(h, f"/runs/{quiet.report.run}"))["In agreement"] == "-"


def test_the_page_of_a_run_says_how_many_had_nothing_to_do(h):
    h.full()
    h.run()
    quiet = h.run()
    page = shown(h, f"/runs/{quiet.report.run}")
    assert "1 profile had nothing to do" in page
    assert "No profile had anything to do in this run." in page


def test_a_profile_that_failed_is_good_again_by_a_quiet_run(h):
    """A cause that all share costs nobody a task, and neither does its end."""
    h.full()
    h.run()
    h.run()
    h.edges.settings = replace(h.edges.settings, retry_cap=0.0)
    fault = h.sim.add_fault(name="F3", service="graph", status=503, count=None)
    h.run()
    assert fault.fired
    assert 'class="is-failed"' in shown(h, "/")
    h.sim.clear_faults()
    assert h.run().report.profiles[0].state == "quiet"
    assert 'class="is-done"' in shown(h, "/")


def test_the_run_that_fixes_a_reject_does_not_report_it(h):
    """P7: the books are those after the load."""
    h.full()
    h.edit_contact("Persoon 3", email="")
    assert h.run().reasons()["email_missing"] == 3
    h.edit_item("Persoon 3", emailAddresses=[{"address": "terug@klant.example", "name": "x"}])
    ran = h.run()
    assert ran.writes == {"updated_business_central": 1}
    assert ran.reasons()["email_missing"] == 2
    assert rejects(h)["email_missing"] == 2
    assert h.full().reasons()["email_missing"] == 2


def test_the_run_that_frees_an_address_does_not_report_its_second_holder(h):
    """P7: another address of the first holder lets the next one in, in the same run."""
    assert h.full().reasons()["duplicate_email_in_bc"] == 2
    h.edit_item("Dubbel Een", emailAddresses=[{"address": "een@klant.example", "name": "x"}])
    ran = h.run()
    assert ran.writes == {"updated_business_central": 1, "created_outlook": 1}
    assert ran.reasons()["duplicate_email_in_bc"] == 1
    assert rejects(h)["duplicate_email_in_bc"] == 1
    assert set(h.items()) >= {"Dubbel Een", "Dubbel Twee"}
    full = h.full()
    assert (full.writes, full.reasons()["duplicate_email_in_bc"]) == ({}, 1)


def test_what_a_load_leaves_wrong_is_still_reported(h):
    """P7: an address that BC refuses fixes nothing."""
    h.full()
    h.edit_contact("Persoon 3", email="")
    h.run()
    refusal = "Application_FieldValidationException"
    h.sim.add_fault(service="bc", kind="status", status=400, method="PATCH", path="contacts", code=refusal)
    h.edit_item("Persoon 3", emailAddresses=[{"address": "terug@klant.example", "name": "x"}])
    assert h.run().reasons()["email_missing"] == 3


def test_a_load_that_gives_an_item_its_name_still_reports_the_address_that_it_lacks(h):
    """P7: of two values that an item lacks one comes back, and the other one is the reason from this run on."""
    h.full()
    h.edit_item("Persoon 3", displayName=None, givenName=None, surname=None, emailAddresses=[])
    assert h.run().reasons() == {
        "name_missing": 1,
        "email_missing": 2,
        "email_invalid": 1,
        "duplicate_email_in_bc": 2,
    }
    h.edit_contact("Persoon 3", displayName="Persoon Drie")
    ran = h.run()
    assert ran.writes == {"updated_outlook": 1}
    assert "Persoon Drie" in h.items()
    assert ran.reasons() == {"email_missing": 3, "email_invalid": 1, "duplicate_email_in_bc": 2}
    assert rejects(h) == ran.reasons() == h.full().reasons()


def test_a_dry_run_says_which_contacts_it_would_leave_out(h):
    """P6: in the same list, marked, and beside the ones in force."""
    dry = h.full(dry_run=True)
    assert (
        rejects(h, t.dry_reject)
        == dry.reasons()
        == {
            "duplicate_email_in_bc": 2,
            "email_invalid": 1,
            "email_missing": 2,
        }
    )
    assert rejects(h) == {}
    page = shown(h, "/rejects")
    assert "Dubbel Twee" in page
    assert page.count("plan only") == 5
    assert cells(shown(h, "/"))["Not synced"] == "5"
    h.full()
    assert rejects(h) == dry.reasons()
    assert rejects(h, t.dry_reject) == {}
    assert "plan only" not in shown(h, "/rejects")
    h.edit_contact("Persoon 5", email="")
    h.run(dry_run=True)
    assert rejects(h)["email_missing"] == 2
    assert rejects(h, t.dry_reject)["email_missing"] == 3
