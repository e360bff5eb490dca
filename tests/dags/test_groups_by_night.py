"""Sixty colleagues of a group: profiles by one reviewed command, their first sync, and the night after two changes."""

from __future__ import annotations

import json
import logging
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from sync_lib.store.engine import read
from sync_lib.store.profiles import rows as profiles
from tests import receivers
from tests.sync import colleagues as staff
from tests.sync.colleagues import Terminal, address, grant, tenant
from tests.sync.harness import COMPANY, Harness, person

if TYPE_CHECKING:
    from contact_sync_airflow import context

pytestmark = [pytest.mark.airflow, pytest.mark.sockets]

DAGS = Path(__file__).resolve().parents[2] / "dags"
SIXTY = 60
FILE = f"""
groups:
  - {{group: Verkoop, company: {COMPANY}, folder: Klanten, filter: {{Salesperson Code: '%me'}}}}
profiles: []
"""


@pytest.fixture
def database_kind() -> str:
    """One database is enough here: what is stored, other tests look at."""
    return "sqlite"


@pytest.fixture
def h(make_harness: Any, monkeypatch: pytest.MonkeyPatch) -> Harness:
    """A company whose salespeople have a contact each, the people of a group and one who is no member yet."""
    contacts = [person(f"Klant {n:02}", salespersonCode=f"V{n:02}") for n in range(SIXTY + 1)]
    group = {"name": "Verkoop", "members": [address(n) for n in range(SIXTY)]}
    made: Harness = make_harness(tenant(*contacts, people=SIXTY + 1, groups=[group]))
    grant(made)
    made.edges.business_central_settings = replace(
        made.edges.business_central_settings, field_profile="extended"
    )
    for name, value in staff.environment(made).items():
        monkeypatch.setenv(name, value)
    staging = {
        "conn_type": "contact_sync_staging",
        "extra": {"sqlite_path": made.database[len("sqlite:///") :]},
    }
    monkeypatch.setenv("AIRFLOW_CONN_CONTACT_SYNC_STAGING", json.dumps(staging))
    return made


def night(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Carry out the task of the housekeeping DAG as Airflow would, and return what a webhook got."""
    from airflow.dag_processing.dagbag import DagBag

    class DagRun:
        dag_id = "contact_sync_housekeeping"
        run_id = "scheduled__2026-03-02T03:30:00+00:00"
        run_after = datetime(2026, 3, 2, 3, 30, tzinfo=UTC)

    monkeypatch.setattr(context, "get_current_context", lambda: {"dag_run": DagRun()})
    monkeypatch.setenv("AIRFLOW__API__BASE_URL", "https://airflow.example")
    task = DagBag(dag_folder=str(DAGS)).dags["contact_sync_housekeeping"].task_dict["reconcile_groups"]
    with receivers.webhook() as slack:
        hook = {"conn_type": "contact_sync_webhook", "password": slack.url, "extra": {"format": "text"}}
        monkeypatch.setenv("AIRFLOW_CONN_TO_SLACK", json.dumps(hook))
        monkeypatch.setenv("CONTACT_SYNC_NOTIFY", "to_slack")
        task.python_callable()
    return slack.bodies


def enabled(h: Harness) -> set[str]:
    with read(h.edges.engine) as conn:
        return {each.mailbox for each in profiles.read_profiles(conn)}


def test_sixty_colleagues_are_set_up_synced_and_kept_up_with(
    h: Harness,
    capsys: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    terminal, file = Terminal(h, capsys), tmp_path / "profiles.yaml"
    file.write_text(FILE)
    assert "Groups: 1 added" in terminal("profiles", "import", str(file)).out
    shown = terminal("groups", "reconcile", "--dry-run").out
    assert "would be: 60 joins" in shown
    assert enabled(h) == set(), "shown before it is done"
    assert "60 joins" in terminal("groups", "reconcile").out
    sixty = {address(n) for n in range(SIXTY)}
    assert enabled(h) == sixty

    ran = h.full()
    assert ran.verdict.ok
    assert ran.writes == {"created_outlook": 60}
    assert set(h.items(address(7), "Klanten")) == {"Klant 07"}, "everybody has the contacts of their own code"

    h.sim.control(
        "POST", "entra/group", {"group": "Verkoop", "add": [address(SIXTY)], "remove": [address(3)]}
    )
    caplog.set_level(logging.INFO)
    monkeypatch.setenv("CONTACT_SYNC_NOTIFY_LANGUAGE", "nl")
    [message] = night(monkeypatch)
    assert enabled(h) == sixty - {address(3)} | {address(SIXTY)}
    assert message["text"].splitlines()[:-1] == [
        "Contactsynchronisatie: 1 persoon verliet een groep, 1 persoon kwam bij een groep en krijgt een profiel",
        "",
        "1 persoon verliet een groep",
        f"\u2022 Verkoop -> {COMPANY}: {address(3)}: Uitgezet; hun mappen blijven zoals ze zijn.",
        "",
        "1 persoon kwam bij een groep en krijgt een profiel",
        f"\u2022 Verkoop -> {COMPANY}: {address(SIXTY)}",
        "",
        "Open de groepen: https://airflow.example/contact_sync/groups",
    ]
    assert "/dags/contact_sync_housekeeping/runs/" in message["text"].splitlines()[-1]
    logged = [record.getMessage() for record in caplog.records]
    assert f"1. Verkoop -> {COMPANY}: 60 members; 1 leaves, 1 joins" in logged
    assert f"  leaves: {address(3)} is switched off" in logged

    assert h.run().writes == {"created_outlook": 1}
    assert set(h.items(address(SIXTY), "Klanten")) == {"Klant 60"}
    assert set(h.items(address(3), "Klanten")) == {"Klant 03"}, "the folder of who left stays as it is"
    assert night(monkeypatch) == [], "nothing happened, and nobody hears of it"


def test_a_closed_group_makes_the_task_red(
    h: Harness, capsys: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "profiles.yaml"
    file.write_text(FILE)
    Terminal(h, capsys)("profiles", "import", str(file))
    grant(h, "Contacts.ReadWrite", "User.Read.All")
    with pytest.raises(SystemExit):
        night(monkeypatch)
    assert enabled(h) == set()
