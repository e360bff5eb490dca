"""One API over HTTP: tokens, time-outs, repeats, typed errors, pages. Knows nothing of contacts.

Repeats sit above the transport, so a fake transport exercises them. A request that may have changed something and
is not known to have failed is never sent again unless its caller says that this does no harm. Messages hold
method, path, status, code and request id: never a query, a body or a token.
"""

from __future__ import annotations

import contextlib
import logging
import random
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Protocol
from urllib.parse import urlsplit

import orjson

from sync_lib.clients.addresses import check_root, to_origin
from sync_lib.clients.answers import Answer, like, settled
from sync_lib.clients.odata import to_query
from sync_lib.clients.pacing import Gate, Patience
from sync_lib.clients.transport import Call, Failure, Sender, Transport
from sync_lib.errors import (
    AuthError,
    InterceptedError,
    MalformedAnswerError,
    RejectedError,
    ServiceError,
    TooSlowError,
    WritesOffError,
)
from sync_lib.ports import Pages

logger = logging.getLogger(__name__)

_USER_AGENT = "bc-outlook-contact-sync"

#: What a page that is too large for the service, or for the time that it has, ends with (0: no answer at all).
_TOO_SLOW = frozenset({0, 408, 504})
_TOO_LARGE = 413

#: A 500 may be one broken record; a few attempts show it (https://learn.microsoft.com/graph/errors).
ATTEMPTS_ON_500 = 4


class Tokens(Protocol):
    """What ``ApiSession`` needs of a token source."""

    def token(self) -> str:
        """Return a token that is valid now, from memory where possible."""

    def renew(self) -> str:
        """Return a new token although the last one looks valid: the API refused it."""


class _SharedTokens:
    """The tokens of all threads of a session, asked for with the patience of the request that needs one."""

    def __init__(self, source: Tokens) -> None:
        self._source = source
        self._renewal = threading.Lock()

    def token(self, patience: Patience) -> str:
        return self._patiently(self._source.token, patience)

    def renew(self, refused: str, patience: Patience) -> None:
        # Of several threads that meet the same expired token, the first one renews it for all.
        with self._renewal:
            if self.token(patience) == refused:
                self._patiently(self._source.renew, patience)

    def _patiently(self, ask: Callable[[], str], patience: Patience) -> str:
        while True:
            try:
                return ask()
            except ServiceError as error:
                # Nothing was sent to the API yet, so this may be repeated whatever the request is.
                if patience.wait(error.retry_after) is None:
                    raise


