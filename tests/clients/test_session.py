from __future__ import annotations

import contextlib
import logging
import socket
import ssl
import threading
import traceback
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import orjson
import pytest
import requests
from urllib3.connection import HTTPSConnection
from urllib3.connectionpool import HTTPSConnectionPool
from urllib3.exceptions import MaxRetryError, NewConnectionError, ProxyError

from sync_lib.clients.answers import is_unknown
from sync_lib.clients.session import ApiSession
from sync_lib.errors import (
    AccessDeniedError,
    ApiError,
    AuthError,
    ConfigError,
    InterceptedError,
    MalformedAnswerError,
    RejectedError,
    ServiceError,
    ThrottledError,
)
from tests.clients.fakes import ROOT, FakeTime, FakeTokens, Transport, error_body, make_session

OK = (200, {"value": []})
RESET = requests.ConnectionError("Connection aborted.", ConnectionResetError(104, "reset"))


class RecordingGate:
    def __init__(self) -> None:
        self.entered: list[int] = []
        self.pauses: list[float] = []
        self.inside = 0

    @contextlib.contextmanager
    def slot(self, operations: int = 1) -> Iterator[None]:
        self.entered.append(operations)
        self.inside += 1
        yield
        self.inside -= 1

    def pause(self, seconds: float) -> None:
        assert self.inside == 0, "others must be able to hear of the pause while this request waits"
        self.pauses.append(seconds)


# What is sent


def test_a_request_carries_token_identity_and_a_new_id_per_attempt() -> None:
    transport = Transport([(503, None), OK])
    make_session(transport).request("GET", "/users", params={"$filter": "a eq 'b c'"})

    first, second = transport.requests
    assert first.url == f"{ROOT}/users?$filter=a%20eq%20'b%20c'"
    assert first.headers["Authorization"] == "Bearer t1"
    assert first.headers["Accept"] == "application/json"
    assert "contact-sync" in first.headers["User-Agent"]
    assert first.headers["client-request-id"] != second.headers["client-request-id"]
    assert "Content-Type" not in first.headers


def test_every_attempt_has_time_outs_and_follows_no_redirect() -> None:
    transport = Transport([(302, None, {"Location": "https://evil.example/"})] * 9)
    with pytest.raises(MalformedAnswerError):
        make_session(transport, retry_cap=1).request("GET", "/users")
    assert all(options["timeout"] == (10.0, 100) for options in transport.options)
    assert set(transport.urls) == {f"{ROOT}/users"}


