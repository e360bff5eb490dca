from __future__ import annotations

from typing import Any
from urllib.parse import unquote

import pytest
import requests

from sync_lib.clients.outlook import OutlookClient
from sync_lib.clients.outlook_records import BC_KEY_ID, MARKER_ID, OTHER_MARKER_ID, to_contact
from sync_lib.errors import (
    AccessDeniedError,
    ApiError,
    AuthError,
    ConflictError,
    CursorExpiredError,
    MalformedAnswerError,
    NotFoundError,
    ServiceError,
    ThrottledError,
    VersionMismatchError,
)
from sync_lib.ports import BatchWrite, Folder
from tests.clients.fakes import ROOT, BatchService, FakeTime, Transport, error_body, make_session

IMMUTABLE = 'IdType="ImmutableId"'
GONE = (404, error_body("ErrorItemNotFound"))
NO_MAILBOX = (404, error_body("MailboxNotEnabledForRESTAPI"))
RESET = requests.ConnectionError("reset")


def client_of(
    replies: Any, *, time: FakeTime | None = None, **options: Any
) -> tuple[OutlookClient, Transport]:
    time = time or FakeTime()
    transport = Transport(replies)
    client = OutlookClient(make_session(transport, time=time), clock=time.clock, sleep=time.sleep, **options)
    return client, transport


def record(contact_id: str, *, key: str | None = None, **more: Any) -> dict[str, Any]:
    found = {
        "id": contact_id,
        "@odata.etag": f'W/"{contact_id}"',
        "lastModifiedDateTime": "2026-03-02T09:15:04Z",
        **more,
    }
    if key is not None:
        found["singleValueExtendedProperties"] = [{"id": BC_KEY_ID, "value": key}]
    return found


def folder(
    folder_id: str, name: str = "Business Central", parent: str = "default", marker: str | None = None
) -> dict[str, Any]:
    found: dict[str, Any] = {"id": folder_id, "displayName": name, "parentFolderId": parent}
    if marker is not None:
        found["singleValueExtendedProperties"] = [{"id": MARKER_ID, "value": marker}]
    return found


def assert_immutable(transport: Transport) -> None:
    for request in transport.requests:
        assert IMMUTABLE in request.headers["Prefer"], request.url
        if str(request.url).endswith("/$batch"):
            for part in transport.parts[0]:
                assert part["headers"]["Prefer"] == IMMUTABLE


# Users and folders


def test_a_user_principal_name_becomes_an_id() -> None:
    client, transport = client_of([(200, {"id": "u-1"})])
    assert client.fetch_user_id("anna o'neil#1@firm.example") == "u-1"
    assert transport.urls == [
        f"{ROOT}/users/anna%20o%27neil%231@firm.example?$select=id,userPrincipalName,mail"
    ]


def test_an_unknown_user_is_not_found() -> None:
    client, _ = client_of([(404, error_body("Request_ResourceNotFound"))])
    with pytest.raises(NotFoundError) as caught:
        client.fetch_user_id("x@firm.example")
    assert caught.value.code == "Request_ResourceNotFound"


def test_folders_come_from_all_pages_with_their_markers() -> None:
    client, transport = client_of(
        [
            (
                200,
                {"value": [folder("f1", "A")], "@odata.nextLink": f"{ROOT}/users/u/contactFolders?$skip=1"},
            ),
            (200, {"value": [folder("f2", "B", marker="m")]}),
        ]
    )
    assert list(client.iter_folders("u")) == [
        Folder("f1", "A", "default", ""),
        Folder("f2", "B", "default", "m"),
    ]
    both = f"id eq '{MARKER_ID}' or id eq '{OTHER_MARKER_ID}'"
    assert f"singleValueExtendedProperties($filter={both})" in unquote(transport.urls[0])
    assert_immutable(transport)


def test_a_marker_is_found_however_its_guid_is_spelled() -> None:
    found = folder("f1", marker="m")
    found["singleValueExtendedProperties"][0]["id"] = MARKER_ID.replace("0f2d8a64", "0F2D8A64")
    client, _ = client_of([(200, found)])
    assert client.fetch_folder("u", "f1").marker == "m"


def test_the_default_folder_is_found_by_its_well_known_name() -> None:
    client, transport = client_of([(200, folder("default", "Contacts", "root"))])
    assert client.fetch_default_folder("u").id == "default"
    assert "/contactFolders/Contacts?" in transport.urls[0]


