"""A sample of the small world; the long run plays all of it (``small_world.py``, ``long.py``)."""

from __future__ import annotations

import itertools
from collections import Counter

import pytest

from tests.proof import small_world

#: Another case of each sort: an edit on each side, deletes, what is new, and an edit behind the crash.
SAMPLE = 97


@pytest.fixture
def small(tmp_path, new_database):
    played = small_world.Small(tmp_path, new_database("sqlite"))
    yield played
    played.close()


@pytest.mark.timeout(600)
def test_a_sample_of_the_small_world(small, record_property):
    counts = sum((small.play(case) for case in small_world.cases()[::SAMPLE]), Counter())
    assert counts["crashes"] > 10
    record_property("fired", {"F19": counts["crashes"]})


def test_the_small_world_is_complete():
    cases = small_world.cases()
    assert len(cases) == 382
    assert len({str(case) for case in cases}) == len(cases)
    assert {case.start for case in cases} == set(small_world.STARTS)
    both = {(case.bc, case.ol) for case in cases if case.start == "agreed" and not case.behind}
    kinds = ("job own", "job blank", "job same", "phone own", "phone blank", "phone same", "delete")
    single = [(), *((kind,) for kind in kinds if "same" not in kind)]
    assert both >= set(itertools.product(single, repeat=2))
    edits = [edit for case in cases for edit in (*case.bc, *case.ol)]
    assert {edit for edit in edits if not edit.startswith("add")} == {*kinds, "job back"}