def test_a_password_in_netrc_does_not_replace_the_token(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine api.example login x password y")
    monkeypatch.setenv("NETRC", str(netrc))
    transport = Transport([OK])
    make_session(transport).request("GET", "/users")
    assert transport.requests[0].headers["Authorization"] == "Bearer t1"


def test_bodies_keep_the_order_of_their_properties() -> None:
    transport = Transport([(201, {"id": "1"})])
    make_session(transport).request("POST", "/contacts", json={"type": "Person", "displayName": "x"})
    assert transport.requests[0].body == b'{"type":"Person","displayName":"x"}'
    assert transport.requests[0].headers["Content-Type"] == "application/json"


# Where it may go


@pytest.mark.parametrize(
    "root",
    [
        "http://graph.microsoft.com/v1.0",
        "http://127.0.0.1.evil.example/",
        "http://localhost.evil.example",
        "ftp://127.0.0.1/",
        "graph.microsoft.com",
        "https://",
        "",
        "https://user:secret@graph.microsoft.com",
        "https://host:port",
    ],
)
def test_roots_that_would_send_the_token_in_clear_are_refused(root: str) -> None:
    with pytest.raises(ConfigError) as caught:
        ApiSession(root, FakeTokens())
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("root", ["http://127.0.0.1:8080/x", "http://localhost", "http://[::1]:1/", ROOT])
def test_https_and_loopback_are_taken(root: str) -> None:
    ApiSession(root, FakeTokens())


@pytest.mark.parametrize(
    "link",
    [
        "https://evil.example/v1.0/users",
        "http://api.example/v1.0/users",
        "https://api.example:8443/v1.0/users",
        "https://api.example@evil.example/v1.0/users",
        "https://evil.example\\@api.example/",
        "https://api.example.evil.example/",
        "//evil.example/users",
        "https://[api.example/users",
        5,
        {"a": 1},
    ],
)
def test_the_token_is_never_sent_to_a_foreign_link(link: Any) -> None:
    transport = Transport([(200, {"value": [], "@odata.nextLink": link}), OK])
    pages = make_session(transport).iter_pages("/users")
    next(pages)
    with pytest.raises(MalformedAnswerError):
        next(pages)
    assert len(transport.requests) == 1


def test_a_stored_link_is_checked_as_well() -> None:
    transport = Transport([OK])
    with pytest.raises(MalformedAnswerError):
        next(make_session(transport).iter_pages("https://evil.example/v1.0/delta?token=1"))
    with pytest.raises(MalformedAnswerError):
        make_session(transport).request("GET", "users")
    assert transport.requests == []


# Pages


def test_pages_are_followed_with_the_same_headers_through_an_empty_one() -> None:
    link = f"{ROOT}/users?$skiptoken=a%2Fb%20c&x='y'"
    transport = Transport(
        [
            (200, {"value": [1], "@odata.nextLink": link}),
            (200, {"value": [], "@odata.nextLink": f"{ROOT}/users?p=3"}),
            (200, {"value": [2]}),
        ]
    )
    pages = make_session(transport).iter_pages("/users", {"$top": "1"}, {"Prefer": "x"})
    assert [row for page in pages for row in page["value"]] == [1, 2]
    assert transport.urls[1] == link
    assert [request.headers["Prefer"] for request in transport.requests] == ["x", "x", "x"]


@pytest.mark.parametrize("body", [{}, {"value": None}, {"value": {}}, {"error": "x"}])
def test_a_page_without_value_is_never_an_empty_page(body: dict[str, Any]) -> None:
    transport = Transport(lambda _: (200, body or {"x": 1}))
    with pytest.raises(MalformedAnswerError):
        list(make_session(transport).iter_pages("/users"))


def test_a_link_that_leads_back_ends_the_loop() -> None:
    one, two = f"{ROOT}/users?p=1", f"{ROOT}/users?p=2"

    def answer(request: requests.PreparedRequest) -> Any:
        return 200, {"value": [1], "@odata.nextLink": two if request.url == one else one}

    transport = Transport(answer)
    with pytest.raises(MalformedAnswerError):
        list(make_session(transport).iter_pages("/users"))
    assert len(transport.requests) == 3


def test_a_link_to_the_page_itself_ends_the_loop() -> None:
    link = f"{ROOT}/users?p=1"
    transport = Transport(lambda _: (200, {"value": [], "@odata.nextLink": link}))
    with pytest.raises(MalformedAnswerError):
        list(make_session(transport).iter_pages(link))
    assert len(transport.requests) <= 2


# Repeats


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_reads_are_repeated(status: int) -> None:
    transport = Transport([(status, b"<html>busy</html>"), (status, None), (200, {"a": 1})])
    assert make_session(transport).request("GET", "/users").body == {"a": 1}


@pytest.mark.parametrize(
    "trouble",
    [
        RESET,
        requests.ReadTimeout(),
        requests.exceptions.ChunkedEncodingError(),
        requests.exceptions.ContentDecodingError(),
        (200, b'{"value": [1, 2'),
        (200, b""),
        (200, b"<html>log in</html>"),
        (200, [1]),
        (200, b"null"),
        (200, b"[" * 100_000),
    ],
)
def test_broken_answers_to_reads_are_repeated_and_end_as_service_error(trouble: Any) -> None:
    transport = Transport([trouble, (200, {"a": 1})])
    assert make_session(transport).request("GET", "/users").body == {"a": 1}

    with pytest.raises(ServiceError) as caught:
        make_session(Transport(lambda _: trouble)).request("GET", "/users")
    assert not isinstance(caught.value, ThrottledError)


@pytest.mark.parametrize("status", [408, 500, 502, 503, 504])
def test_a_create_is_never_repeated_blindly(status: int) -> None:
    transport = Transport([(status, None, {"Retry-After": "1"}), (201, {"id": "2"})])
    with pytest.raises(ServiceError) as caught:
        make_session(transport).request("POST", "/contacts", json={})
    assert not isinstance(caught.value, ThrottledError)
    assert len(transport.requests) == 1


@pytest.mark.parametrize("trouble", [RESET, requests.ReadTimeout(), (201, b'{"id": '), (302, None)])
def test_a_create_whose_answer_broke_is_unknown(trouble: Any) -> None:
    transport = Transport([trouble, (201, {"id": "2"})])
    with pytest.raises(ServiceError):
        make_session(transport).request("POST", "/contacts", json={})
    assert len(transport.requests) == 1


def test_a_throttled_create_did_nothing_and_is_repeated() -> None:
    transport = Transport([(429, None), (201, {"id": "2"})])
    assert make_session(transport).request("POST", "/contacts", json={}).status == 201


def _refused_connection() -> requests.ConnectionError:
    pool = HTTPSConnectionPool("api.example")
    reason = NewConnectionError(HTTPSConnection("api.example"), "refused")
    return requests.ConnectionError(MaxRetryError(pool, "/v1.0/contacts", reason))


@pytest.mark.parametrize("trouble", [_refused_connection(), requests.ConnectTimeout()])
def test_a_create_that_never_left_is_repeated(trouble: Exception) -> None:
    transport = Transport([trouble, (201, {"id": "2"})])
    assert make_session(transport).request("POST", "/contacts", json={}).status == 201


def test_a_write_that_does_no_harm_twice_is_repeated() -> None:
    transport = Transport([RESET, (504, None), (200, {"id": "2"})])
    assert make_session(transport).request("PATCH", "/contacts/2", json={}, repeat=True).status == 200


def test_throttled_after_an_unknown_outcome_is_unknown() -> None:
    transport = Transport([(504, None), (429, None, {"Retry-After": "299"})])
    with pytest.raises(ServiceError) as caught:
        make_session(transport).request("PATCH", "/contacts/2", json={}, repeat=True)
    assert not isinstance(caught.value, ThrottledError)
    assert caught.value.retry_after == 299

    transport = Transport([(504, None), (429, None, {"Retry-After": "299"})])
    with pytest.raises(ThrottledError):
        make_session(transport).request("GET", "/contacts/2")


def test_client_errors_are_not_repeated() -> None:
    transport = Transport([(400, error_body("BadRequest")), OK])
    with pytest.raises(RejectedError):
        make_session(transport).request("GET", "/users")
    assert len(transport.requests) == 1


def test_a_500_is_given_up_after_a_few_attempts() -> None:
    transport = Transport(lambda _: (500, error_body("ErrorCorruptData")))
    with pytest.raises(ServiceError):
        make_session(transport).request("GET", "/users")
    assert len(transport.requests) == 4


def test_retry_after_is_honoured_and_passed_to_the_gate() -> None:
    time, gate = FakeTime(), RecordingGate()
    transport = Transport(
        [(429, None, {"Retry-After": "2.128"}), (503, None, {"Retry-After": "3"}), (503, None), OK]
    )
    make_session(transport, time=time, gate=gate).request("GET", "/users", operations=7)

    assert time.slept == [2.128, 3.0, 2.0]
    assert gate.entered == [7, 7, 7, 7]
    assert gate.pauses == [2.128, 3.0]


def test_the_narrower_gate_hears_of_the_pause() -> None:
    wide, narrow = RecordingGate(), RecordingGate()
    transport = Transport([(429, None, {"Retry-After": "2"}), OK])
    make_session(transport, gate=wide).request("GET", "/users", gate=narrow)
    assert (wide.pauses, narrow.pauses) == ([], [2.0])
    assert wide.entered == narrow.entered == [1, 1]


def test_a_wait_beyond_the_cap_is_left_to_the_caller() -> None:
    time = FakeTime()
    transport = Transport([(429, None, {"Retry-After": "300"})])
    with pytest.raises(ThrottledError) as caught:
        make_session(transport, time=time).request("GET", "/users")
    assert caught.value.retry_after == 300
    assert time.slept == []


def test_patience_is_capped_over_all_attempts() -> None:
    time = FakeTime()
    transport = Transport(lambda _: (503, None))
    with pytest.raises(ServiceError):
        make_session(transport, time=time).request("GET", "/users")
    assert 60 < sum(time.slept) <= 120


# Tokens


def test_an_expired_token_is_renewed_once() -> None:
    transport = Transport([(401, error_body("InvalidAuthenticationToken")), (201, {"id": "1"})])
    make_session(transport).request("POST", "/contacts", json={})
    assert [request.headers["Authorization"] for request in transport.requests] == ["Bearer t1", "Bearer t2"]


def test_a_token_that_stays_refused_is_an_auth_error() -> None:
    transport = Transport(lambda _: (401, error_body("InvalidAuthenticationToken")))
    with pytest.raises(AuthError):
        make_session(transport).request("GET", "/users")
    assert len(transport.requests) == 2


def test_an_overloaded_token_service_is_waited_for_even_before_a_create() -> None:
    tokens = FakeTokens(ThrottledError("busy", retry_after=3), ServiceError("down"))
    time = FakeTime()
    transport = Transport([(201, {"id": "1"})])
    make_session(transport, tokens=tokens, time=time).request("POST", "/contacts", json={})
    assert time.slept == [3, 1.0]


def test_a_refused_app_is_not_asked_for_again() -> None:
    tokens = FakeTokens(AuthError("no"))
    with pytest.raises(AuthError):
        make_session(Transport([]), tokens=tokens).request("GET", "/users")
    assert tokens.asked == 1


def test_five_threads_with_one_expired_token_renew_it_once() -> None:
    start = threading.Barrier(5)

    def answer(request: requests.PreparedRequest) -> Any:
        if request.headers["Authorization"] == "Bearer t1":
            start.wait(5)
            return 401, error_body("InvalidAuthenticationToken")
        return 200, {"a": 1}

    tokens = FakeTokens()
    session = make_session(Transport(answer), tokens=tokens)
    threads = [threading.Thread(target=session.request, args=("GET", "/users")) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert tokens.number == 2


# Errors


PLANTED = "sanne@molenzicht.example"


@pytest.mark.parametrize(
    "trouble",
    [
        (400, error_body(PLANTED, f"the value {PLANTED} is wrong")),
        (400, error_body("BadRequest", f"the value '{PLANTED}' is wrong", date=PLANTED)),
        (400, PLANTED.encode()),
        (200, PLANTED.encode()),
        (200, {"value": PLANTED}),
        (200, {"value": [], "@odata.nextLink": f"https://{PLANTED}/"}),
        (429, {"error": PLANTED}, {"Retry-After": "299", "request-id": f"x {PLANTED}"}),
        (401, error_body("InvalidAuthenticationToken", PLANTED)),
        (404, {"error": {"code": PLANTED}}),
        requests.ConnectionError(f"Max retries exceeded with url: /x?$filter={PLANTED}"),
        requests.exceptions.InvalidURL(PLANTED),
        requests.ReadTimeout(PLANTED),
    ],
)
def test_no_value_and_no_token_reaches_a_message_or_a_log(
    trouble: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)

    class SecretTokens(FakeTokens):
        def token(self) -> str:
            return "molenzicht-token"

        def renew(self) -> str:
            return "molenzicht-token"

    session = make_session(Transport(lambda _: trouble), tokens=SecretTokens())
    with pytest.raises(ApiError) as caught:
        for _ in session.iter_pages("/users", {"$filter": f"mail eq '{PLANTED}'"}):
            pass
    shown = "".join(traceback.format_exception(caught.value)) + repr(caught.value) + repr(vars(caught.value))
    assert "molenzicht" not in shown
    assert "molenzicht" not in caplog.text
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None


# Reading


def test_half_a_surrogate_pair_makes_no_page_unreadable_and_is_no_sign_of_its_own() -> None:
    transport = Transport([(200, b'{"value": ["a\\ud800b", "\\ud83d\\ude00"]}')])
    page = next(make_session(transport).iter_pages("/users"))
    assert page["value"] == ["ab", "\N{GRINNING FACE}"]
    orjson.dumps(page)


def test_a_byte_order_mark_is_no_trouble() -> None:
    transport = Transport([(200, b'\xef\xbb\xbf{"a": 1}')])
    assert make_session(transport).request("GET", "/users").body == {"a": 1}


def test_a_delete_answers_with_nothing() -> None:
    transport = Transport([(204, None)])
    answer = make_session(transport).request("DELETE", "/contacts/1", repeat=True)
    assert (answer.status, answer.body) == (204, {})


# Over a real socket


def test_an_answer_that_ends_in_the_middle_is_broken_not_short() -> None:
    server = socket.create_server(("127.0.0.1", 0))
    address = f"http://127.0.0.1:{server.getsockname()[1]}"

    def serve() -> None:
        for _ in range(2):
            peer, _address = server.accept()
            with peer:
                peer.recv(65536)
                peer.sendall(b'HTTP/1.1 200 OK\r\nContent-Length: 999\r\n\r\n{"value": []}')

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    session = ApiSession(address, FakeTokens(), retry_cap=1, sleep=lambda _: None, jitter=lambda: 0.0)
    with session.http, server, pytest.raises(ServiceError):
        session.request("GET", "/users")
    thread.join(5)


def test_cookies_are_not_kept() -> None:
    cookies: list[str | None] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            cookies.append(self.headers["Cookie"])
            self.send_response(200)
            self.send_header("Set-Cookie", "x=1; Path=/")
            self.send_header("Content-Length", "8")
            self.end_headers()
            self.wfile.write(b'{"a": 1}')

        def log_message(self, *args: Any) -> None: ...

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    session = ApiSession(f"http://127.0.0.1:{server.server_port}", FakeTokens())
    session.request("GET", "/users")
    session.request("GET", "/users")
    session.close()
    server.shutdown()
    server.server_close()
    assert cookies == [None, None]


# What lies between (R8)


def _tls() -> Exception:
    reason = ssl.SSLCertVerificationError("certificate verify failed: self-signed certificate in chain")
    return requests.exceptions.SSLError(MaxRetryError(HTTPSConnectionPool("api.example"), "/", reason))


def _tunnel() -> Exception:
    reason = ProxyError("Unable to connect to proxy", OSError("Tunnel connection failed: 407 Proxy Auth"))
    return requests.exceptions.ProxyError(MaxRetryError(HTTPSConnectionPool("api.example"), "/", reason))


PAGE = b"<html><body>Blocked by policy: sanne@molenzicht.example</body></html>"


@pytest.mark.parametrize(
    ("trouble", "cause"),
    [
        ((200, PAGE), "proxy or firewall on the way"),
        ((403, PAGE), "proxy or firewall on the way"),
        ((404, PAGE), "proxy or firewall on the way"),
        ((407, PAGE), "HTTPS_PROXY"),
        ((407, None), "HTTPS_PROXY"),
        ((511, PAGE), "sign-in"),
        ((502, PAGE), "proxy or firewall on the way"),
        ((302, None, {"Location": "https://evil.example/"}), "never followed"),
        (_tls(), "REQUESTS_CA_BUNDLE"),
        (_tunnel(), "HTTPS_PROXY"),
    ],
)
def test_what_lies_between_is_named_with_its_remedy(trouble: Any, cause: str) -> None:
    """R8: nothing but the cause and the host is said of an answer that is not the service's own."""
    with pytest.raises(ServiceError, match=cause) as caught:
        make_session(Transport(lambda _: trouble)).request("GET", "/users")
    assert "api.example" in str(caught.value)
    assert "molenzicht" not in str(caught.value)
    assert not isinstance(caught.value, AccessDeniedError)


@pytest.mark.parametrize("trouble", [_tls(), _tunnel(), (407, PAGE), (511, PAGE)])
def test_a_create_that_only_a_proxy_saw_is_repeated(trouble: Any) -> None:
    """R8: it certainly did not reach the service."""
    transport = Transport([trouble, (201, {"id": "2"})])
    assert make_session(transport).request("POST", "/contacts", json={}).status == 201


@pytest.mark.parametrize("trouble", [(403, PAGE), (404, PAGE), (200, PAGE)])
def test_a_create_that_something_else_answered_is_unknown(trouble: Any) -> None:
    """R8: a filter may hold back the answer and not the request."""
    transport = Transport([trouble, (201, {"id": "2"})])
    with pytest.raises(InterceptedError) as caught:
        make_session(transport).request("POST", "/contacts", json={})
    assert is_unknown(caught.value)
    assert len(transport.requests) == 1
