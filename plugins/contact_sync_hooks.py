"""Airflow's side of the sync: Connections become settings, the context becomes a request, errors become fail or retry.

Airflow imports this module in every one of its processes, and so does each DAG file: the top imports nothing but
Airflow's SDK. It logs no secret, and no message of its errors holds one.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

from airflow.sdk import (
    Asset,
    BaseHook,
    MultipleCronTriggerTimetable,
    RetryDecision,
    RetryPolicy,
    get_current_context,
)

if TYPE_CHECKING:
    from sync_lib.model import ProfileResult, RunRequest
    from sync_lib.operate.approval import Question
    from sync_lib.operate.checks import Check
    from sync_lib.operate.credentials import Ending
    from sync_lib.operate.notices import Notice
    from sync_lib.run.report import RunReport, Verdict
    from sync_lib.services import Services
    from sync_lib.settings import (
        BusinessCentralSettings,
        Certificate,
        GraphSettings,
        StagingSettings,
        SyncSettings,
    )
    from sync_lib.store.holds import Decision

log = logging.getLogger(__name__)

BUSINESS_CENTRAL = "business_central_default"
MICROSOFT_GRAPH = "microsoft_graph_default"
STAGING = "contact_sync_staging"

#: Where the web server shows our pages.
PAGES = "/contact_sync"

#: What a person may answer about a hold.
APPROVE, REJECT = "Approve", "Reject"

SETTINGS_FILE_VARIABLE = "CONTACT_SYNC_SETTINGS_FILE"
SCHEDULE_VARIABLE = "CONTACT_SYNC_SCHEDULE"
FULL_SCHEDULE_VARIABLE = "CONTACT_SYNC_FULL_SCHEDULE"
HOUSEKEEPING_SCHEDULE_VARIABLE = "CONTACT_SYNC_HOUSEKEEPING_SCHEDULE"
TIMEZONE_VARIABLE = "CONTACT_SYNC_TIMEZONE"
RETRY_DELAY_VARIABLE = "CONTACT_SYNC_RETRY_DELAY"
TIMEOUT_VARIABLE = "CONTACT_SYNC_TASK_TIMEOUT"
APPROVAL_TIMEOUT_VARIABLE = "CONTACT_SYNC_APPROVAL_TIMEOUT"
NOTIFY_VARIABLE = "CONTACT_SYNC_NOTIFY"
WRITES_VARIABLE = "CONTACT_SYNC_WRITES"

_SECONDS = {RETRY_DELAY_VARIABLE: 15.0, TIMEOUT_VARIABLE: 3600.0, APPROVAL_TIMEOUT_VARIABLE: 604800.0}
_CRONS = {
    SCHEDULE_VARIABLE: "*/15 * * * *",
    FULL_SCHEDULE_VARIABLE: "0 2 * * *",
    HOUSEKEEPING_SCHEDULE_VARIABLE: "30 3 * * *",
}


def environment() -> dict[str, str]:
    """Return the environment, on top of the settings file where one is named.

    The file has lines ``CONTACT_SYNC_NAME=value``. It is read again whenever a DAG file is parsed and whenever a task
    starts, so a new schedule or limit in it needs no restart.
    """
    return _environment()[0]


def _environment() -> tuple[dict[str, str], list[str]]:
    """Return the environment with the settings file, and what is wrong with that file.

    A file that cannot be read may be what says that nothing is to be written: until it can, nothing is.
    """
    path = os.environ.get(SETTINGS_FILE_VARIABLE)
    if not path:
        return dict(os.environ), []
    try:
        with open(path, encoding="utf-8") as file:  # noqa: PTH123 - pathlib would be one more import per parse.
            lines = [line.strip() for line in file]
    except (OSError, UnicodeDecodeError) as error:
        problem = (
            f"{SETTINGS_FILE_VARIABLE} is {path!r}, and that file cannot be read ({type(error).__name__}). Put it "
            f"there, or unset the variable. Until then defaults count, and nothing is written ({WRITES_VARIABLE}=off)."
        )
        return {**os.environ, WRITES_VARIABLE: "off"}, [problem]
    given = dict(line.split("=", 1) for line in lines if "=" in line and not line.startswith("#"))
    return {**given, **os.environ}, []


def setting_problems() -> list[str]:
    """Return what is wrong with settings, each with its name, its value, and what counts meanwhile.

    A DAG file must load whatever a setting says: an import error names no setting, and stops the sync silently.
    """
    from sync_lib.settings import SyncSettings

    given, problems = _environment()
    for variable, default in _SECONDS.items():
        problems += _seconds(given, variable, default)[1]
    for variable, cron in _CRONS.items():
        problems += _read_cron(given, variable, cron)[1]
    return [*problems, *_zone(given)[1], *SyncSettings.read_environment(given)[1]]


def schedule() -> MultipleCronTriggerTimetable | None:
    """Return when the sync runs: the slots of the schedule and those of the full sync, or None for by hand only."""
    return _timetable(incremental_schedule(), full_schedule())


def housekeeping_schedule() -> MultipleCronTriggerTimetable | None:
    """Return when housekeeping runs, or None for by hand only."""
    return _timetable(_cron(HOUSEKEEPING_SCHEDULE_VARIABLE))


def incremental_schedule() -> str:
    """Return the cron expression of the regular runs, "" for none."""
    return _cron(SCHEDULE_VARIABLE)


def full_schedule() -> str:
    """Return the cron expression of the slots whose scheduled run is a full sync, "" for none."""
    return _cron(FULL_SCHEDULE_VARIABLE)


def timezone() -> str:
    """Return the time zone that the schedules are read in."""
    return _zone(environment())[0]


def retry_delay() -> timedelta:
    """Return the pause before a task's next try, where the service named none."""
    return _duration(RETRY_DELAY_VARIABLE)


