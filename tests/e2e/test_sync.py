"""Whole runs through a real Airflow against the sandbox: what a data team sees."""

from __future__ import annotations

import re
import sqlite3
from collections import Counter
from contextlib import closing
from threading import Timer
from typing import Any
from urllib.parse import quote

import pytest
import requests
from demo_parts import staging
from demo_parts.agreement import compare
from demo_parts.main import ANNA, COMPANY, EXPECTED, FOLDER
from demo_parts.sandbox import SandboxInstance, edit_as_users

from sync_lib.web.words import reason_of
from tests import receivers

pytestmark = [pytest.mark.airflow, pytest.mark.timeout(600)]

NO_MAILBOX = "magazijn@voorbeeld.example"
DENIED = "directie@voorbeeld.example"


def problems(stage: Any) -> list[str]:
    """Return where both sides differ, by the sandbox's own state."""
    return compare(stage.sandbox.dump(), EXPECTED["standard"], staging.excuses(stage.staging_url)).problems


def contents(stage: Any) -> dict[str, Any]:
    """Return all contacts and folders of both sides."""
    world = stage.sandbox.dump()
    return {name: world[name] for name in ("companies", "mailboxes")}


def writes(stage: Any) -> int:
    counted = stage.sandbox.writes()
    return int(counted["graph"]["writes"]) + int(counted["bc"]["writes"])


def test_a_full_sync_brings_both_sides_in_agreement(stage: Any, first_sync: str) -> None:
    assert problems(stage) == []
    states = {result.mailbox: result.state for result in stage.results(first_sync).values()}
    assert set(states) == {profile.mailbox for profile in EXPECTED["standard"]}
    assert set(states.values()) <= {"done", "held"}


def test_a_further_run_writes_nothing(stage: Any, first_sync: str) -> None:
    stage.sync(mode="incremental")
    for mode in ("incremental", "full"):
        run = stage.sync(mode=mode)
        assert stage.state(run) == "success"
        assert writes(stage) == 0
        reported = staging.written(stage.staging_url, run)
        assert sum(reported.values(), Counter()).total() == 0


def test_nothing_changed_costs_one_request_a_profile(stage: Any, first_sync: str) -> None:
    stage.sync(mode="incremental")
    run = stage.sync(mode="incremental")
    mailboxes = stage.sandbox.writes()["graph"]["mailboxes"]
    quiet = [mailbox for mailbox, result in stage.results(run).items() if result.state == "quiet"]
    assert quiet
    assert {mailbox: mailboxes[mailbox]["operations"] for mailbox in quiet} == dict.fromkeys(quiet, 1)
    assert writes(stage) == 0


def test_edits_of_both_sides_arrive_at_the_other(stage: Any, first_sync: str) -> None:
    edit_as_users(stage.sandbox, ANNA, COMPANY, FOLDER)
    run = stage.sync(mode="incremental")
    assert stage.state(run) == "success"
    assert problems(stage) == []
    reported = staging.written(stage.staging_url, run)
    assert reported[ANNA]["created_business_central"] == 1
    assert reported[ANNA]["updated_business_central"] == 1
    assert reported[ANNA]["deleted_outlook"] == 1
    # The person who is new in Business Central, and the contact that was deleted in Outlook.
    assert reported[ANNA]["created_outlook"] == 2
    assert staging.uncounted(reported, stage.sandbox.writes()) == []


def test_a_dry_run_plans_and_writes_nothing(stage: Any, first_sync: str) -> None:
    before = contents(stage)
    edit_as_users(stage.sandbox, ANNA, COMPANY, FOLDER)
    after_edits = contents(stage)
    assert before != after_edits
    run = stage.sync(mode="incremental", dry_run=True, profiles=[ANNA])
    assert stage.state(run) == "success"
    assert writes(stage) == 0
    assert contents(stage) == after_edits
    report = stage.logs(run)["report/-1/1"]
    assert "dry run" in report
    assert set(stage.results(run)) == {ANNA}
    stage.sync(mode="incremental")
    assert problems(stage) == []


def test_chosen_profiles_only(stage: Any, first_sync: str) -> None:
    run = stage.sync(mode="incremental", profiles=[ANNA.upper()])
    assert set(stage.results(run)) == {ANNA}
    assert (
        len([task for task in stage.airflow.tasks("contact_sync", run) if task["task_id"] == "sync_profile"])
        == 1
    )


