"""The sync's own pages, in Airflow's frame and opened directly, as a person clicks through them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest
from demo_parts.main import ANNA, COMPANY
from demo_parts.processes import wait_until

from tests.e2e.test_sync import writes

pytestmark = [pytest.mark.airflow, pytest.mark.browser, pytest.mark.timeout(600)]

#: Milliseconds that a run may take that a page starts, also where several Airflows share a small machine.
A_RUN = 300_000
JORIS, PIETER = "joris.visser@voorbeeld.example", "pieter.mulder@voorbeeld.example"


@pytest.fixture
def pages(page: Any, stage: Any, first_sync: str) -> Iterator[Any]:
    """The pages, opened directly; nothing that a page does may end in an error of its script."""
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(f"{stage.airflow.url}/contact_sync/")
    yield page
    assert errors == []


def mailboxes(shown: Any) -> set[str]:
    return set(shown.locator(".col-mailbox .name").all_inner_texts())


def test_the_overview_in_airflows_frame_leads_to_a_mapped_tasks_log(
    page: Any,
    stage: Any,
    first_sync: str,
) -> None:
    page.goto(f"{stage.airflow.url}/plugin/contact_sync")
    frame = page.frame_locator("iframe")
    frame.locator("#profiles table.list").wait_for()
    assert {ANNA, JORIS, PIETER} <= mailboxes(frame)
    frame.get_by_text("Schedule: by hand only").wait_for()
    frame.get_by_role("link", name=f"Log of {ANNA}").click()
    page.wait_for_url(re.compile(r"/runs/.+/tasks/sync_profile/mapped/\d+"))
    page.get_by_text(f"sync_profile [{ANNA}]").first.wait_for()


def test_a_run_has_a_tab_of_its_own(page: Any, stage: Any, first_sync: str) -> None:
    run = quote(first_sync, safe="")
    page.goto(f"{stage.airflow.url}/dags/contact_sync/runs/{run}/plugin/contact_sync_run")
    frame = page.frame_locator("iframe")
    frame.get_by_role("heading", name="What became of each profile in this run").wait_for()
    assert mailboxes(frame) == set(stage.results(first_sync))


def test_a_filter_is_checked_while_it_is_typed_and_saved(pages: Any, stage: Any) -> None:
    pages.get_by_role("link", name=PIETER, exact=True).click()
    pages.get_by_role("button", name="Add a condition").click()
    condition = pages.get_by_role("group", name="Condition")
    condition.get_by_label("Field of Business Central").select_option("City")
    expression = condition.get_by_label("Expression")
    expression.press_sequentially("=((")
    condition.get_by_text("Not understood at position").wait_for()
    expression.fill("<>Nergenshuizen")
    condition.get_by_text("Understood", exact=True).wait_for()
    pages.get_by_role("button", name="Save").click()
    pages.get_by_text("Saved. The next run syncs by these settings.").wait_for()
    assert "City: <>Nergenshuizen" in stage.command("profiles", "export").replace("'", "").replace('"', "")


def test_who_would_come_and_go_is_reported_before_it_is_saved(pages: Any, stage: Any) -> None:
    before = stage.command("profiles", "export")
    pages.get_by_role("link", name=JORIS, exact=True).click()
    preview = pages.get_by_role("region", name="What saving would do")
    preview.get_by_text("Saving adds no contacts and removes none.").wait_for()
    pages.get_by_role("button", name="Add a condition").click()
    condition = pages.get_by_role("group", name="Condition").last
    condition.get_by_label("Field of Business Central").select_option("City")
    condition.get_by_label("Expression").fill("Nergenshuizen")
    preview.get_by_text(re.compile("would be deleted in Outlook|would stay in the folder")).first.wait_for()
    preview.locator("summary").first.click()
    # Leaving the text must not fold the list up again.
    pages.wait_for_timeout(1_000)
    assert preview.locator("li").first.is_visible()
    condition.get_by_role("button", name="Remove this condition").click()
    preview.get_by_text("Saving adds no contacts and removes none.").wait_for()
    assert stage.command("profiles", "export") == before


def test_the_connection_of_one_profile_is_checked_by_a_task(pages: Any) -> None:
    pages.get_by_role("link", name=JORIS, exact=True).click()
    pages.get_by_text("Not checked yet.").wait_for()
    pages.get_by_role("button", name="Check the connection").click()
    pages.get_by_text("Everything is right.").wait_for(timeout=A_RUN)
    pages.locator("#checked").get_by_text("Opens; its folder is").wait_for()


def test_one_profile_is_synced_now_and_its_plan_looked_at(pages: Any, stage: Any) -> None:
    row = pages.get_by_role("row").filter(has_text=PIETER)
    row.get_by_role("checkbox").check()
    pages.get_by_label("Sync now").select_option("full")
    pages.get_by_role("button", name=re.compile("^Start")).click()
    link = pages.get_by_role("link", name="Open it in Airflow")
    link.wait_for()
    run = re.search(r"runs/([^/]+)$", link.get_attribute("href") or "")
    assert run
    name = run.group(1).replace("%3A", ":").replace("%2B", "+")
    assert stage.airflow.wait_for_run("contact_sync", name) == "success"
    assert set(stage.results(name)) == {PIETER}
    pages.goto(f"{stage.airflow.url}/contact_sync/")
    pages.get_by_role("link", name=f"Plan of {PIETER}").click()
    pages.get_by_role("heading", name="What this run did").wait_for()
    assert quote(name, safe="") in pages.url or name in pages.url


def people(stage: Any) -> list[dict[str, Any]]:
    company = next(each for each in stage.sandbox.dump()["companies"] if each["name"] == COMPANY)
    return [dict(contact) for contact in company["contacts"]]


def person(stage: Any, **wanted: Any) -> dict[str, Any]:
    """Return the first person of the company with a name of its own and these values."""
    everybody = people(stage)
    names = [each["displayName"] for each in everybody]
    complete = {"type": "Person", "privacyBlocked": False} | wanted
    return next(
        each
        for each in everybody
        if names.count(each["displayName"]) == 1
        and (wanted.get("email") == "" or "@" in each["email"])
        and all(each[name] == value for name, value in complete.items())
    )


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        ({"city": "Rotterdam"}, "The filter leaves it out: City is .*Rotterdam"),
        ({"city": "Amsterdam", "email": ""}, "It has no e-mail address in Business Central"),
        ({"privacyBlocked": True}, "It is blocked for privacy in Business Central"),
        (
            {"type": "Company"},
            "It is of type .*Company.* in Business Central, and only persons go to Outlook",
        ),
        ({"city": "Utrecht"}, "both sides are kept the same|The sync made it in this folder"),
    ],
    ids=["filter", "no address", "blocked", "company", "in it"],
)
def test_why_a_contact_is_not_in_a_folder(pages: Any, stage: Any, wanted: Any, said: str) -> None:
    contact = person(stage, **wanted)
    pages.get_by_role("link", name="Contacts", exact=True).click()
    pages.get_by_label("Search").fill(contact["number"])
    pages.get_by_role("link", name=contact["displayName"]).first.click()
    pages.get_by_role("heading", name=contact["displayName"]).wait_for()
    answer = pages.locator(".answers > li").filter(has_text=JORIS)
    answer.get_by_text(re.compile(said)).first.wait_for()


def test_why_the_second_person_with_an_address_is_not_in_a_folder(pages: Any, stage: Any) -> None:
    by_address: dict[str, list[dict[str, Any]]] = {}
    for each in people(stage):
        if each["type"] == "Person" and not each["privacyBlocked"] and "@" in each["email"]:
            by_address.setdefault(each["email"].casefold(), []).append(each)
    twins = next(found for found in by_address.values() if len(found) == 2)
    first, second = sorted(twins, key=lambda each: str(each["number"]))
    pages.get_by_role("link", name="Contacts", exact=True).click()
    pages.get_by_label("Search").fill(second["number"])
    pages.get_by_role("link", name=second["displayName"]).first.click()
    pages.get_by_role("heading", name=second["displayName"]).wait_for()
    answer = pages.locator(".answers > li").filter(has_text=ANNA)
    answer.get_by_text(re.compile("has the same e-mail address")).first.wait_for()
    assert first["number"] in answer.inner_text()


def test_the_life_of_a_contact_is_shown(pages: Any, stage: Any) -> None:
    contact = person(stage, city="Utrecht")
    company = next(each for each in stage.sandbox.info["companies"] if each["name"] == COMPANY)
    url = f"{stage.sandbox.company_url(COMPANY)}/contacts({contact['id']})"
    assert company["id"] in url
    stage.sandbox.as_user("bc", "PATCH", url, {"jobTitle": "Hoofd Inkoop 4711"})
    stage.sync(mode="incremental")
    pages.get_by_role("link", name="Contacts", exact=True).click()
    pages.get_by_label("Search").fill(contact["number"])
    pages.get_by_role("link", name=contact["displayName"]).first.click()
    life = pages.locator("#life")
    life.get_by_text("Hoofd Inkoop 4711").first.wait_for()
    wait_until(lambda: ANNA in life.inner_text(), 10, "the folder named in the timeline")


def items_of(stage: Any, mailbox: str, name: str) -> list[dict[str, Any]]:
    """Return what the folders of a mailbox hold under this name."""
    box = next(each for each in stage.sandbox.dump()["mailboxes"] if each["user_principal_name"] == mailbox)
    found = [item for folder in box["folders"] for item in folder["contacts"]]
    return [item for item in found if item["properties"]["displayName"] == name]


def job_titles(stage: Any, contact: dict[str, Any]) -> list[str]:
    """Return the job title of one person in BC, and in both folders that the person is in."""
    in_bc = next(each for each in people(stage) if each["id"] == contact["id"])
    items = [item for box in (ANNA, JORIS) for item in items_of(stage, box, contact["displayName"])]
    assert len(items) == 2
    return [str(each["jobTitle"] or "") for each in (in_bc, *(item["properties"] for item in items))]


def test_a_change_is_undone_and_both_sides_are_as_before(pages: Any, stage: Any) -> None:
    contact = person(stage, city="Utrecht")
    before = job_titles(stage, contact)
    (item,) = items_of(stage, JORIS, contact["displayName"])
    url = f"{stage.sandbox.info['graph_root']}/users/{JORIS}/contacts/{item['immutable_id']}"
    stage.sandbox.as_user("graph", "PATCH", url, {"jobTitle": "Vergissing 4712"})
    stage.sync(mode="incremental")
    stage.sync(mode="incremental")
    assert job_titles(stage, contact) == ["Vergissing 4712"] * 3

    pages.get_by_role("link", name="Contacts", exact=True).click()
    pages.get_by_label("Search").fill(contact["number"])
    pages.get_by_role("link", name=contact["displayName"]).first.click()
    rows = pages.locator("#life").get_by_role("row").filter(has_text="Vergissing 4712")
    rows.filter(has_text=JORIS).get_by_role("link", name="undo").first.click()
    pages.get_by_role("heading", name="Undo this change").wait_for()
    assert "Vergissing 4712" in pages.get_by_role("table", name="What would be written").inner_text()
    pages.get_by_role("button", name="Undo it, on both sides").click()
    pages.get_by_text("1 contact is as it was before.").wait_for(timeout=A_RUN)
    stage.sync(mode="incremental")
    assert job_titles(stage, contact) == before
    stage.sync(mode="full")
    assert job_titles(stage, contact) == before, "what was undone stays undone"
    assert writes(stage) == 0


def test_what_a_run_did_to_a_profile_is_undone(pages: Any, stage: Any) -> None:
    contact = person(stage, city="Utrecht")
    before = job_titles(stage, contact)
    url = f"{stage.sandbox.company_url(COMPANY)}/contacts({contact['id']})"
    stage.sandbox.as_user("bc", "PATCH", url, {"jobTitle": "Vergissing 4713"})
    run = stage.sync(mode="incremental")
    assert job_titles(stage, contact) == ["Vergissing 4713"] * 3

    pages.reload()
    pages.get_by_role("link", name=f"Plan of {JORIS}").click()
    assert quote(run, safe="") in pages.url or run in pages.url
    pages.get_by_role("link", name="Undo all of it").click()
    pages.get_by_role("heading", name="Undo what this run did").wait_for()
    pages.get_by_role("button", name="Undo it, on both sides").click()
    pages.get_by_text("1 contact is as it was before.").wait_for(timeout=A_RUN)
    stage.sync(mode="incremental")
    assert job_titles(stage, contact) == before
