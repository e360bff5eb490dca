"""How Business Central answers: addresses in answers, and an error."""

from __future__ import annotations

from sandbox.wire import JSON_BC, ApiError, Call, Reply


def root_of(call: Call) -> str:
    """Return the address of the API that a call came to."""
    return f"{call.base}{call.notes['root']}"


def collection_of(call: Call) -> str:
    """Return the address of the collection that a call is about, in its usual form."""
    what = {"contact": "contacts", "$count": "contacts"}.get(call.segments[2], call.segments[2])
    return f"{root_of(call)}/companies({call.company})/{what}"


def write_context(call: Call, what: str) -> str:
    """Return the ``@odata.context`` of something in a company."""
    return f"{root_of(call)}/$metadata#companies({call.company})/{what}"


def problem(call: Call, error: ApiError) -> Reply:
    """Return an error in Business Central's shape."""
    correlation = call.notes.get("ids", {}).get("request-id", "")
    if call.notes.pop("bodiless", False):
        return Reply(error.status)
    message = f"{error.message}  CorrelationId:  {correlation}."
    body = {"error": {"code": error.code, "message": message} if error.code else {"message": message}}
    return Reply(error.status, body, dict(error.headers), content_type=JSON_BC)
