"""What a run was, in words, wherever a page names one."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import Engine, update

from sync_lib.store import tables as t
from sync_lib.store import undo
from sync_lib.store.engine import transaction
from sync_lib.store.undo import Asked
from sync_lib.web.app import make_app
from sync_lib.web.run_words import tell_run
from tests.web.surroundings import open_seams
from tests.web.world import add_company, add_person, add_plan, add_profile, add_result, add_run, at

SCHEDULED, BY_HAND, OF_COLLEAGUE = (
    "scheduled__2026-03-02T09:15:00+00:00", "manual__2026-03-02T09:20:00.5+00:00_x1", "manual__3"
)  # fmt: skip
UPDATE = {"action": "update_outlook", "bc_id": "b1", "outlook_id": "o", "outcome": "updated"}
asked: list[list[str]] = []


def starters(runs: Collection[str]) -> Mapping[str, str]:
    asked.append(sorted(runs))
    return {BY_HAND: "eva"}


@pytest.fixture
def client(engine: Engine) -> TestClient:
    asked.clear()
    with transaction(engine) as conn:
        profile = add_profile(conn, "anna@a.example", company=add_company(conn))
        kinds = {SCHEDULED: "scheduled", BY_HAND: "manual", OF_COLLEAGUE: "manual", "hold_1_1_ab": "approval"}
        for n, (run, kind) in enumerate(kinds.items()):
            add_plan(conn, profile, add_run(conn, run, at(n), run_type=kind), UPDATE)
    return TestClient(make_app(replace(open_seams(engine), starters=starters)))


def in_words(client: TestClient, address: str, language: str = "en") -> str:
    html = client.get(address, headers={"accept-language": language}).text
    assert "Not possible" not in html
    return html


def test_the_history_says_what_each_run_was(client: TestClient) -> None:
    page = in_words(client, "/history")
    assert f'title="{SCHEDULED}">scheduled, <time datetime="2026-03-02T09:15:00.000Z" data-absolute>' in page
    assert 'started by hand by <bdi class="value">eva</bdi>' in page
    assert ">started by hand</a>" in page, "nobody knows by whom"
    assert "after a decision about what was held" in page
    assert f">{SCHEDULED}<" not in page
    assert asked == [sorted([BY_HAND, OF_COLLEAGUE])], "all of them at once, and nobody else's"
    page = in_words(client, "/history", "nl")
    assert "volgens schema, <time" in page
    assert 'met de hand gestart door <bdi class="value">eva</bdi>' in page


@pytest.mark.parametrize("address", [f"/runs/{BY_HAND}", f"/plans/1/{BY_HAND}"])
def test_the_page_of_a_run_has_its_id_beside_the_words(client: TestClient, address: str) -> None:
    page = in_words(client, address)
    assert "tarted by hand by" in page
    assert f'<span class="faint value">{BY_HAND}</span>' in page


def test_an_undo_names_its_run_in_words(client: TestClient) -> None:
    page = in_words(client, f"/undo?profile=1&run={SCHEDULED}".replace("+", "%2B"))
    assert "run: scheduled, <time" in page


def test_an_undo_says_who_started_its_run(client: TestClient, engine: Engine) -> None:
    by_eva = 'run: started by hand by <bdi class="value">eva</bdi>'
    page = in_words(client, f"/undo?profile=1&run={BY_HAND}".replace("+", "%2B"))
    assert by_eva in page
    with transaction(engine) as conn:
        key = undo.ask(conn, Asked(1, BY_HAND), "anna", at(9))
    assert by_eva in in_words(client, f"/undo/{key}")


def test_a_contact_says_who_started_the_run_that_decided(client: TestClient, engine: Engine) -> None:
    with transaction(engine) as conn:
        add_person(conn, 1, "b1", name="Jan")
        conn.execute(update(t.sync_profile).values(company=1))
        add_result(conn, BY_HAND, 1, "failed", started_at=at(9), reason="mailbox_not_found")
    page = in_words(client, "/contacts/1/b1")
    assert 'run: started by hand by <bdi class="value">eva</bdi>' in page


@pytest.mark.parametrize(
    ("run", "kind", "means", "at"),
    [
        (SCHEDULED, "", "scheduled", "2026-03-02T09:15:00.000Z"),
        ("scheduled__2026-03-02T10:15:00+01:00", "", "scheduled", "2026-03-02T09:15:00.000Z"),
        ("scheduled__soon", "", "scheduled", ""),
        ("scheduled__2026-03-02T09:15:00+00:00", "drift_check", "check by night", ""),
        ("backfill__2026-03-02T09:15:00+00:00", "", "backfill", ""),
        ("hold_1_1_ab", "", "after a decision", ""),
        ("first", "", "another run", ""),
    ],
)
def test_what_is_not_stored_any_more_is_told_by_its_id(run: str, kind: str, means: str, at: str) -> None:
    told = tell_run(run, kind)
    assert (told.text.startswith(means), told.at) == (True, at)
