"""What passes between the HTTP layer and the services: calls, replies and problems.

The parts of a ``$batch`` are calls too, so a service never sees whether an
operation came alone or in a batch, unless it asks.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, TypedDict
from urllib.parse import parse_qsl, unquote

import orjson

JSON_GRAPH = (
    "application/json;odata.metadata=minimal;odata.streaming=true;IEEE754Compatible=false;charset=utf-8"
)
JSON_BC = "application/json; odata.metadata=minimal; odata.streaming=true"


class Notes(TypedDict, total=False):
    """What is found out about a call on its way; each is missing until then."""

    #: The whole address, as sent.
    url: str
    #: The ids and the date of the request, by the names of headers.
    ids: dict[str, str]
    #: The address of the API, and its path alone where it is one of Business Central.
    service_root: str
    root: str
    #: The page of Business Central's contacts: ``standard`` or ``extended``.
    profile: str
    #: The route, by which calls are counted.
    pattern: str
    #: The count of writes that this call belongs to.
    written: str
    #: The service that a token was issued for.
    token: str
    #: Whether a refusal has no body.
    bodiless: bool
    #: The answer to a part of a batch.
    reply: Reply


@dataclass(slots=True)
class Call:
    """One operation on a service, with everything a handler may look at."""

    service: str
    method: str
    segments: list[str]
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes
    base: str
    identity: str = "anonymous"
    part: bool = False
    roles: tuple[str, ...] = ()
    mailbox: str | None = None
    company: str | None = None
    notes: Notes = field(default_factory=Notes)

    @property
    def path(self) -> str:
        """The decoded path below the service's root."""
        return "/" + "/".join(self.segments)

    @property
    def target(self) -> str:
        """Path and query, decoded: what a fault's pattern is matched with."""
        query = "&".join(f"{name}={value}" for name, value in self.query.items())
        return f"{self.path}?{query}" if query else self.path

    def json(self) -> Any:
        """Return the parsed body, or raise the services' 400."""
        try:
            return orjson.loads(self.body)
        except orjson.JSONDecodeError as error:
            raise ApiError(400, "BadRequest", "Unable to read JSON request payload.") from error

    def json_object(self) -> dict[str, Any]:
        """Return the body, which must be a JSON object."""
        body = self.json()
        if not isinstance(body, dict):
            raise ApiError(400, "BadRequest", "Unable to read JSON request payload: an object was expected.")
        return body

    def prefer(self, name: str) -> str | None:
        """Return the value of a preference (without quotes), or None when it was not asked for."""
        for item in self.headers.get("prefer", "").split(","):
            key, _, value = item.strip().partition("=")
            if key.strip().lower() == name.lower():
                return value.strip().strip('"') or "true"
        return None

    def page_size(self) -> int | None:
        """Return ``odata.maxpagesize``, or None when it is missing or nonsense."""
        value = self.prefer("odata.maxpagesize") or self.prefer("maxpagesize")
        return int(value) if value and value.isdigit() and int(value) > 0 else None


@dataclass(slots=True)
class Reply:
    """What goes back: a status, headers and either JSON or raw bytes.

    ``drop`` makes the HTTP layer break the connection instead of answering
    (``"reset"``) or in the middle of the answer (``"mid_body"``).
    """

    status: int
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    raw: bytes | None = None
    content_type: str = ""
    drop: str | None = None

    def payload(self) -> bytes:
        """Return the bytes to send."""
        if self.raw is not None:
            return self.raw
        return b"" if self.body is None else orjson.dumps(self.body)


#: What answers a call.
Run = Callable[[Call], Awaitable[Reply]]


class ApiError(Exception):
    """An answer of the service that is an error; each service gives it its own shape."""

    def __init__(self, status: int, code: str, message: str = "", **headers: str) -> None:
        super().__init__(f"{status} {code}")
        self.status = status
        self.code = code
        self.message = message or code
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}


def words(text: str) -> tuple[str, ...]:
    """Return the words of a text; long lists of names read better so."""
    return tuple(text.split())


def split_target(target: str) -> tuple[list[str], dict[str, str]]:
    """Return the decoded path segments and the query of a request target, as sent."""
    path, _, query = target.partition("?")
    segments = [unquote(segment) for segment in path.split("/") if segment]
    return segments, dict(parse_qsl(query, keep_blank_values=True))


def lower_headers(headers: Any) -> dict[str, str]:
    """Return headers with lower-case names; a repeated one is joined by commas."""
    result: dict[str, str] = {}
    for name, value in headers.items():
        key = str(name).lower()
        result[key] = f"{result[key]}, {value}" if key in result else str(value)
    return result


def parse_integer(query: dict[str, str], name: str) -> int | None:
    """Return a whole, non-negative query option, or raise 400."""
    text = query.get(name)
    if text is None:
        return None
    if not re.fullmatch(r"\d{1,9}", text.strip()):
        raise ApiError(400, "BadRequest", f"Invalid value for the query option '{name}'.")
    return int(text)
