"""One sandbox and one real Airflow, started as scripts/demo starts them, and what tests do with them."""

from __future__ import annotations

import io
import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, redirect_stderr, redirect_stdout
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from demo_parts import staging
from demo_parts.airflow import FINISHED, AirflowInstance
from demo_parts.processes import DemoError, free_port, wait_until
from demo_parts.sandbox import SandboxInstance
from sqlalchemy import Connection, delete, select, update

from sync_lib import cli
from sync_lib.store import tables
from sync_lib.store.engine import open_engine
from tests import receivers

DAG = "contact_sync"


class WatchedAirflow(AirflowInstance):
    """An Airflow whose runs are waited for at its database: that costs its server nothing, and is noticed at once."""

    def wait_for_run(self, dag_id: str, run_id: str, seconds: float = 600) -> str:
        with closing(sqlite3.connect(f"file:{self.home}/airflow.db?mode=ro", uri=True, timeout=60)) as kept:
            which = (dag_id, run_id)

            def states() -> list[tuple[str, str]]:
                asked = "SELECT task_id, map_index, state FROM task_instance WHERE dag_id = ? AND run_id = ?"
                return kept.execute(asked, which).fetchall()

            def finished() -> bool:
                self.program.require_alive()
                asked = "SELECT state FROM dag_run WHERE dag_id = ? AND run_id = ?"
                return any(state in FINISHED for (state,) in kept.execute(asked, which))

            wait_until(finished, seconds, f"run {run_id} finished", every=0.1, progress=states)
        return super().wait_for_run(dag_id, run_id, seconds)


