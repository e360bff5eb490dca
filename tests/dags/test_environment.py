"""Settings of the environment: their defaults, and that none of them breaks a DAG file."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from sync_lib.settings import SyncSettings, with_settings_file

if TYPE_CHECKING:
    from contact_sync_airflow import environment

pytestmark = pytest.mark.airflow


def test_schedules_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    def slots() -> list[str]:
        timetable = environment.schedule()
        return [] if timetable is None else [single.expression for single in timetable.timetables]

    assert slots() == ["*/5 * * * *", "0 2 * * *"]
    monkeypatch.setenv(environment.SCHEDULE_VARIABLE, "none")
    assert slots() == ["0 2 * * *"]
    monkeypatch.setenv(environment.FULL_SCHEDULE_VARIABLE, "")
    assert environment.schedule() is None
    assert not environment.is_full_slot(datetime(2026, 1, 1, 2, tzinfo=UTC))
    monkeypatch.setenv(environment.HOUSEKEEPING_SCHEDULE_VARIABLE, "none")
    assert environment.housekeeping_schedule() is None


def test_settings_may_be_in_a_file_that_is_read_again(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = tmp_path / "contact_sync.env"
    path.write_text("# when\nCONTACT_SYNC_SCHEDULE=0 * * * *\n\nCONTACT_SYNC_RETRY_DELAY=3\n")
    monkeypatch.setenv(environment.SETTINGS_FILE_VARIABLE, str(path))
    assert environment.incremental_schedule() == "0 * * * *"
    assert environment.retry_delay() == timedelta(seconds=3)
    path.write_text("CONTACT_SYNC_SCHEDULE=none\n")
    assert environment.incremental_schedule() == ""
    monkeypatch.setenv(environment.SCHEDULE_VARIABLE, "5 * * * *")
    assert environment.incremental_schedule() == "5 * * * *"


@pytest.mark.parametrize(
    ("variable", "value", "counts"),
    [
        ("CONTACT_SYNC_RETRY_DELAY", "15s", lambda: environment.retry_delay() == timedelta(seconds=15)),
        ("CONTACT_SYNC_RETRY_DELAY", "-1", lambda: environment.retry_delay() == timedelta(seconds=15)),
        ("CONTACT_SYNC_TASK_TIMEOUT", "1e12", lambda: environment.task_timeout() == timedelta(hours=1)),
        (
            "CONTACT_SYNC_APPROVAL_TIMEOUT",
            "een week",
            lambda: environment.approval_timeout() == timedelta(days=7),
        ),
        ("CONTACT_SYNC_SCHEDULE", "elk uur", lambda: environment.incremental_schedule() == "*/5 * * * *"),
        ("CONTACT_SYNC_FULL_SCHEDULE", "0 25 * * *", lambda: environment.full_schedule() == "0 2 * * *"),
        (
            "CONTACT_SYNC_HOUSEKEEPING_SCHEDULE",
            "30 3 * *",
            lambda: environment.housekeeping_schedule() is not None,
        ),
        ("CONTACT_SYNC_TIMEZONE", "Europa/Amsterdam", lambda: environment.timezone() == "UTC"),
        ("CONTACT_SYNC_GUARD_DELETES", "tien", lambda: environment.sync_settings() == SyncSettings()),
        ("CONTACT_SYNC_LEASE", "nan", lambda: environment.sync_settings() == SyncSettings()),
        *(
            (f"CONTACT_SYNC_{name}", "0", lambda: environment.sync_settings() == SyncSettings())
            for name in (
                *("MAX_ROUNDS", "LEASE", "REQUEST_TIMEOUT", "GRAPH_BATCHES", "GRAPH_WINDOW_OPERATIONS"),
                *("BC_CONCURRENCY", "BC_WINDOW_REQUESTS", "BC_WINDOW"),
            )
        ),
        ("CONTACT_SYNC_DRIFT_SAMPLE", "1" + 30 * "0", lambda: environment.sync_settings() == SyncSettings()),
        ("CONTACT_SYNC_LEASE", "1e300", lambda: environment.sync_settings() == SyncSettings()),
        (
            "CONTACT_SYNC_RETENTION_DAYS",
            "365 days",
            lambda: environment.sync_settings().retention_days == 36_500,
        ),
        (
            "CONTACT_SYNC_QUIET_RUN_HOURS",
            "een dag",
            lambda: environment.sync_settings().quiet_run_hours == 876_000,
        ),
        ("CONTACT_SYNC_WRITES", "uit", lambda: environment.sync_settings() == SyncSettings(writes=False)),
    ],
)
def test_a_setting_that_cannot_be_read_stops_no_dag(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, variable: str, value: str, counts: Any
) -> None:
    """O2: its default counts (for writes: off), and each run says which setting, which value, and what to do."""
    assert environment.setting_problems() == []
    monkeypatch.setenv(variable, value)
    environment.schedule()
    assert counts()
    environment.log_setting_problems()
    [problem] = environment.setting_problems()
    assert problem in caplog.text
    assert problem.startswith(f"{variable} is {value!r}")
    assert "It takes" in problem or "it takes" in problem
    assert "Until it is corrected" in problem


@pytest.mark.parametrize(
    "line",
    [
        "CONTACT_SYNC_WRITES = off",
        "  CONTACT_SYNC_WRITES=off  ",
        "export CONTACT_SYNC_WRITES=off",
        "\ufeffCONTACT_SYNC_WRITES=off",
    ],
)
def test_a_line_of_the_settings_file_counts_however_it_is_spaced(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, line: str
) -> None:
    """Rules 8.8c: who writes there that nothing is to be written is not passed over in silence."""
    path = tmp_path / "contact_sync.env"
    path.write_text(f"{line}\n# CONTACT_SYNC_WRITES=on\n", encoding="utf-8")
    monkeypatch.setenv(environment.SETTINGS_FILE_VARIABLE, str(path))
    assert not environment.may_write()


def test_a_blank_variable_does_not_hide_a_line_of_the_settings_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Rules 8.8c: who starts containers sets many variables to nothing; a stop in the file still stops."""
    path = tmp_path / "contact_sync.env"
    path.write_text("CONTACT_SYNC_WRITES=off\nCONTACT_SYNC_SCHEDULE=7 * * * *\n")
    monkeypatch.setenv(environment.SETTINGS_FILE_VARIABLE, str(path))
    monkeypatch.setenv("CONTACT_SYNC_WRITES", "")
    monkeypatch.setenv("CONTACT_SYNC_SCHEDULE", " ")
    assert not environment.may_write()
    assert environment.incremental_schedule() == "7 * * * *"
    monkeypatch.setenv("CONTACT_SYNC_WRITES", "on")
    assert environment.may_write()


