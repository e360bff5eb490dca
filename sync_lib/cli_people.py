"""The commands of ``contact-sync`` that are about many colleagues at once: they ask the services themselves.

What all commands have in common is here too: how options, files and standard input are read, and what is printed.
"""

from __future__ import annotations

import argparse
import io
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TextIO

from sync_lib import connections
from sync_lib.errors import ConfigError
from sync_lib.operate import groups, people, proposal
from sync_lib.operate.people import Person
from sync_lib.services import Services
from sync_lib.settings import StagingSettings, SyncSettings
from sync_lib.store.engine import read, transaction
from sync_lib.store.profiles import values as profile_values
from sync_lib.store.profiles.csv_file import parse_condition
from sync_lib.store.profiles.file import ProfileEntry
from sync_lib.store.profiles.groups import remove_group
from sync_lib.store.profiles.values import WrongValue
from sync_lib.store.queries import groups as queries

Options = argparse.Namespace
Engine = Any  # SQLAlchemy stays within ``store``.
MakeCommand = Callable[..., argparse.ArgumentParser]

_SOURCES = "salespeople, bc-users, entra-group NAME, or a file that ends in .csv"


def add_propose(commands: Any, command: MakeCommand) -> None:
    """Add ``profiles propose``."""
    parser = command(commands, "propose", _propose, "write profiles for many colleagues, to look through")
    parser.add_argument(
        "--from", dest="source", required=True, nargs="+", metavar="SOURCE", help=f"who: {_SOURCES}"
    )
    parser.add_argument("--company", required=True, help="the company's name, or its id in Business Central")
    parser.add_argument("--folder", help="name of the Outlook folder (default: Business Central)")
    parser.add_argument("--direction", help="both (default), to_outlook or to_business_central")
    parser.add_argument("--language", help="of country names in Outlook (default: nl)")
    parser.add_argument(
        "--filter",
        action="append",
        default=[],
        metavar="FIELD=EXPRESSION",
        help="a condition of each profile's filter; may be repeated",
    )
    parser.add_argument("--out", metavar="FILE", help="the file to write (default: standard output)")


def _propose(_engine: Engine, options: Options, environment: Mapping[str, str]) -> None:
    with open_services(options, environment) as services:
        field_profile = services.business_central_settings.field_profile
        wanted = _wanted(options, field_profile)
        found = proposal.propose(services, _people(services, options), wanted)
    source = " ".join(options.source)
    text = proposal.to_yaml(found, f"{source}, for {options.company}")
    if options.out:
        Path(options.out).write_text(text, encoding="utf-8")
        print(f"Wrote {options.out}.")
    else:
        sys.stdout.write(text)
    print(f"{len(found.profiles)} profiles, {len(found.left_out)} people left out.", file=sys.stderr)


def _wanted(options: Options, field_profile: str) -> ProfileEntry:
    """Return what each profile is to have, of which the mailbox is still to come."""
    given = {
        "company_name": options.company,
        "folder_name": options.folder,
        "direction": options.direction,
        "language": options.language,
    }
    try:
        values = {name: profile_values.check(name, text) for name, text in given.items() if text is not None}
        pairs = tuple(parse_condition(text, field_profile=field_profile) for text in options.filter)
    except WrongValue as wrong:
        raise ConfigError(str(wrong)) from wrong
    return ProfileEntry(mailbox="", filter=(pairs,) if pairs else (), **values)


def _people(services: Services, options: Options) -> list[Person]:
    """Return the people of the source that the options name."""
    kind, *rest = options.source
    if kind == "entra-group" and len(rest) == 1:
        return people.from_group(services, rest[0])
    if not rest and kind in ("salespeople", "bc-users"):
        company = proposal.find_company(services, options.company).id
        read = people.from_salespeople if kind == "salespeople" else people.from_users
        return read(services, company)
    if not rest and kind.casefold().endswith(".csv"):
        return people.from_csv(
            read_text(kind), field_profile=services.business_central_settings.field_profile
        )
    raise ConfigError(f"From {' '.join(options.source)!r}? There is {_SOURCES}.")


# -- groups ----------------------------------------------------------------------------------------------------------


