"""Airflow Connections become settings, and a person who forgot something is shown what and where."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from sync_lib.errors import ConfigError
from sync_lib.settings import AUTHORITY, BUSINESS_CENTRAL_ROOT, GRAPH_ROOT
from sync_lib.store.engine import open_engine, transaction
from sync_lib.store.migrate import VERSION_TABLE
from tests.dags.apps import CERTIFICATE, KEY, SECRET, app

if TYPE_CHECKING:
    from contact_sync_airflow import connections

pytestmark = pytest.mark.airflow


def test_defaults_of_both_services(connection: Any) -> None:
    connection(connections.MICROSOFT_GRAPH, app())
    connection(connections.BUSINESS_CENTRAL, app(conn_type="business_central"))
    graph, bc = connections.graph_settings(), connections.business_central_settings()
    assert (graph.root, graph.authority, graph.tenant_id) == (GRAPH_ROOT, AUTHORITY, "tenant")
    assert (graph.client_id, graph.client_secret, graph.certificate) == ("client", SECRET, None)
    assert (bc.root, bc.environment, bc.field_profile) == (BUSINESS_CENTRAL_ROOT, "Production", "standard")


def test_everything_can_be_set(connection: Any) -> None:
    given = app(
        host="http://127.0.0.1:9080/bc/v2.0/",
        extra_environment="Sandbox",
        extra_field_profile="extended",
        extra_authority="http://127.0.0.1:9080/entra/",
    )
    connection(connections.BUSINESS_CENTRAL, given)
    bc = connections.business_central_settings()
    assert bc.root == "http://127.0.0.1:9080/bc/v2.0"
    assert (bc.environment, bc.field_profile, bc.authority) == (
        "Sandbox",
        "extended",
        "http://127.0.0.1:9080/entra",
    )


def test_a_connection_given_as_a_uri(connection: Any) -> None:
    connection(
        connections.MICROSOFT_GRAPH, f"microsoft-graph://client:{SECRET}@graph.microsoft.com/v1.0?tenant_id=t"
    )
    settings = connections.graph_settings()
    assert (settings.root, settings.client_id, settings.tenant_id) == (GRAPH_ROOT, "client", "t")


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"login": None}, "login"),
        ({"password": None}, "password"),
        ({"extra_tenant_id": None}, "tenant_id"),
        ({"extra_certificate": CERTIFICATE}, "private_key"),
        ({"extra_private_key": KEY}, "certificate"),
        ({"extra_certificate": KEY + CERTIFICATE, "extra_private_key": KEY}, "certificate"),
    ],
)
def test_an_incomplete_connection_names_field_and_remedy(
    connection: Any, changes: dict[str, Any], field: str
) -> None:
    connection(connections.MICROSOFT_GRAPH, app(**changes))
    with pytest.raises(ConfigError) as caught:
        connections.graph_settings()
    message = str(caught.value)
    assert f"'microsoft_graph_default': {field} " in message
    assert "Admin > Connections" in message
    assert "AIRFLOW_CONN_MICROSOFT_GRAPH_DEFAULT" in message
    assert SECRET not in message
    assert "QUJD" not in message


def test_a_wrong_field_profile_is_refused(connection: Any) -> None:
    connection(connections.BUSINESS_CENTRAL, app(extra_field_profile="all"))
    with pytest.raises(ConfigError, match="field_profile must be standard or extended"):
        connections.business_central_settings()


@pytest.mark.parametrize("value", [None, ""])
def test_a_missing_connection_says_how_to_make_it(monkeypatch: pytest.MonkeyPatch, value: str | None) -> None:
    # docker compose passes a variable that nobody set as an empty one.
    monkeypatch.delenv("AIRFLOW_CONN_MICROSOFT_GRAPH_DEFAULT", raising=False)
    if value is not None:
        monkeypatch.setenv("AIRFLOW_CONN_MICROSOFT_GRAPH_DEFAULT", value)
    with pytest.raises(ConfigError) as caught:
        connections.graph_settings()
    assert "no Connection 'microsoft_graph_default'" in str(caught.value)
    assert "'microsoft_graph'" in str(caught.value)


def test_a_certificate_in_place_of_the_secret(connection: Any) -> None:
    # One-line inputs lose the line ends of a PEM text, and .env files hold them as \n.
    flat, escaped = KEY.replace("\n", " "), CERTIFICATE.replace("\n", "\\n")
    connection(
        connections.MICROSOFT_GRAPH,
        app(extra_certificate=escaped, extra_private_key=flat, extra_passphrase="p"),
    )
    settings = connections.graph_settings()
    assert settings.client_secret is None
    assert settings.certificate is not None
    lines = settings.certificate.private_key.splitlines()
    assert lines[0] == "-----BEGIN PRIVATE KEY-----"
    assert [len(line) for line in lines[1:-1]] == [64, 56]
    assert settings.certificate.public_certificate == CERTIFICATE
    assert settings.certificate.passphrase == "p"
    assert "QUJD" not in repr(settings)


@pytest.mark.parametrize(
    ("given", "url"),
    [
        ("sqlite:////var/lib/a b/staging.db", "sqlite:////var/lib/a b/staging.db"),
        (
            '{"conn_type": "contact_sync_staging", "extra": {"sqlite_path": "/var/s.db"}}',
            "sqlite:////var/s.db",
        ),
        ("postgresql+psycopg://u:p%40ss@db:5433/sync", "postgresql+psycopg://u:p%40ss@db:5433/sync"),
        ("postgres://u:p@db/sync?sslmode=require", "postgresql+psycopg://u:p@db/sync?sslmode=require"),
        (
            '{"conn_type": "contact_sync_staging", "host": "db", "login": "u", "password": "p/w", "schema": "s"}',
            "postgresql+psycopg://u:p%2Fw@db/s",
        ),
        (
            "postgresql:///sync?host=%2Frun%2Fpg",
            "postgresql+psycopg:///sync?host=%2Frun%2Fpg",
        ),
    ],
)
def test_staging_is_any_postgresql_or_sqlite_url(connection: Any, given: str, url: str) -> None:
    from sqlalchemy import make_url

    connection(connections.STAGING, given)
    settings = connections.staging_settings()
    assert settings.url == url
    assert make_url(settings.url).get_backend_name() in ("sqlite", "postgresql")
    assert "p%40ss" not in repr(settings)


@pytest.mark.parametrize(
    ("given", "what"),
    [
        ("sqlite:///staging.db", "absolute"),
        ("mysql://u:p@db/x", "must be PostgreSQL"),
        ('{"conn_type": "contact_sync_staging"}', "must name a PostgreSQL server"),
    ],
)
def test_a_staging_database_that_will_not_do(connection: Any, given: str, what: str) -> None:
    connection(connections.STAGING, given)
    with pytest.raises(ConfigError, match=what):
        connections.staging_settings()


def test_when_a_secret_ends_is_in_its_connection(connection: Any) -> None:
    """P2: shown from 30 days before; a date that cannot be read breaks nothing."""
    today = datetime.now(UTC).date()
    connection(connections.MICROSOFT_GRAPH, app(extra_secret_expires=f"{today + timedelta(days=30)}"))
    connection(connections.BUSINESS_CENTRAL, app(extra_secret_expires=f"{today + timedelta(days=31)}"))
    (found,) = connections.endings()
    assert (found.connection, found.days, found.certificate) == (connections.MICROSOFT_GRAPH, 30, False)
    connection(connections.BUSINESS_CENTRAL, app(extra_secret_expires=f"{today - timedelta(days=1)}"))
    assert [each.days for each in connections.endings()] == [30, -1]
    connection(connections.MICROSOFT_GRAPH, app(extra_secret_expires="next spring"))
    assert [each.days for each in connections.endings()] == [-1]


def test_a_task_of_an_older_or_newer_program_does_nothing(connection: Any, tmp_path: Path) -> None:
    """A worker that nobody upgraded takes tasks of the newer program's run."""
    connection(connections.MICROSOFT_GRAPH, app())
    connection(connections.BUSINESS_CENTRAL, app(conn_type="business_central"))
    extra = {"sqlite_path": f"{tmp_path}/staging.db"}
    connection(connections.STAGING, json.dumps({"conn_type": "contact_sync_staging", "extra": extra}))
    with connections.open_services_in_run() as services:
        assert services.engine is not None
    for version, said in (("9999", "Install the newer version"), ("0001", "brings it up to date")):
        engine = open_engine(f"sqlite:///{tmp_path}/staging.db")
        with transaction(engine) as conn:
            conn.exec_driver_sql(f"UPDATE {VERSION_TABLE} SET version_num = '{version}'")
        engine.dispose()
        with pytest.raises(ConfigError, match=said), connections.open_services_in_run():
            pass


@pytest.mark.parametrize("name", ["contact_sync.py", "contact_sync_approval.py"])
def test_all_tasks_behind_the_one_that_plans_look_at_the_schema(name: str) -> None:
    """``decide`` plans; ``verdict`` reads what there is, whatever happened."""
    root = Path(__file__).parents[2]
    texts = [root / "plugins" / "contact_sync_airflow" / "tasks.py", root / "dags" / name]
    opened = sum(text.read_text().count("connections.open_services()") for text in texts)
    assert opened == (1 if name == "contact_sync_approval.py" else 0)