def test_dags_and_commands_read_the_settings_file_alike(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = tmp_path / "contact_sync.env"
    lines = (
        "\ufeffCONTACT_SYNC_A=1",
        "# CONTACT_SYNC_B=2",
        "  export CONTACT_SYNC_C = 3=4 ",
        "CONTACT_SYNC_D",
        "CONTACT_SYNC_E=",
        "CONTACT_SYNC_A_FROM_OUTSIDE=5",
        "CONTACT_SYNC_BLANK=6",
    )
    path.write_text("\r\n".join(lines), encoding="utf-8")
    monkeypatch.setenv(environment.SETTINGS_FILE_VARIABLE, str(path))
    monkeypatch.setenv("CONTACT_SYNC_A_FROM_OUTSIDE", "outside")
    monkeypatch.setenv("CONTACT_SYNC_BLANK", "")
    read = environment.variables()
    assert read == with_settings_file(os.environ)
    names = ("A", "B", "C", "D", "E", "A_FROM_OUTSIDE", "BLANK")
    found = {name: read.get(f"CONTACT_SYNC_{name}") for name in names}
    assert list(found.values()) == ["1", None, "3=4", None, "", "outside", "6"]


def test_a_settings_file_that_is_gone_stops_no_dag_and_all_writes(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """O2: it may have said that nothing is to be written, so nothing is, until it can be read."""
    path = tmp_path / "contact_sync.env"
    monkeypatch.setenv(environment.SETTINGS_FILE_VARIABLE, str(path))
    for broken in (
        lambda: None,
        lambda: path.write_bytes(b"\xff\xfe"),
        lambda: (path.unlink(), path.mkdir()),
    ):
        broken()
        assert environment.incremental_schedule() == "*/5 * * * *"
        assert environment.sync_settings() == SyncSettings(writes=False)
        assert not environment.may_write()
        [problem] = environment.setting_problems()
        assert str(path) in problem
        assert environment.SETTINGS_FILE_VARIABLE in problem
    path.rmdir()
    path.write_text("CONTACT_SYNC_WRITES=on\n")
    assert environment.may_write()
    path.write_text("CONTACT_SYNC_WRITES=off\n")
    assert not environment.may_write()


def test_the_interval_is_that_of_the_next_two_regular_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    assert environment.interval() == 300
    # At whatever time of the week that is asked.
    monkeypatch.setenv(environment.SCHEDULE_VARIABLE, "*/15 * * * *")
    assert environment.interval() == 900
    monkeypatch.setenv(environment.SCHEDULE_VARIABLE, "none")
    assert environment.interval() is None


def test_the_full_slot_is_read_in_the_time_zone(monkeypatch: pytest.MonkeyPatch) -> None:
    midnight_utc = datetime(2026, 1, 1, 1, 0, tzinfo=UTC)
    assert not environment.is_full_slot(midnight_utc)
    assert environment.is_full_slot(midnight_utc + timedelta(hours=1))
    monkeypatch.setenv(environment.TIMEZONE_VARIABLE, "Europe/Amsterdam")
    assert environment.is_full_slot(midnight_utc)
    assert not environment.is_full_slot(midnight_utc + timedelta(minutes=15))


def test_the_last_full_slot_before_a_run_is_what_makes_full_reads_due(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """O3: a slot counts from its own moment on, in the time zone, across the change of the clocks."""
    slot = datetime(2026, 3, 29, 2, 0, tzinfo=UTC)
    assert environment.last_full_slot(slot) == slot
    assert environment.last_full_slot(slot + timedelta(hours=23)) == slot
    assert environment.last_full_slot(slot - timedelta(seconds=1)) == slot - timedelta(days=1)
    monkeypatch.setenv(environment.TIMEZONE_VARIABLE, "Europe/Amsterdam")
    monkeypatch.setenv(environment.FULL_SCHEDULE_VARIABLE, "0 4 * * *")
    assert environment.last_full_slot(slot) == slot
    assert environment.last_full_slot(slot - timedelta(seconds=1)) == slot - timedelta(hours=23)
    monkeypatch.setenv(environment.FULL_SCHEDULE_VARIABLE, "none")
    assert environment.last_full_slot(slot) is None