@pytest.mark.parametrize("refusal", [(400, error_body("ErrorInvalidIdMalformed")), GONE])
@pytest.mark.parametrize("empty", [True, False])
def test_the_default_folder_is_found_by_what_lies_in_it(refusal: Any, empty: bool) -> None:
    def answer(request: requests.PreparedRequest) -> Any:
        path = str(request.url).partition("?")[0].removeprefix(ROOT)
        return {
            "/users/u/contactFolders/Contacts": refusal,
            "/users/u/contactFolders": (200, {"value": [] if empty else [folder("f1")]}),
            "/users/u/contacts": (200, {"value": [{"id": "c", "parentFolderId": "default"}]}),
            "/users/u/contactFolders/default": (200, folder("default", "Contacts", "root")),
        }[path]

    client, _ = client_of(answer)
    assert client.fetch_default_folder("u").id == "default"


def test_a_missing_mailbox_is_not_a_missing_folder() -> None:
    client, transport = client_of([NO_MAILBOX])
    with pytest.raises(NotFoundError) as caught:
        client.fetch_default_folder("u")
    assert caught.value.code == "MailboxNotEnabledForRESTAPI"
    assert len(transport.requests) == 1


@pytest.mark.parametrize(
    ("parents", "deleted"),
    [
        ({"f": "default"}, False),
        ({"f": "root"}, False),
        ({"f": "inner", "inner": "default"}, False),
        ({"f": "trash", "trash": "root"}, True),
        ({"f": "inner", "inner": "trash", "trash": "root"}, True),
        ({"f": "unknown"}, True),
    ],
)
def test_a_folder_in_deleted_items_is_distinguished_from_one_that_was_moved(
    parents: dict[str, str], deleted: bool
) -> None:
    known = {"Contacts": folder("default", "Contacts", "root")} | {
        name: folder(name, parent=parent) for name, parent in parents.items()
    }

    def answer(request: requests.PreparedRequest) -> Any:
        name = str(request.url).partition("?")[0].rsplit("/", 1)[1]
        return (200, known[name]) if name in known else GONE

    client, _ = client_of(answer)
    assert client.is_deleted_folder("u", Folder("f", "x", parents["f"], "")) is deleted


def test_a_folder_is_made_with_its_marker_in_one_request() -> None:
    client, transport = client_of([(201, folder("f1"))])
    assert client.create_folder("u", "Business Central", "m1") == Folder(
        "f1", "Business Central", "default", "m1"
    )
    assert transport.bodies == [
        {
            "displayName": "Business Central",
            "singleValueExtendedProperties": [{"id": MARKER_ID, "value": "m1"}],
        }
    ]
    assert_immutable(transport)


def test_a_folder_of_that_name_is_adopted_with_the_marker_it_has() -> None:
    listed = (200, {"value": [folder("f0", "Other"), folder("f1", "business CENTRAL", marker="theirs")]})
    client, _ = client_of([(409, error_body("ErrorFolderExists")), listed])
    assert client.create_folder("u", "Business Central", "ours") == Folder(
        "f1", "business CENTRAL", "default", "theirs"
    )


def test_a_conflict_with_no_folder_to_be_seen_stays_one() -> None:
    client, _ = client_of([(409, error_body("ErrorFolderExists")), (200, {"value": []})])
    with pytest.raises(ConflictError):
        client.create_folder("u", "Business Central", "m")


@pytest.mark.parametrize("trouble", [RESET, (503, None), (201, b"{")])
def test_a_folder_whose_create_has_an_unknown_outcome_is_looked_up_not_made_twice(trouble: Any) -> None:
    client, transport = client_of([trouble, (200, {"value": [folder("f1", marker="m")]})])
    assert client.create_folder("u", "Business Central", "m").id == "f1"
    assert [request.method for request in transport.requests] == ["POST", "GET"]

    client, _ = client_of([trouble, (200, {"value": []})])
    with pytest.raises(ServiceError):
        client.create_folder("u", "Business Central", "m")


