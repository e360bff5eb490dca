"""Random histories over the real pipeline, the real clients and the real sandbox, judged by an oracle of its own.

A seed decides a history whole: its profiles, settings and switches, the database, what users do, what fails, and when
the sync runs. A failure prints its seed and the history that is left when all that does not matter is taken out. The
long run plays more of them (``long.py``).
"""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import replace

import pytest

from sandbox.faults import PRESETS
from sync_lib import pipeline
from tests.proof import fleet, histories, mapped, odd_values, shrinking, upkeep, users, wanted
from tests.proof.databases import Databases
from tests.proof.histories import History
from tests.proof.verdict import Violation

SHORT = 5
#: CPU seconds that the short run of all groups together may take; at least 50 histories are played in any case.
BUDGET = 60.0


def play(seeds: range, databases: Databases, *, steps: int, seconds: float = 1e9) -> Counter[str]:
    fired: Counter[str] = Counter()
    ends = time.process_time() + seconds
    for number, seed in enumerate(seeds):
        if number >= SHORT and time.process_time() > ends:
            break
        found = shrinking.report(histories.draw(seed, steps=steps), databases, fired, tries=60)
        assert not found, found
        fired["histories"] += 1
    return fired


@pytest.fixture(scope="module")
def databases():
    with Databases() as made:
        yield made


@pytest.mark.postgres
@pytest.mark.timeout(900)
@pytest.mark.parametrize("group", range(10))
def test_short_histories(group, databases, record_property):
    first = 1000 * group + 1
    fired = play(range(first, first + 3 * SHORT), databases, steps=40, seconds=BUDGET / 10)
    record_property("fired", dict(fired))


