from __future__ import annotations

import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, select, update

from sync_lib.errors import LeaseExpiredError, LeaseLostError
from sync_lib.store import tables as t
from sync_lib.store.budget import BcBudget
from sync_lib.store.claims import (
    claim_create,
    drop_claim,
    drop_done_claims,
    renew_claim,
    settle_claim,
    take_claim,
)
from sync_lib.store.engine import open_engine, read, transaction
from sync_lib.store.leases import LeaseKeeper, acquire_lease, check_lease, release_lease, renew_lease
from tests.clocks import Rounds

NOW = "2026-03-02T09:00:00.000Z"
PER_EXAMPLE = settings(max_examples=15)


def _expire(engine: Engine) -> None:
    with transaction(engine) as conn:
        conn.execute(update(t.lease).values(expires_at=1.0))


# -- leases ----------------------------------------------------------------------------------------------------------


def test_one_holder_at_a_time(engine):
    first = acquire_lease(engine, "profile:1", "a", 60)
    assert first is not None
    assert acquire_lease(engine, "profile:1", "b", 60) is None
    assert acquire_lease(engine, "profile:2", "b", 60) is not None
    release_lease(engine, first)
    second = acquire_lease(engine, "profile:1", "b", 60)
    assert second is not None
    assert second.fencing > first.fencing


def test_an_expired_lease_is_taken_over_and_its_holder_finds_out(engine):
    first = acquire_lease(engine, "k", "a", 60)
    _expire(engine)
    second = acquire_lease(engine, "k", "b", 60)
    assert second.fencing > first.fencing
    with pytest.raises(LeaseLostError):
        renew_lease(engine, first, 60)
    with pytest.raises(LeaseLostError), transaction(engine) as conn:
        check_lease(conn, first)
    release_lease(engine, first)
    with transaction(engine) as conn:
        check_lease(conn, second)


def test_a_retry_of_the_same_holder_shuts_its_first_try_out(engine):
    first = acquire_lease(engine, "k", "a", 60)
    second = acquire_lease(engine, "k", "a", 60)
    assert second.fencing > first.fencing
    with pytest.raises(LeaseLostError), transaction(engine) as conn:
        check_lease(conn, first)


def test_an_expired_lease_is_no_right_to_write_until_it_is_renewed(engine):
    lease = acquire_lease(engine, "k", "a", 60)
    _expire(engine)
    with pytest.raises(LeaseExpiredError), transaction(engine) as conn:
        check_lease(conn, lease)
    renew_lease(engine, lease, 60)
    with transaction(engine) as conn:
        check_lease(conn, lease)


def test_a_lease_lasts_as_long_as_it_says(engine):
    acquire_lease(engine, "k", "a", 0.0)
    assert acquire_lease(engine, "k", "b", 3600) is not None
    with read(engine) as conn:
        left = conn.execute(select(t.lease.c.expires_at)).scalar_one()
    acquire_lease(engine, "other", "b", 0.0)
    with read(engine) as conn:
        now = conn.execute(select(t.lease.c.expires_at).where(t.lease.c.key == "other")).scalar_one()
    assert 3590 < left - now <= 3600


def test_nobody_takes_a_lease_while_its_holder_writes_under_it(engine, database_url):
    """A takeover waits for the transaction that checked the lease, even when the lease has expired meanwhile."""
    lease = acquire_lease(engine, "k", "a", 60)
    order = []
    asked = threading.Event()
    other = open_engine(database_url)

    def take_over() -> None:
        asked.set()
        order.append(("taken over", acquire_lease(other, "k", "a", 60) is not None))

    with transaction(engine) as conn:
        check_lease(conn, lease)
        thread = threading.Thread(target=take_over)
        thread.start()
        asked.wait()
        thread.join(timeout=0.2)
        order.append(("written", True))
    thread.join()
    assert order == [("written", True), ("taken over", True)]
    other.dispose()


@pytest.mark.parametrize("workers", [8])
def test_many_threads_never_hold_a_lease_together(engine, workers):
    inside: list[str] = []
    seen: list[int] = []
    overlaps: list[list[str]] = []

    def work(name: str) -> None:
        done = 0
        while done < 5:
            lease = acquire_lease(engine, "k", name, 60)
            if lease is None:
                continue
            inside.append(name)
            overlaps.append(list(inside))
            seen.append(lease.fencing)
            inside.remove(name)
            release_lease(engine, lease)
            done += 1

    with ThreadPoolExecutor(workers) as pool:
        list(pool.map(work, [str(number) for number in range(workers)]))
    assert [names for names in overlaps if len(names) > 1] == []
    assert seen == sorted(set(seen))