def task_timeout() -> timedelta:
    """Return how long one task may take; leases are shorter than this, and renewed."""
    return _duration(TIMEOUT_VARIABLE)


def approval_timeout() -> timedelta:
    """Return how long a hold waits for a person, before it counts as rejected."""
    return _duration(APPROVAL_TIMEOUT_VARIABLE)


def _timetable(*crons: str) -> MultipleCronTriggerTimetable | None:
    given = [cron for cron in crons if cron]
    return MultipleCronTriggerTimetable(*given, timezone=timezone()) if given else None


def _cron(variable: str) -> str:
    return _read_cron(environment(), variable, _CRONS[variable])[0]


def _read_cron(given: dict[str, str], variable: str, default: str) -> tuple[str, list[str]]:
    cron = given.get(variable, default).strip()
    if not cron or cron.lower() == "none":
        return "", []
    from croniter import croniter

    if croniter.is_valid(cron):
        return cron, []
    remedy = f'It takes a cron expression, or "none". Until it is corrected, {default!r} counts.'
    return default, [f"{variable} is {cron!r}. {remedy}"]


def _zone(given: dict[str, str]) -> tuple[str, list[str]]:
    from zoneinfo import ZoneInfo

    name = given.get(TIMEZONE_VARIABLE) or "UTC"
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        remedy = "It takes a name such as Europe/Amsterdam. Until it is corrected, UTC counts."
        return "UTC", [f"{TIMEZONE_VARIABLE} is {name!r}. {remedy}"]
    return name, []


def _duration(variable: str) -> timedelta:
    return timedelta(seconds=_seconds(environment(), variable, _SECONDS[variable])[0])


def _seconds(given: dict[str, str], variable: str, default: float) -> tuple[float, list[str]]:
    text = (given.get(variable) or "").strip()
    try:
        seconds = float(text) if text else default
    except ValueError:
        seconds = -1.0
    # Whatever is longer than a year is a slip, and Airflow's own sums end somewhere above.
    if 0 <= seconds <= 366 * 86_400:
        return seconds, []
    remedy = f"It takes seconds, as a number without a unit. Until it is corrected, {default:g} counts."
    return default, [f"{variable} is {text!r}. {remedy}"]


@contextmanager
def edges() -> Iterator[Services]:
    """Yield the clients and the staging database that the three Connections name.

    Raises:
        ConfigError: A Connection is missing or incomplete; the message says which, and what to do.
    """
    from sync_lib import pipeline

    opened = pipeline.open_edges(
        business_central_settings(), graph_settings(), staging_settings(), sync_settings(), _may_write
    )
    with opened as ready:
        yield ready


