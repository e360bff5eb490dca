"""A whole Airflow on this machine, and its REST API: what the demo shows and the end-to-end tests drive."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

import requests

from demo_parts.processes import (
    LOOPBACK,
    ROOT,
    DemoError,
    Program,
    airflow_free_environment,
    free_port,
    wait_until,
)

FINISHED = ("success", "failed")
ADMIN = "admin"  # the user whom the simple auth manager has by default, and whose login calls the REST API
ATTEMPTS = 5  # for a reading call that gets no answer in a minute
BUSY_SECONDS = 45  # for which a process of Airflow waits for another one's transaction on SQLite


def shared_settings() -> dict[str, str]:
    """Return Airflow's settings that the demo and docker compose have in common."""
    lines = (ROOT / "config" / "airflow.env").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


def airflow_environment(home: Path, port: int) -> dict[str, str]:
    """Return the environment that every Airflow process of this instance runs in."""
    return {
        **airflow_free_environment(),
        **shared_settings(),
        # `airflow standalone` starts its parts by the bare name.
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}",
        # Airflow looks here for airflow_local_settings.
        "PYTHONPATH": str(ROOT / "config"),
        "PYTHONUNBUFFERED": "1",
        "NO_COLOR": "1",
        "AIRFLOW__CORE__TEST_CONNECTION": "Enabled",
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__DAGS_FOLDER": str(ROOT / "dags"),
        "AIRFLOW__CORE__PLUGINS_FOLDER": str(ROOT / "plugins"),
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"http://{LOOPBACK}:{port}/execution/",
        "AIRFLOW__API__HOST": LOOPBACK,
        "AIRFLOW__API__PORT": str(port),
        "AIRFLOW__API__BASE_URL": f"http://localhost:{port}",
        "AIRFLOW__LOGGING__WORKER_LOG_SERVER_PORT": str(free_port()),
        "AIRFLOW__LOGGING__TRIGGER_LOG_SERVER_PORT": str(free_port()),
        # A run has six steps one after the other, and the scheduler looks for the next one only so often.
        "AIRFLOW__SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": "0.2",
        # Its processes write one at a time; by default a busy file is given up on after 5 seconds, with an error 500.
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home}/airflow.db?timeout={BUSY_SECONDS}",
        # Standalone uses the simple auth manager, so the tables of the other one are not needed.
        "AIRFLOW__DATABASE__EXTERNAL_DB_MANAGERS": "",
    }


