"""The plain lines at the top of every page, and what a page says while the staging database is away."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import date, timedelta
from html import unescape
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import Engine
from sqlalchemy.exc import OperationalError

from sandbox import Sandbox
from sync_lib import pipeline
from sync_lib.errors import ConfigError, SyncError
from sync_lib.operate.credentials import Ending
from sync_lib.settings import SyncSettings
from sync_lib.store import runs
from sync_lib.web.app import make_app
from sync_lib.web.seams import Messages, Receiver, Surroundings
from tests.sync.harness import Harness, person, world
from tests.web.surroundings import VIEWER, open_seams, seams_of
from tests.web.world import add_company, add_hold, add_person, add_plan, add_profile, add_reject, add_run, at

ENGLISH, DUTCH = {"accept-language": "en"}, {"accept-language": "nl"}
#: When a run will come.
LATER = "2999-01-01T00:00:00.000Z"


@pytest.fixture
def h(database_url: str) -> Iterator[Harness]:
    sim = Sandbox(world=world(person("Jan Jansen"))).start()
    harness = Harness(sim, database_url)
    harness.add_profiles()
    yield harness
    harness.close()
    sim.stop()


def addresses(engine: Engine) -> list[str]:
    """One address of every page."""
    with engine.begin() as conn:
        company = add_company(conn, "Andere BV")
        profile = add_profile(conn, "eva@a.example", company=company)
        add_person(conn, company, "b1", name="Piet")
        run = add_run(conn, "old", "2020-01-01T00:00:00.000Z")
        change = {"action": "update_outlook", "bc_id": "b1", "outlook_id": "o", "outcome": "updated"}
        plan = add_plan(conn, profile, run, change)
        hold = add_hold(conn, profile=profile, plan=plan)
    return [
        "/", f"/runs/{run}", f"/profiles/{profile}", "/profiles/new", "/plans", "/history", f"/plans/{profile}/{run}",
        f"/holds/{hold}", "/contacts", f"/contacts/{company}/b1", "/rejects", f"/undo?profile={profile}&run={run}",
    ]  # fmt: skip


def lines(html: str) -> list[str]:
    """What the banner says, line by line, with what is folded below each; [] where there is none."""
    found = re.search(r'<details class="health[^"]*"[^>]*>(.*?)</details>', html, flags=re.DOTALL)
    if found is None:
        return []
    first = re.findall(r"<summary>(.*?)</summary>", found[1], flags=re.DOTALL)
    first += re.findall(r'<p class="remedy">(.*?)</p>', found[1], flags=re.DOTALL)
    others = re.findall(r'<p class="(?:bad|wait)">(.*?)</p>', found[1], flags=re.DOTALL)
    return [in_words(" ".join(first)), *map(in_words, others)]


def well(html: str) -> str:
    """The quiet line of a page where all is well; "" where there is none."""
    found = re.search(r'<p class="(?:well|facts faint)"[^>]*>(.*?)</p>', html, flags=re.DOTALL)
    return in_words(found[1]) if found else ""


def in_words(html: str) -> str:
    return " ".join(unescape(re.sub(r"<[^>]*>", " ", html)).split())


def run_dag(h: Harness, run_id: str) -> None:
    """A run as the DAG makes it: what fails before its plan is reported all the same."""
    try:
        h.run(run_id=run_id)
    except SyncError:
        pipeline.finish_run(h.edges, run_id)


def test_an_expired_secret_is_on_every_page_within_one_run(h: Harness) -> None:
    """P2: with when it began and what to do, in both languages, until a run works again."""
    client = TestClient(make_app(open_seams(h.edges.engine)))
    pages = addresses(h.edges.engine)
    assert [lines(client.get(page).text) for page in pages] == [[]] * len(pages)
    secret = h.sim.info()["client_secret"]
    h.sim.control("POST", "entra/app", {"client_secret": "a-new-one"})
    run_dag(h, "scheduled__1")
    for page in pages:
        (line,) = lines(client.get(page, headers=ENGLISH).text)
        assert line.startswith("Nothing syncs. The app cannot log in to Microsoft 365. Since"), page
        assert "make a new one in Entra ID and put it into Airflow's Connection" in line
        assert "invalid_client" in line
        assert "Connections in Airflow" in line
        (line,) = lines(client.get(page, headers=DUTCH).text)
        assert line.startswith("Er wordt niets gesynchroniseerd. De app kan zich niet aanmelden"), page
    assert "health" not in client.get("/", headers={"hx-request": "true", "hx-target": "profiles"}).text
    h.sim.control("POST", "entra/app", {"client_secret": secret})
    run_dag(h, "scheduled__2")
    (line,) = lines(client.get("/", headers=ENGLISH).text)
    assert line.startswith("Profiles or companies that failed in the last run: 2."), (
        "of a company that is none"
    )


def page_of(engine: Engine, around: Surroundings, address: str = "/plans", **seams: Any) -> str:
    made = replace(open_seams(engine), surroundings=lambda: around, **seams)
    return TestClient(make_app(made), headers=ENGLISH).get(address).text


def test_a_pause_is_said_and_what_start_does_then(engine: Engine) -> None:
    """P2, P5: a run that is started while the sync is paused waits, and is not called started."""
    paused = Surroundings(paused=True, schedule="*/15 * * * *", next_run=LATER, queued=2)
    with engine.begin() as conn:
        add_profile(conn, "eva@a.example")
    (line,) = lines(page_of(engine, paused))
    assert line.startswith("The sync is paused in Airflow")
    html = page_of(engine, paused, "/")
    assert 'data-started="The run waits, since the sync is paused in Airflow."' in html
    assert well(html) == "Last run that worked: none yet · Schedule: every 15 minutes"
    html = page_of(engine, replace(paused, paused=False, queued=0), "/")
    assert lines(html) == []
    assert well(html).startswith("Last run that worked: none yet · Schedule: every 15 minutes · next run")
    assert 'data-started="The run has been started."' in html


def test_what_is_queued_behind_what_is_said(engine: Engine) -> None:
    """P5: in one line, on every page."""
    with engine.begin() as conn:
        add_profile(conn, "eva@a.example")
    busy = Surroundings(running="manual__1", queued=2)
    assert lines(page_of(engine, busy)) == [
        "Runs that wait: 2, behind one that is at work (started by hand)."
    ]
    assert "waits behind the one that is at work" in page_of(engine, busy, "/")
    assert lines(page_of(engine, replace(busy, queued=0))) == []


@pytest.mark.parametrize(("days", "says"), [(30, "ends on"), (0, "ends on"), (-1, "ended on")])
def test_a_credential_that_ends_is_said_before_it_does(engine: Engine, days: int, says: str) -> None:
    """P2: which, of which Connection, and when."""
    last = date(2026, 5, 3) + timedelta(days=days)
    found = Ending("microsoft_graph_default", False, last, days)
    (line,) = lines(page_of(engine, Surroundings(endings=(found,))))
    assert f"The client secret of the Connection microsoft_graph_default {says}" in line
    assert "2026" in line
    assert "Make a new one in Entra ID" in line


def test_switched_off_writes_are_on_every_page(engine: Engine) -> None:
    """P2: one more cause that all share."""
    html = page_of(engine, Surroundings(), settings=lambda: SyncSettings(writes=False))
    (line,) = lines(html)
    assert line.startswith("Writes are off")


# -- the staging database is away ------------------------------------------------------------------------------------


class Away:
    """An engine whose server does not answer."""

    def __init__(self, engine: Engine) -> None:
        self.dialect = engine.dialect

    def connect(self) -> Any:
        raise OperationalError("SELECT 1", {}, Exception("s3cr3t host is down"))

    begin = connect


@pytest.mark.parametrize(
    "address", ["/", "/rejects", "/plans", "/rejects.csv", "/changes.csv?profile=1&run=r"]
)
def test_pages_say_that_the_database_is_away(engine: Engine, address: str) -> None:
    """O6: 503 with words, and no file that looks empty."""
    away: Any = Away(engine)
    client = TestClient(make_app(open_seams(away)), headers=ENGLISH, raise_server_exceptions=False)
    answer = client.get(address)
    assert answer.status_code == 503
    assert "The staging database does not answer." in answer.text
    assert "s3cr3t" not in answer.text
    assert "De stagingdatabase antwoordt niet." in client.get(address, headers=DUTCH).text


def test_a_database_that_cannot_be_opened_is_named(engine: Engine) -> None:
    """O6: in words of the reader's language, with what the error itself says below them."""

    def broken() -> Engine:
        raise ConfigError("Airflow has no Connection 'contact_sync_staging'.")

    seams = replace(open_seams(engine), engine=broken)
    answer = TestClient(make_app(seams), headers=ENGLISH, raise_server_exceptions=False).get("/")
    assert answer.status_code == 503
    assert "A setting is missing or wrong. The message says which; correct it." in answer.text
    assert re.search(r'<details class="raw">.*lang="en">[^<]*contact_sync_staging', answer.text, re.DOTALL)
    client = TestClient(make_app(seams), headers=DUTCH, raise_server_exceptions=False)
    assert "Een instelling ontbreekt of is fout." in client.get("/").text
    short = client.get("/", headers={"hx-request": "true"}).text
    assert short.startswith("Een instelling ontbreekt of is fout.")
    assert "contact_sync_staging" in short


