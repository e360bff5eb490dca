"""Tokens from Entra ID for one API, by client secret or certificate, through msal.

Nothing happens at import or construction beyond checking settings: msal fetches a discovery document as soon as
its application object is made, so that is left to the first ``token()``. No secret and no token reaches a message.
"""

from __future__ import annotations

import base64
import re
import threading
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, urlsplit

import msal
import orjson
import requests

from sync_lib.clients import network
from sync_lib.clients.addresses import check_root, is_loopback
from sync_lib.clients.answers import word
from sync_lib.clients.pacing import retry_after
from sync_lib.clients.transport import Transport
from sync_lib.errors import (
    AuthError,
    ConfigError,
    InterceptedError,
    ServiceError,
    SyncError,
    ThrottledError,
)
from sync_lib.settings import AppSettings

#: Hosts that are Entra ID itself: a discovery document may name one of them for tokens in place of the authority's own,
#: as that of a tenant in a national cloud does (https://learn.microsoft.com/entra/identity-platform/authentication-national-cloud).
_MICROSOFT = frozenset(
    {
        "login.microsoftonline.com",
        "login.microsoft.com",
        "login.windows.net",
        "sts.windows.net",
        "login.microsoftonline.us",
        "login-us.microsoftonline.com",
        "login.usgovcloudapi.net",
        "login.partner.microsoftonline.cn",
        "login.chinacloudapi.cn",
    }
)

_REMEDIES = {
    "invalid_client": "Check the client secret (its value, not its id, and its end date) or the certificate.",
    "unauthorized_client": "Check the client id, and that the app registration belongs to this tenant.",
    "invalid_scope": "The app registration does not know this API: add its application permissions. In a national "
    "cloud, API root and authority of the Connection must both be that cloud's.",
    "invalid_resource": "The tenant does not know this API: API root (or audience) and authority of the Connection "
    "must belong to one cloud.",
    "invalid_request": "Check the tenant id of the connection.",
    "invalid_tenant": "Check the tenant id of the connection.",
    "invalid_grant": "Grant admin consent to the app registration.",
    "access_denied": "A policy of the tenant (Conditional Access) blocks this app: ask its administrator.",
}
_GUID = re.compile(r"[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}")
_OTHER_REMEDY = "Check tenant id, client id and secret of the connection."


def scope_of(settings: AppSettings) -> str:
    """Return the scope of tokens for an API: its audience, else the origin of its root, with ``/.default``.

    Each cloud has its own (https://learn.microsoft.com/graph/deployments). An address of this machine is none that
    Entra ID could know: what answers there takes tokens of the worldwide cloud.
    """
    audience = settings.audience.removesuffix("/.default")
    if not audience:
        parts = urlsplit(settings.root)
        parts = urlsplit(settings.public_root) if is_loopback(parts.hostname) else parts
        audience = f"{parts.scheme}://{parts.netloc}"
    return f"{audience.rstrip('/')}/.default"


