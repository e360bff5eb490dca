"""One API over HTTP: tokens, time-outs, repeats, typed errors, pages. Knows nothing of contacts.

Repeats sit above the transport, so a fake transport exercises them. A request that may have changed something and
cannot be told to have failed is never sent again unless its caller says that this does no harm. Messages hold
method, path, status, code and request id: never a query, a body or a token.
"""

from __future__ import annotations

import contextlib
import datetime
import ipaddress
import json as slow_json
import logging
import random
import re
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from http.cookiejar import DefaultCookiePolicy
from typing import Any, Protocol
from urllib.parse import quote, urlencode, urlsplit

import orjson
import requests
from requests.adapters import BaseAdapter, HTTPAdapter
from requests.auth import AuthBase

from sync_lib.clients import network
from sync_lib.clients.pacing import Gate, Patience, WindowPacer, retry_after
from sync_lib.errors import (
    AccessDeniedError,
    ApiError,
    AuthError,
    ConfigError,
    ConflictError,
    CursorExpiredError,
    InterceptedError,
    MalformedAnswerError,
    NotFoundError,
    RejectedError,
    ServiceError,
    ThrottledError,
    TooSlowError,
    ValueRefusedError,
    VersionMismatchError,
    WritesOffError,
)

__all__ = ["Answer", "ApiSession", "Gate", "Tokens", "WindowPacer", "to_error", "to_stamp"]

logger = logging.getLogger(__name__)

_USER_AGENT = "bc-outlook-contact-sync"
_CONNECT_TIMEOUT = 10.0

#: What a page that is too large for the service, or for the time that it has, ends with (0: no answer at all).
_TOO_SLOW = frozenset({0, 408, 504})
_TOO_LARGE = 413

#: A 500 may be one broken record; a few attempts tell (https://learn.microsoft.com/graph/errors).
ATTEMPTS_ON_500 = 4

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


class Tokens(Protocol):
    """What ``ApiSession`` needs of a token source."""

    def token(self) -> str:
        """Return a token that is valid now, from memory where possible."""

    def renew(self) -> str:
        """Return a new token although the last one looks valid: the API refused it."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A 2xx answer. ``body`` is {} where the service sent none."""

    status: int
    headers: Mapping[str, str]
    body: dict[str, Any]
    request_id: str


class Paging(Protocol):
    """What a list asks how many rows a page may have, and tells how that went."""

    @property
    def is_smallest(self) -> bool:
        """Whether fewer rows would help no more."""

    def headers(self) -> Mapping[str, str]:
        """Return the headers that ask for a page."""

    def shrink(self) -> bool:
        """Ask for fewer rows from now on; False where that helps no more."""

    def answered(self, answer: Answer) -> None:
        """Take note of a page that came."""


#: Makes what carries the requests of one session.
Transport = Callable[[], BaseAdapter]


@dataclass(frozen=True, slots=True)
class _Call:
    method: str
    url: str
    headers: Mapping[str, str]
    data: bytes | None
    repeat: bool
    same_size: bool
    operations: int
    gates: tuple[Gate, ...]

    @property
    def path(self) -> str:
        return urlsplit(self.url).path

    @property
    def host(self) -> str:
        return urlsplit(self.url).hostname or ""


