"""The long run: 5,000 random histories, 200 killed everywhere, the whole small world, and the planted bugs.

    python -m tests.proof.long [--workers 2] [--only PART] [--first-seed SEED] [--write-docs]

Each history, case and bug is a task. What came of it is written to ``.long/`` at once, under a digest of the engine,
the sandbox and these tests: a second start goes on where the first one was stopped, and starts anew when the code is
another. A failure is printed with its seed and its shrunk history, and stops nothing. At the end there is one summary,
which ``--write-docs`` puts into ``docs/reliability.md``. Another ``--first-seed`` adds histories to those of the same
code.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import itertools
import json
import logging
import multiprocessing
import os
import platform
import re
import shutil
import subprocess
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from multiprocessing.util import Finalize
from pathlib import Path

from sandbox.faults import PRESETS
from tests.proof import histories, killed_histories, planted, shrinking, small_world
from tests.proof.databases import ROOT, Databases

#: What every task's outcome depends on.
_INPUTS = (
    "sync_lib",
    "sandbox",
    "tests/sync",
    "tests/proof",
    "tests/databases.py",
    "tests/database_fixtures.py",
    "tests/transport.py",
    "tests/clients",
    "tests/fields",
)
HOME, DOCS = ROOT / ".long", ROOT / "docs/reliability.md"
#: The parts, the heaviest last; and the seconds that one task of each takes about, until there are figures.
PARTS = {"planted": 60.0, "killed": 15.0, "small": 7.0, "histories": 5.0}
FIRST_SEED, SHRINKING = 100_000, 80
#: How many of each part there are.
AMOUNTS = {"planted": 75, "killed": 200, "small": 382, "histories": 5_000}
#: Of so many histories that are played in process, one is on PostgreSQL; the same seed does the same on both.
ON_POSTGRESQL = 10
BEGIN, END = "<!-- long run: begin -->", "<!-- long run: end -->"
_SIGNS = {
    "I1": "lost updates", "I2": "invented values", "I3": "duplicates", "I4": "deletes without a cause",
    "I5": "not converged", "I7": "crashes that show", "I8": "touched what is the user's",
}  # fmt: skip


@dataclass(frozen=True, order=True)
class Task:
    """One history, case or bug; ``key`` is its seed or name."""

    part: str
    key: str


@dataclass
class Done:
    """What came of a task."""

    part: str
    key: str
    seconds: float
    counts: dict[str, int] = field(default_factory=dict)
    error: str = ""


# -- tasks -------------------------------------------------------------------------------------------------------


def tasks(amounts: dict[str, int], first_seed: int = FIRST_SEED) -> list[Task]:
    """Return all tasks, or as many of a part as are asked for."""
    keys: dict[str, Iterable[str]] = {
        "planted": planted.names(),
        "killed": map(str, itertools.count(first_seed)),
        "small": map(str, small_world.cases()),
        "histories": map(str, itertools.count(first_seed)),
    }
    most = {part: min(amount, amounts.get(part, amount)) for part, amount in AMOUNTS.items()}
    return [Task(part, key) for part in PARTS for key in itertools.islice(keys[part], most[part])]


def drawn(seed: int) -> histories.History:
    """Return the history of a seed, on the database that it is its turn for."""
    history = histories.draw(seed)
    if history.transport != "in_process":
        return history
    return replace(history, database="sqlite" if seed % ON_POSTGRESQL else "postgresql")


class Worker:
    """Carries out tasks in one process, with databases of its own."""

    def __init__(self) -> None:
        self.databases = Databases()
        self.open = contextlib.ExitStack()
        self.open.callback(self.databases.close)
        self._world: small_world.Small | None = None

    def carry_out(self, task: Task) -> Done:
        """Carry out a task; what goes wrong is what it found."""
        done, started = Done(task.part, task.key, 0.0), time.monotonic()
        try:
            done.counts = dict(getattr(self, f"_{task.part}")(task.key, done))
        except Exception as error:  # noqa: BLE001 - shown in the summary; the other tasks go on
            known = isinstance(error, AssertionError)
            done.error = str(error) if known else "".join(traceback.format_exception(error))[-4000:]
        done.seconds = round(time.monotonic() - started, 2)
        return done

    def _histories(self, key: str, done: Done) -> Counter[str]:
        history = drawn(int(key))
        fired: Counter[str] = Counter({f"on {history.database}": 1})
        done.error = shrinking.report(history, self.databases, fired, tries=SHRINKING)
        return fired

    def _killed(self, key: str, _done: Done) -> Counter[str]:
        try:
            return killed_histories.play(int(key), self.databases.new, self.databases.home)
        finally:
            self.databases.drop()

    def _small(self, key: str, _done: Done) -> Counter[str]:
        if self._world is None:
            home = self.databases.home / "small"
            home.mkdir()
            shutil.copy(self.databases.template, home / "staging.db")
            self._world = small_world.Small(home, f"sqlite:///{home / 'staging.db'}")
            self.open.callback(self._world.close)
        return self._world.play(next(case for case in small_world.cases() if str(case) == key))

    def _planted(self, key: str, done: Done) -> dict[str, int]:
        verdict = planted.judge(key)
        done.error = "" if verdict.as_it_should else f"{key}: {verdict.caught_by or 'no test fails'}"
        return {
            "caught": int(bool(verdict.caught_by)),
            f"by {verdict.caught_by}": 1,
            f"at {verdict.place}": 1,
        }


_worker: Worker | None = None


def _begin() -> None:
    global _worker  # noqa: PLW0603 - one worker a process, made when the process starts
    logging.disable(logging.CRITICAL)
    _worker = Worker()
    # A process of a pool knows no atexit.
    Finalize(None, _worker.open.close, exitpriority=10)


def _carry_out(task: Task) -> Done:
    assert _worker
    return _worker.carry_out(task)


# -- what is done ------------------------------------------------------------------------------------------------


class Ledger:
    """Tasks that are done, in a file that grows line by line."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path
        self.done: dict[tuple[str, str], Done] = {}
        for line in path.read_text().splitlines() if path.exists() else ():
            # A line that was cut off when the run was stopped is a task that is not done.
            with contextlib.suppress(ValueError, TypeError):
                done = Done(**json.loads(line))
                self.done[done.part, done.key] = done

    def add(self, done: Done) -> None:
        self.done[done.part, done.key] = done
        with self.path.open("a") as file:
            file.write(json.dumps(asdict(done)) + "\n")

    def left(self, wanted: Iterable[Task]) -> list[Task]:
        """Return the tasks that are not done; one that failed is done again."""
        return [t for t in wanted if (done := self.done.get((t.part, t.key))) is None or done.error]

    def tasks(self) -> list[Task]:
        """Return what is done."""
        return [Task(*key) for key in self.done]

    def of(self, wanted: Iterable[Task]) -> list[Done]:
        return [self.done[t.part, t.key] for t in wanted if (t.part, t.key) in self.done]


