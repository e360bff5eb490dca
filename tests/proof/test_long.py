"""The long run goes on where it stopped, stops for no failure, and says what it came to."""

from __future__ import annotations

import pytest

from tests.proof import long, planted, small_world
from tests.proof.long import Done, Ledger, Task

HISTORIES = [Task("histories", str(n)) for n in range(4)]
NOTHING_ELSE = {"planted": 0, "killed": 0, "small": 0}


def carry_out(left):
    for task in left:
        broken = "I3: two items\nseed 2" if task.key == "2" else ""
        yield Done(task.part, task.key, 1.0, {"F4": 2}, broken)


@pytest.fixture
def ledger(tmp_path):
    return Ledger(tmp_path / "digest" / "done.jsonl")


def test_it_goes_on_where_it_stopped(ledger):
    for _, done in zip(range(2), carry_out(HISTORIES), strict=False):
        ledger.add(done)
    with ledger.path.open("a") as file:
        file.write('{"part": "histories", "ke')
    again = Ledger(ledger.path)
    assert again.left(HISTORIES) == HISTORIES[2:]


def test_a_failure_stops_nothing_and_is_tried_again(ledger, capsys):
    long.carry_out_all(HISTORIES, ledger, carry_out, 2)
    printed = capsys.readouterr().out
    assert "FAILED histories 2\nI3: two items\nseed 2" in printed
    assert "4 of 4 done, histories 4/4" in printed
    assert ledger.left(HISTORIES) == [Task("histories", "2")]
    assert [done.key for done in long.failures(HISTORIES, ledger)] == ["2"]


def test_the_summary_counts(ledger):
    long.carry_out_all(HISTORIES, ledger, carry_out, 2)
    ledger.add(Done("planted", "no overlap", 9.0, {"caught": 1, "by tests/a.py::test_b": 1, "at a.py:3": 1}))
    ledger.add(Done("small", "agreed", 3.0, {"crashes": 11, "places": 54}))
    wanted = [*HISTORIES, Task("planted", "no overlap"), Task("small", "agreed")]
    text = long.summary(wanted, ledger, 2)
    assert "| 4 | 4 | 1 |" in text
    assert "duplicates (I3): 1" in text
    assert "lost updates (I1): 0" in text
    assert "Failed: histories 2." in text
    assert "F4: 8" in text
    assert "Crashes: 11, for 54 places" in text
    assert "| no overlap | `a.py:3` | `tests/a.py::test_b` | 9 |" in text
    assert long.digest() in text


def test_one_planted_bug_may_go_unnoticed_and_no_second_one(ledger):
    bugs = [Task("planted", name) for name in ("no overlap", "no If-Match", "control")]
    for bug in bugs[:1]:
        ledger.add(Done("planted", bug.key, 1.0, {}, "no test fails"))
    assert long.failures(bugs, ledger) == []
    ledger.add(Done("planted", "no If-Match", 1.0, {}, "no test fails"))
    assert len(long.failures(bugs, ledger)) == 2


def test_all_of_it_is_planned():
    amounts = {part: sum(task.part == part for task in long.tasks({})) for part in long.PARTS}
    assert amounts == {"planted": 75, "killed": 200, "small": 382, "histories": 5000}
    assert amounts["planted"] == len(planted.names())
    assert amounts["small"] == len(list(small_world.cases()))


def test_another_first_seed_goes_on_with_the_same_code(ledger):
    for first in (100_000, 200_000):
        long.carry_out_all(long.tasks({"histories": 3, **NOTHING_ELSE}, first), ledger, carry_out, 2)
    text = long.summary(ledger.tasks(), ledger, 2)
    assert "seeds 100000 to 100002, 200000 to 200002" in text
    assert "| 6 | 6 | 0 |" in text


def test_one_history_in_ten_is_on_postgresql_whatever_it_was_drawn_with():
    in_process = [h for h in map(long.drawn, range(100_000, 100_100)) if h.transport == "in_process"]
    on = {h.seed for h in in_process if h.database == "postgresql"}
    assert on == {h.seed for h in in_process if h.seed % 10 == 0}


def test_the_document_gets_the_summary(tmp_path):
    page = tmp_path / "reliability.md"
    page.write_text(f"above\n{long.BEGIN}\nold\n{long.END}\nbelow\n")
    long.write_docs("new", page)
    assert page.read_text() == f"above\n{long.BEGIN}\nnew\n{long.END}\nbelow\n"
    assert long.BEGIN in long.DOCS.read_text()
    with pytest.raises(LookupError, match="no place"):
        long.write_docs("new", long.ROOT / "README.md")


def test_tasks_are_carried_out():
    worker = long.Worker()
    with worker.open:
        assert worker.carry_out(Task("histories", "100007")).error == ""
        done = worker.carry_out(Task("small", "agreed; BC: -; Outlook: -"))
        assert done.error == ""
        assert done.counts["places"]
        assert "StopIteration" in worker.carry_out(Task("small", "no such case")).error
    assert not worker.databases.home.exists()