def add_groups(commands: Any, command: MakeCommand) -> None:
    """Add the area ``groups``."""
    command(commands, "list", _list_groups, "list the groups whose members get profiles")
    looking = command(
        commands,
        "reconcile",
        _reconcile,
        "give who joined a profile, and switch off or end who left, as each night does",
    )
    looking.add_argument("--group", type=said, help="only this one, by its name or its number in the list")
    how = looking.add_mutually_exclusive_group()
    how.add_argument("--dry-run", action="store_true", help="only show what would be done")
    how.add_argument(
        "--confirm",
        type=int,
        default=0,
        metavar="NUMBER",
        help="so many may leave a group at once, whatever the limit; more than that wait again",
    )
    removing = command(commands, "remove", _remove_group, "forget a group; the profiles of its members stay")
    removing.add_argument("id", metavar="ID", type=row_id, help="its number, as the list shows it")


def _list_groups(engine: Engine, _options: Options, _environment: Mapping[str, str]) -> None:
    with read(engine) as conn:
        found = queries.read_lines(conn)
    rows = [("id", "group", "company", "folder", "members", "profiles", "left", "looked at", "trouble")]
    for line in found:
        group, entry = line.group, line.group.entry
        counts = (
            str(group.members if group.members is not None else "-"),
            str(line.profiles),
            str(line.left),
        )
        looked = (group.looked_at or "-", group.trouble or "-")
        rows.append(
            (str(group.id), entry.group_name, entry.company_name, entry.folder_name, *counts, *looked)
        )
    show(rows)


def _reconcile(_engine: Engine, options: Options, environment: Mapping[str, str]) -> None:
    with open_services(options, environment) as services:
        found = groups.reconcile(
            services, only=options.group or "", dry_run=options.dry_run, confirmed=options.confirm
        )
    for line in groups.lines(found, dry_run=options.dry_run):
        print(line)
    if not found:
        print("There is no group. Name one in the file of profiles: groups.")
    if any(each.is_unread or each.failed for each in found):
        raise ConfigError("Some groups, or some of their members, could not be dealt with: see above.")


def _remove_group(engine: Engine, options: Options, _: Mapping[str, str]) -> None:
    with transaction(engine) as conn:
        name = remove_group(conn, options.id)
    print(f"Removed {name}. The profiles of its members stay as they are. Take it out of your file too.")


def row_id(text: str) -> int:
    """Return the number of a row, for a command's parser; one that no database can hold is none."""
    try:
        number = int(text)
    except ValueError:
        number = 2**31
    if abs(number) >= 2**31:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of the list")
    return number


def said(text: str) -> str:
    """Return what an option says, for a command's parser.

    Blank is what a script passes on where its variable is empty; it must not mean that all are meant, or none.
    """
    if not text.strip():
        raise argparse.ArgumentTypeError("it is blank; leave the option out, or say what it is")
    return text


def read_line() -> str:
    """Return a line of standard input.

    Raises:
        ConfigError: There is none: the program was started without.
    """
    return _standard_input().readline()


def _standard_input() -> TextIO:
    # A scheduler, or a shell by <&-, starts programs without one.
    if sys.stdin is None:
        raise ConfigError("There is no standard input to read from.")
    return sys.stdin


def read_text(name: str) -> str:
    """Return what a file holds, or standard input where it is called ``-``.

    Raises:
        ConfigError: It is no text in UTF-8.
    """
    try:
        return _standard_input().read() if name == "-" else Path(name).read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        what = "Standard input" if name == "-" else name
        raise ConfigError(
            f"{what} is no text in UTF-8 (byte {error.start}). Save it in that encoding."
        ) from error


def print_whatever_it_is() -> None:
    """Let what was done be told: a name that the terminal cannot show is written in its codes."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def end_unread() -> None:
    """End as who read our output has, such as ``head``: nobody is told that the rest could not be written."""
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def show(rows: Sequence[Sequence[str]]) -> None:
    """Print a table."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


# -- the services ----------------------------------------------------------------------------------------------------


@contextmanager
def open_services(options: Options, environment: Mapping[str, str]) -> Iterator[Services]:
    """Yield the services that the Connections of the environment name, and close them behind the command.

    Raises:
        ConfigError: A Connection is missing or incomplete.
    """
    services = Services(
        connections.business_central(connections.require_variable(environment, connections.BUSINESS_CENTRAL)),
        connections.graph(connections.require_variable(environment, connections.MICROSOFT_GRAPH)),
        StagingSettings(options.database),
        SyncSettings.from_environment(environment),
    )
    try:
        yield services
    finally:
        services.close()
