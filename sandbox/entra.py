"""Entra ID: discovery, tokens for apps, and the check that the services make of a token."""

from __future__ import annotations

import base64
import hashlib
import hmac
from typing import Any
from urllib.parse import parse_qs

import orjson

from sandbox.clock import iso_seconds
from sandbox.guids import make_uuid
from sandbox.wire import Call, Reply
from sandbox.world import App, World

GRAPH_ROOTS = (
    "graph.microsoft.com",
    "graph.microsoft.us",
    "dod-graph.microsoft.us",
    "microsoftgraph.chinacloudapi.cn",
)
BC_ROOTS = ("api.businesscentral.dynamics.com", "api.businesscentral.dynamics.us")
# What tokens may be asked for, and the service that takes them, where it is called by that name.
AUDIENCES = {
    **{f"https://{host}": "graph" for host in GRAPH_ROOTS},
    **{f"https://{host}": "bc" for host in BC_ROOTS},
    "00000003-0000-0000-c000-000000000000": "graph",
}
RESOURCES = {"graph": "https://graph.microsoft.com", "bc": "https://api.businesscentral.dynamics.com"}


def audience_of(call: Call) -> str:
    """Return the audience of the root that a call came to; on this machine that of the worldwide cloud."""
    host = call.base.partition("://")[2]
    return f"https://{host}" if AUDIENCES.get(f"https://{host}") == call.service else RESOURCES[call.service]


