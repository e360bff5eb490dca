"""A list of colleagues as CSV: what it says arrives, and what is wrong is named with line and column."""

from __future__ import annotations

import contextlib
import csv
import io
from dataclasses import fields, replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sync_lib.errors import ConfigError
from sync_lib.store.profiles import csv_file
from sync_lib.store.profiles.file import ProfileEntry
from tests.store.test_profiles import entries


def parse(text: str, field_profile: str = "standard") -> list[csv_file.CsvRow]:
    return csv_file.parse(text, field_profile=field_profile)


def test_each_column_is_a_key_of_a_profile():
    text = (
        "Mailbox,salesperson_code,folder,language,enabled,deleted_in_outlook,filter\n"
        'anna@a.example,ab,Klanten,en,no,stay_away,"City=Delft\nName=A*"\n'
        "\n"
        "bram@a.example,,,,,,\n"
    )
    anna, bram = parse(text)
    assert anna.values == {
        "mailbox": "anna@a.example",
        "salesperson_code": "AB",
        "folder_name": "Klanten",
        "language": "en",
        "enabled": False,
        "deleted_in_outlook": "stay_away",
        "filter": ((("City", "Delft"), ("Name", "A*")),),
    }
    assert bram == csv_file.CsvRow(5, {"mailbox": "bram@a.example"})


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_a_spreadsheet_may_write_it_in_its_own_way(delimiter):
    text = f"\ufeffmailbox{delimiter}language\r\nanna@a.example{delimiter}nl\r\n"
    assert [row.values["language"] for row in parse(text)] == ["nl"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "The file is empty"),
        ("language\nnl\n", "Line 1: the column 'mailbox' is missing"),
        ("mailbox,colour\na@a.example,red\n", "Line 1, column 'colour': there is no such column"),
        ("mailbox,salesperson,salesperson_code\n", "'salesperson_code': this column is here twice"),
        ("mailbox\nanna\n", "Line 2, column 'mailbox': 'anna' is not a user principal name"),
        (
            "mailbox,language\na@a.example,zz\n",
            "Line 2, column 'language': there is no language 'zz'; there is nl",
        ),
        ("mailbox,language\n,nl\n", "Line 2, column 'mailbox': the mailbox is missing"),
        ("mailbox\na@a.example,b\n", "Line 2: it has 2 cells, and the head names 1"),
        (
            "mailbox,enabled\na@a.example,perhaps\n",
            "Line 2, column 'enabled': 'perhaps' is not true or false",
        ),
        ("mailbox,filter\na@a.example,City\n", "Line 2, column 'filter': 'City' is not of the form"),
        ("mailbox,filter\na@a.example,Salesperson Code=X\n", "Line 2, column 'filter': The filter on"),
        ('mailbox,language\n"a@a.example\n,nl\n', "The file is not CSV"),
        ("mailbox,folder,default_folder\na@a.example,X,yes\n", "Line 2, column 'folder': leave out"),
    ],
)
def test_what_is_wrong_is_named_with_its_place(text, message):
    with pytest.raises(ConfigError) as caught:
        parse(text)
    assert message in str(caught.value)


def test_all_that_is_wrong_is_named_at_once_where_it_begins():
    text = 'mailbox,filter,language\na@a.example,"City=Delft\nName=A*",dutch\n"b@b","x",nl\n'
    with pytest.raises(ConfigError) as caught:
        parse(text)
    lines = str(caught.value).splitlines()[1:]
    assert [line.split(":")[0] for line in lines] == [
        "Line 2, column 'language'",
        "Line 4, column 'mailbox'",
        "Line 4, column 'filter'",
    ]


def _cell(value: Any) -> str:
    if isinstance(value, tuple) and all(isinstance(each, str) for each in value):
        return "; ".join(value)
    if isinstance(value, tuple):
        return "\n".join(f"{name}={expression}" for group in value for name, expression in group)
    return {True: "yes", False: "no"}.get(value, value) if isinstance(value, bool) else value


def _with_one_group(entry: ProfileEntry) -> ProfileEntry:
    """A cell cannot say that there are several."""
    return replace(entry, filter=entry.filter[:1])


@settings(max_examples=60)
@given(st.lists(entries.map(_with_one_group), min_size=1, max_size=4), st.sampled_from(",;\t"))
def test_what_is_written_reads_back_as_it_was(chosen, delimiter):
    names = {column: name for name, column in csv_file.COLUMNS.items()}
    columns = [each.name for each in fields(ProfileEntry) if each.name != "default_folder"]
    out = io.StringIO()
    writer = csv.writer(out, delimiter=delimiter)
    writer.writerow([names[column] for column in columns])
    writer.writerows([_cell(getattr(entry, column)) for column in columns] for entry in chosen)
    read = [ProfileEntry(**row.values) for row in parse(out.getvalue())]
    assert read == chosen


@settings(max_examples=200)
@given(
    st.text(alphabet=st.sampled_from('mailbox,;\t\n\r"@.= \x00a\ufeff'), max_size=80) | st.text(max_size=80)
)
def test_nothing_but_a_clear_error_comes_of_nonsense(text):
    with contextlib.suppress(ConfigError):
        assert all("@" in row.mailbox for row in parse("mailbox,filter\n" + text))


def test_a_line_with_or_begins_another_group():
    (row,) = parse('mailbox,filter\na@a.example,"City=Delft\nName=A*\nOR\nCity=Zeist"\n')
    assert row.values["filter"] == ((("City", "Delft"), ("Name", "A*")), (("City", "Zeist"),))
    for cell in ("or\nCity=Zeist", "City=Zeist\nor", "City=Zeist\nor\nName="):
        with pytest.raises(ConfigError, match="Line 2, column 'filter': a group without a condition"):
            parse(f'mailbox,filter\na@a.example,"{cell}"\n')


@pytest.mark.parametrize(
    ("cell", "folder"),
    [
        ("'=1+1", "=1+1"),
        ("'@x", "@x"),
        ("' -x", "-x"),
        ("'quoted'", "'quoted'"),
        ("'", "'"),
        ("a'=b", "a'=b"),
    ],
)
def test_the_quote_that_keeps_a_spreadsheet_from_calculating_is_no_part_of_it(cell, folder):
    (row,) = parse(f"mailbox,folder\na@a.example,{cell}\n")
    assert row.values["folder_name"] == folder
