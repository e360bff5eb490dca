"""A transport without a network and a time without waiting, so that every repeat can be watched."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable
from typing import Any

import orjson
import requests
from requests.adapters import BaseAdapter
from requests.structures import CaseInsensitiveDict
from urllib3 import HTTPResponse

from sync_lib.clients.pacing import Gate
from sync_lib.clients.session import ApiSession

ROOT = "https://api.example/v1.0"
GRAPH_SCOPE = "https://graph.microsoft.com/.default"
BUSINESS_CENTRAL_SCOPE = "https://api.businesscentral.dynamics.com/.default"

Reply = tuple[int, Any] | tuple[int, Any, dict[str, str]] | Exception


class FakeTime:
    """A clock that only ``sleep`` moves."""

    def __init__(self) -> None:
        self.now = 1_000_000.0
        self.slept: list[float] = []

    def clock(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


class Transport(BaseAdapter):
    """Answers with what a handler says, or with a list of replies in turn; remembers what was asked."""

    def __init__(self, replies: Callable[[requests.PreparedRequest], Reply] | Iterable[Reply]) -> None:
        super().__init__()
        self.requests: list[requests.PreparedRequest] = []
        self.options: list[dict[str, Any]] = []
        self._replies = replies if callable(replies) else iter(replies)

    def send(self, request: requests.PreparedRequest, **options: Any) -> requests.Response:  # type: ignore[override]
        self.requests.append(request)
        self.options.append(options)
        reply = self._replies(request) if callable(self._replies) else next(self._replies)
        if isinstance(reply, Exception):
            raise reply
        status, body, *rest = reply
        content = body if isinstance(body, bytes) else b"" if body is None else orjson.dumps(body)
        response = requests.Response()
        response.status_code = status
        response.headers = CaseInsensitiveDict(rest[0] if rest else {})
        response.raw = HTTPResponse(io.BytesIO(content), preload_content=False)
        response.url = str(request.url)
        response.request = request
        return response

    def close(self) -> None: ...

    @property
    def urls(self) -> list[str]:
        return [str(request.url) for request in self.requests]

    @property
    def bodies(self) -> list[Any]:
        return [orjson.loads(request.body) for request in self.requests if request.body]

    @property
    def parts(self) -> list[list[dict[str, Any]]]:
        """The parts of each batch that was sent."""
        return [body["requests"] for body in self.bodies]


class FakeTokens:
    """Hands out t1 until it is asked to renew, then t2, and so on."""

    def __init__(self, *failures: Exception) -> None:
        self.failures = list(failures)
        self.number = 1
        self.asked = 0

    def token(self) -> str:
        self.asked += 1
        if self.failures:
            raise self.failures.pop(0)
        return f"t{self.number}"

    def renew(self) -> str:
        self.number += 1
        return f"t{self.number}"


def make_session(
    transport: Transport,
    *,
    time: FakeTime | None = None,
    tokens: Any = None,
    root: str = ROOT,
    gate: Gate | None = None,
    retry_cap: float = 120,
) -> ApiSession:
    time = time or FakeTime()
    session = ApiSession(
        root,
        tokens or FakeTokens(),
        gate=gate,
        retry_cap=retry_cap,
        sleep=time.sleep,
        jitter=lambda: 0.0,
    )
    session.http.mount("https://", transport)
    session.http.mount("http://", transport)
    return session


def error_body(code: str, message: str = "", **inner: str) -> dict[str, Any]:
    return {"error": {"code": code, "message": message or code, "innerError": inner}}


Part = dict[str, Any]


class BatchService:
    """A ``$batch`` end point: one handler for parts, and faults for whole batches."""

    def __init__(
        self, handle: Callable[[Part], Reply | None], *, faults: Iterable[Reply | None] = ()
    ) -> None:
        self.handle = handle
        self.faults = iter(faults)

    def __call__(self, request: requests.PreparedRequest) -> Reply:
        if not str(request.url).endswith("/$batch"):
            reply = self.handle({"method": request.method, "url": str(request.url).removeprefix(ROOT)})
            assert reply is not None
            return reply
        fault = next(self.faults, None)
        if fault is not None:
            return fault
        responses = []
        for part in orjson.loads(request.body or b"")["requests"]:
            reply = self.handle(part)
            if reply is None:
                continue
            assert not isinstance(reply, Exception)
            status, body, *rest = reply
            responses.append(
                {"id": part["id"], "status": status, "body": body, "headers": rest[0] if rest else {}}
            )
        return 200, {"responses": responses[::-1]}
