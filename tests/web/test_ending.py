"""The profile page asks whether a profile is to end, and says what became of one that has."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import Engine, insert, select

from sync_lib.store import tables as t
from sync_lib.store.profiles.history import Author
from tests.web.hostile import HOSTILE
from tests.web.surroundings import VIEWER
from tests.web.world import NOON, add_company, add_item, add_plan, add_profile, add_result, add_run

Make = Callable[..., TestClient]
ROOT = "/contact_sync"


@pytest.fixture
def profile(engine: Engine) -> int:
    """A profile that has synced: two items of the sync's own, one of them edited since, and an adopted one."""
    with engine.begin() as conn:
        company = add_company(conn)
        key = add_profile(
            conn,
            "anna@a.example",
            company=company,
            graph_user_id="u",
            folder_id="f",
            folder_made_by_sync=True,
        )
        for n, (origin, etag) in enumerate((("made_by_sync", "1"), ("made_by_sync", "2"), ("adopted", "1"))):
            add_item(conn, key, f"o{n}", etag=etag)
            values = {
                "profile": key,
                "bc_id": f"b{n}",
                "outlook_id": f"o{n}",
                "origin": origin,
                "state": "active",
            }
            row = values | {"outlook_etag": "1", "created_at": NOON, "updated_at": NOON}
            conn.execute(insert(t.coupling).values(row))
    return key


def wanted(engine: Engine, profile: int) -> str:
    with engine.connect() as conn:
        return str(conn.scalar(select(t.sync_profile.c.ending).where(t.sync_profile.c.id == profile)))


def test_the_preview_counts_what_goes_and_stays(visit: Make, profile: int) -> None:
    assert f"profiles/{profile}/end" in visit().get(f"/profiles/{profile}").text
    text = visit().get(f"/profiles/{profile}/end").text
    assert "3 contacts stay in the folder" in text
    assert "1 contact is deleted in Outlook;" in text
    assert "2 stay." in text
    assert "1 that the sync made was edited" in text
    assert "ids alone are kept" in text


@pytest.mark.parametrize("how", ["keep", "remove"])
def test_the_answer_is_stored_with_its_author(visit: Make, engine: Engine, profile: int, how: str) -> None:
    answer = visit().post(f"/profiles/{profile}/end/{how}")
    assert answer.status_code == 200
    assert answer.json() == {"address": f"{ROOT}/profiles/{profile}", "profile": str(profile)}
    assert wanted(engine, profile) == how
    page = visit().get(f"/profiles/{profile}").text
    assert "This profile ends" in page
    assert "editor" in page
    assert "Dit profiel eindigt" in visit(language="nl").get(f"/profiles/{profile}").text


def test_who_may_only_look_ends_nothing(visit: Make, engine: Engine, profile: int) -> None:
    assert "data-wish" not in visit(VIEWER).get(f"/profiles/{profile}").text
    assert visit(VIEWER).post(f"/profiles/{profile}/end/keep").status_code == 403
    assert wanted(engine, profile) == ""


def test_one_that_never_synced_cannot_be_ended(visit: Make, engine: Engine) -> None:
    with engine.begin() as conn:
        new = add_profile(conn, "nieuw@a.example")
    assert visit().post(f"/profiles/{new}/end/keep").status_code == 409
    assert "End this profile" not in visit().get(f"/profiles/{new}").text


@pytest.fixture
def gone(engine: Engine, profile: int) -> int:
    from sync_lib.store.profiles import endings, rows

    with engine.begin() as conn:
        endings.ask_end(conn, rows.read_profile(conn, profile), "remove", Author(HOSTILE[0], NOON))
        notes = {
            "deleted": 2,
            "freed": 1,
            "reason": "mailbox_not_found",
            "edits": 1,
            "refused": 3,
            "folder": "missing",
        }
        endings.end_profile(conn, rows.read_profile(conn, profile), None, notes)
    return profile


def test_what_became_of_it_is_shown(visit: Make, gone: int) -> None:
    text = visit().get(f"/profiles/{gone}").text
    for said in (
        "This profile has ended", "2 contacts were deleted", "1 contact stays there", "no such mailbox",
        "The edits of 1 contact", "3 contacts could not be written", "was not there any more",
        "The ids of 3 items alone", "Remove what the sync made",
    ):  # fmt: skip
        assert said in text, said
    assert HOSTILE[0] not in text
    assert "Dit profiel is beëindigd" in visit(language="nl").get(f"/profiles/{gone}").text
    for address in ("end", "check", "preview"):
        assert visit().get(f"/profiles/{gone}/{address}").status_code == 409
    assert visit().post(f"/profiles/{gone}/end/keep").status_code == 409
    assert visit().post(f"/profiles/{gone}").status_code == 409


def test_it_is_listed_apart(visit: Make, gone: int) -> None:
    text = visit().get("/").text
    assert "First steps" in text
    assert "Profiles that have ended" in text
    assert f"profiles/{gone}" in text


def test_its_undo_is_refused(visit: Make, engine: Engine, gone: int) -> None:
    with engine.begin() as conn:
        add_run(conn, "r", NOON)
        add_result(conn, "r", gone)
        add_plan(conn, gone, "r", {"action": "update_outlook", "bc_id": "b0", "outcome": "updated"})
    assert visit().post("/undo", json={"profile": gone, "run": "r"}).status_code == 409
    answer = visit().get("/undo", params={"profile": gone, "run": "r"})
    assert "can be undone any more" in answer.text
    history = visit().get(f"/plans/{gone}/r")
    assert history.status_code == 200, "its history stays"
    life = visit().get("/contacts/1/b0")
    assert life.status_code == 200
    assert "update in Outlook" in life.text
    for page in (history.text, life.text):
        assert "/undo?" not in page, "nothing is offered that would be refused"


def test_all_pages_say_what_waits_while_writes_are_off(visit: Make, engine: Engine, profile: int) -> None:
    from dataclasses import replace

    from sync_lib.settings import SyncSettings

    client = visit()
    client.post(f"/profiles/{profile}/end/keep")
    app = client.app
    app.state.seams = replace(app.state.seams, settings=lambda: replace(SyncSettings(), writes=False))  # type: ignore[attr-defined]
    assert "Profiles whose end waits for that: 1." in client.get("/contacts").text
