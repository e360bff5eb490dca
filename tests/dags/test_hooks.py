"""Airflow Connections become settings, and a person who forgot something is told what and where."""

from __future__ import annotations

import importlib
import json
import logging
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from sync_lib import model, services
from sync_lib.errors import (
    AccessDeniedError,
    AuthError,
    ConfigError,
    LeaseLostError,
    ProfileError,
    ServiceError,
    SyncError,
    ThrottledError,
)
from sync_lib.operate.approval import Question
from sync_lib.operate.checks import Check
from sync_lib.run.report import Verdict
from sync_lib.settings import (
    AUTHORITY,
    BUSINESS_CENTRAL_ROOT,
    GRAPH_ROOT,
    BusinessCentralSettings,
    GraphSettings,
    StagingSettings,
    SyncSettings,
)
from tests import receivers

pytestmark = pytest.mark.airflow

hooks: Any = None


@pytest.fixture(scope="module", autouse=True)
def import_hooks() -> None:
    """Import the hooks, and Airflow with them, in the process that runs these tests: others only collect them."""
    globals()["hooks"] = importlib.import_module("contact_sync_hooks")


SECRET = "a-client-secret-that-nobody-may-see"
KEY = "-----BEGIN PRIVATE KEY-----\n" + "QUJD" * 30 + "\n-----END PRIVATE KEY-----\n"
CERTIFICATE = "-----BEGIN CERTIFICATE-----\n" + "REVG" * 16 + "\n-----END CERTIFICATE-----\n"


def app(**changes: Any) -> str:
    """Return a complete Connection as JSON; ``extra_*`` changes go into extra, and None takes a part away."""
    extra = {"tenant_id": "tenant"} | {k[6:]: v for k, v in changes.items() if k.startswith("extra_")}
    whole = {"conn_type": "microsoft_graph", "login": "client", "password": SECRET}
    whole |= {key: value for key, value in changes.items() if not key.startswith("extra_")}
    kept = {key: value for key, value in extra.items() if value is not None}
    return json.dumps({key: value for key, value in whole.items() if value is not None} | {"extra": kept})


@pytest.fixture
def connection(monkeypatch: pytest.MonkeyPatch) -> Any:
    def give(connection_id: str, value: str) -> None:
        monkeypatch.setenv(f"AIRFLOW_CONN_{connection_id.upper()}", value)

    return give


def test_defaults_of_both_services(connection: Any) -> None:
    connection(hooks.MICROSOFT_GRAPH, app())
    connection(hooks.BUSINESS_CENTRAL, app(conn_type="business_central"))
    graph, bc = hooks.graph_settings(), hooks.business_central_settings()
    assert (graph.root, graph.authority, graph.tenant_id) == (GRAPH_ROOT, AUTHORITY, "tenant")
    assert (graph.client_id, graph.client_secret, graph.certificate) == ("client", SECRET, None)
    assert (bc.root, bc.environment, bc.field_profile) == (BUSINESS_CENTRAL_ROOT, "Production", "standard")


def test_everything_can_be_set(connection: Any) -> None:
    given = app(
        host="http://127.0.0.1:9080/bc/v2.0/",
        extra_environment="Sandbox",
        extra_field_profile="extended",
        extra_authority="http://127.0.0.1:9080/entra/",
    )
    connection(hooks.BUSINESS_CENTRAL, given)
    bc = hooks.business_central_settings()
    assert bc.root == "http://127.0.0.1:9080/bc/v2.0"
    assert (bc.environment, bc.field_profile, bc.authority) == (
        "Sandbox",
        "extended",
        "http://127.0.0.1:9080/entra",
    )


