"""O1: the staging database goes away in the middle of a run; the run ends green, and nothing is doubled."""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from demo_parts.postgres import PostgresInstance
from sqlalchemy import Engine, event, select

from sandbox import Sandbox
from sync_lib import model, pipeline, services
from sync_lib.errors import ConfigError, StagingAwayError, TransientError
from sync_lib.ports import SystemClock
from sync_lib.store import leases
from sync_lib.store import tables as t
from sync_lib.store.engine import open_engine, read, transaction
from sync_lib.store.leases import LeaseKeeper, acquire_lease, renew_lease
from tests.clocks import Rounds
from tests.sync.harness import FOLDER, Harness, person, world

pytestmark = pytest.mark.postgres

PROFILES, PEOPLE, WORKERS = 40, 15, 4


class Pausing(SystemClock):
    """A clock of somebody who waits for the server."""

    def __init__(self, server: Server) -> None:
        self.sleep = server.pause  # type: ignore[method-assign]


class Server(PostgresInstance):
    """A server that goes away and comes back; whoever waits for it waits here."""

    def __init__(self, home: Path) -> None:
        super().__init__(home)
        self.back = threading.Event()
        self.back.set()
        self.waits = 0
        self._many = threading.Semaphore(0)

    def go(self, how: str = "immediate") -> None:
        self.back.clear()
        self.crash(how)

    def return_after(self, waits: int) -> None:
        """Come back once so many pauses were made by those who wait."""
        for _ in range(waits):
            assert self._many.acquire(timeout=60), "nobody waits for the database"
        self.start()
        self.back.set()

    def pause(self, _seconds: float) -> None:
        self.waits += 1
        self._many.release()
        self.back.wait(0.2)


@pytest.fixture
def server() -> Iterator[Server]:
    with tempfile.TemporaryDirectory(prefix="contact-sync-away-") as folder:
        Path(folder).chmod(0o755)
        server = Server(Path(folder) / "server")
        yield server
        if not server.back.is_set():
            server.start()
        server.stop()


def boxes() -> list[str]:
    return [f"collega{n:02}@voorbeeld.example" for n in range(PROFILES)]


def edges_of(h: Harness, server: Server) -> services.Services:
    edges = h.open()
    edges.clock = Pausing(server)
    return edges


def retried(h: Harness, server: Server, key: str, tries: int = 3) -> None:
    """Sync a profile as Airflow does: what may pass is tried again, by another process."""
    for left in reversed(range(tries)):
        own = edges_of(h, server)
        try:
            pipeline.sync_profile(own, "r", key)
        except TransientError:
            if not left:
                raise
        else:
            return
        finally:
            own.close()


@contextmanager
def breaks_off(server: Server, beginning: str) -> Iterator[list[str]]:
    """Let the server go with the first statement that begins so, and come back; yield the statements it went with."""
    went: list[str] = []
    back = threading.Thread(target=server.return_after, args=(1,))

    def leave(_conn: Any, _cursor: Any, statement: str, *_arguments: Any) -> None:
        if statement.startswith(beginning) and not went:
            went.append(statement)
            server.go()
            back.start()

    event.listen(Engine, "before_cursor_execute", leave)
    try:
        yield went
    finally:
        event.remove(Engine, "before_cursor_execute", leave)
        if went:
            back.join()


def test_the_database_goes_away_in_the_middle_of_a_run(server: Server) -> None:
    """O1: tasks that begin and tasks in their writes wait for it; what it broke off is tried again."""
    people = (person(f"Persoon {n:02}") for n in range(PEOPLE))
    sim = Sandbox(world=world(*people, mailboxes=[*boxes()])).start()
    h = Harness(sim, server.url("staging"), database_wait=1e6, longest_request=0.0)
    h.add_profiles(*boxes())
    edges = edges_of(h, server)
    plan = pipeline.plan_run(edges, model.RunRequest("r", "full"))
    for company in plan.companies:
        pipeline.extract_business_central(edges, "r", company)
    gone = threading.Event()

    def leave(_call: Any) -> None:
        gone.set()

    # In the middle: after some hundred contacts were made, and before the others.
    sim.add_fault(
        leave, kind="callback", service="graph", method="POST", path="/contacts$", part=True, nth=150
    )
    with ThreadPoolExecutor(WORKERS) as workers:
        done = [workers.submit(retried, h, server, key) for key in plan.tasks]
        assert gone.wait(120)
        server.go()
        server.return_after(2 * WORKERS)
        for each in done:
            each.result(timeout=120)
    report = pipeline.finish_run(edges, "r")
    verdict = pipeline.run_verdict(edges, "r", {"plan_run": "success"})
    assert verdict.ok, verdict.message
    assert len(report.profiles) == PROFILES
    h.run()
    assert h.run().writes == {}
    for box in sim.dump()["mailboxes"]:
        [folder] = [each for each in box["folders"] if each["name"] == FOLDER]
        names = [item["properties"]["displayName"] for item in folder["contacts"]]
        assert sorted(names) == [f"Persoon {n:02}" for n in range(PEOPLE)]
    edges.close()
    h.close()
    sim.stop()