RACE = """
import sys
from sync_lib.store.engine import open_engine
from sync_lib.store.leases import acquire_lease
engine = open_engine(sys.argv[1])
print("ready", flush=True)
sys.stdin.readline()
lease = acquire_lease(engine, "k", sys.argv[2], 600)
print("held" if lease else "refused")
engine.dispose()
"""


def test_of_many_processes_exactly_one_gets_the_lease(database_url):
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", RACE, database_url, str(number)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for number in range(4)
    ]
    for process in processes:
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        process.stdin.write("go\n")
        process.stdin.flush()
    answers = [process.communicate()[0].strip() for process in processes]
    assert sorted(answers) == ["held", "refused", "refused", "refused"]


@PER_EXAMPLE
@given(
    st.lists(
        st.tuples(st.sampled_from(["acquire", "release", "renew", "check", "expire"]), st.integers(0, 2))
    )
)
def test_leases_behave_like_a_simple_model(engine, new_company, steps):
    """The model: who holds it, whether it has expired, and the highest number given out."""
    key = f"k{new_company()}"
    holder, expired, highest = None, True, 0
    leases = {}

    def holds(worker: int) -> bool:
        return worker in leases and holder == worker and leases[worker].fencing == highest

    for step, worker in steps:
        if step == "acquire":
            lease = acquire_lease(engine, key, str(worker), 60)
            assert (lease is not None) == (expired or holder in (None, worker))
            if lease:
                assert lease.fencing == highest + 1
                holder, expired, highest, leases[worker] = worker, False, lease.fencing, lease
        elif step == "expire":
            with transaction(engine) as conn:
                conn.execute(update(t.lease).where(t.lease.c.key == key).values(expires_at=1.0))
            expired = True
        elif worker in leases and step == "release":
            mine = holds(worker)
            release_lease(engine, leases[worker])
            holder, expired = (None, True) if mine else (holder, expired)
        elif worker in leases and step == "renew":
            if holds(worker):
                renew_lease(engine, leases[worker], 60)
                expired = False
            else:
                with pytest.raises(LeaseLostError):
                    renew_lease(engine, leases[worker], 60)
        elif worker in leases:
            try:
                with transaction(engine) as conn:
                    check_lease(conn, leases[worker])
                lost = False
            except (LeaseLostError, LeaseExpiredError):
                lost = True
            assert lost == (not holds(worker) or expired)


def test_a_keeper_renews_until_the_block_ends(engine):
    lease = acquire_lease(engine, "k", "a", 60)
    _expire(engine)
    clock = Rounds(1)
    with LeaseKeeper(engine, lease, 90, clock=clock) as keeper:
        pass
    keeper.check()
    assert (clock.waits, clock.fired) == ([30], 1)
    with transaction(engine) as conn:
        check_lease(conn, lease)


def test_a_keeper_notices_that_the_lease_is_lost(engine):
    lease = acquire_lease(engine, "k", "a", 60)
    acquire_lease(engine, "k", "a", 60)
    clock = Rounds(5)
    with LeaseKeeper(engine, lease, 60, clock=clock) as keeper:
        pass
    assert clock.fired == 0, "what is lost is renewed no more"
    with pytest.raises(LeaseLostError):
        keeper.check()


def test_a_keeper_outlives_a_database_that_is_away(engine, monkeypatch):
    lease = acquire_lease(engine, "k", "a", 60)
    _expire(engine)
    real = engine.begin
    failing = iter([True, False])

    def begin():
        if next(failing):
            with read(engine) as conn:
                conn.exec_driver_sql("SELECT no_such_column")
        return real()

    monkeypatch.setattr(engine, "begin", begin)
    with LeaseKeeper(engine, lease, 60, clock=Rounds(2)) as keeper:
        pass
    monkeypatch.undo()
    keeper.check()
    with transaction(engine) as conn:
        check_lease(conn, lease)


def test_a_keeper_stops_at_once(engine):
    """An hour between renewals does not hold up the end of the block."""
    lease = acquire_lease(engine, "k", "a", 60)
    with LeaseKeeper(engine, lease, 3 * 3600):
        pass


# -- BC's budget -----------------------------------------------------------------------------------------------------


class Clock:
    """A time of its own, which only waiting moves."""

    def __init__(self) -> None:
        self.now = 1_000_000.0
        self.waits: list[float] = []

    def __call__(self, _: object) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        assert seconds > 0, "a wait that does not wait is a busy loop"
        self.waits.append(seconds)
        self.now += seconds


