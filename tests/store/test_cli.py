from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import unicodedata

import pytest

from sync_lib import cli
from sync_lib.errors import ConfigError
from sync_lib.model import Company
from sync_lib.store import companies, company_names
from sync_lib.store.engine import open_engine, read, transaction
from sync_lib.store.migrate import OLDEST, downgrade, head
from sync_lib.store.profiles import rows as profiles

FILE = """
profiles:
  - {mailbox: anna@example.com, company: Cronus, folder: Klanten}
  - {mailbox: bram@example.com, company: Cronus, enabled: false}
"""


@pytest.fixture
def run(empty_url, capsys):
    def call(*arguments, environment=None, code=0):
        given = {"CONTACT_SYNC_STAGING_URL": empty_url} if environment is None else environment
        assert cli.main(arguments, given) == code
        return capsys.readouterr()

    return call


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "profiles.yaml"
    path.write_text(FILE)
    return path


def test_profiles_go_in_and_out(run, file, tmp_path):
    assert run("profiles", "import", str(file)).out == "Profiles: 2 added, 0 changed, 0 as they were.\n"
    exported = run("profiles", "export").out
    assert run("profiles", "export", str(tmp_path / "out.yaml")).out == f"Wrote {tmp_path / 'out.yaml'}.\n"
    assert (tmp_path / "out.yaml").read_text() == exported
    again = run("profiles", "import", str(tmp_path / "out.yaml")).out
    assert again == "Profiles: 0 added, 0 changed, 2 as they were.\n"


def test_standard_input_is_a_file_too(run, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.StringIO(FILE))
    assert "2 added" in run("profiles", "import", "-").out


def test_the_list_shows_every_profile(run, file):
    run("profiles", "import", str(file))
    assert run("profiles", "list").out.splitlines() == [
        "id  mailbox           company  folder            direction  categories        state",
        "1   anna@example.com  Cronus   Klanten           both       Business Central  new",
        "2   bram@example.com  Cronus   Business Central  both       Business Central  disabled",
    ]


def test_a_folder_gets_another_name(run, file):
    run("profiles", "import", str(file))
    assert run("profiles", "rename", "1", "Relaties").out.startswith("Renamed. The next sync")
    assert "Relaties" in run("profiles", "list").out
    output = run("profiles", "import", str(file)).out
    assert "the folder 'Relaties' becomes 'Klanten'." in output, "P4: the file still asks for the old name"
    assert "1 changed" in output
    beside = file.with_name("beside.yaml")
    beside.write_text(
        run("profiles", "export").out + "- {mailbox: anna@example.com, company: Cronus, folder: Twee}\n"
    )
    assert "1 added" in run("profiles", "import", str(beside)).out
    taken = run("profiles", "rename", "1", "twee", code=1).err
    assert "anna@example.com: another profile has this mailbox, company and folder" in taken
    assert "needs a name" in run("profiles", "rename", "1", " ", code=1).err
    assert "There is no profile 9" in run("profiles", "rename", "9", "X", code=1).err


def test_a_command_changes_no_schema_but_the_one_for_it(run, empty_url):
    """O10: workers of the version before may still be at work."""
    run("db", "migrate")
    engine = open_engine(empty_url)
    downgrade(engine, OLDEST)
    if head() != OLDEST:
        assert "contact-sync db migrate" in run("profiles", "list", code=1).err
    assert f"schema {head()}" in run("db", "migrate").out
    assert run("profiles", "list").out
    assert f"schema {OLDEST}" in run("db", "migrate", "--to", OLDEST).out
    assert "There is no way" in run("db", "migrate", "--to", "0001", code=1).err
    engine.dispose()


def test_db_migrate_makes_the_schema(run, empty_url):
    assert f"schema {head()}" in run("db", "migrate").out
    engine = open_engine(empty_url)
    with read(engine) as conn:
        assert profiles.read_profiles(conn) == []
    engine.dispose()


def test_what_is_wrong_is_on_standard_error(run, tmp_path):
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text("profiles: [{mailbox: anna}]")
    answer = run("profiles", "import", str(wrong), code=1)
    assert answer.out == ""
    assert answer.err.startswith("contact-sync: Nothing was changed.\nProfile 1 (anna)")
    assert "No such file" in run("profiles", "import", str(tmp_path / "none.yaml"), code=1).err
    assert "Which staging database?" in run("profiles", "list", environment={}, code=1).err
    wrong.write_bytes(b"\xff\xfe\x00")
    assert "contact-sync: " in run("profiles", "import", str(wrong), code=1).err


