"""The sandbox without sockets and without waiting: requests are handed to it by an adapter, in a time of its own.

Time passes here only when somebody waits: a request for its answer, a worker
for its pause. So a whole run is a function of what is asked of it, and takes as
long as its computing does.
"""

from __future__ import annotations

import asyncio
import io
import math
import selectors
from collections.abc import Callable, Coroutine, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, TypeVar
from urllib.parse import urlsplit

import requests
from requests.adapters import BaseAdapter, HTTPAdapter
from urllib3 import HTTPResponse
from urllib3.exceptions import ProtocolError, ReadTimeoutError

from sandbox.server import Server
from sandbox.sockets import half
from sandbox.wire import Call, Reply

T = TypeVar("T")
#: Nobody listens there: what goes over sockets by mistake is refused.
BASE = "http://localhost:9"
#: 2 March 2026, 08:00 UTC: a Monday.
START = 1772438400.0
#: Seconds that an exchange takes at least: with none at all, all that happens would bear one stamp.
EXCHANGE = 0.01


class _NoWaiting(selectors.SelectSelector):
    """Has nothing to select from: where the loop would wait, time passes."""

    def __init__(self, time: VirtualTime) -> None:
        super().__init__()
        self._time = time

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise RuntimeError("everybody waits, and nothing will happen")
        self._time.passed += timeout
        return []


class _Loop(asyncio.SelectorEventLoop):
    def __init__(self, time: VirtualTime) -> None:
        self._virtual = time
        super().__init__(_NoWaiting(time))
        # The loop takes timers that are due within its clock's resolution; that of the real clock is finer than the
        # numbers that months of virtual time are written with.
        self._clock_resolution = 1e-6

    def time(self) -> float:
        return self._virtual.passed


class VirtualTime:
    """A time that passes only when somebody waits; a clock for the sandbox and for the workers that use it.

    Args:
        start: Seconds since the epoch at the beginning.
    """

    def __init__(self, start: float = START) -> None:
        self._start = start
        #: Seconds since the beginning.
        self.passed = 0.0
        self._loop = _Loop(self)
        self._loop.set_exception_handler(self._note_error)
        self._errors: list[BaseException] = []

    def time(self) -> float:
        """Return seconds since the epoch."""
        return self._start + self.passed

    def now(self) -> datetime:
        """Return the time in UTC."""
        return datetime.fromtimestamp(self.time(), UTC)

    def monotonic(self) -> float:
        """Return seconds since the beginning."""
        return self.passed

    def sleep(self, seconds: float) -> None:
        """Let time pass, with all that happens meanwhile."""
        self.run(asyncio.sleep(max(seconds, 0)))

    @contextmanager
    def every(self, seconds: float, act: Callable[[], bool]) -> Iterator[None]:
        """Call ``act`` each time so many seconds have passed, until the block ends or it returns False."""
        timer: list[asyncio.TimerHandle] = []

        def fire() -> None:
            if act():
                timer[:] = [self._loop.call_later(seconds, fire)]

        timer[:] = [self._loop.call_later(seconds, fire)]
        try:
            yield
        finally:
            timer[0].cancel()

    def run(self, coroutine: Coroutine[Any, Any, T], timeout: float = math.inf) -> T:
        """Return the result of a coroutine.

        Raises:
            TimeoutError: It took longer than ``timeout`` seconds of this time; it goes on as time passes.
        """
        task = self._loop.create_task(coroutine)
        waiting = asyncio.wait({task}, timeout=None if math.isinf(timeout) else timeout)
        self._loop.run_until_complete(waiting)
        if self._errors:
            raise self._errors.pop()
        if not task.done():
            raise TimeoutError
        return task.result()

    def close(self) -> None:
        """Forget all that was still to happen."""
        for task in asyncio.all_tasks(self._loop):
            task.cancel()
            self._loop.run_until_complete(asyncio.wait({task}))
        self._loop.close()

    def _note_error(self, _: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        if "exception" in context:
            self._errors.append(context["exception"])


class Adapter(BaseAdapter):
    """Carries the requests of a ``requests.Session`` to a server in this process."""

    def __init__(self, server: Server, time: VirtualTime) -> None:
        super().__init__()
        self._server = server
        self._time = time

    def send(  # noqa: PLR0913 - the form that requests gives it
        self,
        request: requests.PreparedRequest,
        stream: bool = False,  # noqa: ARG002 - an answer is here whole
        timeout: float | tuple[float, float] | tuple[float, None] | None = None,
        verify: bool | str = True,  # noqa: ARG002 - there is no connection to secure
        cert: Any = None,  # noqa: ARG002 - there is no connection to secure
        proxies: Mapping[str, str] | None = None,  # noqa: ARG002 - nothing lies in between
    ) -> requests.Response:
        """Return the answer, or raise what ``requests`` raises where a connection breaks or nobody answers."""
        patience = timeout[1] if isinstance(timeout, tuple) else timeout
        parts = urlsplit(str(request.url))
        body = request.body or b""
        call = self._server.take(
            str(request.method),
            f"{parts.path}?{parts.query}" if parts.query else parts.path,
            {**request.headers, "Host": parts.netloc},
            body.encode() if isinstance(body, str) else bytes(body),
        )
        try:
            reply = self._time.run(self._answer(call), math.inf if patience is None else patience)
        except TimeoutError:
            text = f"Read timed out. (read timeout={patience})"
            # The pool of connections, which there is none of, is for the error's text alone.
            late = ReadTimeoutError(None, str(request.url), text)  # type: ignore[arg-type]  # no pool here
            raise requests.ReadTimeout(late, request=request) from None
        if reply.drop == "reset":
            broken = ProtocolError(
                "Connection aborted.", ConnectionResetError(104, "Connection reset by peer")
            )
            raise requests.ConnectionError(broken, request=request)
        return _BUILDER.build_response(request, _to_raw(request, reply))

    async def _answer(self, call: Call) -> Reply:
        await asyncio.sleep(EXCHANGE)
        return await self._server.answer(call)

    def close(self) -> None:
        """Nothing is open."""


#: What makes an answer of ``requests`` from one of ``urllib3``, as for sockets.
_BUILDER = HTTPAdapter()


class _Broken(io.BytesIO):
    """A body whose connection breaks at its end."""

    def read(self, size: int | None = -1, /) -> bytes:
        data = super().read(size)
        if data:
            return data
        raise ConnectionResetError(104, "Connection reset by peer")


def _to_raw(request: requests.PreparedRequest, reply: Reply) -> HTTPResponse:
    payload = reply.payload()
    headers = {**reply.headers, "Content-Length": str(len(payload))}
    body = _Broken(half(payload)) if reply.drop == "mid_body" else io.BytesIO(payload)
    return HTTPResponse(
        body,
        headers,
        reply.status,
        preload_content=False,
        request_method=request.method,
        request_url=request.url,
    )