def test_a_connection_given_as_a_uri(connection: Any) -> None:
    connection(
        hooks.MICROSOFT_GRAPH, f"microsoft-graph://client:{SECRET}@graph.microsoft.com/v1.0?tenant_id=t"
    )
    settings = hooks.graph_settings()
    assert (settings.root, settings.client_id, settings.tenant_id) == (GRAPH_ROOT, "client", "t")


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"login": None}, "login"),
        ({"password": None}, "password"),
        ({"extra_tenant_id": None}, "tenant_id"),
        ({"extra_certificate": CERTIFICATE}, "private_key"),
        ({"extra_private_key": KEY}, "certificate"),
        ({"extra_certificate": KEY + CERTIFICATE, "extra_private_key": KEY}, "certificate"),
    ],
)
def test_an_incomplete_connection_names_field_and_remedy(
    connection: Any, changes: dict[str, Any], field: str
) -> None:
    connection(hooks.MICROSOFT_GRAPH, app(**changes))
    with pytest.raises(ConfigError) as caught:
        hooks.graph_settings()
    message = str(caught.value)
    assert f"'microsoft_graph_default': {field} " in message
    assert "Admin > Connections" in message
    assert "AIRFLOW_CONN_MICROSOFT_GRAPH_DEFAULT" in message
    assert SECRET not in message
    assert "QUJD" not in message


def test_a_wrong_field_profile_is_refused(connection: Any) -> None:
    connection(hooks.BUSINESS_CENTRAL, app(extra_field_profile="all"))
    with pytest.raises(ConfigError, match="field_profile must be standard or extended"):
        hooks.business_central_settings()


@pytest.mark.parametrize("value", [None, ""])
def test_a_missing_connection_says_how_to_make_it(monkeypatch: pytest.MonkeyPatch, value: str | None) -> None:
    # docker compose passes a variable that nobody set as an empty one.
    monkeypatch.delenv("AIRFLOW_CONN_MICROSOFT_GRAPH_DEFAULT", raising=False)
    if value is not None:
        monkeypatch.setenv("AIRFLOW_CONN_MICROSOFT_GRAPH_DEFAULT", value)
    with pytest.raises(ConfigError) as caught:
        hooks.graph_settings()
    assert "no Connection 'microsoft_graph_default'" in str(caught.value)
    assert "'microsoft_graph'" in str(caught.value)


def test_a_certificate_in_place_of_the_secret(connection: Any) -> None:
    # One-line inputs lose the line ends of a PEM text, and .env files hold them as \n.
    flat, escaped = KEY.replace("\n", " "), CERTIFICATE.replace("\n", "\\n")
    connection(
        hooks.MICROSOFT_GRAPH, app(extra_certificate=escaped, extra_private_key=flat, extra_passphrase="p")
    )
    settings = hooks.graph_settings()
    assert settings.client_secret is None
    assert settings.certificate is not None
    lines = settings.certificate.private_key.splitlines()
    assert lines[0] == "-----BEGIN PRIVATE KEY-----"
    assert [len(line) for line in lines[1:-1]] == [64, 56]
    assert settings.certificate.public_certificate == CERTIFICATE
    assert settings.certificate.passphrase == "p"
    assert "QUJD" not in repr(settings)


@pytest.mark.parametrize(
    ("given", "url"),
    [
        ("sqlite:////var/lib/a b/staging.db", "sqlite:////var/lib/a b/staging.db"),
        (
            '{"conn_type": "contact_sync_staging", "extra": {"sqlite_path": "/var/s.db"}}',
            "sqlite:////var/s.db",
        ),
        ("postgresql+psycopg://u:p%40ss@db:5433/sync", "postgresql+psycopg://u:p%40ss@db:5433/sync"),
        ("postgres://u:p@db/sync?sslmode=require", "postgresql+psycopg://u:p@db/sync?sslmode=require"),
        (
            '{"conn_type": "contact_sync_staging", "host": "db", "login": "u", "password": "p/w", "schema": "s"}',
            "postgresql+psycopg://u:p%2Fw@db/s",
        ),
        (
            "postgresql:///sync?host=%2Frun%2Fpg",
            "postgresql+psycopg:///sync?host=%2Frun%2Fpg",
        ),
    ],
)
def test_staging_is_any_postgresql_or_sqlite_url(connection: Any, given: str, url: str) -> None:
    from sqlalchemy import make_url

    connection(hooks.STAGING, given)
    settings = hooks.staging_settings()
    assert settings.url == url
    assert make_url(settings.url).get_backend_name() in ("sqlite", "postgresql")
    assert "p%40ss" not in repr(settings)


