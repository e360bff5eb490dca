"""O9: what Airflow itself leaves behind is cut by age, by a command that runs outside of its tasks."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import pytest
from demo_parts.airflow import airflow_environment
from demo_parts.processes import free_port

from sync_lib import cli
from sync_lib.errors import ConfigError
from sync_lib.operate.airflow_clean import FEWEST_DAYS, clean, cut_logs
from sync_lib.store import runs
from sync_lib.store.engine import open_engine, read

DAY = 86_400


def log_file(path: Path, modified: float) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x" * 100)
    os.utime(path, (modified, modified))
    return path


def age_folders(folder: Path, modified: float) -> None:
    for path in sorted(folder.rglob("*"), reverse=True):
        if path.is_dir():
            os.utime(path, (modified, modified))


def test_old_logs_go_and_nothing_else(tmp_path):
    """O9: not what is new, no other kind of file, and nothing through a link."""
    outside = log_file(tmp_path / "elsewhere" / "attempt=1.log", 0)
    logs = tmp_path / "logs"
    old = [log_file(logs / "dag_id=x" / f"run_id={n}" / "attempt=1.log", 1_000.0 + n) for n in range(3)]
    rotated = log_file(logs / "scheduler" / "dag.log.1", 1_000.0)
    kept = [log_file(logs / "dag_id=x" / "run_id=9" / "attempt=1.log", 9_000.0)]
    kept.append(log_file(logs / "dag_id=x" / "notes.txt", 1_000.0))
    (logs / "latest").symlink_to(outside.parent)
    age_folders(logs, 1_000.0)
    assert cut_logs(logs, 5_000.0) == (4, 400)
    assert not any(path.exists() for path in (*old, rotated))
    assert all(path.exists() for path in (*kept, outside))
    assert not (logs / "scheduler").exists() or not list((logs / "scheduler").iterdir())


def test_airflow_is_asked_for_what_is_older(tmp_path):
    calls: list[list[str]] = []

    def call(arguments):
        calls.append(list(arguments))
        return f"a warning\n{tmp_path}\n"

    cleaned = clean(20, 24.0, now=datetime(2026, 3, 21, tzinfo=UTC), call=call)
    assert calls[0][:4] == ["db", "clean", "--clean-before-timestamp", "2026-03-01 00:00:00+00:00"]
    assert {"--skip-archive", "--yes", "--error-on-cleanup-failure"} <= set(calls[0])
    assert (cleaned.before, cleaned.files) == (datetime(2026, 3, 1, tzinfo=UTC), 0)
    assert [Path(calls[2][0]).name, *calls[2][1:]] == ["quiet_runs.py", "24"]


def test_the_logs_of_runs_without_work_go_with_them(tmp_path):
    logs = tmp_path / "dag_id=contact_sync"
    files = [
        log_file(logs / f"run_id={run}" / "task_id=find_work" / "attempt=1.log", 2e9) for run in ("a", "b")
    ]

    def call(arguments):
        return "removed a\n" if arguments[0].endswith(".py") else f"{tmp_path}\n"

    cleaned = clean(20, 24.0, now=datetime(2026, 3, 21, tzinfo=UTC), call=call)
    assert (cleaned.quiet_runs, [path.exists() for path in files]) == (1, [False, True])


def test_a_run_that_waits_for_a_person_is_not_forgotten():
    with pytest.raises(ConfigError, match=f"at least {FEWEST_DAYS} are kept"):
        clean(FEWEST_DAYS - 1, 24.0, call=lambda _arguments: "")


def test_what_fails_is_said(monkeypatch, tmp_path, capsys, new_database):
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    monkeypatch.setenv("PATH", str(tmp_path))
    environment = {cli.URL_VARIABLE: new_database("sqlite")}
    assert cli.main(["airflow-clean"], environment) == 1
    assert "no command airflow" in capsys.readouterr().err
    program = tmp_path / "airflow"
    program.write_text("#!/bin/sh\necho the reason >&2\nexit 3\n")
    program.chmod(0o755)
    assert cli.main(["airflow-clean"], environment) == 1
    assert "airflow db clean failed:\nthe reason" in capsys.readouterr().err
    for days in ("0", "1", "999999999999"):
        assert cli.main(["airflow-clean", "--days", days], environment) == 1
        assert f"--days is {days}" in capsys.readouterr().err


#: Run -> hours since it ended, its type, its state, and the place of a mapped task, if there was one.
DAG_RUNS = {
    "quiet": (30, "scheduled", "success", None),
    "worked": (30, "scheduled", "success", 0),
    "failed": (30, "scheduled", "failed", None),
    "manual": (30, "manual", "success", None),
    "young": (3, "scheduled", "success", None),
    "newest": (1, "scheduled", "success", None),
}


def add_runs(database: sqlite3.Connection, now: float) -> None:
    """Runs of the sync as the scheduler leaves them; a mapped task without anything to map is skipped, as -1."""
    for run, (hours, kind, state, place) in DAG_RUNS.items():
        at = datetime.fromtimestamp(now - hours * 3600, UTC).strftime("%Y-%m-%d %H:%M:%S.000000")
        columns = "dag_id, run_id, run_type, run_after, start_date, end_date, state"
        values = ("contact_sync", run, kind, at, at, at, state)
        database.execute(f"INSERT INTO dag_run ({columns}) VALUES (?, ?, ?, ?, ?, ?, ?)", values)
        for task, index in (("find_work", -1), ("sync_profile", -1 if place is None else place)):
            columns = "id, dag_id, run_id, task_id, map_index, try_number, pool, pool_slots"
            row = (uuid4().hex, "contact_sync", run, task, index, 1, "default_pool", 1)
            database.execute(f"INSERT INTO task_instance ({columns}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)", row)


@pytest.mark.airflow
def test_a_real_airflow_is_cleaned(tmp_path, new_database):
    """O9: an old run goes from its database and its logs, a new one stays; staging says when that was."""
    home, url = tmp_path / "airflow", new_database("sqlite")
    environment = {
        **airflow_environment(home, free_port()),
        cli.URL_VARIABLE: url,
        "CONTACT_SYNC_AIRFLOW_DAYS": "30",
    }
    home.mkdir()
    airflow = [str(Path(sys.executable).parent / "airflow")]
    subprocess.run([*airflow, "db", "migrate"], env=environment, check=True, capture_output=True)
    now = datetime.now(UTC).timestamp()
    with sqlite3.connect(home / "airflow.db") as database:
        add_runs(database, now)
    with sqlite3.connect(home / "airflow.db") as database:
        for key, days in (("old", 40), ("new", 3)):
            at = datetime.fromtimestamp(now - days * DAY, UTC).strftime("%Y-%m-%d %H:%M:%S.000000")
            database.execute("INSERT INTO log (dttm, event, dag_id) VALUES (?, ?, 'contact_sync')", (at, key))
            log_file(home / "logs" / f"run_id={key}" / "attempt=1.log", now - days * DAY)
    done = subprocess.run(
        [sys.executable, "-m", "sync_lib.cli", "airflow-clean"],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "older than 30 days went (1 log files" in done.stdout
    assert "1 runs without work that ended more than 24 hours ago" in done.stdout
    with sqlite3.connect(home / "airflow.db") as database:
        assert database.execute("SELECT event FROM log WHERE dag_id = 'contact_sync'").fetchall() == [
            ("new",)
        ]
        left = database.execute("SELECT run_id FROM dag_run ORDER BY run_id").fetchall()
        assert left == [("failed",), ("manual",), ("newest",), ("worked",), ("young",)]
        tasks = database.execute("SELECT DISTINCT run_id FROM task_instance").fetchall()
        assert sorted(tasks) == left
    assert [path.parent.name for path in (home / "logs").rglob("attempt=1.log")] == ["run_id=new"]
    engine = open_engine(url)
    with read(engine) as conn:
        assert runs.read_fact(conn, "airflow", "cleaned_at")
    engine.dispose()