def test_the_option_goes_before_the_environment(run, empty_url):
    answer = run(
        "--database", empty_url, "profiles", "list", environment={"CONTACT_SYNC_STAGING_URL": "nonsense"}
    )
    assert answer.out.startswith("id")


def test_the_field_profile_is_that_of_the_connection(run, tmp_path, empty_url):
    path = tmp_path / "extended.yaml"
    path.write_text('profiles: [{mailbox: a@b.nl, company: C, filter: {Salesperson Code: "%me"}}]')
    assert "needs 'extended'" in run("profiles", "import", str(path), code=1).err
    connection = json.dumps({"conn_type": "business_central", "extra": {"field_profile": "extended"}})
    environment = {
        "CONTACT_SYNC_STAGING_URL": empty_url,
        "AIRFLOW_CONN_BUSINESS_CENTRAL_DEFAULT": connection,
    }
    assert "1 added" in run("profiles", "import", str(path), environment=environment).out
    again = run("profiles", "import", str(path), "--field-profile", "extended").out
    assert "1 as they were" in again
    environment["AIRFLOW_CONN_BUSINESS_CENTRAL_DEFAULT"] = (
        "business-central://id:secret@host/?field_profile=extended"
    )
    assert "1 as they were" in run("profiles", "import", str(path), environment=environment).out


ERASE = ["contacts", "erase", "--company", "Cronus"]


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["profiles"],
        ["db", "drop"],
        ["profiles", "import"],
        [*ERASE, "--email", "jan@example.com"],
        [*ERASE, "--email", "jan@example.com", "--yes", "--dry-run"],
        [*ERASE, "--email", "jan@example.com", "--bc-id", "1", "--yes"],
        [*ERASE, "--yes"],
        ["contacts", "erase", "--email", "jan@example.com", "--yes"],
    ],
)
def test_a_command_that_is_none_explains_itself(arguments, capsys):
    with pytest.raises(SystemExit) as caught:
        cli.main(arguments, {})
    assert caught.value.code == 2
    output = capsys.readouterr().err
    assert "usage: contact-sync" in output
    assert "jan@" not in output


JSON = {"conn_type": "contact_sync_staging", "host": "db", "login": "u", "password": "p@/:%", "schema": "s"}


@pytest.mark.parametrize(
    ("connection", "url"),
    [
        ("postgres://u:p%40%2F@db:5433/s", "postgresql://u:p%40%2F@db:5433/s"),
        ("postgresql+psycopg://u:p@db/s?sslmode=require", "postgresql://u:p@db/s?sslmode=require"),
        ("postgresql://u@db/s?__extra__=%7B%22sslmode%22%3A%22require%22%7D", "postgresql://u@db/s?sslmode=require"),
        ("sqlite:////var/lib/x.db", "sqlite:////var/lib/x.db"),
        ("contact-sync-staging://?sqlite_path=%2Fvar%2Fx.db", "sqlite:////var/x.db"),
        (json.dumps(JSON), "postgresql://u:p%40%2F%3A%25@db/s"),
        (json.dumps(JSON | {"port": 5433, "extra": {"sslmode": "require"}}), "postgresql://u:p%40%2F%3A%25@db:5433/s?sslmode=require"),
        (json.dumps({"conn_type": "sqlite", "schema": "/x.db"}), "sqlite:////x.db"),
        (json.dumps({"conn_type": "contact_sync_staging", "extra": '{"sqlite_path": "/x.db"}'}), "sqlite:////x.db"),
    ],
)  # fmt: skip
def test_both_forms_of_airflows_variable_are_read(connection, url):
    assert cli.staging_url({"AIRFLOW_CONN_CONTACT_SYNC_STAGING": connection}) == url


