"""Airflow's Connections become settings of the library, and open the services of a task.

It logs no secret, and no message of its errors holds one. Each DAG file imports this module: its top imports nothing
but Airflow's SDK.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseHook

from contact_sync_airflow import environment

if TYPE_CHECKING:
    from sync_lib.operate.credentials import Ending
    from sync_lib.services import Services
    from sync_lib.settings import BusinessCentralSettings, GraphSettings, StagingSettings

log = logging.getLogger(__name__)

BUSINESS_CENTRAL = "business_central_default"
MICROSOFT_GRAPH = "microsoft_graph_default"
STAGING = "contact_sync_staging"


@contextmanager
def open_services() -> Iterator[Services]:
    """Yield the clients and the staging database that the three Connections name.

    Raises:
        ConfigError: A Connection is missing or incomplete; the message says which, and what to do.
    """
    from sync_lib import pipeline

    opened = pipeline.open_edges(
        business_central_settings(),
        graph_settings(),
        staging_settings(),
        environment.sync_settings(),
        environment.may_write,
    )
    with opened as ready:
        yield ready


@contextmanager
def open_services_in_run() -> Iterator[Services]:
    """Yield the services to a task behind the one that plans its run, and so brings the schema up to date.

    Tasks of an older program, on a worker that nobody upgraded, would write what the newer one takes for its own.

    Raises:
        ConfigError: As ``open_services``; or the schema is older than this program, or newer.
    """
    from sync_lib.store.migrate import require_schema

    with open_services() as ready:
        require_schema(ready.engine)
        yield ready


def business_central_settings(connection_id: str = BUSINESS_CENTRAL) -> BusinessCentralSettings:
    """Return how to reach Business Central, from an Airflow Connection.

    Raises:
        ConfigError: The Connection is missing or incomplete.
    """
    from sync_lib import connections

    return connections.business_central(get_connection(connection_id, "business_central"))


def graph_settings(connection_id: str = MICROSOFT_GRAPH) -> GraphSettings:
    """Return how to reach Microsoft Graph, from an Airflow Connection.

    Raises:
        ConfigError: The Connection is missing or incomplete.
    """
    from sync_lib import connections

    return connections.graph(get_connection(connection_id, "microsoft_graph"))


def staging_settings(connection_id: str = STAGING) -> StagingSettings:
    """Return the URL of the staging database, from an Airflow Connection.

    Raises:
        ConfigError: The Connection is missing or incomplete.
    """
    from sync_lib.connections import extra_field, incomplete
    from sync_lib.settings import StagingSettings

    connection = get_connection(connection_id, "contact_sync_staging")
    path = extra_field(connection, "sqlite_path") or (
        connection.schema if connection.conn_type == "sqlite" else ""
    )
    if path:
        # A relative path would be another file in each of Airflow's processes.
        if not path.startswith("/"):
            raise incomplete(connection_id, "sqlite_path", "must be an absolute path")
        return StagingSettings(url=f"sqlite:///{path}")
    if connection.conn_type not in ("contact_sync_staging", "postgres", "postgresql", "postgresql+psycopg"):
        raise incomplete(
            connection_id, "type", f"is {connection.conn_type}, and must be PostgreSQL or a SQLite file"
        )
    return StagingSettings(url=_postgresql_url(connection))


def endings() -> list[Ending]:
    """Return the credentials of the two services that end soon, or have ended."""
    from sync_lib.errors import ConfigError
    from sync_lib.operate.credentials import ending

    today = datetime.now(UTC).date()
    found = []
    for connection_id, read in (
        (MICROSOFT_GRAPH, graph_settings),
        (BUSINESS_CENTRAL, business_central_settings),
    ):
        try:
            found.append(ending(connection_id, read(connection_id), today))
        except ConfigError as error:
            # The run says what is wrong with a Connection; the pages go on without its date.
            log.info("when the credential of %s ends is not known: %s", connection_id, error)
    return [each for each in found if each]


def get_connection(connection_id: str, connection_type: str) -> Any:
    """Return a Connection of Airflow.

    Raises:
        ConfigError: There is none; the message says of which type to make it.
    """
    from airflow.sdk.exceptions import AirflowNotFoundException

    from sync_lib.errors import ConfigError

    try:
        return BaseHook.get_connection(connection_id)
    except AirflowNotFoundException as error:
        variable = f"AIRFLOW_CONN_{connection_id.upper()}"
        raise ConfigError(
            f"Airflow has no Connection {connection_id!r}. Make it under Admin > Connections with the type "
            f"{connection_type!r}, or set the environment variable {variable}."
        ) from error


def _postgresql_url(connection: Any) -> str:
    from urllib.parse import quote, urlencode

    from sync_lib.connections import incomplete

    query = {key: str(value) for key, value in connection.extra_dejson.items() if value not in ("", None)}
    if not connection.host and "host" not in query:
        raise incomplete(connection.conn_id, "host", "must name a PostgreSQL server, or sqlite_path a file")
    password = f":{quote(connection.password, safe='')}" if connection.password else ""
    user = f"{quote(connection.login, safe='')}{password}@" if connection.login else ""
    port = f":{connection.port}" if connection.port else ""
    path = f"/{quote(connection.schema or '', safe='')}"
    # With the driver's name, since what a bare postgresql:// means differs between versions of SQLAlchemy.
    url = f"postgresql+psycopg://{user}{connection.host or ''}{port}{path}"
    return f"{url}?{urlencode(query)}" if query else url
