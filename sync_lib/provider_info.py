"""What Airflow should know of this package: its connection types and their forms.

A plain dict, found by the entry point group ``apache_airflow_provider``. Airflow calls it in every one of its
processes, so it imports nothing. The hooks are in the plugins folder, which Airflow itself puts on the path.
"""

from __future__ import annotations

from typing import Any

_HOOKS = "contact_sync_airflow.hooks"


def get_provider_info() -> dict[str, Any]:
    """Return the provider metadata, in the shape of Airflow's ``provider_info.schema.json``."""
    return {
        "package-name": "bc-outlook-contact-sync",
        "name": "Contact sync",
        "description": "Two-way contact sync between Business Central and Outlook.",
        "versions": ["0.1.0"],
        "connection-types": [_business_central(), _microsoft_graph(), _staging(), _webhook()],
    }


def _business_central() -> dict[str, Any]:
    return {
        "connection-type": "business_central",
        "hook-class-name": f"{_HOOKS}.BusinessCentralHook",
        "hook-name": "Business Central",
        "ui-field-behaviour": _app_behaviour("https://api.businesscentral.dynamics.com/v2.0"),
        "conn-fields": {
            "tenant_id": _text(
                "Tenant id", "Directory (tenant) id of the app registration, or its domain name."
            ),
            "environment": _text("Environment", "Name of the environment in Business Central.", "Production"),
            "field_profile": {
                "label": "Field profile",
                "description": "standard: the contacts API of any Business Central. "
                "extended: the API page that comes with this project, with more fields.",
                "schema": {"type": "string", "enum": ["standard", "extended"], "default": "standard"},
            },
            **_certificate_fields(),
            "authority": _authority(),
            "audience": _audience(),
        },
    }


def _microsoft_graph() -> dict[str, Any]:
    return {
        "connection-type": "microsoft_graph",
        "hook-class-name": f"{_HOOKS}.MicrosoftGraphHook",
        "hook-name": "Microsoft Graph",
        "ui-field-behaviour": _app_behaviour("https://graph.microsoft.com/v1.0"),
        "conn-fields": {
            "tenant_id": _text(
                "Tenant id", "Directory (tenant) id of the app registration, or its domain name."
            ),
            **_certificate_fields(),
            "authority": _authority(),
            "audience": _audience(),
        },
    }


def _staging() -> dict[str, Any]:
    return {
        "connection-type": "contact_sync_staging",
        "hook-class-name": f"{_HOOKS}.StagingHook",
        "hook-name": "Contact sync staging database",
        "ui-field-behaviour": {
            "hidden-fields": [],
            "relabeling": {"schema": "Database"},
            "placeholders": {
                "host": "PostgreSQL server; leave it empty for a SQLite file",
                "port": "5432",
                "schema": "contact_sync",
            },
        },
        "conn-fields": {
            "sqlite_path": _text(
                "SQLite file", "Absolute path of the file, in place of a PostgreSQL server."
            ),
            "sslmode": _text(
                "SSL mode", "For example require or verify-full; empty leaves it to the driver."
            ),
        },
    }


def _webhook() -> dict[str, Any]:
    return {
        "connection-type": "contact_sync_webhook",
        "hook-class-name": f"{_HOOKS}.WebhookHook",
        "hook-name": "Contact sync webhook",
        "ui-field-behaviour": {
            "hidden-fields": ["host", "schema", "port", "login"],
            "relabeling": {"password": "Address of the webhook"},
            "placeholders": {"password": "https://... It is a secret: who knows it can post there"},
        },
        "conn-fields": {
            "format": {
                "label": "Format",
                "description": "teams: an adaptive card, for a workflow of Teams. text: for Slack and its like.",
                "schema": {"type": "string", "enum": ["teams", "text"], "default": "teams"},
            },
        },
    }


def _app_behaviour(root: str) -> dict[str, Any]:
    return {
        "hidden-fields": ["schema", "port"],
        "relabeling": {"host": "API root", "login": "Client id", "password": "Client secret"},
        "placeholders": {
            "host": root,
            "login": "Application (client) id of the app registration",
            "password": "Leave empty when a certificate is used",
        },
    }


def _certificate_fields() -> dict[str, Any]:
    # Airflow hides the values of extra fields by their names, and those of the key and the secret are on its list.
    return {
        "secret_expires": _text(
            "Client secret ends on", "Year-month-day, for example 2027-03-31. The pages warn 30 days before."
        ),
        "certificate": _text(
            "Certificate", "Public certificate in PEM form, in place of a secret.", form="multiline"
        ),
        "private_key": _text("Private key", "Its private key in PEM form.", form="password"),
        "passphrase": _text("Passphrase", "Of the private key, where it has one.", form="password"),
    }


def _authority() -> dict[str, Any]:
    return _text("Authority", "Where tokens come from; empty means https://login.microsoftonline.com.")


def _audience() -> dict[str, Any]:
    return _text("Audience", "What tokens are for; empty means the origin of the API root.")


def _text(
    label: str, description: str, default: str | None = None, *, form: str | None = None
) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": ["string", "null"]}
    if default is not None:
        schema["default"] = default
    if form is not None:
        schema["format"] = form
    return {"label": label, "description": description, "schema": schema}
