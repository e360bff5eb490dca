"""The setting ``categories`` in files: what they say of it, what they refuse, and that an export is its import."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from sqlalchemy import Engine

from sync_lib.errors import ConfigError
from sync_lib.fields import categories
from sync_lib.store.engine import read
from sync_lib.store.profiles import csv_file, file, groups
from sync_lib.store.profiles import rows as profiles
from sync_lib.store.profiles.history import read_changes
from sync_lib.store.profiles.importing import export_profiles, import_profiles

NOW = "2026-01-01T00:00:00.000Z"


def load(engine: Engine, field_profile: str = "extended", **document: Any) -> None:
    import_profiles(engine, yaml.safe_dump(document), now=NOW, field_profile=field_profile)


def row(mailbox: str, **values: Any) -> dict[str, Any]:
    return {"mailbox": f"{mailbox}@a.example", "company": "A", **values}


def test_a_file_gives_them_to_profiles_defaults_and_groups(engine):
    load(
        engine,
        defaults={"categories": ["Relatie"]},
        groups=[
            {"group": "Sales", "company": "A"},
            {"group": "Inkoop", "company": "A", "categories": "{company}"},
        ],
        profiles=[row("a"), row("b", categories=["Klant {company}", "{territory}"]), row("c", categories=[])],
    )
    with read(engine) as conn:
        found = [each.categories for each in profiles.read_profiles(conn)]
        assert found == [("Relatie",), ("Klant {company}", "{territory}"), ()]
        assert [each.entry.categories for each in groups.read_groups(conn)] == [("Relatie",), ("{company}",)]
        assert groups.read_defaults(conn) == {"categories": ("Relatie",)}
    exported = export_profiles(engine)
    assert "Klant {company}" in exported
    report = import_profiles(engine, exported, now=NOW, field_profile="extended")
    assert (len(report.unchanged), report.groups) == (3, (0, 0, 2))
    assert export_profiles(engine) == exported


def test_a_file_that_says_nothing_of_them_leaves_the_fixed_one(engine):
    load(engine, profiles=[row("a")])
    with read(engine) as conn:
        assert profiles.read_profile(conn, 1).categories == categories.DEFAULT
    assert "categories" not in export_profiles(engine)


def test_what_they_were_before_is_recorded(engine):
    load(engine, profiles=[row("a")])
    load(engine, profiles=[row("a", categories=["Relatie"])])
    with read(engine) as conn:
        [last, _], _ = read_changes(conn, 1, 10)
    assert [(each.column, each.before, each.after) for each in last.settings] == [
        ("categories", ("Business Central",), ("Relatie",))
    ]


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (["{salesperson}"], "needs the field 'Salesperson Code'"),
        (["Jansen, Piet"], "comma"),
        ("{bedrijf}", "not known in a category"),
        ({"a": "b"}, "single value"),
    ],
)
def test_what_cannot_be_a_category_is_refused_with_its_line(engine, wrong, said):
    with pytest.raises(ConfigError, match=rf"(?s)Profile 1 .*categories \(line \d+\): .*{said}"):
        load(engine, field_profile="standard", profiles=[row("a", categories=wrong)])
    with pytest.raises(ConfigError, match=rf"(?s)Defaults, categories \(line \d+\): .*{said}"):
        load(engine, field_profile="standard", defaults={"categories": wrong}, profiles=[])


def test_a_cell_holds_several_and_a_blank_one_says_nothing():
    text = "mailbox,categories\na@a.example,Relatie; Klant {company}\nb@a.example,\n"
    found = csv_file.parse(text, field_profile="standard")
    assert [each.values.get("categories") for each in found] == [("Relatie", "Klant {company}"), None]
    with pytest.raises(ConfigError, match=r"Line 2, column 'categories': \{territory\} needs"):
        csv_file.parse("mailbox,categories\na@a.example,{territory}\n", field_profile="standard")


def test_the_file_format_is_told_of_them():
    assert "categories:" in (file.__doc__ or "")
