"""What a service's answers mean: the typed error of each refusal, made of its status and its codes.

Messages hold method, path, status, code and request id: never a query, a body or a token.
"""

from __future__ import annotations

import json as slow_json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from sync_lib.clients.pacing import retry_after
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
    ValueRefusedError,
    VersionMismatchError,
)

_ERRORS: dict[int, type[ApiError]] = {
    401: AuthError,
    403: AccessDeniedError,
    404: NotFoundError,
    408: ServiceError,  # BC ends an operation after eight minutes with it (operational-limits-online).
    409: ConflictError,
    410: CursorExpiredError,
    412: VersionMismatchError,
    424: ServiceError,
    429: ThrottledError,
    501: RejectedError,
    507: RejectedError,
}

#: Codes that say more than their status; lower case, since services spell them both ways.
_CODE_ERRORS: dict[str, type[ApiError]] = {
    "request_entitychanged": VersionMismatchError,
    "errorirresolvableconflict": VersionMismatchError,
    "mailboxnotenabledforrestapi": NotFoundError,
    "errornonexistentmailbox": NotFoundError,
    "erroritemnotfound": NotFoundError,
    "badrequest_notfound": NotFoundError,
    "badrequest_resourcenotfound": NotFoundError,
    "internal_recordnotfound": NotFoundError,
    "internal_companynotfound": NotFoundError,
    "internal_datanotfoundfilter": NotFoundError,
    "internal_entitywithsamekeyexists": RejectedError,
    "errorquotaexceeded": RejectedError,
    # What speaks of the value (https://learn.microsoft.com/dynamics365/business-central/dev-itpro/api-reference/v2.0/
    # dynamics-error-codes). Application_DialogException is any error of AL: a lock, a trigger, another extension.
    "application_stringexceededlength": ValueRefusedError,
    "application_fieldvalidationexception": ValueRefusedError,
    "application_evaluateexception": ValueRefusedError,
    "application_invalidguid": ValueRefusedError,
    "internal_invalidtablerelation": ValueRefusedError,
}

_WRONG_CLOUD = (
    "The app's token is not taken: root, audience and authority of the Connection must belong to one cloud."
)
_BC_APP = "in Business Central, on the page Microsoft Entra Applications"
#: What a person can do about a refusal of the app itself, by the beginning of the code; lower case.
_REMEDIES = {
    "invalidauthenticationtoken": _WRONG_CLOUD,
    "authentication_": f"Add the app's client id {_BC_APP}, enable it, grant consent. If it is there: {_WRONG_CLOUD}",
    "authorization_": f"Give the app a permission set for contacts {_BC_APP}.",
    "unauthorized": f"{_WRONG_CLOUD} For Business Central the app must be enabled {_BC_APP}, with consent.",
    "forbidden": "The answer has no code of the service: a proxy or firewall on the way may have given it.",
}


@dataclass(frozen=True, slots=True)
class Answer:
    """A 2xx answer. ``body`` is {} where the service sent none."""

    status: int
    headers: Mapping[str, str]
    body: dict[str, Any]
    request_id: str


def to_error(  # noqa: PLR0913 - all that an answer without success consists of
    status: int,
    headers: Mapping[str, str],
    body: object,
    *,
    method: str,
    path: str,
    request_id: str = "",
    hint: str = "",
) -> ApiError:
    """Return the typed error for an answer, or a part of a batch, that is not a success; ``hint`` ends its message.

    The body may be empty, a proxy's HTML, or hold its codes several levels deep; its texts are left behind, since
    they may quote a contact.
    """
    codes = _codes(body)
    kind, code = _kind(status, codes)
    request_id = request_id or request_id_of(headers, body)
    words = " ".join(filter(None, [f"{method} {path}: {status or 'no answer'}", code]))
    words = f"{words} (request {request_id})" if request_id else words
    hint = hint or _remedy(status, code)
    message = f"{words}. {hint}" if hint else words
    details: dict[str, Any] = {
        "status": status,
        "code": code,
        "request_id": request_id,
        "method": method,
        "path": path,
        "in_form": isinstance(body, dict) and isinstance(body.get("error"), dict),
    }
    if issubclass(kind, ServiceError):
        return kind(message, retry_after=retry_after(headers), **details)
    return kind(message, **details)


