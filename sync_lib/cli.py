"""``contact-sync``: profiles, companies, holds, contacts and the staging database from a terminal.

The database is ``--database URL``, else the variable CONTACT_SYNC_STAGING_URL, else Airflow's own variable for the
Connection, AIRFLOW_CONN_CONTACT_SYNC_STAGING, in either of Airflow's two forms. Settings are those of the environment
and of the file that CONTACT_SYNC_SETTINGS_FILE names. Exit code 1: something is wrong and is on standard error; 2: the
command itself was not understood; 130: stopped by hand; 141: nobody read what it had to say.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

from sync_lib import cli_people, connections
from sync_lib.cli_people import show
from sync_lib.errors import ConfigError, SyncError
from sync_lib.model import Decision
from sync_lib.operate import airflow_clean, answers, erasing
from sync_lib.operate.end_preview import EndPreview, preview_end
from sync_lib.settings import SyncSettings, with_settings_file
from sync_lib.store import clock, companies, company_names, erasure, holds, runs, wishes
from sync_lib.store.engine import open_engine, read, transaction
from sync_lib.store.erasure import Wanted
from sync_lib.store.holds import Hold, HoldState
from sync_lib.store.migrate import downgrade, head, migrate, require_schema
from sync_lib.store.profiles import endings
from sync_lib.store.profiles import rows as profiles
from sync_lib.store.profiles.history import TERMINAL, Author
from sync_lib.store.profiles.importing import export_profiles, import_profiles
from sync_lib.store.profiles.settings import correct_profile, remove_profile, rename_folder

URL_VARIABLE = "CONTACT_SYNC_STAGING_URL"
#: Exit codes, as a shell reports a program that a signal ended.
STOPPED, UNREAD = 130, 141
STAGING_VARIABLE = connections.variable_of(connections.STAGING)

Options = argparse.Namespace
Engine = Any  # SQLAlchemy stays within ``store``.


def main(arguments: Sequence[str] | None = None, environment: Mapping[str, str] = os.environ) -> int:
    """Run one command and return the exit code."""
    options = _parser().parse_args(arguments)
    cli_people.print_whatever_it_is()
    try:
        environment = with_settings_file(environment)
        options.database = options.database or staging_url(environment)
        engine = open_engine(options.database)
        try:
            if options.run is not _migrate:
                require_schema(engine)
            options.run(engine, options, environment)
        finally:
            engine.dispose()
        # What is still in the buffer would else be written behind this, where nobody is told that it could not be.
        sys.stdout.flush()
    except BrokenPipeError:
        cli_people.end_unread()
        return UNREAD
    except (SyncError, OSError, UnicodeDecodeError) as error:
        print(f"contact-sync: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("contact-sync: stopped by hand.", file=sys.stderr)
        return STOPPED
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="contact-sync", description="Contact sync: profiles, holds, contacts and staging database."
    )
    parser.add_argument("--database", metavar="URL", help=f"staging database (default: ${URL_VARIABLE})")
    areas = parser.add_subparsers(
        required=True, metavar="profiles | groups | companies | holds | contacts | airflow-clean | db"
    )
    _profile_commands(_area(areas, "profiles", "sync profiles"))
    cli_people.add_groups(_area(areas, "groups", "groups whose members get profiles"), _command)
    _company_commands(_area(areas, "companies", "companies of Business Central, and where they are"))
    _hold_commands(_area(areas, "holds", "what waits for a person"))
    _contact_commands(_area(areas, "contacts", "contacts in the staging database"))
    cleaning = _command(areas, "airflow-clean", _clean, "cut Airflow's own database and log files by age")
    cleaning.add_argument("--days", type=int, help="days that are kept (default: CONTACT_SYNC_AIRFLOW_DAYS)")
    database = _area(areas, "db", "staging database")
    migrating = _command(database, "migrate", _migrate, "bring the schema up to this program's version")
    migrating.add_argument(
        "--to",
        type=cli_people.said,
        metavar="NUMBER",
        help="take it back to an earlier program's, before that is installed again",
    )
    return parser


def _area(areas: Any, name: str, what: str) -> Any:
    return areas.add_parser(name, help=what).add_subparsers(required=True, metavar="COMMAND")


def _profile_commands(commands: Any) -> None:
    importing = _command(commands, "import", _import, "add and change the profiles that a YAML file names")
    importing.add_argument("file", metavar="FILE", help="the file, or - for standard input")
    importing.add_argument(
        "--field-profile",
        choices=("standard", "extended"),
        help="fields that filters may name (default: as in the Connection business_central_default)",
    )
    exporting = _command(commands, "export", _export, "write all profiles as YAML")
    exporting.add_argument(
        "file", metavar="FILE", nargs="?", default="-", help="the file (default: standard output)"
    )
    cli_people.add_propose(commands, _command)
    _command(commands, "list", _list, "list all profiles")
    _correction_commands(commands)


def _correction_commands(commands: Any) -> None:
    correcting = _command(commands, "correct", _correct, "correct a profile that has never synced")
    correcting.add_argument(
        "id", metavar="ID", type=cli_people.row_id, help="the profile's id, as the list shows it"
    )
    correcting.add_argument("--mailbox", default="", help="its mailbox")
    correcting.add_argument("--company", default="", help="its company")
    removing = _command(commands, "remove", _remove, "remove a profile that has never synced")
    removing.add_argument(
        "id", metavar="ID", type=cli_people.row_id, help="the profile's id, as the list shows it"
    )
    same = _command(
        commands, "same-colleague", _same_colleague, "say that the account made again is the same colleague's"
    )
    same.add_argument(
        "id", metavar="ID", type=cli_people.row_id, help="the profile's id, as the list shows it"
    )
    second = _command(
        commands, "second-folder", _second_folder, "say which of a profile's two Outlook folders counts"
    )
    second.add_argument(
        "id", metavar="ID", type=cli_people.row_id, help="the profile's id, as the list shows it"
    )
    which = second.add_mutually_exclusive_group(required=True)
    which.add_argument("--go-back", action="store_true", help="sync the second one, and leave the other")
    which.add_argument("--leave", action="store_true", help="leave the second one")
    _end_command(commands)
    renaming = _command(commands, "rename", _rename, "give a profile's Outlook folder another name")
    renaming.add_argument(
        "id", metavar="ID", type=cli_people.row_id, help="the profile's id, as the list shows it"
    )
    renaming.add_argument("name", metavar="NAME", help="the folder's new name")
    switching = _command(
        commands, "switch", _switch, "say what another field profile of the Connection would write"
    )
    switching.add_argument(
        "--to", choices=connections.FIELD_PROFILES, required=True, help="the field profile"
    )
    switching.add_argument(
        "--dry-run", action="store_true", required=True, help="only count; the Connection itself switches"
    )


def _end_command(commands: Any) -> None:
    ending = _command(commands, "end", _end, "end a profile that has synced")
    ending.add_argument(
        "id", metavar="ID", type=cli_people.row_id, help="the profile's id, as the list shows it"
    )
    how = ending.add_mutually_exclusive_group(required=True)
    how.add_argument(
        "--keep", action="store_true", help="its contacts stay in Outlook, and are no longer synced"
    )
    how.add_argument(
        "--remove",
        action="store_true",
        help="what the sync made and nobody edited since is deleted in Outlook",
    )
    ending.add_argument("--dry-run", action="store_true", help="only count what would go and stay")
    ending.add_argument("--yes", action="store_true", help="end it: the next run carries that out")
    ending.add_argument("--by", default=TERMINAL, metavar="NAME", help="who wants it: it is recorded")


def _company_commands(commands: Any) -> None:
    _command(commands, "list", _list_companies, "list the companies that profiles are bound to")
    moving = _command(
        commands, "accept-move", _accept_move, "bind a company to where the Connection points now, for good"
    )
    moving.add_argument("company", metavar="COMPANY", help="its name, or its number in the list")
    moving.add_argument("environment", metavar="ENVIRONMENT", help="the environment that it has moved to")


def _hold_commands(commands: Any) -> None:
    _command(commands, "list", _list_holds, "list what waits, and what was rejected")
    asking = _command(commands, "ask-again", _ask_again, "ask about a hold once more")
    asking.add_argument(
        "id", metavar="ID", type=cli_people.row_id, help="the hold's number, as the list shows it"
    )
    for name, approved, does in (("approve", True, "approve"), ("reject", False, "reject")):
        deciding = _command(commands, name, _decide_holds, f"{does} what waits, of many profiles at once")
        deciding.set_defaults(approved=approved)
        deciding.add_argument("reason", metavar="REASON", help="why it is held, as the list shows it")
        deciding.add_argument("--company", type=cli_people.said, help="only profiles of this company")
        deciding.add_argument(
            "--by", required=True, type=cli_people.said, metavar="NAME", help="who decides: it is recorded"
        )


def _contact_commands(commands: Any) -> None:
    for name, wish, does in (
        (
            "leave-out",
            wishes.leave_out,
            "leave a contact out of one profile's folder, until somebody takes it back",
        ),
        ("take-back", wishes.take_back, "let a contact that was left out sync again"),
        (
            "sync-now",
            wishes.ask_sync,
            "let the next run of a profile try a contact, whatever it is held off for",
        ),
    ):
        wishing = _command(commands, name, _wish, does)
        wishing.set_defaults(wish=wish)
        wishing.add_argument(
            "profile",
            metavar="PROFILE",
            type=cli_people.row_id,
            help="the profile's id, as its list shows it",
        )
        which = wishing.add_mutually_exclusive_group(required=True)
        which.add_argument(
            "--bc-id", default="", metavar="ID", help="the contact's system id in Business Central"
        )
        which.add_argument(
            "--email", default="", metavar="ADDRESS", help="its address, or - to type it unseen by others"
        )
        wishing.add_argument("--by", default=TERMINAL, metavar="NAME", help="who wants it: it is recorded")
    erasing = _command(commands, "erase", _erase, "erase a contact from the staging database")
    erasing.add_argument("--company", required=True, help="the company's name, or its id in Business Central")
    whom = erasing.add_mutually_exclusive_group(required=True)
    whom.add_argument("--bc-id", metavar="ID", help="the contact's system id in Business Central")
    whom.add_argument("--email", metavar="ADDRESS", help="an address of it, or - to type it unseen by others")
    how = erasing.add_mutually_exclusive_group(required=True)
    how.add_argument("--dry-run", action="store_true", help="only count what would go")
    how.add_argument("--yes", action="store_true", help="erase; nobody can take that back")


def _command(
    parsers: Any, name: str, run: Callable[[Engine, Options, Mapping[str, str]], None], does: str
) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = parsers.add_parser(name, help=does, description=f"{does.capitalize()}.")
    parser.set_defaults(run=run)
    return parser


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")


def _import(engine: Engine, options: Options, environment: Mapping[str, str]) -> None:
    text = cli_people.read_text(options.file)
    chosen = options.field_profile or _field_profile(environment)
    report = import_profiles(engine, text, now=_now(), field_profile=chosen, announce=print)
    print(report)
    _warn_of_companies(engine, [*report.added, *report.changed])


def _export(engine: Engine, options: Options, _: Mapping[str, str]) -> None:
    text = export_profiles(engine)
    if options.file == "-":
        sys.stdout.write(text)
    else:
        Path(options.file).write_text(text, encoding="utf-8")
        print(f"Wrote {options.file}.")


def _correct(engine: Engine, options: Options, _: Mapping[str, str]) -> None:
    if not (options.mailbox or options.company):
        raise ConfigError("Correct what? Give --mailbox or --company.")
    correct_profile(engine, options.id, mailbox=options.mailbox, company=options.company, now=_now())
    print("Corrected. Write it into your file too.")
    _warn_of_companies(engine, [options.id])


def _warn_of_companies(engine: Engine, changed: Sequence[int]) -> None:
    """Name the companies that there are where a profile names none of them; it is stored nonetheless."""
    with read(engine) as conn:
        for profile in profiles.read_profiles(conn, enabled_only=False, keys=[str(key) for key in changed]):
            name = profile.company_name
            if profile.company is None and (listed := company_names.find_unlisted(conn, name)):
                print(
                    f"{profile.mailbox}: Business Central lists no company {name!r}. It lists: {', '.join(listed)}."
                )


def _remove(engine: Engine, options: Options, _: Mapping[str, str]) -> None:
    with transaction(engine) as conn:
        remove_profile(conn, options.id)
    print("Removed. Take it out of your file too.")


def _same_colleague(engine: Engine, options: Options, _: Mapping[str, str]) -> None:
    with transaction(engine) as conn:
        answers.accept_successor(conn, profiles.read_profile(conn, options.id), now=_now())
    print("Noted. The next run makes the folder in the new mailbox; many contacts at once wait for a person.")


def _second_folder(engine: Engine, options: Options, _: Mapping[str, str]) -> None:
    said = profiles.GO_BACK if options.go_back else profiles.LEAVE
    with transaction(engine) as conn:
        answers.answer_second_folder(conn, profiles.read_profile(conn, options.id), said)
    print("Noted. The next run carries it out.")


def _end(engine: Engine, options: Options, _: Mapping[str, str]) -> None:
    how = endings.REMOVE if options.remove else endings.KEEP
    with transaction(engine) as conn:
        profile = profiles.read_profile(conn, options.id)
        found = preview_end(conn, profile)
        print(_said_of_end(found, how))
        if options.dry_run or not options.yes:
            print("Nothing was stored." + ("" if options.dry_run else " To end it so, give --yes as well."))
            return
        endings.ask_end(conn, profile, how, Author(options.by, _now()))
    print(
        "Noted. The next run of contact_sync syncs it once more, then ends it. Take it out of your file too."
    )


def _said_of_end(found: EndPreview, how: str) -> str:
    """What an end would do, in counts."""
    goes = found.goes if how == endings.REMOVE else 0
    said = [f"Of {found.items} contacts in the folder {goes} go and {found.stays(how)} stay."]
    if found.edited:
        said.append(
            f"{found.edited} that the sync made were edited in Outlook since they last agreed; they stay"
        )
        said[-1] += ", unless their edit reaches Business Central first." if goes else "."
    if how == endings.REMOVE and found.folder_goes:
        said.append("The folder goes too, if nothing else is in it by then.")
    if not found.read_at:
        said.append("Nothing of its company has been read yet.")
    return " ".join(said)


def _list(engine: Engine, _options: Options, _environment: Mapping[str, str]) -> None:
    with read(engine) as conn:
        found = [*profiles.read_profiles(conn, enabled_only=False), *profiles.read_ended(conn)]
    rows = [("id", "mailbox", "company", "folder", "direction", "categories", "state")]
    for profile in found:
        state = _state_of(profile)
        rows.append(
            (
                profile.key,
                profile.mailbox,
                profile.company_name,
                profile.folder_name,
                profile.direction,
                "; ".join(profile.categories),
                state,
            )
        )
    show(rows)


def _state_of(profile: profiles.Profile) -> str:
    if profile.ended_at:
        return "ended"
    if profile.ending:
        return "ending"
    return ("synced" if profile.folder_id else "new") if profile.enabled else "disabled"


def _list_companies(engine: Engine, _options: Options, _environment: Mapping[str, str]) -> None:
    with read(engine) as conn:
        found = companies.read_companies(conn)
    rows = [("id", "company", "tenant", "environment", "the Connection points to")]
    for row in found:
        offered = f"{row.offered_environment} of {row.offered_tenant_id}" if row.offered_environment else "it"
        rows.append((str(row.id), row.name, row.tenant_id, row.environment, offered))
    show(rows)


def _accept_move(engine: Engine, options: Options, _: Mapping[str, str]) -> None:
    with transaction(engine) as conn:
        company = companies.find_company(conn, options.company)
        companies.accept_move(conn, company, options.environment, now=_now())
    print(
        f"Accepted: {company.name} is in environment {options.environment} from now on. The next run reads it in full, "
        "takes each difference for a conflict that Business Central wins, and holds what it plans until somebody "
        "decides. Way back: point the Connection back, and accept that move."
    )


def _list_holds(engine: Engine, _options: Options, _environment: Mapping[str, str]) -> None:
    rows = [("id", "whose", "state", "changes", "reasons", "opened", "decided")]
    with read(engine) as conn:
        for hold in holds.read_holds(conn, HoldState.OPEN, HoldState.APPROVED, HoldState.REJECTED):
            whose, changes = _counted(conn, hold)
            decided = (
                f"{hold.decided_at} by {hold.decided_by or hold.decided_how}" if hold.decided_at else "-"
            )
            rows.append(
                (str(hold.id), whose, hold.state, changes, ", ".join(hold.reasons), hold.opened_at, decided)
            )
    show(rows)


def _counted(conn: Any, hold: Hold) -> tuple[str, str]:
    """Whose hold it is, and how many changes (or contacts of the company) wait."""
    if hold.company is not None:
        return companies.read_company(conn, hold.company).name, str(hold.offered)
    profile = profiles.read_profile(conn, hold.profile or 0)
    return profile.mailbox, str(sum(kind.count for kind in holds.count_held(conn, hold)))


def _ask_again(engine: Engine, options: Options, _: Mapping[str, str]) -> None:
    with transaction(engine) as conn:
        if not holds.ask_again(conn, options.id):
            raise ConfigError(
                f"Hold {options.id} was not rejected: only then is there something to ask again. "
                "List them: contact-sync holds list."
            )
    print("The next run of contact_sync asks again.")


def _decide_holds(engine: Engine, options: Options, _: Mapping[str, str]) -> None:
    """Decide about all open holds of profiles that have one cause and no other one, each as it is now."""
    with transaction(engine) as conn:
        at, decided = clock.now(conn), 0
        for hold in holds.read_holds(conn, HoldState.OPEN):
            if hold.profile is None or hold.reasons != [options.reason]:
                continue
            profile = profiles.read_profile(conn, hold.profile)
            if options.company in (None, profile.company_name):
                said = Decision(options.approved, options.by, "person", at, shown=hold.hash)
                decided += holds.decide(conn, hold, said)
    if not decided:
        raise ConfigError(
            f"Nothing waits for {options.reason!r} alone. See what does: contact-sync holds list."
        )
    done = (
        "The next run of contact_sync carries them out."
        if options.approved
        else "Nothing of them is written."
    )
    print(f"{decided} holds {'approved' if options.approved else 'rejected'}. {done}")


def _wish(engine: Engine, options: Options, _: Mapping[str, str]) -> None:
    address = cli_people.read_line().strip() if options.email == "-" else options.email
    with transaction(engine) as conn:
        profile = profiles.read_profile(conn, options.profile)
        contact = wishes.find_contact(conn, profile, bc_id=options.bc_id, address=address)
        options.wish(conn, profile, contact, Author(options.by, _now()))
    print("Noted. The next run of contact_sync carries it out.")


def _erase(engine: Engine, options: Options, environment: Mapping[str, str]) -> None:
    address = cli_people.read_line() if options.email == "-" else options.email or ""
    with read(engine) as conn:
        company = companies.find_company(conn, options.company)
    wanted = Wanted(company.id, options.bc_id or "", address)
    found = erasure.preview(engine, wanted)
    if options.yes:
        settings = SyncSettings.from_environment(environment)
        found = erasure.erase(
            engine, wanted, lease_seconds=settings.lease, longest_request=settings.longest_request
        )
    show([("table", "rows"), *((table, str(rows)) for table, rows in found.counts.items())])
    print("\n".join(map(str, erasing.said_of(found, erased=options.yes))))


def _rename(engine: Engine, options: Options, _: Mapping[str, str]) -> None:
    rename_folder(engine, options.id, options.name.strip(), now=_now())
    print(f"Renamed. The next sync renames the folder in Outlook; write {options.name!r} into your file too.")


def _switch(_: Engine, options: Options, environment: Mapping[str, str]) -> None:
    # No other command needs pandas, which takes longer to import than they take to run.
    from sync_lib.operate import switch_preview

    with cli_people.open_services(options, environment) as services:
        preview = switch_preview.preview_switch(services, options.to)
    print("\n".join(preview.lines()))


def _clean(engine: Engine, options: Options, environment: Mapping[str, str]) -> None:
    settings = SyncSettings.from_environment(environment)
    days, hours = options.days, settings.quiet_run_hours
    days = settings.airflow_days if days is None else days
    cleaned = airflow_clean.clean(days, hours)
    with transaction(engine) as conn:
        runs.write_fact(conn, "airflow", "cleaned_at", _now(), _now())
    logs = f"{cleaned.files} log files, {cleaned.size / 1e6:.1f} MB"
    print(
        f"Airflow's own database and logs: what is older than {days} days went ({logs}), and so did "
        f"{cleaned.quiet_runs} runs without work that ended more than {hours:g} hours ago."
    )


def _migrate(engine: Engine, options: Options, _environment: Mapping[str, str]) -> None:
    if options.to:
        downgrade(engine, options.to)
    else:
        migrate(engine)
    print(f"The staging database has schema {options.to or head()}.")


# -- where the database is -------------------------------------------------------------------------------------------


def staging_url(environment: Mapping[str, str]) -> str:
    """Return the URL of the staging database that the environment names.

    Raises:
        ConfigError: It names none, or one that cannot be read.
    """
    if url := environment.get(URL_VARIABLE, "").strip():
        return url
    if connection := connections.read_variable(environment, connections.STAGING):
        return _url(connection)
    raise ConfigError(
        f"Which staging database? Give --database URL, or set {URL_VARIABLE}, for example to "
        "postgresql://user:password@host/contact_sync or sqlite:////var/lib/contact-sync/staging.db."
    )


def _field_profile(environment: Mapping[str, str]) -> str:
    connection = connections.read_variable(environment, connections.BUSINESS_CENTRAL)
    return (connections.extra_field(connection, "field_profile") if connection else "") or "standard"


def _url(connection: connections.Connection) -> str:
    kind, extra, schema = connection.conn_type, connection.extra_dejson, connection.schema
    path = extra.get("sqlite_path") or (schema if kind.startswith("sqlite") else "")
    if path:
        return f"sqlite:///{path}"
    if kind != "contact_sync_staging" and not kind.startswith("postgres"):
        raise ConfigError(f"{STAGING_VARIABLE} has the type {kind!r}; it takes PostgreSQL or a SQLite file.")
    login, password = (quote(text, safe="") for text in (connection.login, connection.password))
    user = f"{login}:{password}@" if password else f"{login}@" if login else ""
    port = f":{connection.port}" if connection.port else ""
    options = f"?sslmode={quote(extra['sslmode'])}" if extra.get("sslmode") else ""
    return f"postgresql://{user}{connection.host or 'localhost'}{port}/{quote(schema)}{options}"


if __name__ == "__main__":
    sys.exit(main())
