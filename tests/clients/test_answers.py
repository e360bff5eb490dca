from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sync_lib.clients.answers import to_error
from sync_lib.errors import (
    AccessDeniedError,
    ApiError,
    AuthError,
    ConflictError,
    CursorExpiredError,
    NotFoundError,
    RejectedError,
    ServiceError,
    ThrottledError,
    VersionMismatchError,
)
from tests.clients.fakes import error_body


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (400, "ErrorInvalidRequest", RejectedError),
        (400, "BadRequest_InvalidToken", RejectedError),
        (400, "Application_DialogException", RejectedError),
        (400, "Internal_RecordNotFound", NotFoundError),
        (400, "syncStateNotFound", CursorExpiredError),
        (400, "SyncStateInvalid", CursorExpiredError),
        (401, "InvalidAuthenticationToken", AuthError),
        (401, "Authentication_InvalidCredentials", AuthError),
        (401, "Authorization_RequestDenied", AccessDeniedError),
        (403, "ErrorAccessDenied", AccessDeniedError),
        (403, "ErrorQuotaExceeded", RejectedError),
        (404, "ErrorItemNotFound", NotFoundError),
        (404, "MailboxNotEnabledForRESTAPI", NotFoundError),
        (404, "ErrorSyncFolderNotFound", NotFoundError),
        (404, "SyncStateNotFound", CursorExpiredError),
        (404, "", NotFoundError),
        (405, "ErrorInvalidRequest", RejectedError),
        (409, "ErrorFolderExists", ConflictError),
        (409, "Request_EntityChanged", VersionMismatchError),
        (409, "", ConflictError),
        (410, "", CursorExpiredError),
        (410, "resyncRequired", CursorExpiredError),
        (412, "ErrorIrresolvableConflict", VersionMismatchError),
        (412, "", VersionMismatchError),
        (413, "", RejectedError),
        (422, "", RejectedError),
        (429, "ApplicationThrottled", ThrottledError),
        (500, "ErrorInternalServerError", ServiceError),
        (501, "BadRequest_MethodNotImplemented", RejectedError),
        (503, "", ServiceError),
        (504, "UnknownError", ServiceError),
        (507, "ErrorQuotaExceeded", RejectedError),
        (599, "", ServiceError),
    ],
)
def test_status_and_code_choose_the_error(status: int, code: str, kind: type[ApiError]) -> None:
    error = to_error(status, {}, error_body(code) if code else None, method="GET", path="/x")
    assert type(error) is kind
    assert (error.status, error.code, error.method, error.path) == (status, code, "GET", "/x")


def test_a_code_may_sit_deeper_and_the_request_id_in_many_places() -> None:
    deep = {
        "error": {"code": "generalException", "innererror": {"code": "resyncRequired", "request-id": "r1"}}
    }
    error = to_error(400, {}, deep, method="GET", path="/x")
    assert isinstance(error, CursorExpiredError)
    assert (error.code, error.request_id) == ("resyncRequired", "r1")

    text = "Wrong.  CorrelationId:  0b0a7a5e-7b1c-4a1e-9d0c-000000000001."
    assert to_error(400, {}, error_body("X", text), method="GET", path="/").request_id.endswith("0001")
    assert to_error(400, {"Request-Id": "h1"}, deep, method="GET", path="/").request_id == "h1"


@pytest.mark.parametrize(
    "body", [None, b"", "<html>", [], 5, {"error": "text"}, {"error": {"code": {"a": 1}}}, {"error": None}]
)
def test_any_error_body_is_understood(body: Any) -> None:
    assert isinstance(to_error(400, {}, body, method="GET", path="/x"), RejectedError)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: (
        st.lists(inner) | st.dictionaries(st.sampled_from(["error", "code", "innerError", "message"]), inner)
    ),
)


@given(st.integers(300, 599), json_values)
def test_no_error_body_breaks_the_parser(status: int, body: Any) -> None:
    assert str(status) in str(to_error(status, {}, body, method="GET", path="/x"))


@pytest.mark.parametrize(
    ("status", "body", "remedy"),
    [
        (401, error_body("Authentication_InvalidCredentials"), "Microsoft Entra Applications"),
        (401, error_body("InvalidAuthenticationToken"), "one cloud"),
        (401, None, "one cloud"),
        (403, error_body("Authorization_InsufficientPermissions"), "permission set"),
        (403, None, "no code of the service"),
    ],
)
def test_a_refusal_of_the_app_has_its_remedy(status: int, body: Any, remedy: str) -> None:
    """R8: consent and the app's switch in BC are remedies; a refusal without a code is nobody's for sure."""
    assert remedy in str(to_error(status, {}, body, method="GET", path="/x"))
