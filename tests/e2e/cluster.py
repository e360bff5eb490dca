"""Two Celery workers, one of which is killed in the middle of a run: does everything end as it should?

    scripts/cluster [--profiles 200] [--people 26] [--keep]

Starts the sandbox, PostgreSQL, Redis, and Airflow with CeleryExecutor and two workers. All profiles are synced once;
then users add contacts on both sides, and a run begins. When profiles run on both workers and some mailbox has a part
of its new contacts, one worker is killed with all its processes (SIGKILL). Business Central refuses one request
meanwhile, with a ``Retry-After``: no worker may ask it anything until that is over. What is held at the end is judged
by the sandbox's own state and counters; nothing of the sync is asked for that.

Prints PASS or FAIL for each, with figures. The exit code is 0 when nothing failed.
"""

from __future__ import annotations

import argparse
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
# Pytest finds them by its settings; a program of its own has to load them.
for _folder in (str(ROOT / "scripts"), str(ROOT)):
    if _folder not in sys.path:
        sys.path.insert(0, _folder)

import requests  # noqa: E402
from demo_parts.airflow import FINISHED  # noqa: E402
from demo_parts.postgres import PostgresInstance  # noqa: E402
from demo_parts.processes import DemoError, free_port, wait_until  # noqa: E402
from demo_parts.sandbox import SandboxInstance  # noqa: E402
from sqlalchemy import create_engine, text  # noqa: E402

from tests.e2e.celery_airflow import CONCURRENCY, CeleryAirflow, Redis  # noqa: E402
from tests.e2e.database_away import DAG, Office, say  # noqa: E402

WORKERS = ("one", "two")
#: Of each operation: with it a profile has a middle, and requests of several workers meet.
GRAPH_LATENCY_MS, BC_LATENCY_MS = 500, 200
#: Business Central's and Outlook's documented limits.
BC_AT_A_TIME, MAILBOX_AT_A_TIME = 5, 4
#: Seconds that the refused request names, and the part of them in which nothing may come: what was on its way when it
#: was refused is answered by then, and clocks are not exact.
RETRY_AFTER, SETTLED, BEFORE_END = 10, 2.0, 1.0


# -- what is judged: figures in, verdicts out ------------------------------------------------------------------------


@dataclass(frozen=True)
class Verdict:
    """Whether something is as it should be, and by which figures."""

    what: str
    good: bool
    figures: str

    def line(self) -> str:
        """Return it for the terminal."""
        return f"{'PASS' if self.good else 'FAIL'} {self.what}: {self.figures}"


@dataclass
class Pause:
    """What Business Central was asked after it had said ``Retry-After``, by its own counters over time."""

    seconds: float
    refused_at: float | None = None
    #: Moment -> requests of the app that were answered until then.
    seen: list[tuple[float, int]] = field(default_factory=list)

    def within(self) -> int | None:
        """Return how many requests were answered during the pause; None if it never came, or was not watched."""
        if self.refused_at is None:
            return None
        begin, end = self.refused_at + SETTLED, self.refused_at + self.seconds - BEFORE_END
        inside = [count for moment, count in self.seen if begin <= moment <= end]
        return inside[-1] - inside[0] if len(inside) > 1 else None

    def behind(self) -> int:
        """Return how many were answered after it: without any, nobody wanted anything, and the pause shows nothing."""
        if self.refused_at is None:
            return 0
        until = [count for moment, count in self.seen if moment <= self.refused_at + self.seconds]
        return self.seen[-1][1] - until[-1] if until else 0

    def verdict(self) -> Verdict:
        """Return whether all workers waited."""
        within, behind = self.within(), self.behind()
        return Verdict(
            "a Retry-After of Business Central slows all workers",
            within == 0 and behind > 0,
            f"{within} requests in the {self.seconds:g} seconds of the pause, {behind} behind it",
        )


def of_limits(counted: dict[str, Any], injected: int) -> list[Verdict]:
    """Return whether both services' limits were held, over all workers together."""
    bc, graph = counted["bc"], counted["graph"]
    most = max((box["most_in_flight"] for box in graph["mailboxes"].values()), default=0)
    refused = bc["refusals"] + graph["refusals"]
    return [
        Verdict(
            f"at most {BC_AT_A_TIME} requests in flight to Business Central",
            1 < bc["most_requests_in_flight"] <= BC_AT_A_TIME,
            f"{bc['most_requests_in_flight']} of {bc['requests']} requests",
        ),
        Verdict(
            f"at most {MAILBOX_AT_A_TIME} in flight to a mailbox",
            0 < most <= MAILBOX_AT_A_TIME,
            f"{most} of {graph['operations']} operations",
        ),
        Verdict(
            "no request refused but those that were to be",
            refused == injected > 0,
            f"{refused} answers 429, {injected} injected",
        ),
    ]


