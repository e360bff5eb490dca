"""The planted bugs fit the engine as it is; whether tests notice them is the long run's (``planted.py``)."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from tests.sync import planted


@pytest.mark.parametrize("bug", planted.BUGS, ids=lambda bug: bug.name)
def test_each_planted_bug_changes_the_engine(bug, tmp_path):
    copy = tmp_path / bug.path
    copy.parent.mkdir(parents=True)
    source = (planted.ROOT / bug.path).read_text()
    copy.write_text(source)
    bug.plant(tmp_path)
    changed = copy.read_text()
    assert ast.dump(ast.parse(changed)) != ast.dump(ast.parse(source))
    assert (planted.ROOT / bug.first).exists()
    assert bug.place().startswith(f"{bug.path}::")


def test_the_page_names_the_function_of_each_bug():
    """A table of lines is wrong with the next change of the engine."""
    page = (planted.ROOT / "docs/reliability.md").read_text()
    for bug in planted.BUGS:
        file, _, function = bug.place().partition("::")
        assert function
        assert f"| {bug.name} | `{file}::{function}` |" in page


def test_there_are_25_of_them():
    assert len({bug.name for bug in planted.BUGS}) == len(planted.BUGS) == 25


def test_a_text_that_is_gone_is_an_error(tmp_path):
    (tmp_path / "engine.py").write_text("a = 1\n")
    with pytest.raises(LookupError, match="0 times"):
        planted.Bug("x", "engine.py", "b = 1", "b = 2", "").plant(Path(tmp_path))
