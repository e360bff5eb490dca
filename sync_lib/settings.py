"""Settings as frozen values. Where they come from (Airflow Connections, the environment) is the caller's business."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import ClassVar

from sync_lib.errors import ConfigError

GRAPH_ROOT = "https://graph.microsoft.com/v1.0"
BUSINESS_CENTRAL_ROOT = "https://api.businesscentral.dynamics.com/v2.0"
BUSINESS_CENTRAL_CLIENT = "https://businesscentral.dynamics.com"
AUTHORITY = "https://login.microsoftonline.com"


@dataclass(frozen=True, slots=True)
class Certificate:
    """A certificate instead of a client secret: PEM texts; the private key may have a passphrase."""

    private_key: str = field(repr=False)
    public_certificate: str
    passphrase: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class AppSettings:
    """An app registration in Entra ID, and the API that it calls.

    Attributes:
        audience: What tokens are for, where that is not the origin of ``root``.
        public_root: The API's address in Microsoft's worldwide cloud.
    """

    public_root: ClassVar[str] = ""

    root: str
    tenant_id: str
    client_id: str
    client_secret: str | None = field(default=None, repr=False)
    certificate: Certificate | None = field(default=None, repr=False)
    authority: str = AUTHORITY
    #: Last day of the client secret, as a person wrote it down: no API says it to the app itself.
    secret_expires: str = ""
    audience: str = ""


@dataclass(frozen=True, slots=True)
class BusinessCentralSettings(AppSettings):
    """Connection ``business_central_default``."""

    public_root: ClassVar[str] = BUSINESS_CENTRAL_ROOT

    environment: str = "Production"
    field_profile: str = "standard"


@dataclass(frozen=True, slots=True)
class GraphSettings(AppSettings):
    """Connection ``microsoft_graph_default``."""

    public_root: ClassVar[str] = GRAPH_ROOT


@dataclass(frozen=True, slots=True)
class StagingSettings:
    """Connection ``contact_sync_staging``: any SQLAlchemy URL of PostgreSQL or SQLite."""

    url: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class SyncSettings:
    """How the sync behaves; every value can be set as ``CONTACT_SYNC_<NAME>`` (see ``from_environment``).

    Seconds unless the name says otherwise. The guard's percentages are of the active and pinned couplings.
    ``writes`` is the switch that stops every write to both services (rules 8.8c). ``map_quiet`` gives a task to every
    profile in every run, ``graph_batches`` is how many requests ask at once which profiles have work.
    """

    writes: bool = True

    profiles_per_task_from: int = 1000
    map_quiet: bool = False
    graph_batches: int = 8
    overlap: float = 900.0
    lease: float = 120.0
    longest_request: float = 600.0
    id_scan_requests: int = 5
    id_scan_every: float = 86_400.0
    id_scan_cheap_every: float = 900.0
    max_rounds: int = 3
    guard_deletes: int = 10
    guard_deletes_percent: float = 10.0
    guard_few_deletes: int = 3
    guard_few_deletes_percent: float = 30.0
    guard_overwrites: int = 50
    guard_overwrites_percent: float = 25.0
    guard_creates: int = 20
    guard_creates_percent: float = 10.0
    guard_emptied_from: int = 10
    guard_company_writes: int = 2000
    group_leavers: int = 5
    group_leavers_percent: float = 20.0
    graph_window_operations: int = 10_000
    graph_window: float = 600.0
    bc_window_requests: int = 6_000
    bc_window: float = 300.0
    bc_concurrency: int = 5
    database_wait: float = 120.0
    request_timeout: float = 100.0
    retry_cap: float = 120.0
    retention_days: int = 90
    airflow_days: int = 14
    quiet_run_hours: float = 24.0
    drift_sample: int = 5
    drift_warn_percent: float = 95.0
    notify_after_hours: float = 24.0
    known_after_hours: float = 24.0
    known_percent: float = 5.0

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> SyncSettings:
        """Return the settings, each overridden by its ``CONTACT_SYNC_<NAME>`` variable where that is set.

        Raises:
            ConfigError: A variable does not hold a number that the setting takes, or on or off.
        """
        settings, problems = cls.read_environment(environment)
        if problems:
            raise ConfigError(problems[0])
        return settings

    @classmethod
    def read_environment(cls, environment: Mapping[str, str]) -> tuple[SyncSettings, list[str]]:
        """Return the settings, with the default for each that cannot be read, and what is wrong with those.

        A switch for writes that cannot be read counts as off: somebody wanted to stop something. How long something is
        kept counts as for good: what the default would remove nobody brings back.
        """
        given: dict[str, bool | int | float] = {}
        problems = []
        for setting in fields(cls):
            name = f"CONTACT_SYNC_{setting.name.upper()}"
            text = environment.get(name, "").strip()
            try:
                if text:
                    value = _value(name, text, str(setting.type), least=_LEAST.get(setting.name, 0))
                    given[setting.name] = min(value, _FOR_GOOD.get(setting.name, value))
            except ConfigError as error:
                if setting.type == "bool":
                    given[setting.name], counts = False, "off"
                else:
                    if setting.name in _FOR_GOOD:
                        given[setting.name] = _FOR_GOOD[setting.name]
                    counts = f"{given.get(setting.name, setting.default):g}"
                problems.append(f"{error} Until it is corrected, {counts} counts.")
        return cls(**given), problems  # type: ignore[arg-type]  # by name, of the types that _value gives


#: Names the file of further settings.
SETTINGS_FILE = "CONTACT_SYNC_SETTINGS_FILE"


def with_settings_file(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the environment, on top of the settings of the file that it names, for who is no DAG.

    A DAG file reads the same lines by itself, since parsing it must import nothing of this library
    (``contact_sync_airflow.environment``); a test holds that both read them alike.

    Raises:
        ConfigError: That file cannot be read. Its limits may be lower than the defaults, which would then count.
    """
    path = environment.get(SETTINGS_FILE, "")
    if not path:
        return dict(environment)
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"{SETTINGS_FILE} is {path!r}, and that file cannot be read ({type(error).__name__}). Put it there, or"
            " unset the variable."
        ) from error
    lines = [line.strip() for line in text.splitlines()]
    pairs = (line.removeprefix("export ").split("=", 1) for line in lines if "=" in line and line[:1] != "#")
    given = {name.strip(): value.strip() for name, value in pairs}
    settings = {name: value for name, value in given.items() if name.startswith("CONTACT_SYNC_")}
    return {
        **environment,
        **settings,
        **{name: value for name, value in environment.items() if value.strip()},
    }


