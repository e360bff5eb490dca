"""How long an edit takes to the other side: a run a minute, many mailboxes, users who edit on both sides.

Within the hour somebody new gets a first sync, some profiles get a full one, and one contact that everybody has is
changed: what they take stands apart, and what they cost the others shows in the others' figures.
"""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from demo_parts.sandbox import SandboxInstance
from sqlalchemy import func, select

from sync_lib.store.engine import read
from sync_lib.store.tables import coupling, sync_profile
from tests.benchmarks import worlds
from tests.benchmarks.airflow_office import DAG, EACH, AirflowOffice, Office, open_office
from tests.benchmarks.measuring import Options, note
from tests.benchmarks.report import Table, percentile, ratio
from tests.sync.harness import COMPANY

EDITS_PER_MINUTE, LATENCY_MS = 20, 100
#: Seconds for which edits are still waited for once nobody edits any more.
PATIENCE = 600
PERCENTS = (50, 95, 99)
#: In how many folders each contact is, but for the one that is in all.
FOLDERS = 3
#: Contacts of the colleague who is new, and how many profiles get a full sync.
FIRST_SYNC, FULL_SYNCS = 5_000, 20
NEWCOMER, EVERYWHERE = "nieuw@voorbeeld.example", "Overal"


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
        pairs = pairs_of(sandbox.dump())
        folders = Counter(pair.contact for pair in pairs)
        most = max(folders.values())
        self._everywhere = [pair for pair in pairs if most > FOLDERS and folders[pair.contact] == most]
        # One contact is edited once: what its other folders still have to get is no conflict then.
        once = {pair.contact: pair for pair in random.Random(seed).sample(pairs, len(pairs))}
        self._untouched = [pair for pair in once.values() if pair not in self._everywhere]
        self._contacts = f"{sandbox.company_url(COMPANY)}/contacts"
        self.edits: list[Edit] = []
        self.edits_everywhere: list[Edit] = []

    @property
    def pending(self) -> list[Edit]:
        """Edits that have not arrived."""
        return [edit for edit in (*self.edits, *self.edits_everywhere) if edit.arrived is None]

    def edit(self) -> None:
        """Edit some contact that nobody has edited, on either side in turn."""
        pair = self._untouched.pop()
        title, in_bc = f"Functie {len(self.edits)}", len(self.edits) % 2 == 0
        self._sandbox.as_user(*self._place(pair, in_bc, "PATCH"), {"jobTitle": title})
        self.edits.append(Edit(pair, in_bc, title, time.time()))

    def edit_everywhere(self) -> None:
        """Edit, in Business Central, the contact that is in everybody's folder."""
        title = "Overal dezelfde"
        self._sandbox.as_user(*self._place(self._everywhere[0], True, "PATCH"), {"jobTitle": title})
        self.edits_everywhere = [Edit(pair, True, title, time.time()) for pair in self._everywhere]

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
class Event:
    """Something large beside the edits, once: when it begins, and when it was done."""

    about: str
    share: float
    begin: Callable[[], None]
    done: Callable[[], bool]
    began: float | None = None
    ended: float | None = None

    @property
    def is_over(self) -> bool:
        """Whether it was done."""
        return self.ended is not None

    def look(self, passed: float) -> None:
        """Begin where so large a share of the time has passed; note that it is done."""
        if self.began is None and passed >= self.share:
            note(self.about)
            self.began = time.time()
            self.begin()
        elif self.began is not None and self.ended is None and self.done():
            self.ended = time.time()


@dataclass
class Hour:
    """Users edit for some time; everything that is waited for is looked at about once a second."""

    users: Users
    minutes: float
    events: Sequence[Event] = ()
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
            while moments or self.users.pending or not all(event.is_over for event in self.events):
                while moments and moments[0] <= time.time() - began:
                    moments.pop(0)
                    self.users.edit()
                self.alive()
                looked = time.time()
                for event in self.events:
                    event.look((looked - began) / (self.minutes * 60))
                list(pool.map(self.users.look, self.users.pending))
                if looked - began > self.minutes * 60 + PATIENCE:
                    return
                # A look a second is what the figures are good for; it leaves the machine to what is measured.
                time.sleep(max(0.05, 1 - (time.time() - looked)))


