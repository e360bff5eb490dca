from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any
from urllib.parse import unquote

import pytest
import requests

from sync_lib.clients.business_central import BusinessCentralClient
from sync_lib.clients.business_central_records import to_contact
from sync_lib.clients.listing import Listing
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
from sync_lib.fields.bc_columns import columns_of
from sync_lib.model import BcContact, Company
from sync_lib.ports import BcUpdate, Colleague, WriteResult
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


class UnbelievableError(Exception):
    """What BC answers to a look-up proves nothing."""


def look_up(client: BusinessCentralClient, email: str, **options: str) -> list[BcContact]:
    found = client.find_by_emails(COMPANY, [email], **options)
    held = found.pop(email)
    assert not found
    if held is None:
        raise UnbelievableError
    return held


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
            (200, {"value": [{"code": "AB", "email": "a@x.example"}, {"code": "", "email": "b@x.example"}]}),
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
    assert client.fetch_salespeople(COMPANY) == [Colleague("AB", "", "a@x.example")]
    assert "/api/contactSync/contacts/v1.0/" in transport.urls[3]


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
        ]
    )
    assert client.fetch_companies() == [Company("c0-1", "CRONUS NL")]
    assert client.fetch_countries(COMPANY) == {"NL": "Nederland", "XX": ""}


# Look-ups


Handle = Callable[[dict[str, Any]], Any]


def company_of(
    handle: Handle, *, ids: tuple[str, ...] = ("1", "2")
) -> tuple[BusinessCentralClient, Transport]:
    """A client of a company that lists contacts with these ids, and answers parts of batches by ``handle``."""
    batches = BatchService(handle)

    def answer(request: requests.PreparedRequest) -> Any:
        if str(request.url).endswith("/$batch"):
            return batches(request)
        return 200, {"value": [{"id": one} for one in ids], "@odata.count": len(ids)}

    return client_of(answer)


def by_id(
    answer: Callable[[str], Any], listed: Callable[[str], Any] = lambda _: (200, {"value": []})
) -> Handle:
    """Parts of a batch that ask for one contact by its address, or list those of one id."""

    def handle(part: dict[str, Any]) -> Any:
        assert part["method"] == "GET"
        if "$filter=id" in part["url"]:
            return listed(unquote(part["url"]).partition("id eq ")[2].partition("&")[0])
        return answer(part["url"].partition("?")[0].rsplit("(", 1)[1].rstrip(")"))

    return handle


def gone(*ids: str, status: int = 404, body: Any = None) -> Callable[[str], Any]:
    return lambda one: (status, body) if one in ids else (200, record(one))


def test_contacts_are_fetched_in_batches_and_only_a_definite_404_is_none() -> None:
    client, transport = company_of(by_id(gone("7", body=error_body("BadRequest_NotFound"))))
    found = client.fetch_contacts(COMPANY, [str(number) for number in range(150)])
    assert [contact_id for contact_id, contact in found.items() if contact is None] == ["7"]
    assert [len(parts) for parts in transport.parts] == [100, 50]
    assert transport.urls[0] == f"{API}/$batch"
    assert transport.parts[0][0]["url"].startswith(f"companies({COMPANY})/contacts(0)?$select=id,")
    assert transport.requests[0].headers["Prefer"] == "odata.continue-on-error"


ABSENT = [
    (404, error_body("BadRequest_NotFound")),
    (404, error_body("Internal_RecordNotFound")),
    (404, error_body("BadRequest_ResourceNotFound")),
    (404, error_body("Internal_DataNotFoundFilter")),
    (404, error_body("Something_Of_Next_Year")),
    (404, {"error": {"message": "The record does not exist."}}),
    (404, None),
    (404, "<html>nothing here</html>"),
    (400, error_body("Internal_DataNotFoundFilter")),
    (400, error_body("BadRequest")),
    (405, None),
    (410, error_body("Gone")),
    (500, error_body("Internal_ServerError")),
]


