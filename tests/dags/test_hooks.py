"""The connection types: Airflow knows them, and *Test connection* asks the service."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests import receivers
from tests.dags.apps import app

if TYPE_CHECKING:
    from contact_sync_airflow import hooks

pytestmark = pytest.mark.airflow


def test_the_provider_metadata_satisfies_airflow_and_names_real_hooks() -> None:
    from airflow.providers_manager import ProvidersManager
    from airflow.sdk.providers_manager_runtime import ProvidersManagerTaskRuntime

    types = {"business_central", "microsoft_graph", "contact_sync_staging", "contact_sync_webhook"}
    found = {name: hook for name, hook in ProvidersManagerTaskRuntime().hooks.items() if name in types}
    assert set(found) == types
    for name, hook in found.items():
        assert hook is not None
        assert hook.connection_type == name
        assert hook.connection_testable
    forms = ProvidersManager().field_behaviours
    assert forms["microsoft_graph"]["relabeling"]["password"] == "Client secret"
    widgets = ProvidersManager().connection_form_widgets
    assert widgets["extra__microsoft_graph__private_key"].is_sensitive
    assert "extra__business_central__field_profile" in widgets


def test_a_connection_test_says_what_is_missing(connection: Any) -> None:
    connection("under_test", app(login=None))
    ok, message = hooks.MicrosoftGraphHook(microsoft_graph_conn_id="under_test").test_connection()
    assert not ok
    assert "login must hold the client id" in message


def test_the_test_of_a_webhook_posts_a_message(connection: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    with receivers.webhook() as taken:
        connection(
            "hook_under_test", json.dumps({"conn_type": "contact_sync_webhook", "password": taken.url})
        )
        ok, message = hooks.WebhookHook(contact_sync_webhook_conn_id="hook_under_test").test_connection()
        assert ok, message
        assert "Messages of the sync arrive here." in str(taken.bodies)
        monkeypatch.setenv("CONTACT_SYNC_NOTIFY_LANGUAGE", "nl")
        hooks.WebhookHook("hook_under_test").test_connection()
        assert "Berichten van de synchronisatie komen hier aan." in str(taken.bodies)
        taken.status = 404
        ok, message = hooks.WebhookHook("hook_under_test").test_connection()
    assert not ok
    assert "answered 404" in message
