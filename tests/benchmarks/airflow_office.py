"""A real Airflow with LocalExecutor on PostgreSQL, beside a sandbox with an office of profiles that are in step."""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from demo_parts.airflow import FINISHED, AirflowInstance
from demo_parts.postgres import PostgresInstance
from demo_parts.processes import DemoError, free_port, wait_until
from demo_parts.sandbox import SandboxInstance
from sqlalchemy import Engine, create_engine, text

from sync_lib.store.engine import open_engine
from tests.benchmarks import worlds
from tests.benchmarks.measuring import Cost, note
from tests.benchmarks.worlds import Elsewhere

DAG, REFERENCE = "contact_sync", "reference"
#: Contacts of each profile: what a run without a change costs does not depend on them.
EACH = 20
#: A mapped list may be as long as this; the reference has as many tasks as the run that it stands beside.
LONGEST_MAP = 20_000

REFERENCE_DAG = """
from datetime import UTC, datetime

from airflow.sdk import dag, task


@dag(schedule=None, start_date=datetime(2020, 1, 1, tzinfo=UTC), catchup=False, params={"count": 1})
def reference():
    @task
    def numbers(params=None):
        return list(range(params["count"]))

    @task
    def empty(number):
        pass

    empty.expand(number=numbers())


reference()
"""


@dataclass(frozen=True)
class RunCost:
    """What a run of a DAG cost: Airflow's processes together, and how many tasks were started."""

    cost: Cost
    tasks: int
    state: str


@dataclass(frozen=True)
class Office:
    """A world of the sandbox, and the profiles that are in step with it from the start, as a file names them."""

    world: dict[str, Any]
    rows: list[dict[str, Any]]

    @classmethod
    def of(cls, profiles: int) -> Office:
        """Return one in which each contact is in one folder."""
        return cls(worlds.office(profiles * EACH, profiles), worlds.profile_rows(profiles))


class AirflowOffice:
    """Everything that is running; ``open_office`` stops it, however it ends."""

    def __init__(self, home: Path, office: Office, running: ExitStack, **settings: str) -> None:
        self._office = office
        self.sandbox = SandboxInstance(home, free_port())
        running.callback(self.sandbox.program.kill)
        self.sandbox.control("POST", "reset", {"world": office.world})
        self.sandbox.info = self.sandbox.control("GET", "info")
        server = PostgresInstance(home / "postgres")
        running.callback(server.stop)
        self.staging_url = server.url("staging")
        self._bring_in_step()
        self.staging_engine = open_engine(self.staging_url)
        running.callback(self.staging_engine.dispose)
        airflow_url = server.url("airflow")
        self._database: Engine = create_engine(airflow_url)
        running.callback(self._database.dispose)
        self.airflow = AirflowInstance(
            home / "airflow", free_port(), self._settings(home, airflow_url, settings)
        )
        running.callback(self.airflow.stop)
        self.airflow.wait_healthy()
        for dag in (DAG, REFERENCE):
            self.airflow.wait_for_dag(dag)

    def _settings(self, home: Path, airflow_url: str, more: dict[str, str]) -> dict[str, str]:
        folder = home / "dags"
        folder.mkdir()
        (folder / "reference.py").write_text(REFERENCE_DAG)
        kind = "airflow.dag_processing.bundles.local.LocalDagBundle"
        bundles = [
            {"name": "dags-folder", "classpath": kind, "kwargs": {}},
            {"name": "reference", "classpath": kind, "kwargs": {"path": str(folder)}},
        ]
        schedules = ("SCHEDULE", "FULL_SCHEDULE", "HOUSEKEEPING_SCHEDULE")
        return {
            **self.sandbox.connections(),
            **{f"CONTACT_SYNC_{name}": "none" for name in schedules},
            "AIRFLOW_CONN_CONTACT_SYNC_STAGING": self.staging_url,
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": airflow_url,
            "AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST": json.dumps(bundles),
            "AIRFLOW__CORE__MAX_MAP_LENGTH": str(LONGEST_MAP),
            **more,
        }

    @property
    def mailboxes(self) -> list[str]:
        """Those of the profiles that were in step from the start."""
        return [row["mailbox"] for row in self._office.rows]

    def _bring_in_step(self) -> None:
        """Sync all profiles for the first time, in this process: Airflow would take minutes for it."""
        note(f"first sync of {len(self._office.rows)} profiles")
        with self.staging() as sync:
            sync.import_rows(self._office.rows)
            for mode in ("full", "incremental", "incremental"):
                sync.counted(mode)

    @contextmanager
    def staging(self) -> Iterator[worlds.Client]:
        """Yield a sync of this process on the same staging database, for what needs no Airflow."""
        sync = worlds.attach(Elsewhere(self.sandbox), self.staging_url)
        try:
            yield sync
        finally:
            sync.close()

    def run(self, dag: str, **params: Any) -> RunCost:
        """Run a DAG once; return what it cost.

        Raises:
            DemoError: It did not end green, so that its figures mean nothing.
        """
        self.airflow.pause(dag, paused=False)
        used = self.airflow.program.cpu_seconds()
        run = self.airflow.trigger(dag, **params)
        self._wait(dag, run)
        self._wait_reaped()
        cpu = self.airflow.program.cpu_seconds() - used
        [(state, wall)] = self.ask(
            "SELECT state, extract(epoch FROM end_date - queued_at) FROM dag_run WHERE dag_id = :dag AND run_id = :run",
            dag=dag,
            run=run,
        )
        [(tasks,)] = self.ask(
            "SELECT count(*) FROM task_instance WHERE dag_id = :dag AND run_id = :run AND start_date IS NOT NULL",
            dag=dag,
            run=run,
        )
        if state != "success":
            raise DemoError(f"a run of {dag} ended {state}; its logs are in {self.airflow.home / 'logs'}")
        return RunCost(Cost(float(wall), cpu), int(tasks), str(state))

    def _wait(self, dag: str, run: str) -> None:
        def done() -> list[Any]:
            asked = "SELECT count(*) FROM task_instance WHERE dag_id = :dag AND run_id = :run AND end_date IS NOT NULL"
            return self.ask(asked, dag=dag, run=run)

        def finished() -> bool:
            self.airflow.program.require_alive()
            return self.has_ended(dag, run)

        # Whoever asks the database costs Airflow's server nothing.
        wait_until(finished, 600, f"run {run} of {dag} finished", every=0.2, progress=done)

    def has_ended(self, dag: str, run: str) -> bool:
        """Return whether a run has ended, well or not."""
        asked = "SELECT state FROM dag_run WHERE dag_id = :dag AND run_id = :run"
        return any(state in FINISHED for (state,) in self.ask(asked, dag=dag, run=run))

    def _wait_reaped(self) -> None:
        """Wait until the processes of the last tasks are gone, so that what they used has been added up."""
        # Nothing says when: their supervisors end within a second of the run.
        time.sleep(1)

    def ask(self, statement: str, **values: Any) -> list[Any]:
        """Return rows of Airflow's own database."""
        with self._database.connect() as conn:
            return list(conn.execute(text(statement), values))


@contextmanager
def open_office(office: Office, **settings: str) -> Iterator[AirflowOffice]:
    """Yield an Airflow beside an office, all synced, with nothing to do."""
    with ExitStack() as running:
        home = running.enter_context(
            tempfile.TemporaryDirectory(prefix="contact-sync-bench-", ignore_cleanup_errors=True)
        )
        Path(home).chmod(0o711)
        yield AirflowOffice(Path(home), office, running, **settings)
