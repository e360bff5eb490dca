"""What a person sees in Airflow's pages, in a real Chromium."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import quote

import pytest

pytestmark = [pytest.mark.airflow, pytest.mark.browser, pytest.mark.timeout(600)]

ANNA = "anna.bakker@voorbeeld.example"


def test_a_mapped_task_is_found_by_its_mailbox_and_its_log_is_readable(
    page: Any, stage: Any, first_sync: str
) -> None:
    page.goto(
        f"{stage.airflow.url}/dags/contact_sync/runs/{quote(first_sync, safe='')}/tasks/sync_profile/mapped"
    )
    page.get_by_role("link", name=ANNA).first.click()
    page.wait_for_url(re.compile(r"/mapped/\d+"))
    page.get_by_text("Compare").first.wait_for()
    assert page.get_by_text(f"sync_profile [{ANNA}]").first.is_visible()
    # The phases are folded; all of them are opened, as a person would who wants to know.
    folds = page.get_by_text("▶")
    while folds.count():
        folds.first.click()
    shown = page.inner_text("body")
    for phase in ("Open the folder", "Read Outlook", "Compare", "Load"):
        assert phase in shown, shown
    counters = stage.results(first_sync)[ANNA].counters
    assert counters["reasons"]
    assert f"contacts read: {counters['read']}" in shown
    for reason, count in counters["reasons"].items():
        assert f"{count} {reason}" in shown
    world = stage.sandbox.dump()
    persons = [contact for company in world["companies"] for contact in company["contacts"]]
    values = {person[name] for person in persons for name in ("displayName", "email", "phoneNumber")}
    assert [value for value in values if len(value) > 5 and value in shown] == []


def test_the_report_is_a_table_of_profiles(page: Any, stage: Any, first_sync: str) -> None:
    page.goto(f"{stage.airflow.url}/dags/contact_sync/runs/{quote(first_sync, safe='')}/tasks/report")
    page.get_by_text("last good sync").first.wait_for()
    shown = page.inner_text("body")
    for mailbox in stage.results(first_sync):
        assert mailbox in shown


def test_the_trigger_form_explains_each_field(page: Any, stage: Any) -> None:
    page.goto(f"{stage.airflow.url}/dags/contact_sync")
    page.get_by_role("button", name=re.compile("trigger", re.IGNORECASE)).first.click()
    for title in ("Mode", "Profiles", "Dry run"):
        page.get_by_text(re.compile(f"^{title}")).first.wait_for()
    page.get_by_text("nothing is written").first.wait_for()


def test_the_connection_form_has_our_fields(page: Any, stage: Any) -> None:
    page.goto(f"{stage.airflow.url}/connections")
    page.get_by_role("button", name=re.compile("add connection", re.IGNORECASE)).click()
    page.get_by_role("combobox").first.click()
    page.keyboard.type("business_central")
    page.keyboard.press("Enter")
    for label in ("Client id", "Client secret", "API root"):
        page.get_by_text(label, exact=True).first.wait_for()