def test_a_service_that_refuses_the_marker_at_creation_gets_it_afterwards() -> None:
    def handle(part: dict[str, Any]) -> Any:
        return 200, folder("f1")

    def answer(request: requests.PreparedRequest) -> Any:
        if str(request.url).endswith("/$batch"):
            return BatchService(handle)(request)
        assert isinstance(request.body, bytes)
        return (
            (400, error_body("ErrorInvalidRequest")) if b"Extended" in request.body else (201, folder("f1"))
        )

    client, transport = client_of(answer)
    assert client.create_folder("u", "Business Central", "m").marker == "m"
    assert len(transport.requests) == 3


def test_a_rename_to_a_taken_name_is_a_conflict() -> None:
    client, transport = client_of([(504, None), (409, error_body("ErrorFolderExists"))])
    with pytest.raises(ConflictError):
        client.rename_folder("u", "f/1", "New")
    assert transport.requests[0].method == "PATCH"
    assert transport.urls[0].endswith("/users/u/contactFolders/f%2F1")


# Marker


class MarkedFolder:
    """A folder whose marker can be exchanged, with faults at any place."""

    def __init__(self, *faults: Any) -> None:
        self.marker = "old"
        self.faults = list(faults)
        self.requests = 0

    def __call__(self, request: requests.PreparedRequest) -> Any:
        self.requests += 1
        fault = self.faults.pop(0) if self.faults else None
        if fault == "before":
            return 503, None
        reply = BatchService(lambda part: self.part(part, fault))(request)
        return RESET if fault == "after" else reply

    def part(self, part: dict[str, Any], fault: Any) -> Any:
        if part["method"] == "GET":
            return (
                (429, None, {"Retry-After": "1"})
                if fault == "get"
                else (200, folder("f", marker=self.marker))
            )
        if fault == "get":
            assert part["dependsOn"] == ["1"]
            return 424, None
        if fault == "patch":
            return 429, None, {"Retry-After": "1"}
        self.marker = part["body"]["singleValueExtendedProperties"][0]["value"]
        return (504, None) if fault == "patch_lost" else (200, folder("f"))


def test_the_marker_is_exchanged_in_one_request() -> None:
    service = MarkedFolder()
    client, transport = client_of(service)
    assert client.write_marker("u", "f", "new").marker == "old"
    assert service.marker == "new"
    assert len(transport.requests) == 1
    assert_immutable(transport)


@pytest.mark.parametrize(
    "faults",
    [
        ["before"],
        ["get"],
        ["patch"],
        ["patch_lost"],
        ["patch_lost", "patch_lost"],
        ["before", "patch", "get"],
    ],
)
def test_the_old_marker_survives_faults(faults: list[str]) -> None:
    service = MarkedFolder(*faults)
    client, _ = client_of(service)
    assert client.write_marker("u", "f", "new").marker == "old"
    assert service.marker == "new"


def test_an_old_marker_that_was_lost_is_never_replaced_by_the_new_one() -> None:
    """The batch was carried out and its answer lost: nobody knows what was there, and nothing may be claimed."""
    client, _ = client_of(MarkedFolder("after"))
    with pytest.raises(ServiceError) as caught:
        client.write_marker("u", "f", "new")
    assert not isinstance(caught.value, ThrottledError)


def test_a_marker_on_a_missing_folder_is_not_found() -> None:
    client, _ = client_of(BatchService(lambda part: GONE if part["method"] == "GET" else (424, None)))
    with pytest.raises(NotFoundError):
        client.write_marker("u", "f", "new")


# Delta


def delta(*items: Any, link: str = "next", deltalink: str | None = None) -> tuple[int, Any]:
    if deltalink:
        return 200, {"value": list(items), "@odata.deltaLink": f"{ROOT}/{deltalink}"}
    return 200, {"value": list(items), "@odata.nextLink": f"{ROOT}/{link}"}


def test_a_quiet_folder_costs_one_request() -> None:
    client, transport = client_of([delta(deltalink="d2")])
    page = client.fetch_delta("u", "f", f"{ROOT}/d1?$deltatoken=x")
    assert (page.contacts, page.removed, page.delta_link) == ([], [], f"{ROOT}/d2")
    assert transport.urls == [f"{ROOT}/d1?$deltatoken=x"]
    assert transport.requests[0].headers["Prefer"] == f"{IMMUTABLE}, odata.maxpagesize=200"


