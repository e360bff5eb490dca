"""Business Central as it is documented, where that is less kind than a table (rules 5 and 8.4): whole runs."""

from __future__ import annotations

from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import select, update

from sync_lib.extract.company import State, plan_read
from sync_lib.model import Run
from sync_lib.settings import SyncSettings
from sync_lib.store import tables as t
from sync_lib.store.engine import read
from sync_lib.store.runs import Cursor
from sync_lib.web.app import make_app
from tests.sync.harness import COMPANY, Harness, person, settled, world
from tests.web.surroundings import open_seams

ANNA = "anna@voorbeeld.example"


@pytest.fixture
def database_kind() -> str:
    """One database is enough here: what differs between the two is tested with the store."""
    return "sqlite"


@pytest.fixture
def make(make_harness) -> Any:
    def made(count: int = 4, **settings: Any) -> Harness:
        h = make_harness(world(*(person(f"Persoon {n}") for n in range(count))), retry_cap=0.0, **settings)
        h.add_profiles()
        assert h.full().writes == {"created_outlook": count}
        h.run()
        return h

    return made


def mail(address: str) -> list[dict[str, str]]:
    return [{"address": address, "name": "x"}]


# -- R2: what a contact that is gone answers ------------------------------------------------------------------------

GONE = [
    "BadRequest_NotFound",
    "BadRequest_ResourceNotFound",
    "Internal_DataNotFoundFilter",
    "400",
    "no_code",
    "empty",
]


@pytest.mark.parametrize("mode", ["incremental", "full"])
@pytest.mark.parametrize("answer", GONE)
def test_a_contact_that_is_gone_stops_no_other_whatever_it_answers(make, answer, mode):
    """R2: by a full read and by an id scan."""
    h = make()
    h.sim.set(bc_missing_contact=answer)
    h.delete_contact("Persoon 1")
    h.edit_contact("Persoon 2", jobTitle="Inkoper")
    ran = h.run(mode)
    assert ran.verdict.ok
    assert ran.writes == {"deleted_outlook": 1, "updated_outlook": 1}
    settled(h)


@pytest.mark.parametrize("answer", GONE)
def test_a_contact_that_goes_while_it_is_written_is_settled_too(make, answer):
    """R2: deleted in BC between the read and our write."""
    h = make()
    h.sim.set(bc_missing_contact=answer)
    h.edit_item("Persoon 1", jobTitle="Inkoper")
    gone = h.contacts()["Persoon 1"]["id"]
    path = f"/companies({h.sim.info()['companies'][0]['id']})/contacts({gone})"
    h.sim.add_fault(name="F10", service="bc", action={"method": "DELETE", "path": path})
    ran = h.run()
    assert ran.verdict.ok
    h.run()
    assert ran.profile(ANNA).state == "done"
    assert "Persoon 1" in h.items(), "deleted in BC, edited in Outlook: kept (7.2b)"
    settled(h)


def test_one_that_cannot_be_judged_stays_in_doubt_alone(make):
    """R2: BC says neither that it is there nor that it is not; the next run knows more."""
    h = make()
    h.delete_contact("Persoon 1")
    h.delete_contact("Persoon 3")
    gone = h.sim.control("GET", "requests")  # the log works; the id is taken from the item's key
    assert gone
    doubtful = h.items()["Persoon 1"]["key"].split("/")[3].split("|")[0].split(";")[0].split(" ")[0][:36]
    h.sim.add_fault(kind="status", status=400, code="Unknown", service="bc", path=doubtful, count=None)
    h.edit_contact("Persoon 2", jobTitle="Inkoper")
    ran = h.run()
    assert ran.verdict.ok
    assert ran.writes == {"deleted_outlook": 1, "updated_outlook": 1}
    assert "Persoon 1" in h.items()
    h.sim.clear_faults()
    assert h.full().writes == {"deleted_outlook": 1}
    settled(h)


def test_f23_in_a_form_of_its_own(make):
    """R2: the fault that histories draw."""
    h = make()
    h.delete_contact("Persoon 0")
    fault = h.sim.add_fault(name="F23", status=404, code="Application_Whatever")
    assert h.full().writes == {"deleted_outlook": 1}
    assert fault.fired


# -- R3: the look-up before a create ---------------------------------------------------------------------------------