@pytest.mark.parametrize(
    "connection",
    [
        "nonsense",
        "{broken",
        '{"extra": "{hunter2"}',
        "mysql://u:hunter2@h/x",
        "postgres://u:hunter2@h:port/x",
    ],
)
def test_a_wrong_connection_is_refused_without_its_password(connection):
    with pytest.raises(ConfigError) as caught:
        cli.staging_url({"AIRFLOW_CONN_CONTACT_SYNC_STAGING": connection})
    assert "AIRFLOW_CONN_CONTACT_SYNC_STAGING" in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_it_runs_as_a_program(new_database):
    url = new_database("sqlite", empty=True)
    done = subprocess.run(
        [sys.executable, "-m", "sync_lib.cli", "--database", url, "db", "migrate"],
        check=True,
        capture_output=True,
        text=True,
    )
    assert done.stdout == f"The staging database has schema {head()}.\n"


def test_a_profile_that_has_never_synced_is_corrected_and_removed(run, file):
    """P3: from a terminal."""
    run("profiles", "import", str(file))
    assert "Give --mailbox or --company" in run("profiles", "correct", "1", code=1).err
    assert "not a user principal name" in run("profiles", "correct", "1", "--mailbox", "anne", code=1).err
    assert run("profiles", "correct", "1", "--mailbox", "anne@example.com").out.startswith("Corrected.")
    assert "anne@example.com" in run("profiles", "list").out
    assert "no other account is known" in run("profiles", "same-colleague", "1", code=1).err
    assert "no second folder" in run("profiles", "second-folder", "1", "--leave", code=1).err
    assert run("profiles", "remove", "1").out.startswith("Removed.")
    assert "anne@example.com" not in run("profiles", "list").out


def test_a_move_of_a_company_is_accepted(run, empty_url):
    """I1: only one that a run has seen."""
    run("db", "migrate")
    engine = open_engine(empty_url)
    with transaction(engine) as conn:
        key = companies.write_company(conn, "t", "Production", Company("c1", "Cronus"))
    assert "no move to accept" in run("companies", "accept-move", "Cronus", "Copy", code=1).err
    with transaction(engine) as conn:
        companies.write_offer(conn, companies.read_company(conn, key), "t", "Copy")
    engine.dispose()
    assert "Copy of t" in run("companies", "list").out
    assert run("companies", "accept-move", "cronus", "copy").out.startswith("Accepted: Cronus")
    assert "Production" not in run("companies", "list").out


def test_a_company_that_business_central_does_not_list_is_warned_of(run, file, empty_url):
    """P3: where somebody has asked the Connection before; the rows are stored nonetheless."""
    run("db", "migrate")
    engine = open_engine(empty_url)
    with transaction(engine) as conn:
        company_names.write_listed(
            conn, [Company("c1", "Cronus BV"), Company("c2", "Contoso")], now="2026-03-02T09:00:00.000Z"
        )
    engine.dispose()
    warned = "anna@example.com: Business Central lists no company 'Cronus'. It lists: Cronus BV, Contoso."
    out = run("profiles", "import", str(file)).out
    assert out.startswith("Profiles: 2 added")
    assert warned in out
    assert "lists no company" in run("profiles", "correct", "1", "--mailbox", "anne@example.com").out
    assert "lists no company" not in run("profiles", "correct", "1", "--company", "c2").out


@pytest.mark.parametrize(
    "command",
    [
        "profiles remove",
        "profiles end --keep",
        "holds ask-again",
        "groups remove",
        "contacts sync-now --bc-id x",
    ],
)
def test_a_number_that_no_row_can_have_is_none(run, command, capsys):
    area, what, *options = command.split()
    with pytest.raises(SystemExit) as ended:
        run(area, what, "99999999999999999999", *options)
    assert ended.value.code == 2
    assert "99999999999999999999" in capsys.readouterr().err


def test_a_file_in_another_encoding_is_named(run, tmp_path):
    path = tmp_path / "profiles.yaml"
    path.write_bytes(FILE.encode("utf-16"))
    said = run("profiles", "import", str(path), code=1).err
    assert f"{path} is no text in UTF-8" in said
    path.write_bytes(FILE.encode("utf-8-sig"))
    assert "2 added" in run("profiles", "import", str(path)).out


