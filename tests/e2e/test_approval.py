"""A person decides in Airflow about what the guard holds: by its REST API, and in a real Chromium."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import quote

import pytest
from demo_parts.processes import wait_until

from tests.e2e.test_sync import planted, scan_what_airflow_keeps, writes  # noqa: F401 - a fixture

pytestmark = [pytest.mark.airflow, pytest.mark.timeout(600)]

DAG = "contact_sync_approval"
LIEKE, FOLDER = "lieke.kok@voorbeeld.example", "Klanten"


def folder_of(stage: Any) -> dict[str, Any]:
    box = next(m for m in stage.sandbox.dump()["mailboxes"] if m["user_principal_name"] == LIEKE)
    return dict(next(folder for folder in box["folders"] if folder["name"] == FOLDER))


def addresses(stage: Any) -> list[str]:
    """Return the first e-mail address of each contact of the folder."""
    return sorted(item["properties"]["emailAddresses"][0]["address"] for item in folder_of(stage)["contacts"])


def empty(stage: Any) -> None:
    """Delete all contacts of the folder, as its user."""
    for item in folder_of(stage)["contacts"]:
        url = f"{stage.sandbox.info['graph_root']}/users/{LIEKE}/contacts/{item['immutable_id']}"
        stage.sandbox.as_user("graph", "DELETE", url)


def sync(stage: Any, state: str) -> None:
    """Run the sync for this mailbox; what becomes of it is ``state``."""
    run = stage.sync(mode="incremental", profiles=[LIEKE])
    assert stage.state(run) == "success"
    assert stage.results(run)[LIEKE].state == state


def waiting(stage: Any) -> list[dict[str, Any]]:
    """Return the questions about this mailbox that nobody has answered."""
    found = stage.airflow.get(f"dags/{DAG}/dagRuns/~/hitlDetails", response_received="false")
    return [asked for asked in found["hitl_details"] if LIEKE in asked["subject"]]


def the_question(stage: Any) -> str:
    """Return the run that asks the one question, once it is in Airflow."""
    wait_until(lambda: len(waiting(stage)) == 1, 120, "question asked", every=1)
    (asked,) = waiting(stage)
    return str(asked["task_instance"]["dag_run_id"])


def test_what_was_held_is_carried_out_once_somebody_approves(
    stage: Any,
    first_sync: str,
    planted: set[str],  # noqa: F811 - the fixture
) -> None:
    before = addresses(stage)
    assert len(before) >= 30
    empty(stage)
    sync(stage, "held")
    assert addresses(stage) == []
    run = the_question(stage)
    # The same hold in a further run: nobody is asked again.
    sync(stage, "held")
    assert [asked["task_instance"]["dag_run_id"] for asked in waiting(stage)] == [run]

    answer = {"chosen_options": ["Approve"], "params_input": {}}
    path = f"dags/{DAG}/dagRuns/{quote(run, safe='')}/taskInstances/wait_for_person/-1/hitlDetails"
    stage.airflow.call("PATCH", path, json=answer)
    assert stage.airflow.wait_for_run(DAG, run) == "success"
    assert addresses(stage) == before
    sync(stage, "done")
    assert writes(stage) == 0
    assert scan_what_airflow_keeps(stage, planted)["hitl_detail"] >= 1


@pytest.mark.browser
def test_a_person_rejects_and_later_approves_in_the_browser(
    page: Any,
    stage: Any,
    first_sync: str,
) -> None:
    before = addresses(stage)
    empty(stage)
    sync(stage, "held")
    run = the_question(stage)
    decide_in_browser(page, stage, "Reject")
    assert stage.airflow.wait_for_run(DAG, run) == "success"
    assert addresses(stage) == []
    # The answer was to leave them away (rules 8.3): nothing is held any more.
    sync(stage, "done")
    assert waiting(stage) == []

    hold = re.search(r"hold_(\d+)_", run)
    assert hold
    stage.command("holds", "ask-again", hold.group(1))
    sync(stage, "held")
    again = the_question(stage)
    assert again != run
    # The page of the hold gives the same answer to the same question.
    page.goto(f"{stage.airflow.url}/contact_sync/")
    page.get_by_role("row").filter(has_text=LIEKE).get_by_role("link", name="Look and decide").click()
    page.get_by_role("button", name="Bring them back").click()
    page.get_by_text("Airflow has taken the answer.").wait_for()
    assert stage.airflow.wait_for_run(DAG, again) == "success"
    assert addresses(stage) == before


def decide_in_browser(page: Any, stage: Any, option: str) -> None:
    page.goto(f"{stage.airflow.url}/required_actions?response_received=false")
    page.get_by_role("link", name=re.compile(re.escape(LIEKE))).first.click()
    page.get_by_text("folder_suddenly_empty").first.wait_for()
    page.get_by_role("button", name=option).first.click()
    wait_until(lambda: waiting(stage) == [], 60, "answer received", every=0.5)