def test_a_first_round_selects_and_reads_all_pages() -> None:
    client, transport = client_of(
        [delta(record("a", jobTitle="x"), link="2"), delta(link="3"), delta(record("b"), deltalink="d")]
    )
    page = client.fetch_delta("u", "f", None)
    assert [contact.id for contact in page.contacts] == ["a", "b"]
    assert page.contacts[0].record == {"jobTitle": "x"}
    assert page.contacts[0].bc_key is None
    first = unquote(transport.urls[0])
    assert "/contactFolders/f/contacts/delta?$select=id,parentFolderId," in first
    assert "businessAddress" in first
    assert "$expand" not in first
    assert_immutable(transport)


def test_the_last_word_of_a_round_counts_and_parts_are_put_together() -> None:
    removed = {"id": "a", "@removed": {"reason": "deleted"}}
    client, _ = client_of(
        [
            delta(
                {"id": "a", "jobTitle": "old"},
                removed | {"id": "b"},
                {"id": "c", "jobTitle": "1", "displayName": "C"},
                link="2",
            ),
            delta(
                removed,
                record("b"),
                {"id": "c", "jobTitle": "2"},
                {"id": "d", "@removed": {"reason": "changed"}},
                deltalink="d",
            ),
        ]
    )
    page = client.fetch_delta("u", "f", None)
    assert sorted(page.removed) == ["a", "d"]
    assert {contact.id: contact.record for contact in page.contacts} == {
        "b": {},
        "c": {"jobTitle": "2", "displayName": "C"},
    }


@pytest.mark.parametrize(
    "expired",
    [
        (410, error_body("SyncStateNotFound")),
        (410, None),
        (400, error_body("syncstatenotfound")),
        (404, error_body("SyncStateInvalid")),
    ],
)
@pytest.mark.parametrize("in_mid_round", [False, True])
def test_an_expired_link_is_distinguished_from_every_other_trouble(expired: Any, in_mid_round: bool) -> None:
    client, _ = client_of([delta(record("a")), expired] if in_mid_round else [expired])
    with pytest.raises(CursorExpiredError):
        client.fetch_delta("u", "f", f"{ROOT}/d1")


def test_a_missing_folder_is_not_an_expired_link() -> None:
    client, _ = client_of([(404, error_body("ErrorSyncFolderNotFound"))])
    with pytest.raises(NotFoundError):
        client.fetch_delta("u", "f", f"{ROOT}/d1")


@pytest.mark.parametrize(
    "page",
    [
        (200, {"value": []}),
        (200, {"value": [5], "@odata.deltaLink": f"{ROOT}/d"}),
        (200, {"value": [{"id": ""}], "@odata.deltaLink": f"{ROOT}/d"}),
        (200, {"value": [], "@odata.deltaLink": "https://evil.example/d"}),
    ],
)
def test_a_round_that_is_not_whole_counts_for_nothing(page: Any) -> None:
    client, _ = client_of([delta(record("a")), page])
    with pytest.raises(MalformedAnswerError):
        client.fetch_delta("u", "f", None)


# Reading contacts


def test_a_list_reads_keys_and_drops_rows_that_shifted() -> None:
    client, transport = client_of(
        [
            (200, {"value": [record("a", key="k1"), record("b")], "@odata.nextLink": f"{ROOT}/p2"}),
            (200, {"value": [record("b"), record("c", key="K1")]}),
        ]
    )
    contacts = list(client.iter_contacts("u", "f"))
    assert [(contact.id, contact.bc_key) for contact in contacts] == [("a", "k1"), ("b", ""), ("c", "K1")]
    assert BC_KEY_ID in unquote(transport.urls[0])
    assert all("odata.maxpagesize=999" in request.headers["Prefer"] for request in transport.requests)
    assert "$top" not in transport.urls[0]
    assert_immutable(transport)


def test_contacts_are_fetched_in_batches_of_twenty() -> None:
    def handle(part: dict[str, Any]) -> Any:
        contact_id = unquote(part["url"]).partition("?")[0].rsplit("contacts/", 1)[1]
        return GONE if contact_id == "c7" else (200, record(contact_id, key="k", parentFolderId="elsewhere"))

    client, transport = client_of(BatchService(handle))
    ids = [f"c{number}" for number in range(45)] + ["a/b+c==", "c1"]
    found = client.fetch_contacts("u", ids)
    assert list(found) == ids[:-1]
    assert found["c7"] is None
    assert found["a/b+c=="] is not None
    assert (found["c1"].parent_folder_id, found["c1"].bc_key) == ("elsewhere", "k")  # type: ignore[union-attr]
    assert [len(parts) for parts in transport.parts] == [20, 20, 6]
    assert_immutable(transport)


