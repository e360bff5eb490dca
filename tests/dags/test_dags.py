"""The DAG files: that they load, quickly and lightly, and are wired as the architecture says."""

from __future__ import annotations

import copy
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.airflow

ROOT = Path(__file__).resolve().parents[2]
DAG_FILES = sorted(path.name for path in (ROOT / "dags").glob("*.py"))


@pytest.fixture(scope="module")
def dagbag() -> Any:
    from airflow.dag_processing.dagbag import DagBag

    return DagBag(dag_folder=str(ROOT / "dags"))


@pytest.fixture(scope="module")
def contact_sync(dagbag: Any) -> Any:
    return dagbag.dags["contact_sync"]


def test_every_file_loads_and_holds_the_dag_that_it_is_named_after(dagbag: Any) -> None:
    assert dagbag.import_errors == {}
    assert set(dagbag.dags) == {name.removesuffix(".py") for name in DAG_FILES}


def test_no_setting_keeps_a_file_from_loading(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """O2: an import error would name no setting, and stop the sync silently."""
    from airflow.dag_processing.dagbag import DagBag

    for name in ("RETRY_DELAY", "TASK_TIMEOUT", "APPROVAL_TIMEOUT", "SCHEDULE", "TIMEZONE", "WRITES"):
        monkeypatch.setenv(f"CONTACT_SYNC_{name}", "15s")
    monkeypatch.setenv("CONTACT_SYNC_SETTINGS_FILE", str(tmp_path / "nowhere.env"))
    assert DagBag(dag_folder=str(ROOT / "dags")).import_errors == {}


def test_every_dag_explains_itself(dagbag: Any) -> None:
    for dag in dagbag.dags.values():
        assert dag.doc_md.startswith("# ")
        assert dag.tags == {"contacts"}
        assert not dag.catchup


def test_every_dag_survives_serialisation(dagbag: Any) -> None:
    from airflow.serialization.serialized_objects import DagSerialization

    for dag in dagbag.dags.values():
        assert json.dumps(DagSerialization.to_dict(dag))


WIRED = {
    "extract_business_central": {"find_work"},
    "find_work": {"sync_profile"},
    "sync_profile": {"report", "list_holds"},
    "list_holds": {"request_approval"},
    "request_approval": {"verdict"},
    "report": {"verdict"},
    "verdict": set(),
}


def downstream(dag: Any) -> dict[str, set[str]]:
    return {task_id: task.downstream_task_ids for task_id, task in dag.task_dict.items()}


def test_the_tasks_of_a_run(contact_sync: Any) -> None:
    planned = {"plan_run": {"extract_business_central", "find_work"}}
    assert downstream(contact_sync) == planned | WIRED
    assert contact_sync.max_active_runs == 3


def test_the_tasks_of_an_approval(dagbag: Any) -> None:
    dag = dagbag.dags["contact_sync_approval"]
    asked = {
        "describe": {"wait_for_person"},
        "wait_for_person": {"decide"},
        "decide": {"extract_business_central", "find_work"},
    }
    assert downstream(dag) == asked | WIRED
    wait = dag.task_dict["wait_for_person"]
    assert (wait.options, wait.defaults) == (["Approve", "Reject"], ["Reject"])
    assert wait.response_timeout.days == 7
    assert not dag.is_paused_upon_creation


def test_housekeeping_runs_daily_and_no_task_waits_for_another(dagbag: Any) -> None:
    dag = dagbag.dags["contact_sync_housekeeping"]
    tasks = ("remove_old", "check_drift", "remove_blocked", "reconcile_groups", "send_weekly_mail")
    assert downstream(dag) == {name: set() for name in tasks}
    assert [single.expression for single in dag.timetable.timetables] == ["30 3 * * *"]
    assert dag.max_active_runs == 1


def test_one_profile_never_stops_another(contact_sync: Any) -> None:
    sync_profile = contact_sync.task_dict["sync_profile"]
    assert sync_profile.is_mapped
    assert sync_profile.trigger_rule == "all_done"
    assert contact_sync.task_dict["find_work"].trigger_rule == "all_done"
    assert sync_profile.partial_kwargs["map_index_template"] == "{{ mailbox }}"
    assert contact_sync.task_dict["extract_business_central"].is_mapped


def test_only_verdict_decides_and_only_report_has_outlets(contact_sync: Any) -> None:
    tasks = contact_sync.task_dict
    assert {name for name, task in tasks.items() if task.outlets} == {"report"}
    assert {outlet.name for outlet in tasks["report"].outlets} == {
        "business_central_contacts",
        "outlook_contacts",
    }
    for name in ("report", "verdict"):
        assert tasks[name].trigger_rule == "all_done"
        assert tasks[name].retries == 0
    assert {name for name, task in tasks.items() if not task.downstream_task_ids} == {"verdict"}


def test_what_may_pass_is_tried_again(dagbag: Any, contact_sync: Any) -> None:
    from contact_sync_airflow import environment, retry

    tasks = [
        contact_sync.task_dict[name] for name in ("plan_run", "extract_business_central", "sync_profile")
    ]
    for task in [*tasks, *dagbag.dags["contact_sync_housekeeping"].tasks]:
        assert task.retries == 2
        assert task.retry_delay == environment.retry_delay()
        assert task.execution_timeout == environment.task_timeout()
        assert isinstance(task.retry_policy, retry.ByErrorType)


def test_scheduled_runs_are_incremental_and_for_all(contact_sync: Any) -> None:
    assert contact_sync.params.dump() == {"mode": "incremental", "profiles": [], "dry_run": False}


@pytest.mark.parametrize(
    "wrong",
    [
        {"mode": "partial"},
        {"mode": None},
        {"profiles": "a@example.com"},
        {"profiles": [""]},
        {"dry_run": "yes"},
    ],
)
def test_the_form_refuses_what_makes_no_sense(contact_sync: Any, wrong: dict[str, Any]) -> None:
    from airflow.sdk.exceptions import ParamValidationError

    params = copy.deepcopy(contact_sync.params)
    for name, value in wrong.items():
        param = params.get_param(name)
        with pytest.raises(ParamValidationError):
            param.resolve(value=value)


def test_every_parameter_has_a_title_and_an_explanation(contact_sync: Any) -> None:
    for name in ("mode", "profiles", "dry_run"):
        schema = contact_sync.params.get_param(name).schema
        assert schema["title"]
        assert len(schema["description_md"]) > 20


#: Parses each file in a process of its own, as Airflow does, behind one import of Airflow.
PARSE = """
import importlib.util, os, sys
import airflow.sdk
from airflow.providers_manager import ProvidersManager
before = set(sys.modules)
for path in sys.argv[1:]:
    if not os.fork():
        spec = importlib.util.spec_from_file_location("dag_file", path)
        spec.loader.exec_module(importlib.util.module_from_spec(spec))
        print(path, *set(sys.modules) - before, flush=True)
        os._exit(0)
    _, code = os.wait()
    assert code == 0, path
"""
#: What takes long to import, or belongs into a task. Each task parses its DAG file again, so that is paid once per
#: mapped task; `python -m tests.benchmarks dag_files` says how long it takes.
HEAVY = {
    "airflow.providers.standard.operators.trigger_dagrun",
    "msal",
    "numpy",
    "pandas",
    "requests",
    "sqlalchemy",
    "sync_lib",
}


@pytest.fixture(scope="module")
def imports() -> dict[str, set[str]]:
    """What parsing each DAG file imports."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "plugins")}
    command = [sys.executable, "-c", PARSE, *(str(ROOT / "dags" / name) for name in DAG_FILES)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    lines = [line.split() for line in done.stdout.splitlines()]
    return {Path(path).name: set(modules) for path, *modules in lines}


@pytest.mark.parametrize("name", DAG_FILES)
def test_parsing_imports_nothing_heavy(imports: dict[str, set[str]], name: str) -> None:
    imported = imports[name]
    assert "contact_sync_airflow.environment" in imported
    assert {module for heavy in HEAVY for module in imported if f"{module}.".startswith(f"{heavy}.")} == set()


def preloads(folder: Path, command: str, *on_path: str) -> bool:
    """Whether a command of Airflow loads pandas by ``airflow_local_settings`` alone."""
    script = folder / "airflow"
    script.write_text("import sys\nimport airflow_local_settings\nprint('pandas' in sys.modules)")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(str(ROOT / name) for name in on_path)}
    line = [sys.executable, str(script), *command.split()]
    done = subprocess.run(line, env=environment, capture_output=True, text=True, check=True)
    return done.stdout.strip() == "True"


def test_the_preload_is_for_those_who_fork_tasks(tmp_path: Path) -> None:
    commands = ("scheduler", "celery worker", "api-server", "dag-processor")
    assert {command: preloads(tmp_path, command, "config", "plugins") for command in commands} == {
        "scheduler": True,
        "celery worker": True,
        "api-server": False,
        "dag-processor": False,
    }


def test_airflow_starts_without_what_is_preloaded(tmp_path: Path) -> None:
    assert not preloads(tmp_path, "scheduler", "config")