@contextmanager
def edges_to_plan() -> Iterator[tuple[Services, RunRequest]]:
    """Yield to the task that plans a run its edges and what was asked; write a run down that cannot open them.

    Raises:
        ConfigError: As ``edges``.
    """
    from sync_lib import pipeline
    from sync_lib.errors import SyncError

    request = run_request()
    with ExitStack() as opened:
        try:
            ready = opened.enter_context(edges())
        except SyncError as error:
            pipeline.fail_plan(staging_settings(), request, error)
            raise
        yield ready, request


@contextmanager
def edges_or_alarm() -> Iterator[Services]:
    """Yield the edges to the last task of a run; where they cannot be opened, tell people that the run is dead.

    Raises:
        SystemExit: As ``raise_unless_good``, where the cause is one that a person can put right.
    """
    from sync_lib.errors import SyncError
    from sync_lib.run.report import Verdict

    with ExitStack() as opened:
        try:
            ready = opened.enter_context(edges())
        except Exception as error:
            dead = Verdict(False, _cause(error))
            notify(None, dead)
            if isinstance(error, SyncError):
                raise_unless_good(dead)
            raise
        yield ready


def sync_settings() -> SyncSettings:
    """Return how the sync behaves; what cannot be read counts as ``setting_problems`` says."""
    from sync_lib.settings import SyncSettings

    return SyncSettings.read_environment(environment())[0]


def _may_write() -> bool:
    """Read the switch once more: turned off in the settings file, it stops also what is under way."""
    return sync_settings().writes


def business_central_settings(connection_id: str = BUSINESS_CENTRAL) -> BusinessCentralSettings:
    """Return how to reach Business Central, from an Airflow Connection.

    Raises:
        ConfigError: The Connection is missing or incomplete.
    """
    from sync_lib.settings import BUSINESS_CENTRAL_ROOT, BusinessCentralSettings

    connection = _connection(connection_id, "business_central")
    field_profile = _extra(connection, "field_profile") or "standard"
    if field_profile not in ("standard", "extended"):
        raise _incomplete(connection_id, "field_profile", "must be standard or extended")
    return BusinessCentralSettings(
        **_app_settings(connection, BUSINESS_CENTRAL_ROOT),
        environment=_extra(connection, "environment") or "Production",
        field_profile=field_profile,
    )


def graph_settings(connection_id: str = MICROSOFT_GRAPH) -> GraphSettings:
    """Return how to reach Microsoft Graph, from an Airflow Connection.

    Raises:
        ConfigError: The Connection is missing or incomplete.
    """
    from sync_lib.settings import GRAPH_ROOT, GraphSettings

    return GraphSettings(**_app_settings(_connection(connection_id, "microsoft_graph"), GRAPH_ROOT))


def staging_settings(connection_id: str = STAGING) -> StagingSettings:
    """Return the URL of the staging database, from an Airflow Connection.

    Raises:
        ConfigError: The Connection is missing or incomplete.
    """
    from sync_lib.settings import StagingSettings

    connection = _connection(connection_id, "contact_sync_staging")
    path = _extra(connection, "sqlite_path") or (
        connection.schema if connection.conn_type == "sqlite" else ""
    )
    if path:
        # A relative path would be another file in each of Airflow's processes.
        if not path.startswith("/"):
            raise _incomplete(connection_id, "sqlite_path", "must be an absolute path")
        return StagingSettings(url=f"sqlite:///{path}")
    if connection.conn_type not in ("contact_sync_staging", "postgres", "postgresql", "postgresql+psycopg"):
        raise _incomplete(
            connection_id, "type", f"is {connection.conn_type}, and must be PostgreSQL or a SQLite file"
        )
    return StagingSettings(url=_postgresql_url(connection))


def _connection(connection_id: str, connection_type: str) -> Any:
    from airflow.sdk.exceptions import AirflowNotFoundException

    from sync_lib.errors import ConfigError

    try:
        return BaseHook.get_connection(connection_id)
    except AirflowNotFoundException as error:
        variable = f"AIRFLOW_CONN_{connection_id.upper()}"
        raise ConfigError(
            f"Airflow has no Connection {connection_id!r}. Make it under Admin > Connections with the type "
            f"{connection_type!r}, or set the environment variable {variable}."
        ) from error


