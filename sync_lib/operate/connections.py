"""What a Connection of Airflow says of an app and its API, whether Airflow hands it over or a variable holds it.

It logs no secret, and no message of its errors holds one.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol
from urllib.parse import parse_qs, unquote, urlsplit

from sync_lib.errors import ConfigError
from sync_lib.settings import (
    AUTHORITY,
    BUSINESS_CENTRAL_ROOT,
    GRAPH_ROOT,
    BusinessCentralSettings,
    Certificate,
    GraphSettings,
)

BUSINESS_CENTRAL = "business_central_default"
MICROSOFT_GRAPH = "microsoft_graph_default"


class ConnectionLike(Protocol):
    """What Airflow's own Connection has, of which the extra is a dict."""

    @property
    def conn_id(self) -> Any: ...
    @property
    def host(self) -> Any: ...
    @property
    def login(self) -> Any: ...
    @property
    def password(self) -> Any: ...
    @property
    def port(self) -> Any: ...
    @property
    def schema(self) -> Any: ...
    @property
    def extra_dejson(self) -> Any: ...


@dataclass(frozen=True)
class Connection:
    """A Connection that a variable of the environment holds."""

    conn_id: str
    conn_type: str = ""
    host: str = ""
    login: str = ""
    password: str = field(default="", repr=False)
    port: int | None = None
    schema: str = ""
    extra_dejson: Mapping[str, Any] = field(default_factory=dict, repr=False)


def read_variable(environment: Mapping[str, str], connection_id: str) -> Connection:
    """Return the Connection that the environment holds, in either of Airflow's two forms.

    Raises:
        ConfigError: There is none, or it cannot be read.
    """
    variable = f"AIRFLOW_CONN_{connection_id.upper()}"
    text = environment.get(variable, "").strip()
    if not text:
        raise ConfigError(
            f"This command asks the services themselves: set {variable}. Connections that were made in Airflow's UI "
            "are not seen here."
        )
    return parse(text, variable, connection_id)


def parse(text: str, variable: str, connection_id: str = "") -> Connection:
    """Return a Connection that is written as JSON or as a URI.

    Raises:
        ConfigError: It is neither.
    """
    try:
        found = json.loads(text) if text.startswith("{") else _from_uri(text)
        extra = found.get("extra") or {}
        found = {name: value for name, value in found.items() if name in _MEMBERS and value is not None}
        return Connection(
            connection_id, **found, extra_dejson=json.loads(extra) if isinstance(extra, str) else extra
        )
    except (ValueError, TypeError, AttributeError):
        # Neither the text nor the error's may be shown: they hold the password.
        raise ConfigError(f"{variable} is neither a URI nor JSON of an Airflow Connection.") from None


_MEMBERS = ("conn_type", "host", "login", "password", "port", "schema")


def _from_uri(text: str) -> dict[str, Any]:
    parts = urlsplit(text)
    if not parts.scheme:
        raise ValueError
    query = {name: values[-1] for name, values in parse_qs(parts.query).items()}
    packed = query.pop("__extra__", "")
    return {
        "conn_type": parts.scheme.replace("-", "_"),
        "host": unquote(parts.hostname or ""),
        "login": unquote(parts.username or ""),
        "password": unquote(parts.password or ""),
        "port": parts.port,
        "schema": unquote(parts.path[1:]),
        "extra": json.loads(packed) if packed else query,
    }


# -- settings --------------------------------------------------------------------------------------------------------


def business_central_settings(connection: ConnectionLike) -> BusinessCentralSettings:
    """Return how to reach Business Central.

    Raises:
        ConfigError: The Connection is incomplete.
    """
    field_profile = extra_field(connection, "field_profile") or "standard"
    if field_profile not in ("standard", "extended"):
        raise incomplete(connection.conn_id, "field_profile", "must be standard or extended")
    return BusinessCentralSettings(
        **_app_settings(connection, BUSINESS_CENTRAL_ROOT),
        environment=extra_field(connection, "environment") or "Production",
        field_profile=field_profile,
    )