def of_kill(running: int, half: int, again: int) -> Verdict:
    """Return whether the worker was killed in the middle of something, and others went on with it."""
    return Verdict(
        "a worker was killed in the middle",
        running > 0 and half > 0 and again > 0,
        f"{running} profiles ran, {half} mailboxes had a part of their contacts; {again} tasks were tried again",
    )


def of_state(when: str, problems: Sequence[str]) -> Verdict:
    """Return whether both sides hold what was put into them, each once."""
    shown = "; ".join(problems[:3]) + (f"; and {len(problems) - 3} more" if len(problems) > 3 else "")
    return Verdict(f"both sides agree and nothing is doubled, {when}", not problems, shown or "no difference")


# -- what runs -------------------------------------------------------------------------------------------------------


class Cluster:
    """Everything that runs; ``running`` stops it, however it ends."""

    def __init__(self, home: Path, office: Office, running: ExitStack) -> None:
        self.home, self.office = home, office
        self.sandbox = SandboxInstance(home, free_port())
        running.callback(self.sandbox.program.kill)
        self.sandbox.control("POST", "reset", {"world": office.world()})
        self.sandbox.info = self.sandbox.control("GET", "info")
        server = PostgresInstance(home / "postgres")
        running.callback(server.stop)
        redis = Redis(home / "redis")
        running.callback(redis.stop)
        url = server.url("airflow")
        self._database = create_engine(url)
        running.callback(self._database.dispose)
        schedules = ("SCHEDULE", "FULL_SCHEDULE", "HOUSEKEEPING_SCHEDULE")
        settings = {
            **self.sandbox.connections(),
            **{f"CONTACT_SYNC_{name}": "none" for name in schedules},
            "AIRFLOW_CONN_CONTACT_SYNC_STAGING": server.url("staging"),
            # Both workers have as much to do as they can take.
            "AIRFLOW__CORE__PARALLELISM": str(len(WORKERS) * CONCURRENCY),
        }
        self.airflow = CeleryAirflow(home / "airflow", free_port(), settings, broker=redis.url, database=url)
        running.callback(self.airflow.stop)
        office.import_profiles(home, self.airflow.environment)
        self.airflow.wait_healthy()
        for name in WORKERS:
            self.airflow.start_worker(name)
        self.airflow.wait_for_dag(DAG)
        self.airflow.pause(DAG, paused=False)

    def ask(self, statement: str, **values: Any) -> list[Any]:
        """Return rows of Airflow's own database: that costs its server nothing."""
        with self._database.connect() as conn:
            return list(conn.execute(text(statement), values))

    def states(self, run: str) -> Counter[str]:
        """Return how many tasks of profiles are in which state."""
        asked = (
            "SELECT state, count(*) FROM task_instance "
            "WHERE dag_id = :dag AND run_id = :run AND task_id = 'sync_profile' GROUP BY state"
        )
        return Counter({str(state): count for state, count in self.ask(asked, dag=DAG, run=run)})

    def tried_again(self, run: str) -> int:
        """Return how many tasks of a run had more than one try."""
        asked = "SELECT count(*) FROM task_instance WHERE dag_id = :dag AND run_id = :run AND try_number > 1"
        [(count,)] = self.ask(asked, dag=DAG, run=run)
        return int(count)

    def wait(self, run: str) -> tuple[str, float]:
        """Return the state of a run that has ended, and how long it took."""
        took = "extract(epoch FROM end_date - queued_at)"
        asked = f"SELECT state, {took} FROM dag_run WHERE dag_id = :dag AND run_id = :run"

        def finished() -> bool:
            self.airflow.require_alive()
            return self.ask(asked, dag=DAG, run=run)[0][0] in FINISHED

        wait_until(finished, 900, f"run {run} finished", every=0.5, progress=lambda: self.states(run))
        [(state, seconds)] = self.ask(asked, dag=DAG, run=run)
        return str(state), float(seconds)

    def run(self, mode: str) -> Verdict:
        """Run the sync once to its end."""
        self.sandbox.control("POST", "counters/reset")
        state, took = self.wait(self.airflow.trigger(DAG, mode=mode))
        return Verdict(f"a {mode} run ends green", state == "success", f"{state} after {took:.0f} s")

    def latency(self, graph: int, bc: int) -> None:
        """Let both services take so many milliseconds for each operation."""
        self.sandbox.control("POST", "switches", {"graph_latency_ms": graph, "bc_latency_ms": bc})

    def half_made(self) -> int:
        """Return how many mailboxes have a part of their new contacts: those of one batch of twenty, and not all."""
        boxes = self.sandbox.writes()["graph"]["mailboxes"].values()
        return sum(0 < box["contacts_created"] < self.office.people - 1 for box in boxes)

    def written(self) -> int:
        """Return how many writes both services took since the counters were reset."""
        counted = self.sandbox.writes()
        return int(counted["graph"]["writes"]) + int(counted["bc"]["writes"])

    def wait_for_the_middle(self, run: str) -> tuple[int, int]:
        """Wait until both workers have profiles, and some mailbox has a part of its contacts; return the counts."""
        found: list[int] = []

        def in_the_middle() -> bool:
            states, half = self.states(run), self.half_made()
            if states["success"] == self.office.profiles:
                raise DemoError("the run was over before anything could be killed: ask for more --profiles")
            found[:] = [states["running"], half]
            # More than one worker can run, so both do.
            return states["running"] > CONCURRENCY and half > 0

        wait_until(in_the_middle, 300, "middle of the run", every=0.05, progress=lambda: self.states(run))
        return found[0], found[1]

    @contextmanager
    def refused_once(self) -> Iterator[Pause]:
        """Let Business Central refuse one write with a ``Retry-After``, and watch what it is asked from then on."""
        pause, ended = Pause(RETRY_AFTER), threading.Event()
        nth = max(2, self.office.profiles // 10)
        fault = {
            "name": "F1",
            "service": "bc",
            "method": "POST|PATCH",
            "nth": nth,
            "retry_after": RETRY_AFTER,
        }
        self.sandbox.control("POST", "faults", fault)

        def watch() -> None:
            # A look every tenth of a second; the session of the main thread is not for two.
            with requests.Session() as session:
                session.trust_env = False
                while not ended.wait(0.1):
                    if pause.refused_at is None:
                        planned = session.get(f"{self.sandbox.url}/__sim/faults", timeout=60).json()
                        if any(each.get("fired") for each in planned["faults"]):
                            pause.refused_at = time.monotonic()
                    counted = session.get(f"{self.sandbox.url}/__sim/counters", timeout=60).json()
                    pause.seen.append((time.monotonic(), counted["app"]["bc"]["requests"]))

        watcher = threading.Thread(target=watch, name="watch", daemon=True)
        watcher.start()
        try:
            yield pause
        finally:
            ended.set()
            watcher.join()


def prove(cluster: Cluster) -> Iterator[Verdict]:
    """Sync, kill a worker in the middle of a run, and yield what was found."""
    yield cluster.run("full")
    cluster.office.edit(cluster.sandbox)
    cluster.latency(GRAPH_LATENCY_MS, BC_LATENCY_MS)
    cluster.sandbox.control("POST", "counters/reset")
    with cluster.refused_once() as pause:
        run = cluster.airflow.trigger(DAG)
        running, half = cluster.wait_for_the_middle(run)
        cluster.airflow.kill_worker(WORKERS[0])
        say(f"worker {WORKERS[0]} was killed; {running} profiles ran")
        state, took = cluster.wait(run)
    yield of_kill(running, half, cluster.tried_again(run))
    yield Verdict(
        "the run with the killed worker ends green", state == "success", f"{state} after {took:.0f} s"
    )
    fired = sum(fault["fired"] for fault in cluster.sandbox.control("GET", "faults")["faults"])
    yield from of_limits(cluster.sandbox.writes(), fired)
    yield pause.verdict()
    yield of_state("after that run", cluster.office.problems(cluster.sandbox.dump()))
    cluster.latency(0, 0)
    yield cluster.run("full")
    written = cluster.written()
    yield Verdict("the next run writes nothing", written == 0, f"{written} writes")
    yield of_state("at the end", cluster.office.problems(cluster.sandbox.dump()))


def main(words: Sequence[str] | None = None) -> int:
    """Start the cluster, prove it, and say what was found."""
    about = (__doc__ or "").split("\n\n")[0]
    parser = argparse.ArgumentParser(prog="scripts/cluster", description=about)
    parser.add_argument("--profiles", type=int, default=200, help="mailboxes, with a profile each (200)")
    parser.add_argument("--people", type=int, default=26, help="contacts that all of them see (26)")
    parser.add_argument("--keep", action="store_true", help="keep logs and databases also if nothing failed")
    chosen = parser.parse_args(words)
    # A shell that ends us has to end all that we started.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    home = Path(tempfile.mkdtemp(prefix="contact-sync-cluster-"))
    verdicts: list[Verdict] = []
    try:
        with ExitStack() as running:
            say(
                f"{chosen.profiles} profiles, {len(WORKERS)} workers of {CONCURRENCY} tasks; everything is in {home}"
            )
            for verdict in prove(Cluster(home, Office(chosen.profiles, chosen.people), running)):
                verdicts.append(verdict)
                say(verdict.line())
    except DemoError as error:
        verdicts.append(Verdict("everything could be run", False, str(error)))
        say(verdicts[-1].line())
    failed = [verdict for verdict in verdicts if not verdict.good]
    if not failed and not chosen.keep:
        shutil.rmtree(home, ignore_errors=True)
    say(f"{len(verdicts) - len(failed)} passed, {len(failed)} failed" + (f": see {home}" if failed else ""))
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main())
