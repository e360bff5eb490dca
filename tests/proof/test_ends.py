"""The oracle notices what goes wrong with profiles that end, contacts that are left out, and groups of a filter."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from sync_lib.diff import ending as plan
from sync_lib.fields.filters import Filter
from sync_lib.run import ending, inputs
from sync_lib.store import wishes
from tests.proof import filters, histories, shrinking, wanted
from tests.proof.histories import History, Step
from tests.proof.oracle import Setup
from tests.proof.verdict import Violation

BOX = "anna@voorbeeld.example"
FULL: Step = ("run", "full")
RUN: Step = ("run", "incremental")
KEEP, REMOVE = 0, 1
#: Contacts by the order in which they were made: the first one is of Zaandam, the second one of Utrecht.
FIRST, SECOND = 0, 1
#: What Business Central refuses, as it is too long.
TOO_LONG = 4


def history(*steps: Step, **setup: Any) -> History:
    settings = {"longest_request": 0.0, "id_scan_requests": 5, "id_scan_cheap_every": 0.0, "retry_cap": 1.0}
    settings |= dict.fromkeys(("guard_deletes", "guard_few_deletes", "guard_emptied_from"), 100)
    profiles = (Setup(BOX, **setup),)
    return History(
        1, "sqlite", settings, {}, "standard", checked=True, people=4, profiles=profiles, steps=steps
    )


def edit(item: int, variant: int = 0) -> Step:
    return ("ol_edit", 0, item, "job", variant)


def unless(where: Any, name: str, planted: Any) -> Any:
    def plant(patch: pytest.MonkeyPatch) -> None:
        patch.setattr(where, name, planted)

    return plant


def _reads_what_is_left_out(patch: pytest.MonkeyPatch) -> None:
    real = inputs.read_view
    # Where it is defined: each history puts its own check of what is read in the place that calls it.
    patch.setattr(
        "sync_lib.run.inputs.read_view",
        lambda conn, scope, some=None: real(conn, replace(scope, left_out=frozenset()), some),
    )


def _every_group(self: Filter, frame: Any, *, me: str) -> Any:
    from sync_lib.fields.filters import _group_mask

    masks = [_group_mask(group, frame, me) for group in self.groups]
    found = frame.index == frame.index
    for mask in masks:
        found = found & mask.to_numpy(bool)
    return masks[0] & found if masks else ~frame.index.isna() & _nothing(frame)


def _nothing(frame: Any) -> Any:
    import pandas as pd

    return pd.Series(True, index=frame.index)


ENDS = (edit(FIRST), ("end", 0, KEEP), RUN)
LEFT_OUT = ("leave_out", 0, FIRST)
TWO_GROUPS = {"groups": ((("City", "Zaandam"),), (("City", "Utrecht"),))}
#: What goes wrong -> the steps in which it shows, what the oracle says, and how it is planted.
FAULTS: dict[str, tuple[History, str, Any]] = {
    "the last edit stays behind": (
        history(FULL, *ENDS),
        "I1: the last edits",
        unless(ending._End, "_sync_last_edits", lambda *_: None),
    ),
    "what was edited goes": (
        history(FULL, edit(FIRST, TOO_LONG), ("end", 0, REMOVE), RUN),
        "I1: .* is lost",
        unless(plan, "is_edited", lambda *_: False),
    ),
    "what nobody edited stays": (
        history(FULL, edit(FIRST), RUN, ("end", 0, REMOVE), RUN),
        "I5: .* stays when its profile is removed",
        unless(plan, "is_edited", lambda *_: True),
    ),
    "what was to stay goes": (
        history(FULL, ("end", 0, KEEP), RUN),
        "I4: .* was deleted without a cause",
        unless(ending, "Ending", lambda context, _removes, known: plan.Ending(context, True, known)),
    ),
    "keys stay": (
        history(FULL, ("end", 0, KEEP), RUN),
        "I8: 4 items are marked",
        unless(ending, "plan_end", lambda *_: []),
    ),
    "the folder stays": (
        history(FULL, ("end", 0, REMOVE), RUN),
        "I5: the empty folder",
        unless(ending, "_is_ours", lambda _: False),
    ),
    "a folder goes that is to stay": (
        history(FULL, edit(FIRST, TOO_LONG), ("end", 0, REMOVE), RUN),
        "I4: 1 items were deleted with the folder",
        unless(ending, "_is_empty", lambda _: True),
    ),
    "the end never comes": (
        history(FULL, ("end", 0, KEEP), RUN),
        "I5: the profile 0 was to end",
        unless(ending, "end", lambda _services, _run, _profile, _lease, _sync: ending.Result()),
    ),
    "left out and made": (
        history(FULL, LEFT_OUT, ("profile", 0, "city", 0), RUN, city="Utrecht"),
        "I8: .* coupled",
        _reads_what_is_left_out,
    ),
    "left out and not gone": (
        history(FULL, LEFT_OUT, RUN),
        "I5: .* stays, out of scope",
        _reads_what_is_left_out,
    ),
    "taken back and not made": (
        history(FULL, LEFT_OUT, RUN, ("take_back", 0, 0), RUN),
        "I5: .* that is not so",
        unless(wishes, "take_back", lambda *_: None),
    ),
    "a wish that changes nothing": (
        history(FULL, ("ol_delete", 0, FIRST), RUN, ("sync_now", 0, 4), RUN, deleted_in_outlook="stay_away"),
        "I5: .* stay_away, and that is not so",
        unless(wishes, "_WISHED", wishes._WISHED.where(wishes._W.id < 0)),
    ),
    "all groups must hold": (
        history(FULL, **TWO_GROUPS),
        "I5: .* is in scope and not in Outlook",
        unless(Filter, "mask", _every_group),
    ),
}


@pytest.mark.parametrize("what", FAULTS)
def test_the_oracle_notices(what, new_database, monkeypatch):
    played, says, plant = FAULTS[what]
    assert shrinking.attempt(played, new_database) is None
    plant(monkeypatch)
    error = shrinking.attempt(played, new_database)
    with pytest.raises(Violation, match=says):
        raise error or AssertionError("nothing was noticed")


def test_what_is_typed_once_an_end_has_begun_is_its_owners(new_database):
    refused = next(n for n, spec in enumerate(histories.MALFORMED) if spec == {"name": "F29", "part": True})
    # Graph refuses one of the items that lose their key, so that the profile ends with the next run.
    played = history(FULL, ("malformed", refused, 1), ("end", 0, KEEP), RUN, edit(FIRST), edit(SECOND), RUN)
    assert shrinking.attempt(played, new_database) is None


def test_all_of_it_is_drawn():
    drawn = [histories.draw(seed) for seed in range(300)]
    inner = {each[0] for h in drawn for step in h.steps if step[0] == "during" for each in step[4]}
    assert inner >= set(wanted.STEPS)
    for profile in ("standard", "extended"):
        grouped = {p.groups for h in drawn if h.field_profile == profile for p in h.profiles}
        assert grouped >= {*(filters.DRAWN if profile == "standard" else filters.OF_SALESPEOPLE)}
        named = any(filters.names_salesperson(groups) for groups in grouped)
        assert named == (profile == "extended")


@pytest.mark.parametrize(
    ("groups", "me", "wanted_"),
    [
        ((), "", True),
        (((("City", "Utrecht|Zaandam"),),), "", True),
        (((("City", "<>Zaandam"),),), "", False),
        (((("Salesperson Code", "%me"),),), "", False),
        (((("Salesperson Code", "%me"),),), "AB", True),
        (((("Salesperson Code", "%me"), ("Job Title", "<>''")), (("Name", "*an*"),)), "AB", True),
        (((("Salesperson Code", "%me"), ("Job Title", "<>''")),), "AB", False),
    ],
)
def test_a_contact_is_in_one_of_the_groups(groups, me, wanted_):
    contact = {"city": "Zaandam", "salespersonCode": "AB", "displayName": "Jan", "jobTitle": ""}
    assert filters.holds(groups, contact, me) is wanted_