def is_unknown(error: Exception) -> bool:
    """Return whether a write that ended with this error may have been carried out."""
    return isinstance(error, ServiceError) and not isinstance(error, ThrottledError)


def settled(error: ApiError, *, maybe_done: bool) -> ApiError:
    """Return the error that a caller may rely on, given that an earlier attempt may have been carried out.

    "Throttled" promises that nothing was done; after an attempt that broke off nobody can promise that.
    """
    if not isinstance(error, ThrottledError) or not maybe_done:
        return error
    return like(error, ServiceError, f"{error}, after an attempt whose outcome is unknown")


def like(error: ApiError, kind: type[ServiceError], message: str = "") -> ServiceError:
    """Return an error of another kind that says the same of the answer."""
    return kind(
        message or str(error),
        retry_after=getattr(error, "retry_after", None),
        status=error.status,
        code=error.code,
        request_id=error.request_id,
        method=error.method,
        path=error.path,
    )


def word(value: object) -> str:
    """Return a code or id that a service sent, or "" for anything that could be a sentence or a value."""
    return value if isinstance(value, str) and re.fullmatch(r"[\w.:-]{1,80}", value) else ""


def parsed(content: bytes) -> object:
    """Return a body's JSON, {} where it is empty, None where it is no JSON."""
    if not content.strip():
        return {}
    try:
        return orjson.loads(content)
    except orjson.JSONDecodeError:
        pass
    try:
        # The standard library is more patient: half a surrogate pair in one contact, or a byte order mark, must not
        # make a whole page unreadable for ever.
        text = slow_json.dumps(slow_json.loads(content), ensure_ascii=False)
        return orjson.loads(text.encode("utf-8", "ignore"))
    except (ValueError, RecursionError):
        return None


def _remedy(status: int, code: str) -> str:
    if status not in (401, 403):
        return ""
    known = code.lower() or ("unauthorized" if status == 401 else "forbidden")
    return next((text for start, text in _REMEDIES.items() if known.startswith(start)), "")


def _kind(status: int, codes: list[str]) -> tuple[type[ApiError], str]:
    for code in codes:
        lower = code.lower()
        if "syncstate" in lower or lower.startswith("resync"):
            return CursorExpiredError, code
        if lower in _CODE_ERRORS:
            return _CODE_ERRORS[lower], code
        if status == 401 and lower.startswith("authorization_"):
            # BC's word for a missing permission set: this company is closed, others may be open.
            return AccessDeniedError, code
    code = codes[0] if codes else ""
    if 400 <= status < 500:
        return _ERRORS.get(status, RejectedError), code
    return _ERRORS.get(status, ServiceError), code


def _codes(body: object) -> list[str]:
    """Return the codes of an error body, outermost first."""
    error = body.get("error") if isinstance(body, dict) else None
    codes = []
    for _ in range(5):
        if not isinstance(error, dict):
            break
        codes.append(word(error.get("code")))
        error = next((value for key, value in error.items() if key.lower() == "innererror"), None)
    return [code for code in codes if code]


_CORRELATION = re.compile(r"CorrelationId:\s*([0-9a-fA-F-]{36})")


def request_id_of(headers: Mapping[str, str], body: object) -> str:
    """Return the service's own id of a request, by the headers or the error body of its answer; "" without one."""
    found = {name.lower(): value for name, value in headers.items()}
    for name in ("request-id", "x-ms-request-id", "ms-correlation-x"):
        if request_id := word(found.get(name)):
            return request_id
    error = body.get("error") if isinstance(body, dict) else None
    if not isinstance(error, dict):
        return ""
    inner = next((value for key, value in error.items() if key.lower() == "innererror"), None)
    if isinstance(inner, dict) and (request_id := word(inner.get("request-id"))):
        return request_id
    match = _CORRELATION.search(str(error.get("message")))
    return match.group(1) if match else ""
