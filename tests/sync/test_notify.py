"""Whole runs, and what people hear of them over a real webhook."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select, update

from sync_lib.errors import ConfigError
from sync_lib.operate import notices, notify
from sync_lib.operate.credentials import Ending
from sync_lib.run.report import Verdict
from sync_lib.store import tables as t
from sync_lib.times import to_text
from sync_lib.web.news_words import in_words
from tests import receivers
from tests.sync.harness import Harness, Ran, person, world
from tests.sync.test_approval import answer, request

ANNA, BRAM = "anna@voorbeeld.example", "bram@voorbeeld.example"
LINK, PAGES = "https://airflow.example/r", "https://airflow.example/contact_sync"
GOOD = Verdict(True, "all good")


@pytest.fixture
def h(make_harness) -> Harness:
    h = make_harness(world(*(person(f"Persoon {n:02}") for n in range(12)), mailboxes=[ANNA, BRAM]))
    h.add_profiles(ANNA, BRAM)
    h.full()
    return h


def heard(h: Harness, ran: Ran, *, repeated: bool = False, by: tuple[str, ...] = ("teams",)) -> list[str]:
    """Return the lines that people read."""
    news = notify.read_news(h.edges, ran.report.run, ran.verdict, repeated=repeated, receivers=by)
    notice = in_words(news, "en", PAGES) if news else None
    return [line for _, lines in notice.parts for line in lines] if notice else []


DENIED = (
    f"{ANNA}: The app may not open this mailbox. Add the mailbox to the group that the access rules name, and wait up "
    "to 30 minutes."
)
EMPTIED = f"{ANNA}: 12 changes wait. A folder that held many synced contacts is empty."
COMPANY_WAITS = (
    "Molenzicht BV: the whole company waits. "
    "Business Central lists less than half of the contacts that it had."
)
NO_ADDRESS = f"{ANNA}: The contact has no e-mail address (1)"


def test_a_mailbox_that_fails_is_reported_once_and_again_by_night(h):
    assert heard(h, h.run()) == []
    h.sim.add_fault(kind="status", status=403, service="graph", mailbox=ANNA, count=None)
    assert heard(h, h.run()) == [DENIED]
    assert heard(h, h.run(dry_run=True)) == []
    assert heard(h, h.run()) == [], "known, also behind a dry run"
    assert heard(h, h.full()) == [DENIED]
    h.sim.clear_faults()
    assert heard(h, h.run(dry_run=True)) == []
    assert heard(h, h.run()) == [ANNA], "it syncs again"
    assert heard(h, h.run()) == []
    h.sim.add_fault(kind="status", status=403, service="graph", mailbox=ANNA, count=None)
    h.run(dry_run=True)
    assert heard(h, h.run()) == [DENIED], "it is new again"


def test_what_the_guard_holds_is_reported_when_it_begins_to_wait(h):
    for name in list(h.items(ANNA)):
        h.delete_item(name, ANNA)
    assert heard(h, h.run()) == [EMPTIED]
    assert heard(h, h.run()) == []
    assert heard(h, h.full()) == [EMPTIED]
    assert heard(h, answer(h, request(h), approve=True)) == []
    assert heard(h, h.full()) == []


def test_a_company_that_waits_is_reported_once(h):
    for n in range(8):
        h.delete_contact(f"Persoon {n:02}")
    assert heard(h, h.run()) == [COMPANY_WAITS]
    assert heard(h, h.run()) == []


def test_a_profile_without_a_good_sync_for_long_is_reported(h):
    h.sim.add_fault(kind="status", status=403, service="graph", mailbox=ANNA, count=None)
    assert heard(h, h.run()) == [DENIED]
    with h.edges.engine.begin() as conn:
        conn.execute(
            update(t.cursor).where(t.cursor.c.scope == "1").values(last_good_at="2020-01-01T00:00:00.000Z")
        )
    assert heard(h, h.run()) == [], "the run before would have reported it"
    lines = heard(h, h.full())
    assert lines[0] == DENIED
    assert lines[1].startswith(f"{ANNA}: the last good sync was ")


def test_a_run_that_was_never_planned_is_reported_unless_the_one_before_was_no_better(h):
    dead = Verdict(False, "plan_run failed: see its log. Nothing was synced.")
    for repeated, count in ((False, 1), (True, 0)):
        news = notify.read_news(h.edges, "never-planned", dead, repeated=repeated)
        assert bool(news) == bool(count)
    ran = h.run()
    ran.verdict = Verdict(False, "Failed tasks: report")
    assert heard(h, ran) == ["Failed tasks: report"], "no profile failed, and the run did"
    ran.verdict = Verdict(False, "Failed tasks: report", reason="tasks_failed")
    why, said = heard(h, ran)
    assert why.startswith("Tasks of the run failed, though no profile did. Look at the logs of the tasks")
    assert said == "The error itself: Failed tasks: report"
    news = notify.read_news(h.edges, h.run().report.run, GOOD, repeated=False, receivers=("teams",))
    assert news
    notice = in_words(news, "en", PAGES)
    assert notice
    assert notice.subject == "Contact sync: runs work again"


@pytest.mark.parametrize("form", ["teams", "text"])
def test_it_arrives(h, form):
    h.sim.add_fault(kind="status", status=403, service="graph", mailbox=ANNA, count=None)
    ran = h.run()
    news = notify.read_news(h.edges, ran.report.run, ran.verdict, repeated=False)
    assert news
    notice = in_words(news, "nl", PAGES)
    assert notice
    with receivers.webhook() as taken:
        notify.post(taken.url, form, notice, LINK)
    [body] = taken.bodies
    written: Any = str(body)
    for part in (ANNA, "De app mag dit postvak niet openen", f"{PAGES}/profiles/1", LINK):
        assert part in written
    assert "Persoon" not in written
    with pytest.raises(ConfigError, match="takes teams or text"):
        notify.post(taken.url, "smoke", notice, LINK)


def test_who_gets_messages_from_now_on_hears_all_that_is_wrong(h):
    """U2: messages are switched on while something fails, off, on again, and go to somebody else."""
    h.sim.add_fault(kind="status", status=403, service="graph", mailbox=ANNA, count=None)
    h.run()
    h.run()
    assert heard(h, h.run()) == [DENIED]
    assert heard(h, h.run()) == []
    assert heard(h, h.run(), by=("mail", "teams")) == [DENIED]
    assert heard(h, h.run(), by=("teams", "mail")) == []
    notify.forget(h.edges)
    assert heard(h, h.run(), by=("teams", "mail")) == [DENIED]


def test_contacts_that_newly_do_not_sync_are_reported_once_a_day_to_their_owners(make_harness):
    h = make_harness(world(*(person(f"Persoon {n:02}") for n in range(3)), mailboxes=[ANNA]))
    h.add_profiles(ANNA)
    h.edit_contact("Persoon 00", email="")
    later = h.full()
    assert heard(h, later) == [NO_ADDRESS]
    h.edit_contact("Persoon 01", email="")
    assert heard(h, h.run()) == [], "a message a day"
    with h.edges.engine.begin() as conn:
        day = timedelta(days=1)
        for table, column in ((t.fact, t.fact.c.value), (t.reject, t.reject.c.since)):
            where = (t.fact.c.name == "not_synced_since") if table is t.fact else (t.reject.c.since != "")
            for (value,) in conn.execute(select(column).where(where).distinct()).all():
                earlier = {column.name: to_text(datetime.fromisoformat(value) - day)}
                conn.execute(update(table).where(where, column == value).values(earlier))
    assert heard(h, h.run()) == [NO_ADDRESS]
    assert heard(h, h.run()) == []


def ending(days: int, connection: str = "microsoft_graph_default", *, certificate: bool = False) -> Ending:
    last = date(2026, 12, 31)
    return Ending(connection, certificate, last, days)


def credentials_heard(
    h: Harness, *endings: Ending, by: tuple[str, ...] = ("teams",), language: str = "en"
) -> list[str]:
    news = notify.add_credentials(h.edges, None, endings, by)
    notice = in_words(news, language, PAGES) if news else None
    if notice is None:
        return []
    assert notice.links == ((("Open the overview", "Open het overzicht")[language == "nl"], f"{PAGES}/"),)
    return [notice.subject, *(line for _, lines in notice.parts for line in lines)]


def test_a_credential_that_ends_is_said_at_30_days_at_7_and_when_it_has_ended(h):
    said = [day for day in range(35, -5, -1) if credentials_heard(h, *([ending(day)] if day <= 30 else []))]
    assert said == [30, 7, -1]


def test_what_is_said_of_a_credential(h):
    of_bc = ending(-2, "business_central_default", certificate=True)
    subject, ended, ends = credentials_heard(h, ending(20), of_bc)
    assert subject == "Contact sync: 1 credential has ended, 1 credential ends soon"
    assert ended.startswith(
        "The certificate of the Connection business_central_default ended on 31 December 2026."
    )
    assert ends.startswith(
        "The client secret of the Connection microsoft_graph_default ends on 31 December 2026."
    )
    assert ends.endswith("Make a new one in Entra ID and put it into the Connection, with its end date.")
    subject, line = credentials_heard(h, ending(7), language="nl")
    assert subject == "Contactsynchronisatie: 1 inloggegeven verloopt binnenkort"
    assert line.startswith(
        "Het clientgeheim van de Connection microsoft_graph_default verloopt op 31 december 2026."
    )


def test_a_credential_is_said_once_to_whom_it_goes_and_again_when_it_is_another_one(h):
    assert credentials_heard(h, ending(20))
    assert credentials_heard(h, ending(19)) == []
    assert credentials_heard(h, ending(19), by=("mail", "teams"))
    assert credentials_heard(h, ending(19), by=("teams", "mail")) == []
    later = replace(ending(25), on=date(2027, 12, 31))
    assert credentials_heard(h, later, by=("teams", "mail"))
    notify.forget(h.edges)
    assert credentials_heard(h, later, by=("teams", "mail"))


def test_a_credential_is_in_the_message_about_the_run(h):
    news = notices.of_test()
    both = notify.add_credentials(h.edges, news, [ending(20)], ("teams",))
    assert both
    assert [part.kind for part in both.parts] == [notices.Kind.TEST, notices.Kind.CREDENTIAL_ENDS]
    assert notify.add_credentials(h.edges, news, [ending(20)], ("teams",)) == news
