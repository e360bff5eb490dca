from __future__ import annotations

import logging
from typing import Any
from urllib.parse import unquote

import pytest
import requests

from sync_lib.clients.business_central import BusinessCentralClient, to_contact
from sync_lib.errors import (
    AccessDeniedError,
    AuthError,
    MalformedAnswerError,
    NotFoundError,
    RejectedError,
    ServiceError,
    ThrottledError,
    VersionMismatchError,
)
from sync_lib.fields.columns import columns_of
from sync_lib.model import Company
from sync_lib.settings import BusinessCentralSettings
from tests.clients.fakes import ROOT, BatchService, FakeTime, Transport, error_body, make_session

API = f"{ROOT}/tenant-1/My%20Sandbox/api/v2.0"
COMPANY = "c0-1"
ETAG = 'W/"JzIwOzQ3MTE7MDA7Jw=="'
RESET = requests.ConnectionError("reset")


def client_of(
    replies: Any, *, profile: str = "standard", time: FakeTime | None = None
) -> tuple[BusinessCentralClient, Transport]:
    transport = Transport(replies)
    settings = BusinessCentralSettings(
        root=ROOT,
        tenant_id="tenant-1",
        client_id="app",
        client_secret="x",
        environment="My Sandbox",
        field_profile=profile,
    )
    return BusinessCentralClient(make_session(transport, time=time), settings), transport


def record(contact_id: str = "9F0D4E0A-1111", profile: str = "standard", **more: Any) -> dict[str, Any]:
    blank = {column.property: "" for column in columns_of(profile)}
    return {
        "@odata.etag": ETAG,
        "id": contact_id,
        "lastModifiedDateTime": "2026-03-02T09:14:57.333Z",
        **blank,
        "type": "Person",
        "contactBusinessRelation": "_x0020_",
        "privacyBlocked": False,
        "lastInteractionDate": "0001-01-01",
        **more,
    }


# Reading records


def test_bc_forms_become_text() -> None:
    contact = to_contact(
        record(
            displayName=" Sanne _x0041_",
            contactBusinessRelation="Bank_x0020_Account",
            privacyBlocked=True,
            website=None,
            lastInteractionDate="2026-01-31",
        ),
        columns_of("standard"),
    )
    assert contact.id == "9f0d4e0a-1111"
    assert contact.etag == ETAG
    assert contact.values["name"] == " Sanne _x0041_"
    assert contact.values["business_relation"] == "Bank Account"
    assert contact.values["privacy_blocked"] == "true"
    assert contact.values["home_page"] == ""
    assert contact.values["last_interaction"] == "2026-01-31"


def test_blank_has_one_form() -> None:
    values = to_contact(record(), columns_of("standard")).values
    assert values["business_relation"] == values["last_interaction"] == ""
    assert values["privacy_blocked"] == "false"


def test_an_unknown_enum_value_comes_through() -> None:
    values = to_contact(record(type="_x0031_st_x0020_Robot"), columns_of("standard")).values
    assert values["type"] == "1st Robot"


@pytest.mark.parametrize("missing", ["@odata.etag", "id", "lastModifiedDateTime", "email"])
def test_a_record_that_lacks_something_is_refused_not_filled_with_blanks(missing: str) -> None:
    wrong = record()
    del wrong[missing]
    with pytest.raises(MalformedAnswerError):
        to_contact(wrong, columns_of("standard"))


@pytest.mark.parametrize(
    "wrong", [None, 5, [], {}, record() | {"id": 5}, record() | {"lastModifiedDateTime": "soon"}]
)
def test_what_is_no_record_is_refused(wrong: Any) -> None:
    with pytest.raises(MalformedAnswerError):
        to_contact(wrong, columns_of("standard"))


# Lists


def test_all_contacts_of_any_type_are_read_page_by_page_without_top() -> None:
    link = f"{API}/companies({COMPANY})/contacts?$skiptoken=x"
    client, transport = client_of(
        [
            (200, {"value": [record("a")], "@odata.nextLink": link}),
            (200, {"value": [record("b", type="Company")]}),
        ]
    )
    assert [contact.id for contact in client.iter_contacts(COMPANY)] == ["a", "b"]
    first = unquote(transport.urls[0])
    assert first.startswith(f"{ROOT}/tenant-1/My Sandbox/api/v2.0/companies({COMPANY})/contacts?$select=id,")
    assert "$top" not in first
    assert "$filter" not in first
    for request in transport.requests:
        assert request.headers["Prefer"] == "odata.maxpagesize=20000"
        assert request.headers["Accept-Language"] == "en-US"
        assert "Data-Access-Intent" not in request.headers


