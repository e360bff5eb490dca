"""The weekly mail: who asked hears once a week what of their contacts does not sync, and nobody else hears of it."""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import update

from sync_lib.operate import weekly_mail
from sync_lib.operate.weekly_mail import Letter, week_of
from sync_lib.store import tables as t
from sync_lib.store import weekly_mail as store
from sync_lib.store.engine import read, transaction
from sync_lib.web import mine_mail
from tests.sync.harness import COMPANY, Harness, person, world

pytestmark = pytest.mark.both_databases

ANNA, BRAM = "anna@voorbeeld.example", "bram@voorbeeld.example"
ZONE, PAGE = "Europe/Amsterdam", "https://airflow.example/contact_sync/me"
DAY = 86_400.0
SENT, QUIET, FAILED = "sent", "nothing to say", "failed"


@pytest.fixture
def h(make_harness: Any) -> Harness:
    """Jan syncs in both folders; Piet has no address, which each of the two has asked to hear of."""
    people = (person("Jan Jansen"), person("Piet Smit", ""))
    made: Harness = make_harness(world(*people, mailboxes=[ANNA, BRAM]), transport="in_process")
    made.add_profiles(ANNA, BRAM)
    made.full()
    for profile in (1, 2):
        choose(made, profile, "nl" if profile == 2 else "en")
    return made


def choose(h: Harness, profile: int, language: str = "en", *, wanted: bool = True) -> None:
    with transaction(h.edges.engine) as conn:
        store.choose(conn, profile, language, wanted=wanted)


def let_pass(h: Harness, seconds: float) -> None:
    """Move the sandbox's own clock, which nothing else moves: nobody waits."""
    assert h.sim.time is not None
    h.sim.time.sleep(seconds)


def go_to(h: Harness, weekday: int, hour: int = 4) -> None:
    """Go to this hour, in UTC, of the next such day of the week; Monday is 0."""
    now = datetime.fromtimestamp(h.sim.time.time(), UTC)
    then = (now + timedelta(days=(weekday - now.weekday()) % 7)).replace(hour=hour, minute=0, second=0)
    let_pass(h, (then - now).total_seconds() % (7 * DAY) or 7 * DAY)


class Mails:
    """Takes letters, in words; ``broken`` are addresses whose mail cannot be sent."""

    def __init__(self, *broken: str) -> None:
        self.arrived: dict[str, list[Any]] = {}
        self.broken = broken

    def __call__(self, letter: Letter) -> bool:
        if letter.address in self.broken:
            raise OSError(f"550 {letter.address} is unknown")
        notice = mine_mail.in_words(letter, "en", PAGE)
        if notice is None:
            return False
        self.arrived.setdefault(letter.address, []).append(notice)
        return True


def night(h: Harness, mails: Mails) -> dict[str, int]:
    counts = weekly_mail.send_all(h.edges, ZONE, mails)
    return {what: count for what, count in counts.items() if count}


@pytest.mark.parametrize(
    ("now", "began"),
    [
        ("2026-03-04T10:00:00.000Z", "2026-03-01T23:00:00.000Z"),
        ("2026-03-01T22:59:59.999Z", "2026-02-22T23:00:00.000Z"),
        ("2026-03-01T23:00:00.000Z", "2026-03-01T23:00:00.000Z"),
        # Summer time began on the Sunday before.
        ("2026-03-30T03:30:00.000Z", "2026-03-29T22:00:00.000Z"),
    ],
)
def test_a_week_begins_on_monday_where_the_schedules_are(now: str, began: str) -> None:
    assert week_of(now, ZONE) == began


def test_who_asked_hears_on_monday_what_does_not_sync_and_what_to_do(h: Harness) -> None:
    mails = Mails()
    assert night(h, mails) == {}, "it was asked for in the middle of a week"
    go_to(h, 0)
    assert night(h, mails) == {SENT: 2}
    [english], [dutch] = mails.arrived[ANNA], mails.arrived[BRAM]
    assert english.subject == "My contacts: 1 contact does not sync"
    assert english.parts == (
        (
            f"Business Central \N{MIDDLE DOT} {COMPANY}",
            ("Piet Smit: The contact has no e-mail address. Fill in an e-mail address.",),
        ),
    )
    assert english.links == (("Open what does not sync in Business Central", f"{PAGE}/1/not-synced"),)
    assert dutch.subject == "Mijn contacten: 1 contact wordt niet gesynchroniseerd"
    assert "Het contact heeft geen e-mailadres" in dutch.parts[0][1][0]


