"""One change of many profiles: what is shown is what is done, to all of them or to none, and each history says who."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import Engine, insert, select, update

from sync_lib.fields.filters import parse_filter
from sync_lib.operate import many_contacts, many_profiles, settings_preview
from sync_lib.operate.settings_preview import Subject, Wish, make_preview
from sync_lib.settings import SyncSettings
from sync_lib.store import tables as t
from sync_lib.store.engine import read
from sync_lib.store.profiles import history, rows
from sync_lib.store.profiles.rows import Profile
from sync_lib.web import bulk as page
from tests.web.hostile import HOSTILE, assert_plain_text
from tests.web.queries import counted
from tests.web.surroundings import EDITOR, VIEWER
from tests.web.test_profile_preview import add_synced
from tests.web.world import NOON, add_company, add_item, add_person, add_profile

Make = Callable[..., TestClient]


@pytest.fixture
def world(engine: Engine) -> dict[str, int]:
    """Three that have synced, with two contacts in each folder; one that never did; one that is being ended."""
    with engine.begin() as conn:
        company = add_company(conn)
        conn.execute(insert(t.cursor).values(side="business_central", scope=str(company), updated_at=NOON))
        ids = {}
        for name in ("anna", "bram", "cees"):
            bound = {"company": company, "graph_user_id": name, "folder_id": f"f-{name}"}
            ids[name] = add_profile(conn, f"{name}@a.example", enabled=name != "cees", **bound)
            for city in ("Utrecht", "Zeist"):
                key = f"{name}-{city}"
                add_synced(conn, ids[name], company, key, name=key, email_key=f"{key}@x.example", city=city)
        ids["new"] = add_profile(conn, "new@a.example", company=company, filter='[["City", "Utrecht"]]')
        ending = {"graph_user_id": "g", "folder_id": "f-g", "ending": "keep", "ending_began": NOON}
        ids["going"] = add_profile(conn, "going@a.example", company=company, **ending)
    return ids


def stored(engine: Engine, key: int) -> Profile:
    with read(engine) as conn:
        return rows.read_profile(conn, key)


def preview(client: TestClient, **form: str) -> str:
    answer = client.post("/bulk/preview", data=form)
    assert answer.status_code == 200
    assert "<html" not in answer.text
    return answer.text


def confirm(client: TestClient, **form: str) -> str:
    """Look, then press the button of what was shown."""
    found = re.search(r'name="digest" value="(\w+)"', preview(client, **form))
    assert found, "there is nothing to confirm"
    answer = client.post("/bulk", data=form | {"digest": found[1]})
    assert answer.status_code == 200
    return answer.text


def plain(html: str) -> str:
    return re.sub(r"\s+", " ", re.sub("<[^>]*>", " ", html))


def authors(engine: Engine, key: int) -> list[tuple[str, list[str]]]:
    with read(engine) as conn:
        changes, _ = history.read_changes(conn, key, 10)
    return [(each.who, [one.column for one in each.settings]) for each in changes]


# -- the choice ------------------------------------------------------------------------------------------------------


def test_the_search_itself_is_the_choice(visit: Make, engine: Engine, world: dict[str, int]) -> None:
    with engine.begin() as conn:
        for n in range(60):
            add_profile(conn, f"user{n:03d}@a.example")
    assert "Change 60 profiles" in visit().get("/bulk?q=user").text
    assert "Change 1 profile" in visit().get("/bulk?state=off").text
    assert "Change 65 profiles" in visit().get("/bulk").text
    assert "Change 2 profiles" in visit().get(f"/bulk?profiles={world['anna']},{world['new']},999").text
    assert visit().get("/bulk/profiles?q=user").json()["profiles"][:1] == [str(world["going"] + 1)]
    # Runs are started for those alone that are switched on.
    assert str(world["cees"]) not in visit().get("/bulk/profiles").json()["profiles"]
    assert "No profile matches." in visit().get("/bulk?q=nobody").text
    for wrong in ("profiles=1;2", "profiles=-1", "state=none", "profiles=" + "1," * 30_000):
        assert visit().get(f"/bulk?{wrong}").status_code == 400


def test_who_may_only_look_is_offered_no_change(visit: Make, world: dict[str, int]) -> None:
    html = visit(VIEWER).get("/bulk").text
    assert "Change 5 profiles" in html
    assert 'id="bulk"' not in html


# -- what is done ----------------------------------------------------------------------------------------------------


def test_switched_off_and_on_again(visit: Make, engine: Engine, world: dict[str, int]) -> None:
    shown = plain(preview(visit(), what="off"))
    assert "3 profiles change" in shown, "anna, bram and new"
    assert "1 is so already" in shown
    assert "1 is refused, and stays as it is" in shown
    assert "going@a.example It is being ended." in shown
    assert "4 contacts stay in the folders, and are synced no longer." in shown
    assert "3 profiles were changed." in confirm(visit(), what="off")
    assert [stored(engine, world[name]).enabled for name in ("anna", "bram", "cees", "new")] == [False] * 4
    assert stored(engine, world["going"]).enabled
    assert authors(engine, world["anna"]) == [(EDITOR, ["enabled"])]
    assert authors(engine, world["cees"]) == []
    confirm(visit(), what="on", profiles=f"{world['anna']}")
    assert stored(engine, world["anna"]).enabled
    assert not stored(engine, world["bram"]).enabled


def test_switching_on_says_who_comes(visit: Make, engine: Engine, world: dict[str, int]) -> None:
    with engine.begin() as conn:
        conn.execute(update(t.sync_profile).where(t.sync_profile.c.id == world["new"]).values(enabled=False))
        company = conn.execute(select(t.company.c.id)).scalar_one()
        add_person(conn, company, "later", name="Later", email_key="later@x.example", city="Utrecht")
    shown = plain(preview(visit(), what="on"))
    assert "2 profiles change" in shown
    # Those of Utrecht for the new one: the three, and who came later; for cees, all that are not in his folder.
    assert "+ 9 contacts come into the folders" in shown
    assert "− 0" in shown


def test_a_policy_is_set(visit: Make, engine: Engine, world: dict[str, int]) -> None:
    form = {"what": "policy", "policy": "deleted_in_outlook:stay_away"}
    shown = plain(preview(visit(), **form))
    assert "No contact comes or goes by this at once." in shown
    confirm(visit(), **form)
    assert stored(engine, world["bram"]).deleted_in_outlook == "stay_away"
    assert authors(engine, world["bram"]) == [(EDITOR, ["deleted_in_outlook"])]
    with engine.begin() as conn:
        conn.execute(update(t.coupling).values(state="away"))
    shown = plain(preview(visit(), what="policy", policy="deleted_in_outlook:recreate"))
    assert "6 contacts that stay away come back with the next sync." in shown
    for wrong in ("", "deleted_in_outlook:delete", "enabled:true", "mailbox:x"):
        assert "Choose what is changed" in preview(visit(), what="policy", policy=wrong)
        assert (
            "Choose what is changed" in visit().post("/bulk", data={"what": "policy", "policy": wrong}).text
        )


def test_a_condition_comes_to_each_filter(visit: Make, engine: Engine, world: dict[str, int]) -> None:
    with engine.begin() as conn:
        groups = json.dumps([[["Name", "a*"]], [["City", "Utrecht"]]])
        one = update(t.sync_profile).where(t.sync_profile.c.id == world["bram"])
        conn.execute(one.values(filter=groups))
    form = {"what": "condition", "field": "City", "expression": "Utrecht"}
    shown = plain(preview(visit(), **form))
    assert "3 profiles change" in shown
    assert "1 is so already" in shown
    # Anna's and Cees' contact in Zeist; nothing that the other two say keeps Bram's.
    assert re.search(r"− [23] contacts are deleted in Outlook", shown), shown
    assert "1 of them is switched off" in shown
    confirm(visit(), **form)
    assert stored(engine, world["anna"]).filter == ((("City", "Utrecht"),),)
    assert stored(engine, world["bram"]).filter == (
        (("Name", "a*"), ("City", "Utrecht")),
        (("City", "Utrecht"),),
    )
    assert authors(engine, world["bram"]) == [(EDITOR, ["filter"])]


def test_a_wrong_condition_says_where(visit: Make, engine: Engine, world: dict[str, int]) -> None:
    form = {"what": "condition", "field": "City", "expression": "(Utrecht"}
    assert "Not understood at position" in preview(visit(), **form)
    assert "Not understood at position" in visit().post("/bulk", data=form | {"digest": "x"}).text
    assert stored(engine, world["anna"]).filter == ()
    # Where the filter of one would become too long, that one is refused.
    with engine.begin() as conn:
        long = json.dumps([["Name", "a" * 1990]])
        conn.execute(update(t.sync_profile).where(t.sync_profile.c.id == world["anna"]).values(filter=long))
    shown = plain(preview(visit(), what="condition", field="City", expression="Utrecht"))
    assert "anna@a.example Its filter cannot be understood, or becomes too long." in shown


def test_ends_are_counted_and_wait_for_the_next_run(
    visit: Make, engine: Engine, world: dict[str, int]
) -> None:
    with engine.begin() as conn:
        # One that the colleague put there: it stays.
        add_item(conn, world["anna"], "own")
    shown = plain(preview(visit(), what="end", how="remove"))
    assert "3 profiles change" in shown
    assert "6 contacts are deleted in Outlook; 1 contact stays in the folders" in shown
    assert "new@a.example It has never synced: remove it on its page instead." in shown
    assert "7 contacts stay in the folders" in plain(preview(visit(), what="end", how="keep"))
    assert "3 profiles end: the next run carries it out." in confirm(visit(), what="end", how="remove")
    assert [stored(engine, world[name]).ending for name in ("anna", "cees", "new")] == [
        "remove",
        "remove",
        "",
    ]
    assert authors(engine, world["anna"]) == [(EDITOR, ["ending"])]


# -- what was shown is what is done ----------------------------------------------------------------------------------


def test_nothing_is_done_where_it_would_be_something_else(
    visit: Make, engine: Engine, world: dict[str, int]
) -> None:
    form = {"what": "off", "q": "a.example"}
    found = re.search(r'name="digest" value="(\w+)"', preview(visit(), **form))
    assert found
    with engine.begin() as conn:
        add_profile(conn, "later@a.example")
    html = visit().post("/bulk", data=form | {"digest": found[1]}).text
    assert "Nothing was changed: by now it would do something else." in html
    assert "4 profiles change" in plain(html)
    assert stored(engine, world["anna"]).enabled
    # Another change than the one that was shown, by the same digest.
    for other in ({"what": "end", "how": "remove"}, {"what": "on"}):
        assert "Nothing was changed" in visit().post("/bulk", data=form | other | {"digest": found[1]}).text
    assert stored(engine, world["anna"]).ending == ""
    # A profile that says something else by now.
    form = {"what": "off", "profiles": str(world["anna"])}
    found = re.search(r'name="digest" value="(\w+)"', preview(visit(), **form))
    assert found
    with engine.begin() as conn:
        conn.execute(update(t.sync_profile).values(language="fr"))
    assert "Nothing was changed" in visit().post("/bulk", data=form | {"digest": found[1]}).text


def test_all_of_it_or_nothing(
    visit: Make, engine: Engine, world: dict[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> None:
        raise RuntimeError("at the last moment")

    monkeypatch.setattr(history, "write_setting", fail)
    with pytest.raises(RuntimeError, match="at the last moment"):
        confirm(visit(), what="end", how="keep")
    assert [stored(engine, world[name]).ending for name in ("anna", "bram", "cees")] == ["", "", ""]
    assert authors(engine, world["anna"]) == []


def test_what_is_not_counted_is_said(
    visit: Make, world: dict[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(page, "PATIENCE", 0.0)
    shown = plain(preview(visit(), what="condition", field="City", expression="Utrecht"))
    assert "The contacts of 3 profiles were not counted" in shown
    assert "anna@a.example Molenzicht BV not counted" in shown


def test_a_form_that_is_none_of_ours_is_refused(visit: Make, world: dict[str, int]) -> None:
    assert visit().post("/bulk/preview", data={"what": "off", "state": "none"}).status_code == 400
    assert "Choose what is changed" in preview(visit(), what="everything")
    large = visit().post("/bulk/preview", data={"what": "off", "q": "x" * 2_100_000})
    assert large.status_code == 413


def test_in_dutch(visit: Make, world: dict[str, int]) -> None:
    shown = plain(preview(visit(language="nl"), what="end", how="remove"))
    assert "3 profielen wijzigen" in shown
    assert "Het is nooit gesynchroniseerd: verwijder het op de eigen pagina." in shown


def test_hostile_text_is_text(visit: Make, engine: Engine) -> None:
    with engine.begin() as conn:
        for text in HOSTILE:
            kept = text.replace("\0", "")
            add_profile(conn, f"{kept}@a.example", company_name=kept, folder_name=kept)
    assert_plain_text(visit().get("/bulk").text)
    assert_plain_text(preview(visit(), what="off"))
    assert_plain_text(preview(visit(), what="end", how="keep"))
    for text in HOSTILE:
        form = {"what": "condition", "field": text, "expression": text, "q": text}
        assert_plain_text(preview(visit(), **form))
        assert_plain_text(visit().get("/bulk", params={"q": text}).text)


@pytest.mark.both_databases
def test_a_thousand_profiles(visit: Make, engine: Engine) -> None:
    """A few statements, however many they are."""
    with engine.begin() as conn:
        row = {"company_name": "Molenzicht BV", "created_at": NOON, "updated_at": NOON}
        conn.execute(insert(t.sync_profile), [{"mailbox": f"user{n}@a.example", **row} for n in range(1_000)])
    with counted(engine) as statements:
        assert "1,000 profiles were changed." in confirm(visit(), what="policy", policy="left_scope:keep")
    assert len(statements) < 60
    with engine.connect() as conn:
        values = set(conn.scalars(select(t.sync_profile.c.left_scope)))
        lines = conn.execute(select(t.profile_change.c.who)).scalars().all()
    assert values == {"keep"}
    assert lines == [EDITOR] * 1_000


def test_many_are_counted_as_each_page_counts_one(engine: Engine, world: dict[str, int]) -> None:
    """What a condition takes out of many folders at once is what the preview of each profile says."""
    with engine.begin() as conn:
        # One of Bram's was edited, one of Cees' was put there by himself, and one of Anna's is in the filter no more.
        edited = t.outlook_contact.c.id == "obram-Zeist"
        conn.execute(update(t.outlook_contact).where(edited).values(etag="other"))
        own = t.coupling.c.bc_id == "cees-Zeist"
        conn.execute(update(t.coupling).where(own).values(origin="made_by_user"))
        key = t.sync_profile.c.id == world["anna"]
        conn.execute(update(t.sync_profile).where(key).values(filter='[["Name", "*Utrecht"]]'))
    change = many_profiles.Change(many_profiles.CONDITION, pair=("City", "Utrecht"))
    with read(engine) as conn:
        plan = many_profiles.make_plan(rows.read_profiles(conn, enabled_only=False), change, "standard")
        found = many_contacts.count_contacts(conn, plan, many_contacts.Look(SyncSettings(), "standard", 60.0))
        for row in plan.changed:
            before, after = (
                Wish(parse_filter(each.filter, field_profile="standard"), "", each.direction, each.left_scope)
                for each in (rows.entry_of(row.profile), row.after)
                if each
            )
            subject = Subject(row.profile.company or 0, row.profile.id, before)
            one = make_preview(conn, subject, after, settings_preview.Look(SyncSettings(), 0))
            figures = found.figures[row.profile.id]
            shown = (one.coming.total, one.deleted.total, one.released.total, bool(one.held))
            assert (figures.coming, figures.deleted, figures.released, figures.held) == shown, (
                row.profile.mailbox
            )
    assert [found.figures[world[name]].released for name in ("anna", "bram", "cees")] == [0, 1, 1]
