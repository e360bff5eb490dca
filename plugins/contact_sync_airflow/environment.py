"""What the environment says: when runs start, how long tasks may take, and how the sync behaves.

A value that cannot be read breaks nothing: its default counts, and ``setting_problems`` names it. Each DAG file imports
this module: its top imports nothing but Airflow's SDK.
"""

from __future__ import annotations

import logging
import os
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from airflow.sdk import MultipleCronTriggerTimetable

if TYPE_CHECKING:
    from sync_lib.settings import SyncSettings

log = logging.getLogger(__name__)

SETTINGS_FILE_VARIABLE = "CONTACT_SYNC_SETTINGS_FILE"
SCHEDULE_VARIABLE = "CONTACT_SYNC_SCHEDULE"
FULL_SCHEDULE_VARIABLE = "CONTACT_SYNC_FULL_SCHEDULE"
HOUSEKEEPING_SCHEDULE_VARIABLE = "CONTACT_SYNC_HOUSEKEEPING_SCHEDULE"
TIMEZONE_VARIABLE = "CONTACT_SYNC_TIMEZONE"
RETRY_DELAY_VARIABLE = "CONTACT_SYNC_RETRY_DELAY"
TIMEOUT_VARIABLE = "CONTACT_SYNC_TASK_TIMEOUT"
APPROVAL_TIMEOUT_VARIABLE = "CONTACT_SYNC_APPROVAL_TIMEOUT"
NOTIFY_VARIABLE = "CONTACT_SYNC_NOTIFY"
NOTIFY_LANGUAGE_VARIABLE = "CONTACT_SYNC_NOTIFY_LANGUAGE"
WRITES_VARIABLE = "CONTACT_SYNC_WRITES"
ADMINISTRATOR_VARIABLE = "CONTACT_SYNC_ADMINISTRATOR"
OWN_FILTERS_VARIABLE = "CONTACT_SYNC_OWN_FILTERS"
WEEKLY_MAIL_VARIABLE = "CONTACT_SYNC_WEEKLY_MAIL"

_SECONDS = {RETRY_DELAY_VARIABLE: 15.0, TIMEOUT_VARIABLE: 3600.0, APPROVAL_TIMEOUT_VARIABLE: 604800.0}
_CRONS = {
    SCHEDULE_VARIABLE: "*/5 * * * *",
    FULL_SCHEDULE_VARIABLE: "0 2 * * *",
    HOUSEKEEPING_SCHEDULE_VARIABLE: "30 3 * * *",
}


def variables() -> dict[str, str]:
    """Return the environment, on top of the settings file where one is named.

    The file has lines ``CONTACT_SYNC_NAME=value``, as a shell or an editor of Windows may write them too. It is read
    again whenever a DAG file is parsed and whenever a task starts, so a new schedule or limit in it needs no restart.
    A variable that is there and blank says nothing against a line of the file: who starts containers sets many so.
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
        with open(path, encoding="utf-8-sig") as file:  # noqa: PTH123 - pathlib would be one more import per parse.
            lines = [line.strip() for line in file]
    except (OSError, UnicodeDecodeError) as error:
        problem = (
            f"{SETTINGS_FILE_VARIABLE} is {path!r}, and that file cannot be read ({type(error).__name__}). Put it "
            f"there, or unset the variable. Until then defaults count, and nothing is written ({WRITES_VARIABLE}=off)."
        )
        return {**os.environ, WRITES_VARIABLE: "off"}, [problem]
    pairs = (line.removeprefix("export ").split("=", 1) for line in lines if "=" in line and line[:1] != "#")
    given = {name.strip(): value.strip() for name, value in pairs}
    return {**os.environ, **given, **{name: value for name, value in os.environ.items() if value.strip()}}, []


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
    return [*problems, *_zone(given)[1], *_language(given)[1], *SyncSettings.read_environment(given)[1]]


def sync_settings() -> SyncSettings:
    """Return how the sync behaves; what cannot be read counts as ``setting_problems`` says."""
    from sync_lib.settings import SyncSettings

    return SyncSettings.read_environment(variables())[0]


def may_write() -> bool:
    """Read the switch once more: turned off in the settings file, it stops also what is under way."""
    return sync_settings().writes


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


def is_full_slot(moment: datetime) -> bool:
    """Return whether a scheduled run of this moment is the full sync."""
    from zoneinfo import ZoneInfo

    from croniter import croniter

    cron = full_schedule()
    return bool(cron) and bool(croniter.match(cron, moment.astimezone(ZoneInfo(timezone()))))


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


def interval() -> float | None:
    """Return the seconds between the next two regular runs, None where they start by hand only."""
    from zoneinfo import ZoneInfo

    from croniter import croniter

    cron = incremental_schedule()
    if not cron:
        return None
    slots = croniter(cron, datetime.now(ZoneInfo(timezone())))
    first: datetime = slots.get_next(datetime)
    second: datetime = slots.get_next(datetime)
    return (second - first).total_seconds()


def timezone() -> str:
    """Return the time zone that the schedules are read in."""
    return _zone(variables())[0]


def notify_language() -> str:
    """Return the language that messages are written in: ``en`` or ``nl``."""
    return _language(variables())[0]


def retry_delay() -> timedelta:
    """Return the pause before a task's next try, where the service named none."""
    return _duration(RETRY_DELAY_VARIABLE)


def task_timeout() -> timedelta:
    """Return how long one task may take; leases are shorter than this, and renewed."""
    return _duration(TIMEOUT_VARIABLE)


def approval_timeout() -> timedelta:
    """Return how long a hold waits for a person, before it counts as rejected."""
    return _duration(APPROVAL_TIMEOUT_VARIABLE)


def address_of_airflow() -> str:
    """Return where people open Airflow, without a slash at its end."""
    from airflow.sdk.configuration import conf

    return str(conf.get("api", "base_url", fallback="")).rstrip("/")


def administrator() -> str:
    """Return whom colleagues ask, as they are called on the page of their own; "" for nobody by name."""
    return variables().get(ADMINISTRATOR_VARIABLE, "").strip()


def own_filters() -> str:
    """Return which filters colleagues choose from: ``none``, ``free``, or the path of a file of filters."""
    return variables().get(OWN_FILTERS_VARIABLE, "").strip() or "none"


def weekly_mail() -> str:
    """Return the Connection by which colleagues get their weekly mail; "" for none, so that nobody can ask for it."""
    return variables().get(WEEKLY_MAIL_VARIABLE, "").strip()


def log_setting_problems() -> None:
    """Warn of every setting that cannot be read, in the log of the task that plans a run."""
    for problem in setting_problems():
        log.warning("%s", problem)


def _timetable(*crons: str) -> MultipleCronTriggerTimetable | None:
    given = [cron for cron in crons if cron]
    return MultipleCronTriggerTimetable(*given, timezone=timezone()) if given else None


def _cron(variable: str) -> str:
    return _read_cron(variables(), variable, _CRONS[variable])[0]


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


def _language(given: dict[str, str]) -> tuple[str, list[str]]:
    language = given.get(NOTIFY_LANGUAGE_VARIABLE) or "en"
    if language in ("en", "nl"):
        return language, []
    remedy = "It takes en or nl. Until it is corrected, en counts."
    return "en", [f"{NOTIFY_LANGUAGE_VARIABLE} is {language!r}. {remedy}"]


def _duration(variable: str) -> timedelta:
    return timedelta(seconds=_seconds(variables(), variable, _SECONDS[variable])[0])


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
