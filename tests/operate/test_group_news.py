"""What people hear of a look at the groups: each thing with its reason and remedy, in English and in Dutch."""

from __future__ import annotations

from typing import Any

import pytest

from sync_lib.operate import group_news
from sync_lib.operate.group_plan import Step, StepKind
from sync_lib.operate.groups import SAID, GroupReport, LeftAlone
from sync_lib.operate.notices import Notice
from sync_lib.store.profiles.file import GroupEntry
from sync_lib.store.profiles.groups import Group
from sync_lib.web.groups_words import TROUBLES
from sync_lib.web.news_words import in_words

PAGES = "https://airflow.example/contact_sync"
GROUP = Group(1, GroupEntry("Verkoop", "Molenzicht BV"))


def step(kind: StepKind, n: int = 1, *, ends: str = "", **values: object) -> Step:
    return Step(kind, GROUP, f"user-{n}", f"m{n}@example.nl", values=values, ends=ends)


def told(language: str = "en", **report: Any) -> Notice:
    news = group_news.of_groups([GroupReport(GROUP, **report)])
    assert news
    notice = in_words(news, language, PAGES)
    assert notice
    return notice


def test_where_nothing_happened_nobody_hears_of_it():
    left_alone = [LeftAlone("m1@example.nl", "the account is disabled")]
    forgotten = [step(StepKind.FORGOTTEN)]
    report = GroupReport(GROUP, 8, done=forgotten, left_out=left_alone)
    assert group_news.of_groups([report]) is None


def test_each_thing_is_said_with_what_becomes_of_the_profiles():
    off = {"enabled": False}
    notice = told(
        done=[
            step(StepKind.JOINS, 1),
            step(StepKind.JOINS, 2),
            step(StepKind.RETURNS, 3, enabled=True),
            step(StepKind.RETURNS, 4),
            step(StepKind.CHANGES, 5, language="en"),
            step(StepKind.MOVES, 6),
            step(StepKind.LEAVES, 7, **off),
            step(StepKind.LEAVES, 8),
            step(StepKind.LEAVES, 9, ends="keep", **off),
            step(StepKind.LEAVES, 10, ends="remove", **off),
        ]
    )
    assert notice.parts == (
        (
            "4 people left a group",
            (
                "Verkoop -> Molenzicht BV: m7@example.nl: Switched off; their folders stay as they are.",
                "Verkoop -> Molenzicht BV: m8@example.nl: Their profiles stay as a person set them.",
                (
                    "Verkoop -> Molenzicht BV: m9@example.nl: The next run ends their profiles; "
                    "the contacts stay in Outlook."
                ),
                (
                    "Verkoop -> Molenzicht BV: m10@example.nl: The next run ends their profiles, and deletes in "
                    "Outlook what the sync made and nobody edited since."
                ),
            ),
        ),
        (
            "2 people joined a group and get a profile",
            ("Verkoop -> Molenzicht BV: m1@example.nl, m2@example.nl",),
        ),
        (
            "2 people are back in a group",
            (
                "Verkoop -> Molenzicht BV: m3@example.nl: Their profiles are switched on again.",
                "Verkoop -> Molenzicht BV: m4@example.nl: Their profiles stay as a person set them.",
            ),
        ),
        ("1 person went over to another group", ("Verkoop -> Molenzicht BV: m6@example.nl",)),
        ("1 profile was changed by its group", ("Verkoop -> Molenzicht BV: m5@example.nl",)),
    )
    assert notice.links == (("Open the groups", f"{PAGES}/groups"),)


@pytest.mark.parametrize("trouble", [each for each in SAID if each != "some_failed"])
@pytest.mark.parametrize("language", ["en", "nl"])
def test_a_trouble_is_said_in_words_with_its_remedy(language, trouble):
    notice = told(language, trouble=trouble, message="of a service: (F9)")
    [(heading, [line])] = notice.parts
    assert heading == {"en": "1 group needs attention", "nl": "1 groep vraagt aandacht"}[language]
    assert line.startswith("Verkoop -> Molenzicht BV: ")
    means, remedy = TROUBLES[trouble]
    assert ((means in line) and (remedy in line)) == (language == "en"), "the other language is no English"
    assert ("F9" in line) == (trouble == "group_ambiguous"), "the ids of that one are what a person needs"


def test_who_waits_and_who_could_not_be_dealt_with_are_named_and_no_error_is():
    notice = told(
        "nl",
        trouble="some_failed",
        failed=[LeftAlone("m1@example.nl", "RuntimeError")],
        waiting=(step(StepKind.LEAVES, 2), step(StepKind.LEAVES, 3)),
    )
    assert notice.subject == (
        "Contactsynchronisatie: 1 lid van een groep kon niet verwerkt worden, "
        "2 mensen die een groep verlieten wachten op u"
    )
    assert [line for _, lines in notice.parts for line in lines] == [
        (
            "Verkoop -> Molenzicht BV: m1@example.nl: Het log van reconcile_groups zegt waarom; "
            "de volgende nacht volgt een nieuwe poging."
        ),
        "Verkoop -> Molenzicht BV: m2@example.nl, m3@example.nl",
    ]
