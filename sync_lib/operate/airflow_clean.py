"""Cut Airflow's own database and log files by age: a thousand profiles leave some 1.4 GB a day in the two.

It calls Airflow's own command and must run outside of a task, where Airflow hides the address of its database.
"""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from sync_lib.errors import ConfigError

#: Holds wait for a person in a run of their own; Airflow must not forget it before the person has answered.
FEWEST_DAYS = 8
#: Further back nothing lies, and the calendar begins some time.
MOST_DAYS = 36_500

#: What removes runs without work: it stands beside the plugin that knows Airflow.
QUIET_RUNS = Path(__file__).parents[2] / "plugins" / "contact_sync_airflow" / "quiet_runs.py"
_REMOVED = "removed "

Call = Callable[[Sequence[str]], str]


@dataclass(frozen=True, slots=True)
class Cleaned:
    """What was cut: log files and their bytes, the time before which everything went, and runs without work."""

    before: datetime
    files: int
    size: int
    quiet_runs: int = 0


def clean(days: int, quiet_hours: float, *, now: datetime | None = None, call: Call | None = None) -> Cleaned:
    """Remove what Airflow's database and log folder hold that is older than so many days.

    Args:
        days: How many are kept; ``FEWEST_DAYS`` to ``MOST_DAYS``.
        quiet_hours: Hours for which runs of ``contact_sync`` are kept that had nothing to do.
        now: The present, for tests.
        call: Runs ``airflow`` with these arguments, or a script of ours in Airflow's Python where the first one is its
            path, and returns what it printed.

    Raises:
        ConfigError: Too few days or too many, there is no ``airflow``, or it failed.
    """
    if days < FEWEST_DAYS:
        raise ConfigError(
            f"--days is {days}; at least {FEWEST_DAYS} are kept, since approvals wait for a week."
        )
    if days > MOST_DAYS:
        raise ConfigError(f"--days is {days}; it takes {MOST_DAYS} at most.")
    call = call or _airflow
    before = (now or datetime.now(UTC)) - timedelta(days=days)
    stamp = before.strftime("%Y-%m-%d %H:%M:%S+00:00")
    call(
        [
            "db",
            "clean",
            "--clean-before-timestamp",
            stamp,
            "--skip-archive",
            "--yes",
            "--error-on-cleanup-failure",
        ]
    )
    folder = Path(call(["config", "get-value", "logging", "base_log_folder"]).strip().splitlines()[-1])
    files, size = cut_logs(folder, before.timestamp())
    said = call([str(QUIET_RUNS), f"{quiet_hours:g}"]).splitlines() if QUIET_RUNS.exists() else []
    quiet = [line.removeprefix(_REMOVED) for line in said if line.startswith(_REMOVED)]
    for run_id in quiet:
        shutil.rmtree(folder / "dag_id=contact_sync" / f"run_id={run_id}", ignore_errors=True)
    return Cleaned(before, files, size, len(quiet))


def cut_logs(folder: Path, before: float) -> tuple[int, int]:
    """Remove log files that nobody wrote to since a time, and folders that are empty then.

    Args:
        folder: Airflow's log folder; anything in it that is no ``.log`` file, or a link, stays.
        before: Seconds since 1970.

    Returns:
        How many files went, and their bytes.
    """
    files = size = 0
    for path in sorted(folder.rglob("*"), reverse=True):
        # A task may write to, or make, any of them at this moment; what is gone or not empty is left.
        with contextlib.suppress(OSError):
            found = path.lstat()
            if path.is_symlink() or found.st_mtime >= before:
                continue
            if path.is_dir():
                path.rmdir()
            elif ".log" in path.suffixes:
                path.unlink()
                files, size = files + 1, size + found.st_size
    return files, size


def _airflow(arguments: Sequence[str]) -> str:
    beside = Path(sys.executable).parent / "airflow"
    program = str(beside) if beside.exists() else shutil.which("airflow") or "airflow"
    # A script of ours runs in the Python that Airflow's own command runs in.
    is_script = arguments[0].endswith(".py")
    first = str(Path(program).parent / "python") if is_script else program
    try:
        done = subprocess.run(  # noqa: S603 - Airflow's own command, with arguments of ours
            [first, *arguments],
            capture_output=True,
            text=True,
            check=False,
        )
    except FileNotFoundError as error:
        raise ConfigError("There is no command airflow here. Run this where Airflow is installed.") from error
    if done.returncode:
        what = Path(first).name + " " + " ".join(Path(each).name for each in arguments[:2])
        raise ConfigError(f"{what} failed:\n{done.stderr.strip()[-2000:]}")
    return done.stdout