class TokenSource:
    """Tokens of one app registration for one scope; safe to share between threads.

    Ask ``token()`` before each request: msal answers from memory until five minutes before the token ends
    (https://learn.microsoft.com/entra/msal/python/), so long tasks never run into an expired one. The scope is
    that of the settings' API unless another one is given. ``transport`` is as of ``ApiSession``.
    """

    def __init__(
        self,
        settings: AppSettings,
        scope: str = "",
        *,
        timeout: float = 30,
        transport: Transport | None = None,
    ) -> None:
        self._settings = settings
        self._scope = scope or scope_of(settings)
        self._timeout = timeout
        self._transport = transport
        self._lock = threading.Lock()
        self._app: Any = None
        check_root(settings.authority, "authority")
        self._credential = _credential_of(settings)

    def token(self) -> str:
        """Return a valid token.

        Raises:
            AuthError: Entra ID refuses the app; the message says what to check.
            ServiceError: Entra ID is out of reach or overloaded.
            ConfigError: The certificate cannot be read.
        """
        with self._lock:
            return self._acquire()

    def renew(self) -> str:
        """Return a new token after the API refused the last one.

        Only a fresh msal application asks Entra again: the old one would answer from memory.
        """
        with self._lock:
            self._app = None
            return self._acquire()

    def _acquire(self) -> str:
        answer = self._ask()
        if isinstance(answer, SyncError):
            # Raised here, outside the handler: msal's own error may quote what Entra said about the request.
            self._app = None
            raise answer
        return answer

    def _ask(self) -> str | SyncError:
        try:
            if self._app is None:
                http = _HttpClient(self._timeout, _authority(self._settings), self._transport)
                self._app = _msal_app(self._settings, self._credential, http)
            answer = self._app.acquire_token_for_client([self._scope])
        except SyncError as error:
            return error
        except requests.RequestException as error:
            return _out_of_reach(error, self._settings.authority)
        except (ValueError, TypeError, KeyError) as error:
            return self._unusable(error)
        token = answer.get("access_token")
        return str(token) if token else _refusal(answer)

    def _unusable(self, error: Exception) -> SyncError:
        # msal raises ValueError both for a tenant that Entra does not know and for a key that it cannot read.
        if isinstance(self._credential, dict) and "authority" not in str(error):
            return ConfigError(
                f"The certificate of app {self._settings.client_id} cannot be read ({type(error).__name__}). "
                "Give private key and certificate as PEM text, and the passphrase if the key has one."
            )
        return AuthError(
            f"Entra ID does not know tenant {self._settings.tenant_id!r}. "
            "Check tenant id and authority of the connection."
        )


def roles(token: str) -> list[str] | None:
    """Return the application permissions that a token names, or None where it cannot be read.

    For the self-test only: access tokens are opaque to clients, and nothing else may depend on their content
    (https://learn.microsoft.com/entra/identity-platform/access-tokens).
    """
    try:
        payload = token.split(".")[1]
        claims = orjson.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        found = claims.get("roles", [])
    except (IndexError, ValueError, AttributeError):
        return None
    return [str(role) for role in found] if isinstance(found, list) else None


def fetch_tenant_id(
    settings: AppSettings, tenant: str, *, timeout: float = 30, transport: Transport | None = None
) -> str:
    """Return the id of a tenant that is written as an id or as one of its domain names.

    Entra ID gives it in ``issuer`` of the tenant's discovery document
    (https://learn.microsoft.com/entra/identity-platform/v2-protocols-oidc). A name that it does not know stands for
    itself: it is no other tenant's.

    Raises:
        ServiceError: Entra ID is out of reach or overloaded.
    """
    if _GUID.fullmatch(tenant.strip()):
        return tenant.strip().lower()
    authority = settings.authority.rstrip("/").removesuffix(f"/{settings.tenant_id}")
    http = _HttpClient(timeout, authority, transport)
    try:
        address = (
            f"{_secure(authority)}/{quote(tenant.strip(), safe='')}/v2.0/.well-known/openid-configuration"
        )
        document = orjson.loads(http.get(address).content)
    except requests.RequestException as error:
        raise _out_of_reach(error, authority) from None
    finally:
        http.close()
    found = _GUID.search(str(document.get("issuer") or "")) if isinstance(document, dict) else None
    return (found.group() if found else tenant.strip()).lower()


def _credential_of(settings: AppSettings) -> str | dict[str, str]:
    if certificate := settings.certificate:
        credential = {
            "private_key": certificate.private_key,
            "public_certificate": certificate.public_certificate,
        }
        return credential | ({"passphrase": certificate.passphrase} if certificate.passphrase else {})
    if not settings.client_secret:
        raise ConfigError(f"App {settings.client_id!r} has neither client secret nor certificate.")
    return settings.client_secret


def _authority(settings: AppSettings) -> str:
    return settings.authority.rstrip("/").removesuffix(f"/{settings.tenant_id}") + f"/{settings.tenant_id}"


def _msal_app(settings: AppSettings, credential: str | dict[str, str], http: _HttpClient) -> Any:
    return msal.ConfidentialClientApplication(
        settings.client_id,
        client_credential=credential,
        authority=_secure(_authority(settings)),
        # The tenant's own discovery document is enough: msal would also ask login.microsoftonline.com about every
        # other authority, and about all of them once more after each refusal.
        instance_discovery=False,
        http_client=http,
    )


