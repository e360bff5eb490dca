"""Filters of several groups in the file, in the database, in the history; and what was stored before there were any."""

from __future__ import annotations

import json

import pytest
import yaml
from sqlalchemy import Engine, select, text, update

from sync_lib.errors import ConfigError
from sync_lib.fields.filters import Groups
from sync_lib.store import tables as t
from sync_lib.store.engine import open_engine, read, transaction
from sync_lib.store.migrate import alembic_config, downgrade, migrate
from sync_lib.store.profiles import rows as profiles
from sync_lib.store.profiles.history import ProfileChange, SettingChange, read_changes
from sync_lib.store.profiles.importing import ImportReport, export_profiles, import_profiles
from tests.store.conftest import NOW

LATER = "2026-03-02T10:00:00.000Z"
UTRECHT = (("City", "Utrecht"),)
HAARLEM = (("City", "Haarlem"), ("Company Name", "<>''"))
GROUPS = [{"City": "Utrecht"}, {"City": "Haarlem", "Company Name": "<>''"}]


def file_of(filter_: object, **fields: object) -> str:
    row = {"mailbox": "anna@example.com", "company": "Cronus", "filter": filter_, **fields}
    return yaml.safe_dump({"profiles": [row]}, sort_keys=False)


def load(engine: Engine, content: str, now: str = NOW) -> ImportReport:
    return import_profiles(engine, content, now=now, field_profile="standard")


def stored(engine: Engine) -> Groups:
    with read(engine) as conn:
        [profile] = profiles.read_profiles(conn, enabled_only=False)
    return profile.filter


def written(engine: Engine) -> str:
    with read(engine) as conn:
        return str(conn.scalar(select(t.sync_profile.c.filter)))


def history(engine: Engine) -> list[ProfileChange]:
    with read(engine) as conn:
        return read_changes(conn, int(conn.scalar(select(t.sync_profile.c.id)) or 0), 10)[0]


def test_groups_of_a_file_are_stored_and_exported_as_they_are(engine: Engine) -> None:
    load(
        engine,
        """
profiles:
  - mailbox: anna@example.com
    company: Cronus
    filter: [{City: Utrecht}, {City: Haarlem, "Company Name": "<>''"}]
""",
    )
    assert stored(engine) == (UTRECHT, HAARLEM)
    assert json.loads(written(engine)) == [[list(pair) for pair in group] for group in (UTRECHT, HAARLEM)]
    exported = export_profiles(engine)
    assert yaml.safe_load(exported)["profiles"][0]["filter"] == GROUPS
    for content in (exported, file_of(GROUPS)):
        assert len(load(engine, content, LATER).unchanged) == 1
    assert len(history(engine)) == 1


def test_one_group_means_the_same_with_and_without_its_bracket(engine: Engine) -> None:
    load(engine, file_of({"City": ["Utrecht", "<>x"], "Name": "A*"}))
    before = written(engine)
    assert before == '[["City", "Utrecht"], ["City", "<>x"], ["Name", "A*"]]'
    assert len(load(engine, file_of([{"City": ["Utrecht", "<>x"], "Name": "A*"}]), LATER).unchanged) == 1
    assert written(engine) == before
    assert isinstance(yaml.safe_load(export_profiles(engine))["profiles"][0]["filter"], dict)


def test_the_history_says_from_which_groups_to_which(engine: Engine) -> None:
    for number, chosen in enumerate(({"City": "Utrecht"}, GROUPS, GROUPS[:1], {})):
        load(engine, file_of(chosen), f"2026-03-02T1{number}:00:00.000Z")
    assert [change.settings for change in history(engine)] == [
        [SettingChange("filter", (UTRECHT,), ())],
        [SettingChange("filter", (UTRECHT, HAARLEM), (UTRECHT,))],
        [SettingChange("filter", (UTRECHT,), (UTRECHT, HAARLEM))],
        [SettingChange("filter", (), (UTRECHT,))],
    ]


