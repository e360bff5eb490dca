"""Where Business Central is documented, or was seen, to be less kind: switches, rights, stamps and faults."""

from __future__ import annotations

import pytest

ROWS = [
    {"displayName": "Jan", "email": "Jan@x.example", "country": "NL"},
    {"displayName": "Piet", "email": "piet@x.example", "country": "BE"},
]


@pytest.fixture
def ids(sim):
    return sim.control("POST", "bc/set", {"contacts": ROWS})["ids"]


def found(bc, text, **more):
    answer = bc.session.get(f"{bc.company}/contacts", params={"$filter": text, **more}, timeout=20)
    return answer.status_code, [row["displayName"] for row in answer.json().get("value", [])]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("error", (400, [])),
        ("nothing", (200, [])),
        ("everything", (200, ["Jan", "Piet"])),
        ("case", (200, [])),
        ("fold", (200, ["Jan"])),
    ],
)
def test_a_function_of_a_function_is_undefined_before_schema_version_2_1(sim, bc, ids, value, expected):
    sim.set(bc_nested_functions=value)
    assert found(bc, "contains(tolower(email),'jan@')") == expected
    assert found(bc, "contains(tolower(email),'jan@')", **{"$schemaversion": "2.1"}) == (200, ["Jan"])
    assert found(bc, "tolower(email) eq 'jan@x.example'") == (200, ["Jan"])
    assert found(bc, "contains(email,'Jan@')") == (200, ["Jan"])


@pytest.mark.parametrize(("value", "expected"), [("error", 400), ("case", 200), ("fold", 200)])
def test_in_is_bound_to_the_schema_version_too(sim, bc, ids, value, expected):
    sim.set(bc_nested_functions=value)
    assert found(bc, "country in ('NL','DE')")[0] == expected
    assert found(bc, "country in ('BE','DE')", **{"$schemaversion": "2.1"}) == (200, ["Piet"])


@pytest.mark.parametrize(
    ("value", "status", "code"),
    [
        ("Internal_RecordNotFound", 404, "Internal_RecordNotFound"),
        ("BadRequest_ResourceNotFound", 404, "BadRequest_ResourceNotFound"),
        ("400", 400, "Internal_DataNotFoundFilter"),
        ("no_code", 404, None),
    ],
)
def test_what_a_contact_that_is_gone_answers(sim, bc, value, status, code):
    sim.set(bc_missing_contact=value)
    answer = bc.get(f"{bc.company}/contacts(00000000-0000-4000-8000-000000000000)")
    assert (answer.status_code, answer.json()["error"].get("code")) == (status, code)
    assert found(bc, "id eq 00000000-0000-4000-8000-000000000000") == (200, [])


def test_a_contact_that_is_gone_may_answer_nothing_at_all(sim, bc):
    sim.set(bc_missing_contact="empty")
    answer = bc.get(f"{bc.company}/contacts(00000000-0000-4000-8000-000000000000)")
    assert (answer.status_code, answer.content) == (404, b"")


@pytest.mark.parametrize("status", [400, 401, 403, 404])
def test_rights_are_per_table_and_survive_a_dump(sim, bc, bc_user, ids, status):
    sim.control("POST", "bc/company", {"rights": {"countriesRegions": status}})
    assert bc.get(f"{bc.company}/countriesRegions").status_code == status
    assert bc.get(f"{bc.company}/contacts").status_code == 200
    assert bc_user.get(f"{bc_user.company}/countriesRegions").status_code == 200
    assert sim.dump()["companies"][0]["rights"] == {"countriesRegions": status}


@pytest.mark.parametrize("stamp", ["0001-01-01T00:00:00Z", "2101-05-05T05:05:05.333Z"])
def test_stamps_may_lie_outside_all_time(sim, bc, ids, stamp):
    row = {"id": ids[0], **ROWS[0], "lastModifiedDateTime": stamp}
    sim.control("POST", "bc/set", {"contacts": [row]})
    assert bc.ok("GET", f"{bc.company}/contacts({ids[0]})")["lastModifiedDateTime"] == stamp
    assert stamp in [row["lastModifiedDateTime"] for row in sim.dump()["companies"][0]["contacts"]]
    assert found(bc, "lastModifiedDateTime lt 1753-01-01T00:00:00Z") == (200, ["Jan"] if stamp < "1" else [])


def test_a_computed_field_moves_neither_stamp_nor_version(sim, bc, ids):
    before = bc.ok("GET", f"{bc.company}/contacts({ids[0]})")
    body = {"contact": ids[0], "values": {"lastInteractionDate": "2026-03-02"}}
    sim.control("POST", "bc/compute", body)
    after = bc.ok("GET", f"{bc.company}/contacts({ids[0]})")
    assert after == {**before, "lastInteractionDate": "2026-03-02"}


def test_the_root_and_the_metadata_name_what_there_is(bc):
    sets = [each["name"] for each in bc.ok("GET", bc.api)["value"]]
    assert sets == ["companies", "contacts", "countriesRegions", "salespeoplePurchasers"]
    root = bc.extended.partition("/companies")[0]
    sets = [each["name"] for each in bc.ok("GET", root)["value"]]
    assert sets == ["companies", "contacts", "salespeoplePurchasers", "users"]
    assert '<PropertyRef Name="userSecurityId"/>' in bc.get(f"{root}/$metadata").text
    document = bc.get(f"{bc.api}/$metadata")
    assert document.headers["Content-Type"].startswith("application/xml")
    assert '<Property Name="lastModifiedDateTime" Type="Edm.DateTimeOffset"/>' in document.text


def test_counts_come_plain_and_with_a_page(bc, ids):
    assert bc.get(f"{bc.company}/contacts/$count").text == "2"
    assert bc.ok("GET", f"{bc.company}/contacts?$count=true&$top=1")["@odata.count"] == 2


def test_rows_cost_time(sim, bc, ids, monkeypatch):
    waits = []

    async def note(seconds):
        waits.append(seconds)

    monkeypatch.setattr("sandbox.operations.asyncio.sleep", note)
    sim.set(bc_row_latency_ms=7)
    assert bc.get(f"{bc.company}/contacts").status_code == 200
    assert 0.014 in waits


def test_f23_answers_for_what_is_gone_only(sim, bc, ids):
    fault = sim.add_fault(name="F23", status=404, code="", count=None)
    assert bc.get(f"{bc.company}/contacts({ids[0]})").status_code == 200
    assert fault.fired == 0
    answer = bc.get(f"{bc.company}/contacts(00000000-0000-4000-8000-000000000000)")
    assert "code" not in answer.json()["error"]
    assert fault.fired == 1


def test_f25_and_f26(sim, bc, ids):
    sim.add_fault(name="F25")
    assert bc.refused("GET", f"{bc.company}/countriesRegions") == (
        403,
        "Authorization_InsufficientPermissions",
    )
    sim.add_fault(name="F26")
    assert bc.get(f"{bc.company}/contacts").status_code == 504
    assert bc.get(f"{bc.company}/contacts", Prefer="odata.maxpagesize=2001").status_code == 504
    assert bc.get(f"{bc.company}/contacts", Prefer="odata.maxpagesize=2000").status_code == 200


def test_f30_changes_rows_while_they_are_read(sim, bc, ids):
    row = {"id": ids[0], **ROWS[0], "jobTitle": "Inkoper", "lastModifiedDateTime": "0001-01-01T00:00:00Z"}
    sim.add_fault(name="F30", action={"method": "POST", "path": "/__sim/bc/set", "body": {"contacts": [row]}})
    assert bc.ok("GET", f"{bc.company}/contacts")["value"][1]["jobTitle"] == "Inkoper"
