"""What needs no world of its own: parsing of DAG files, a page of contacts, every page of ours, a second demo."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import requests
from demo_parts.processes import LOOPBACK, Program, airflow_free_environment, free_port, wait_until

from sandbox import Sandbox
from sync_lib.clients.outlook_records import to_contact
from sync_lib.extract.staging import outlook_row
from sync_lib.fields.lookups import Lookups
from sync_lib.fields.mapper import FieldMapper
from tests.benchmarks import page_times, worlds
from tests.benchmarks.measuring import ROOT, Options, side_by_side
from tests.benchmarks.report import Table, ratio

PARSE = """
import importlib.util, sys, time
started = time.process_time()
import airflow.sdk
from airflow.providers_manager import ProvidersManager
before = time.process_time()
spec = importlib.util.spec_from_file_location("dag_file", sys.argv[1])
spec.loader.exec_module(importlib.util.module_from_spec(spec))
print(before - started, time.process_time() - before, *sorted({"pandas", "requests", "sqlalchemy"} & set(sys.modules)))
"""
SDK = """
import sys
import airflow.sdk
from airflow.providers_manager import ProvidersManager
print(*sorted({"pandas", "requests", "sqlalchemy"} & set(sys.modules)))
"""


def page(options: Options) -> list[Table]:
    """Parse, map and fingerprint a page of Graph contacts, beside ``json.loads`` of the page."""
    count = options.size(1_000, 50)
    with Sandbox(world=worlds.office(count, 1), settings=worlds.OPEN_SANDBOX) as sim, worlds.client(sim) as h:
        h.import_office(1)
        h.full()
        folders = h.mailbox()["folders"]
        items = next(folder["contacts"] for folder in folders if folder["name"] == "Business Central")
    records = [item["properties"] | {"id": item["immutable_id"]} for item in items]
    text = json.dumps({"value": records}).encode()
    mapper = FieldMapper.of("standard", Lookups(countries={"NL": "Nederland"}))

    def whole() -> Any:
        import orjson

        return [outlook_row(to_contact(record), mapper) for record in orjson.loads(text)["value"]]

    costs = side_by_side(max(options.rounds, 5), {"ours": whole, "json": lambda: json.loads(text)})
    ours, floor = costs["ours"].wall, costs["json"].wall
    per = ours / len(records) * 1e6
    row = (
        str(len(records)),
        str(len(text) // 1024),
        f"{floor * 1e3:.1f}",
        f"{ours * 1e3:.1f}",
        ratio(ours, floor),
        f"{per:.0f}",
    )
    head = ("contacts", "KiB", "json.loads ms", "ours ms", "x", "us per contact")
    return [Table("A page of contacts", head, [row], "Reach: <= 3 x json.loads.")]


def dag_files(options: Options) -> list[Table]:
    """Parse each DAG file, beside the import of Airflow's SDK; each mapped task pays for both."""
    rows = []
    heavy_before = set(_python(SDK).split())
    for path in sorted((ROOT / "dags").glob("*.py")):
        times = [_python(PARSE, str(path)).split() for _ in range(1 if options.small else options.rounds)]
        sdk, parse = (statistics.median(float(each[n]) for each in times) for n in (0, 1))
        heavy = sorted(set(times[0][2:]) - heavy_before) or ["none"]
        rows.append((path.stem, f"{sdk:.2f}", f"{parse:.2f}", f"{parse / sdk:.2f}", ", ".join(heavy)))
    head = ("file", "SDK CPU s", "file CPU s", "x", "of pandas, requests, SQLAlchemy it adds")
    return [Table("DAG files", head, rows, "Reach: <= 0.5 s beyond the SDK, nothing heavy.")]


def _python(program: str, *arguments: str) -> str:
    with tempfile.TemporaryDirectory() as home:
        environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW")},
            "PYTHONPATH": str(ROOT / "plugins"),
            "AIRFLOW_HOME": home,
        }
        command = [sys.executable, "-c", program, *arguments]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True, cwd=ROOT)
    return done.stdout.strip().splitlines()[-1] if done.stdout.strip() else ""


def pages(options: Options) -> list[Table]:
    """Open each page with 1,000 profiles and 200,000 contacts in staging; statements with 20 profiles beside it."""
    profiles, contacts = options.size(1_000, 25), options.size(200_000, 500)

    def median(act: Callable[[], object]) -> float:
        return side_by_side(options.rounds, {"page": act})["page"].wall

    with tempfile.TemporaryDirectory() as home:
        rows = page_times.measure(Path(home), median, profiles, contacts)
    head = ("page", "SQLite s", "PostgreSQL s", "statements of 20", f"of {profiles:,} profiles")
    title = f"Pages: {profiles:,} profiles, {contacts:,} contacts"
    return [Table(title, head, [tuple(map(str, row)) for row in rows], "Reach: each below a second.")]


def demo(options: Options) -> list[Table]:
    """Start the demo twice; the second one finds what it needs installed, and begins anew."""
    rows = []
    with tempfile.TemporaryDirectory(prefix="contact-sync-bench-") as home:
        for number in range(1 if options.small else 1 + options.rounds):
            what = "first start" if not number else "further start"
            rows.append((what, *_one_demo(Path(home) / "demo")))
    head = ("start", "first contact in Outlook after s", "three runs after s", "exit code")
    return [Table("The demo", head, rows, "Reach: the first synced contact <= 60 s after a second start.")]


def _one_demo(home: Path) -> tuple[str, str, str]:
    begun = time.monotonic()
    port, sandbox_port = free_port(), free_port()
    ports = ["--port", str(port), "--sandbox-port", str(sandbox_port)]
    command = [str(ROOT / "scripts" / "demo"), "--once", "--fresh", "--home", str(home), *ports]
    process = Program("The demo", command, home.parent / "demo.log", airflow_free_environment())
    seen = ""
    try:

        def ended() -> bool:
            nonlocal seen
            if not seen and _created(sandbox_port):
                seen = f"{time.monotonic() - begun:.0f}"
            return process.ended() is not None

        wait_until(ended, 1800, "the demo ended", every=0.2)
        code = process.ended()
    finally:
        process.stop()
    return seen or "-", f"{time.monotonic() - begun:.0f}", str(code)


def _created(port: int) -> int:
    try:
        counted = requests.get(f"http://{LOOPBACK}:{port}/__sim/counters", timeout=5).json()
    except (requests.RequestException, ValueError):
        return 0
    return int(counted["app"]["graph"]["contacts_created"])