@pytest.mark.parametrize("nested", ["error", "nothing", "everything", "case"])
def test_a_person_whom_a_colleague_makes_meanwhile_is_found(make, nested):
    """R3: also in other case, and as the first address of a list."""
    h = make()
    h.sim.set(bc_nested_functions=nested)
    h.add_item(displayName="Els Nieuw", emailAddresses=mail("els@nieuw.example"))
    h.add_item(displayName="Bas Oud", emailAddresses=mail("Bas@oud.example"))
    late = [person("Els Nieuw", "ELS@nieuw.Example"), person("Bas Oud", "bAS@Oud.example;info@oud.example")]
    made = {"method": "POST", "path": "/__sim/bc/set", "body": {"contacts": late}}
    # In the load's look-up, long after the read.
    h.sim.add_fault(kind="user_action", service="bc", part=True, path="tolower", action=made)
    ran = h.run()
    assert ran.verdict.ok
    assert "created_business_central" not in ran.writes
    names = [contact["displayName"] for contact in h.sim.dump()["companies"][0]["contacts"]]
    assert sorted(names) == ["Bas Oud", "Els Nieuw", *(f"Persoon {n}" for n in range(4))]
    settled(h)


def everything(h: Harness) -> dict[str, Any]:
    rows = [
        {"@odata.etag": 'W/"x"', **{k: v for k, v in contact.items() if not k.startswith("@")}}
        for contact in h.contacts().values()
    ]
    return {"value": rows}


@pytest.mark.parametrize("odd", ["everything", "refused", "no_list"])
def test_a_look_up_that_cannot_be_believed_makes_no_contact(make, odd):
    """R3: the create waits, the profile's other changes go on, and the next run tries again."""
    h = make()
    h.add_item(displayName="Els Nieuw", emailAddresses=mail("els@nieuw.example"))
    h.edit_contact("Persoon 2", jobTitle="Inkoper")
    spec = {
        "everything": {"status": 200, "body": everything(h)},
        "refused": {"status": 400, "code": "BadRequest"},
        "no_list": {"status": 200, "body": {}},
    }[odd]
    fault = h.sim.add_fault(kind="status", service="bc", part=True, path=r"\(email", count=None, **spec)
    ran = h.run()
    assert fault.fired
    assert ran.verdict.ok
    assert ran.writes == {"updated_outlook": 1}
    assert ran.reasons() == {"not_looked_up": 1}
    assert "Els Nieuw" not in h.contacts()
    h.sim.clear_faults()
    assert h.run().writes == {"created_business_central": 1}
    settled(h)


def test_an_unknown_create_is_not_made_again_while_nobody_can_look_it_up(make):
    """R3: the same look-up settles what an earlier run left open."""
    h = make(longest_request=0.0)
    h.add_item(displayName="Els Nieuw", emailAddresses=mail("els@nieuw.example"))
    h.sim.add_fault(name="F4", service="bc", method="POST", path="/contacts$")
    h.sim.add_fault(
        kind="status", service="bc", part=True, path=r"\(email", status=400, count=None, nth=[*range(5, 99)]
    )
    h.run()
    h.run()
    assert list(h.contacts()).count("Els Nieuw") == 1
    h.sim.clear_faults()
    h.run()
    names = [contact["displayName"] for contact in h.sim.dump()["companies"][0]["contacts"]]
    assert names.count("Els Nieuw") == 1
    settled(h)


# -- R4: no right to read the countries ------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [400, 401, 403, 404])
def test_without_the_countries_the_country_alone_waits(make_harness, status):
    """R4: in both directions; all else syncs, and the country follows once the table can be read."""
    h = make_harness(
        world(
            person("Jan Bos", country="BE", city="Gent"),
            person("Els Vos"),
            rights={"countriesRegions": status},
        )
    )
    h.add_profiles()
    ran = h.full()
    assert ran.verdict.ok
    assert ran.writes == {"created_outlook": 2}
    assert h.items()["Jan Bos"]["businessAddress"].get("countryOrRegion") in (None, "")
    assert h.items()["Jan Bos"]["businessAddress"]["city"] == "Gent"
    assert h.run().reasons() == {"countries_not_read": 1}
    h.edit_item("Els Vos", jobTitle="Inkoper", businessAddress={"city": "Luik", "countryOrRegion": "België"})
    h.run()
    els = h.contacts()["Els Vos"]
    assert (els["jobTitle"], els["country"]) == ("Inkoper", "")
    h.sim.control("POST", "bc/company", {"rights": {}})
    h.run()
    h.run()
    assert h.items()["Jan Bos"]["businessAddress"]["countryOrRegion"] == "België"
    assert h.contacts()["Els Vos"]["country"] == "BE"
    settled(h)


def countries_in(ran) -> list[str]:
    """What the report says of companies whose countries were not read."""
    return [line for line in ran.report.lines() if "countries_not_read" in line and "Company" in line]


