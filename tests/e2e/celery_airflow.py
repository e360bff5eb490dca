"""Airflow in the parts that a cluster has: CeleryExecutor, Redis, PostgreSQL, and workers that can be killed."""

from __future__ import annotations

import base64
import secrets
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from demo_parts.airflow import AirflowInstance
from demo_parts.processes import (
    LOOPBACK,
    ROOT,
    DemoError,
    Program,
    airflow_free_environment,
    free_port,
    wait_until,
)

#: Tasks that each worker runs at a time.
CONCURRENCY = 4


class Redis:
    """A Redis of our own on the loopback address: it keeps nothing."""

    def __init__(self, home: Path) -> None:
        program = shutil.which("redis-server")
        if program is None:
            raise DemoError(
                "There is no redis-server on this machine. On Debian or Ubuntu: apt-get install redis-server"
            )
        self.port = free_port()
        self._password = secrets.token_hex(16)
        home.mkdir(parents=True, exist_ok=True)
        config = home / "redis.conf"
        config.touch(0o600)
        # In a file: on the command line each list of processes would show the password.
        lines = [
            f"port {self.port}",
            f"bind {LOOPBACK}",
            f"requirepass {self._password}",
            'save ""',
            f"dir {home}",
        ]
        config.write_text("\n".join(lines) + "\n")
        self.program = Program("Redis", [program, config], home / "redis.log", airflow_free_environment())
        self.program.wait_ready(lambda: "Ready to accept connections" in self.program.tail(), 30)

    @property
    def url(self) -> str:
        """Where it is, for Celery."""
        return f"redis://:{self._password}@{LOOPBACK}:{self.port}/0"

    def stop(self) -> None:
        """Stop it."""
        self.program.stop()


class CeleryAirflow(AirflowInstance):
    """Airflow with CeleryExecutor: API server, scheduler, DAG processor and some workers, each a program of its own.

    Args:
        home: Folder for everything that it writes.
        port: Of the UI and the REST API.
        settings: Environment variables on top of the demo's.
        broker: Address of Redis.
        database: SQLAlchemy URL of Airflow's database, on PostgreSQL.
    """

    def __init__(
        self, home: Path, port: int, settings: Mapping[str, str], *, broker: str, database: str
    ) -> None:
        self._parts: list[Program] = []
        self.workers: dict[str, Program] = {}
        cluster = {
            "AIRFLOW__CORE__EXECUTOR": "CeleryExecutor",
            "AIRFLOW__CORE__AUTH_MANAGER": (
                "airflow.api_fastapi.auth.managers.simple.simple_auth_manager.SimpleAuthManager"
            ),
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": database,
            "AIRFLOW__CELERY__BROKER_URL": broker,
            "AIRFLOW__CELERY__RESULT_BACKEND": f"db+{database}",
            # All parts have to know the same secrets.
            "AIRFLOW__CORE__FERNET_KEY": base64.urlsafe_b64encode(secrets.token_bytes(32)).decode(),
            "AIRFLOW__API__SECRET_KEY": secrets.token_hex(32),
            "AIRFLOW__API_AUTH__JWT_SECRET": secrets.token_hex(32),
            # What a worker had taken and not begun when it died waits for this.
            "AIRFLOW__SCHEDULER__TASK_QUEUED_TIMEOUT": "120",
        }
        super().__init__(home, port, {**settings, **cluster})

    def _start(self) -> Program:
        command = [str(Path(sys.executable).parent / "airflow"), "db", "migrate"]
        done = subprocess.run(
            command, cwd=ROOT, env=self.environment, capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise DemoError(f"airflow db migrate failed:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
        server = self._part("The API server", "api-server")
        self._parts = [
            server,
            self._part("The scheduler", "scheduler"),
            self._part("The DAG processor", "dag-processor"),
        ]
        return server

    def start_worker(self, name: str) -> None:
        """Start a worker; wait until it takes tasks."""
        words = ["celery", "worker", "--celery-hostname", f"{name}@%h", "--concurrency", str(CONCURRENCY)]
        own = ["--pid", str(self.home / f"{name}.pid"), "--skip-serve-logs", "--without-gossip"]
        command = [str(Path(sys.executable).parent / "airflow"), *words, *own]
        worker = Program(f"The worker {name}", command, self.home / f"worker-{name}.log", self.environment)
        self.workers[name] = worker
        worker.wait_ready(lambda: " ready." in worker.log.read_text(errors="replace"), 120)

    def kill_worker(self, name: str) -> None:
        """End a worker and all that it has started at once, as a crash of its machine would."""
        self.workers.pop(name).kill()

    def require_alive(self) -> None:
        """Raise when a part or a worker has stopped by itself."""
        for program in (*self._parts, *self.workers.values()):
            program.require_alive()

    def stop(self) -> None:
        """Stop all of it."""
        # The workers first: what they run reports to the API server.
        for program in (*self.workers.values(), *reversed(self._parts)):
            program.stop()
        wait_until(lambda: not self._alive(), 30, "Airflow stopped")

    def _alive(self) -> list[Program]:
        return [program for program in self._parts if program.ended() is None]
