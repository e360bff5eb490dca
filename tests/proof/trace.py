"""Prints what histories did, as digests that are the same for the same seed.

    python -m tests.proof.trace FIRST LAST [--postgres] [--keep FILE | --diff FILE]

Prints a line ``seed digest`` for each seed of the range, played in process. ``--keep`` writes the lines of the traces
to a file; ``--diff`` prints the first line that differs from such a file.
"""

from __future__ import annotations

import argparse
import itertools
import logging
import sys
from dataclasses import replace
from pathlib import Path

from tests.proof.databases import Databases
from tests.proof.histories import draw
from tests.proof.shrinking import attempt
from tests.proof.tracing import Trace


def play(seed: int, databases: Databases, kind: str, trace: Trace) -> Exception | None:
    """Play the history of a seed in process on a kind of database; return what went wrong."""
    history = replace(draw(seed), transport="in_process", database=kind)
    try:
        return attempt(history, databases.new, trace=trace)
    finally:
        databases.drop()


def first_difference(kept: list[str], found: list[str]) -> str:
    """Return the first line that differs, as it was and as it is; "" where none does."""
    for number, (old, new) in enumerate(itertools.zip_longest(kept, found), 1):
        if old != new:
            return f"line {number}\n- {old}\n+ {new}"
    return ""


def main(arguments: list[str]) -> int:
    """Print digests; 1 where a trace differs from a kept one."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.proof.trace", description="Digests of what histories do."
    )
    parser.add_argument("first", type=int)
    parser.add_argument("last", type=int)
    parser.add_argument("--postgres", action="store_true", help="on PostgreSQL in place of SQLite")
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--keep", type=Path, metavar="FILE", help="write the lines there")
    how.add_argument("--diff", type=Path, metavar="FILE", help="print the first line that differs from it")
    chosen = parser.parse_args(arguments)
    lines: list[str] = []
    with Databases() as databases:
        for seed in range(chosen.first, chosen.last + 1):
            trace = Trace(keep=bool(chosen.keep or chosen.diff))
            error = play(seed, databases, "postgresql" if chosen.postgres else "sqlite", trace)
            outcome = f" {type(error).__name__} {error}" if error else ""
            print(f"{seed} {trace.digest()}{outcome}", flush=True)  # noqa: T201
            lines += [f"seed {seed}", *trace.lines]
    if chosen.keep:
        chosen.keep.write_text("\n".join(lines) + "\n")
    differs = first_difference(chosen.diff.read_text().splitlines(), lines) if chosen.diff else ""
    if differs:
        print(differs)  # noqa: T201
    return int(bool(differs))


if __name__ == "__main__":
    logging.disable(logging.CRITICAL)
    sys.exit(main(sys.argv[1:]))
