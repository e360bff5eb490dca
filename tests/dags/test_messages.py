"""What people see of a run: the log of its verdict, and messages by webhook or e-mail."""

from __future__ import annotations

import json
import logging
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from smtplib import SMTPAuthenticationError, SMTPServerDisconnected
from typing import TYPE_CHECKING, Any

import pytest

from sync_lib import services
from sync_lib.operate.checks import Check
from sync_lib.operate.notices import Notice
from sync_lib.run.report import Verdict
from sync_lib.settings import BusinessCentralSettings, GraphSettings, StagingSettings, SyncSettings
from sync_lib.store.engine import open_engine
from sync_lib.store.migrate import migrate
from tests import receivers
from tests.dags.apps import SECRET, app

if TYPE_CHECKING:
    from contact_sync_airflow import connections, context, environment, messages, retry

pytestmark = pytest.mark.airflow


def test_a_verdict_is_one_line_for_each_failure_and_no_traceback(caplog: pytest.LogCaptureFixture) -> None:
    """P9: Airflow logs a SystemExit without a traceback, and nobody tries that task again."""
    caplog.set_level(logging.INFO)
    messages.raise_unless_good(Verdict(True, "2 profiles", ("anna: known since Monday",)))
    lines = ("anna: Microsoft 365 has no such mailbox.", "bram: the app may not open it.")
    with pytest.raises(SystemExit) as ended:
        messages.raise_unless_good(Verdict(False, "Failed: anna; bram", lines))
    assert ended.value.code == 1
    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
        ("WARNING", "anna: known since Monday"),
        ("INFO", "2 profiles"),
        *(("ERROR", line) for line in (*lines, "Failed: anna; bram")),
    ]
    assert retry.ByErrorType().evaluate(ended.value, 1, 3).action.value == "fail"


def test_a_check_that_found_something_ends_without_a_traceback() -> None:
    """P9: as a verdict does."""
    with pytest.raises(SystemExit):
        messages.raise_unless_all_ok([Check("staging", False, "away", "Start it.")])
    messages.raise_unless_all_ok([Check("staging", True, "there", "")])


class Previous:
    def __init__(self, state: str) -> None:
        self.state = state


@pytest.fixture
def send_by(monkeypatch: pytest.MonkeyPatch, connection: Any) -> Any:
    """Notify about a run that failed as a whole, with no staging database to read, by these Connections."""

    class TaskInstance:
        previous: Any = None

        def get_previous_dagrun(self) -> Any:
            return self.previous

    class DagRun:
        dag_id = "contact_sync"
        run_id = "scheduled__2026-03-02T09:15:00+00:00"
        run_after = datetime(2026, 3, 2, 9, 15, tzinfo=UTC)

    of_task = {"ti": TaskInstance(), "dag_run": DagRun()}
    monkeypatch.setattr(context, "get_current_context", lambda: of_task)
    monkeypatch.setenv("AIRFLOW__API__BASE_URL", "https://airflow.example/sync/")

    def send(receivers: dict[str, dict[str, Any]], previous: str = "", *, opens: bool = True) -> None:
        for name, values in receivers.items():
            connection(name, json.dumps(values))
        monkeypatch.setenv(environment.NOTIFY_VARIABLE, " , ".join(receivers))
        of_task["ti"].previous = Previous(previous) if previous else None
        if not opens:
            with messages.open_services_or_alarm():
                return
        with tempfile.TemporaryDirectory() as home:
            edges = services.Services(
                BusinessCentralSettings("", "", ""),
                GraphSettings("", "", ""),
                StagingSettings(f"sqlite:///{home}/gone/staging.db"),
                SyncSettings(),
            )
            messages.notify(edges, Verdict(False, "plan_run failed: see its log."))

    return send