def _app_settings(connection: Any, default_root: str) -> dict[str, Any]:
    """Return what both services' settings share."""
    from sync_lib.settings import AUTHORITY

    connection_id = connection.conn_id
    certificate = _certificate(connection)
    if not connection.login:
        raise _incomplete(connection_id, "login", "must hold the client id of the app registration")
    if not _extra(connection, "tenant_id"):
        raise _incomplete(connection_id, "tenant_id", "must hold the directory (tenant) id")
    if not connection.password and certificate is None:
        raise _incomplete(
            connection_id, "password", "must hold the client secret, unless there is a certificate"
        )
    return {
        "root": _root(connection, default_root),
        "tenant_id": _extra(connection, "tenant_id"),
        "client_id": connection.login,
        "client_secret": None if certificate else connection.password,
        "certificate": certificate,
        "authority": (_extra(connection, "authority") or AUTHORITY).rstrip("/"),
        "secret_expires": _extra(connection, "secret_expires"),
        "audience": _extra(connection, "audience"),
    }


def _root(connection: Any, default: str) -> str:
    """Return the API root, put together again where the Connection was given as a URI."""
    host = connection.host or ""
    if not host:
        return default
    if "://" not in host:
        scheme = _extra(connection, "scheme") or "https"
        port = f":{connection.port}" if connection.port else ""
        path = f"/{connection.schema}" if connection.schema else ""
        host = f"{scheme}://{host}{port}{path}"
    return host.rstrip("/")


def _certificate(connection: Any) -> Certificate | None:
    from sync_lib.settings import Certificate

    public, private = _extra(connection, "certificate"), _extra(connection, "private_key")
    if not public and not private:
        return None
    if not public or not private:
        missing = "private_key" if public else "certificate"
        raise _incomplete(connection.conn_id, missing, "belongs to a certificate: set both, in PEM form")
    if "PRIVATE KEY" in public:
        # Airflow's UI shows this field to everyone who may read Connections.
        raise _incomplete(connection.conn_id, "certificate", "holds a private key: move it to private_key")
    return Certificate(
        private_key=_pem(private),
        public_certificate=_pem(public),
        passphrase=_extra(connection, "passphrase") or None,
    )


def _pem(text: str) -> str:
    r"""Return a PEM text with its line ends, which one-line inputs and ``\n`` in JSON or .env files lose."""
    text = text.replace("\\n", "\n").strip()
    blocks = re.findall(r"-----BEGIN ([A-Z ]+)-----(.*?)-----END \1-----", text, flags=re.DOTALL)
    if not blocks or ":" in text:
        return (
            text  # An encrypted key in the old form has headers; a file path or nonsense is msal's to refuse.
        )
    wrapped = []
    for label, body in blocks:
        body = re.sub(r"\s", "", body)
        lines = "\n".join(body[start : start + 64] for start in range(0, len(body), 64))
        wrapped.append(f"-----BEGIN {label}-----\n{lines}\n-----END {label}-----\n")
    return "".join(wrapped)


def _postgresql_url(connection: Any) -> str:
    from urllib.parse import quote, urlencode

    query = {key: str(value) for key, value in connection.extra_dejson.items() if value not in ("", None)}
    if not connection.host and "host" not in query:
        raise _incomplete(connection.conn_id, "host", "must name a PostgreSQL server, or sqlite_path a file")
    password = f":{quote(connection.password, safe='')}" if connection.password else ""
    user = f"{quote(connection.login, safe='')}{password}@" if connection.login else ""
    port = f":{connection.port}" if connection.port else ""
    path = f"/{quote(connection.schema or '', safe='')}"
    # With the driver's name, since what a bare postgresql:// means differs between versions of SQLAlchemy.
    url = f"postgresql+psycopg://{user}{connection.host or ''}{port}{path}"
    return f"{url}?{urlencode(query)}" if query else url


def _extra(connection: Any, name: str) -> str:
    value = connection.extra_dejson.get(name)
    return str(value).strip() if value is not None else ""


