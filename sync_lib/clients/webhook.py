"""Messages to a webhook. Its address is a secret: who knows it can post there. So no error and no log names it."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

import requests
from urllib3.exceptions import NewConnectionError

from sync_lib.clients import network
from sync_lib.clients.addresses import is_loopback
from sync_lib.errors import ApiError, ConfigError, ServiceError


def post(url: str, body: dict[str, Any], *, timeout: float = 20.0) -> None:
    """Post a body as JSON, once: a message that comes twice is worse than one that the log names as not sent.

    Raises:
        ConfigError: The address is neither https nor http to this machine.
        ServiceError: Nobody knows whether it was taken.
        ApiError: It was not taken.
    """
    require_address(url)
    try:
        answer = requests.post(url, json=body, timeout=(10.0, timeout), allow_redirects=False)
    except requests.RequestException as error:
        # The error's own text holds the address.
        hint = network.cause(error, "the webhook's host")
        kind = ApiError if _was_not_sent(error) else ServiceError
        raise kind(f"The webhook did not answer: {type(error).__name__}. {hint}".strip()) from None
    status = answer.status_code
    if not 200 <= status < 300:
        hint = network.elsewhere(status, "the webhook's host", readable=True)
        # A gateway that gave up waiting does not know either what became of it.
        kind = ServiceError if status in (500, 502, 504) else ApiError
        raise kind(f"The webhook answered {status}. {hint}".strip(), status=status, method="POST")


def _was_not_sent(error: requests.RequestException) -> bool:
    """Whether no connection was made at all."""
    if isinstance(error, requests.exceptions.SSLError | requests.exceptions.ConnectTimeout):
        return True
    reason = getattr(error.args[0], "reason", None) if error.args else None
    return isinstance(reason, NewConnectionError)


def require_address(url: str) -> None:
    try:
        parts = urlsplit(url)
        host = parts.hostname
    except ValueError:
        host = None
    safe = host and (parts.scheme == "https" or (parts.scheme == "http" and is_loopback(host)))
    if not safe:
        raise ConfigError("The webhook's address must begin with https:// (http:// only for this machine).")