@dataclass(frozen=True, slots=True)
class _Failure:
    """An attempt without a good answer; ``maybe_done`` when the service may have carried it out all the same."""

    error: ApiError
    maybe_done: bool


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
    ) -> None:
        check_root(root, "API root")
        self.root = root.rstrip("/")
        self.http = _http_session(transport or _sockets)
        self._origin = _origin(root)
        self._tokens = tokens
        self._gate = gate
        self._timeout = (min(_CONNECT_TIMEOUT, timeout), timeout)
        self._retry_cap = retry_cap
        self._headers = {"Accept": "application/json", "User-Agent": _USER_AGENT, **(headers or {})}
        self._may_write = may_write
        self._clock = clock
        self._sleep = sleep
        self._jitter = jitter
        self._new_id = new_id
        self._renewal = threading.Lock()
        # Proxies and certificate bundle of the environment, read once: requests would read them for each request.
        self._environment = self.http.merge_environment_settings(self.root, {}, None, None, None)

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
        call = _Call(
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
        paging: Paging | None = None,
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
                paging.answered(answer)
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
        paging: Paging | None,
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
        return _origin(link) == self._origin

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

    def _send_until_answered(self, call: _Call) -> Answer:
        patience = self.patience()
        maybe_done = renewed = False
        while True:
            token = self._token(patience)
            result = self._attempt(call, token, patience)
            if isinstance(result, Answer):
                return result
            if isinstance(result.error, AuthError) and not renewed:
                renewed = True
                self._renew(token, patience)
                continue
            if not call.same_size and _is_too_slow(result):
                raise _like(result.error, TooSlowError)
            maybe_done = maybe_done or result.maybe_done
            if not self._wait(call, result, patience):
                raise settled(result.error, maybe_done=maybe_done and call.method != "GET")

    def _wait(self, call: _Call, failure: _Failure, patience: Patience) -> bool:
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

    def _token(self, patience: Patience, renew_from: str | None = None) -> str:
        while True:
            try:
                return self._tokens.token() if renew_from is None else self._tokens.renew()
            except ServiceError as error:
                # Nothing was sent to the API yet, so this may be repeated whatever the request is.
                if patience.wait(error.retry_after) is None:
                    raise

    def _renew(self, refused: str, patience: Patience) -> None:
        # Of several threads that meet the same expired token, the first one renews it for all.
        with self._renewal:
            if self._token(patience) == refused:
                self._token(patience, refused)

    def _attempt(self, call: _Call, token: str, patience: Patience) -> Answer | _Failure:
        with contextlib.ExitStack() as slots:
            for gate in call.gates:
                slots.enter_context(gate.slot(call.operations))
            # The gates' own waits are no failure of the service: they do not use up patience.
            started = self._clock()
            result = self._send(call, token)
            patience.spend(self._clock() - started)
        if isinstance(result, _Failure) and isinstance(result.error, ServiceError):
            seconds = result.error.retry_after
            if seconds is not None and call.gates:
                # The first gate is the narrower one: a limit of one mailbox does not concern the others.
                call.gates[0].pause(seconds)
        return result

    def _send(self, call: _Call, token: str) -> Answer | _Failure:
        request = requests.Request(
            call.method,
            call.url,
            headers={**call.headers, "client-request-id": self._new_id()},
            data=call.data,
            auth=_Bearer(token),
        )
        try:
            response = self.http.send(
                self.http.prepare_request(request),
                timeout=self._timeout,
                allow_redirects=False,
                **self._environment,
            )
        except requests.RequestException as error:
            # Their texts quote the whole URL with its query; only the kind of trouble may go on.
            return _broken(call, error)
        return _read(call, response)


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
    request_id = request_id or _request_id(headers, body)
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
    return _like(error, ServiceError, f"{error}, after an attempt whose outcome is unknown")


def _like(error: ApiError, kind: type[ServiceError], message: str = "") -> ServiceError:
    """Return an error of another kind that tells the same of the answer."""
    return kind(
        message or str(error),
        retry_after=getattr(error, "retry_after", None),
        status=error.status,
        code=error.code,
        request_id=error.request_id,
        method=error.method,
        path=error.path,
    )


def _is_too_slow(failure: _Failure) -> bool:
    """Whether the service had the request, and a smaller one might have been answered."""
    error = failure.error
    is_service = isinstance(error, ServiceError) and not isinstance(error, MalformedAnswerError)
    return is_service and failure.maybe_done and error.status in _TOO_SLOW


def to_query(params: Mapping[str, str]) -> str:
    """Return an OData query: blanks as ``%20``, since not every parser of OData takes ``+`` for one."""
    return urlencode(params, quote_via=quote, safe="$,()'")


def to_literal(text: str) -> str:
    """Return a text as OData literal, its quotes doubled."""
    return "'" + text.replace("'", "''") + "'"


_STAMP = re.compile(r"(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d:\d\d)(?:\.(\d+))?(?:[Zz]|([+-]\d\d:\d\d))?")


def to_stamp(value: object) -> str:
    """Return a service's time as 24 characters of UTC, ``YYYY-MM-DDTHH:MM:SS.mmmZ``, so that text order is time order.

    Finer digits are cut, never rounded up: a watermark made of such stamps can only reach back too far, which reads
    a row twice, never too little. Null becomes ""; BC's "no time" (year 1) sorts before all others.

    Raises:
        ValueError: It is no time.
    """
    if value is None or value == "":
        return ""
    match = _STAMP.fullmatch(value) if isinstance(value, str) else None
    if not match:
        raise ValueError("not a time")
    date, clock, fraction, offset = match.groups()
    if offset and offset[1:] != "00:00":
        date, clock = _in_utc(f"{date}T{clock}{offset}")
    return f"{date}T{clock}.{(fraction or '')[:3]:0<3}Z"


def _in_utc(text: str) -> list[str]:
    try:
        moment = datetime.datetime.fromisoformat(text).astimezone(datetime.UTC)
    except OverflowError:
        raise ValueError("not a time") from None
    return moment.replace(tzinfo=None).isoformat(sep=" ").split(" ")


def is_loopback(host: str | None) -> bool:
    """Return whether a host name means this machine, by its spelling alone (no look-up)."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host or "").is_loopback
    except ValueError:
        return False


def check_root(url: str, name: str) -> None:
    """Check that a service's address keeps tokens and secrets off the open network.

    Raises:
        ConfigError: It is neither https nor http to this machine, or holds a password.
    """
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        raise ConfigError(f"The {name} is not an address: {url!r}.") from None
    if parts.username or parts.password:
        raise ConfigError(f"The {name} must not hold a user name or password.")
    if not host or not (parts.scheme == "https" or (parts.scheme == "http" and is_loopback(host))):
        raise ConfigError(f"The {name} must begin with https:// (http:// only for this machine): {url!r}.")


def word(value: object) -> str:
    """Return a code or id that a service sent, or "" for anything that could be a sentence or a value."""
    return value if isinstance(value, str) and re.fullmatch(r"[\w.:-]{1,80}", value) else ""


class _Bearer(AuthBase):
    """Sets the token; being an ``auth``, it also keeps requests from sending a password of ``.netrc``."""

    def __init__(self, token: str) -> None:
        self._token = token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"Bearer {self._token}"
        return request


def _http_session(transport: Transport) -> requests.Session:
    session = requests.Session()
    session.headers.clear()
    session.headers["Accept-Encoding"] = "gzip, deflate"
    session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
    adapter = transport()
    session.mount("https://", adapter)
    session.mount("http://", adapter)
    return session


def _sockets() -> BaseAdapter:
    return HTTPAdapter(pool_connections=2, pool_maxsize=16, max_retries=0)


def _origin(url: str) -> tuple[str, str, int] | None:
    try:
        parts = urlsplit(url)
        port = parts.port or {"https": 443, "http": 80}[parts.scheme]
    except (ValueError, KeyError):
        return None
    if not parts.hostname or "@" in parts.netloc or "\\" in url:
        return None
    return parts.scheme, parts.hostname, port


def _broken(call: _Call, error: requests.RequestException) -> _Failure:
    what = f"{call.method} {call.path}: {type(error).__name__}"
    message = f"{what}. {network.cause(error, call.host)}".removesuffix(". ")
    if not isinstance(
        error,
        requests.ConnectionError
        | requests.Timeout
        | requests.exceptions.ChunkedEncodingError
        | requests.exceptions.ContentDecodingError,
    ):
        return _Failure(RejectedError(message, method=call.method, path=call.path), maybe_done=False)
    lost = ServiceError(message, method=call.method, path=call.path)
    return _Failure(lost, maybe_done=not network.is_never_sent(error))


def _read(call: _Call, response: requests.Response) -> Answer | _Failure:
    status, headers, path = response.status_code, response.headers, call.path
    body = _parsed(response.content)
    if status == 424 and isinstance(body, dict) and "responses" in body:
        # Graph answers a whole batch so when one of its parts was throttled (older wording of its throttling page).
        status = 200
    if cause := network.elsewhere(status, call.host, readable=body is not None):
        return _intercepted(call, status, cause)
    if status >= 400:
        hint = network.beside(status, call.host, readable=body is not None)
        error = to_error(status, headers, body, method=call.method, path=path, hint=hint)
        return _Failure(error, maybe_done=is_unknown(error))
    request_id = _request_id(headers, body)
    if status < 200 or status >= 300 or not isinstance(body, dict) or (call.method == "GET" and not body):
        malformed = MalformedAnswerError(
            f"{call.method} {path}: {status} with a body or status that means nothing here",
            status=status,
            request_id=request_id,
            method=call.method,
            path=path,
        )
        return _Failure(malformed, maybe_done=True)
    return Answer(status, headers, body, request_id)


def _intercepted(call: _Call, status: int, cause: str) -> _Failure:
    message = f"{call.method} {call.path}: {status}. {cause}"
    error = InterceptedError(message, status=status, method=call.method, path=call.path)
    return _Failure(error, maybe_done=status not in network.NEVER_PASSED_ON)


def _parsed(content: bytes) -> object:
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
        return orjson.loads(text.encode("utf-8", "replace"))
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


def _request_id(headers: Mapping[str, str], body: object) -> str:
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
