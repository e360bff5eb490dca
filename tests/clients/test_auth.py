from __future__ import annotations

import base64
import contextlib
import datetime
import http.server
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import parse_qs

import orjson
import pytest
import requests
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from sync_lib.clients import auth
from sync_lib.clients.auth import TokenSource, roles, scope_of
from sync_lib.errors import AuthError, ConfigError, ServiceError, ThrottledError
from sync_lib.settings import AppSettings, BusinessCentralSettings, Certificate, GraphSettings
from tests.clients.fakes import BUSINESS_CENTRAL_SCOPE, GRAPH_SCOPE, Transport

SECRET = "s3cret-value"


class Entra:
    """A token service behind ``requests``; ``faults`` are answers to its next token requests."""

    def __init__(self) -> None:
        self.discovery: Any = None
        self.faults: list[Any] = []
        self.issued = 0
        self.lifetime = 3599

    def __call__(self, request: requests.PreparedRequest) -> Any:
        assert request.url
        base = request.url.split("/tenant-1")[0].replace("http://", "https://")
        if request.url.endswith("/v2.0/.well-known/openid-configuration"):
            return self.discovery or (
                200,
                {
                    "issuer": f"{base}/tenant-1/v2.0",
                    "authorization_endpoint": f"{base}/tenant-1/oauth2/v2.0/authorize",
                    "token_endpoint": f"{base}/tenant-1/oauth2/v2.0/token",
                },
            )
        if self.faults:
            return self.faults.pop(0)
        self.issued += 1
        return 200, {
            "token_type": "Bearer",
            "expires_in": self.lifetime,
            "access_token": f"token-{self.issued}",
        }


class Listener(http.server.ThreadingHTTPServer):
    """Takes what comes on a socket of this machine, and remembers all of it."""

    def __init__(self, redirect: tuple[str, int, Listener] | None) -> None:
        super().__init__(("127.0.0.1", 0), _Answers)
        self.redirect = redirect
        self.received = b""
        self.asked: list[str] = []

    @property
    def port(self) -> int:
        return int(self.server_address[1])