def test_a_company_without_its_countries_is_a_line_of_the_report_and_of_the_runs_page(make_harness):
    """R4: one line per company, whether or not a contact waits for it; in each run that asked, and in no other."""
    h = make_harness(world(person("Els Vos"), rights={"countriesRegions": 403}))
    h.add_profiles()
    for ran in (h.full(), h.run(), h.full(dry_run=True)):
        (line,) = countries_in(ran)
        assert line.startswith(f"Company {COMPANY}: done, countries_not_read. Countries wait")
        assert "countries_not_read" not in ran.reasons()
        assert (ran.verdict.ok, ran.report.failures) == (True, 0)
        html = runs_page(h, ran.report.run)
        assert html.count("The app may not read Business Central&#39;s table of countries") == 1
        assert "Let the app read the table Country/Region in Business Central." in html
    h.sim.control("POST", "bc/company", {"rights": {}})
    ran = h.full()
    assert countries_in(ran) == []
    assert "table of countries" not in runs_page(h, ran.report.run)


def runs_page(h, run: str) -> str:
    with TestClient(make_app(open_seams(h.edges.engine))) as client:
        return str(client.get(f"/runs/{run}").text)


def test_countries_that_were_read_before_go_on_to_serve(make):
    """R4: a right that is taken away later."""
    h = make()
    fault = h.sim.add_fault(name="F25")
    h.edit_contact("Persoon 1", country="BE")
    ran = h.full()
    assert fault.fired
    (line,) = countries_in(ran)
    assert "those that were read before go on to serve" in line
    assert ran.writes == {"updated_outlook": 1}
    assert h.items()["Persoon 1"]["businessAddress"]["countryOrRegion"] == "België"


def test_the_check_reads_the_countries(make):
    """R4: it was green."""
    from sync_lib.pipeline import check_connections

    h = make()
    assert all(check.ok for check in check_connections(h.edges) if check.kind == "countries")
    h.sim.control("POST", "bc/company", {"rights": {"countriesRegions": 403}})
    (check,) = [check for check in check_connections(h.edges) if check.kind == "countries"]
    assert not check.ok
    assert "Country/Region" in check.remedy


# -- R5: pages that are too slow -------------------------------------------------------------------------------------


def sizes(h: Harness) -> list[str]:
    """Sizes of page that are remembered: kind and rows."""
    with read(h.edges.engine) as conn:
        rows = conn.execute(select(t.fact.c.name, t.fact.c.value).where(t.fact.c.name.like("page_size:%")))
        return sorted(f"{row.name.partition(':')[2]} {row.value}" for row in rows)


def test_a_page_that_is_too_slow_shrinks_and_is_remembered(make):
    """R5: per kind of read; a full read without trouble doubles it again."""
    h = make()
    fault = h.sim.add_fault(name="F26", rows_above=1300)
    h.edit_contact("Persoon 1", jobTitle="Inkoper")
    ran = h.full()
    assert ran.verdict.ok
    assert ran.writes == {"updated_outlook": 1}
    assert fault.fired == 4, "20,000, 10,000, 5,000, 2,500"
    assert sizes(h) == ["full 1250"]
    h.edit_contact("Persoon 2", jobTitle="Inkoper")
    assert h.run().writes == {"updated_outlook": 1}
    assert sizes(h) == ["changes 1250", "full 1250"]
    fired = fault.fired
    h.full()
    assert fault.fired == fired
    assert sizes(h) == ["changes 2500", "full 2500"]
    h.sim.clear_faults()
    for _ in range(4):
        h.full()
    assert sizes(h) == ["changes 20000", "full 20000"]


def test_what_was_answered_is_remembered_also_where_the_read_fails_later(make):
    """R5: the next run does not begin with the time-outs once more."""
    h = make()
    h.sim.set(bc_max_page=1)
    h.sim.add_fault(name="F26", rows_above=9000)
    h.sim.add_fault(kind="status", status=500, service="bc", path=r"/contacts\?.*skiptoken", count=None)
    assert not h.full().verdict.ok
    assert sizes(h) == ["full 5000"]


def test_whether_an_id_scan_is_cheap_is_reckoned_with_its_own_page():
    """R5: pure; 30,000 contacts are 2 requests of 20,000 rows, and 60 of 500."""
    run = Run("r", "incremental", False, "manual", "running", "", "2026-03-02T10:00:00.000Z")
    cursor = Cursor(position="2026-03-02T09:00:00.000Z", last_scan_at="2026-03-02T09:00:00.000Z")
    now = "2026-03-02T10:00:00.000Z"
    plans = [
        plan_read(run, cursor, State(30_000, 30_000, size, now), SyncSettings())
        for size in (20_000, 6_000, 500)
    ]
    assert [plan.scan for plan in plans] == [True, True, False]