def test_a_plan_that_fails_makes_the_run_red(stage: Any, first_sync: str) -> None:
    run = stage.sync(mode="incremental", profiles=["nobody@voorbeeld.example"])
    assert stage.state(run) == "failed"
    states = {
        task["task_id"]: (task["state"], task["try_number"])
        for task in stage.airflow.tasks("contact_sync", run)
    }
    # A person must act, so it is not tried again.
    assert states["plan_run"] == ("failed", 1)
    assert states["verdict"][0] == "failed"
    log = stage.logs(run)
    assert "nobody@voorbeeld.example" in log["plan_run/-1/1"]
    assert "plan_run" in log["verdict/-1/1"]
    message = str(stage.messages.bodies[-1])
    assert "plan_run failed" in message
    assert f"/dags/contact_sync/runs/{quote(run, safe='')}" in message


def test_the_form_refuses_an_unknown_mode(stage: Any) -> None:
    from demo_parts.processes import DemoError

    with pytest.raises(DemoError, match="400"):
        stage.airflow.trigger("contact_sync", mode="partial")


def test_a_run_starts_after_its_database_was_busy(stage: Any, first_sync: str) -> None:
    """Airflow's processes share one SQLite file, and each waits until another one has written."""
    other = sqlite3.connect(
        stage.home / "airflow" / "airflow.db", isolation_level=None, check_same_thread=False
    )
    with closing(other):
        other.execute("BEGIN IMMEDIATE")
        release = Timer(8, other.rollback)
        release.start()
        try:
            run = stage.airflow.trigger("contact_sync_check")
        finally:
            release.join()
    assert stage.airflow.wait_for_run("contact_sync_check", run) == "success"


def test_one_bad_profile_stops_no_other(stage: Any, first_sync: str) -> None:
    """One without a mailbox, one that is denied, one with a wrong filter, and a company that cannot be read."""
    bad = [
        {"mailbox": NO_MAILBOX, "company": COMPANY},
        {"mailbox": DENIED, "company": COMPANY},
        {"mailbox": "pieter.mulder@voorbeeld.example", "company": COMPANY, "folder": "Fout"},
    ]
    stage.import_profiles(bad)
    stage.break_filter("Fout")
    other = next(c for c in stage.sandbox.info["companies"] if c["name"] != COMPANY)
    stage.sandbox.control("POST", "bc/company", {"company": other["id"], "state": "forbidden"})
    try:
        run = stage.sync(mode="incremental")
    finally:
        stage.sandbox.control("POST", "bc/company", {"company": other["id"], "state": "normal"})
        for mailbox, folder in (
            (NO_MAILBOX, FOLDER),
            (DENIED, FOLDER),
            ("pieter.mulder@voorbeeld.example", "Fout"),
        ):
            stage.retire(mailbox, folder)

    assert stage.state(run) == "failed"
    results = staging.profile_results(stage.staging_url, run)
    reasons = {(r.mailbox, r.reason) for r in results if r.state == "failed"}
    assert {mailbox for mailbox, _ in reasons} == {NO_MAILBOX, DENIED, "pieter.mulder@voorbeeld.example"}
    assert {reason for _, reason in reasons} >= {"filter_invalid", "company_not_read"}
    assert {r.mailbox for r in results if r.state in ("done", "held", "quiet")} == {
        ANNA,
        "joris.visser@voorbeeld.example",
        "lieke.kok@voorbeeld.example",
    }
    logs = "\n".join(stage.logs(run).values())
    for word in (NO_MAILBOX, DENIED, "position", "company_not_read"):
        assert word in logs
    message = str(stage.messages.bodies[-1])
    reasons = [reason_of(reason).means for reason in ("filter_invalid", "company_access_denied")]
    for word in (NO_MAILBOX, DENIED, *reasons, f"{stage.airflow.url}/contact_sync/?state=failed"):
        assert word in message
    again = stage.sync(mode="incremental")
    assert stage.state(again) == "success"
    assert problems(stage) == []