def digest() -> str:
    """Return the digest of everything that decides about a result."""
    found = hashlib.sha256()
    for name in _INPUTS:
        path = ROOT / name
        for file in [path] if path.is_file() else sorted(path.rglob("*.py")):
            found.update(f"{file.relative_to(ROOT)}\0".encode() + file.read_bytes())
    return found.hexdigest()[:16]


def carry_out_all(
    wanted: list[Task], ledger: Ledger, results: Callable[[list[Task]], Iterator[Done]], workers: int
) -> None:
    """Carry out what is left, and say how far it is."""
    left, said = ledger.left(wanted), time.monotonic()
    say(f"{len(left)} of {len(wanted)} tasks to do, about {_minutes(_expected(left, ledger, workers))}")
    for number, done in enumerate(results(left), 1):
        ledger.add(done)
        if done.error:
            say(f"FAILED {done.part} {done.key}\n{done.error}")
        if time.monotonic() - said > 60 or number == len(left):
            said = time.monotonic()
            rest = _expected(ledger.left(wanted), ledger, workers)
            say(f"{number} of {len(left)} done, {_per_part(wanted, ledger)}; about {_minutes(rest)} to go")


def _expected(left: list[Task], ledger: Ledger, workers: int) -> float:
    seconds = {part: [d.seconds for d in ledger.done.values() if d.part == part] for part in PARTS}
    means = {part: sum(known) / len(known) if known else PARTS[part] for part, known in seconds.items()}
    return sum(means[task.part] for task in left) / workers


def _per_part(wanted: list[Task], ledger: Ledger) -> str:
    done, every = Counter(d.part for d in ledger.of(wanted)), Counter(task.part for task in wanted)
    return ", ".join(f"{part} {done[part]}/{every[part]}" for part in PARTS if every[part])


def _minutes(seconds: float) -> str:
    return f"{seconds / 60:.0f} min"


def say(text: str) -> None:
    """Print with the time of day, at once."""
    print(f"{datetime.now(UTC):%H:%M:%S} {text}", flush=True)  # noqa: T201


# -- summary -----------------------------------------------------------------------------------------------------


def summary(wanted: list[Task], ledger: Ledger, workers: int) -> str:
    """Return what the run came to, in Markdown."""
    done = ledger.of(wanted)
    lines = ["| | Done | Of | Failed | CPU minutes |", "| --- | --- | --- | --- | --- |"]
    titles = {
        "histories": f"random histories ({_seeds(done, 'histories')})",
        "killed": f"histories with a run killed everywhere ({_seeds(done, 'killed')})",
        "small": "cases of the small world",
        "planted": "planted bugs and their control",
    }
    for part in reversed(PARTS):
        own = [d for d in done if d.part == part]
        of, failed = sum(task.part == part for task in wanted), sum(bool(d.error) for d in own)
        if of:
            lines.append(
                f"| {titles[part]} | {len(own)} | {of} | {failed} | {sum(d.seconds for d in own) / 60:.0f} |"
            )
    parts = ["\n".join(lines), _violations(done), _crashes(done), _faults(done), _bugs(done)]
    return "\n\n".join(part for part in [_where(workers), *parts] if part)


