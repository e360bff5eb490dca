"""Connections of an app registration, as Airflow takes them from the environment."""

from __future__ import annotations

import json
from typing import Any

SECRET = "a-client-secret-that-nobody-may-see"
KEY = "-----BEGIN PRIVATE KEY-----\n" + "QUJD" * 30 + "\n-----END PRIVATE KEY-----\n"
CERTIFICATE = "-----BEGIN CERTIFICATE-----\n" + "REVG" * 16 + "\n-----END CERTIFICATE-----\n"


def app(**changes: Any) -> str:
    """Return a complete Connection as JSON; ``extra_*`` changes go into extra, and None takes a part away."""
    extra: dict[str, Any] = {"tenant_id": "tenant"} | {
        k[6:]: v for k, v in changes.items() if k.startswith("extra_")
    }
    whole: dict[str, Any] = {"conn_type": "microsoft_graph", "login": "client", "password": SECRET}
    whole |= {key: value for key, value in changes.items() if not key.startswith("extra_")}
    kept = {key: value for key, value in extra.items() if value is not None}
    return json.dumps({key: value for key, value in whole.items() if value is not None} | {"extra": kept})
