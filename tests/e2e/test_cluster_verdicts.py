"""What scripts/cluster calls good: its verdicts on planted figures. The cluster itself is run by hand and at night."""

from __future__ import annotations

from typing import Any

import pytest

from tests.e2e import cluster
from tests.e2e.cluster import Pause, of_kill, of_limits, of_state
from tests.e2e.database_away import Office


def counted(*, bc: int = 5, refused: int = 1, mailbox: int = 4) -> dict[str, Any]:
    return {
        "bc": {"most_requests_in_flight": bc, "requests": 40, "refusals": refused},
        "graph": {
            "operations": 90,
            "refusals": 0,
            "mailboxes": {"a": {"most_in_flight": 1}, "b": {"most_in_flight": mailbox}},
        },
    }


def good(verdicts: list[cluster.Verdict]) -> list[bool]:
    return [verdict.good for verdict in verdicts]


def test_limits_that_were_held_pass() -> None:
    assert good(of_limits(counted(), 1)) == [True, True, True]


@pytest.mark.parametrize(
    ("figures", "injected", "expected"),
    [
        ({"bc": 6}, 1, [False, True, True]),
        # One at a time says nothing of a limit that several share.
        ({"bc": 1}, 1, [False, True, True]),
        ({"mailbox": 5}, 1, [True, False, True]),
        ({"refused": 2}, 1, [True, True, False]),
        ({"refused": 0}, 0, [True, True, False]),
    ],
)
def test_limits_that_were_not_held_fail(figures: dict[str, int], injected: int, expected: list[bool]) -> None:
    assert good(of_limits(counted(**figures), injected)) == expected


def looks(*counts: int) -> list[tuple[float, int]]:
    """A look each second from the refusal at 100 on."""
    return [(100.0 + n, count) for n, count in enumerate(counts)]


def test_a_pause_that_all_keep_passes() -> None:
    # What was on its way is answered within the first two seconds.
    pause = Pause(10, 100.0, looks(3, 6, 7, 7, 7, 7, 7, 7, 7, 7, 8, 12))
    assert (pause.within(), pause.behind()) == (0, 4)
    assert pause.verdict().good


@pytest.mark.parametrize(
    ("refused", "counts"),
    [
        # Another worker asks in the middle.
        (100.0, (3, 6, 7, 7, 7, 8, 8, 8, 8, 8, 8, 12)),
        # Nobody wanted anything afterwards, so that nothing was held back.
        (100.0, (3, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7)),
        # It was never refused, or nobody watched.
        (None, (3, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 12)),
        (100.0, ()),
    ],
)
def test_a_pause_that_shows_nothing_fails(refused: float | None, counts: tuple[int, ...]) -> None:
    assert not Pause(10, refused, looks(*counts)).verdict().good


@pytest.mark.parametrize("figures", [(0, 1, 1), (5, 0, 1), (5, 1, 0)])
def test_a_worker_that_had_nothing_to_do_was_not_killed_in_the_middle(figures: tuple[int, int, int]) -> None:
    assert not of_kill(*figures).good
    assert of_kill(5, 1, 1).good


def test_a_doubled_contact_fails() -> None:
    office = Office(1, 2)
    [mailbox] = office.mailboxes
    addresses = [*office.shared, office.own(mailbox)]

    def world(*items: str) -> dict[str, Any]:
        contacts = [{"properties": {"emailAddresses": [{"address": each}]}} for each in items]
        boxes = [{"user_principal_name": mailbox, "folders": [{"contacts": contacts}]}]
        return {"mailboxes": boxes, "companies": [{"contacts": [{"email": each} for each in addresses]}]}

    assert of_state("now", office.problems(world(*addresses))).good
    verdict = of_state("now", office.problems(world(*addresses, addresses[0])))
    assert verdict.line().startswith("FAIL both sides agree")
    assert f"{addresses[0]} 2 times" in verdict.figures
