"""Our connection types, as Airflow's form of a Connection knows them: *Test connection* asks the service itself."""

from __future__ import annotations

from airflow.sdk import BaseHook

from contact_sync_airflow import connections, environment, messages


class _CheckedHook(BaseHook):
    """A connection type whose *Test connection* button asks the service itself."""

    def __init__(self, connection_id: str | None = None, **connection_id_by_name: str) -> None:
        super().__init__()
        named = connection_id_by_name.get(self.conn_name_attr)
        self.connection_id = connection_id or named or self.default_conn_name

    def test_connection(self) -> tuple[bool, str]:
        """Return whether the service answers to these settings, and what it said."""
        from sync_lib.errors import SyncError

        try:
            return True, self.check()
        except SyncError as error:
            return False, str(error)

    def check(self) -> str:
        """Return what was found, in one sentence.

        Raises:
            SyncError: The settings are incomplete, or the service refuses them.
        """
        raise NotImplementedError


class BusinessCentralHook(_CheckedHook):
    """Connection type ``business_central``."""

    conn_name_attr = "business_central_conn_id"
    default_conn_name = connections.BUSINESS_CENTRAL
    conn_type = "business_central"
    hook_name = "Business Central"

    def check(self) -> str:
        """Return how many companies the app sees."""
        settings = connections.business_central_settings(self.connection_id)
        from sync_lib import pipeline

        return pipeline.check_business_central(settings)


class MicrosoftGraphHook(_CheckedHook):
    """Connection type ``microsoft_graph``."""

    conn_name_attr = "microsoft_graph_conn_id"
    default_conn_name = connections.MICROSOFT_GRAPH
    conn_type = "microsoft_graph"
    hook_name = "Microsoft Graph"

    def check(self) -> str:
        """Return which permissions the app's token carries."""
        settings = connections.graph_settings(self.connection_id)
        from sync_lib import pipeline

        return pipeline.check_graph(settings)


class StagingHook(_CheckedHook):
    """Connection type ``contact_sync_staging``."""

    conn_name_attr = "contact_sync_staging_conn_id"
    default_conn_name = connections.STAGING
    conn_type = "contact_sync_staging"
    hook_name = "Contact sync staging database"

    def check(self) -> str:
        """Return which database answers."""
        settings = connections.staging_settings(self.connection_id)
        from sync_lib import pipeline

        return pipeline.check_staging(settings)


class WebhookHook(_CheckedHook):
    """Connection type ``contact_sync_webhook``; its test posts a message."""

    conn_name_attr = "contact_sync_webhook_conn_id"
    default_conn_name = "contact_sync_notify"
    conn_type = "contact_sync_webhook"
    hook_name = "Contact sync webhook"

    def check(self) -> str:
        """Post a message, and return that it was taken."""
        from sync_lib.operate import notices

        notice = messages.in_words(notices.of_test())
        assert notice is not None
        messages.send(self.connection_id, notice, environment.address_of_airflow())
        return "A message was posted: look whether it has arrived."