@pytest.mark.parametrize(
    ("given", "what"),
    [
        ("sqlite:///staging.db", "absolute"),
        ("mysql://u:p@db/x", "must be PostgreSQL"),
        ('{"conn_type": "contact_sync_staging"}', "must name a PostgreSQL server"),
    ],
)
def test_a_staging_database_that_will_not_do(connection: Any, given: str, what: str) -> None:
    connection(hooks.STAGING, given)
    with pytest.raises(ConfigError, match=what):
        hooks.staging_settings()


def test_errors_that_need_a_person_fail_at_once() -> None:
    for error in (
        ConfigError("x"),
        AuthError("x", status=401),
        LeaseLostError("x"),
        ProfileError("mailbox_not_found", "x"),
        AccessDeniedError("x", status=403),
    ):
        assert hooks.ByErrorType().evaluate(error, 1, 3).action.value == "fail", error


def test_errors_that_pass_are_tried_again_when_the_service_says() -> None:
    decision = hooks.ByErrorType().evaluate(ThrottledError("x", retry_after=37.5), 1, 3)
    assert decision.action.value == "retry"
    assert decision.retry_delay == timedelta(seconds=37.5)
    decision = hooks.ByErrorType().evaluate(ServiceError("x", status=503), 1, 3)
    assert decision.action.value == "retry"
    assert decision.retry_delay is None


def test_other_errors_are_left_to_airflow() -> None:
    assert hooks.ByErrorType().evaluate(ZeroDivisionError(), 1, 3).action.value == "default"
    assert hooks.ByErrorType().evaluate(SyncError("x"), 1, 3).action.value == "default"
    assert hooks.ByErrorType().serialize() == {}


def test_schedules_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    def slots() -> list[str]:
        timetable = hooks.schedule()
        return [] if timetable is None else [single.expression for single in timetable.timetables]

    assert slots() == ["*/15 * * * *", "0 2 * * *"]
    monkeypatch.setenv(hooks.SCHEDULE_VARIABLE, "none")
    assert slots() == ["0 2 * * *"]
    monkeypatch.setenv(hooks.FULL_SCHEDULE_VARIABLE, "")
    assert hooks.schedule() is None
    assert not hooks.is_full_slot(datetime(2026, 1, 1, 2, tzinfo=UTC))
    monkeypatch.setenv(hooks.HOUSEKEEPING_SCHEDULE_VARIABLE, "none")
    assert hooks.housekeeping_schedule() is None