def run(options: Options) -> list[Table]:
    """Return the percentiles; beside them, how long the same edits waited for the next minute to begin."""
    profiles = options.profiles or options.size(300, 6)
    minutes = 1.0 if options.small else options.minutes
    first = options.size(FIRST_SYNC, 30)
    with open_office(office(profiles, first), CONTACT_SYNC_SCHEDULE="* * * * *") as o:
        o.sandbox.control("POST", "switches", {"graph_latency_ms": LATENCY_MS, "bc_latency_ms": LATENCY_MS})
        o.sandbox.control("POST", "counters/reset")
        users = Users(o.sandbox)
        o.airflow.pause(DAG, paused=False)
        note(f"{profiles} mailboxes, {EDITS_PER_MINUTE} edits a minute for {minutes:g} minutes")
        used = o.airflow.program.cpu_seconds()
        events = [
            _first_sync(o, first),
            _full_sync(o, min(FULL_SYNCS, profiles // 2)),
            _everywhere(users, profiles),
        ]
        Hour(users, minutes, events, alive=o.airflow.program.require_alive).pass_by()
        cpu = o.airflow.program.cpu_seconds() - used
        o.airflow.pause(DAG, paused=True)
        counted = o.sandbox.writes()
        note_ = _about_runs(o, cpu)
    refused = int(counted["graph"]["refusals"]) + int(counted["bc"]["refusals"])
    return [figures(users.edits, profiles, refused, note_), beside(events)]


def office(profiles: int, first: int) -> Office:
    """Return a world in which each contact is in three folders, one in all, and many are of somebody new."""
    world = worlds.office(profiles * EACH, profiles)
    contacts = world["companies"][0]["contacts"]
    more = worlds.people(len(contacts) + first + 1)[len(contacts) :]
    cities = [worlds.city(profiles)] * first + [EVERYWHERE]
    contacts += [{**each, "city": city} for each, city in zip(more, cities, strict=True)]
    world["mailboxes"].append(NEWCOMER)

    def shown(profile: int) -> str:
        near = [worlds.city((profile + n) % profiles) for n in range(FOLDERS)]
        return "|".join([*dict.fromkeys(near), EVERYWHERE])

    rows = [
        row | {"filter": {"City": shown(profile)}}
        for profile, row in enumerate(worlds.profile_rows(profiles))
    ]
    return Office(world, rows)


def _first_sync(o: AirflowOffice, count: int) -> Event:
    """Somebody new gets a profile; done when all contacts are coupled."""
    city = worlds.city(len(o.mailboxes))

    def begin() -> None:
        with o.staging() as sync:
            sync.import_rows([{"mailbox": NEWCOMER, "company": COMPANY, "filter": {"City": city}}])

    asked = (
        select(func.count())
        .select_from(coupling)
        .join(sync_profile, sync_profile.c.id == coupling.c.profile)
        .where(sync_profile.c.mailbox == NEWCOMER)
    )

    def done() -> bool:
        with read(o.staging_engine) as conn:
            return conn.scalar(asked) == count

    return Event(f"first sync of {count} contacts of somebody new", 0.2, begin, done)


def _full_sync(o: AirflowOffice, count: int) -> Event:
    """A full sync of some profiles by hand, until its run has ended."""
    runs: list[str] = []

    def begin() -> None:
        runs.append(o.airflow.trigger(DAG, mode="full", profiles=o.mailboxes[:count]))

    return Event(f"full sync of {count} profiles", 0.5, begin, lambda: o.has_ended(DAG, runs[0]))


def _everywhere(users: Users, profiles: int) -> Event:
    def done() -> bool:
        return all(edit.arrived is not None for edit in users.edits_everywhere)

    return Event(f"one contact in {profiles} folders changed", 0.75, users.edit_everywhere, done)


def beside(events: Sequence[Event]) -> Table:
    """Return how long each took from its beginning to its end; ``-`` for what never ended."""
    rows = [
        (event.about, f"{event.ended - event.began:.0f}" if event.began and event.ended else "-")
        for event in events
    ]
    return Table(
        "Within the same time", ("what", "s"), rows, "It began with the next run, so up to 60 s later."
    )


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
