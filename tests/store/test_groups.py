"""Defaults and groups in the file of profiles: read, stored, refused where they are wrong, and exported again."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from sync_lib.errors import ConfigError
from sync_lib.store.engine import open_engine, read, transaction
from sync_lib.store.migrate import alembic_config, downgrade, migrate
from sync_lib.store.profiles import file as profile_file
from sync_lib.store.profiles import groups
from sync_lib.store.profiles import rows as profiles
from sync_lib.store.profiles.file import GroupEntry, ProfileEntry, ProfileFile
from sync_lib.store.profiles.importing import export_profiles, import_profiles
from sync_lib.store.profiles.settings import remove_profile
from tests.store.test_profiles import entries, visible

NOW = "2026-03-02T09:00:00.000Z"

FILE = """
companies:
  - {name: Cronus, phone_region: BE}
defaults:
  company: Cronus
  folder: Relaties
  filter: {City: Delft}
  language: en
  policies: {left_scope: keep}
groups:
  - group: Verkoop
  - group: Directie
    company: Tweede
    folder: Business Central
    filter: [{City: Delft}, {Name: [A*, "<>Ab"], City: Den Haag}]
    leavers: end_keep
    policies: {deleted_in_outlook: stay_away}
profiles:
  - mailbox: anna@a.example
  - mailbox: bram@a.example
    folder: Business Central
    filter: {}
    language: nl
    policies: {left_scope: delete, blank_in_business_central: overwrite}
  - {mailbox: cor@a.example, default_folder: true}
