"""Figures of the sync, side by side with the floor of the same run: ``python -m tests.benchmarks [NAME ...]``.

Nothing here is a test: the machine decides about times. Requests are counts, and exact; times are printed with the
ratio to the cheapest thing that could do the same work.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from sandbox import Sandbox
from sync_lib.clients.outlook_records import to_contact
from sync_lib.diff.match import partition
from sync_lib.extract.staging import outlook_row
from sync_lib.fields.lookups import Lookups
from sync_lib.fields.mapper import FieldMapper
from sync_lib.model import CouplingState
from tests.benchmarks import pages
from tests.sync.harness import Harness, person, world

ROOT = Path(__file__).resolve().parents[2]
ROUNDS = 5
#: The service's window of ten minutes would be all that is measured: it is off on both ends.
OPEN: dict[str, Any] = {"graph_window_operations": 10**9, "sandbox": {"graph_window_operations": None}}


def say(text: str) -> None:
    print(text, flush=True)  # noqa: T201 - a program for a person at a terminal


def table(title: str, head: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print a table whose columns fit."""
    texts = [list(map(str, row)) for row in (head, *rows)]
    widths = [max(len(row[n]) for row in texts) for n in range(len(head))]
    say(f"\n{title}")
    for row in texts:
        say("  " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def median(act: Callable[[], object], rounds: int = ROUNDS) -> float:
    """Return the median seconds of several calls, after one that is not counted."""
    act()
    times = []
    for _ in range(rounds):
        begun = time.perf_counter()
        act()
        times.append(time.perf_counter() - begun)
    return statistics.median(times)


def people(count: int) -> list[dict[str, Any]]:
    """Persons of a company with every mapped field filled."""
    return [
        person(
            f"Jan van der Berg{chr(97 + n % 26)}",
            f"p{n}@klant.example",
            phoneNumber=f"020 555 {n % 10_000:04}",
            mobilePhoneNumber=f"+31 6 5550 {n % 10_000:04}",
            jobTitle="Inkoper",
            addressLine1=f"Kade {n}",
            city="Zaandam",
            postalCode="1501 AB",
            country="NL",
        )
        for n in range(count)
    ]


@contextmanager
def harness(contents: dict[str, Any], **settings: Any) -> Iterator[Harness]:
    """A sandbox and a harness on a SQLite file of their own."""
    with (
        tempfile.TemporaryDirectory() as folder,
        Sandbox(world=contents, settings=settings.pop("sandbox", None)) as sim,
    ):
        h = Harness(sim, f"sqlite:///{Path(folder) / 'staging.db'}", **settings)
        yield h
        h.close()


def counted(h: Harness, mode: str = "incremental") -> dict[str, Any]:
    """Run once; return what it cost."""
    h.sim.reset_counters()
    wall, cpu = time.perf_counter(), time.process_time()
    ran = h.run(mode)
    app = h.sim.counters()["app"]
    assert not ran.errors, ran.errors
    return {
        "writes": sum(ran.writes.values()),
        "graph": app.get("graph", {}).get("requests", 0),
        "refused": app.get("graph", {}).get("refusals", 0),
        "flight": app.get("graph", {}).get("most_in_flight", 0),
        "bc": app.get("bc", {}).get("requests", 0),
        "wall": time.perf_counter() - wall,
        "cpu": time.process_time() - cpu,
    }


def requests() -> None:
    """Requests of each case of a profile's life; the floor is arithmetic on the documented limits."""
    rows = []
    for count in (1_000, 10_000):
        with harness(world(*people(count)), **OPEN, guard_overwrites=10**6) as h:
            h.add_profiles()
            batches = -(-count // 20)
            first = counted(h, "full")
            rows.append(
                ("first full sync", count, first["graph"], batches + 2, first["bc"], first["refused"])
            )
            counted(h)
            quiet = counted(h)
            rows.append(("nothing changed", count, quiet["graph"], 1, quiet["bc"], quiet["refused"]))
            name = people(count)[0]["displayName"]
            h.edit_contact(name, jobTitle="Directeur")
            one = counted(h)
            rows.append(("one changed in BC", count, one["graph"], 3, one["bc"], one["refused"]))
    head = ("case", "contacts", "Graph requests", "floor", "BC requests", "answers 429")
    table("Requests", head, rows)


def whole_runs() -> None:
    """Time and memory of whole runs against the sandbox in this process, which takes about half of the time."""
    rows = []
    for count in (1_000, 10_000):
        with harness(world(*people(count)), **OPEN) as h:
            h.add_profiles()
            for what, mode in (
                ("first", "full"),
                ("echo", "incremental"),
                ("none", "incremental"),
                ("all", "full"),
            ):
                cost = counted(h, mode)
                rows.append(
                    (what, count, cost["writes"], f"{cost['wall']:.2f}", f"{cost['cpu']:.2f}", memory())
                )
    table("Whole runs (sandbox included)", ("run", "contacts", "writes", "wall s", "CPU s", "peak MiB"), rows)


def memory() -> int:
    """Return the peak of this process, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def diff() -> None:
    """The comparison of all pairs with staged fingerprints and integer links, 1 % of them changed."""
    rows = []
    for count in (10_000, 100_000, 1_000_000):
        frames = _pairs(count)
        seconds = median(partial(partition, *frames))
        floor = median(partial(_gather, *frames))
        rows.append(
            (count, f"{seconds * 1000:.1f}", f"{seconds / count * 1e6:.3f}", f"{seconds / floor:.1f}")
        )
    table("Diff of pairs", ("pairs", "ms", "s per million", "x gather and compare"), rows)


def _pairs(count: int) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    rng = np.random.default_rng(1)
    rows = np.arange(1, count + 1)
    prints = rng.integers(1, 2**62, count)
    ids = pd.array([f"id-{n}" for n in rows], dtype="str")
    etags = pd.array(["v1"] * count, dtype="str")
    people_ = pd.DataFrame(
        {"row_id": rows, "id": ids, "fingerprint": prints, "problem": pd.array([""] * count, "str")}
    )
    items = pd.DataFrame({"row_id": rows, "id": ids, "fingerprint": prints, "etag": etags})
    changed = prints.copy()
    changed[::100] += 1
    couplings = pd.DataFrame(
        {
            "id": rows,
            "bc_row": rows,
            "outlook_row": rows,
            "state": pd.array([str(CouplingState.ACTIVE)] * count, dtype="str"),
            "bc_fingerprint": changed,
            "outlook_fingerprint": prints,
            "outlook_etag": etags,
            "attention": np.zeros(count, bool),
        }
    )
    order = rng.permutation(count)
    return people_.iloc[order].reset_index(drop=True), items, couplings


def _gather(people_: pd.DataFrame, items: pd.DataFrame, couplings: pd.DataFrame) -> int:
    """The floor: two gathers of integers and their comparison, positions known."""
    where = couplings["bc_row"].to_numpy() - 1
    same = people_["fingerprint"].to_numpy()[where] == couplings["bc_fingerprint"].to_numpy()
    same &= items["fingerprint"].to_numpy()[where] == couplings["outlook_fingerprint"].to_numpy()
    return int(same.sum())


def parsing() -> None:
    """Parse, map and fingerprint a page of Graph contacts, against ``json.loads`` of the page."""
    with harness(world(*people(1_000)), **OPEN) as h:
        h.add_profiles()
        h.run("full")
        records = [item["properties"] | {"id": item["immutable_id"]} for item in _items(h)]
    page = json.dumps({"value": records}).encode()
    lookups = Lookups(countries={"NL": "Nederland"})
    mapper = FieldMapper.of("standard", lookups)
    floor = median(lambda: json.loads(page))
    full = median(lambda: [outlook_row(to_contact(record), mapper) for record in json.loads(page)["value"]])
    rows = [
        (len(records), len(page) // 1024, f"{floor * 1e3:.1f}", f"{full * 1e3:.1f}", f"{full / floor:.1f}")
    ]
    table("A page of contacts", ("contacts", "KiB", "json.loads ms", "all ms", "x"), rows)


def _items(h: Harness) -> list[dict[str, Any]]:
    folders = h.mailbox()["folders"]
    return next(folder["contacts"] for folder in folders if folder["name"] == "Business Central")


PARSE = """
import importlib.util, sys, time
started = time.process_time()
import airflow.sdk
from airflow.providers_manager import ProvidersManager
before = time.process_time()
spec = importlib.util.spec_from_file_location("dag_file", sys.argv[1])
spec.loader.exec_module(importlib.util.module_from_spec(spec))
print(before - started, time.process_time() - before)
"""


def dag_files() -> None:
    """Parse each DAG file, against the import of Airflow's SDK; each mapped task pays for both."""
    rows = []
    for path in sorted((ROOT / "dags").glob("*.py")):
        command = [sys.executable, "-c", PARSE, str(path)]
        environment = {**os.environ, "PYTHONPATH": str(ROOT / "plugins")}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        sdk, parse = map(float, done.stdout.split())
        rows.append((path.stem, f"{sdk:.2f}", f"{parse:.2f}", f"{parse / sdk:.2f}"))
    table("DAG files", ("file", "SDK s", "file s", "x"), rows)


def web_pages() -> None:
    """Open each page with 1,000 profiles and 200,000 contacts in staging; statements with 20 profiles beside it."""
    with tempfile.TemporaryDirectory() as home:
        rows = pages.measure(Path(home), median)
    head = ("page", "SQLite s", "PostgreSQL s", "statements of 20", "of 1,000 profiles")
    table("Pages: 1,000 profiles, 200,000 contacts", head, rows)


BENCHMARKS = {
    "dag_files": dag_files,
    "requests": requests,
    "runs": whole_runs,
    "diff": diff,
    "parsing": parsing,
    "pages": web_pages,
}


def main() -> None:
    """Run the benchmarks that were named, or all."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("name", nargs="*", choices=[*BENCHMARKS, []], help="which (default: all)")
    for name in parser.parse_args().name or BENCHMARKS:
        BENCHMARKS[name]()


if __name__ == "__main__":
    main()