def _incomplete(connection_id: str, field: str, what: str) -> Exception:
    from sync_lib.errors import ConfigError

    return ConfigError(
        f"Connection {connection_id!r}: {field} {what}. Mend it under Admin > Connections, or in the "
        f"environment variable AIRFLOW_CONN_{connection_id.upper()} where that is set."
    )


def is_full_slot(moment: datetime) -> bool:
    """Tell whether a scheduled run of this moment is the full sync."""
    from zoneinfo import ZoneInfo

    from croniter import croniter

    cron = full_schedule()
    return bool(cron) and bool(croniter.match(cron, moment.astimezone(ZoneInfo(timezone()))))


def is_paused(dag_id: str) -> bool:
    """Whether a DAG is switched off in Airflow."""
    return bool(get_current_context()["ti"].get_dag(dag_id).is_paused)


def log_setting_problems() -> None:
    """Warn of every setting that cannot be read, in the log of the task that plans a run."""
    for problem in setting_problems():
        log.warning("%s", problem)


def last_full_slot(moment: datetime) -> datetime | None:
    """Return the last slot of the full schedule up to a moment: who was read in full before it is due again."""
    from zoneinfo import ZoneInfo

    from croniter import croniter

    cron = full_schedule()
    if not cron:
        return None
    # One microsecond on, since a slot counts from its own moment on.
    until = moment.astimezone(ZoneInfo(timezone())) + timedelta(microseconds=1)
    slot: datetime = croniter(cron, until).get_prev(datetime)
    return slot


def this_run() -> str:
    """Return the id of the DAG run that the calling task belongs to."""
    return str(get_current_context()["dag_run"].run_id)


def chosen_profiles() -> list[str]:
    """Return the profiles that this run was asked for, by mailbox or id; none for all."""
    return list(get_current_context()["params"]["profiles"] or [])


def run_request() -> RunRequest:
    """Return what this DAG run was asked to do, and warn of settings that cannot be read.

    Raises:
        ConfigError: A parameter has a value that the form would have refused.
    """
    from sync_lib.model import RunRequest

    log_setting_problems()
    context = get_current_context()
    dag_run, params = context["dag_run"], context["params"]
    run_type = str(getattr(dag_run.run_type, "value", dag_run.run_type))
    full = run_type == "backfill" or (run_type == "scheduled" and is_full_slot(dag_run.run_after))
    return RunRequest(
        run_id=dag_run.run_id,
        mode="full" if full else params["mode"],
        profiles=chosen_profiles(),
        dry_run=params["dry_run"],
        run_type=run_type,
        run_after=dag_run.run_after,
        requested_at=_made_at(context["ti"].id),
        full_slot=last_full_slot(dag_run.run_after),
    )


def hold_of_run() -> tuple[int, int]:
    """Return the hold that this run asks about, and how often that has been asked."""
    params = get_current_context()["params"]
    return int(params["hold"]), int(params["asked"])


def put_question(question: Question | None) -> str:
    """Hand the headline on and return the text of a question.

    Raises:
        AirflowSkipException: There is nothing to ask any more.
    """
    from airflow.sdk.exceptions import AirflowSkipException

    if question is None:
        raise AirflowSkipException("This hold does not wait any more: nobody is asked.")
    get_current_context()["ti"].xcom_push("subject", question.subject)
    root = _address_of_airflow()
    return f"{question.body}\n\n[All that waits, contact by contact]({root}{PAGES}/holds/{question.hold})"


def decision(answer: dict[str, Any]) -> Decision:
    """Return what a person, or the time-out, answered to a question."""
    from sync_lib.store.holds import Decision
    from sync_lib.times import to_text

    user = answer.get("responded_by_user")
    at = answer["responded_at"]
    moment = at if isinstance(at, datetime) else datetime.fromisoformat(str(at))
    approved = answer["chosen_options"] == [APPROVE]
    by = str(user["name"] or user["id"]) if user else ""
    # Our page says what it showed; an answer in Airflow itself is one to what the question shows.
    shown = str((answer.get("params_input") or {}).get("shown", ""))
    return Decision(approved, by, "person" if user else "timeout", to_text(moment), shown)


