"""Cut Airflow's own database and log files by age: a thousand profiles leave some 1.4 GB a day in the two.

It calls Airflow's own command and must run outside of a task, where Airflow hides the address of its database.
"""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from sync_lib.errors import ConfigError

#: Holds wait for a person in a run of their own; Airflow must not forget it before the person has answered.
FEWEST_DAYS = 8

Call = Callable[[Sequence[str]], str]


@dataclass(frozen=True, slots=True)
class Cleaned:
    """What was cut: log files and their bytes, and the time before which everything went."""

    before: datetime
    files: int
    size: int


def clean(days: int, *, now: datetime | None = None, call: Call | None = None) -> Cleaned:
    """Remove what Airflow's database and log folder hold that is older than so many days.

    Args:
        days: How many are kept; at least ``FEWEST_DAYS``.
        now: The present, for tests.
        call: Runs ``airflow`` with these arguments and returns what it printed.

    Raises:
        ConfigError: Too few days, there is no ``airflow``, or it failed.
    """
    if days < FEWEST_DAYS:
        raise ConfigError(
            f"--days is {days}; at least {FEWEST_DAYS} are kept, since approvals wait for a week."
        )
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
    return Cleaned(before, files, size)


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
    program = Path(sys.executable).parent / "airflow"
    try:
        done = subprocess.run(  # noqa: S603 - Airflow's own command, with arguments of ours
            [str(program) if program.exists() else "airflow", *arguments],
            capture_output=True,
            text=True,
            check=False,
        )
    except FileNotFoundError as error:
        raise ConfigError("There is no command airflow here. Run this where Airflow is installed.") from error
    if done.returncode:
        raise ConfigError(f"airflow {' '.join(arguments[:2])} failed:\n{done.stderr.strip()[-2000:]}")
    return done.stdout
