"""A worker that is killed in the middle of an undo: the next runs end where one without a crash ends."""

from __future__ import annotations

import pytest

from tests.proof.crashes import Start, killed_everywhere, recover, state
from tests.sync.harness import person, world
from tests.sync.test_undo import JAN, PIET, ask, outcome, title


@pytest.fixture
def database_kind() -> str:
    """A moment to go back to is a copy of a file."""
    return "sqlite"


def test_killed_before_any_effect_it_ends_as_without_a_crash(make_harness, tmp_path):
    people = [person(name, jobTitle="Inkoper", city="Delft") for name in (JAN, PIET, "Ans Aal", "Wim Weg")]
    h = make_harness(world(*people), retry_cap=1.0, longest_request=0.0, guard_few_deletes=100)
    h.add_profiles(filter={"City": "Delft"}, policies={"deleted_in_outlook": "stay_away"})
    h.full()
    h.edit_contact(JAN, jobTitle="Directeur")
    h.edit_item(PIET, jobTitle="Chef", mobilePhone="06 5550 1234")
    h.edit_contact("Wim Weg", city="Gouda")
    h.add_contact("Kees Kool", city="Delft")
    h.run(run_id="second")
    key = ask(h, "second")
    start = Start(h, tmp_path)
    start.again()
    h.run()
    recover(h)
    wanted = state(h)
    assert title(h) == title(h, PIET) == ("Inkoper", "Inkoper")
    assert set(h.items()) == {JAN, PIET, "Ans Aal", "Wim Weg"}

    def judge(where: str) -> None:
        recover(h)
        assert state(h) == wanted, where
        assert outcome(h, key)[0] == "done", where

    counts = killed_everywhere(start, h.run, judge)
    assert counts["crashes"] > 8