class _Answers(http.server.BaseHTTPRequestHandler):
    server: Listener

    def do_GET(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.server.received += f"{self.requestline}\n{self.headers}\n".encode() + body
        self.server.asked.append(self.path)
        endpoint, status, there = self.server.redirect or ("", 200, self.server)
        if endpoint and self.path.endswith(endpoint):
            self.send_response(status)
            self.send_header("Location", f"http://localhost:{there.port}{self.path}")
            payload = b""
        else:
            self.send_response(200)
            base = f"https://127.0.0.1:{self.server.port}/tenant-1"
            names = {"issuer": base, "authorization_endpoint": f"{base}/a", "token_endpoint": f"{base}/token"}
            payload = orjson.dumps(names)
        self.send_header("Content-Length", str(len(payload)))
        self.end_headers()
        self.wfile.write(payload)

    do_POST = do_GET  # noqa: N815 - the names that http.server asks for

    def log_message(self, *arguments: Any) -> None:
        """Say nothing."""


@contextlib.contextmanager
def listening(redirect: tuple[str, int, Listener] | None = None) -> Iterator[Listener]:
    with Listener(redirect) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def entra() -> Entra:
    return Entra()


@pytest.fixture
def transport(entra: Entra, monkeypatch: pytest.MonkeyPatch) -> Transport:
    transport = Transport(entra)

    def session() -> requests.Session:
        made = real()
        made.mount("https://", transport)
        made.mount("http://", transport)
        return made

    real: Callable[[], requests.Session] = requests.Session
    monkeypatch.setattr(auth.requests, "Session", session)
    return transport


def settings(**more: Any) -> AppSettings:
    given: dict[str, Any] = {
        "root": "x",
        "tenant_id": "tenant-1",
        "client_id": "app-1",
        "client_secret": SECRET,
    }
    return AppSettings(**given | more)


def form(transport: Transport) -> dict[str, list[str]]:
    body = transport.requests[-1].body
    return parse_qs(body.decode() if isinstance(body, bytes) else str(body))


def test_nothing_is_sent_before_the_first_token(transport: Transport) -> None:
    TokenSource(settings(), GRAPH_SCOPE)
    assert transport.requests == []


def test_msal_is_asked_each_time_and_answers_from_memory(transport: Transport, entra: Entra) -> None:
    source = TokenSource(settings(), GRAPH_SCOPE, timeout=7)
    assert [source.token() for _ in range(3)] == ["token-1"] * 3
    assert len(transport.requests) == 2
    assert (
        transport.urls[0]
        == "https://login.microsoftonline.com/tenant-1/v2.0/.well-known/openid-configuration"
    )
    assert form(transport)["scope"] == ["https://graph.microsoft.com/.default"]
    assert form(transport)["client_secret"] == [SECRET]
    assert all(options["timeout"] == 7 for options in transport.options)


def test_a_token_near_its_end_is_replaced_without_being_asked(transport: Transport, entra: Entra) -> None:
    entra.lifetime = 299
    source = TokenSource(settings(), BUSINESS_CENTRAL_SCOPE)
    assert [source.token(), source.token()] == ["token-1", "token-2"]


def test_renew_gets_a_new_token_although_the_old_one_looks_valid(transport: Transport) -> None:
    source = TokenSource(settings(), GRAPH_SCOPE)
    assert [source.token(), source.renew(), source.token()] == ["token-1", "token-2", "token-2"]


def test_loopback_is_reached_by_plain_http_although_msal_refuses_that(transport: Transport) -> None:
    source = TokenSource(settings(authority="http://127.0.0.1:8123"), GRAPH_SCOPE)
    assert source.token() == "token-1"
    assert all(url.startswith("http://127.0.0.1:8123/tenant-1/") for url in transport.urls)


@pytest.mark.parametrize(
    "authority", ["http://login.microsoftonline.com", "http://127.0.0.1.evil.example", "login", ""]
)
def test_a_secret_never_goes_over_plain_http(authority: str, transport: Transport) -> None:
    with pytest.raises(ConfigError):
        TokenSource(settings(authority=authority), GRAPH_SCOPE)
    assert transport.requests == []


@pytest.mark.parametrize(
    ("authority", "there", "taken"),
    [
        ("http://127.0.0.1:8123", "https://login.example", False),
        ("http://127.0.0.1:8123", "https://127.0.0.1:8124", False),
        ("http://127.0.0.1:8123", "https://login.microsoftonline.com", True),
        ("https://login.microsoftonline.com", "https://login.microsoftonline.us", True),
        ("https://login.chinacloudapi.cn", "https://login.partner.microsoftonline.cn", True),
        ("https://login.microsoftonline.com", "https://login.microsoftonline.com.evil.example", False),
        ("https://login.microsoftonline.com", "https://login.microsoftonline.com@evil.example", False),
        ("https://login.corp.example", "https://login.corp.example:443", True),
        ("https://login.corp.example", "https://login.corp.example:8443", False),
        ("https://login.corp.example", "http://login.corp.example", False),
    ],
)
def test_the_secret_goes_to_the_authority_or_to_entra_id_alone(
    authority: str, there: str, taken: bool, transport: Transport, entra: Entra
) -> None:
    """R12: msal itself takes whatever https address the discovery document names."""
    there += "/tenant-1"
    entra.discovery = (
        200,
        {"issuer": there, "authorization_endpoint": f"{there}/a", "token_endpoint": f"{there}/token"},
    )
    source = TokenSource(settings(authority=authority), GRAPH_SCOPE)
    if taken:
        assert source.token() == "token-1"
        assert transport.urls[-1] == f"{there}/token"
    else:
        with pytest.raises(AuthError):
            source.token()
        assert not any(SECRET in str(request.body) for request in transport.requests)


@pytest.mark.parametrize(
    ("root", "audience", "scope"),
    [
        ("https://graph.microsoft.com/v1.0", "", "https://graph.microsoft.com/.default"),
        ("https://graph.microsoft.us/v1.0", "", "https://graph.microsoft.us/.default"),
        (
            "https://microsoftgraph.chinacloudapi.cn/v1.0",
            "",
            "https://microsoftgraph.chinacloudapi.cn/.default",
        ),
        ("http://127.0.0.1:8123/graph/v1.0", "", "https://graph.microsoft.com/.default"),
        ("https://gateway.corp.example:8443/graph", "", "https://gateway.corp.example:8443/.default"),
        (
            "https://gateway.corp.example/g",
            "https://graph.microsoft.us",
            "https://graph.microsoft.us/.default",
        ),
        (
            "https://graph.microsoft.com/v1.0",
            "https://graph.microsoft.us/",
            "https://graph.microsoft.us/.default",
        ),
        ("https://bc.corp.example", "api://1f2e/.default", "api://1f2e/.default"),
    ],
)
def test_the_scope_is_the_origin_of_the_root_and_the_audience_wins(
    root: str, audience: str, scope: str
) -> None:
    """R7: each cloud has its own."""
    assert scope_of(GraphSettings(root, "tenant-1", "app-1", audience=audience)) == scope


def test_business_central_has_its_own_scope(transport: Transport) -> None:
    """R7: on this machine it is that of the worldwide cloud."""
    here = BusinessCentralSettings("http://127.0.0.1:8123/bc/v2.0", "tenant-1", "app-1", SECRET)
    TokenSource(here).token()
    assert form(transport)["scope"] == [BUSINESS_CENTRAL_SCOPE]


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("endpoint", ["openid-configuration", "token"])
def test_no_redirect_takes_the_secret_along(status: int, endpoint: str) -> None:
    """R12: over real sockets: nothing of it reaches the address that the authority names."""
    with listening() as elsewhere, listening(redirect=(endpoint, status, elsewhere)) as authority:
        source = TokenSource(settings(authority=f"http://127.0.0.1:{authority.port}"), GRAPH_SCOPE, timeout=5)
        with pytest.raises(ServiceError, match="never followed"):
            source.token()
    assert any(endpoint in line for line in authority.asked)
    assert elsewhere.received == b""
    if endpoint == "token":
        assert SECRET.encode() in authority.received


def test_an_app_without_credential_is_a_wrong_setting() -> None:
    with pytest.raises(ConfigError, match="app-1"):
        TokenSource(settings(client_secret=None), GRAPH_SCOPE)


@pytest.mark.parametrize(
    ("status", "error", "remedy"),
    [
        (401, "invalid_client", "secret"),
        (400, "unauthorized_client", "client id"),
        (400, "invalid_scope", "permissions"),
        (400, "invalid_request", "tenant"),
        (400, "something_new", "Check"),
    ],
)
def test_a_refusal_says_what_to_check_and_never_the_secret(
    status: int, error: str, remedy: str, transport: Transport, entra: Entra
) -> None:
    body = {
        "error": error,
        "error_description": f"AADSTS7000215: wrong {SECRET}",
        "error_codes": [7000215],
        "correlation_id": "c-1",
    }
    entra.faults = [(status, body)]
    source = TokenSource(settings(), GRAPH_SCOPE)
    with pytest.raises(AuthError, match=remedy) as caught:
        source.token()
    shown = "".join(traceback.format_exception(caught.value))
    assert SECRET not in shown
    assert "AADSTS7000215" in shown
    assert (caught.value.code, caught.value.request_id) == (error, "c-1")

    # msal replays a 400 from memory for a minute; whoever fixed the app need not wait.
    assert source.token() == "token-1"


@pytest.mark.parametrize("status", [429, 500, 503])
def test_an_overloaded_token_service_is_transient(status: int, transport: Transport, entra: Entra) -> None:
    entra.faults = [(status, b"<html>", {"Retry-After": "2.5"})]
    source = TokenSource(settings(), GRAPH_SCOPE)
    with pytest.raises(ServiceError) as caught:
        source.token()
    assert isinstance(caught.value, ThrottledError) is (status == 429)
    assert caught.value.retry_after == 2.5
    assert source.token() == "token-1"


@pytest.mark.parametrize("trouble", [requests.ConnectionError(f"{SECRET}"), requests.ReadTimeout(SECRET)])
def test_a_token_service_out_of_reach_is_transient(
    trouble: Exception, transport: Transport, entra: Entra
) -> None:
    entra.faults = [trouble]
    with pytest.raises(ServiceError) as caught:
        TokenSource(settings(), GRAPH_SCOPE).token()
    assert SECRET not in "".join(traceback.format_exception(caught.value))


def test_a_broken_answer_is_transient(transport: Transport, entra: Entra) -> None:
    entra.faults = [(200, b"<html>log in to the hotel</html>")]
    with pytest.raises(ServiceError):
        TokenSource(settings(), GRAPH_SCOPE).token()
    entra.discovery = (200, b"<html>log in to the hotel</html>")
    with pytest.raises(ServiceError):
        TokenSource(settings(), GRAPH_SCOPE).token()


def test_an_unknown_tenant_says_so(transport: Transport, entra: Entra) -> None:
    entra.discovery = (400, {"error": "invalid_tenant", "error_description": "AADSTS90002"})
    with pytest.raises(AuthError, match="tenant-1"):
        TokenSource(settings(), GRAPH_SCOPE).token()


# Certificates


@pytest.fixture(scope="module")
def pem() -> tuple[str, str]:
    key = rsa.generate_private_key(65537, 2048)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "test")])
    start = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(start)
        .not_valid_after(start + datetime.timedelta(days=999))
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(b"phrase"),
    )
    return private.decode(), certificate.public_bytes(serialization.Encoding.PEM).decode()