@pytest.mark.parametrize(
    "trouble",
    [
        NO_MAILBOX,
        (404, error_body("ErrorInvalidUser")),
        (404, None),
        (404, b"<html>"),
        (403, None),
        (400, error_body("ErrorInvalidIdMalformed")),
    ],
)
def test_only_a_definite_answer_says_that_a_contact_is_gone(trouble: Any) -> None:
    status, body, *_ = trouble
    client, _ = client_of(BatchService(lambda part: (status, None if isinstance(body, bytes) else body)))
    with pytest.raises(ApiError):
        client.fetch_contacts("u", ["a"])


def test_nothing_asked_nothing_sent() -> None:
    client, transport = client_of([])
    assert client.fetch_contacts("u", []) == {}
    assert client.find_by_keys("u", "f", []) == {}
    assert client.apply_writes("u", []) == []
    assert transport.requests == []


def here(contact_id: str, key: str) -> dict[str, Any]:
    return record(contact_id, key=key, parentFolderId="f")


def test_keys_are_compared_exactly_although_graph_ignores_case() -> None:
    def handle(part: dict[str, Any]) -> Any:
        url = unquote(part["url"])
        if url.startswith("/users/u/contacts/c?"):
            return 200, record("c", parentFolderId="f")
        assert "/contactFolders/f/contacts?" in url
        if "'it''s/k'" in url:
            return 200, {"value": [here("a", "it's/k"), here("b", "IT'S/K"), record("c")]}
        return 200, {"value": []}

    client, transport = client_of(BatchService(handle))
    found = client.find_by_keys("u", "f", ["it's/k", "other"])
    assert [contact.id for contact in found["it's/k"]] == ["a"]
    assert found["other"] == []
    assert len(transport.requests) == 2, "what came without its key is read again"
    assert_immutable(transport)


def test_more_copies_than_a_page_holds_are_all_found() -> None:
    def answer(request: requests.PreparedRequest) -> Any:
        if str(request.url).endswith("/$batch"):
            page = {"value": [here("a", "k")], "@odata.nextLink": f"{ROOT}/users/u/more?$skip=1"}
            return 200, {"responses": [{"id": "1", "status": 200, "body": page}]}
        return 200, {"value": [here("b", "k")]}

    client, transport = client_of(answer)
    assert [contact.id for contact in client.find_by_keys("u", "f", ["k"])["k"]] == ["a", "b"]
    assert IMMUTABLE in transport.requests[1].headers["Prefer"]


def test_a_look_up_without_a_list_proves_nothing() -> None:
    client, _ = client_of(BatchService(lambda part: (200, {})))
    with pytest.raises(MalformedAnswerError):
        client.find_by_keys("u", "f", ["k"])


@pytest.mark.parametrize("wrong", [None, 5, {}, {"id": None}, {"id": "a", "lastModifiedDateTime": "soon"}])
def test_a_record_that_is_none_is_refused(wrong: Any) -> None:
    with pytest.raises(MalformedAnswerError):
        to_contact(wrong)


def test_what_was_not_sent_is_not_known() -> None:
    contact = to_contact({"id": "a", "mobilePhone": None, "homeAddress": {}, "businessAddress": {}})
    assert contact.record == {"mobilePhone": None, "businessAddress": {}}
    assert (contact.etag, contact.last_modified, contact.created, contact.parent_folder_id) == (
        "",
        "",
        "",
        "",
    )


# Writing


def writes() -> list[BatchWrite]:
    return [
        BatchWrite("POST", folder_id="f", body={"displayName": "New"}, bc_key="k"),
        BatchWrite("PATCH", contact_id="a/1", etag='W/"v1"', body={"displayName": "Changed"}),
        BatchWrite("DELETE", contact_id="b", etag='W/"v2"'),
    ]


def carry_out(part: dict[str, Any]) -> Any:
    if part["method"] == "DELETE":
        return 204, None
    return (201 if part["method"] == "POST" else 200), record("made", displayName="x", parentFolderId="f")


