"""What people use today for a part of the same work, on the same contacts, each in a process of its own."""

from __future__ import annotations

import importlib.util
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import requests

from tests.benchmarks import worlds
from tests.benchmarks.measuring import Cost, Options, apart, cost_of, median, note
from tests.benchmarks.report import Table, ratio, seconds
from tests.benchmarks.whole_runs import Life, app_token, attached, item, one_life
from tests.databases import postgres_server

PHASES = ("first", "nothing", "changed")
#: The scripts below create contacts one by one: fewer of them, and at a latency as a service has.
SINGLY, LATENCY_MS = 500, 20


def run(options: Options) -> list[Table]:
    """Return the tables; a peer that is not installed is left out, and said."""
    count, rounds = options.size(10_000, 60), options.size(options.rounds, 1)
    ours = _ours(count, rounds)
    return [_whole(count, rounds, ours), _creating(options.size(SINGLY, 20), rounds)]


# -- whole syncs and merges ------------------------------------------------------------------------------------------


def _ours(count: int, rounds: int) -> Life:
    found = []
    for _ in range(rounds):
        with worlds.sandbox(worlds.office(count, 1)) as sim:
            found.append(apart(one_life, sim.instance.url, 1, max(1, count // 100), 0))
    return Life({name: median([life.costs[name] for life in found]) for name in found[0].costs}, 0)


def _whole(count: int, rounds: int, ours: Life) -> Table:
    rows = [_row("ours, both sides and their services", ours.costs, ours)]
    if _is_installed("vdirsyncer"):
        rows.append(_row("vdirsyncer, folder to folder", _vdirsyncer(count, rounds), ours))
        note("vdirsyncer done")
    if _is_installed("dlt"):
        with tempfile.TemporaryDirectory(prefix="contact-sync-bench-") as home:
            costs = apart(merges_of_dlt, count, rounds, home, f"sqlite:///{home}/dlt.db")
            rows.append(_row("dlt, one side, rows at hand, merged into SQLite", costs, ours))
        note("dlt into SQLite done")
        with postgres_server() as server, tempfile.TemporaryDirectory(prefix="contact-sync-bench-") as home:
            url = server.create(empty=True).replace("postgresql+psycopg://", "postgresql://")
            costs = apart(merges_of_dlt, count, rounds, home, url)
            rows.append(_row("dlt, one side, rows at hand, merged into PostgreSQL", costs, ours))
        note("dlt into PostgreSQL done")
    missing = [name for name in ("vdirsyncer", "dlt") if not _is_installed(name)]
    about = f"CPU (wall) of {count:,} contacts; x: their CPU to ours, above 1 where we need less."
    absent = f" Not installed: {', '.join(missing)}." if missing else ""
    head = ("", "first", "x", "nothing changed", "x", "1 % changed", "x")
    return Table("Whole syncs", head, rows, about + absent)


def _row(name: str, costs: dict[str, Cost], ours: Life) -> tuple[str, ...]:
    cells: list[str] = []
    for phase in PHASES:
        cost = costs[phase]
        cells += [f"{seconds(cost.cpu)} ({seconds(cost.wall)})", ratio(cost.cpu, ours.costs[phase].cpu)]
    return (name, *cells)


def _is_installed(name: str) -> bool:
    return importlib.util.find_spec(name) is not None


CONFIG = """
[general]
status_path = "{home}/status"
[pair contacts]
a = "one"
b = "other"
collections = null
[storage one]
type = "filesystem"
path = "{home}/one"
fileext = ".vcf"
[storage other]
type = "filesystem"
path = "{home}/other"
fileext = ".vcf"
"""


def _vdirsyncer(count: int, rounds: int) -> dict[str, Cost]:
    found: dict[str, list[Cost]] = {phase: [] for phase in PHASES}
    for _ in range(rounds):
        with tempfile.TemporaryDirectory(prefix="contact-sync-bench-") as name:
            home = Path(name)
            (home / "config").write_text(CONFIG.format(home=home))
            for folder in ("one", "other", "status"):
                (home / folder).mkdir()
            for n in range(count):
                (home / "one" / f"{n}.vcf").write_text(_card(n, "Inkoper"))
            _vdirsyncer_run(home, "discover")
            found["first"].append(_vdirsyncer_run(home, "sync"))
            assert len(list((home / "other").iterdir())) == count
            found["nothing"].append(_vdirsyncer_run(home, "sync"))
            for n in range(0, count, 100):
                (home / "one" / f"{n}.vcf").write_text(_card(n, "Directeur"))
            found["changed"].append(_vdirsyncer_run(home, "sync"))
    return {phase: median(costs) for phase, costs in found.items()}


def _card(n: int, title: str) -> str:
    name = f"Jan van der Berg{n}"
    lines = [
        "BEGIN:VCARD", "VERSION:3.0", f"UID:{n}", f"FN:{name}", f"N:van der Berg{n};Jan;;;", f"TITLE:{title}",
        f"EMAIL:p{n}@klant.example", f"TEL;TYPE=WORK:020 555 {n % 10_000:04}",
        f"TEL;TYPE=CELL:+31 6 5550 {n % 10_000:04}", f"ADR:;;Kade {n};Zaandam;;1501 AB;Nederland", "END:VCARD", "",
    ]  # fmt: skip
    return "\r\n".join(lines)


def _vdirsyncer_run(home: Path, verb: str) -> Cost:
    command = [sys.executable, "-m", "vdirsyncer", "-c", str(home / "config"), "-v", "ERROR", verb]
    began, used = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, input=b"y\n" * 4)
    now = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = now.ru_utime + now.ru_stime - used.ru_utime - used.ru_stime
    return Cost(time.perf_counter() - began, cpu)


def merges_of_dlt(count: int, rounds: int, home: str, url: str) -> dict[str, Cost]:
    """Return what dlt needs to merge one side, which it is handed, into a database by id."""
    os.environ["DLT_DATA_DIR"] = f"{home}/dlt"
    os.environ["RUNTIME__DLTHUB_TELEMETRY"] = "false"
    os.environ["RUNTIME__LOG_LEVEL"] = "CRITICAL"
    import dlt

    is_postgresql = url.startswith("postgresql")
    found: dict[str, list[Cost]] = {phase: [] for phase in PHASES}
    for number in range(rounds):
        destination = dlt.destinations.postgres(url) if is_postgresql else dlt.destinations.sqlalchemy(url)
        pipeline = dlt.pipeline(
            f"peer{number}", destination=destination, dataset_name=f"peer{number}", pipelines_dir=home
        )

        def load(title: str, pipeline: Any = pipeline) -> None:
            contacts = dlt.resource(
                _flat(count, title), name="contact", write_disposition="merge", primary_key="id"
            )
            pipeline.run(contacts)

        found["first"].append(cost_of(lambda load=load: load("Inkoper")))  # type: ignore[misc]
        found["nothing"].append(cost_of(lambda load=load: load("Inkoper")))  # type: ignore[misc]
        found["changed"].append(cost_of(lambda load=load: load("Directeur")))  # type: ignore[misc]
    return {phase: median(costs) for phase, costs in found.items()}


def _flat(count: int, title: str) -> list[dict[str, Any]]:
    """Return contacts as columns; one in a hundred has the title."""
    rows = []
    for n in range(count):
        body = item(n)
        address = body.pop("businessAddress")
        [mail] = body.pop("emailAddresses")
        [phone] = body.pop("businessPhones")
        own = title if n % 100 == 0 else "Inkoper"
        rows.append(
            {"id": f"id-{n}", **body, **address, "email": mail["address"], "phone": phone, "jobTitle": own}
        )
    return rows


# -- creating one by one ---------------------------------------------------------------------------------------------


def _creating(count: int, rounds: int) -> Table:
    ways: dict[str, Callable[[str, int], Cost]] = {"ours, the whole first sync": first_sync}
    if _is_installed("O365"):
        ways["O365, one by one"] = by_o365
    ways["a script: to_sql, iterrows, a request per row"] = by_script
    found: dict[str, list[Cost]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            settings = {**worlds.OPEN_SANDBOX, "graph_latency_ms": LATENCY_MS}
            with worlds.sandbox(worlds.office(count, 1), settings) as sim:
                found[name].append(apart(way, sim.instance.url, count))
                assert _made(sim) == count, name
    costs = {name: median(each) for name, each in found.items()}
    ours = costs["ours, the whole first sync"]
    rows = [
        (
            name, seconds(cost.wall), ratio(cost.wall, ours.wall), f"{count / cost.wall:.0f}",
            f"{cost.cpu / count * 1e3:.2f}", ratio(cost.cpu, ours.cpu),
        )
        for name, cost in costs.items()
    ]  # fmt: skip
    head = ("", "wall", "x ours", "contacts per s", "CPU ms per contact", "x ours")
    title = f"Creating {count} contacts at {LATENCY_MS} ms per operation"
    return Table(title, head, rows, "Reach: faster than each; x above 1 where we need less.")


def _made(sim: worlds.Elsewhere) -> int:
    counted = sim.counters()
    return sum(each["graph"]["contacts_created"] for name, each in counted.items() if name != "entra")


def first_sync(url: str, count: int) -> Cost:
    """Return the cost of our first sync."""
    with worlds.client(attached(url)) as h:
        h.import_office(1)
        return cost_of(lambda: h.counted("full"))


def by_script(url: str, count: int) -> Cost:
    """Return the cost of the script that many teams write: to_sql, iterrows, one request per row."""
    import pandas as pd
    from sqlalchemy import create_engine

    info = attached(url).info()
    session = requests.Session()
    session.trust_env = False
    headers = {"Authorization": f"Bearer {app_token(session, info)}"}
    user = f"{info['graph_root']}/users/{info['mailboxes'][0]['user_principal_name']}"
    with tempfile.TemporaryDirectory(prefix="contact-sync-bench-") as home:
        engine = create_engine(f"sqlite:///{home}/script.db")

        def script() -> None:
            frame = pd.json_normalize(_flat(count, "Inkoper"))
            frame.to_sql("contact", engine, if_exists="replace", index=False)
            known = pd.DataFrame({"id": pd.Series([], dtype="str")})
            merged = pd.read_sql("SELECT * FROM contact", engine).merge(
                known, on="id", how="left", indicator=True
            )
            for _, row in merged[merged["_merge"] == "left_only"].iterrows():
                body = {
                    "displayName": row["displayName"],
                    "emailAddresses": [{"address": row["email"], "name": row["displayName"]}],
                    "jobTitle": row["jobTitle"],
                }
                session.post(f"{user}/contacts", json=body, headers=headers, timeout=60).raise_for_status()

        cost = cost_of(script)
        engine.dispose()
    return cost


def by_o365(url: str, count: int) -> Cost:
    """Return the cost of the O365 library saving one contact after the other, without its pauses."""
    from O365 import Account
    from O365.connection import MSGraphProtocol
    from O365.utils.token import MemoryTokenBackend

    info = attached(url).info()
    with requests.Session() as session:
        session.trust_env = False
        token = app_token(session, info)
    protocol = MSGraphProtocol()
    protocol.service_url = f"{info['graph_root']}/"
    account = Account(
        (info["client_id"], info["client_secret"]),
        protocol=protocol,
        auth_flow_type="credentials",
        tenant_id=info["tenant_id"],
        token_backend=MemoryTokenBackend(),
        requests_delay=0,
    )
    account.con.session = account.con.get_session()
    account.con.session.headers["Authorization"] = f"Bearer {token}"
    book = account.address_book(resource=info["mailboxes"][0]["user_principal_name"])

    def save_all() -> None:
        for n in range(count):
            contact = book.new_contact()
            contact.name, contact.surname = "Jan", f"van der Berg{n}"
            contact.job_title = "Inkoper"
            contact.emails.add(f"p{n}@klant.example")
            assert contact.save()

    return cost_of(save_all)