class AirflowInstance:
    """`airflow standalone` with a home of its own.

    Args:
        home: Folder for everything that this instance writes. It may hold what an earlier one left.
        port: Of the UI and the REST API.
        settings: Environment variables on top of ``airflow_environment``: Connections, schedules, a database.
    """

    def __init__(self, home: Path, port: int, settings: Mapping[str, str]) -> None:
        self.home = home
        self.url = f"http://localhost:{port}"
        self.environment = {**airflow_environment(home, port), **settings}
        self._session = requests.Session()
        self._session.trust_env = False
        self._token_until = 0.0
        home.mkdir(parents=True, exist_ok=True)
        self.program = self._start()

    def _start(self) -> Program:
        """Start Airflow, and return what has to stay alive."""
        return self._part("Airflow", "standalone")

    def _part(self, name: str, *words: str) -> Program:
        """Start a program of Airflow, with a log of its own."""
        command = [str(Path(sys.executable).parent / "airflow"), *words]
        return Program(name, command, self.home / f"{'-'.join(words[:2])}.log", self.environment)

    def wait_healthy(self, seconds: float = 180) -> None:
        """Wait until scheduler, DAG processor and API answer."""
        self.program.wait_ready(self._is_healthy, seconds)

    def _is_healthy(self) -> bool:
        try:
            health = self._session.get(f"{self.url}/api/v2/monitor/health", timeout=10).json()
        except (requests.RequestException, ValueError):
            return False
        return all(
            health[part]["status"] == "healthy" for part in ("metadatabase", "scheduler", "dag_processor")
        )

    def wait_for_dag(self, dag_id: str, seconds: float = 90) -> None:
        """Wait until the DAG file has been parsed, and fail with its import error when there is one."""

        def parsed() -> bool:
            errors = self.get("importErrors")["import_errors"]
            if errors:
                raise DemoError(f"{errors[0]['filename']}:\n{errors[0]['stack_trace']}")
            return dag_id in {
                dag["dag_id"] for dag in self.get("dags", exclude_stale="true", limit="100")["dags"]
            }

        wait_until(parsed, seconds, f"DAG {dag_id} parsed", every=0.5, progress=self._written)

    def parse_again(self, dag_id: str) -> None:
        """Have the file of a DAG parsed now, whatever the interval."""
        self.call("PUT", f"parseDagFile/{self.get(f'dags/{dag_id}')['file_token']}")

    @property
    def login(self) -> tuple[str, str]:
        """The name and the generated password of the administrator."""
        return ADMIN, self.password(ADMIN)

    def password(self, name: str) -> str:
        """Return the password that Airflow generated for one of its users."""
        generated = self.home / "simple_auth_manager_passwords.json.generated"
        return str(json.loads(generated.read_text())[name])

    def get(self, path: str, **query: str) -> Any:
        """Return the answer of a reading call of the REST API."""
        return self.call("GET", path, params=query)

    def call(self, method: str, path: str, **arguments: Any) -> Any:
        """Return the answer of any call of the REST API. On a slow machine a reading one is made again.

        Raises:
            DemoError: Airflow refused it, or did not answer.
        """
        for left in reversed(range(ATTEMPTS if method == "GET" else 1)):
            try:
                answer = self._send(method, path, arguments)
            except requests.RequestException as error:
                self.program.require_alive()
                if not left:
                    said = f"Airflow did not answer {method} {path} ({type(error).__name__})."
                    raise DemoError(
                        f"{said} Is this machine very slow? Its output is in {self.program.log}."
                    ) from None
            else:
                break
        if not answer.ok:
            raise DemoError(f"Airflow refused {method} {path}: {answer.status_code} {answer.text[:500]}")
        return answer.json() if answer.content else None

    def _send(self, method: str, path: str, arguments: dict[str, Any]) -> requests.Response:
        if time.monotonic() > self._token_until:
            name, password = self.login
            login = {"username": name, "password": password}
            answer = self._session.post(f"{self.url}/auth/token", json=login, timeout=60)
            answer.raise_for_status()
            self._session.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"
            self._token_until = time.monotonic() + 600
        return self._session.request(method, f"{self.url}/api/v2/{path}", timeout=60, **arguments)

    def _written(self) -> int:
        return self.program.log.stat().st_size

    def pause(self, dag_id: str, *, paused: bool) -> None:
        """Switch a DAG off or on; a run that is triggered while it is off stays queued."""
        self.call("PATCH", f"dags/{dag_id}", json={"is_paused": paused})

    def trigger(self, dag_id: str, **params: Any) -> str:
        """Start a run by hand and return its id."""
        body = {"logical_date": None, "conf": params}
        return str(self.call("POST", f"dags/{dag_id}/dagRuns", json=body)["dag_run_id"])

    def run_state(self, dag_id: str, run_id: str) -> str:
        """Return the state of a run."""
        return str(self.get(f"dags/{dag_id}/dagRuns/{quote(run_id, safe='')}")["state"])

    def wait_for_run(self, dag_id: str, run_id: str, seconds: float = 600) -> str:
        """Return the final state of a run."""

        def finished() -> bool:
            self.program.require_alive()
            return self.run_state(dag_id, run_id) in FINISHED

        def states() -> list[tuple[str, str]]:
            return [(task["id"], str(task["state"])) for task in self.tasks(dag_id, run_id)]

        wait_until(finished, seconds, f"run {run_id} finished", every=0.5, progress=states)
        return self.run_state(dag_id, run_id)

    def tasks(self, dag_id: str, run_id: str) -> list[dict[str, Any]]:
        """Return the task instances of a run, mapped ones included."""
        path = f"dags/{dag_id}/dagRuns/{quote(run_id, safe='')}/taskInstances"
        return list(self.get(path, limit="500")["task_instances"])

    def log(self, dag_id: str, run_id: str, task_id: str, *, map_index: int = -1, try_number: int = 1) -> str:
        """Return the messages of a task's log, one a line."""
        path = f"dags/{dag_id}/dagRuns/{quote(run_id, safe='')}/taskInstances/{task_id}/logs/{try_number}"
        events = self.get(path, map_index=str(map_index), full_content="true")["content"]
        return "\n".join(_message(event) for event in events)

    def stop(self) -> None:
        """Stop all of it."""
        self.program.stop()


def _message(event: Any) -> str:
    """Return one line of a log with what the error behind it says."""
    if not isinstance(event, dict):
        return str(event)
    causes = [f"{error['exc_type']}: {error['exc_value']}" for error in event.get("error_detail") or []]
    return "\n".join([str(event.get("event", "")), *causes])
