"""Figures of the sync, each beside the cheapest thing that could do the same work: ``scripts/bench [NAME ...]``.

Nothing here is a test: the machine decides about times. Requests are counts, and exact; times are printed with the
ratio to a reference that was measured in turns with them.
"""

from __future__ import annotations

import argparse
import importlib
import os
import signal
import sys
import traceback
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from tests.benchmarks.measuring import Options, busy_cores, machine, say
from tests.benchmarks.names import BENCHMARKS
from tests.benchmarks.report import Machine, Section, Table, as_text, new_page, overview

HEAD = """# Performance

`scripts/bench` writes this page: `scripts/bench NAME... --write docs/performance.md`, or `all`. It makes its own
environment, `.venv-bench`; what is measured against is in `requirements-bench.lock`.

Figures are counts, which are exact, or ratios to a reference that was measured in turns with ours, in the same run.
Absolute times depend on the machine. Each section says at which commit it was measured (`+`: files differed from it),
when, on what, and whether others used the machine; a section that was never run says so. Every time is the median of
three rounds or more, unless its table says otherwise. Where there is no reference, or none is installed, stands `-`.
"""


def arguments() -> argparse.ArgumentParser:
    """Return what the command line takes."""
    parser = argparse.ArgumentParser(prog="scripts/bench", description="Measures the sync beside references.")
    parser.add_argument("name", nargs="*", type=_name, metavar="NAME", help="which; or all")
    parser.add_argument("--write", type=Path, metavar="FILE", help="put the tables into this page")
    parser.add_argument("--rounds", type=_number, default=3, help="the median of so many counts (3)")
    parser.add_argument("--profiles", type=_number, help="mailboxes of quiet, change and minute")
    parser.add_argument("--minutes", type=float, default=60, help="how long minute goes on (60)")
    parser.add_argument(
        "--many", action="store_true", help="larger worlds: 10,000 profiles, a million contacts"
    )
    parser.add_argument("--small", action="store_true", help="tiny worlds: measures nothing")
    return parser


def _name(text: str) -> str:
    # Not ``choices``, which refuse that there is none.
    if text not in (*BENCHMARKS, "all"):
        raise argparse.ArgumentTypeError(f"no benchmark is named {text}; there are {', '.join(BENCHMARKS)}")
    return text


def _number(text: str) -> int:
    if (number := int(text)) < 1:
        raise argparse.ArgumentTypeError("must be 1 or more")
    return number


def chosen(names: Sequence[str]) -> list[str]:
    """Return the benchmarks to run, in their order, each once."""
    return [name for name in BENCHMARKS if name in names or "all" in names]


def program(name: str) -> Callable[[Options], list[Table]]:
    """Return what runs a benchmark."""
    module, function = BENCHMARKS[name].where.split(":")
    found: Callable[[Options], list[Table]] = getattr(
        importlib.import_module(f"tests.benchmarks.{module}"), function
    )
    return found


def section(name: str, measured: Machine | None = None, tables: Sequence[Table] = ()) -> Section:
    """Return a benchmark's part of the page."""
    about = BENCHMARKS[name]
    return Section(name, about.about, about.reach, measured, tables)


def write_page(path: Path, sections: dict[str, Section]) -> None:
    """Put new figures into the page; those of other benchmarks stay."""
    old = path.read_text() if path.exists() else ""
    path.write_text(new_page(HEAD, [sections.get(name) or section(name) for name in BENCHMARKS], old))


def main(words: Sequence[str] | None = None) -> int:
    """Run the benchmarks that were named, or say which there are."""
    parser = arguments()
    given = parser.parse_args(words)
    if given.write and given.small:
        parser.error("--small measures nothing: there is nothing to write")
    if not given.name and not given.write:
        say("scripts/bench NAME...   or: scripts/bench all\n")
        say(overview({name: f"{each.about} (about {each.minutes} min)" for name, each in BENCHMARKS.items()}))
        return 0
    options = Options(given.rounds, given.profiles, given.minutes, given.many, given.small)
    # What was measured is kept even where a later one is broken off.
    sections: dict[str, Section] = {}
    failed: list[str] = []
    for name in chosen(given.name):
        before = machine()
        if before.was_loaded:
            say(f"\n{name}: others use this machine ({before.others[0]:.1f} cores busy): read ratios only.")
        try:
            tables = program(name)(options)
        except Exception:  # noqa: BLE001 - the others are measured all the same
            traceback.print_exc()
            failed.append(name)
            continue
        load, others = (before.load[0], os.getloadavg()[0]), (before.others[0], busy_cores())
        measured = replace(before, load=load, others=others)
        say(f"\n{name}: {BENCHMARKS[name].about}. {measured.line()}")
        for table in tables:
            say(as_text(table))
        sections[name] = section(name, measured, tables)
        if given.write:
            write_page(given.write, sections)
        for table in tables:
            if table.closing:
                say(table.closing)
    if given.write:
        write_page(given.write, sections)
    if failed:
        say(f"\nFAILED: {', '.join(failed)}")
    return int(bool(failed))


if __name__ == "__main__":
    # A shell that ends us has to end all that we started.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    sys.exit(main())