def test_a_name_is_one_name_in_either_unicode_form(run, file):
    """A file that was written on a Mac may hold its accents as characters of their own."""
    for form in ("NFC", "NFD"):
        text = (
            "profiles:\n  - {mailbox: anna@example.com, company: Zoë BV, folder: Zoë, filter: {City: Zoë*}}\n"
        )
        file.write_text(unicodedata.normalize(form, text))
        said = run("profiles", "import", str(file)).out
    assert said == "Profiles: 0 added, 0 changed, 1 as they were.\n"
    run("profiles", "rename", "1", "Cafe\u0301")
    assert "Caf\u00e9" in run("profiles", "list").out


def test_the_settings_file_counts_for_commands_too(empty_url, tmp_path, capsys):
    """What the handbook says is set there must not be another limit where a person uses the command."""
    settings = tmp_path / "settings.env"
    settings.write_text(f"CONTACT_SYNC_STAGING_URL={empty_url}\nCONTACT_SYNC_AIRFLOW_DAYS=ninety\n")
    environment = {"CONTACT_SYNC_SETTINGS_FILE": str(settings)}
    assert cli.main(["profiles", "list"], environment) == 0
    assert cli.main(["airflow-clean"], environment) == 1
    assert "CONTACT_SYNC_AIRFLOW_DAYS is 'ninety'" in capsys.readouterr().err
    assert cli.main(["airflow-clean"], {**environment, "CONTACT_SYNC_AIRFLOW_DAYS": "7"}) == 1
    assert "is 7; at least 8" in capsys.readouterr().err, "a variable wins"
    assert cli.main(["airflow-clean"], {**environment, "CONTACT_SYNC_AIRFLOW_DAYS": " "}) == 1
    assert "CONTACT_SYNC_AIRFLOW_DAYS is 'ninety'" in capsys.readouterr().err, "a blank one says nothing"
    settings.unlink()
    assert cli.main(["profiles", "list"], environment) == 1
    said = capsys.readouterr().err
    assert str(settings) in said
    assert "unset the variable" in said


@pytest.mark.parametrize(
    "command",
    [
        "db migrate --to",
        "holds approve too_many_deletes --by eva --company",
        "holds reject too_many_deletes --by",
        "groups reconcile --confirm 12 --group",
    ],
)
def test_an_option_that_a_script_left_blank_means_nothing_else(run, empty_url, command, capsys):
    """All companies, all groups, or a way up in place of the way back."""
    with pytest.raises(SystemExit) as stopped:
        cli.main([*command.split(), ""], {"CONTACT_SYNC_STAGING_URL": empty_url})
    assert stopped.value.code == 2
    assert f"argument {command.split()[-1]}: it is blank" in capsys.readouterr().err


def _program(url, arguments, **options):
    environment = {**os.environ, "CONTACT_SYNC_STAGING_URL": url, **options.pop("environment", {})}
    command = [sys.executable, "-m", "sync_lib.cli", *arguments.split()]
    return subprocess.run(
        command, env=environment, stderr=subprocess.PIPE, text=True, timeout=120, check=False, **options
    )


def test_a_name_that_the_terminal_cannot_show_hides_nothing(run, new_database, tmp_path):
    url = new_database("sqlite")
    path = tmp_path / "profiles.yaml"
    path.write_text("profiles: [{mailbox: a@b.example, company: Cronus, folder: België}]")
    assert cli.main(["profiles", "import", str(path)], {"CONTACT_SYNC_STAGING_URL": url}) == 0
    shown = _program(url, "profiles list", environment={"PYTHONIOENCODING": "ascii"}, stdout=subprocess.PIPE)
    assert (shown.returncode, shown.stderr) == (0, "")
    assert "Belgi\\xeb" in shown.stdout


def test_who_stops_reading_is_told_nothing(new_database):
    reads, writes = os.pipe()
    os.close(reads)
    done = _program(new_database("sqlite"), "profiles list", stdout=writes)
    os.close(writes)
    assert (done.returncode, done.stderr) == (141, "")


def test_there_may_be_no_standard_input(run, monkeypatch):
    monkeypatch.setattr(sys, "stdin", None)
    assert "no standard input" in run("profiles", "import", "-", code=1).err
    assert "no standard input" in run("contacts", "leave-out", "1", "--email", "-", code=1).err


def test_stopped_by_hand(run, monkeypatch):
    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "export_profiles", stop)
    assert run("profiles", "export", code=130).err == "contact-sync: stopped by hand.\n"