def test_an_incremental_read_asks_for_equal_stamps_too_in_a_fixed_order() -> None:
    client, transport = client_of([(200, {"value": []})])
    assert list(client.iter_contacts(COMPANY, since="2026-03-02T09:14:57.333Z", page_size=3)) == []
    url = unquote(transport.urls[0])
    assert "$filter=lastModifiedDateTime ge 2026-03-02T09:14:57.333Z" in url
    assert "$orderby=lastModifiedDateTime,number" in url
    assert transport.requests[0].headers["Prefer"] == "odata.maxpagesize=3"


def test_the_extended_profile_reads_its_own_page_and_looks_up_tables_in_the_standard_one() -> None:
    client, transport = client_of(
        [
            (200, {"value": [record(profile="extended", surname="Vries")]}),
            (200, {"value": []}),
            (200, {"value": []}),
        ],
        profile="extended",
    )
    (contact,) = client.iter_contacts(COMPANY)
    client.fetch_countries(COMPANY)
    client.fetch_companies()
    assert contact.values["surname"] == "Vries"
    assert f"/api/contactSync/contacts/v1.0/companies({COMPANY})/contacts" in transport.urls[0]
    assert "salespersonCode" in transport.urls[0]
    assert transport.urls[1].startswith(f"{API}/companies({COMPANY})/countriesRegions")
    assert transport.urls[2].startswith(f"{API}/companies?")


def test_a_scan_reads_ids_and_stamps_only() -> None:
    rows = [{"id": "A-1", "lastModifiedDateTime": "2026-03-02T09:14:57Z"}]
    client, transport = client_of([(200, {"value": rows})])
    assert list(client.iter_ids(COMPANY)) == [("a-1", "2026-03-02T09:14:57.000Z")]
    assert transport.urls[0].endswith("contacts?$select=id,lastModifiedDateTime")


@pytest.mark.parametrize(
    "row", [5, {}, {"id": "a"}, {"id": "", "lastModifiedDateTime": "2026-03-02T09:14:57Z"}]
)
def test_a_scan_with_a_broken_row_is_no_scan(row: Any) -> None:
    client, _ = client_of([(200, {"value": [row]})])
    with pytest.raises(MalformedAnswerError):
        list(client.iter_ids(COMPANY))


def test_companies_countries_and_salespeople() -> None:
    client, _ = client_of(
        [
            (200, {"value": [{"id": "C0-1", "name": "CRONUS NL"}]}),
            (
                200,
                {
                    "value": [
                        {"code": "NL", "displayName": "Nederland"},
                        {"code": "XX", "displayName": None},
                        {},
                    ]
                },
            ),
            (200, {"value": [{"code": "JD", "displayName": "Jan", "email": "j@firm.example"}]}),
        ]
    )
    assert client.fetch_companies() == [Company("c0-1", "CRONUS NL")]
    assert client.fetch_countries(COMPANY) == {"NL": "Nederland", "XX": ""}
    assert client.fetch_salespeople(COMPANY) == [{"code": "JD", "name": "Jan", "email": "j@firm.example"}]


# Look-ups


def test_contacts_are_fetched_in_batches_and_only_a_definite_404_is_none() -> None:
    def handle(part: dict[str, Any]) -> Any:
        assert part["method"] == "GET"
        contact_id = part["url"].partition("?")[0].rsplit("(", 1)[1].rstrip(")")
        return (404, error_body("BadRequest_NotFound")) if contact_id == "7" else (200, record(contact_id))

    client, transport = client_of(BatchService(handle))
    found = client.fetch_contacts(COMPANY, [str(number) for number in range(150)])
    assert [contact_id for contact_id, contact in found.items() if contact is None] == ["7"]
    assert [len(parts) for parts in transport.parts] == [100, 50]
    assert transport.urls[0] == f"{API}/$batch"
    assert transport.parts[0][0]["url"].startswith(f"companies({COMPANY})/contacts(0)?$select=id,")
    assert transport.requests[0].headers["Prefer"] == "odata.continue-on-error"


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (404, "Internal_CompanyNotFound", NotFoundError),
        (404, "BadRequest_ResourceNotFound", NotFoundError),
        (404, "", NotFoundError),
        (400, "BadRequest", RejectedError),
        (403, "", AccessDeniedError),
        (500, "Internal_ServerError", ServiceError),
    ],
)
def test_any_other_answer_says_nothing_about_the_contact(
    status: int, code: str, kind: type[Exception]
) -> None:
    client, _ = client_of(BatchService(lambda part: (status, error_body(code) if code else None)))
    with pytest.raises(kind):
        client.fetch_contacts(COMPANY, ["1"])


def test_an_address_is_looked_up_in_any_case_and_stands_in_no_url_or_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)

    def handle(part: dict[str, Any]) -> Any:
        assert "contains(tolower(email),'o''neil@molenzicht.example')" in unquote(part["url"])
        return 200, {"value": [record("a"), record("b")]}

    client, transport = client_of(BatchService(handle))
    assert [contact.id for contact in client.find_by_email(COMPANY, " O'Neil@Molenzicht.example")] == [
        "a",
        "b",
    ]
    assert transport.urls == [f"{API}/$batch"]
    assert "molenzicht" not in caplog.text.lower()


