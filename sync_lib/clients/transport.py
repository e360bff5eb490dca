"""One request sent once, and what came back read as an answer or a failure. Repeats nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http.cookiejar import DefaultCookiePolicy
from urllib.parse import urlsplit

import requests
from requests.adapters import BaseAdapter, HTTPAdapter
from requests.auth import AuthBase

from sync_lib.clients import network
from sync_lib.clients.answers import Answer, is_unknown, parsed, request_id_of, to_error
from sync_lib.clients.pacing import Gate
from sync_lib.errors import ApiError, InterceptedError, MalformedAnswerError, RejectedError, ServiceError

_CONNECT_TIMEOUT = 10.0

#: Makes what carries the requests of one session.
Transport = Callable[[], BaseAdapter]


@dataclass(frozen=True, slots=True)
class Call:
    """One request, complete but for its token."""

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
        """Return the URL's path, for messages."""
        return urlsplit(self.url).path

    @property
    def host(self) -> str:
        """Return the host that it is sent to, for messages."""
        return urlsplit(self.url).hostname or ""


@dataclass(frozen=True, slots=True)
class Failure:
    """An attempt without a good answer; ``maybe_done`` when the service may have carried it out all the same."""

    error: ApiError
    maybe_done: bool


class Sender:
    """Sends requests to one API over pooled connections, each once.

    Args:
        root: The API's address.
        transport: Makes what carries the requests; without it, sockets.
        timeout: Seconds without a byte from the service after which an attempt counts as broken.
        new_id: Yields the id of an attempt, which the service logs too.
    """

    def __init__(
        self, root: str, transport: Transport | None, *, timeout: float, new_id: Callable[[], str]
    ) -> None:
        self.http = _http_session(transport or _sockets)
        self._timeout = (min(_CONNECT_TIMEOUT, timeout), timeout)
        self._new_id = new_id
        # Proxies and certificate bundle of the environment, read once: requests would read them for each request.
        self._environment = self.http.merge_environment_settings(root, {}, None, None, None)

    def send(self, call: Call, token: str) -> Answer | Failure:
        """Return what came of one attempt."""
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


def _broken(call: Call, error: requests.RequestException) -> Failure:
    what = f"{call.method} {call.path}: {type(error).__name__}"
    message = f"{what}. {network.cause(error, call.host)}".removesuffix(". ")
    if not isinstance(
        error,
        requests.ConnectionError
        | requests.Timeout
        | requests.exceptions.ChunkedEncodingError
        | requests.exceptions.ContentDecodingError,
    ):
        return Failure(RejectedError(message, method=call.method, path=call.path), maybe_done=False)
    lost = ServiceError(message, method=call.method, path=call.path)
    return Failure(lost, maybe_done=not network.is_never_sent(error))


def _read(call: Call, response: requests.Response) -> Answer | Failure:
    status, headers, path = response.status_code, response.headers, call.path
    body = parsed(response.content)
    if status == 424 and isinstance(body, dict) and "responses" in body:
        # Graph answers a whole batch so when one of its parts was throttled (older wording of its throttling page).
        status = 200
    if cause := network.elsewhere(status, call.host, readable=body is not None):
        return _intercepted(call, status, cause)
    if status >= 400:
        hint = network.beside(status, call.host, readable=body is not None)
        error = to_error(status, headers, body, method=call.method, path=path, hint=hint)
        return Failure(error, maybe_done=is_unknown(error))
    request_id = request_id_of(headers, body)
    if status < 200 or status >= 300 or not isinstance(body, dict) or (call.method == "GET" and not body):
        malformed = MalformedAnswerError(
            f"{call.method} {path}: {status} with a body or status that means nothing here",
            status=status,
            request_id=request_id,
            method=call.method,
            path=path,
        )
        return Failure(malformed, maybe_done=True)
    return Answer(status, headers, body, request_id)


def _intercepted(call: Call, status: int, cause: str) -> Failure:
    message = f"{call.method} {call.path}: {status}. {cause}"
    error = InterceptedError(message, status=status, method=call.method, path=call.path)
    return Failure(error, maybe_done=status not in network.NEVER_PASSED_ON)
