"""The planted bugs fit the engine as it is; whether tests notice them is the long run's (``planted.py``)."""

from __future__ import annotations

import ast

import pytest

from tests.proof import planted


@pytest.mark.parametrize("bug", planted.BUGS, ids=lambda bug: bug.name)
def test_each_planted_bug_changes_the_engine(bug, tmp_path):
    file = bug.place().partition("::")[0]
    copy = tmp_path / file
    copy.parent.mkdir(parents=True)
    source = (planted.ROOT / file).read_text()
    copy.write_text(source)
    bug.plant(tmp_path)
    changed = copy.read_text()
    assert ast.dump(ast.parse(changed)) != ast.dump(ast.parse(source))
    assert (planted.ROOT / bug.first).exists()


def test_the_page_names_the_function_of_each_bug():
    """A table of lines is wrong with the next change of the engine."""
    page = (planted.ROOT / "docs/reliability.md").read_text()
    for bug in planted.BUGS:
        file, _, function = bug.place().partition("::")
        assert function
        assert f"| {bug.name} | `{file}::{function}` |" in page


def test_there_are_74_of_them():
    assert len({bug.name for bug in planted.BUGS}) == len(planted.BUGS) == 74


def test_a_bug_is_found_wherever_its_function_is(tmp_path):
    (tmp_path / "sync_lib/room").mkdir(parents=True)
    (tmp_path / "sync_lib/other.py").write_text("def other():\n    a = 1\n")
    (tmp_path / "sync_lib/room/moved.py").write_text("class Room:\n    def count(self):\n        b = 1\n")
    bug = planted.Bug("x", "count", "b = 1", "b = 2", "")
    assert bug.place(tmp_path) == "sync_lib/room/moved.py::Room.count"
    bug.plant(tmp_path)
    with pytest.raises(LookupError, match="0 functions count"):
        bug.place(tmp_path)


def test_a_text_in_another_function_is_not_the_bug(tmp_path):
    (tmp_path / "sync_lib").mkdir()
    (tmp_path / "sync_lib/engine.py").write_text("def other():\n    b = 1\n")
    with pytest.raises(LookupError, match="0 functions count"):
        planted.Bug("x", "count", "b = 1", "b = 2", "").plant(tmp_path)