class Stage:
    """Everything that is running, and short words for what the tests do with it."""

    def __init__(self, home: Path, messages: receivers.Webhook) -> None:
        self.home = home
        self.messages = messages
        self.sandbox_port = free_port()
        self.sandbox = SandboxInstance(home, self.sandbox_port)
        self.staging_url = f"sqlite:///{home}/staging.db"
        self.settings = home / "contact_sync.env"
        self._schedule("none")
        settings = {
            **self.sandbox.connections(),
            "AIRFLOW_CONN_CONTACT_SYNC_STAGING": self.staging_url,
            "CONTACT_SYNC_SETTINGS_FILE": str(self.settings),
            "AIRFLOW_CONN_NOTIFIED": json.dumps(
                {"conn_type": "contact_sync_webhook", "password": messages.url}
            ),
            "CONTACT_SYNC_NOTIFY": "notified",
            "CONTACT_SYNC_RETRY_DELAY": "1",
            # How long a request waits for a service that is away, before Airflow's own retries.
            "CONTACT_SYNC_RETRY_CAP": "2",
            # The DAG files stay as they are, but for the schedule that one test sets.
            "AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "600",
        }
        self.airflow = WatchedAirflow(home / "airflow", free_port(), settings)

    def _schedule(self, cron: str) -> None:
        crons = {"": cron, "FULL_": "none", "HOUSEKEEPING_": "none"}
        lines = (f"CONTACT_SYNC_{which}SCHEDULE={each}\n" for which, each in crons.items())
        self.settings.write_text("".join(lines))

    def wait(self) -> None:
        self.airflow.wait_healthy()
        for dag in (DAG, "contact_sync_check", "contact_sync_housekeeping"):
            self.airflow.wait_for_dag(dag)
            self.airflow.pause(dag, paused=False)

    def schedule_daily(self) -> None:
        """Give the DAG the schedule that a backfill needs; its last slot, which was missed, runs at once."""
        far = (datetime.now(UTC).hour + 12) % 24
        self._schedule(f"0 {far} * * *")
        self.airflow.parse_again(DAG)

        def started() -> list[str]:
            runs = self.airflow.get(f"dags/{DAG}/dagRuns", run_type="scheduled")["dag_runs"]
            return [run["dag_run_id"] for run in runs]

        wait_until(lambda: bool(started()), 120, "the missed slot started", every=1)
        for run in started():
            self.airflow.wait_for_run(DAG, run)

    def make_backfill(self, body: dict[str, Any]) -> None:
        """Make a backfill; the API server may know the DAG's new schedule a little later than the scheduler.

        Where SQLite is busy, Airflow takes back what it has made, and asks to try again.

        The DAG is paused meanwhile: the API server makes the runs and then their task instances, and a scheduler that
        takes up a run in between makes the same ones, and ends (ObjectDeletedError in ``DagRun.update_state``).
        """

        def made() -> bool:
            try:
                self.airflow.call("POST", "backfills", json=body)
            except DemoError as error:
                if not any(passing in str(error) for passing in ("non-periodic", "Database is locked")):
                    raise
                return False
            return True

        self.airflow.pause(DAG, paused=True)
        try:
            wait_until(made, 120, "the API server knew the schedule", every=2)
        finally:
            self.airflow.pause(DAG, paused=False)

    def wait_for_backfills(self) -> None:
        """Airflow takes a further backfill of a DAG only when it has seen the end of the one before."""

        def all_ended() -> bool:
            return all(
                backfill["completed_at"]
                for backfill in self.airflow.get("backfills", dag_id=DAG)["backfills"]
            )

        wait_until(all_ended, 180, "backfill ended", every=1)

    def command(self, *arguments: str) -> str:
        """Return what ``contact-sync`` prints."""
        out, err = io.StringIO(), io.StringIO()
        with redirect_stdout(out), redirect_stderr(err):
            code = cli.main(arguments, self.airflow.environment)
        assert code == 0, out.getvalue() + err.getvalue()
        return out.getvalue()

    def import_profiles(self, profiles: list[dict[str, Any]]) -> None:
        path = self.home / "profiles.yaml"
        path.write_text(yaml.safe_dump({"profiles": profiles}, allow_unicode=True))
        self.command("profiles", "import", str(path))

    def sync(self, *, sandbox_is_up: bool = True, **params: Any) -> str:
        """Run the DAG by hand and return the run's id; the test looks at its state."""
        if sandbox_is_up:
            self.sandbox.control("POST", "counters/reset")
        run = self.airflow.trigger(DAG, **params)
        self.airflow.wait_for_run(DAG, run)
        return run

    def state(self, run: str, dag: str = DAG) -> str:
        return self.airflow.run_state(dag, run)

    def results(self, run: str) -> dict[str, Any]:
        """Return what became of each profile of a run, by mailbox."""
        return {result.mailbox: result for result in staging.profile_results(self.staging_url, run)}

    def logs(self, run: str, dag: str = DAG) -> dict[str, str]:
        """Return the logs of all tasks and tries of a run."""
        found = {}
        for task in self.airflow.tasks(dag, run):
            for number in range(1, task["try_number"] + 1):
                name = f"{task['task_id']}/{task['map_index']}/{number}"
                index = task["map_index"]
                found[name] = self.airflow.log(dag, run, task["task_id"], map_index=index, try_number=number)
        return found

    @contextmanager
    def staged(self) -> Iterator[Connection]:
        """Yield a transaction on the staging database."""
        engine = open_engine(self.staging_url)
        with engine.begin() as conn:
            yield conn
        engine.dispose()

    def recorded(self, run: str) -> tuple[str, str]:
        """Return the mode and the state of a run, as the sync wrote them down."""
        with self.staged() as conn:
            wanted = select(tables.sync_run.c.mode, tables.sync_run.c.state).where(
                tables.sync_run.c.id == run
            )
            mode, state = conn.execute(wanted).one()
            return mode, state

    def break_filter(self, folder: str) -> None:
        """Put a filter past the check that refuses it when it is saved."""
        profile = tables.sync_profile
        with self.staged() as conn:
            wrong = json.dumps([["City", "=(("]])
            conn.execute(update(profile).where(profile.c.folder_name == folder).values(filter=wrong))

    def retire(self, mailbox: str, folder: str) -> None:
        """Take a profile out of all further runs, and fix its filter."""
        profile = tables.sync_profile.c
        with self.staged() as conn:
            which = (profile.mailbox == mailbox) & (profile.folder_name == folder)
            conn.execute(update(tables.sync_profile).where(which).values(enabled=False, filter="[]"))

    def forget_everything(self) -> None:
        """Lose what the staging database holds."""
        with self.staged() as conn:
            for table in reversed(tables.metadata.sorted_tables):
                conn.execute(delete(table))

    def stop(self) -> None:
        self.airflow.stop()
        self.sandbox.stop()


@pytest.fixture(scope="session")
def starting_stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """The stage from its start on: Airflow takes half a minute until it answers, and other tests can run meanwhile."""
    with receivers.webhook() as messages:
        starting = Stage(tmp_path_factory.mktemp("stage"), messages)
        yield starting
        starting.stop()