def test_it_comes_once_a_week_and_not_where_everything_syncs(h: Harness) -> None:
    mails = Mails()
    go_to(h, 0)
    nights = [night(h, mails)]
    for _ in range(6):
        let_pass(h, DAY)
        nights.append(night(h, mails))
    assert nights == [{SENT: 2}, *[{}] * 6]
    let_pass(h, DAY)
    assert night(h, mails) == {SENT: 2}
    h.edit_contact("Piet Smit", email="piet@klant.example")
    h.run()
    go_to(h, 0)
    assert night(h, mails) == {QUIET: 2}
    h.edit_contact("Piet Smit", email="")
    h.run()
    assert night(h, mails) == {}, "the week is over with"
    assert len(mails.arrived[ANNA]) == 2


def test_nobody_gets_it_who_did_not_ask_or_stopped_it_or_is_switched_off(h: Harness) -> None:
    mails = Mails()
    choose(h, 1, wanted=False)
    with transaction(h.edges.engine) as conn:
        conn.execute(update(t.sync_profile).where(t.sync_profile.c.id == 2).values(enabled=False))
    go_to(h, 0)
    assert night(h, mails) == {}


def test_who_stops_it_and_asks_again_gets_no_second_one_that_week(h: Harness) -> None:
    mails = Mails()
    go_to(h, 0)
    night(h, mails)
    choose(h, 1, wanted=False)
    choose(h, 1, "nl")
    let_pass(h, DAY)
    assert night(h, mails) == {}
    go_to(h, 0)
    night(h, mails)
    assert [len(each) for each in mails.arrived.values()] == [2, 2]
    assert mails.arrived[ANNA][1].subject.startswith("Mijn contacten"), (
        "as the page was when it was asked for"
    )


def test_one_that_cannot_be_sent_stops_no_other_and_is_tried_again(
    h: Harness, caplog: pytest.LogCaptureFixture
) -> None:
    mails = Mails(ANNA)
    caplog.set_level(logging.INFO, "sync_lib.operate.weekly_mail")
    go_to(h, 0)
    assert night(h, mails) == {SENT: 1, FAILED: 1}
    said = [record.getMessage() for record in caplog.records if record.name == "sync_lib.operate.weekly_mail"]
    assert said == [
        "the weekly mail of profile 1 was not sent: OSError",
        "weekly mail: 1 sent, 0 nothing to say, 1 failed",
    ]
    mails.broken = ()
    let_pass(h, DAY)
    assert night(h, mails) == {SENT: 1}
    assert [len(each) for each in mails.arrived.values()] == [1, 1]