#: What zero would stop without a word: nobody asks, compares or waits for an answer any more.
_LEAST = dict.fromkeys(
    (
        *("max_rounds", "lease", "request_timeout"),
        *("graph_batches", "graph_window_operations"),
        *("bc_concurrency", "bc_window_requests", "bc_window"),
    ),
    1,
)

#: A hundred years: further back no calendar of a computer goes, and who says more means for good.
_FOR_GOOD = {"retention_days": 36_500, "quiet_run_hours": 876_000.0}
#: More is a slip, and some arithmetic ends above.
_MOST = 1e9

_SWITCH = {
    "on": True,
    "true": True,
    "yes": True,
    "1": True,
    "off": False,
    "false": False,
    "no": False,
    "0": False,
}


def _value(name: str, text: str, kind: str, *, least: int) -> bool | int | float:
    if kind != "bool":
        return _number(name, text, whole=kind == "int", least=least)
    if text.lower() not in _SWITCH:
        raise ConfigError(f"{name} is {text!r}; it takes on or off.")
    return _SWITCH[text.lower()]


def _number(name: str, text: str, *, whole: bool, least: int) -> int | float:
    try:
        value = int(text) if whole else float(text)
    except ValueError:
        value = -1
    if not least <= value <= _MOST:
        kind, lowest = "whole number" if whole else "number", "one" if least else "zero"
        raise ConfigError(
            f"{name} is {text!r}; it takes a {kind} that is {lowest} or more, and {_MOST:,.0f} at most."
        )
    return value