def _budget(engine: Engine, clock: Clock, **limits) -> BcBudget:
    chosen = {"concurrency": 2, "window_requests": 100, "window": 300.0, "slot_seconds": 60.0} | limits
    return BcBudget(engine, "tenant/env", clock=clock, sleep=clock.sleep, jitter=lambda: 0.5, **chosen)


def test_a_free_slot_is_taken_without_waiting(engine):
    clock = Clock()
    budget = _budget(engine, clock)
    with budget.slot(), budget.slot(5):
        pass
    assert clock.waits == []
    with read(engine) as conn:
        assert conn.execute(select(t.budget_use.c.requests)).scalars().all() == [6]
        assert set(conn.execute(select(t.budget_slot.c.holder)).scalars()) == {""}


def test_slots_of_dead_processes_come_back(engine):
    clock = Clock()
    budget = _budget(engine, clock, concurrency=1)
    dead = budget.slot()
    dead.__enter__()
    with budget.slot():
        assert 1_000_060 <= clock.now < 1_000_061
    # The one that was thought dead gives back what is no longer its own: nothing.
    with budget.slot():
        dead.__exit__(None, None, None)
        with read(engine) as conn:
            assert conn.execute(select(t.budget_slot.c.holder)).scalar_one() != ""


def test_a_slot_is_given_back_after_an_error(engine):
    clock = Clock()
    budget = _budget(engine, clock, concurrency=1)

    def fail() -> None:
        with budget.slot():
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    with budget.slot():
        pass
    assert clock.waits == []


def test_a_pause_holds_up_every_process(engine, database_url):
    clock = Clock()
    _budget(engine, clock).pause(30)
    _budget(engine, clock).pause(10)
    other = open_engine(database_url)
    with _budget(other, clock).slot():
        assert 1_000_030 <= clock.now < 1_000_031
    other.dispose()


def test_scopes_do_not_share(engine):
    clock = Clock()
    _budget(engine, clock).pause(30)
    other = BcBudget(
        engine,
        "other",
        concurrency=1,
        window_requests=1,
        window=300,
        slot_seconds=60,
        clock=clock,
        sleep=clock.sleep,
    )
    with other.slot():
        assert clock.waits == []


def test_more_operations_than_a_window_holds_wait_for_an_empty_one(engine):
    clock = Clock()
    budget = _budget(engine, clock, window_requests=10)
    with budget.slot():
        pass
    with budget.slot(50):
        assert 1_000_300 <= clock.now < 1_000_320


def test_an_operation_counts_until_a_window_after_its_answer(engine):
    clock = Clock()
    budget = _budget(engine, clock, window_requests=1)
    with budget.slot():
        clock.now += 50
    with budget.slot():
        assert clock.now >= 1_000_050 + 300


@PER_EXAMPLE
@given(
    st.lists(st.tuples(st.integers(1, 4), st.floats(0, 40), st.floats(0, 40)), max_size=25),
    st.integers(4, 10),
)
def test_no_window_ever_holds_more_than_it_may(engine, new_company, requests, limit):
    clock = Clock()
    budget = BcBudget(
        engine, f"scope{new_company()}", concurrency=2, window_requests=limit, window=100.0, slot_seconds=60.0,
        clock=clock, sleep=clock.sleep, jitter=lambda: 0.0,
    )  # fmt: skip
    sent = []
    for operations, lasts, pause in requests:
        with budget.slot(operations):
            begun = clock.now
            clock.now += lasts
        sent.append((begun, clock.now, operations))
        clock.now += pause
    # BC may count an operation at any moment of its request, so all that touch a window may count in it.
    for _, moment, _ in sent:
        assert sum(n for begun, ended, n in sent if ended >= moment and begun < moment + 100) <= limit
    # And nothing waits longer than a window and one slice for room, once the rest has ended.
    assert all(wait <= 102.1 for wait in clock.waits)


def test_many_threads_never_send_more_than_may_be_in_flight(engine, database_url):
    """Several engines stand for several processes; the clock is the database's own."""
    engines = [open_engine(database_url) for _ in range(3)]
    inside, most, guard = 0, 0, threading.Lock()

    def send(number: int) -> None:
        nonlocal inside, most
        budget = BcBudget(
            engines[number % 3], "s", concurrency=3, window_requests=1000, window=300, slot_seconds=60
        )
        for _ in range(6):
            with budget.slot():
                with guard:
                    inside += 1
                    most = max(most, inside)
                with guard:
                    inside -= 1

    with ThreadPoolExecutor(9) as pool:
        list(pool.map(send, range(9)))
    for each in engines:
        each.dispose()
    assert 1 <= most <= 3
    with read(engine) as conn:
        assert sum(conn.execute(select(t.budget_use.c.requests)).scalars()) == 54