@pytest.mark.parametrize(("status", "body"), ABSENT)
def test_an_absence_is_settled_without_codes(status: int, body: Any) -> None:
    """R2: whatever BC answers for a contact that is gone, the others of the company go on."""
    client, _ = company_of(by_id(gone("7", status=status, body=body)))
    found = client.fetch_contacts(COMPANY, ["1", "7", "2"])
    assert found["7"] is None
    assert found["1"]
    assert found["2"]
    client, _ = company_of(by_id(gone("7", status=status, body=body)))
    assert client.fetch_contacts(COMPANY, ["7"]) == {"7": None}, (
        "another contact answers, though nobody asked for it"
    )


@pytest.mark.parametrize("listed", [(400, error_body("BadRequest")), (200, {}), (500, None), (404, None)])
def test_one_that_cannot_be_judged_stays_in_doubt_alone(
    listed: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """R2: neither present nor gone."""
    client, _ = company_of(by_id(gone("7", "8", status=400, body=error_body("Unknown")), lambda _: listed))
    assert client.fetch_contacts(COMPANY, ["7", "1", "8"]).keys() == {"1"}
    assert "2 contacts" in caplog.text


def test_one_that_is_listed_is_there_whatever_its_own_address_answers() -> None:
    """R2: and a list that does not heed the filter proves nothing."""
    not_found = gone("7", status=404)
    client, _ = company_of(by_id(not_found, lambda one: (200, {"value": [record(one)]})))
    assert client.fetch_contacts(COMPANY, ["7"])["7"]
    client, _ = company_of(by_id(not_found, lambda one: (200, {"value": [record("1"), record("2")]})))
    assert client.fetch_contacts(COMPANY, ["7"]) == {}


def test_nothing_is_gone_while_no_other_contact_answers() -> None:
    """R2: an address that leads nowhere, or a company that shows the app nothing, says 404 for everything."""
    not_found = 404, error_body("BadRequest_NotFound")
    client, _ = company_of(by_id(lambda _: not_found))
    assert client.fetch_contacts(COMPANY, ["7", "8"]) == {}
    client, _ = company_of(by_id(lambda _: not_found), ids=())
    assert client.fetch_contacts(COMPANY, ["7"]) == {}
    assert client.fetch_contacts(COMPANY, ["7"], may_be_empty=True) == {"7": None}


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (404, "Internal_CompanyNotFound", NotFoundError),
        (404, "BadRequest_ResourceNotFound", NotFoundError),
        (404, "", NotFoundError),
        (400, "BadRequest", RejectedError),
        (403, "", AccessDeniedError),
        (500, "Internal_ServerError", ServiceError),
        (503, "", ServiceError),
    ],
)
def test_a_company_that_does_not_answer_says_nothing_about_any_contact(
    status: int, code: str, kind: type[Exception]
) -> None:
    refusal = status, error_body(code) if code else None
    batches = BatchService(lambda part: refusal)
    client, _ = client_of(
        lambda request: batches(request) if str(request.url).endswith("$batch") else refusal
    )
    with pytest.raises(kind):
        client.fetch_contacts(COMPANY, ["1"])


def test_an_address_is_looked_up_in_documented_words_and_is_in_no_url_or_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """R3: single functions only, which API v2.0 documents at its own schema version."""
    caplog.set_level(logging.DEBUG)
    asked: list[str] = []

    def handle(part: dict[str, Any]) -> Any:
        asked.append(unquote(part["url"]).partition("$filter=")[2].partition("&")[0])
        return 200, {
            "value": [record("a", email="O'Neil@molenzicht.example")] if "';'" not in asked[-1] else []
        }

    client, transport = client_of(BatchService(handle))
    (contact,) = look_up(client, " O'Neil@Molenzicht.example")
    assert contact.id == "a"
    assert asked == [
        "tolower(email) eq 'o''neil@molenzicht.example'",
        "contains(email,'o''neil@molenzicht.example')",
        "contains(email,'O''Neil@Molenzicht.example')",
        "contains(email,'O''NEIL@MOLENZICHT.EXAMPLE')",
        "contains(email,';')",
    ]
    assert transport.urls == [f"{API}/$batch"]
    assert "molenzicht" not in caplog.text.lower()


