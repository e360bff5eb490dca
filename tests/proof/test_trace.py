"""The same seed gives the same trace: in another process, with other hashes, on the other database."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.proof import trace
from tests.proof.databases import ROOT, Databases
from tests.proof.histories import draw
from tests.proof.tracing import Trace

#: Seeds in which workers are killed and work side by side, users act meanwhile, and services fail.
SEEDS = range(100002, 100005)


def digests(databases: Databases, kind: str, seeds: range = SEEDS) -> list[str]:
    found = []
    for seed in seeds:
        traced = Trace()
        assert trace.play(seed, databases, kind, traced) is None
        found.append(f"{seed} {traced.digest()}")
    return found


@pytest.fixture(scope="module")
def databases():
    with Databases() as made:
        yield made


@pytest.fixture(scope="module")
def on_sqlite(databases):
    return digests(databases, "sqlite")


def test_another_process_with_other_hashes_gives_the_same_digests(on_sqlite):
    command = [sys.executable, "-m", "tests.proof.trace", str(SEEDS.start), str(SEEDS.stop - 1)]
    told = subprocess.run(
        command,
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONHASHSEED": "7"},
    )
    assert told.stdout.splitlines() == on_sqlite


@pytest.mark.postgres
def test_postgresql_gives_the_same_digests(databases, on_sqlite):
    assert digests(databases, "postgresql", SEEDS[:2]) == on_sqlite[:2]


@pytest.mark.postgres
def test_a_database_that_is_lost_and_a_log_that_is_cut_are_the_same_on_both(databases):
    seed = range(350007, 350008)
    assert {"lose_database", "retention"} <= {step[0] for step in draw(seed.start).steps}
    assert digests(databases, "postgresql", seed) == digests(databases, "sqlite", seed)


def test_another_seed_gives_another_digest(on_sqlite):
    assert len({line.split()[1] for line in on_sqlite}) == len(SEEDS)


def test_a_kept_trace_shows_the_first_line_that_differs(tmp_path, capsys):
    kept = tmp_path / "kept"
    assert trace.main(["100003", "100003", "--keep", str(kept)]) == 0
    assert trace.main(["100003", "100003", "--diff", str(kept)]) == 0
    lines = kept.read_text().splitlines()
    assert any(line.startswith("POST ") for line in lines)
    assert any(line.startswith("+ sync_run ") for line in lines)
    lines[5] += " and more"
    kept.write_text("\n".join(lines) + "\n")
    capsys.readouterr()
    assert trace.main(["100003", "100003", "--diff", str(kept)]) == 1
    assert "line 6\n- " in capsys.readouterr().out