# -- claims ----------------------------------------------------------------------------------------------------------


def _claim(engine, company, profile=1, fencing=1, run="r1", key="a@b.nl"):
    with transaction(engine) as conn:
        return claim_create(conn, company, key, profile=profile, fencing=fencing, run=run)


def test_the_first_profile_gets_the_claim(engine, company, new_company):
    assert _claim(engine, company).mine
    other = _claim(engine, company, profile=2)
    assert (other.mine, other.profile, other.state) == (False, 1, "open")
    assert _claim(engine, company, profile=2, key="other@b.nl").mine
    assert _claim(engine, new_company(), profile=2).mine


def test_a_profile_takes_its_own_claim_over_from_its_lost_lease(engine, company):
    _claim(engine, company, fencing=1)
    with transaction(engine) as conn:
        settle_claim(conn, company, "a@b.nl", run="r1", state="unknown")
    again = _claim(engine, company, fencing=2, run="r2")
    assert (again.mine, again.state, again.fencing) == (True, "unknown", 2)
    with read(engine) as conn:
        assert conn.execute(select(t.claim.c.fencing, t.claim.c.run)).one() == (2, "r2")


def test_what_was_created_is_known_to_all_until_the_run_ends(engine, company):
    _claim(engine, company)
    with transaction(engine) as conn:
        settle_claim(conn, company, "a@b.nl", run="r1", state="done", bc_id="guid")
    for profile in (1, 2):
        found = _claim(engine, company, profile=profile)
        assert (found.mine, found.state, found.bc_id) == (False, "done", "guid")
    with transaction(engine) as conn:
        drop_done_claims(conn, "another run")
    assert not _claim(engine, company, profile=2).mine
    with transaction(engine) as conn:
        drop_done_claims(conn, "r1")
    assert _claim(engine, company, profile=2).mine


def test_only_done_claims_end_with_the_run(engine, company):
    _claim(engine, company)
    with transaction(engine) as conn:
        drop_done_claims(conn, "r1")
    assert not _claim(engine, company, profile=2).mine


def test_a_refused_create_frees_the_address(engine, company):
    _claim(engine, company)
    with transaction(engine) as conn:
        drop_claim(conn, company, "a@b.nl")
    assert _claim(engine, company, profile=2).mine


def test_a_claim_is_taken_only_as_it_was_seen(engine, company):
    _claim(engine, company)
    seen = _claim(engine, company, profile=2)
    with transaction(engine) as conn:
        settle_claim(conn, company, "a@b.nl", run="r1", state="unknown")
        assert not take_claim(conn, company, "a@b.nl", seen, profile=2, fencing=5, run="r2")
    seen = _claim(engine, company, profile=2)
    with transaction(engine) as conn:
        assert take_claim(conn, company, "a@b.nl", seen, profile=2, fencing=5, run="r2")
    assert _claim(engine, company, profile=2, fencing=5).mine


def test_a_claim_that_was_taken_cannot_be_renewed(engine, company):
    """I2: whoever queued for long before its create asks once more, in the transaction before the request."""
    old = _claim(engine, company).claimed_at
    seen = _claim(engine, company, profile=2)
    with transaction(engine) as conn:
        assert renew_claim(conn, company, "a@b.nl", profile=1, fencing=1)
    renewed = _claim(engine, company, profile=2)
    assert renewed.claimed_at >= old
    with transaction(engine) as conn:
        if renewed.claimed_at > seen.claimed_at:
            assert not take_claim(conn, company, "a@b.nl", seen, profile=2, fencing=5, run="r2")
        seen = renewed
        assert take_claim(conn, company, "a@b.nl", seen, profile=2, fencing=5, run="r2")
        assert not renew_claim(conn, company, "a@b.nl", profile=1, fencing=1)


def test_of_many_threads_one_gets_the_claim(engine, company):
    with ThreadPoolExecutor(8) as pool:
        claims = list(pool.map(lambda number: _claim(engine, company, profile=number), range(8)))
    winner = [claim.profile for claim in claims if claim.mine]
    assert len(winner) == 1
    assert {claim.profile for claim in claims} == set(winner)