def test_lists_that_changed_lately_are_read_whatever_the_case_in_them() -> None:
    """R3: no documented filter finds an address in a list in any case."""
    listed = record("a", email="info@x.example; Jan@X.Example")

    def handle(part: dict[str, Any]) -> Any:
        wanted = "contains(email,';') and lastModifiedDateTime ge 2026-03-02T09:00:00.000Z"
        return 200, {"value": [listed] if wanted in unquote(part["url"]) else []}

    client, _ = client_of(BatchService(handle))
    (contact,) = look_up(client, "jan@x.example", since="2026-03-02T09:00:00.000Z")
    assert contact.id == "a"


@pytest.mark.parametrize("word", ["tolower", "contains(email,'jan", "contains(email,';')"])
def test_a_row_that_was_not_asked_for_makes_a_look_up_worth_nothing(word: str) -> None:
    """R3: BC may answer what it does not understand with the whole table."""

    def handle(part: dict[str, Any]) -> Any:
        rows = [record("a", email="jan@x.example;piet@x.example"), record("b", email="els@y.example")]
        return 200, {"value": rows if word in unquote(part["url"]) else []}

    client, _ = client_of(BatchService(handle))
    with pytest.raises(UnbelievableError):
        look_up(client, "Jan@x.example", since="2026-03-02T09:00:00.000Z")


def test_addresses_are_looked_up_together_and_judged_one_by_one() -> None:
    """One question about lists for all of them; what BC does not take of one takes no other along."""
    rows = {"jan": record("a", email="jan@x.example"), "els": record("b", email="els@x.example")}

    def handle(part: dict[str, Any]) -> Any:
        url = unquote(part["url"]).lower()
        if "piet" in url:
            return 400, error_body("Application_FilterErrorException")
        return 200, {"value": [row for name, row in rows.items() if name in url]}

    client, transport = client_of(BatchService(handle))
    addresses = [f"{name}@x.example" for name in ("jan", "piet", "els", "an")]
    found = client.find_by_emails(COMPANY, addresses)
    assert {address: held and [each.id for each in held] for address, held in found.items()} == {
        "jan@x.example": ["a"],
        "piet@x.example": None,
        "els@x.example": ["b"],
        "an@x.example": [],
    }
    assert [len(parts) for parts in transport.parts] == [4 * 3 + 1]
    assert client.find_by_emails(COMPANY, []) == {}
    assert len(transport.requests) == 1


def test_nobody_is_looked_up_while_the_service_is_away() -> None:
    client, _ = client_of(lambda _: (503, None))
    with pytest.raises(ServiceError):
        client.find_by_emails(COMPANY, ["jan@x.example"])


# Page sizes


SLOW = [RESET, requests.ReadTimeout("slow"), (408, None), (504, None), (413, error_body("BadRequest"))]


@pytest.mark.parametrize("trouble", SLOW)
def test_a_page_that_is_too_slow_is_asked_for_again_in_halves(trouble: Any) -> None:
    """R5: the same link, and what comes of it is remembered once it was answered."""
    link = f"{API}/companies({COMPANY})/contacts?$skiptoken=x"
    page = (200, {"value": [record("a")], "@odata.nextLink": link})
    client, transport = client_of([page, trouble, trouble, (200, {"value": [record("b")]})])
    remembered: list[int] = []
    listing = Listing(20_000, remembered.append)
    assert [contact.id for contact in client.iter_contacts(COMPANY, listing=listing)] == ["a", "b"]
    sizes = [request.headers["Prefer"].partition("=")[2] for request in transport.requests]
    assert sizes == ["20000", "20000", "10000", "5000"]
    assert transport.urls[1:] == [link] * 3
    assert remembered == [5000]
    assert listing.troubled


