"""Decides from a seed which of several workers goes on; one works at a time, in a time that passes when all wait.

A worker is a function in a thread of its own that holds the baton while it works. It hands the baton on only where it
says so (``switch``, before an exchange and behind a transaction) and where it sleeps, so what the workers do together
is a function of the seed.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from sandbox.in_process import VirtualTime


@dataclass(eq=False)
class _Worker:
    name: int
    work: Callable[[], None]
    baton: threading.Event = field(default_factory=threading.Event)
    wakes: float = 0.0
    done: bool = False
    error: BaseException | None = None


class Scheduler:
    """Runs workers side by side.

    Args:
        time: The time that they share.
        seed: Decides who goes on.
        note: Called each time that another worker takes the baton.
    """

    def __init__(self, time: VirtualTime, seed: str, note: Callable[[str], None] = lambda _: None) -> None:
        self._time = time
        self._chance = random.Random(seed)
        self._note = note
        self._workers: list[_Worker] = []
        self._local = threading.local()
        self._conductor = threading.Event()

    def run(self, *works: Callable[[], None]) -> None:
        """Let all work until each is done; raise what went wrong in the first one that failed."""
        self._workers = [_Worker(number, work) for number, work in enumerate(works, 1)]
        threads = [
            threading.Thread(target=self._carry_out, args=(worker,), daemon=True) for worker in self._workers
        ]
        for thread in threads:
            thread.start()
        while waiting := [worker for worker in self._workers if not worker.done]:
            self._hand_to(self._choose(waiting))
        for thread in threads:
            thread.join()
        for worker in self._workers:
            if worker.error is not None:
                raise worker.error

    def switch(self) -> None:
        """Let perhaps another worker go on; nothing where none of them asks."""
        worker: _Worker | None = getattr(self._local, "worker", None)
        if worker is not None:
            self._conductor.set()
            worker.baton.wait()
            worker.baton.clear()

    def sleep(self, seconds: float) -> None:
        """Let so many seconds pass; others go on meanwhile."""
        worker: _Worker | None = getattr(self._local, "worker", None)
        if worker is None:
            self._time.sleep(seconds)
            return
        worker.wakes = self._time.passed + seconds
        self.switch()

    def _choose(self, waiting: list[_Worker]) -> _Worker:
        earliest = min(worker.wakes for worker in waiting)
        if earliest > self._time.passed:
            self._time.sleep(earliest - self._time.passed)
        # What is added to a time and taken from it again may be a little less than it was.
        now = max(earliest, self._time.passed)
        return self._chance.choice([worker for worker in waiting if worker.wakes <= now])

    def _hand_to(self, worker: _Worker) -> None:
        self._note(f"worker {worker.name}")
        worker.baton.set()
        self._conductor.wait()
        self._conductor.clear()

    def _carry_out(self, worker: _Worker) -> None:
        self._local.worker = worker
        worker.baton.wait()
        worker.baton.clear()
        try:
            worker.work()
        except BaseException as error:  # noqa: BLE001 - raised by ``run``, in the thread of who asked
            worker.error = error
        worker.done = True
        self._conductor.set()