# -- R10: stamps that say nothing ------------------------------------------------------------------------------------


def stamped(h: Harness, stamp: str, **fields: Any) -> None:
    """Let a data import rewrite all contacts with one stamp."""
    rows = [{**contact, "lastModifiedDateTime": stamp, **fields} for contact in h.contacts().values()]
    for row in rows:
        for name in ("@odata.etag", "systemRowVersion"):
            row.pop(name, None)
    h.sim.control("POST", "bc/set", {"contacts": rows})


def test_a_company_without_any_stamp_syncs(make_harness):
    """R10: freshly upgraded, no contact has ever been touched since."""
    people = [person(f"Persoon {n}", lastModifiedDateTime="0001-01-01T00:00:00Z") for n in range(3)]
    h = make_harness(world(*people))
    h.add_profiles()
    assert h.full().writes == {"created_outlook": 3}
    for _ in range(2):
        assert h.run().verdict.ok
    h.edit_contact("Persoon 1", jobTitle="Inkoper")
    assert h.run().writes == {"updated_outlook": 1}
    h.edit_item("Persoon 2", jobTitle="Chef")
    assert h.run().writes == {"updated_business_central": 1}
    settled(h)


def test_a_stamp_in_the_future_hides_no_later_change(make):
    """R10: the watermark is never later than the answer that it came with."""
    h = make(id_scan_requests=0)
    row = {"id": h.contacts()["Persoon 0"]["id"], **person("Persoon 0", jobTitle="Ooit")}
    h.sim.control("POST", "bc/set", {"contacts": [{**row, "lastModifiedDateTime": "2031-01-01T00:00:00Z"}]})
    assert h.run().writes == {"updated_outlook": 1}
    h.edit_contact("Persoon 1", jobTitle="Inkoper")
    assert h.run().writes == {"updated_outlook": 1}
    assert h.items()["Persoon 1"]["jobTitle"] == "Inkoper"
    h.edit_contact("Persoon 0", jobTitle="Nu")
    assert h.run().writes == {"updated_outlook": 1}
    settled(h)


def test_a_watermark_that_lies_in_the_future_already_comes_back(make):
    """R10: of a version that took such a stamp for one."""
    h = make(id_scan_requests=0)
    with h.edges.engine.begin() as conn:
        mine = update(t.cursor).where(t.cursor.c.side == "business_central")
        conn.execute(mine.values(position="2031-01-01T00:00:00.000Z"))
    h.run()
    h.edit_contact("Persoon 1", jobTitle="Inkoper")
    assert h.run().writes == {"updated_outlook": 1}


@pytest.mark.parametrize("skew", [-7200, 7200])
def test_a_service_whose_own_clock_is_wrong_loses_nothing(make, skew):
    """R10: its date only moves where the next read begins."""
    h = make(id_scan_requests=0)
    h.sim.set(date_header_skew_seconds=skew)
    for name in ("Persoon 1", "Persoon 2"):
        h.edit_contact(name, jobTitle="Inkoper")
        assert h.run().writes == {"updated_outlook": 1}
    settled(h)


# -- R11: computed fields --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["full", "incremental"])
def test_a_computed_field_is_read_although_neither_stamp_nor_version_moved(make_harness, mode):
    """R11: a filter on *Date of Last Interaction* is as of the last full read."""
    h = make_harness(world(person("Jan Bos"), person("Els Vos", lastInteractionDate="2026-03-01")))
    h.add_profiles(filter={"Date of Last Interaction": "2026-01-01.."})
    assert h.full().writes == {"created_outlook": 1}
    h.run()
    body = {"contact": h.contacts()["Jan Bos"]["id"], "values": {"lastInteractionDate": "2026-02-02"}}
    h.sim.control("POST", "bc/compute", body)
    if mode == "incremental":
        # Read once more within the overlap, as it was: the fields decide, not the version.
        assert h.run().writes == {"created_outlook": 1}
    else:
        assert h.full().writes == {"created_outlook": 1}
    assert set(h.items()) == {"Jan Bos", "Els Vos"}
    settled(h)


def test_a_full_read_of_what_is_staged_stages_nothing(make):
    """R11: and no field is taken for another one because of how a database keeps it."""
    h = make(6)
    h.full()
    with read(h.edges.engine) as conn:
        before = conn.scalar(select(t.company.c.generation))
    h.full()
    with read(h.edges.engine) as conn:
        assert conn.scalar(select(t.company.c.generation)) == before