@pytest.mark.parametrize(
    "statement", ["UPDATE lease SET holder", "UPDATE budget_slot", "INSERT INTO budget_slot"]
)
def test_what_is_taken_and_given_back_outlives_a_database_that_goes_away(
    server: Server, statement: str
) -> None:
    """O1: a dead try's lease would let the next try skip the profile, and its slot of BC would be lost for minutes."""
    sim = Sandbox(world=world(person("Jan Bos"))).start()
    h = Harness(sim, server.url("staging"), database_wait=1e6, bc_concurrency=1)
    h.add_profiles()
    h.run()
    h.add_item(displayName="Piet Smit", emailAddresses=[{"address": "piet@klant.example"}])
    edges = edges_of(h, server)
    plan = pipeline.plan_run(edges, model.RunRequest("r", "full"))
    for company in plan.companies:
        pipeline.extract_business_central(edges, "r", company)
    with breaks_off(server, statement) as went:
        for key in plan.tasks:
            retried(h, server, key)
    assert len(went) == 1
    report = pipeline.finish_run(edges, "r")
    assert [(p.state, p.reason) for p in report.profiles] == [("done", "")]
    assert sorted(h.contacts()) == ["Jan Bos", "Piet Smit"]
    with read(edges.engine) as conn:
        taken = t.budget_slot.c.holder != ""
        assert conn.execute(select(t.budget_slot).where(taken)).all() == []
    edges.close()
    h.close()
    sim.stop()


def test_the_ends_of_a_run_wait_too(server: Server) -> None:
    """O1: report and the verdict have no second try in Airflow."""
    from sync_lib.operate import approval

    sim = Sandbox(world=world(person("Jan Bos"))).start()
    h = Harness(sim, server.url("staging"), database_wait=1e6)
    h.add_profiles()
    edges = edges_of(h, server)
    plan = pipeline.plan_run(edges, model.RunRequest("r", "full"))
    for company in plan.companies:
        pipeline.extract_business_central(edges, "r", company)
    for key in plan.tasks:
        pipeline.sync_profile(edges, "r", key)
    # The list of holds does have a second try.
    for statement, end in (
        ("UPDATE sync_run", lambda task: pipeline.finish_run(task, "r")),
        ("", approval.list_requests),
        ("SELECT sync_run", lambda task: pipeline.run_verdict(task, "r", {"plan_run": "success"}).ok),
    ):
        if statement:
            task = edges_of(h, server)
            with breaks_off(server, statement) as went:
                assert end(task) is not False
            assert went
            task.close()
        # It is away when the task begins.
        server.go()
        back = threading.Thread(target=server.return_after, args=(2,))
        back.start()
        # A task of its own, which opens the database first.
        task = edges_of(h, server)
        assert end(task) is not False
        task.close()
        back.join()
    edges.close()
    h.close()
    sim.stop()


def test_a_database_that_stays_away_is_a_passing_error(server: Server) -> None:
    """O1: named as such, so that Airflow tries the task again, and never as a wrong setting."""
    url = server.url("staging")
    engine = open_engine(url, wait=3, sleep=server.pause)
    server.go()
    with pytest.raises(StagingAwayError, match="does not answer"), read(engine):
        pass
    with pytest.raises(StagingAwayError, match="does not answer"):
        open_engine(url)
    assert server.waits == 4
    engine.dispose()


def test_a_transaction_that_broke_off_is_a_passing_error(server: Server) -> None:
    """O1: nothing of it is stored, and the next one works."""
    engine = open_engine(server.url("staging"))
    with transaction(engine) as conn:
        conn.exec_driver_sql("CREATE TABLE x (y integer)")

    def insert_two() -> None:
        with transaction(engine) as conn:
            conn.exec_driver_sql("INSERT INTO x VALUES (1)")
            server.go()
            conn.exec_driver_sql("INSERT INTO x VALUES (2)")

    with pytest.raises(StagingAwayError, match="broke off"):
        insert_two()
    server.start()
    server.back.set()
    with transaction(engine) as conn:
        assert conn.exec_driver_sql("SELECT count(*) FROM x").scalar() == 0
    engine.dispose()


def test_a_task_that_is_stopped_is_not_a_database_that_is_away(server: Server) -> None:
    """O1: Airflow stops a task by an exception of its own, which may come in the middle of a statement."""
    engine = open_engine(server.url("staging"))

    def stopped(*_arguments: Any) -> None:
        raise KeyboardInterrupt

    event.listen(engine, "before_cursor_execute", stopped)
    with pytest.raises(KeyboardInterrupt), transaction(engine) as conn:
        conn.exec_driver_sql("SELECT 1")
    engine.dispose()


def test_who_is_refused_does_not_wait(server: Server) -> None:
    """O1: a wrong password or name will not pass by itself."""
    url = server.url("staging")
    for wrong in (url.replace("/staging", "/elsewhere"), url.replace("contact_sync:", "contact_sync:x")):
        with pytest.raises(ConfigError, match="cannot be opened"):
            open_engine(wrong, wait=1e6, sleep=server.pause)
    assert server.waits == 0


def test_a_keeper_outlives_a_database_that_is_away(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """O1: the lease that nobody could renew is renewed when the database is back."""
    engine = open_engine(server.url("staging"))
    leases.t.metadata.create_all(engine)
    lease = acquire_lease(engine, "k", "a", 60)
    assert lease

    def away(*_arguments: Any) -> None:
        raise StagingAwayError("away")

    renew = renew_lease
    calls = iter([away, renew])

    def renew_once_back(*arguments: Any) -> None:
        next(calls)(*arguments)

    monkeypatch.setattr(leases, "renew_lease", renew_once_back)
    with LeaseKeeper(engine, lease, 90, clock=Rounds(2)) as keeper:
        pass
    keeper.check()
    engine.dispose()