def test_a_server_that_is_away_is_not_waited_for_by_each(
    h: Harness, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(weekly_mail, "GIVE_UP", 1)
    mails = Mails(ANNA, BRAM)
    go_to(h, 0)
    assert night(h, mails) == {FAILED: 1}
    assert "1 mails in a row could not be sent: the others wait until the next night" in caplog.text
    mails.broken = ()
    assert night(h, mails) == {SENT: 2}, "both are due still"


def test_of_two_runs_at_once_one_sends(h: Harness) -> None:
    mails, others = Mails(), list[dict[str, int]]()

    def meanwhile(letter: Letter) -> bool:
        others.append(night(h, mails) if not others else {})
        return mails(letter)

    go_to(h, 0)
    weekly_mail.send_all(h.edges, ZONE, meanwhile)
    assert others == [{SENT: 1}], "the other run sends what this one has not begun"
    assert [len(each) for each in mails.arrived.values()] == [1, 1]
    assert night(h, mails) == {}


def test_a_worker_that_is_lost_behind_a_mail_makes_one_mail_twice(h: Harness) -> None:
    mails = Mails()

    def lost(letter: Letter) -> bool:
        mails(letter)
        raise KeyboardInterrupt

    go_to(h, 0)
    with pytest.raises(KeyboardInterrupt):
        weekly_mail.send_all(h.edges, ZONE, lost)
    assert night(h, mails) == {SENT: 1}, "the next try leaves alone what may be under way"
    let_pass(h, DAY)
    assert night(h, mails) == {SENT: 1}
    let_pass(h, DAY)
    assert night(h, mails) == {}
    assert sorted(len(each) for each in mails.arrived.values()) == [1, 2]


def test_it_goes_to_the_account_wherever_it_is_called_now(h: Harness) -> None:
    mails, renamed = Mails(), "a.devries@voorbeeld.example"
    h.sim.control("POST", "graph/mailbox", {"mailbox": ANNA, "rename": renamed})
    h.sim.control("POST", "graph/mailbox", {"mailbox": BRAM, "replace": True})
    go_to(h, 0)
    assert night(h, mails) == {SENT: 1, FAILED: 1}
    assert list(mails.arrived) == [renamed], "who has Bram's address now gets nothing of Bram's"


def test_all_profiles_of_a_colleague_are_in_one_mail(h: Harness) -> None:
    h.add_profiles(ANNA, folder="Klanten")
    h.full()
    choose(h, 3)
    mails = Mails()
    go_to(h, 0)
    assert night(h, mails) == {SENT: 2}
    [mail] = mails.arrived[ANNA]
    assert mail.subject == "My contacts: 2 contacts do not sync"
    assert [heading for heading, _ in mail.parts] == [
        f"{folder} \N{MIDDLE DOT} {COMPANY}" for folder in ("Business Central", "Klanten")
    ]
    assert [address for _, address in mail.links] == [f"{PAGE}/{n}/not-synced" for n in (1, 2)]
    with read(h.edges.engine) as conn:
        assert all(store.read_choice(conn, profile).sent_at for profile in (1, 3))


def test_nothing_of_a_private_contact_is_told(h: Harness, caplog: pytest.LogCaptureFixture) -> None:
    """Nor is one a reason for a mail: its owner chose that."""
    caplog.set_level(logging.DEBUG)
    private = [{"id": "Integer 0x36", "value": "2"}]
    h.edit_contact("Piet Smit", email="piet@klant.example")
    h.add_item(
        ANNA,
        displayName="Els Geheim",
        emailAddresses=[{"address": "els@geheim.example", "name": "x"}],
        singleValueExtendedProperties=private,
    )
    h.run()
    mails = Mails()
    go_to(h, 0)
    assert night(h, mails) == {QUIET: 2}
    h.edit_contact("Jan Jansen", email="")
    h.run()
    go_to(h, 0)
    assert night(h, mails) == {SENT: 2}
    [mail] = mails.arrived[ANNA]
    assert mail.parts[0][1][-1] == "1 more is not synced, and nothing is to be done about it."
    seen = f"{mail}{caplog.text}"
    assert "Geheim" not in seen
    assert "geheim" not in seen


def test_a_synced_contact_that_was_flagged_private_since_is_named_to_nobody(h: Harness) -> None:
    letters = list[Letter]()

    def keep(letter: Letter) -> bool:
        letters.append(letter)
        return True

    private = [{"id": "Integer 0x36", "value": "2"}]
    h.edit_item(
        "Jan Jansen", ANNA, displayName="Jan Geheim", jobTitle="Geheim", singleValueExtendedProperties=private
    )
    h.run()
    go_to(h, 0)
    weekly_mail.send_all(h.edges, ZONE, keep)
    left = {each.field: each for letter in letters if letter.address == ANNA for each in letter.about[0].left}
    assert (left["name"].name, left["name"].private, left[""].name) == ("", True, "Piet Smit")
    assert "Geheim" not in repr(letters)


def test_a_field_of_a_private_contact_is_told_without_its_values() -> None:
    left = weekly_mail.Left(("outlook", "o1"), "", "job_title", "too_long", private=True)
    about = weekly_mail.About(1, COMPANY, "Klanten", (left,) * (mine_mail.MOST + 2))
    notice = mine_mail.in_words(Letter("a@a.example", "xx", (about,)), "nl", PAGE)
    assert notice is not None
    [(_, lines)] = notice.parts
    assert lines[0].startswith("een privécontact, functie"), "a language without texts is the default's"
    assert lines[-1] == "en nog 2"
    assert notice.subject == "Mijn contacten: 1 contact wordt niet gesynchroniseerd", "of several fields"