def test_a_version_of_bc_without_nested_functions_is_asked_in_other_words() -> None:
    asked = []

    def handle(part: dict[str, Any]) -> Any:
        asked.append(unquote(part["url"]))
        if "contains(tolower" in asked[-1]:
            return 400, error_body("BadRequest")
        return 200, {"value": [record("a"), record(part["id"])]}

    client, _ = client_of(BatchService(handle))
    assert [contact.id for contact in client.find_by_email(COMPANY, "Jan@x.example")] == [
        "a",
        "1",
        "2",
        "3",
        "4",
    ]
    assert any("tolower(email) eq 'jan@x.example'" in url for url in asked)
    assert any("contains(email,'Jan@x.example')" in url for url in asked)


def test_a_look_up_follows_its_pages_and_proves_nothing_without_a_list() -> None:
    def answer(request: requests.PreparedRequest) -> Any:
        if str(request.url).endswith("/$batch"):
            page = {
                "value": [record("a")],
                "@odata.nextLink": f"{API}/companies({COMPANY})/contacts?$skiptoken=1",
            }
            return 200, {"responses": [{"id": "1", "status": 200, "body": page}]}
        return 200, {"value": [record("b")]}

    client, _ = client_of(answer)
    assert [contact.id for contact in client.find_by_email(COMPANY, "x@y.example")] == ["a", "b"]

    client, _ = client_of(BatchService(lambda part: (200, {})))
    with pytest.raises(MalformedAnswerError):
        client.find_by_email(COMPANY, "x@y.example")


# Writes


def test_a_create_sends_the_type_first() -> None:
    client, transport = client_of([(201, record(), {"request-id": "r-1"})])
    result = client.create_contact(COMPANY, {"displayName": "Jan van der Berg", "type": "Person"})
    assert transport.requests[0].body == b'{"type":"Person","displayName":"Jan van der Berg"}'
    assert result.error is None
    assert result.contact is not None
    assert result.request_id == "r-1"

    client, transport = client_of([(201, record())])
    client.create_contact(COMPANY, {"displayName": "Jan"})
    assert transport.bodies == [{"type": "Person", "displayName": "Jan"}]


@pytest.mark.parametrize("trouble", [RESET, (504, None), (201, b"{"), (201, {"id": "x"}), (201, None)])
def test_a_create_with_an_unknown_outcome_is_sent_once_and_says_so(trouble: Any) -> None:
    client, transport = client_of([trouble, (201, record())])
    result = client.create_contact(COMPANY, {"displayName": "x"})
    assert isinstance(result.error, ServiceError)
    assert not isinstance(result.error, ThrottledError)
    assert len(transport.requests) == 1


def test_an_update_sends_the_version_as_it_came() -> None:
    client, transport = client_of([(200, record())])
    result = client.update_contact(COMPANY, "9f0d4e0a", {"city": "Zaandam"}, ETAG)
    request = transport.requests[0]
    assert request.method == "PATCH"
    assert request.url == f"{API}/companies({COMPANY})/contacts(9f0d4e0a)"
    assert request.headers["If-Match"] == ETAG
    assert transport.bodies == [{"city": "Zaandam"}]
    assert result.error is None


@pytest.mark.parametrize("etag", ["", "*"])
def test_an_update_without_a_version_would_overwrite_a_colleague(etag: str) -> None:
    client, transport = client_of([])
    with pytest.raises(ValueError, match="version"):
        client.update_contact(COMPANY, "1", {}, etag)
    assert transport.requests == []


@pytest.mark.parametrize("stale", [(409, error_body("Request_EntityChanged")), (412, None)])
def test_a_stale_version_is_a_mismatch_also_after_our_own_repeat(stale: Any) -> None:
    for replies in ([stale], [(504, None), stale]):
        client, _ = client_of(replies)
        result = client.update_contact(COMPANY, "1", {}, ETAG)
        assert isinstance(result.error, VersionMismatchError)


def test_a_refused_record_is_a_result_and_a_closed_company_is_raised() -> None:
    client, _ = client_of([(400, error_body("Application_StringExceededLength"))])
    result = client.update_contact(COMPANY, "1", {"city": "x" * 31}, ETAG)
    assert isinstance(result.error, RejectedError)
    assert result.error.code == "Application_StringExceededLength"

    client, _ = client_of([(403, None)])
    with pytest.raises(AccessDeniedError):
        client.create_contact(COMPANY, {})

    client, _ = client_of(lambda _: (401, error_body("Authentication_InvalidCredentials")))
    with pytest.raises(AuthError):
        client.create_contact(COMPANY, {})