def graph_settings(connection: ConnectionLike) -> GraphSettings:
    """Return how to reach Microsoft Graph.

    Raises:
        ConfigError: The Connection is incomplete.
    """
    return GraphSettings(**_app_settings(connection, GRAPH_ROOT))


def extra_field(connection: ConnectionLike, name: str) -> str:
    """Return a field of a Connection's extra, "" where it has none."""
    value = connection.extra_dejson.get(name)
    return str(value).strip() if value is not None else ""


def incomplete(connection_id: str, field: str, what: str) -> ConfigError:
    """Return the error that says which field of a Connection is wrong, and where to correct it."""
    return ConfigError(
        f"Connection {connection_id!r}: {field} {what}. Fix it under Admin > Connections, or in the "
        f"environment variable AIRFLOW_CONN_{connection_id.upper()} where that is set."
    )


def _app_settings(connection: ConnectionLike, default_root: str) -> dict[str, Any]:
    """Return what both services' settings share."""
    connection_id = connection.conn_id
    certificate = _certificate(connection)
    if not connection.login:
        raise incomplete(connection_id, "login", "must hold the client id of the app registration")
    if not extra_field(connection, "tenant_id"):
        raise incomplete(connection_id, "tenant_id", "must hold the directory (tenant) id")
    if not connection.password and certificate is None:
        raise incomplete(
            connection_id, "password", "must hold the client secret, unless there is a certificate"
        )
    return {
        "root": _root(connection, default_root),
        "tenant_id": extra_field(connection, "tenant_id"),
        "client_id": connection.login,
        "client_secret": None if certificate else connection.password,
        "certificate": certificate,
        "authority": (extra_field(connection, "authority") or AUTHORITY).rstrip("/"),
        "secret_expires": extra_field(connection, "secret_expires"),
        "audience": extra_field(connection, "audience"),
    }


def _root(connection: ConnectionLike, default: str) -> str:
    """Return the API root, put together again where the Connection was given as a URI."""
    host = connection.host or ""
    if not host:
        return default
    if "://" not in host:
        scheme = extra_field(connection, "scheme") or "https"
        port = f":{connection.port}" if connection.port else ""
        path = f"/{connection.schema}" if connection.schema else ""
        host = f"{scheme}://{host}{port}{path}"
    return host.rstrip("/")


def _certificate(connection: ConnectionLike) -> Certificate | None:
    public, private = extra_field(connection, "certificate"), extra_field(connection, "private_key")
    if not public and not private:
        return None
    if not public or not private:
        missing = "private_key" if public else "certificate"
        raise incomplete(connection.conn_id, missing, "belongs to a certificate: set both, in PEM form")
    if "PRIVATE KEY" in public:
        # Airflow's UI shows this field to everyone who may read Connections.
        raise incomplete(connection.conn_id, "certificate", "holds a private key: move it to private_key")
    return Certificate(
        private_key=_pem(private),
        public_certificate=_pem(public),
        passphrase=extra_field(connection, "passphrase") or None,
    )


def _pem(text: str) -> str:
    r"""Return a PEM text with its line ends, which one-line inputs and ``\n`` in JSON or .env files lose."""
    text = text.replace("\\n", "\n").strip()
    blocks = re.findall(r"-----BEGIN ([A-Z ]+)-----(.*?)-----END \1-----", text, flags=re.DOTALL)
    if not blocks or ":" in text:
        return (
            text  # An encrypted key in the old form has headers; a file path or nonsense is msal's to refuse.
        )
    wrapped = []
    for label, body in blocks:
        body = re.sub(r"\s", "", body)
        lines = "\n".join(body[start : start + 64] for start in range(0, len(body), 64))
        wrapped.append(f"-----BEGIN {label}-----\n{lines}\n-----END {label}-----\n")
    return "".join(wrapped)