def test_pages_shrink_to_500_and_no_further() -> None:
    """R5: what does not answer then is away; nothing is remembered of it."""
    client, transport = client_of(lambda _: (504, None))
    remembered: list[int] = []
    with pytest.raises(ServiceError):
        list(client.iter_contacts(COMPANY, listing=Listing(3000, remembered.append)))
    sizes = dict.fromkeys(request.headers["Prefer"].partition("=")[2] for request in transport.requests)
    assert list(sizes) == ["3000", "1500", "750", "500"]
    assert remembered == []


@pytest.mark.parametrize("trouble", [(503, None), (429, None, {"Retry-After": "1"}), (500, None)])
def test_other_trouble_leaves_the_pages_as_large_as_they_are(trouble: Any) -> None:
    client, transport = client_of([trouble, (200, {"value": [record("a")]})])
    listing = Listing()
    assert len(list(client.iter_contacts(COMPANY, listing=listing))) == 1
    assert {request.headers["Prefer"] for request in transport.requests} == {"odata.maxpagesize=20000"}
    assert not listing.troubled


# What time it is


def test_the_newest_stamp_is_never_later_than_the_answer_that_it_came_in() -> None:
    """R10: a stamp in the future hides nothing; an answer without a date bounds nothing."""
    link = f"{API}/companies({COMPANY})/contacts?$skiptoken=x"
    early = record("a", lastModifiedDateTime="2026-03-02T09:00:00Z")
    late = record("b", lastModifiedDateTime="2031-01-01T00:00:00Z")
    date = {"Date": "Mon, 02 Mar 2026 10:00:00 GMT"}
    client, _ = client_of(
        [(200, {"value": [early, late], "@odata.nextLink": link}, date), (200, {"value": []}, date)]
    )
    listing = Listing()
    assert len(list(client.iter_contacts(COMPANY, listing=listing))) == 2
    assert listing.newest == listing.date == "2026-03-02T10:00:00.000Z"
    client, _ = client_of([(200, {"value": [early, late]}, {"Date": "not a date"})])
    listing = Listing()
    assert len(list(client.iter_contacts(COMPANY, listing=listing))) == 2
    assert (listing.newest, listing.date) == ("2031-01-01T00:00:00.000Z", "")


@pytest.mark.parametrize(
    ("answer", "count"),
    [
        ((200, {"value": [], "@odata.count": 0}), 0),
        ((200, {"value": []}), None),
        ((200, {"value": [], "@odata.count": "7"}), None),
        ((400, None), None),
        ((501, None), None),
    ],
)
def test_a_count_is_taken_where_bc_gives_one(answer: Any, count: int | None) -> None:
    client, transport = client_of([answer])
    assert client.count_contacts(COMPANY) == count
    assert "$count=true" in unquote(transport.urls[0])


def test_a_look_up_follows_its_pages_and_proves_nothing_without_a_list() -> None:
    def answer(request: requests.PreparedRequest) -> Any:
        if str(request.url).endswith("/$batch"):
            page = {
                "value": [record("a", email="X@y.example")],
                "@odata.nextLink": f"{API}/companies({COMPANY})/contacts?$skiptoken=1",
            }
            empty = [{"id": str(number), "status": 200, "body": {"value": []}} for number in (2, 3, 4)]
            return 200, {"responses": [{"id": "1", "status": 200, "body": page}, *empty]}
        return 200, {"value": [record("b", email="x@y.example")]}

    client, _ = client_of(answer)
    assert [contact.id for contact in look_up(client, "x@y.example")] == ["a", "b"]

    client, _ = client_of(BatchService(lambda part: (200, {})))
    with pytest.raises(UnbelievableError):
        look_up(client, "x@y.example")