@pytest.mark.parametrize(("user", "status"), [(None, 401), (VIEWER, 403)])
def test_who_may_not_enter_is_told_so_in_their_language(
    engine: Engine, user: str | None, status: int
) -> None:
    headers = {"sec-fetch-site": "same-origin"} | ({"x-user": user} if user else {})
    client = TestClient(make_app(seams_of(engine)), headers=headers)
    said = [client.post("/undo", headers=each, json={}) for each in (ENGLISH, DUTCH)]
    assert [each.status_code for each in said] == [status, status]
    assert said[0].text != said[1].text
    assert "Airflow" in said[0].text


def test_a_run_that_failed_as_a_whole_says_why_on_its_page(h: Harness) -> None:
    h.sim.control("POST", "entra/app", {"client_secret": "a-new-one"})
    run_dag(h, "scheduled__1")
    client = TestClient(make_app(open_seams(h.edges.engine)))
    page = client.get("/runs/scheduled__1", headers=DUTCH).text
    assert '<p class="why"><strong>De app kan zich niet aanmelden bij Microsoft 365.</strong>' in page
    assert re.search(r'<details class="raw">.*lang="en">[^<]*invalid_client', page, re.DOTALL)


def test_a_file_whose_first_rows_cannot_be_read_is_no_file(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """O6: the database goes away between the request and the first rows."""
    from sync_lib.store.queries import rejects

    def gone(*_: Any) -> Any:
        raise OperationalError("SELECT", {}, Exception("gone"))

    with engine.begin() as conn:
        add_reject(conn, add_profile(conn, "anna@a.example"), "x", "email_missing")
    monkeypatch.setattr(rejects, "_lines", gone)
    client = TestClient(make_app(open_seams(engine)), headers=ENGLISH, raise_server_exceptions=False)
    assert client.get("/rejects.csv").status_code == 503


def test_what_waits_while_writes_are_off_is_on_every_page(h: Harness) -> None:
    """G7: privacy deletes first; and the last line goes with the switch."""
    h.full()
    h.add_contact("Piet Bos")
    h.edit_contact("Jan Jansen", privacyBlocked=True)
    off = SyncSettings(writes=False)
    h.edges.settings = off
    h.run()
    client = TestClient(make_app(replace(open_seams(h.edges.engine), settings=lambda: off)))
    for page in ("/", "/contacts", "/rejects"):
        first, *waits = lines(client.get(page, headers=ENGLISH).text)
        assert first.startswith("Writes are off")
        assert "and 2 more" in first
        assert waits == [
            "Deletes after a privacy block that wait for that: 1.", "Other changes that wait for that: 1.",
        ]  # fmt: skip
    assert "privacyblokkering" in lines(client.get("/", headers=DUTCH).text)[1]
    on = TestClient(make_app(open_seams(h.edges.engine)))
    assert lines(on.get("/", headers=ENGLISH).text) == []


def test_a_setting_that_cannot_be_read_is_on_every_page(h: Harness) -> None:
    """O2: with its name, its value, and what counts meanwhile."""
    problem = "CONTACT_SYNC_RETRY_DELAY is '15s'. It takes seconds, as a number without a unit."
    around = Surroundings(problems=(problem,))
    client = TestClient(make_app(replace(open_seams(h.edges.engine), surroundings=lambda: around)))
    for page in ("/", "/contacts"):
        (line,) = lines(client.get(page, headers=ENGLISH).text)
        assert line.startswith("A setting cannot be read")
        assert problem in line


def test_the_overview_says_when_airflow_was_cleaned(h: Harness) -> None:
    """O9: so that somebody notices where nobody does it."""
    client = TestClient(make_app(open_seams(h.edges.engine)))
    assert "were last cleaned up" not in client.get("/", headers=ENGLISH).text
    with h.edges.engine.begin() as conn:
        runs.write_fact(conn, "airflow", "cleaned_at", at(1), at(1))
    assert "were last cleaned up" in client.get("/", headers=ENGLISH).text


def test_the_last_run_that_worked_is_on_every_page(h: Harness) -> None:
    """15.2: with the schedule and the next run; a dry run, and one that failed, are none."""
    client = TestClient(make_app(open_seams(h.edges.engine)), headers=ENGLISH)
    assert well(client.get("/").text) == "Last run that worked: none yet · Schedule: by hand only"
    h.run(dry_run=True)
    assert "none yet" in well(client.get("/rejects").text)
    h.full()
    for page in ("/", "/rejects", "/trends"):
        assert re.match(r"Last run that worked: \d+ seconds? ago", well(client.get(page).text))
    dutch = well(client.get("/", headers=DUTCH).text)
    assert dutch.startswith("Laatste geslaagde run:")
    assert "seconde" in dutch


def test_a_run_of_one_profile_says_nothing_of_the_others(h: Harness) -> None:
    """Somebody syncs their own profile while another one's mailbox is closed: not everybody syncs again by that."""
    client = TestClient(make_app(open_seams(h.edges.engine)), headers=ENGLISH)
    mine, closed = h.sim.info()["mailboxes"][0]["user_principal_name"], "bram@voorbeeld.example"
    h.sim.control("POST", "graph/mailbox", {"mailbox": closed, "create": True})
    h.add_profiles(mine, closed)
    h.full()
    h.sim.control("POST", "graph/mailbox", {"mailbox": closed, "state": "policy_denied"})
    h.full()
    (failing,) = lines(client.get("/").text)
    assert failing.startswith("Profiles or companies that failed in the last run: 1.")
    worked = last_good(h)
    h.run(profiles=[mine], run_id="manual__own")
    assert lines(client.get("/").text) == [failing]
    assert last_good(h) == worked, "nor is it a run that worked for everybody"


def last_good(h: Harness) -> str | None:
    with h.edges.engine.connect() as conn:
        return runs.read_last_good(conn)


@pytest.mark.parametrize(
    ("schedule", "english", "dutch"),
    [
        ("* * * * *", "every minute", "elke minuut"),
        ("*/5 * * * *, 0 2 * * *", "every 5 minutes, daily at 02:00", "elke 5 minuten, dagelijks om 02:00"),
        ("1,31 8-17 * * *", "1,31 8-17 * * *", "1,31 8-17 * * *"),
    ],
)
def test_the_schedule_is_said_in_words(engine: Engine, schedule: str, english: str, dutch: str) -> None:
    around = Surroundings(schedule=schedule, next_run=LATER)
    assert f"Schedule: {english} · next run" in well(page_of(engine, around))
    made = replace(open_seams(engine), surroundings=lambda: around)
    assert f"Schema: {dutch} · " in well(TestClient(make_app(made), headers=DUTCH).get("/plans").text)


def test_a_run_that_does_not_begin_is_said(engine: Engine) -> None:
    """15.2: a scheduler that stands still leaves no cause behind."""
    around = Surroundings(schedule="*/5 * * * *", next_run=at(5))
    (line,) = lines(page_of(engine, around))
    assert line.startswith("The next run should have begun, and has not. Since 2 Mar 2026")
    assert "scheduler is running" in line
    (line,) = lines(page_of(engine, replace(around, paused=True)))
    assert line.startswith("The sync is paused")
    assert lines(page_of(engine, replace(around, next_run=LATER))) == []


def test_profiles_that_fail_are_said_with_the_way_to_them(engine: Engine) -> None:
    with engine.begin() as conn:
        add_run(conn, "bad", at(1), state="failed", counters='{"failures": 3}')
    html = page_of(engine, Surroundings())
    (line,) = lines(html)
    assert line == (
        "Profiles or companies that failed in the last run: 3. The overview says why, and what to do. Show them"
    )
    assert 'href="/contact_sync/?state=failed"' in html
    with engine.begin() as conn:
        add_run(conn, "dry", at(2), dry_run=True)
    assert len(lines(page_of(engine, Surroundings()))) == 1, "a dry run is no proof"
    with engine.begin() as conn:
        add_run(conn, "good", at(3))
    assert lines(page_of(engine, Surroundings())) == []


def test_the_worst_comes_first_and_the_rest_is_folded(engine: Engine) -> None:
    ended = Ending("microsoft_graph_default", False, date(2026, 1, 1), -1)
    found = lines(page_of(engine, Surroundings(paused=True, endings=(ended,))))
    assert found[0].startswith("The client secret of the Connection microsoft_graph_default ended on")
    assert found[1].startswith("The sync is paused")


def test_the_navigation_says_how_much_waits(h: Harness) -> None:
    """U13: holds that nobody has decided about, and contacts that do not sync."""
    client = TestClient(make_app(open_seams(h.edges.engine)), headers=ENGLISH)
    assert 'class="waiting"' not in client.get("/").text
    h.full()
    h.add_item(displayName="Zonder Adres")
    h.run()
    with h.edges.engine.begin() as conn:
        for state in ("open", "open", "rejected"):
            add_hold(conn, profile=1, state=state)
    found = re.findall(r'>([\w ]+) <span class="waiting">(\d+)</span>', client.get("/contacts").text)
    assert found == [("To decide", "2"), ("Not synced", "1")]


@pytest.mark.parametrize(
    ("messages", "english", "dutch"),
    [
        (Messages(), "Messages: off · weekly mail: off", "Berichten: uit · wekelijkse mail: uit"),
        (
            Messages(
                (Receiver("sales", "teams"), Receiver("admins", "mail", "a@x.example")), "nl", "by_mail"
            ),
            "Messages, in Dutch, to: sales (Teams), admins (e-mail: a@x.example ) · weekly mail: on",
            "Berichten, in het Nederlands, aan: sales (Teams), admins (e-mail: a@x.example ) · wekelijkse mail: aan",
        ),
        (
            Messages((Receiver("gone", problem="Airflow has no Connection 'gone'."),)),
            "Messages, in English, to: gone ( cannot be sent ) · weekly mail: off Airflow has no Connection 'gone'.",
            "Berichten, in het Engels, aan: gone ( kan niet worden verstuurd )",
        ),
    ],
)
def test_the_overview_says_who_hears_of_what(
    engine: Engine, messages: Messages, english: str, dutch: str
) -> None:
    client = TestClient(make_app(replace(open_seams(engine), messages=lambda: messages)))
    shown = in_words(client.get("/", headers=ENGLISH).text)
    assert english in shown
    assert "CONTACT_SYNC_NOTIFY names the Connections by which they go" in shown
    assert ("( by_mail )" in shown) == bool(messages.weekly)
    assert dutch in in_words(client.get("/", headers=DUTCH).text)
    assert "Messages" not in in_words(client.get("/plans", headers=ENGLISH).text)