class Entra:
    """Issues and checks tokens."""

    def __init__(self, world: World) -> None:
        self.world = world

    def handle(self, call: Call) -> Reply:
        """Return the answer to a request below ``/{tenant}``."""
        rest = [segment.lower() for segment in call.segments[1:]]
        if rest[-2:] == [".well-known", "openid-configuration"]:
            call.notes["pattern"] = "discovery"
            return self._discover(call)
        if rest[-1:] == ["keys"]:
            return Reply(200, {"keys": []})
        if rest == ["oauth2", "v2.0", "token"] and call.method == "POST":
            call.notes["pattern"] = "token"
            return self._token(call)
        if rest == ["discovery", "instance"]:
            call.notes["pattern"] = "discovery"
            return self._instance(call)
        return Reply(404, {"error": "not_found"})

    def knows(self, tenant: str) -> bool:
        """Return whether a tenant, by id or domain, is the one of this sandbox."""
        return tenant.lower() in (self.world.tenant_id, "common", "organizations", "voorbeeld.example")

    def _discover(self, call: Call) -> Reply:
        tenant = call.segments[0]
        if not self.knows(tenant):
            return self._error(400, "invalid_tenant", 90002, f"Tenant '{tenant}' not found.")
        # msal refuses anything but https here; clients on loopback translate it back.
        root = f"https://{call.base.partition('://')[2]}/{tenant}"
        return Reply(
            200,
            {
                "token_endpoint": f"{root}/oauth2/v2.0/token",
                "token_endpoint_auth_methods_supported": ["client_secret_post", "private_key_jwt"],
                "jwks_uri": f"{root}/discovery/v2.0/keys",
                "response_types_supported": ["token"],
                # The tenant's id, however the address names the tenant.
                "issuer": f"https://{call.base.partition('://')[2]}/{self.world.tenant_id}/v2.0",
                "authorization_endpoint": f"{root}/oauth2/v2.0/authorize",
                "device_authorization_endpoint": f"{root}/oauth2/v2.0/devicecode",
                "tenant_region_scope": "EU",
            },
        )

    def _instance(self, call: Call) -> Reply:
        host = call.base.partition("://")[2]
        endpoint = f"https://{host}/{self.world.tenant_id}/v2.0/.well-known/openid-configuration"
        metadata = [{"preferred_network": host, "preferred_cache": host, "aliases": [host]}]
        return Reply(200, {"tenant_discovery_endpoint": endpoint, "api-version": "1.1", "metadata": metadata})

    def _token(self, call: Call) -> Reply:
        form = {name: values[0] for name, values in parse_qs(call.body.decode("utf-8", "replace")).items()}
        if not self.knows(call.segments[0]):
            return self._error(400, "invalid_request", 90002, f"Tenant '{call.segments[0]}' not found.")
        if form.get("grant_type") != "client_credentials":
            return self._error(400, "unsupported_grant_type", 70003, "The grant type is not supported.")
        app = next((a for a in self.world.apps if a.client_id == form.get("client_id", "").lower()), None)
        if app is None:
            return self._error(
                400, "unauthorized_client", 700016, "Application was not found in the directory."
            )
        if not self._proves(app, form):
            return self._error(401, "invalid_client", 7000215, "Invalid client secret provided.")
        scope = form.get("scope", "")
        audience = scope.removesuffix("/.default").rstrip("/")
        service = AUDIENCES.get(audience)
        if not scope.endswith("/.default") or service is None:
            return self._error(400, "invalid_scope", 70011, "The provided value for scope is not valid.")
        call.identity, call.notes["token"] = app.name, service
        lifetime = int(self.world.settings.options["token_lifetime_seconds"])
        return Reply(
            200,
            {
                "token_type": "Bearer",
                "expires_in": lifetime,
                "ext_expires_in": lifetime,
                "access_token": self.issue(app, service, lifetime, audience),
            },
        )

    @staticmethod
    def _proves(app: App, form: dict[str, str]) -> bool:
        if "client_secret" in form:
            return hmac.compare_digest(form["client_secret"].encode(), app.client_secret.encode())
        # A signed assertion is taken on trust when it names the app; its signature is not verified.
        claims = _claims(form.get("client_assertion", ""))
        return (
            form.get("client_assertion_type", "").endswith("jwt-bearer")
            and claims.get("sub") == app.client_id
        )

    def issue(self, app: App, service: str, lifetime: int, audience: str = "") -> str:
        """Return a new token: shaped like a JWT, signed with a key of this world."""
        named = audience if audience.startswith("https://") else RESOURCES[service]
        now = int(self.world.clock.now())
        self.world.issued += 1
        claims = {
            "aud": named,
            "iss": f"https://sts.windows.net/{self.world.tenant_id}/",
            "iat": now,
            "nbf": now,
            "exp": now + lifetime,
            "appid": app.client_id,
            "idtyp": "app",
            "roles": list(app.graph_roles if service == "graph" else app.bc_roles),
            "tid": self.world.tenant_id,
            "uti": str(self.world.issued),
        }
        head = _encode(orjson.dumps({"typ": "JWT", "alg": "HS256"}))
        text = f"{head}.{_encode(orjson.dumps(claims))}"
        return f"{text}.{self._sign(text)}"

    def _sign(self, text: str) -> str:
        return _encode(hmac.new(self.world.token_key(), text.encode(), hashlib.sha256).digest())

    def check(self, call: Call) -> str | None:
        """Give a call its identity and roles; return None, or why the token is refused."""
        scheme, _, token = call.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not token:
            return "Access token is empty."
        if hmac.compare_digest(token.encode(), self.world.user_token(call.service).encode()):
            call.identity, call.roles = "user", ("Contacts.ReadWrite", "User.Read.All", "API.ReadWrite.All")
            return None
        text, _, signature = token.rpartition(".")
        if not text or not hmac.compare_digest(signature.encode(), self._sign(text).encode()):
            return "CompactToken parsing failed or the signature is invalid."
        claims = _claims(token)
        app = next((a for a in self.world.apps if a.client_id == claims.get("appid")), None)
        if app is None:
            return "The application is unknown."
        call.identity, call.roles = app.name, tuple(claims.get("roles", ()))
        if claims.get("aud") != audience_of(call):
            return "Access token validation failure. Invalid audience."
        if (
            claims.get("exp", 0) <= self.world.clock.now()
            or int(claims.get("uti", 0)) <= self.world.tokens_from
        ):
            return "Lifetime validation failed, the token is expired."
        return None

    def _error(self, status: int, error: str, number: int, text: str) -> Reply:
        moment = iso_seconds(self.world.clock.now())
        self.world.issued += 1
        trace = make_uuid("trace", self.world.nonce, self.world.issued)
        description = f"AADSTS{number}: {text} Trace ID: {trace} Timestamp: {moment}"
        body: dict[str, Any] = {
            "error": error,
            "error_description": description,
            "error_codes": [number],
            "timestamp": moment.replace("T", " "),
            "trace_id": trace,
            "correlation_id": trace,
        }
        return Reply(status, body)


def _encode(blob: bytes) -> str:
    return base64.urlsafe_b64encode(blob).rstrip(b"=").decode()


def _claims(token: str) -> dict[str, Any]:
    try:
        part = token.split(".")[1]
        claims = orjson.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    except (ValueError, IndexError):
        return {}
    return claims if isinstance(claims, dict) else {}