def test_a_certificate_signs_the_request(transport: Transport, pem: tuple[str, str]) -> None:
    certificate = Certificate(pem[0], pem[1], "phrase")
    source = TokenSource(settings(client_secret=None, certificate=certificate), GRAPH_SCOPE)
    assert source.token() == "token-1"
    assert "client_secret" not in form(transport)
    header = form(transport)["client_assertion"][0].split(".")[0]
    assert orjson.loads(base64.urlsafe_b64decode(header + "=="))["x5c"]


@pytest.mark.parametrize("passphrase", ["wrong", None])
def test_a_certificate_that_cannot_be_read_is_a_wrong_setting(
    passphrase: str | None, transport: Transport, pem: tuple[str, str]
) -> None:
    certificate = Certificate(pem[0], pem[1], passphrase)
    with pytest.raises(ConfigError, match="certificate"):
        TokenSource(settings(client_secret=None, certificate=certificate), GRAPH_SCOPE).token()
    certificate = Certificate("no key", "no certificate")
    with pytest.raises(ConfigError, match="certificate"):
        TokenSource(settings(client_secret=None, certificate=certificate), GRAPH_SCOPE).token()


# Roles


def token_with(claims: Any) -> str:
    return f"h.{base64.urlsafe_b64encode(orjson.dumps(claims)).decode().rstrip('=')}.s"


@pytest.mark.parametrize(
    ("token", "found"),
    [
        (
            token_with({"roles": ["Contacts.ReadWrite", "User.Read.All"]}),
            ["Contacts.ReadWrite", "User.Read.All"],
        ),
        (token_with({}), []),
        (token_with({"roles": "x"}), None),
        (token_with([]), None),
        ("opaque", None),
        ("a.b.c", None),
        ("a.é.c", None),
        ("", None),
    ],
)
def test_roles_are_read_where_a_token_shows_them(token: str, found: list[str] | None) -> None:
    assert roles(token) == found


def test_settings_and_sources_do_not_show_their_secrets() -> None:
    source = TokenSource(settings(), GRAPH_SCOPE)
    assert SECRET not in repr(source) + repr(settings())


def test_importing_the_clients_opens_no_connection() -> None:
    code = (
        "import socket\n"
        "def refuse(*_): raise AssertionError('a connection at import')\n"
        "socket.socket.connect = refuse\n"
        "import sync_lib.clients.auth, sync_lib.clients.outlook, sync_lib.clients.business_central\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