"""


def load(engine: Any, content: str) -> Any:
    return import_profiles(engine, content, now=NOW, field_profile="standard")


def stored(engine: Any) -> dict[str, ProfileEntry]:
    with read(engine) as conn:
        found = profiles.read_profiles(conn, enabled_only=False)
    return {each.mailbox[:4]: profiles.entry_of(each) for each in found}


def test_rows_have_the_defaults_unless_they_say_otherwise(engine):
    report = load(engine, FILE)
    assert str(report) == (
        "Profiles: 3 added, 0 changed, 0 as they were. Groups: 2 added, 0 changed, 0 as they were."
    )
    anna, bram, cor = stored(engine).values()
    usual = {"language": "en", "left_scope": "keep", "filter": ((("City", "Delft"),),)}
    assert anna == ProfileEntry("anna@a.example", "Cronus", folder_name="Relaties", **usual)
    assert bram == ProfileEntry("bram@a.example", "Cronus", blank_in_bc="overwrite")
    assert cor == replace(anna, mailbox="cor@a.example", default_folder=True, folder_name="Contacts")
    with read(engine) as conn:
        verkoop, directie = groups.stored_entries(conn)
    assert verkoop == GroupEntry("Verkoop", "Cronus", folder_name="Relaties", **usual)
    assert directie == GroupEntry(
        "Directie",
        "Tweede",
        filter=((("City", "Delft"),), (("Name", "A*"), ("Name", "<>Ab"), ("City", "Den Haag"))),
        language="en",
        left_scope="keep",
        deleted_in_outlook="stay_away",
        leavers="end_keep",
    )


def test_they_are_exported_again_and_importing_that_changes_nothing(engine):
    load(engine, FILE)
    exported = export_profiles(engine)
    assert profile_file.parse(exported, field_profile="standard") == replace(
        profile_file.parse(FILE, field_profile="standard"), regions={"Cronus": "BE"}
    )
    assert "0 added, 0 changed, 3 as they were. Groups: 0 added, 0 changed, 2" in str(load(engine, exported))
    assert export_profiles(engine) == exported


def test_a_file_without_them_leaves_them_as_they_are(engine):
    load(engine, FILE)
    report = load(engine, "profiles:\n  - {mailbox: dirk@a.example, company: Cronus}\n")
    assert str(report) == "Profiles: 1 added, 0 changed, 0 as they were."
    assert stored(engine)["dirk"] == ProfileEntry("dirk@a.example", "Cronus"), "a file means what it says"
    exported = export_profiles(engine)
    assert exported.count("group:") == 2
    assert "left_scope: keep" in exported
    load(engine, "defaults: {}\nprofiles: []\n")
    assert "defaults" not in export_profiles(engine)
    assert stored(engine)["anna"].language == "en"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("defaults: [x]\nprofiles: []", "Defaults (line 1): this must be a list of"),
        ("defaults:\n  mailbox: a@a.example\nprofiles: []", "Defaults (line 2): 'mailbox' is not known here"),
        (
            "defaults:\n  language: dutch\nprofiles: []",
            "Defaults, language (line 2): 'dutch' is not a language",
        ),
        ("defaults:\n  filter: {City: '('}\nprofiles: []", "Defaults, filter (line 2)"),
        (
            "defaults:\n  filter: [{City: Delft}, {City: '('}]\nprofiles: []",
            "Defaults, filter, group 2 (line 2)",
        ),
        (
            "groups:\n  - {group: V, company: A, filter: [{City: Delft}, {}]}\nprofiles: []",
            "Group 1 (V), filter, group 2 (line 2): there is no condition here",
        ),
        ("defaults:\n  policies: {left_scope: x}\nprofiles: []", "Defaults, policies, left_scope (line 2)"),
        (
            "defaults:\n  folder: X\n  default_folder: yes\nprofiles: []",
            "Defaults, folder: a profile uses either",
        ),
        (
            "groups:\n  - company: A\nprofiles: []",
            "Group 1 (without a name), group (line 2): the group is missing",
        ),
        ("groups:\n  - group: V\nprofiles: []", "Group 1 (V), company (line 2): the company is missing"),
        (
            "groups:\n  - {group: V, company: A, leavers: delete}\nprofiles: []",
            "Group 1 (V), leavers (line 2): 'delete' is not one of these: switch_off, end_keep, end_remove",
        ),
        (
            "groups:\n  - {group: V, company: A, mailbox: x}\nprofiles: []",
            "Group 1 (line 2): 'mailbox' is not known",
        ),
        (
            "groups:\n  - {group: V, company: A}\n  - {group: v, company: a}\nprofiles: []",
            "Group 2 (v): the group and its company are in the file twice",
        ),
        ("groups: x\nprofiles: []", "groups (line 1): this must be a list"),
    ],
)
def test_what_is_wrong_is_named_by_row_and_field_and_changes_nothing(engine, content, message):
    with pytest.raises(ConfigError) as caught:
        load(engine, content)
    assert message in str(caught.value)
    with read(engine) as conn:
        assert (groups.read_groups(conn), groups.read_defaults(conn)) == ([], None)


def test_a_group_that_is_changed_stays_the_same_group(engine):
    load(engine, FILE)
    with transaction(engine) as conn:
        first = groups.read_groups(conn)[0]
        groups.write_look(conn, first.id, groups.Look(NOW, "closed", "g-1", 7))
    again = FILE.replace("- group: Verkoop", "- group: verkoop\n    direction: to_outlook")
    assert "0 added, 1 changed, 1 as they were" in str(load(engine, again))
    with read(engine) as conn:
        found = groups.read_groups(conn)[0]
    assert (found.id, found.entry.direction, found.members) == (first.id, "to_outlook", 7)
    assert found.group_id == "", "another spelling is looked up again"
    with transaction(engine) as conn:
        assert groups.remove_group(conn, first.id) == "verkoop -> Cronus"
        with pytest.raises(ConfigError, match="no group"):
            groups.remove_group(conn, first.id)


def test_who_had_a_removed_profile_is_remembered(engine):
    load(engine, FILE)
    with transaction(engine) as conn:
        group = groups.read_groups(conn)[0].id
        profile = profiles.read_profiles(conn)[0].id
        given = {"enabled": True, "filter": ((("City", "Delft"),), (("Name", "A*"),))}
        groups.write_member(conn, groups.Member(group, "u-1", profile, given), now=NOW)
        groups.write_member(conn, groups.Member(group, "u-1", profile, given, NOW), now=NOW)
        assert groups.read_members(conn) == [groups.Member(group, "u-1", profile, given, NOW)]
        remove_profile(conn, profile)
        assert [each.profile for each in groups.read_members(conn)] == [None]
        groups.forget_member(conn, groups.read_members(conn)[0])
        assert groups.read_members(conn) == []


def test_members_are_in_the_order_in_which_they_came_within_a_moment_too(engine):
    load(engine, FILE)
    with transaction(engine) as conn:
        group = groups.read_groups(conn)[0].id
        made = [each.id for each in profiles.read_profiles(conn)]
        for number, profile in enumerate(made):
            groups.write_member(conn, groups.Member(group, f"u-{9 - number}", profile, {}), now=NOW)
        assert [each.profile for each in groups.read_members(conn)] == made
        remove_profile(conn, made[0])
        assert [each.profile for each in groups.read_members(conn)] == [*made[1:], None]


group_entries = st.builds(
    lambda entry, name, leavers: GroupEntry(
        name,
        *(
            getattr(entry, each)
            for each in ("company_name", "folder_name", "filter", "direction", "language")
        ),
        *(getattr(entry, each) for each in profile_file.POLICY_NAMES.values()),
        leavers=leavers,
    ),
    entries,
    visible,
    st.sampled_from(["switch_off", "end_keep", "end_remove"]),
)


@st.composite
def default_values(draw: Any) -> dict[str, Any] | None:
    """Any of the settings that a row may have, as one row has them; or nothing said."""
    entry = draw(entries)
    columns = (*profile_file.NAMES.values(), *profile_file.POLICY_NAMES.values())
    chosen = draw(st.lists(st.sampled_from(columns), unique=True)) if draw(st.booleans()) else None
    if chosen is None:
        return None
    values = {
        column: getattr(entry, column) for column in columns if column in chosen and column != "mailbox"
    }
    if draw(st.booleans()) and "folder_name" not in values:
        values["default_folder"] = draw(st.booleans())
    return values


def _own(entry: ProfileEntry, draw_own: bool) -> ProfileEntry:
    return replace(entry, default_folder=True, folder_name="Contacts") if draw_own else entry


@settings(max_examples=80)
@given(
    st.lists(st.builds(_own, entries, st.booleans()), max_size=3, unique_by=lambda entry: entry.identity),
    st.lists(group_entries, max_size=3, unique_by=lambda entry: entry.identity),
    default_values(),
)
def test_what_is_exported_reads_back_as_it_was(chosen, chosen_groups, defaults):
    content = ProfileFile(tuple(chosen), {}, (), tuple(chosen_groups), defaults)
    assert profile_file.parse(profile_file.dump(content), field_profile="standard") == content


def test_an_upgrade_from_the_schema_before_keeps_profiles_and_there_is_a_way_back(empty_url):
    from alembic import command

    engine = open_engine(empty_url)
    with transaction(engine) as conn:
        command.upgrade(alembic_config(conn), "0017")
        conn.execute(
            text(
                "INSERT INTO sync_profile (id, mailbox, company_name, folder_id, graph_user_id, ending, filter,"
                " created_at, updated_at) VALUES (71, 'anna@a.example', 'Cronus', 'f', 'u', 'keep',"
                ' \'[[["City", "Delft"]], [["Name", "A*"]]]\', \'2026\', \'2026\')'
            )
        )
    migrate(engine)
    assert stored(engine)["anna"].filter == ((("City", "Delft"),), (("Name", "A*"),))
    load(
        engine,
        FILE.replace(
            "profiles:\n", "profiles:\n  - {mailbox: anna@a.example, folder: Business Central}\n", 1
        ).replace("  - mailbox: anna@a.example\n", ""),
    )
    with transaction(engine) as conn:
        group = groups.read_groups(conn)[0].id
        groups.write_member(conn, groups.Member(group, "u", 71, {"enabled": True}), now=NOW)
        kept = conn.execute(text("SELECT folder_id, language, ending FROM sync_profile WHERE id = 71")).one()
    assert tuple(kept) == ("f", "en", "keep")
    downgrade(engine, "0017")
    with read(engine) as conn:
        assert conn.execute(text("SELECT count(*) FROM sync_profile")).scalar_one() == 3
    migrate(engine)
    with read(engine) as conn:
        assert groups.read_groups(conn) == []
    engine.dispose()