def test_a_backfill_is_one_full_sync(stage: Any, first_sync: str) -> None:
    """Three intervals, three at once: one run works, the others see that and end green."""
    stage.schedule_daily()
    for most in (1, 3):
        day = 1 if most == 1 else 11
        body = {
            "dag_id": "contact_sync",
            "from_date": f"2026-03-{day:02d}T00:00:00Z",
            "to_date": f"2026-03-{day + 2:02d}T23:59:00Z",
            "max_active_runs": most,
            "dag_run_conf": {},
            "run_backwards": False,
        }
        stage.wait_for_backfills()
        stage.make_backfill(body)
        path = "dags/contact_sync/dagRuns"
        prefix = f"2026-03-{day // 10}"

        def of_backfill(prefix: str = prefix, path: str = path) -> list[dict[str, Any]]:
            found = stage.airflow.get(path, limit="100", run_type="backfill")["dag_runs"]
            return [run for run in found if run["logical_date"].startswith(prefix)]

        runs = of_backfill()
        assert len(runs) == 3
        for run in runs:
            assert stage.airflow.wait_for_run("contact_sync", run["dag_run_id"]) == "success"
        modes = Counter(stage.recorded(run["dag_run_id"]) for run in of_backfill())
        assert modes == {("full", "success"): 1, ("full", "skipped"): 2}
        skipped = [
            run["dag_run_id"] for run in runs if stage.recorded(run["dag_run_id"]) == ("full", "skipped")
        ]
        assert "backfill" in stage.logs(skipped[0])["verdict/-1/1"]


def test_an_outage_ends_in_a_clear_message_and_the_next_run_fixes_it(stage: Any, first_sync: str) -> None:
    edit_as_users(stage.sandbox, ANNA, COMPANY, FOLDER)
    stage.sandbox.stop()
    try:
        run = stage.sync(mode="incremental", sandbox_is_up=False)
    finally:
        stage.sandbox = SandboxInstance(stage.home, stage.sandbox_port)
    assert stage.state(run) == "failed"
    logs = stage.logs(run)
    assert "ServiceError" in "\n".join(logs.values())
    # It may pass by itself, so it was tried again.
    assert {name for name in logs if name.startswith("extract_business_central/0/")} >= {
        "extract_business_central/0/1",
        "extract_business_central/0/3",
    }
    again = stage.sync(mode="incremental")
    assert stage.state(again) == "success"
    assert problems(stage) == []
    stage.sync(mode="incremental")
    assert writes(stage) == 0


def test_a_lost_staging_database_couples_everything_again(stage: Any, first_sync: str) -> None:
    before = contents(stage)
    exported = stage.home / "exported.yaml"
    exported.write_text(stage.command("profiles", "export"))
    stage.forget_everything()
    stage.command("profiles", "import", str(exported))
    run = stage.sync(mode="full")
    assert stage.state(run) == "success"
    reported: Counter[str] = sum(staging.written(stage.staging_url, run).values(), Counter())
    assert {name: count for name, count in reported.items() if count} == {}
    # The folder's marker counts the loads anew; no contact is touched.
    counted = stage.sandbox.writes()
    assert writes(stage) == sum(
        counts["folders_updated"] for counts in counted["graph"]["mailboxes"].values()
    )
    assert contents(stage)["companies"] == before["companies"]
    assert problems(stage) == []


def test_the_self_test_says_ok_and_what_is_wrong(stage: Any, first_sync: str) -> None:
    run = stage.airflow.trigger("contact_sync_check")
    state = stage.airflow.wait_for_run("contact_sync_check", run)
    log = stage.logs(run, "contact_sync_check")["check/-1/1"]
    assert state == "success", log
    assert log.count("ok ") > 5

    stage.sandbox.control("POST", "entra/app", {"graph_roles": ["User.Read.All"]})
    try:
        run = stage.airflow.trigger("contact_sync_check")
        state = stage.airflow.wait_for_run("contact_sync_check", run)
    finally:
        stage.sandbox.control("POST", "entra/app", {"graph_roles": ["Contacts.ReadWrite", "User.Read.All"]})
    log = stage.logs(run, "contact_sync_check")["check/-1/1"]
    assert state == "failed"
    assert "WRONG" in log
    assert "Contacts.ReadWrite" in log


def test_housekeeping_removes_nothing_too_early_and_compares_both_sides(stage: Any, first_sync: str) -> None:
    run = stage.airflow.trigger("contact_sync_housekeeping")
    state = stage.airflow.wait_for_run("contact_sync_housekeeping", run)
    log = stage.logs(run, "contact_sync_housekeeping")
    assert state == "success", log
    assert "change: removed 0 rows older than 90 days" in log["remove_old/-1/1"]
    assert "in agreement" in log["check_drift/-1/1"]
    assert ANNA in log["check_drift/-1/1"]


@pytest.fixture
def planted(stage: Any, first_sync: str) -> set[str]:
    """All that nobody may find outside the staging database: what the contacts hold, and the app's secret."""
    world = stage.sandbox.dump()
    private = set()
    for company in world["companies"]:
        for contact in company["contacts"]:
            private |= {
                contact[name] for name in ("displayName", "email", "phoneNumber", "mobilePhoneNumber")
            }
    for mailbox in world["mailboxes"]:
        for folder in mailbox["folders"]:
            for item in folder["contacts"]:
                private |= {item["properties"]["displayName"], item["properties"]["mobilePhone"]}
                private |= {entry["address"] for entry in item["properties"]["emailAddresses"]}
    secret = {stage.sandbox.info["client_secret"]}
    found = {value for value in private if value and len(value) > 5} | secret
    assert len(found) > 500
    return found