def start_run(dag_id: str, run_id: str, conf: dict[str, int]) -> None:
    """Start a run of another DAG, unless there is one of this id.

    Airflow's TriggerDagRunOperator does the same, and takes 1.7 seconds to import in each parse of a DAG file.

    Raises:
        DagRunTriggerException: Always; it asks Airflow to start the run.
    """
    from airflow.sdk.exceptions import DagRunTriggerException

    raise DagRunTriggerException(
        trigger_dag_id=dag_id,
        dag_run_id=run_id,
        conf=conf,
        reset_dag_run=False,
        skip_when_already_exists=True,
        wait_for_completion=False,
        allowed_states=[],
        failed_states=[],
        poke_interval=60,
        deferrable=False,
    )


def hand_on(key: str, value: list[str]) -> None:
    """Leave a second result for the tasks behind this one."""
    get_current_context()["ti"].xcom_push(key, value)


def show_company(company: str) -> None:
    """Put the company's name in the place of the map index in Airflow's UI."""
    get_current_context()["company"] = company


def show_mailbox(mailbox: str) -> None:
    """Put the mailbox in the place of the map index in Airflow's UI."""
    get_current_context()["mailbox"] = mailbox


def task_states() -> dict[str, str]:
    """Return the state of each task instance of this run, by task id and map index (``sync_profile_3``)."""
    ti = get_current_context()["ti"]
    states = ti.get_task_states(dag_id=ti.dag_id, run_ids=[ti.run_id])
    return {task: str(state or "") for task, state in states.get(ti.run_id, {}).items()}


def tell(results: Iterable[ProfileResult]) -> None:
    """Log what became of each profile of a mapped task, with counts and reasons, below the folded phases."""
    for result in results:
        counters = result.counters
        log.info("%s of %s: %s %s", result.mailbox, result.company, result.state, result.message)
        if result.compared_at is not None:
            log.info("  quiet: the figures are those of the comparison at %s", result.compared_at or "-")
        log.info("  contacts read: %d; %s", counters.get("read", 0), _counts(counters.get("outcomes")))
        log.info("  written: %s", _counts(counters.get("writes")))
        log.info("  not synced, by reason: %s", _counts(counters.get("reasons")))


def _counts(counts: dict[str, int] | None) -> str:
    return ", ".join(f"{count} {name}" for name, count in (counts or {}).items()) or "none"


def publish(report: RunReport, outlet_events: Any) -> None:
    """Log the table of profiles, and hand the counts to the assets' events.

    Raises:
        AirflowSkipException: The run did nothing, so nothing happened to the assets either.
    """
    from airflow.sdk.exceptions import AirflowSkipException

    for line in report.lines():
        log.info("%s", line)
    if report.skip_reason:
        raise AirflowSkipException(report.skip_reason)
    for name, extra in report.events.items():
        outlet_events[Asset(name)].extra = extra


def notify(edges: Services | None, verdict: Verdict) -> None:
    """Tell people what is new about this run, by the Connections of CONTACT_SYNC_NOTIFY.

    Without edges there is nothing to read about it, and the verdict is all that is told.

    Whatever goes wrong here is logged, and makes no run red.
    """
    receivers = [name.strip() for name in environment().get(NOTIFY_VARIABLE, "").split(",") if name.strip()]
    if not receivers:
        return
    try:
        told, link = _notice(edges, verdict), _link_to_run()
    except Exception as error:  # noqa: BLE001 - recovered by going on: nobody's contacts depend on a message
        log.warning("nobody was told: %s", _cause(error))
        return
    if told is None:
        return
    for receiver in receivers:
        try:
            _send(receiver, told, link)
            log.info("told by %s: %s", receiver, told.subject)
        except Exception as error:  # noqa: BLE001 - as above; the others may be there
            log.warning("nobody was told by %s: %s", receiver, _cause(error))


def _link_to_run() -> str:
    from urllib.parse import quote

    run = get_current_context()["dag_run"]
    return f"{_address_of_airflow()}/dags/{run.dag_id}/runs/{quote(run.run_id, safe='')}"