# Writes


def updated(
    client: BusinessCentralClient, contact_id: str = "1", etag: str = ETAG, **body: str
) -> WriteResult:
    [result] = client.update_contacts(COMPANY, [BcUpdate(contact_id, body, etag)])
    return result


def is_lost(result: WriteResult) -> bool:
    return isinstance(result.error, ServiceError) and not isinstance(result.error, ThrottledError)


def created(client: BusinessCentralClient, **body: str) -> WriteResult:
    [result] = client.create_contacts(COMPANY, [body])
    return result


def test_creates_send_the_type_first() -> None:
    client, transport = client_of(BatchService(lambda part: (201, record(), {"request-id": "r-1"})))
    bodies = [{"displayName": "Jan van der Berg", "type": "Person"}, {"displayName": "Els"}]
    results = client.create_contacts(COMPANY, bodies)
    sent = [list(part["body"].items()) for part in transport.parts[0]]
    assert sent == [
        [("type", "Person"), ("displayName", "Jan van der Berg")],
        [("type", "Person"), ("displayName", "Els")],
    ]
    assert {part["url"] for part in transport.parts[0]} == {f"companies({COMPANY})/contacts"}
    assert [(result.error, result.request_id) for result in results] == [(None, "r-1")] * 2
    assert all(result.contact for result in results)


@pytest.mark.parametrize("trouble", [RESET, (504, None), (201, b"{"), (200, {"responses": []}), (200, None)])
def test_creates_whose_answer_is_lost_are_sent_once_and_say_so(trouble: Any) -> None:
    client, transport = client_of(BatchService(lambda part: (201, record()), faults=[trouble]))
    results = client.create_contacts(COMPANY, [{"displayName": "x"}, {"displayName": "y"}])
    assert [is_lost(result) for result in results] == [True, True]
    assert len(transport.requests) == 1


@pytest.mark.parametrize("trouble", [(504, None), (500, None), (201, {"id": "x"}), (201, None)])
def test_a_create_of_a_batch_with_an_unknown_outcome_is_sent_once_and_says_so(trouble: Any) -> None:
    client, transport = client_of(
        BatchService(lambda part: trouble if part["body"]["displayName"] == "x" else (201, record()))
    )
    results = client.create_contacts(COMPANY, [{"displayName": "x"}, {"displayName": "y"}])
    assert [is_lost(result) for result in results] == [True, False]
    assert len(transport.requests) == 1


def test_a_throttled_part_did_nothing_and_goes_again_alone() -> None:
    replies = iter([(429, None, {"Retry-After": "1"}), (201, record("b")), (201, record("a"))])
    client, transport = client_of(BatchService(lambda part: next(replies)))
    results = client.create_contacts(COMPANY, [{"displayName": "x"}, {"displayName": "y"}])
    assert [result.contact and result.contact.id for result in results] == ["a", "b"]
    assert [[part["body"]["displayName"] for part in parts] for parts in transport.parts] == [
        ["x", "y"],
        ["x"],
    ]


def test_updates_send_the_versions_as_they_came() -> None:
    other = 'W/"JzIwOzQ3MTE7MDE7Jw=="'
    client, transport = client_of(BatchService(lambda part: (200, record(part["url"][-2]))))
    updates = [BcUpdate("a", {"city": "Zaandam"}, ETAG), BcUpdate("b", {"city": "Delft"}, other)]
    results = client.update_contacts(COMPANY, updates)
    [parts] = transport.parts
    assert transport.urls == [f"{API}/$batch"]
    assert [part["method"] for part in parts] == ["PATCH", "PATCH"]
    assert [part["url"] for part in parts] == [f"companies({COMPANY})/contacts({one})" for one in "ab"]
    assert [part["headers"]["If-Match"] for part in parts] == [ETAG, other]
    assert [part["body"] for part in parts] == [{"city": "Zaandam"}, {"city": "Delft"}]
    assert [result.contact and result.contact.id for result in results] == ["a", "b"]


