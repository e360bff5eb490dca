"""What a task reads from Airflow's context, and what it hands on."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest
from sqlalchemy import select

from sync_lib import model
from sync_lib.errors import ConfigError, RequestError
from sync_lib.operate.approval import Question
from sync_lib.store import tables as t
from sync_lib.store.engine import open_engine
from tests.dags.apps import app

if TYPE_CHECKING:
    from contact_sync_airflow import connections, context

pytestmark = pytest.mark.airflow


def test_a_task_instance_id_shows_when_it_was_made() -> None:
    moment = datetime(2026, 11, 23, 12, 0, 0, 250_000, tzinfo=UTC)
    made = UUID(int=(int(moment.timestamp() * 1000) << 80) | (7 << 76) | 12345)
    assert context._made_at(str(made)) == moment


def asked_for(conf: dict[str, Any] | None, **params: Any) -> dict[str, Any]:
    """The context of a task of a run that somebody started with this configuration."""

    class DagRun:
        pass

    run: Any = DagRun()
    run.conf = conf
    everything = {"mode": "incremental", "profiles": [], "dry_run": False, **(conf or {}), **params}
    return {"dag_run": run, "params": everything}


@pytest.mark.parametrize(
    ("conf", "params", "said"),
    [
        ({"dryrun": True}, {}, "'dryrun', which is no parameter. It takes mode, profiles, dry_run."),
        ({"profile": ["anna@example.com"], "mode": "full"}, {}, "'profile', which is no parameter"),
        ({"dry_run": True}, {"dry_run": False}, r"\(dry_run\).*dag_run_conf_overrides_params is off"),
    ],
)
def test_a_run_that_is_not_what_was_asked_for_is_refused_and_written_down(
    connection: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    conf: dict[str, Any],
    params: dict[str, Any],
    said: str,
) -> None:
    """It would write where somebody wanted to look, or sync everybody in place of one."""
    extra = {"sqlite_path": f"{tmp_path}/staging.db"}
    connection(connections.STAGING, json.dumps({"conn_type": "contact_sync_staging", "extra": extra}))
    monkeypatch.setattr(context, "run_request", lambda: model.RunRequest("manual__1"))
    monkeypatch.setattr(context, "get_current_context", lambda: asked_for(conf, **params))
    with pytest.raises(RequestError, match=said), context.open_services_to_plan():
        pass
    engine = open_engine(f"sqlite:///{tmp_path}/staging.db")
    with engine.begin() as conn:
        row = conn.execute(select(t.sync_run.c.state, t.sync_run.c.reason)).one()
    engine.dispose()
    assert tuple(row) == ("failed", "request_refused")


def test_what_a_run_may_be_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    for conf in (None, {}, {"dry_run": True}, {"mode": "full", "profiles": None, "dry_run": False}):
        monkeypatch.setattr(context, "get_current_context", lambda given=conf: asked_for(given))
        context.refuse_others(*context.PARAMETERS)


def test_a_run_that_cannot_open_its_connections_is_written_down(
    connection: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """P2: a missing Connection leaves a run with its cause, for the pages to show."""
    extra = {"sqlite_path": f"{tmp_path}/staging.db"}
    connection(connections.STAGING, json.dumps({"conn_type": "contact_sync_staging", "extra": extra}))
    connection(connections.BUSINESS_CENTRAL, app(login=None))
    request = model.RunRequest("scheduled__1", run_type="scheduled")
    monkeypatch.setattr(context, "run_request", lambda: request)
    monkeypatch.setattr(context, "get_current_context", lambda: asked_for({}))
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
