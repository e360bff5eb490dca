"""The same seed gives the same trace: in another process, with other hashes, on the other database."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest
from sqlalchemy import select

from sandbox import Sandbox
from sync_lib.store import tables as t
from sync_lib.store.profiles.settings import remove_profile
from tests.proof import trace
from tests.proof.databases import ROOT, Databases
from tests.proof.histories import draw
from tests.proof.interventions import Killed, Killer
from tests.proof.tracing import Trace
from tests.sync.harness import Harness, person, world

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
    done = subprocess.run(
        command,
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONHASHSEED": "7"},
    )
    assert done.stdout.splitlines() == on_sqlite


@pytest.mark.postgres
def test_postgresql_gives_the_same_digests(databases, on_sqlite):
    assert digests(databases, "postgresql", SEEDS[:2]) == on_sqlite[:2]


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def traced(request, databases):
    """A harness in a world of its own, and the trace of its one worker."""
    with Sandbox(world=world(person("Jan Jansen")), transport="in_process") as sim:
        h, trace_ = Harness(sim, databases.new(request.param)), Trace(keep=True)
        trace_.watch(h.edges)
        yield h, trace_
        h.close()
    databases.drop()


def test_profiles_are_numbered_as_they_are_made_whatever_numbers_a_database_leaves_out(traced):
    h, trace_ = traced
    for again in range(3):
        h.add_profiles(f"voorbeeld{again}@voorbeeld.example")
        with h.edges.engine.begin() as conn:
            remove_profile(conn, conn.scalar(select(t.sync_profile.c.id)))
    made = [line for line in trace_.lines if line.startswith("+ profile_change")]
    assert [re.search(r"'profile': (\d+)", line)[1] for line in made] == ["1", "1", "1"]


def test_who_dies_in_a_commit_has_written_nothing(traced):
    h, trace_ = traced
    h.add_profiles()
    killer = Killer("commit", 0, after=False)
    killer.watch(h.edges)
    trace_.watch_commits(h.edges)
    before = len(trace_.lines)
    with pytest.raises(Killed):
        h.run()
    assert killer.dead
    assert trace_.lines[before:] == []


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
