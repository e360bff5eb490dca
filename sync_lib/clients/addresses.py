"""Addresses of services: which of them a token or a secret may be sent to."""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit

from sync_lib.errors import ConfigError


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


def to_origin(url: str) -> tuple[str, str, int] | None:
    """Return scheme, host and port of an address; None where it is none, or holds a password."""
    try:
        parts = urlsplit(url)
        port = parts.port or {"https": 443, "http": 80}[parts.scheme]
    except (ValueError, KeyError):
        return None
    if not parts.hostname or "@" in parts.netloc or "\\" in url:
        return None
    return parts.scheme, parts.hostname, port