def test_a_hundred_writes_are_one_request_and_one_more_is_two() -> None:
    client, transport = client_of(BatchService(lambda part: (200, record())))
    for count, wanted in ((100, 1), (101, 2)):
        before = len(transport.requests)
        client.update_contacts(COMPANY, [BcUpdate("a", {}, ETAG)] * count)
        assert len(transport.requests) - before == wanted
    headers = transport.requests[0].headers
    assert headers["Prefer"] == "odata.continue-on-error"
    assert "Isolation" not in headers, "one refusal would undo the others"


def test_batches_stay_as_large_where_parts_of_them_are_throttled() -> None:
    """BC limits requests, and works on the parts one after the other."""
    replies = iter([(429, None, {"Retry-After": "1"})])
    client, transport = client_of(BatchService(lambda part: next(replies, (200, record()))))
    for _ in range(2):
        client.update_contacts(COMPANY, [BcUpdate("a", {}, ETAG)] * 30)
    assert [len(parts) for parts in transport.parts] == [30, 1, 30]


@pytest.mark.parametrize("etag", ["", "*"])
def test_an_update_without_a_version_would_overwrite_a_colleague(etag: str) -> None:
    client, transport = client_of([])
    with pytest.raises(ValueError, match="version"):
        updated(client, etag=etag)
    assert transport.requests == []


def test_an_update_that_is_answered_with_nothing_is_followed_by_a_read() -> None:
    """OData allows 204 after an update."""

    def handle(part: dict[str, Any]) -> Any:
        return (204, None) if part["method"] == "PATCH" else (200, record("a", city="Zaandam"))

    client, transport = client_of(BatchService(handle))
    result = updated(client, "a", city="Zaandam")
    assert isinstance(result.contact, BcContact)
    assert result.contact.values["city"] == "Zaandam"
    assert [[part["method"] for part in parts] for parts in transport.parts] == [["PATCH"], ["GET"]]


@pytest.mark.parametrize("stale", [(409, error_body("Request_EntityChanged")), (412, None)])
def test_a_stale_version_is_a_mismatch_also_after_our_own_repeat(stale: Any) -> None:
    lost: list[Any] = [None, (504, None), (200, {"responses": []})]
    for fault in lost:
        client, _ = client_of(BatchService(lambda part: stale, faults=[fault]))
        assert isinstance(updated(client).error, VersionMismatchError)


def test_a_refused_record_is_a_result_and_a_closed_company_is_raised() -> None:
    def handle(part: dict[str, Any]) -> Any:
        refused = 400, error_body("Application_StringExceededLength")
        return refused if part["body"].get("city") == "x" * 31 else (200, record())

    client, _ = client_of(BatchService(handle))
    updates = [BcUpdate("a", {"city": city}, ETAG) for city in ("x" * 31, "Delft")]
    refused, done = client.update_contacts(COMPANY, updates)
    assert isinstance(refused.error, RejectedError)
    assert refused.error.code == "Application_StringExceededLength"
    assert done.error is None

    client, _ = client_of([(403, None)])
    with pytest.raises(AccessDeniedError):
        created(client)

    answer = 401, error_body("Authentication_InvalidCredentials")
    for closed in (lambda _: answer, BatchService(lambda part: answer)):
        client, _ = client_of(closed)
        with pytest.raises(AuthError):
            created(client)


def test_answers_under_foreign_ids_are_nobodys() -> None:
    """Positions are never relied on: what names no part of ours says nothing, and the update goes again."""
    foreign = {"responses": [{"id": "99", "status": 200, "body": record("a")}]}
    client, transport = client_of(BatchService(lambda part: (200, record("b")), faults=[(200, foreign)]))
    result = updated(client, "b")
    assert result.contact is not None
    assert result.contact.id == "b"
    assert len(transport.requests) == 2