def test_writes_go_in_one_batch_with_versions_and_key() -> None:
    client, transport = client_of(BatchService(carry_out))
    created, changed, deleted = client.apply_writes("u", writes())
    post, patch, delete = transport.parts[0]

    assert post["url"] == "/users/u/contactFolders/f/contacts"
    assert post["body"] == {
        "displayName": "New",
        "singleValueExtendedProperties": [{"id": BC_KEY_ID, "value": "k"}],
    }
    assert post["headers"] == {"Prefer": IMMUTABLE, "Content-Type": "application/json"}
    assert patch["url"] == "/users/u/contacts/a%2F1"
    assert patch["headers"] == {"Prefer": IMMUTABLE, "If-Match": 'W/"v1"', "Content-Type": "application/json"}
    assert patch["body"] == {"displayName": "Changed"}
    assert delete["headers"] == {"Prefer": IMMUTABLE, "If-Match": 'W/"v2"'}
    assert "body" not in delete
    assert created.error is changed.error is deleted.error is None
    assert (created.contact.id, created.contact.bc_key) == ("made", "k")  # type: ignore[union-attr]
    assert changed.contact.bc_key is None  # type: ignore[union-attr]
    assert deleted.contact is None
    assert_immutable(transport)


def test_each_write_has_its_own_outcome() -> None:
    def handle(part: dict[str, Any]) -> Any:
        if part["method"] == "PATCH":
            return 412, error_body("ErrorIrresolvableConflict"), {"request-id": "r-7"}
        return GONE if part["method"] == "DELETE" else carry_out(part)

    client, _ = client_of(BatchService(handle))
    created, changed, deleted = client.apply_writes("u", writes())
    assert created.error is None
    assert isinstance(changed.error, VersionMismatchError)
    assert changed.request_id == "r-7"
    assert isinstance(deleted.error, NotFoundError)


def test_a_create_that_answers_without_an_id_is_unknown() -> None:
    client, _ = client_of(BatchService(lambda part: (201, {"displayName": "x"})))
    (result,) = client.apply_writes("u", writes()[:1])
    assert isinstance(result.error, ServiceError)
    assert not isinstance(result.error, ThrottledError)


def test_a_lost_batch_leaves_creates_unknown_and_repeats_the_rest() -> None:
    client, transport = client_of(BatchService(carry_out, faults=[RESET]))
    created, changed, deleted = client.apply_writes("u", writes())
    assert isinstance(created.error, ServiceError)
    assert changed.error is deleted.error is None
    assert len(transport.requests) == 2


def test_a_closed_mailbox_raises_but_results_are_never_lost() -> None:
    denied = (403, error_body("ErrorAccessDenied"))
    client, _ = client_of(BatchService(lambda part: denied))
    with pytest.raises(AccessDeniedError):
        client.apply_writes("u", writes())

    client, _ = client_of(BatchService(lambda part: denied if part["method"] == "PATCH" else carry_out(part)))
    created, changed, _ = client.apply_writes("u", writes())
    assert created.error is None
    assert isinstance(changed.error, AccessDeniedError)

    client, _ = client_of([(401, None), (401, None)])
    with pytest.raises(AuthError):
        client.apply_writes("u", writes())


def test_more_than_a_batch_is_refused() -> None:
    client, transport = client_of(BatchService(carry_out))
    with pytest.raises(ValueError, match="20"):
        client.apply_writes("u", writes() * 7)
    assert transport.requests == []


# Pace


def test_a_mailbox_is_never_driven_over_its_window_and_others_do_not_wait() -> None:
    time = FakeTime()
    client, _ = client_of(BatchService(carry_out), time=time, window_operations=100, window=600.0)
    batch = [BatchWrite("DELETE", contact_id=str(number)) for number in range(20)]
    for _ in range(5):
        client.apply_writes("anna@firm.example", batch)
    client.apply_writes("bob@firm.example", batch)
    assert sum(time.slept) == 0
    client.apply_writes("ANNA@firm.example", batch)
    assert sum(time.slept) == pytest.approx(600)


def test_reads_count_against_the_window_too() -> None:
    time = FakeTime()
    client, _ = client_of(lambda _: delta(deltalink="d"), time=time, window_operations=3, window=600.0)
    for _ in range(4):
        client.fetch_delta("u", "f", f"{ROOT}/d1")
    assert sum(time.slept) == pytest.approx(600)
