"""What a task reads from Airflow's context, and what it hands on."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest

from sync_lib import model
from sync_lib.errors import ConfigError
from sync_lib.operate.approval import Question
from tests.dags.apps import app

if TYPE_CHECKING:
    from contact_sync_airflow import connections, context

pytestmark = pytest.mark.airflow


def test_a_task_instance_id_shows_when_it_was_made() -> None:
    moment = datetime(2026, 11, 23, 12, 0, 0, 250_000, tzinfo=UTC)
    made = UUID(int=(int(moment.timestamp() * 1000) << 80) | (7 << 76) | 12345)
    assert context._made_at(str(made)) == moment


def test_a_run_that_cannot_open_its_connections_is_written_down(
    connection: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """P2: a missing Connection leaves a run with its cause, for the pages to show."""
    from sqlalchemy import select

    from sync_lib.store import tables as t
    from sync_lib.store.engine import open_engine

    extra = {"sqlite_path": f"{tmp_path}/staging.db"}
    connection(connections.STAGING, json.dumps({"conn_type": "contact_sync_staging", "extra": extra}))
    connection(connections.BUSINESS_CENTRAL, app(login=None))
    request = model.RunRequest("scheduled__1", run_type="scheduled")
    monkeypatch.setattr(context, "run_request", lambda: request)
    with pytest.raises(ConfigError, match="login must hold"), context.open_services_to_plan():
        pass
    engine = open_engine(f"sqlite:///{tmp_path}/staging.db")
    with engine.begin() as conn:
        row = conn.execute(select(t.sync_run)).one()
    engine.dispose()
    assert (row.state, row.reason) == ("failed", "ConfigError")
    assert "business_central_default" in row.message


def test_the_question_about_a_hold_leads_to_its_page(monkeypatch: pytest.MonkeyPatch) -> None:
    import contact_sync_plugin

    pushed: dict[str, str] = {}

    class TaskInstance:
        def xcom_push(self, key: str, value: str) -> None:
            pushed[key] = value

    monkeypatch.setattr(context, "get_current_context", lambda: {"ti": TaskInstance()})
    monkeypatch.setenv("AIRFLOW__API__BASE_URL", "https://airflow.example/sync/")
    monkeypatch.setenv("CONTACT_SYNC_NOTIFY_LANGUAGE", "nl")
    text = context.put_question(Question(7, "Molenzicht BV", accepted=1000, offered=24))
    assert pushed == {"subject": "Molenzicht BV: Business Central noemt nog maar 24 contacten"}
    assert text.startswith("Eerder waren er 1.000 contacten aanvaard.")
    assert text.endswith(f"(https://airflow.example/sync{contact_sync_plugin.MOUNT}/holds/7)")


def test_runs_of_another_dag_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[dict[str, Any]] = []

    class TaskInstance:
        def get_dr_count(self, **named: Any) -> int:
            asked.append(named)
            return 1

    monkeypatch.setattr(context, "get_current_context", lambda: {"ti": TaskInstance()})
    assert context.count_runs("contact_sync_approval", ("a", "b"), at_work=True) == 1
    assert context.count_runs("contact_sync_approval", ("a",), at_work=False) == 1
    assert asked == [
        {"dag_id": "contact_sync_approval", "run_ids": ["a", "b"], "states": ["queued", "running"]},
        {"dag_id": "contact_sync_approval", "run_ids": ["a"], "states": None},
    ]