def test_no_log_holds_a_value_of_a_contact(stage: Any, planted: set[str]) -> None:
    scanned = 0
    for path in (stage.home / "airflow" / "logs").rglob("*.log"):
        text = path.read_text(errors="replace")
        scanned += 1
        assert [value for value in planted if value in text] == [], path
    assert scanned > 20
    messages = str(stage.messages.bodies)
    assert [value for value in planted if value in messages] == []


#: What Airflow keeps of a run, and what may be read in its pages.
KEPT = {"xcom", "hitl_detail", "rendered_task_instance_fields", "dag_run", "task_instance", "log"}


def scan_what_airflow_keeps(stage: Any, planted: set[str]) -> Counter[str]:
    """Look for planted values in Airflow's own database; return how many rows of each table were looked at."""
    scanned: Counter[str] = Counter()
    with sqlite3.connect(f"file:{stage.home}/airflow/airflow.db?mode=ro", uri=True) as conn:
        for table in sorted(KEPT):
            rows = conn.execute(f"SELECT * FROM {table}").fetchall()
            text = "\n".join(str(value) for row in rows for value in row)
            # Airflow keeps letters other than ASCII as escapes.
            text += re.sub(r"\\u([0-9a-f]{4})", lambda escape: chr(int(escape.group(1), 16)), text)
            assert [value for value in planted if value in text] == [], table
            scanned[table] = len(rows)
    return scanned


def test_what_airflow_keeps_of_the_runs_holds_no_value_of_a_contact(stage: Any, planted: set[str]) -> None:
    scanned = scan_what_airflow_keeps(stage, planted)
    assert min(scanned[table] for table in ("xcom", "task_instance", "rendered_task_instance_fields")) > 5


@pytest.mark.parametrize(
    ("connection_id", "kind"),
    [("business_central_default", "business_central"), ("microsoft_graph_default", "microsoft_graph")],
)
def test_the_button_test_connection(stage: Any, connection_id: str, kind: str) -> None:
    import json

    given = json.loads(stage.airflow.environment[f"AIRFLOW_CONN_{connection_id.upper()}"])
    body = {
        "connection_id": f"tried_{kind}",
        "conn_type": kind,
        "host": given["host"],
        "login": given["login"],
        "password": given["password"],
        "extra": json.dumps(given["extra"]),
    }
    good = stage.airflow.call("POST", "connections/test", json=body)
    assert good["status"], good
    wrong = stage.airflow.call("POST", "connections/test", json={**body, "password": "wrong"})
    assert not wrong["status"]
    assert "secret" in wrong["message"]
    assert "wrong" not in wrong["message"].split()


def test_the_button_test_connection_of_the_staging_database(stage: Any) -> None:
    import json

    def press(path: str) -> dict[str, Any]:
        body = {"connection_id": "tried_staging", "conn_type": "contact_sync_staging"}
        extra = json.dumps({"sqlite_path": path})
        answer: dict[str, Any] = stage.airflow.call("POST", "connections/test", json={**body, "extra": extra})
        return answer

    good = press(stage.staging_url.removeprefix("sqlite:///"))
    assert good["status"], good
    wrong = press("staging.db")
    assert not wrong["status"]
    assert "must be an absolute path" in wrong["message"]


def test_the_button_test_connection_of_a_webhook(stage: Any) -> None:
    body = {"connection_id": "tried_webhook", "conn_type": "contact_sync_webhook"}
    with receivers.webhook() as taken:
        good = stage.airflow.call("POST", "connections/test", json={**body, "password": taken.url})
        assert good["status"], good
        assert "Messages of the sync arrive here." in str(taken.bodies)
        taken.status = 404
        wrong = stage.airflow.call("POST", "connections/test", json={**body, "password": taken.url})
    assert not wrong["status"]
    assert "answered 404" in wrong["message"]


def test_nothing_is_open_to_those_who_did_not_log_in(stage: Any) -> None:
    session = requests.Session()
    session.trust_env = False
    for path in ("dags", "dags/contact_sync/dagRuns", "connections"):
        assert session.get(f"{stage.airflow.url}/api/v2/{path}", timeout=30).status_code == 401