def test_all_that_is_wrong_is_named_with_its_group_and_line(engine: Engine) -> None:
    with pytest.raises(ConfigError) as caught:
        load(
            engine,
            """
profiles:
  - mailbox: anna@example.com
    company: Cronus
    filter:
      - City: Utrecht
      - City: "A|"
      - Utrecht
      - {}
      - Name: ""
      - Shoe Size: 44
""",
        )
    lines = str(caught.value).splitlines()[1:]
    where = "Profile 1 (anna@example.com), filter, group"
    not_understood = (
        "The filter on 'City' is not understood at position 3 of 'A|': expected a value ('' for blank)."
    )
    no_condition = "there is no condition here. For all persons leave 'filter' out."
    assert lines[:4] == [
        f"{where} 2 (line 7): {not_understood}",
        f"{where} 3 (line 8): this must be a list of 'name: value' lines.",
        f"{where} 4 (line 9): {no_condition}",
        f"{where} 5 (line 10): {no_condition}",
    ]
    assert lines[4].startswith(f"{where} 6 (line 11): The filter on 'Shoe Size' is not understood")
    assert len(lines) == 5


def test_a_list_without_a_group_is_refused(engine: Engine) -> None:
    with pytest.raises(ConfigError, match=r"filter \(line .*no condition here"):
        load(engine, file_of([]))


def test_the_length_counts_over_all_groups(engine: Engine) -> None:
    long = {"Name": "a" * 990}
    load(engine, file_of([long, long]))
    with pytest.raises(ConfigError, match=r"group 3 \(line .*position 9 .* at most 2000 characters"):
        load(engine, file_of([long, long, {"Name": "a" * 9}]))


# -- what was stored before -------------------------------------------------------------------------------------------


def test_what_the_schema_before_holds_is_one_group_and_stays_so(empty_url: str) -> None:
    from alembic import command

    engine = open_engine(empty_url)
    before = '[["City", "Utrecht"], ["Company Name", "<>\'\'"]]'
    changed = '{"filter": [[], [["City", "Utrecht"]]], "language": ["nl", "en"]}'
    names = (
        "INSERT INTO sync_profile (id, mailbox, company_name, filter, created_at, updated_at, folder_asked)"
    )
    with transaction(engine) as conn:
        command.upgrade(alembic_config(conn), "0016")
        values = "VALUES (1, 'anna@example.com', 'Cronus', :filter, :now, :now, 'Business Central')"
        conn.execute(text(f"{names} {values}"), {"filter": before, "now": NOW})
        conn.execute(
            text(
                "INSERT INTO profile_change (profile, at, who, settings) VALUES (1, :now, 'eva', :settings)"
            ),
            {"now": NOW, "settings": changed},
        )
    migrate(engine)
    one = (("City", "Utrecht"), ("Company Name", "<>''"))
    assert stored(engine) == (one,)
    assert [each.settings for each in history(engine)] == [
        [SettingChange("filter", (), (UTRECHT,)), SettingChange("language", "nl", "en")]
    ]
    # Neither the file that was exported then nor a new export is a change.
    for content in (file_of(dict(one)), export_profiles(engine)):
        assert len(load(engine, content, LATER).unchanged) == 1
    assert written(engine) == before
    with read(engine) as conn:
        assert conn.scalar(select(t.sync_profile.c.updated_at)) == NOW
    engine.dispose()


def test_the_way_back_leaves_what_the_version_before_can_read(engine: Engine) -> None:
    load(engine, file_of(GROUPS))
    rows = [("bram", {"City": "Delft"}), ("cleo", {})]
    for name, chosen in rows:
        load(engine, file_of(chosen, mailbox=f"{name}@example.com"))
    load(engine, file_of(GROUPS[:1], language="en"), LATER)
    load(engine, file_of(GROUPS, language="en"), LATER)
    downgrade(engine, "0016")
    c, changes = t.sync_profile.c, t.profile_change.c
    with read(engine) as conn:
        found = conn.execute(select(c.mailbox, c.filter, c.enabled).order_by(c.id)).all()
        settings = [json.loads(each) for each in conn.scalars(select(changes.settings).order_by(changes.id))]
    # Narrower than it was, so it is switched off: no run then deletes who has left.
    assert [tuple(row) for row in found] == [
        ("anna@example.com", '[["City", "Utrecht"]]', False),
        ("bram@example.com", '[["City", "Delft"]]', True),
        ("cleo@example.com", "[]", True),
    ]
    assert settings == [{}, {"filter": [[], [["City", "Delft"]]]}, {}, {"language": ["nl", "en"]}, {}]
    migrate(engine)
    with transaction(engine) as conn:
        conn.execute(update(t.sync_profile).where(c.mailbox == "anna@example.com").values(enabled=True))
        assert [each.filter for each in profiles.read_profiles(conn)] == [
            (UTRECHT,),
            ((("City", "Delft"),),),
            (),
        ]