class ApiSession:
    """A pooled connection to one API root, for up to about five threads.

    Args:
        root: The API's address; paths are relative to it. Plain http is taken for this machine only.
        tokens: Asked before each attempt.
        gate: Entered around each attempt.
        timeout: Seconds without a byte from the service after which an attempt counts as broken.
        retry_cap: Seconds that one request may spend on waits and failed attempts together.
        headers: Sent with each request.
        may_write: Asked right before each request that changes something (rules 8.8c).
        transport: Makes what carries the requests; without it, sockets.
        clock: Seconds that never run back, for the time that failed attempts took.
        sleep: Waits so many seconds.
        jitter: Yields 0 to 1.
        new_id: Yields the id of an attempt, which the service logs too.
        on_page: Called with the number of rows of each page of a list.
    """

    def __init__(  # noqa: PLR0913 - options of one session; the last five are what a simulated world replaces
        self,
        root: str,
        tokens: Tokens,
        *,
        gate: Gate | None = None,
        timeout: float = 100,
        retry_cap: float = 120,
        headers: Mapping[str, str] | None = None,
        may_write: Callable[[], bool] = lambda: True,
        transport: Transport | None = None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
        jitter: Callable[[], float] = random.random,
        new_id: Callable[[], str] = lambda: str(uuid.uuid4()),
        on_page: Callable[[int], None] = lambda _rows: None,
    ) -> None:
        check_root(root, "API root")
        self.root = root.rstrip("/")
        self._sender = Sender(self.root, transport, timeout=timeout, new_id=new_id)
        self.http = self._sender.http
        self._origin = to_origin(root)
        self._tokens = _SharedTokens(tokens)
        self._gate = gate
        self._retry_cap = retry_cap
        self._headers = {"Accept": "application/json", "User-Agent": _USER_AGENT, **(headers or {})}
        self._may_write = may_write
        self._clock = clock
        self._sleep = sleep
        self._jitter = jitter
        self._on_page = on_page

    def request(  # noqa: PLR0913 - an HTTP request has as many sides
        self,
        method: str,
        url_or_path: str,
        *,
        params: Mapping[str, str] | None = None,
        json: object = None,
        headers: Mapping[str, str] | None = None,
        repeat: bool | None = None,
        same_size: bool = True,
        operations: int = 1,
        gate: Gate | None = None,
        writes: bool | None = None,
    ) -> Answer:
        """Return the service's 2xx answer, after as many repeats as are safe and patience allows.

        Args:
            method: HTTP method.
            url_or_path: Path below the root, or an absolute link that the service gave us.
            params: Query options, unquoted.
            json: Body.
            headers: On top of the session's.
            repeat: Whether sending it twice does no harm; by default only for GET. A write that may not be
                repeated is sent again only where the service certainly did nothing: 429, 401, no connection.
            same_size: Whether it is sent again as it is where the service was too slow for it.
            operations: How many the service counts it for (parts of a batch count singly).
            gate: A limit of this request's own, for example its mailbox's.
            writes: Whether it changes something at the service; by default all but GET do.

        Raises:
            WritesOffError: Somebody stopped all writes; nothing was sent.
            TooSlowError: Without ``same_size``: no answer, or one cut off, or 408 or 504.
            ApiError: See ``sync_lib.errors``. A ``ServiceError`` other than ``ThrottledError`` means that a write
                may have been carried out, in this attempt or an earlier one.
        """
        if (method != "GET" if writes is None else writes) and not self._may_write():
            raise WritesOffError
        content_type = {} if json is None else {"Content-Type": "application/json"}
        call = Call(
            method,
            self._url(url_or_path, params),
            {**self._headers, **content_type, **(headers or {})},
            None if json is None else orjson.dumps(json),
            method == "GET" if repeat is None else repeat,
            same_size,
            operations,
            tuple(one for one in (gate, self._gate) if one is not None),
        )
        return self._send_until_answered(call)

    def iter_pages(
        self,
        path: str,
        params: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        *,
        gate: Gate | None = None,
        paging: Pages | None = None,
    ) -> Iterator[dict[str, Any]]:
        """Yield the pages of a collection; whoever stops early has not seen them all.

        Next links are opaque and used as they come, with the same headers, which they do not contain
        (https://learn.microsoft.com/graph/paging). A page may be empty and still have a next link. With ``paging`` a
        link whose page was too slow or too large is asked again for fewer rows.

        Raises:
            MalformedAnswerError: A page has no ``value``, or a link leads elsewhere or back.
        """
        seen: set[str] = set()
        url, query = path, params
        while True:
            answer = self._page(url, query, headers or {}, gate, paging)
            body = answer.body
            # An absent list is not an empty one: it would read as "everything is gone".
            if not isinstance(body.get("value"), list):
                raise self._malformed(url, "a page has no value")
            if paging is not None:
                paging.answered(answer.headers)
            self._on_page(len(body["value"]))
            yield body
            link = body.get("@odata.nextLink")
            if not link:
                return
            url, query = self.own_link(link), None
            if url in seen:
                raise self._malformed(url, "a next link leads back")
            seen.add(url)

    def _page(
        self,
        url: str,
        query: Mapping[str, str] | None,
        headers: Mapping[str, str],
        gate: Gate | None,
        paging: Pages | None,
    ) -> Answer:
        if paging is None:
            return self.request("GET", url, params=query, headers=headers, gate=gate)
        while True:
            asked = {**headers, **paging.headers()}
            try:
                return self.request(
                    "GET", url, params=query, headers=asked, gate=gate, same_size=paging.is_smallest
                )
            except (TooSlowError, RejectedError) as error:
                too_large = isinstance(error, TooSlowError) or error.status == _TOO_LARGE
                if not too_large or not paging.shrink():
                    raise
                logger.info("%s: asking for fewer rows at a time", error)

    def own_link(self, link: object) -> str:
        """Return a link that the service gave us, once it is known to lead to this API and nowhere else.

        Raises:
            MalformedAnswerError: It leads to another host, port or scheme. The token is never sent there.
        """
        if not isinstance(link, str) or not self.is_own_link(link):
            raise self._malformed(
                "",
                "a link leads to another host than the API root of the Connection, and is not followed (a gateway "
                "before an API must rewrite its links, too)",
            )
        return link

    def is_own_link(self, link: str) -> bool:
        """Return whether a link leads to this API's host, port and scheme."""
        return to_origin(link) == self._origin

    def sign_in(self) -> None:
        """Have a token, as a request would.

        Raises:
            ApiError: There is none, after as many repeats as patience allows.
        """
        self._tokens.token(self.patience())

    def close(self) -> None:
        """Close the pooled connections; the session opens new ones where it is used again."""
        self.http.close()

    def patience(self) -> Patience:
        """Return fresh patience, for callers that repeat parts of a request themselves."""
        return Patience(self._retry_cap, sleep=self._sleep, jitter=self._jitter)

    def _url(self, url_or_path: str, params: Mapping[str, str] | None) -> str:
        url = self.root + url_or_path if url_or_path.startswith("/") else self.own_link(url_or_path)
        return f"{url}?{to_query(params)}" if params else url

    def _malformed(self, url: str, what: str) -> MalformedAnswerError:
        path = urlsplit(url).path
        host = urlsplit(self.root).hostname
        return MalformedAnswerError(f"{host} sent a malformed answer: {what}.", path=path)

    def _send_until_answered(self, call: Call) -> Answer:
        patience = self.patience()
        maybe_done = renewed = False
        while True:
            token = self._tokens.token(patience)
            result = self._attempt(call, token, patience)
            if isinstance(result, Answer):
                return result
            if isinstance(result.error, AuthError) and not renewed:
                renewed = True
                self._tokens.renew(token, patience)
                continue
            if not call.same_size and _is_too_slow(result):
                raise like(result.error, TooSlowError)
            maybe_done = maybe_done or result.maybe_done
            if not self._wait(call, result, patience):
                raise settled(result.error, maybe_done=maybe_done and call.method != "GET")

    def _wait(self, call: Call, failure: Failure, patience: Patience) -> bool:
        error = failure.error
        if not isinstance(error, ServiceError) or (failure.maybe_done and not call.repeat):
            return False
        few = error.status == 500 or isinstance(error, InterceptedError)
        delay = patience.wait(error.retry_after, attempts=ATTEMPTS_ON_500 if few else None)
        if delay is None:
            return False
        logger.info(
            "%s %s: %s %s, again after %.1f s (request %s)",
            *(call.method, call.path, error.status, error.code, delay, error.request_id),
        )
        return True

    def _attempt(self, call: Call, token: str, patience: Patience) -> Answer | Failure:
        with contextlib.ExitStack() as slots:
            for gate in call.gates:
                slots.enter_context(gate.slot(call.operations))
            # The gates' own waits are no failure of the service: they do not use up patience.
            started = self._clock()
            result = self._sender.send(call, token)
            patience.spend(self._clock() - started)
        if isinstance(result, Failure) and isinstance(result.error, ServiceError):
            seconds = result.error.retry_after
            if seconds is not None and call.gates:
                # The first gate is the narrower one: a limit of one mailbox does not concern the others.
                call.gates[0].pause(seconds)
        return result


def _is_too_slow(failure: Failure) -> bool:
    """Whether the service had the request, and a smaller one might have been answered."""
    error = failure.error
    is_service = isinstance(error, ServiceError) and not isinstance(error, MalformedAnswerError)
    return is_service and failure.maybe_done and error.status in _TOO_SLOW
