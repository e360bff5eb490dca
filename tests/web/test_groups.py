"""The page of groups: what the last look at each came to, and the defaults of the file."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import Engine, insert, update

from sync_lib.store import tables as t
from sync_lib.store.profiles import groups as stored
from sync_lib.store.profiles.file import GroupEntry
from sync_lib.store.profiles.groups import Look, Member
from sync_lib.web import groups
from tests.web.hostile import HOSTILE, assert_plain_text
from tests.web.queries import counted
from tests.web.surroundings import VIEWER
from tests.web.world import NOON, add_profile

Make = Callable[..., TestClient]


def fill(engine: Engine, number: int = 2, name: str = "Verkoop") -> None:
    with engine.begin() as conn:
        entries = [
            GroupEntry(
                f"{name} {n}",
                "Molenzicht BV",
                filter=((("City", "Delft"),), (("Name", "A*"),)),
                leavers="end_keep",
            )
            for n in range(number)
        ]
        stored.write_groups(conn, entries, now=NOON)
        for group in stored.read_groups(conn):
            profile = add_profile(conn, f"{number}.{group.id}@a.example")
            stored.write_member(conn, Member(group.id, "u1", profile), now=NOON)
            stored.write_member(conn, Member(group.id, "u2", None), now=NOON)
            stored.write_member(conn, Member(group.id, "u3", profile, {}, NOON), now=NOON)
        stored.write_look(conn, group.id, Look(NOON, "many_leavers", "g", 41, 9))
        stored.write_defaults(
            conn, {"language": "en", "left_scope": "keep", "filter": ((("No.", "1*"),), (("No.", "2*"),))}
        )


def test_what_the_last_look_came_to(engine: Engine, visit: Make) -> None:
    fill(engine)
    html = visit(VIEWER).get("/groups").text
    assert html.count("<tr>") == 3
    for said in (
        "Verkoop 0",
        "Verkoop 1",
        "Molenzicht BV",
        '>City</bdi>: <bdi class="value">Delft<',
        '>Name</bdi>: <bdi class="value">A*<',
        '>No.</bdi>: <bdi class="value">2*<',
        ">41<",
        "not checked yet",
        "9 people wait.",
    ):
        assert said in html
    assert "Unusually many people left at once" in html
    assert "is ended by the next run, with the contacts kept" in html
    assert html.count('class="number">1<') == 4, "one profile and one who left, of each group"
    assert "Keep it in Outlook, and sync it no longer" in html
    assert "<dd><bdi" in html


def test_without_groups_the_page_says_so_and_the_overview_leads_to_it(visit: Make) -> None:
    assert "No file has named a group yet." in visit(VIEWER).get("/groups").text
    assert 'href="/contact_sync/groups"' in visit(VIEWER).get("/").text


def test_it_is_dutch_for_who_reads_dutch(engine: Engine, visit: Make) -> None:
    fill(engine)
    html = visit(VIEWER, "nl").get("/groups").text
    assert "Er vertrokken ongewoon veel mensen tegelijk" in html


@pytest.mark.parametrize("trouble", groups.TROUBLES)
def test_each_trouble_is_said_with_what_to_do(engine: Engine, visit: Make, trouble: str) -> None:
    fill(engine, 1)
    with engine.begin() as conn:
        conn.execute(update(t.profile_group).values(trouble=trouble, waiting=0))
    assert all(said in visit(VIEWER).get("/groups").text for said in groups.TROUBLES[trouble])


def test_a_name_is_text_whatever_it_holds(engine: Engine, visit: Make) -> None:
    fill(engine, 1, HOSTILE)
    with engine.begin() as conn:
        values = {"setting": "folder_name", "value": json.dumps(HOSTILE)}
        conn.execute(insert(t.profile_default).values(values))
    assert_plain_text(visit(VIEWER).get("/groups").text)


def test_the_number_of_queries_does_not_grow_with_groups(engine: Engine, visit: Make) -> None:
    fill(engine, 1)
    client = visit(VIEWER)
    client.get("/groups")
    with counted(engine) as few:
        client.get("/groups")
    fill(engine, 30)
    with counted(engine) as many:
        client.get("/groups")
    assert len(many) == len(few)