def test_settings_may_stand_in_a_file_that_is_read_again(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = tmp_path / "contact_sync.env"
    path.write_text("# when\nCONTACT_SYNC_SCHEDULE=0 * * * *\n\nCONTACT_SYNC_RETRY_DELAY=3\n")
    monkeypatch.setenv(hooks.SETTINGS_FILE_VARIABLE, str(path))
    assert hooks.incremental_schedule() == "0 * * * *"
    assert hooks.retry_delay() == timedelta(seconds=3)
    path.write_text("CONTACT_SYNC_SCHEDULE=none\n")
    assert hooks.incremental_schedule() == ""
    monkeypatch.setenv(hooks.SCHEDULE_VARIABLE, "5 * * * *")
    assert hooks.incremental_schedule() == "5 * * * *"


@pytest.mark.parametrize(
    ("variable", "value", "counts"),
    [
        ("CONTACT_SYNC_RETRY_DELAY", "15s", lambda: hooks.retry_delay() == timedelta(seconds=15)),
        ("CONTACT_SYNC_RETRY_DELAY", "-1", lambda: hooks.retry_delay() == timedelta(seconds=15)),
        ("CONTACT_SYNC_TASK_TIMEOUT", "1e12", lambda: hooks.task_timeout() == timedelta(hours=1)),
        ("CONTACT_SYNC_APPROVAL_TIMEOUT", "een week", lambda: hooks.approval_timeout() == timedelta(days=7)),
        ("CONTACT_SYNC_SCHEDULE", "elk uur", lambda: hooks.incremental_schedule() == "*/15 * * * *"),
        ("CONTACT_SYNC_FULL_SCHEDULE", "0 25 * * *", lambda: hooks.full_schedule() == "0 2 * * *"),
        ("CONTACT_SYNC_HOUSEKEEPING_SCHEDULE", "30 3 * *", lambda: hooks.housekeeping_schedule() is not None),
        ("CONTACT_SYNC_TIMEZONE", "Europa/Amsterdam", lambda: hooks.timezone() == "UTC"),
        ("CONTACT_SYNC_GUARD_DELETES", "tien", lambda: hooks.sync_settings() == SyncSettings()),
        ("CONTACT_SYNC_LEASE", "nan", lambda: hooks.sync_settings() == SyncSettings()),
        ("CONTACT_SYNC_WRITES", "uit", lambda: hooks.sync_settings() == SyncSettings(writes=False)),
    ],
)
def test_a_setting_that_cannot_be_read_stops_no_dag(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, variable: str, value: str, counts: Any
) -> None:
    """O2: its default counts (for writes: off), and each run says which setting, which value, and what to do."""
    assert hooks.setting_problems() == []
    monkeypatch.setenv(variable, value)
    hooks.schedule()
    assert counts()
    hooks.log_setting_problems()
    [problem] = hooks.setting_problems()
    assert problem in caplog.text
    assert problem.startswith(f"{variable} is {value!r}")
    assert "It takes" in problem or "it takes" in problem
    assert "Until it is corrected" in problem


def test_a_settings_file_that_is_gone_stops_no_dag_and_all_writes(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """O2: it may have said that nothing is to be written, so nothing is, until it can be read."""
    path = tmp_path / "contact_sync.env"
    monkeypatch.setenv(hooks.SETTINGS_FILE_VARIABLE, str(path))
    for broken in (
        lambda: None,
        lambda: path.write_bytes(b"\xff\xfe"),
        lambda: (path.unlink(), path.mkdir()),
    ):
        broken()
        assert hooks.incremental_schedule() == "*/15 * * * *"
        assert hooks.sync_settings() == SyncSettings(writes=False)
        assert not hooks._may_write()
        [problem] = hooks.setting_problems()
        assert str(path) in problem
        assert hooks.SETTINGS_FILE_VARIABLE in problem
    path.rmdir()
    path.write_text("CONTACT_SYNC_WRITES=on\n")
    assert hooks._may_write()
    path.write_text("CONTACT_SYNC_WRITES=off\n")
    assert not hooks._may_write()


def test_the_full_slot_is_read_in_the_time_zone(monkeypatch: pytest.MonkeyPatch) -> None:
    midnight_utc = datetime(2026, 1, 1, 1, 0, tzinfo=UTC)
    assert not hooks.is_full_slot(midnight_utc)
    assert hooks.is_full_slot(midnight_utc + timedelta(hours=1))
    monkeypatch.setenv(hooks.TIMEZONE_VARIABLE, "Europe/Amsterdam")
    assert hooks.is_full_slot(midnight_utc)
    assert not hooks.is_full_slot(midnight_utc + timedelta(minutes=15))


def test_the_last_full_slot_before_a_run_is_what_makes_full_reads_due(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """O3: a slot counts from its own moment on, in the time zone, across the change of the clocks."""
    slot = datetime(2026, 3, 29, 2, 0, tzinfo=UTC)
    assert hooks.last_full_slot(slot) == slot
    assert hooks.last_full_slot(slot + timedelta(hours=23)) == slot
    assert hooks.last_full_slot(slot - timedelta(seconds=1)) == slot - timedelta(days=1)
    monkeypatch.setenv(hooks.TIMEZONE_VARIABLE, "Europe/Amsterdam")
    monkeypatch.setenv(hooks.FULL_SCHEDULE_VARIABLE, "0 4 * * *")
    assert hooks.last_full_slot(slot) == slot
    assert hooks.last_full_slot(slot - timedelta(seconds=1)) == slot - timedelta(hours=23)
    monkeypatch.setenv(hooks.FULL_SCHEDULE_VARIABLE, "none")
    assert hooks.last_full_slot(slot) is None


def test_a_task_instance_id_tells_when_it_was_made() -> None:
    moment = datetime(2026, 11, 23, 12, 0, 0, 250_000, tzinfo=UTC)
    made = UUID(int=(int(moment.timestamp() * 1000) << 80) | (7 << 76) | 12345)
    assert hooks._made_at(str(made)) == moment


def test_a_verdict_is_one_line_for_each_failure_and_no_traceback(caplog: pytest.LogCaptureFixture) -> None:
    """P9: Airflow logs a SystemExit without a traceback, and nobody tries that task again."""
    caplog.set_level(logging.INFO)
    hooks.raise_unless_good(Verdict(True, "2 profiles", ("anna: known since Monday",)))
    lines = ("anna: Microsoft 365 has no such mailbox.", "bram: the app may not open it.")
    with pytest.raises(SystemExit) as ended:
        hooks.raise_unless_good(Verdict(False, "Failed: anna; bram", lines))
    assert ended.value.code == 1
    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
        ("WARNING", "anna: known since Monday"),
        ("INFO", "2 profiles"),
        *(("ERROR", line) for line in (*lines, "Failed: anna; bram")),
    ]
    assert hooks.ByErrorType().evaluate(ended.value, 1, 3).action.value == "fail"


def test_a_check_that_found_something_ends_without_a_traceback() -> None:
    """P9: as a verdict does."""
    with pytest.raises(SystemExit):
        hooks.raise_unless_all_ok([Check("staging", False, "away", "Start it.")])
    hooks.raise_unless_all_ok([Check("staging", True, "there", "")])


def test_a_run_that_cannot_open_its_connections_is_written_down(
    connection: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """P2: a missing Connection leaves a run with its cause, for the pages to show."""
    from sqlalchemy import select

    from sync_lib.store import tables as t
    from sync_lib.store.engine import open_engine

    extra = {"sqlite_path": f"{tmp_path}/staging.db"}
    connection(hooks.STAGING, json.dumps({"conn_type": "contact_sync_staging", "extra": extra}))
    connection(hooks.BUSINESS_CENTRAL, app(login=None))
    request = model.RunRequest("scheduled__1", run_type="scheduled")
    monkeypatch.setattr(hooks, "run_request", lambda: request)
    with pytest.raises(ConfigError, match="login must hold"), hooks.edges_to_plan():
        pass
    engine = open_engine(f"sqlite:///{tmp_path}/staging.db")
    with engine.begin() as conn:
        row = conn.execute(select(t.sync_run)).one()
    engine.dispose()
    assert (row.state, row.reason) == ("failed", "ConfigError")
    assert "business_central_default" in row.message


def test_when_a_secret_ends_stands_in_its_connection(connection: Any) -> None:
    """P2: shown from 30 days before; a date that cannot be read breaks nothing."""
    today = datetime.now(UTC).date()
    connection(hooks.MICROSOFT_GRAPH, app(extra_secret_expires=f"{today + timedelta(days=30)}"))
    connection(hooks.BUSINESS_CENTRAL, app(extra_secret_expires=f"{today + timedelta(days=31)}"))
    (found,) = hooks.endings()
    assert (found.connection, found.days, found.certificate) == (hooks.MICROSOFT_GRAPH, 30, False)
    connection(hooks.BUSINESS_CENTRAL, app(extra_secret_expires=f"{today - timedelta(days=1)}"))
    assert [each.days for each in hooks.endings()] == [30, -1]
    connection(hooks.MICROSOFT_GRAPH, app(extra_secret_expires="next spring"))
    assert [each.days for each in hooks.endings()] == [-1]


def test_the_provider_metadata_satisfies_airflow_and_names_real_hooks() -> None:
    from airflow.providers_manager import ProvidersManager
    from airflow.sdk.providers_manager_runtime import ProvidersManagerTaskRuntime

    types = {"business_central", "microsoft_graph", "contact_sync_staging", "contact_sync_webhook"}
    found = {name: hook for name, hook in ProvidersManagerTaskRuntime().hooks.items() if name in types}
    assert set(found) == types
    for name, hook in found.items():
        assert hook is not None
        assert hook.connection_type == name
        assert hook.connection_testable
    forms = ProvidersManager().field_behaviours
    assert forms["microsoft_graph"]["relabeling"]["password"] == "Client secret"
    widgets = ProvidersManager().connection_form_widgets
    assert widgets["extra__microsoft_graph__private_key"].is_sensitive
    assert "extra__business_central__field_profile" in widgets


def test_a_connection_test_says_what_is_missing(connection: Any) -> None:
    connection("under_test", app(login=None))
    ok, message = hooks.MicrosoftGraphHook(microsoft_graph_conn_id="under_test").test_connection()
    assert not ok
    assert "login must hold the client id" in message


def test_the_question_about_a_hold_leads_to_its_page(monkeypatch: pytest.MonkeyPatch) -> None:
    import contact_sync_plugin

    pushed: dict[str, str] = {}

    class TaskInstance:
        def xcom_push(self, key: str, value: str) -> None:
            pushed[key] = value

    monkeypatch.setattr(hooks, "get_current_context", lambda: {"ti": TaskInstance()})
    monkeypatch.setenv("AIRFLOW__API__BASE_URL", "https://airflow.example/sync/")
    told = hooks.put_question(Question("24 changes wait", "Because.", 7))
    assert pushed == {"subject": "24 changes wait"}
    assert told.startswith("Because.")
    assert told.endswith(f"(https://airflow.example/sync{contact_sync_plugin.MOUNT}/holds/7)")


class Previous:
    def __init__(self, state: str) -> None:
        self.state = state


@pytest.fixture
def told_by(monkeypatch: pytest.MonkeyPatch, connection: Any) -> Any:
    """Notify about a run that failed as a whole, with no staging database to read, by these Connections."""

    class TaskInstance:
        previous: Any = None

        def get_previous_dagrun(self) -> Any:
            return self.previous

    class DagRun:
        dag_id = "contact_sync"
        run_id = "scheduled__2026-03-02T09:15:00+00:00"
        run_after = datetime(2026, 3, 2, 9, 15, tzinfo=UTC)

    context = {"ti": TaskInstance(), "dag_run": DagRun()}
    monkeypatch.setattr(hooks, "get_current_context", lambda: context)
    monkeypatch.setenv("AIRFLOW__API__BASE_URL", "https://airflow.example/sync/")

    def tell(receivers: dict[str, dict[str, Any]], previous: str = "", *, opens: bool = True) -> None:
        for name, values in receivers.items():
            connection(name, json.dumps(values))
        monkeypatch.setenv(hooks.NOTIFY_VARIABLE, " , ".join(receivers))
        context["ti"].previous = Previous(previous) if previous else None
        if not opens:
            with hooks.edges_or_alarm():
                return
        with tempfile.TemporaryDirectory() as home:
            edges = services.Services(
                BusinessCentralSettings("", "", ""),
                GraphSettings("", "", ""),
                StagingSettings(f"sqlite:///{home}/gone/staging.db"),
                SyncSettings(),
            )
            hooks.notify(edges, Verdict(False, "plan_run failed: see its log."))

    return tell


def test_nobody_is_told_unless_a_setting_names_whom(told_by: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hooks, "_send", None)
    told_by({})


def test_a_message_leads_to_its_run(told_by: Any) -> None:
    with receivers.webhook() as teams, receivers.webhook() as slack:
        told_by(
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


def test_a_message_goes_by_mail(told_by: Any) -> None:
    with receivers.mail_server() as mails:
        told_by(
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
def test_a_receiver_that_is_away_keeps_no_other_from_being_told_and_fails_nothing(
    told_by: Any, caplog: pytest.LogCaptureFixture, values: dict[str, Any], cause: str
) -> None:
    with receivers.webhook() as taken, caplog.at_level(logging.WARNING):
        told_by({"broken": values, "good": {"conn_type": "contact_sync_webhook", "password": taken.url}})
    assert len(taken.bodies) == 1
    assert "nobody was told by broken: " in caplog.text
    assert cause in caplog.text
    assert "s3cr3t" not in caplog.text


def test_an_error_of_any_kind_makes_no_run_red(
    told_by: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: Any) -> None:
        raise ImportError("s3cr3t")

    monkeypatch.setattr(hooks, "_notice", broken)
    told_by({"good": {"conn_type": "contact_sync_webhook"}})
    assert "nobody was told: ImportError" in caplog.text
    assert "s3cr3t" not in caplog.text


def test_a_receiver_without_a_connection_is_named(told_by: Any, caplog: pytest.LogCaptureFixture) -> None:
    told_by({"good": {"conn_type": "contact_sync_webhook"}, "missing": {}})
    assert "nobody was told by missing" in caplog.text


def test_runs_that_fail_one_after_the_other_are_told_of_once(told_by: Any) -> None:
    with receivers.webhook() as taken:
        receiver = {"good": {"conn_type": "contact_sync_webhook", "password": taken.url}}
        told_by(receiver, previous="failed")
        assert taken.bodies == []
        told_by(receiver, previous="success")
        assert len(taken.bodies) == 1


def test_a_run_that_cannot_open_its_connections_is_told_of(told_by: Any, connection: Any) -> None:
    connection(hooks.BUSINESS_CENTRAL, app(login=None))
    with receivers.webhook() as slack:
        text = {"conn_type": "contact_sync_webhook", "password": slack.url, "extra": {"format": "text"}}
        with pytest.raises(SystemExit):
            told_by({"to_slack": text}, opens=False)
        (body,) = slack.bodies
        assert body["text"].startswith("Contact sync: the run failed")
        assert "Connection 'business_central_default': login must hold the client id" in body["text"]
        with pytest.raises(SystemExit):
            told_by({"to_slack": text}, previous="failed", opens=False)
        assert len(slack.bodies) == 1


def test_whether_the_run_before_failed(told_by: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    told_by({})
    context = hooks.get_current_context()
    for previous, repeated in ((None, False), (Previous("success"), False), (Previous("failed"), True)):
        context["ti"].previous = previous
        assert hooks._failed_before() is repeated
    monkeypatch.setenv(hooks.FULL_SCHEDULE_VARIABLE, "15 9 * * *")
    assert not hooks._failed_before(), "the full run tells once more"


def test_the_test_of_a_webhook_posts_a_message(connection: Any) -> None:
    with receivers.webhook() as taken:
        connection(
            "hook_under_test", json.dumps({"conn_type": "contact_sync_webhook", "password": taken.url})
        )
        ok, message = hooks.WebhookHook(contact_sync_webhook_conn_id="hook_under_test").test_connection()
        assert ok, message
        assert "Messages of the sync arrive here." in str(taken.bodies)
        taken.status = 404
        ok, message = hooks.WebhookHook("hook_under_test").test_connection()
    assert not ok
    assert "answered 404" in message


def test_a_page_changes_no_schema(tmp_path: Path, connection: Any) -> None:
    """O10: it says which schema there is, and what brings it up to date."""
    from sqlalchemy import text

    import contact_sync_plugin
    from sync_lib.store.engine import open_engine, transaction
    from sync_lib.store.migrate import VERSION_TABLE, migrate

    path = tmp_path / "staging.db"
    connection(
        hooks.STAGING, json.dumps({"conn_type": "contact_sync_staging", "extra": {"sqlite_path": str(path)}})
    )
    engine = open_engine(f"sqlite:///{path}")
    migrate(engine)
    with transaction(engine) as conn:
        conn.execute(text(f"UPDATE {VERSION_TABLE} SET version_num = '0000'"))
    with pytest.raises(ConfigError, match="older schema 0000"):
        contact_sync_plugin.Staging().engine()
    engine.dispose()