class _HttpClient:
    """What msal sends its requests with: to the authority alone, time-outs always, and no redirect ever.

    msal takes the address for tokens from the discovery document, whatever host that names, and would have the
    secret follow a redirect. It insists on https addresses; for an authority on this machine they are rewritten
    here, below msal. The environment's proxies and ``REQUESTS_CA_BUNDLE`` are honoured by ``requests`` itself.
    """

    def __init__(self, timeout: float, authority: str, transport: Transport | None) -> None:
        self._timeout = timeout
        self._authority = _place(_secure(authority))
        self._plain = _secure(authority) != authority
        self._http = requests.Session()
        if transport is not None:
            adapter = transport()
            self._http.mount("https://", adapter)
            self._http.mount("http://", adapter)

    def get(self, url: str, **options: Any) -> requests.Response:
        return self._send("GET", url, options)

    def post(self, url: str, **options: Any) -> requests.Response:
        return self._send("POST", url, options)

    def close(self) -> None:
        self._http.close()

    def _send(self, method: str, url: str, options: dict[str, Any]) -> requests.Response:
        host = self._checked(url)
        if self._plain and _place(url) == self._authority:
            url = url.replace("https://", "http://", 1)
        response = self._http.request(
            method, url, timeout=self._timeout, **{**options, "allow_redirects": False}
        )
        status = response.status_code
        if status == requests.codes.too_many_requests:
            # msal would replay this answer from memory for a while; our own waiting is the better one.
            raise _overloaded(status, response.headers)
        readable = _is_json(response.content)
        if cause := network.elsewhere(status, host, readable=readable):
            raise InterceptedError(f"Entra ID answers {status}. {cause}", status=status)
        if status >= 500:
            raise _overloaded(status, response.headers, network.beside(status, host, readable=readable))
        if not readable:
            # msal would write the whole of it to the log.
            raise ServiceError(f"Entra ID answers {status} with something that is no JSON.", status=status)
        return response

    def _checked(self, url: str) -> str:
        parts = urlsplit(url)
        if parts.scheme == "https" and (_place(url) == self._authority or parts.hostname in _MICROSOFT):
            return str(parts.hostname)
        raise AuthError(
            f"The authority {self._authority[0]} names {parts.scheme}://{parts.hostname} for tokens; the secret does "
            "not go there. Check the authority of the Connection, and what lies between it and this worker."
        )


def _secure(authority: str) -> str:
    return authority.replace("http://", "https://", 1)


def _place(url: str) -> tuple[str, int]:
    parts = urlsplit(url)
    return parts.hostname or "", parts.port or 443


def _is_json(content: bytes) -> bool:
    try:
        orjson.loads(content)
    except orjson.JSONDecodeError:
        return False
    return True


def _out_of_reach(error: requests.RequestException, authority: str) -> ServiceError:
    hint = network.cause(error, urlsplit(authority).hostname or "")
    return ServiceError(f"Entra ID is out of reach ({type(error).__name__}). {hint}".strip())


def _overloaded(status: int, headers: Mapping[str, str], hint: str = "") -> ServiceError:
    kind = ThrottledError if status == requests.codes.too_many_requests else ServiceError
    message = f"Entra ID answers {status}. {hint}".strip()
    return kind(message, retry_after=retry_after(headers), status=status)


def _refusal(answer: Mapping[str, Any]) -> AuthError:
    # Branch on ``error`` only: the numbers change (learn.microsoft.com/entra/identity-platform/reference-error-codes).
    error = word(answer.get("error")) or "no token"
    numbers = [f"AADSTS{number}" for number in answer.get("error_codes") or [] if isinstance(number, int)]
    correlation = word(answer.get("correlation_id"))
    details = ", ".join(filter(None, [*numbers, correlation and f"correlation id {correlation}"]))
    remedy = _REMEDIES.get(error, _OTHER_REMEDY)
    return AuthError(
        f"Entra ID gives no token: {error}{f' ({details})' if details else ''}. {remedy}",
        code=error,
        request_id=correlation,
    )
