"""How long an edit takes to the other side: a run a minute, many mailboxes, users who edit on both sides."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from demo_parts.sandbox import SandboxInstance

from tests.benchmarks.airflow_office import DAG, AirflowOffice, office
from tests.benchmarks.measuring import Options, note
from tests.benchmarks.report import Table, percentile, ratio
from tests.sync.harness import COMPANY

EDITS_PER_MINUTE, LATENCY_MS = 20, 100
#: Seconds for which edits are still waited for once nobody edits any more.
PATIENCE = 600
PERCENTS = (50, 95, 99)


@dataclass(frozen=True)
class Pair:
    """A contact on both sides: what users edit, and where it has to arrive."""

    mailbox: str
    contact: str
    item: str


@dataclass
class Edit:
    """An edit: on which side, what was typed, and when it was there."""

    pair: Pair
    in_bc: bool
    title: str
    at: float
    arrived: float | None = None

    def seconds(self, now: float) -> float:
        """Return how long it took, or has waited until now."""
        return (self.arrived or now) - self.at

    @property
    def to_next_minute(self) -> float:
        """How long it was until the next minute began. A run that is under way may carry it sooner."""
        return 60 - self.at % 60


class Users:
    """Edits on both sides, each of which is looked for on the other one."""

    def __init__(self, sandbox: SandboxInstance, seed: int = 1) -> None:
        self._sandbox = sandbox
        self._chance = random.Random(seed)
        self._pairs = pairs_of(sandbox.dump())
        self._contacts = f"{sandbox.company_url(COMPANY)}/contacts"
        self.edits: list[Edit] = []

    @property
    def pending(self) -> list[Edit]:
        """Edits that have not arrived."""
        return [edit for edit in self.edits if edit.arrived is None]

    def edit(self) -> None:
        """Edit some contact that nobody waits for, on either side in turn."""
        busy = {edit.pair for edit in self.pending}
        pair = self._chance.choice([pair for pair in self._pairs if pair not in busy])
        title, in_bc = f"Functie {len(self.edits)}", len(self.edits) % 2 == 0
        self._sandbox.as_user(*self._place(pair, in_bc, "PATCH"), {"jobTitle": title})
        self.edits.append(Edit(pair, in_bc, title, time.time()))

    def look(self, edit: Edit) -> None:
        """Note that an edit is there, if it is."""
        found = self._sandbox.as_user(*self._place(edit.pair, not edit.in_bc, "GET"))
        if found["jobTitle"] == edit.title:
            edit.arrived = time.time()

    def _place(self, pair: Pair, in_bc: bool, method: str) -> tuple[str, str, str]:
        if in_bc:
            return "bc", method, f"{self._contacts}({pair.contact})"
        root = f"{self._sandbox.info['graph_root']}/users/{pair.mailbox}"
        return "graph", method, f"{root}/contacts/{pair.item}"


def pairs_of(dump: dict[str, Any]) -> list[Pair]:
    """Return who is who by address, in the order of the mailboxes."""
    ids = {contact["email"]: contact["id"] for contact in dump["companies"][0]["contacts"]}
    return [
        Pair(box["user_principal_name"], ids[address], item["immutable_id"])
        for box in dump["mailboxes"]
        for folder in box["folders"]
        for item in folder["contacts"]
        for address in [item["properties"]["emailAddresses"][0]["address"]]
    ]


@dataclass
class Hour:
    """Users edit for some time; everything that is waited for is looked at about once a second."""

    users: Users
    minutes: float
    per_minute: int = EDITS_PER_MINUTE
    alive: Callable[[], None] = field(default=lambda: None)

    def pass_by(self) -> None:
        """Let it pass; return when all edits have arrived, or nobody waits for them any longer."""
        began = time.time()
        chance = random.Random(2)
        moments = sorted(
            chance.uniform(0, self.minutes * 60) for _ in range(round(self.minutes * self.per_minute))
        )
        with ThreadPoolExecutor(8) as pool:
            while moments or self.users.pending:
                while moments and moments[0] <= time.time() - began:
                    moments.pop(0)
                    self.users.edit()
                self.alive()
                looked = time.time()
                list(pool.map(self.users.look, self.users.pending))
                if looked - began > self.minutes * 60 + PATIENCE:
                    return
                # A look a second is what the figures are good for; it leaves the machine to what is measured.
                time.sleep(max(0.05, 1 - (time.time() - looked)))


def run(options: Options) -> list[Table]:
    """Return the percentiles; beside them, how long the same edits waited for the next minute to begin."""
    profiles = options.profiles or options.size(300, 3)
    minutes = 1.0 if options.small else options.minutes
    with office(profiles, CONTACT_SYNC_SCHEDULE="* * * * *") as o:
        o.sandbox.control("POST", "switches", {"graph_latency_ms": LATENCY_MS, "bc_latency_ms": LATENCY_MS})
        o.sandbox.control("POST", "counters/reset")
        users = Users(o.sandbox)
        o.airflow.pause(DAG, paused=False)
        note(f"{profiles} mailboxes, {EDITS_PER_MINUTE} edits a minute for {minutes:g} minutes")
        used = o.airflow.program.cpu_seconds()
        Hour(users, minutes, alive=o.airflow.program.require_alive).pass_by()
        cpu = o.airflow.program.cpu_seconds() - used
        o.airflow.pause(DAG, paused=True)
        counted = o.sandbox.writes()
        note_ = _about_runs(o, cpu)
    refused = int(counted["graph"]["refusals"]) + int(counted["bc"]["refusals"])
    return [figures(users.edits, profiles, refused, note_)]


def _about_runs(o: AirflowOffice, cpu: float) -> str:
    [(runs, failed, longest)] = o.ask(
        "SELECT count(*), count(*) FILTER (WHERE state = 'failed'), max(extract(epoch FROM end_date - start_date)) "
        "FROM dag_run WHERE dag_id = :dag",
        dag=DAG,
    )
    took = f"the longest {float(longest or 0):.0f} s; Airflow used {cpu:.0f} CPU s."
    return f"{runs} runs, {failed} of them failed, {took}"


def figures(edits: list[Edit], profiles: int, refused: int, about: str) -> Table:
    """Return the table: each direction, and both; what never arrived counts as long as it was waited for."""
    now = time.time()
    rows = []
    for name, chosen in (
        ("BC to Outlook", [edit for edit in edits if edit.in_bc]),
        ("Outlook to BC", [edit for edit in edits if not edit.in_bc]),
        ("both", edits),
    ):
        if not chosen:
            continue
        took = [edit.seconds(now) for edit in chosen]
        floor = [edit.to_next_minute for edit in chosen]
        lost = sum(edit.arrived is None for edit in chosen)
        cells = [
            f"{percentile(took, percent):.0f} ({percentile(floor, percent):.0f})" for percent in PERCENTS
        ]
        times = ratio(percentile(took, 50), percentile(floor, 50))
        rows.append(
            (
                name,
                str(profiles),
                str(len(chosen)),
                str(lost),
                *cells,
                f"{max(took):.0f}",
                times,
                str(refused),
            )
        )
    head = ("way", "mailboxes", "edits", "not arrived", *(f"p{percent} s" for percent in PERCENTS), "longest s",
            "p50 x", "answers 429")  # fmt: skip
    note_ = f"In brackets: how long it was until the next minute began. One run of the program. {about}"
    return Table("Edit to other side, a run a minute", head, rows, note_)
