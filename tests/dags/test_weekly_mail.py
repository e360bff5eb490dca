"""The weekly mail as Airflow sends it: the task of housekeeping, Airflow's own mail, and a mail server."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import update

from sync_lib.store import tables as t
from sync_lib.store import weekly_mail
from sync_lib.store.engine import read, transaction
from tests import receivers
from tests.sync import colleagues as staff
from tests.sync.harness import Harness, person, world

if TYPE_CHECKING:
    from contact_sync_airflow import mails

pytestmark = [pytest.mark.airflow, pytest.mark.sockets]

DAGS = Path(__file__).resolve().parents[2] / "dags"
ANNA, BRAM, CARLA = (f"{name}@voorbeeld.example" for name in ("anna", "bram", "carla"))


@pytest.fixture
def database_kind() -> str:
    """One database is enough here: what is stored, other tests look at."""
    return "sqlite"


@pytest.fixture
def h(make_harness: Any, monkeypatch: pytest.MonkeyPatch) -> Harness:
    """Three colleagues with one contact that does not sync; two of them asked for the mail, years ago."""
    made: Harness = make_harness(world(person("Piet <b>Smit</b>", ""), mailboxes=[ANNA, BRAM, CARLA]))
    made.add_profiles(ANNA, BRAM, CARLA)
    made.full()
    with transaction(made.edges.engine) as conn:
        weekly_mail.choose(conn, 1, "nl", wanted=True)
        weekly_mail.choose(conn, 2, "en", wanted=True)
        conn.execute(update(t.weekly_mail).values(chosen_at="2020-01-01T00:00:00.000Z"))
    for name, value in staff.environment(made, "standard").items():
        monkeypatch.setenv(name, value)
    staging = {"sqlite_path": made.database[len("sqlite:///") :]}
    monkeypatch.setenv(
        "AIRFLOW_CONN_CONTACT_SYNC_STAGING",
        json.dumps({"conn_type": "contact_sync_staging", "extra": staging}),
    )
    monkeypatch.setenv("AIRFLOW__API__BASE_URL", "https://airflow.example/sync/")
    return made


def by_mail(monkeypatch: pytest.MonkeyPatch, port: int, **values: Any) -> None:
    """Name a mail server, as an operator does."""
    extra = {"from_email": "sync@example.com", "disable_ssl": True, "disable_tls": True, "retry_limit": 0}
    given = {"conn_type": "smtp", "host": "127.0.0.1", "port": port, "extra": extra} | values
    monkeypatch.setenv("AIRFLOW_CONN_BY_MAIL", json.dumps(given))
    monkeypatch.setenv("CONTACT_SYNC_WEEKLY_MAIL", "by_mail")


def night() -> None:
    """Carry out the task of the housekeeping DAG as Airflow would."""
    from airflow.dag_processing.dagbag import DagBag

    housekeeping = DagBag(dag_folder=str(DAGS)).dags["contact_sync_housekeeping"]
    housekeeping.task_dict["send_weekly_mail"].python_callable()


def sent(h: Harness) -> list[bool]:
    with read(h.edges.engine) as conn:
        return [weekly_mail.read_choice(conn, profile).sent_at is not None for profile in (1, 2, 3)]


def test_a_mail_goes_to_each_colleague_who_asked(
    h: Harness, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    with receivers.mail_server() as server:
        by_mail(monkeypatch, server.port)
        night()
        night()
    arrived = sorted(server.arrived, key=lambda each: each[0])
    assert [recipients for recipients, _ in arrived] == [[ANNA], [BRAM]], "once, and Carla did not ask"
    dutch, english = (mail for _, mail in arrived)
    assert dutch["Subject"] == "Mijn contacten: 1 contact wordt niet gesynchroniseerd"
    assert english["Subject"] == "My contacts: 1 contact does not sync"
    assert dutch["From"] == "sync@example.com"
    page = dutch.get_body(("html",))
    assert page is not None
    shown = page.get_content()
    for part in (
        "Piet &lt;b&gt;Smit&lt;/b&gt;: Het contact heeft geen e-mailadres. Vul een e-mailadres in.",
        'href="https://airflow.example/sync/contact_sync/me/1/not-synced"',
        'href="https://airflow.example/sync/contact_sync/me/1/settings"',
    ):
        assert part in shown
    assert sent(h) == [True, True, False]
    logged = [r.getMessage() for r in caplog.records if not r.name.startswith(("sandbox", "urllib3"))]
    assert "weekly mail: 2 sent, 0 nothing to say, 0 failed" in logged
    assert not any(text in line for line in logged for text in ("Piet", "Smit", ANNA, BRAM))


def test_a_mail_server_that_is_away_fails_nothing_and_is_tried_again(
    h: Harness, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    by_mail(monkeypatch, 9)
    with caplog.at_level(logging.INFO):
        night()
    assert "weekly mail: 0 sent, 0 nothing to say, 2 failed" in caplog.text
    assert sent(h) == [False, False, False]
    with receivers.mail_server() as server:
        by_mail(monkeypatch, server.port)
        night()
    assert len(server.arrived) == 2


@pytest.mark.parametrize(
    ("values", "why"),
    [
        ({"conn_type": "contact_sync_webhook"}, "has the type 'contact_sync_webhook'; the mail goes by smtp"),
        ({"extra": {"to": "e@example.com"}}, "must hold the mail server as its host, and from_email"),
        ({"host": ""}, "must hold the mail server as its host, and from_email"),
        (None, "Airflow has no Connection 'by_mail'"),
    ],
)
def test_a_connection_that_cannot_send_is_named_and_nobody_is_offered_the_mail(
    h: Harness,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    values: dict[str, Any] | None,
    why: str,
) -> None:
    from contact_sync_airflow import colleagues

    by_mail(monkeypatch, 9, **(values or {}))
    if values is None:
        monkeypatch.delenv("AIRFLOW_CONN_BY_MAIL")
    night()
    assert "CONTACT_SYNC_WEEKLY_MAIL is 'by_mail'" in caplog.text
    assert why in caplog.text
    assert [problem for problem in colleagues.problems() if why in problem]
    assert not colleagues.allowed().weekly_mail
    assert sent(h) == [False, False, False]


def test_without_the_setting_nothing_is_sent_or_offered(
    h: Harness, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from contact_sync_airflow import colleagues

    with caplog.at_level(logging.INFO):
        night()
    assert "CONTACT_SYNC_WEEKLY_MAIL names no Connection" in caplog.text
    assert (mails.problem(), colleagues.allowed().weekly_mail) == ("", False)
    assert sent(h) == [False, False, False]
    by_mail(monkeypatch, 25)
    assert (mails.problem(), colleagues.allowed().weekly_mail) == ("", True)
