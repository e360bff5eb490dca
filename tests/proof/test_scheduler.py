"""The seed decides who goes on, and time passes when all wait."""

from __future__ import annotations

import pytest

from sandbox import Sandbox
from sandbox.in_process import VirtualTime
from tests.proof.interventions import watch_order
from tests.proof.scheduler import Scheduler
from tests.proof.verdict import Violation
from tests.sync.harness import Harness, person, world


def turns(seed: str, *, sleeps: tuple[float, float] = (0, 0), start: float = 0) -> list[str]:
    """What two workers write down, each three times."""
    time = VirtualTime()
    time.sleep(start)
    scheduler = Scheduler(time, seed)
    written: list[str] = []

    def work(name: str, seconds: float) -> None:
        for number in range(3):
            written.append(f"{name}{number} {time.passed:g}")
            scheduler.sleep(seconds) if seconds else scheduler.switch()

    scheduler.run(lambda: work("a", sleeps[0]), lambda: work("b", sleeps[1]))
    time.close()
    return written


def test_the_same_seed_gives_the_same_order():
    orders = {seed: turns(seed) for seed in map(str, range(20))}
    assert orders == {seed: turns(seed) for seed in orders}
    assert len({tuple(order) for order in orders.values()}) > 5


def test_who_sleeps_is_passed_over_until_its_time_has_come():
    assert turns("x", sleeps=(10, 25)) in (
        ["a0 0", "b0 0", "a1 10", "a2 20", "b1 25", "b2 50"],
        ["b0 0", "a0 0", "a1 10", "a2 20", "b1 25", "b2 50"],
    )


def test_times_that_no_number_is_exactly_are_no_dead_end():
    for number in range(1, 300):
        assert len(turns(str(number), sleeps=(number / 10, number / 7), start=number / 3)) == 6


def test_what_goes_wrong_is_raised_when_all_have_ended():
    time = VirtualTime()
    scheduler = Scheduler(time, "x")
    ended: list[str] = []

    def fail() -> None:
        scheduler.switch()
        raise Violation("I3: two items")

    def end() -> None:
        scheduler.sleep(60)
        ended.append("b")

    with pytest.raises(Violation, match="I3"):
        scheduler.run(fail, end)
    assert ended == ["b"]
    time.close()


def test_outside_of_a_run_nobody_waits_for_a_turn():
    time = VirtualTime()
    scheduler = Scheduler(time, "x")
    scheduler.switch()
    scheduler.sleep(5)
    assert time.passed == 5
    time.close()


def test_a_request_inside_a_transaction_is_a_violation(new_database):
    with Sandbox(world=world(person("Jan Jansen")), transport="in_process") as sim:
        h = Harness(sim, new_database("sqlite"))
        assert sim.time
        watch_order(h.edges, Scheduler(sim.time, "x"))
        mailbox = h.mailbox()["user_principal_name"]
        assert h.edges.outlook.fetch_user_id(mailbox)
        with h.edges.engine.begin(), pytest.raises(Violation, match="order: GET is sent while a transaction"):
            h.edges.outlook.fetch_user_id(mailbox)
        h.close()
