"""A fault that never fired makes the run of the tests fail."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests import faults

ROOT = Path(__file__).resolve().parent.parent


def test_faults_are_counted_over_all_processes(tmp_path):
    counted = tmp_path / "faults.txt"
    command = [sys.executable, "-m", "pytest", "-q", "-n", "1", "-p", "no:cacheprovider", "--faults", counted]
    ran = subprocess.run(
        [*command, "tests/sandbox/test_faults.py", "-k", "f3 or f5_resets"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 1, "most faults did not fire there"
    lines = counted.read_text().splitlines()
    assert int(next(line for line in lines if line.startswith("F5 ")).split()[2]) > 1
    assert "F4, F6" in next(line for line in lines if line.startswith("NEVER FIRED"))
    assert counted.read_text() in ran.stdout


def test_all_faults_that_fired_are_enough(tmp_path):
    count = faults.Count(str(tmp_path / "faults.txt"))
    count.fired[faults.RANDOM].update(dict.fromkeys(faults.FAULTS[:-1], 1))
    assert count.missing == [faults.FAULTS[-1]]
    count.fired[faults.TARGETED].update({faults.FAULTS[-1]: 3})
    assert count.missing == []
    assert "NEVER" not in count.table()