def _seeds(done: list[Done], part: str) -> str:
    """The seeds of a part that are done, in ranges."""
    seeds = sorted(int(d.key) for d in done if d.part == part)
    firsts = [seed for seed in seeds if seed - 1 not in set(seeds)]
    lasts = [seed for seed in seeds if seed + 1 not in set(seeds)]
    ranges = [f"{a} to {b}" if a != b else str(a) for a, b in zip(firsts, lasts, strict=True)]
    return f"seeds {', '.join(ranges)}" if ranges else "none"


def _where(workers: int) -> str:
    commit = _git("rev-parse", "--short=12", "HEAD") or "unknown"
    changed = " with changes" if _git("status", "--porcelain", "--", *_INPUTS) else ""
    machine = f"{os.cpu_count()} cores, {platform.system()} {platform.machine()}, Python {platform.python_version()}"
    day = f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC"
    return f"Commit {commit}{changed} (digest {digest()}), {day}, {workers} workers, {machine}."


def _git(*arguments: str) -> str:
    ran = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
    return ran.stdout.strip()


def _violations(done: list[Done]) -> str:
    found: Counter[str] = Counter()
    failed = [d for d in done if d.error and d.part != "planted"]
    for d in failed:
        sign = re.search(r"\b(I\d+): ", d.error)
        found[sign.group(1) if sign else "error"] += 1
    counts = [f"{words} ({sign}): {found.pop(sign, 0)}" for sign, words in _SIGNS.items()]
    counts.append(f"anything else: {sum(found.values())}")
    seeds = ", ".join(f"{d.part} {d.key}" for d in failed)
    return "; ".join(counts) + "." + (f"\n\nFailed: {seeds}." if seeds else "")


def _crashes(done: list[Done]) -> str:
    counts = sum((Counter(d.counts) for d in done if d.part in ("killed", "small")), Counter())
    if not counts["crashes"]:
        return ""
    return f"Crashes: {counts['crashes']:,}, for {counts['places']:,} places at which a worker may die."


def _faults(done: list[Done]) -> str:
    counts = sum((Counter(d.counts) for d in done if d.part == "histories"), Counter())
    if not counts:
        return ""
    fired = [f"{name}: {counts[name]:,}" for name in sorted(PRESETS, key=lambda name: int(name[1:]))]
    where = f"{counts['on sqlite']:,} of them on SQLite, {counts['on postgresql']:,} on PostgreSQL"
    return f"Faults fired in the random histories ({where}): {', '.join(fired)}."


def _bugs(done: list[Done]) -> str:
    verdicts = []
    for d in done:
        if d.part == "planted" and d.counts:
            counted = {name.partition(" ")[0]: name.partition(" ")[2] for name in d.counts}
            verdicts.append(planted.Verdict(d.key, counted["at"], counted["by"], d.seconds))
    caught = sum(bool(v.caught_by) for v in verdicts if v.name != planted.CONTROL)
    return f"{planted.table(verdicts)}\n\nCaught: {caught} of {len(planted.BUGS)}." if verdicts else ""


def write_docs(text: str, page: Path = DOCS) -> None:
    """Put a summary between the page's marks."""
    before, _, rest = page.read_text().partition(BEGIN)
    _, mark, after = rest.partition(END)
    if not mark:
        raise LookupError(f"{page.name} has no place for the summary: {BEGIN} ... {END}")
    page.write_text(f"{before}{BEGIN}\n{text}\n{END}{after}")


def failures(wanted: list[Task], ledger: Ledger) -> list[Done]:
    """Return what must not be: any failure, but for one planted bug that nobody notices."""
    failed = [d for d in ledger.of(wanted) if d.error]
    missed = [d for d in failed if d.part == "planted" and d.key != planted.CONTROL]
    return [d for d in failed if d not in missed or len(missed) > 1]


def main(arguments: list[str]) -> int:
    """Go on with the long run, and print its summary."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.proof.long", description=(__doc__ or "").split("\n\n")[0]
    )
    parser.add_argument("--workers", type=int, default=2, help="processes (2)")
    parser.add_argument("--only", choices=PARTS, help="one part of it")
    parser.add_argument("--most", type=int, default=10**6, help="at most so many tasks of each part")
    parser.add_argument("--first-seed", type=int, default=FIRST_SEED, help=f"of the histories ({FIRST_SEED})")
    parser.add_argument("--write-docs", action="store_true", help="put the summary into docs/reliability.md")
    chosen = parser.parse_args(arguments)
    wanted = tasks(dict.fromkeys(PARTS, chosen.most), chosen.first_seed)
    wanted = [task for task in wanted if chosen.only in (None, task.part)]
    ledger = Ledger(HOME / digest() / "done.jsonl")
    with multiprocessing.get_context("spawn").Pool(chosen.workers, _begin) as pool:
        carry_out_all(wanted, ledger, lambda left: pool.imap_unordered(_carry_out, left), chosen.workers)
        pool.close()
        pool.join()
    # Of the same code, and from other first seeds too: a later start adds to what an earlier one did.
    text = summary(sorted({*wanted, *ledger.tasks()}), ledger, chosen.workers)
    print(text)  # noqa: T201
    if chosen.write_docs:
        write_docs(text)
    return int(bool(failures(wanted, ledger)))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
