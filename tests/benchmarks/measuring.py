"""How things are measured: side by side in turns, medians, processor time, memory, a process of its own."""

from __future__ import annotations

import multiprocessing
import os
import platform
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

from tests.benchmarks.report import Machine

ROOT = Path(__file__).resolve().parents[2]
T = TypeVar("T")


@dataclass(frozen=True)
class Cost:
    """Seconds that something took, and of the processor."""

    wall: float
    cpu: float


@dataclass(frozen=True)
class Options:
    """What was asked for on the command line."""

    rounds: int = 3
    profiles: int | None = None
    minutes: float = 60
    many: bool = False
    small: bool = False

    def sizes(self, *usual: int, many: int | None = None, small: tuple[int, ...] = (50, 500)) -> list[int]:
        """Return the sizes to measure with: the usual ones, one more if many were asked for, or tiny ones."""
        if self.small:
            return list(small)
        return [*usual, *([many] if self.many and many else [])]

    def size(self, usual: int, small: int) -> int:
        """Return the usual size, or the tiny one."""
        return small if self.small else usual


def cost_of(act: Callable[[], object]) -> Cost:
    """Return what a call costs."""
    wall, cpu = time.perf_counter(), time.process_time()
    act()
    return Cost(time.perf_counter() - wall, time.process_time() - cpu)


def median(costs: list[Cost]) -> Cost:
    """Return the medians, each by itself."""
    return Cost(statistics.median(c.wall for c in costs), statistics.median(c.cpu for c in costs))


def side_by_side(rounds: int, acts: dict[str, Callable[[], object]]) -> dict[str, Cost]:
    """Return the median of each, after one call that is not counted; they take turns, so that load hits all alike."""
    for act in acts.values():
        act()
    costs: dict[str, list[Cost]] = {name: [] for name in acts}
    for _ in range(rounds):
        for name, act in acts.items():
            costs[name].append(cost_of(act))
    return {name: median(found) for name, found in costs.items()}


def apart(function: Callable[..., T], *arguments: Any) -> T:
    """Return what a function returns that runs in a process of its own: for its memory, and with nothing loaded."""
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=spawn) as pool:
        return pool.submit(function, *arguments).result()


def peak_memory() -> int:
    """Return the most memory that this process has held, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def machine() -> Machine:
    """Return what this machine is, at this moment."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2**30
    cores = os.cpu_count() or 1
    about = f"{cores} cores ({_processor()}), {memory} GiB, Python {platform.python_version()}"
    began = os.getloadavg()[0]
    date = f"{datetime.now(UTC):%Y-%m-%d %H:%M}"
    busy = busy_cores()
    return Machine(_commit(), date, cores, about, (began, began), (busy, busy))


def busy_cores(seconds: float = 2) -> float:
    """Return how many cores were busy while we did nothing for a moment: with others' work."""
    before = _busy_ticks()
    time.sleep(seconds)
    return (_busy_ticks() - before) / os.sysconf("SC_CLK_TCK") / seconds


def _busy_ticks() -> int:
    """Return what all processors have worked since the start of the machine; 0 where it does not say."""
    statistics_ = Path("/proc/stat")
    if not statistics_.exists():
        return 0
    user, nice, system, _idle, _wait, *interrupts = map(
        int, statistics_.read_text().split("\n")[0].split()[1:8]
    )
    return user + nice + system + sum(interrupts)


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    named = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return named[0] if named else platform.machine()


def _commit() -> str:
    def git(*arguments: str) -> str:
        done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
        return done.stdout.strip()

    # The page itself is what a measurement changes.
    changed = git("status", "--porcelain", "--untracked-files=no", "--", ".", ":!docs/performance.md")
    return (git("rev-parse", "--short=10", "HEAD") or "no commit") + ("+" if changed else "")


def say(text: str) -> None:
    """Print, at once."""
    print(text, flush=True)  # noqa: T201 - programs for a person at a terminal


def note(text: str) -> None:
    """Say what is going on; it is no figure."""
    print(f"  ... {text}", file=sys.stderr, flush=True)  # noqa: T201 - the same