def _notice(edges: Services | None, verdict: Verdict) -> Notice | None:
    from sync_lib.operate import notices, notify

    repeated = False
    try:
        repeated = not verdict.ok and _failed_before()
        if edges:
            return notify.read_notice(edges, this_run(), verdict, repeated=repeated)
    except Exception as error:  # noqa: BLE001 - without the database there is still the verdict
        log.warning("what to tell could not be read: %s", _cause(error))
    return None if verdict.ok or repeated else notices.of_dead_run(verdict.message)


def _failed_before() -> bool:
    """Whether the scheduled run before failed as well; the nightly full run tells once more."""
    context = get_current_context()
    run = context["dag_run"]
    previous = context["ti"].get_previous_dagrun()
    return previous is not None and previous.state == "failed" and not is_full_slot(run.run_after)


def _send(connection_id: str, told: Notice, link: str) -> None:
    """Send a notice by the means that the Connection's type names."""
    from sync_lib.errors import ConfigError
    from sync_lib.operate import notices, notify

    connection = _connection(connection_id, "contact_sync_webhook")
    if connection.conn_type == "contact_sync_webhook":
        form = _extra(connection, "format") or "teams"
        notify.post(connection.password or "", form, told, link)
    elif connection.conn_type == "smtp":
        from airflow.providers.smtp.hooks.smtp import SmtpHook

        to = _extra(connection, "to")
        if not to:
            raise _incomplete(
                connection_id, "to", "must hold the addresses to write to, as a part of the extra"
            )
        with SmtpHook(smtp_conn_id=connection_id) as smtp:
            smtp.send_email_smtp(to=to, subject=told.subject, html_content=notices.to_html(told, link))
    else:
        raise ConfigError(
            f"Connection {connection_id!r} has the type {connection.conn_type!r}; "
            "messages go by contact_sync_webhook or smtp."
        )


def _cause(error: Exception) -> str:
    """What may be logged of an error: our own say nothing secret, others may hold an address with its key."""
    from sync_lib.errors import SyncError

    return str(error) if isinstance(error, SyncError) else type(error).__name__


def _address_of_airflow() -> str:
    from airflow.sdk.configuration import conf

    return str(conf.get("api", "base_url", fallback="")).rstrip("/")


def raise_unless_good(verdict: Verdict) -> None:
    """Log the verdict, one line for each failure, and end the task when the run is to be red.

    Raises:
        SystemExit: The run failed. Of all that ends a task this is the one that Airflow logs without a traceback: the
            lines say what is wrong, and nothing is wrong with the program.
    """
    level = logging.WARNING if verdict.ok else logging.ERROR
    for line in verdict.lines:
        log.log(level, "%s", line)
    if not verdict.ok:
        log.error("%s", verdict.message)
        raise SystemExit(1)
    log.info("%s", verdict.message)


def raise_unless_all_ok(checks: Iterable[Check]) -> None:
    """Log one line per check, and end the task when one found something wrong.

    Raises:
        SystemExit: At least one check failed; the log says which, and the remedy, without a traceback.
    """
    wrong = 0
    for check in checks:
        if check.ok:
            log.info("ok     %s: %s", check.name, check.detail)
        elif check.unknown:
            log.warning("?      %s: %s %s", check.name, check.detail, check.remedy)
        else:
            wrong += 1
            log.error("WRONG  %s: %s %s", check.name, check.detail, check.remedy)
    if wrong:
        log.error("%d check(s) found something wrong: see the lines above that say WRONG.", wrong)
        raise SystemExit(1)


def _made_at(task_instance_id: Any) -> datetime:
    """Return when a task instance was made, which is when its run was: Airflow's ids are UUIDs of version 7.

    A task sees neither the id of its backfill nor when that was created; this is a few milliseconds after it.
    """
    return datetime.fromtimestamp((UUID(str(task_instance_id)).int >> 80) / 1000, tz=UTC)


