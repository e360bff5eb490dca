"""How Graph answers: a page of a list, the context of an answer, and an error."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar
from urllib.parse import quote

from sandbox.wire import JSON_GRAPH, ApiError, Call, Reply, parse_integer

Item = TypeVar("Item")


def is_immutable(call: Call) -> bool:
    """Return whether the caller asked for immutable ids."""
    return (call.prefer("IdType") or "").lower() == "immutableid"


def write_context(call: Call, values: dict[str, str], what: str) -> str:
    """Return the ``@odata.context`` of something in a user's mailbox."""
    return f"{call.base}/graph/v1.0/$metadata#users('{quote(values['user'])}')/{what}"


def write_page(
    call: Call,
    found: Sequence[Item],
    context: str,
    write: Callable[[Item], dict[str, Any]],
    *,
    most: float | None,
) -> dict[str, Any]:
    """Return a page of a list, of at most so many items, with the ``$skip`` kind of next link."""
    size = min(call.page_size() or parse_integer(call.query, "$top") or 10, int(most or 10**9))
    skip = parse_integer(call.query, "$skip") or 0
    page: dict[str, Any] = {"@odata.context": context}
    if call.query.get("$count", "").lower() == "true":
        page["@odata.count"] = len(found)
    page["value"] = [write(item) for item in found[skip : skip + size]]
    if skip + size < len(found):
        query = {**call.query, "$skip": str(skip + size)}
        text = "&".join(f"{quote(name, safe='$')}={quote(value)}" for name, value in query.items())
        page["@odata.nextLink"] = f"{call.base}/graph/v1.0{quote(call.path)}?{text}"
    return page


def problem(call: Call, error: ApiError) -> Reply:
    """Return an error in Graph's shape."""
    inner = {"date": "", "request-id": "", "client-request-id": call.headers.get("client-request-id", "")}
    inner.update(call.notes.get("ids", {}))
    body = {"error": {"code": error.code, "message": error.message, "innerError": inner}}
    return Reply(error.status, body, dict(error.headers), content_type=JSON_GRAPH)