#: What failed once, as shrinking left it.
FOUND = {
    "a pair that was coupled in one round and updated in the next counted twice": (
        203,
        (
            ("run", "full"), ("bc_edit", 918, 358, "country", 2), ("copy", 600, 391), ("undo", 417, 770),
            ("during", "full", "call", 4, (("ol_edit", 465, 609, "county", 2), ("rename_folder", 183, 121))),
            ("bc_edit", 17, 933, "city", 4), ("undo", 493, 190), ("lag", 142, 492),
            ("ol_edit", 689, 444, "street", 2), ("ol_edit", 755, 892, "name", 1), ("run", "incremental"),
        ),
    ),
    "a code was typed in small letters while a user of Outlook typed another one": (
        700471,
        (
            ("bc_edit", 0, 0, "post", 0), ("run", "full"), ("ol_edit", 0, 0, "post", 4),
            ("bc_edit", 0, 0, "job", 0), ("bc_value", 0, 0, "post", "otherwise"),
        ),
    ),
    "a profile ended while the plan behind a move held what loses a conflict": (
        700742,
        (("run", "full"), ("environment", 349, 608), ("ol_edit", 0, 0, "street", 0), ("end", 0, 0)),
    ),
    "a copy was flagged private when its mailbox moved to another server": (
        700409,
        (
            ("run", "full"), ("copy", 0, 0), ("private", 0, 0), ("private", 0, 1), ("ol_edit", 0, 0, "post", 1),
            ("ol_edit", 0, 1, "post", 1), ("migrate_mailbox", 0, 0),
        ),
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", FOUND)
def test_what_failed_once(what, new_database):
    seed, steps = FOUND[what]
    drawn = histories.draw(seed)
    history = replace(
        drawn, database="sqlite", sandbox={}, people=6, profiles=drawn.profiles[:1], steps=steps
    )
    assert shrinking.attempt(history, new_database) is None


def test_who_wakes_at_a_time_that_no_number_is_exactly_goes_on(new_database):
    assert shrinking.attempt(histories.draw(51, steps=12), new_database) is None


def test_a_seed_is_a_history():
    assert histories.draw(7) == histories.draw(7)
    assert str(histories.draw(7)) != str(histories.draw(8))


def test_every_fault_is_drawn():
    steps = [step for seed in range(300) for step in histories.draw(seed).steps]
    drawn = {histories.FAULTS[step[1]]["name"] for step in steps if step[0] == "fault"}
    drawn |= {histories.UNKIND_FAULTS[step[1]]["name"] for step in steps if step[0] == "unkind"}
    drawn |= {"F37" for step in steps if step[0] == "late"}
    drawn |= set(histories.STANDS_FOR.values()) | {"F16"}  # F16: what users do between two pages of a run.
    drawn |= {histories.MALFORMED[step[1] % 3]["name"] for step in steps if step[0] == "malformed"}
    assert drawn == set(PRESETS)
    more = {*histories.MORE} - {"meanwhile"}
    assert {step[0] for step in steps} == {
        *histories.WEIGHTS,
        *histories.UNKIND,
        *more,
        "undo",
        *users.STEPS,
        *fleet.STEPS,
        *upkeep.STEPS,
        *wanted.STEPS,
    }
    meanwhile = {inner[0] for step in steps if step[0] == "during" for inner in step[4]}
    assert meanwhile == {*histories.MEANWHILE, *histories.ABOVE, *wanted.STEPS}
    fired = {
        histories.FAULTS[step[1] % len(histories.FAULTS)]["name"] for step in steps if step[0] == "fault"
    }
    assert fired == {fault["name"] for fault in histories.FAULTS}


def test_every_field_and_kind_of_value_is_drawn():
    steps = [step for seed in range(300) for step in histories.draw(seed).steps]
    for side in ("bc_value", "ol_value"):
        drawn = [step[3:] for step in steps if step[0] == side]
        assert {field for field, _ in drawn} == {*users.EDITED, *users.EXTENDED}
        assert {kind for _, kind in drawn} == {*odd_values.KINDS}


@pytest.mark.parametrize("name", odd_values.LENGTHS)
def test_a_value_over_the_length_is_longer_than_one_that_is_as_long_as_allowed(name):
    most = odd_values.LENGTHS[name]
    for n in range(1000, 1012):
        full, over = (odd_values.value(name, kind, n, "") for kind in ("full", "over"))
        assert [len(value.encode("utf-16-le")) // 2 for value in (full, over)] == [most, most + 1]


@pytest.mark.parametrize("name", users.EDITED)
def test_a_value_that_is_written_otherwise_is_the_same_value(name):
    for n in range(1000, 1020):
        old = odd_values.value(name, "plain", n, "")
        other = odd_values.value(name, "otherwise", n, old)
        assert mapped.normal(name, other) == mapped.normal(name, old)
        assert mapped.key_of(other) == mapped.key_of(old) or name in ("country", "post")


def test_limits_are_tight_in_some_histories():
    tight = {name for seed in range(100) for name in users.settings(seed)}
    assert {"guard_deletes", "guard_few_deletes", "guard_overwrites", "guard_creates"} <= tight
    assert not all(users.settings(seed) for seed in range(100))


def test_shrinking_leaves_what_matters():
    def again(history: History) -> Exception | None:
        names = [step[0] for step in history.steps]
        return Violation("I5: broken") if "bc_add" in names and "ol_delete" in names else None

    history = next(h for h in map(histories.draw, range(100)) if again(h))
    shrunk, error = shrinking.shrink(history, Violation("I5: broken"), again)
    assert sorted(step[0] for step in shrunk.steps) == ["bc_add", "ol_delete"]
    assert str(error) == "I5: broken"
    assert len(shrunk.profiles) == 1


def test_a_failure_is_played_again_from_its_last_line_alone(capsys, monkeypatch):
    """A planted bug: names from Outlook are written to Business Central with a letter too many."""
    real = pipeline.sync_profile

    def sync_profile(edges, *arguments):
        send = edges.business_central.update_contacts

        def planted(update):
            body = {k: f"{v}x" if k == "displayName" else v for k, v in update.body.items()}
            return replace(update, body=body)

        monkeypatch.setattr(
            edges.business_central,
            "update_contacts",
            lambda company, updates: send(company, [planted(update) for update in updates]),
        )
        return real(edges, *arguments)

    monkeypatch.setattr(pipeline, "sync_profile", sync_profile)
    seeds = range(20, 60)
    with Databases() as made:
        drawn = (histories.draw(n, steps=12) for n in seeds)
        found = next(filter(None, (shrinking.report(history, made, {}, tries=8) for history in drawn)))
    *_, line = found.splitlines()
    arguments = line.removeprefix("again: python -m tests.proof.shrinking ").split()
    assert shrinking.main([*arguments, "--tries", "8"]) == 1
    again = capsys.readouterr().out.strip()
    assert again == found
    assert len(found.splitlines()) < len(str(histories.draw(int(arguments[0]), steps=12)).splitlines())