class ByErrorType(RetryPolicy):
    """Retries what may pass by itself, as late as the service asks; fails at once where a person must act."""

    def evaluate(
        self,
        exception: BaseException,
        try_number: int,  # noqa: ARG002 - Airflow passes all of these by name.
        max_tries: int,  # noqa: ARG002
        context: Any = None,  # noqa: ARG002
    ) -> RetryDecision:
        """Return what Airflow should do after this error; it cannot go beyond the task's ``retries``."""
        from sync_lib.errors import AccessDeniedError, FatalError, ProfileError, TransientError

        kind = type(exception).__name__
        if isinstance(exception, FatalError | ProfileError | AccessDeniedError | SystemExit):
            return RetryDecision.fail(reason=f"{kind}: a person must act")
        if isinstance(exception, TransientError):
            wait = exception.retry_after
            delay = None if wait is None else timedelta(seconds=wait)
            return RetryDecision.retry(delay=delay, reason=f"{kind}: may pass by itself")
        return RetryDecision.default()

    def serialize(self) -> dict[str, Any]:
        """Return nothing: the policy has no settings."""
        return {}


def endings() -> list[Ending]:
    """Return the credentials of the two services that end soon, or have ended."""
    from sync_lib.errors import ConfigError
    from sync_lib.operate.credentials import ending

    today = datetime.now(UTC).date()
    found = []
    for connection_id, read in (
        (MICROSOFT_GRAPH, graph_settings),
        (BUSINESS_CENTRAL, business_central_settings),
    ):
        try:
            found.append(ending(connection_id, read(connection_id), today))
        except ConfigError as error:
            # The run says what is wrong with a Connection; the pages go on without its date.
            log.info("when the credential of %s ends is not known: %s", connection_id, error)
    return [each for each in found if each]


class _CheckedHook(BaseHook):
    """A connection type whose *Test connection* button asks the service itself."""

    def __init__(self, connection_id: str | None = None, **connection_id_by_name: str) -> None:
        super().__init__()
        named = connection_id_by_name.get(self.conn_name_attr)
        self.connection_id = connection_id or named or self.default_conn_name

    def test_connection(self) -> tuple[bool, str]:
        """Return whether the service answers to these settings, and what it said."""
        from sync_lib.errors import SyncError

        try:
            return True, self.check()
        except SyncError as error:
            return False, str(error)

    def check(self) -> str:
        """Return what was found, in one sentence.

        Raises:
            SyncError: The settings are incomplete, or the service refuses them.
        """
        raise NotImplementedError


class BusinessCentralHook(_CheckedHook):
    """Connection type ``business_central``."""

    conn_name_attr = "business_central_conn_id"
    default_conn_name = BUSINESS_CENTRAL
    conn_type = "business_central"
    hook_name = "Business Central"

    def check(self) -> str:
        """Return how many companies the app sees."""
        settings = business_central_settings(self.connection_id)
        from sync_lib.operate import checks

        return checks.check_business_central(settings)


class MicrosoftGraphHook(_CheckedHook):
    """Connection type ``microsoft_graph``."""

    conn_name_attr = "microsoft_graph_conn_id"
    default_conn_name = MICROSOFT_GRAPH
    conn_type = "microsoft_graph"
    hook_name = "Microsoft Graph"

    def check(self) -> str:
        """Return which permissions the app's token carries."""
        settings = graph_settings(self.connection_id)
        from sync_lib.operate import checks

        return checks.check_graph(settings)


class StagingHook(_CheckedHook):
    """Connection type ``contact_sync_staging``."""

    conn_name_attr = "contact_sync_staging_conn_id"
    default_conn_name = STAGING
    conn_type = "contact_sync_staging"
    hook_name = "Contact sync staging database"

    def check(self) -> str:
        """Return which database answers."""
        settings = staging_settings(self.connection_id)
        from sync_lib.operate import checks

        return checks.check_staging(settings)


class WebhookHook(_CheckedHook):
    """Connection type ``contact_sync_webhook``; its test posts a message."""

    conn_name_attr = "contact_sync_webhook_conn_id"
    default_conn_name = "contact_sync_notify"
    conn_type = "contact_sync_webhook"
    hook_name = "Contact sync webhook"

    def check(self) -> str:
        """Post a message, and return that it was taken."""
        from sync_lib.operate.notices import Notice

        told = Notice("Contact sync: a test", (("This is a test", ("Messages of the sync arrive here.",)),))
        _send(self.connection_id, told, _address_of_airflow())
        return "A message was posted: look whether it has arrived."