def test_no_message_is_sent_unless_a_setting_names_whom(
    send_by: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(messages, "send", None)
    send_by({})


def test_a_message_leads_to_its_run(send_by: Any) -> None:
    with receivers.webhook() as teams, receivers.webhook() as slack:
        send_by(
            {
                "to_teams": {"conn_type": "contact_sync_webhook", "password": teams.url},
                "to_slack": {
                    "conn_type": "contact_sync_webhook",
                    "password": slack.url,
                    "extra": {"format": "text"},
                },
            }
        )
    link = "https://airflow.example/sync/dags/contact_sync/runs/scheduled__2026-03-02T09%3A15%3A00%2B00%3A00"
    assert link in str(teams.bodies)
    assert slack.bodies == [
        {
            "text": "Contact sync: the run failed\n\nThe run failed\n"
            f"\u2022 plan_run failed: see its log.\n\n{link}"
        }
    ]


def test_a_message_goes_by_mail(send_by: Any) -> None:
    with receivers.mail_server() as mails:
        send_by(
            {
                "by_mail": {
                    "conn_type": "smtp",
                    "host": "127.0.0.1",
                    "port": mails.port,
                    "extra": {
                        "from_email": "sync@example.com",
                        "to": "eva@example.com, bob@example.com",
                        "disable_ssl": True,
                        "disable_tls": True,
                    },
                }
            }
        )
    [(recipients, mail)] = mails.arrived
    assert recipients == ["eva@example.com", "bob@example.com"]
    assert mail["Subject"] == "Contact sync: the run failed"
    page = mail.get_body(("html",))
    assert page is not None
    assert "plan_run failed" in page.get_content()


@pytest.mark.parametrize(
    ("values", "cause"),
    [
        ({"conn_type": "contact_sync_webhook", "password": "http://127.0.0.1:9/s3cr3t"}, "did not answer"),
        ({"conn_type": "contact_sync_webhook", "password": ""}, "must begin with https://"),
        ({"conn_type": "contact_sync_webhook", "extra": {"format": "smoke"}}, "teams or text"),
        ({"conn_type": "smtp", "host": "127.0.0.1"}, "must hold the addresses to write to"),
        ({"conn_type": "smtp", "host": "127.0.0.1", "port": 9, "extra": {"to": "e@example.com", "retry_limit": 0}}, ""),
        ({"conn_type": "http", "host": "https://hooks.example/s3cr3t"}, "contact_sync_webhook or smtp"),
    ],
)  # fmt: skip
def test_a_receiver_that_is_away_keeps_no_other_from_its_message_and_fails_nothing(
    send_by: Any, caplog: pytest.LogCaptureFixture, values: dict[str, Any], cause: str
) -> None:
    with receivers.webhook() as taken, caplog.at_level(logging.WARNING):
        send_by({"broken": values, "good": {"conn_type": "contact_sync_webhook", "password": taken.url}})
    assert len(taken.bodies) == 1
    assert "no message was sent by broken: " in caplog.text
    assert cause in caplog.text
    assert "s3cr3t" not in caplog.text


def test_an_error_of_any_kind_makes_no_run_red(
    send_by: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: Any) -> None:
        raise ImportError("s3cr3t")

    monkeypatch.setattr(messages, "_notice", broken)
    send_by({"good": {"conn_type": "contact_sync_webhook"}})
    assert "no message was sent: ImportError" in caplog.text
    assert "s3cr3t" not in caplog.text


def test_a_receiver_without_a_connection_is_named(send_by: Any, caplog: pytest.LogCaptureFixture) -> None:
    send_by({"good": {"conn_type": "contact_sync_webhook"}, "missing": {}})
    assert "no message was sent by missing" in caplog.text


def test_runs_that_fail_one_after_the_other_are_reported_once(send_by: Any) -> None:
    with receivers.webhook() as taken:
        receiver = {"good": {"conn_type": "contact_sync_webhook", "password": taken.url}}
        send_by(receiver, previous="failed")
        assert taken.bodies == []
        send_by(receiver, previous="success")
        assert len(taken.bodies) == 1


def test_a_run_that_cannot_open_its_connections_is_reported(send_by: Any, connection: Any) -> None:
    connection(connections.BUSINESS_CENTRAL, app(login=None))
    with receivers.webhook() as slack:
        text = {"conn_type": "contact_sync_webhook", "password": slack.url, "extra": {"format": "text"}}
        with pytest.raises(SystemExit):
            send_by({"to_slack": text}, opens=False)
        (body,) = slack.bodies
        assert body["text"].startswith("Contact sync: the run failed")
        assert "Connection 'business_central_default': login must hold the client id" in body["text"]
        with pytest.raises(SystemExit):
            send_by({"to_slack": text}, previous="failed", opens=False)
        assert len(slack.bodies) == 1


def test_a_credential_that_ends_is_said_with_the_run_and_a_broken_date_keeps_no_message_away(
    send_by: Any, connection: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    soon = (datetime.now(UTC) + timedelta(days=20)).date().isoformat()
    connection(connections.MICROSOFT_GRAPH, app(extra_secret_expires=soon))
    connection(connections.BUSINESS_CENTRAL, app(extra_secret_expires="some day"))
    staging = f"sqlite:///{tmp_path}/staging.db"
    engine = open_engine(staging)
    migrate(engine)
    engine.dispose()
    graph, bc = GraphSettings("", "", ""), BusinessCentralSettings("", "", "")
    ready = services.Services(bc, graph, StagingSettings(staging), SyncSettings())
    with receivers.webhook() as slack:
        text = {"conn_type": "contact_sync_webhook", "password": slack.url, "extra": {"format": "text"}}
        send_by({"to_slack": text}, previous="failed")
        for _ in range(2):
            messages.notify(ready, Verdict(True, "good"))
    (body,) = slack.bodies
    assert body["text"].startswith("Contact sync: 1 credential ends soon")
    assert "The client secret of the Connection microsoft_graph_default ends on " in body["text"]
    assert SECRET not in body["text"]


def test_whether_the_run_before_failed(send_by: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    send_by({})
    of_task = context.get_current_context()
    for previous, repeated in ((None, False), (Previous("success"), False), (Previous("failed"), True)):
        of_task["ti"].previous = previous
        assert context.failed_before() is repeated
    monkeypatch.setenv(environment.FULL_SCHEDULE_VARIABLE, "15 9 * * *")
    assert not context.failed_before(), "the full run reports it once more"


def test_who_gets_messages_is_said_without_the_address_of_a_webhook(
    connection: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    mail = {
        "conn_type": "smtp",
        "host": "mail.example",
        "password": "s3cr3t",
        "extra": {"to": "eva@example.com"},
    }
    hook = {"conn_type": "contact_sync_webhook", "password": "https://hooks.example/s3cr3t"}
    connection("teams", json.dumps(hook))
    connection("mail", json.dumps(mail))
    connection("odd", json.dumps({**hook, "password": "ftp://hooks.example/s3cr3t"}))
    monkeypatch.setenv(environment.NOTIFY_VARIABLE, "teams, mail, gone, odd")
    found = messages.receivers()
    assert [(each.connection, each.form, each.to, bool(each.problem)) for each in found] == [
        ("teams", "teams", "", False),
        ("mail", "mail", "eva@example.com", False),
        ("gone", "", "", True),
        ("odd", "", "", True),
    ]
    assert "s3cr3t" not in str(found)
    monkeypatch.delenv(environment.NOTIFY_VARIABLE)
    assert messages.receivers() == ()


@pytest.mark.parametrize(
    ("status", "again"), [(202, False), (401, True), (404, True), (429, True), (503, True), (504, False)]
)
def test_what_nobody_took_is_said_again(
    monkeypatch: pytest.MonkeyPatch, connection: Any, tmp_path: Path, status: int, again: bool
) -> None:
    """A refusal must not be the last that anybody hears of a fault; a webhook that is slow may have taken it."""
    made = services.Services(
        BusinessCentralSettings("", "", ""),
        GraphSettings("", "", ""),
        StagingSettings(f"sqlite:///{tmp_path}/staging.db"),
        SyncSettings(),
    )
    migrate(made.engine)
    monkeypatch.setattr(context, "link_to_run", lambda: "https://airflow.example/r")
    monkeypatch.setattr(context, "this_run", lambda: "unknown")
    # As Airflow says it from the second run on; the first one is the one that nobody was told of.
    before = iter([False, True, True])
    monkeypatch.setattr(context, "failed_before", lambda: next(before))
    monkeypatch.setenv(environment.NOTIFY_VARIABLE, "hook")
    dead = Verdict(False, "plan_run failed: see its log.")
    with receivers.webhook() as hook:
        connection("hook", json.dumps({"conn_type": "contact_sync_webhook", "password": hook.url}))
        hook.status = status
        messages.notify(made, dead)
        hook.status = 202
        messages.notify(made, dead)
        messages.notify(made, dead)
        assert len(hook.bodies) == (2 if again else 1)
    made.close()


def test_a_webhook_that_was_not_reached_is_tried_again_by_the_next_run(
    monkeypatch: pytest.MonkeyPatch, connection: Any
) -> None:
    monkeypatch.setattr(context, "link_to_run", lambda: "https://airflow.example/r")
    monkeypatch.setenv(environment.NOTIFY_VARIABLE, "away, mute")
    notice = Notice("subject", ())
    away = {"conn_type": "contact_sync_webhook", "password": "http://127.0.0.1:9/s3cr3t"}
    connection("away", json.dumps(away))
    assert not messages.send_to_all(notice)
    with receivers.webhook() as hook:
        connection("mute", json.dumps({**away, "password": hook.url}))
        assert messages.send_to_all(notice), "one of them took it"


@pytest.mark.parametrize(
    ("error", "may"),
    [(SMTPServerDisconnected(), True), (TimeoutError(), True), (SMTPAuthenticationError(535, b"no"), False)],
)
def test_a_mail_of_which_nobody_knows_is_not_sent_in_each_run(error: Exception, may: bool) -> None:
    assert messages._may_have_come(error) is may
