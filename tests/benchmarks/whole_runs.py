"""Whole runs of the sync in a process of its own, beside a sandbox in another: time, processor, memory, growth."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import requests

from tests.benchmarks import worlds
from tests.benchmarks.measuring import Cost, Options, apart, cost_of, median, note, peak_memory
from tests.benchmarks.report import Table, growth, ratio, seconds
from tests.benchmarks.worlds import Client, Elsewhere

BATCH = 20


@dataclass(frozen=True)
class Life:
    """What the runs of a profile's first days cost; the peak of memory after the first, and before it began."""

    costs: dict[str, Cost]
    mib: int
    idle: int = 0


class _Attached(Elsewhere):
    """A sandbox that another process has started: known by its address."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._session = requests.Session()
        self._session.trust_env = False
        self._info = None

    def control(self, method: str, path: str, body: Any = None) -> Any:
        answer = self._session.request(method, f"{self._url}/__sim/{path}", json=body, timeout=600)
        answer.raise_for_status()
        return answer.json()


@contextmanager
def _client(url: str, **settings: Any) -> Iterator[Client]:
    with worlds.client(_Attached(url), **settings) as h:
        yield h


def one_life(url: str, profiles: int, changes: int, further: int = 0) -> Life:
    """Return the costs of a first sync, the run behind it, runs without a change, and a run with some changes."""
    with _client(url) as h:
        h.import_office(profiles)
        idle = peak_memory()
        costs = {"first": cost_of(lambda: h.counted("full"))}
        mib = peak_memory()
        costs["echo"] = cost_of(h.counted)
        h.counted()
        costs["nothing"] = median([cost_of(h.counted) for _ in range(1 + further)])
        contacts = h.ids()[:changes]
        found = []
        for turn in range(1 + further):
            for contact in contacts:
                h.edit(contact, f"Functie {turn}")
            found.append(cost_of(h.counted))
            h.counted()
        costs["changed"] = median(found)
        return Life(costs, mib, idle)


def _lives(rounds: int, count: int, profiles: int, changes: int) -> Life:
    found = []
    for _ in range(rounds):
        with worlds.sandbox(worlds.office(count, profiles)) as sim:
            found.append(apart(one_life, sim.instance.url, profiles, changes, 2))
    costs = {name: median([life.costs[name] for life in found]) for name in found[0].costs}
    return Life(costs, max(life.mib for life in found), max(life.idle for life in found))


def attached(url: str) -> Elsewhere:
    """Return a sandbox that another process has started."""
    return _Attached(url)


# -- a bare loop -----------------------------------------------------------------------------------------------------


def app_token(session: requests.Session, info: dict[str, Any]) -> str:
    """Return a token of the app for Graph."""
    asked = {
        "client_id": info["client_id"],
        "client_secret": info["client_secret"],
        "grant_type": "client_credentials",
        "scope": "https://graph.microsoft.com/.default",
    }
    answer = session.post(f"{info['authority']}/oauth2/v2.0/token", data=asked, timeout=60)
    answer.raise_for_status()
    return str(answer.json()["access_token"])


def bare_loop(url: str, contacts: int) -> Cost:
    """Return what it costs to send the same contacts in batches and to do nothing else."""
    sim = _Attached(url)
    info = sim.info()
    session = requests.Session()
    session.trust_env = False
    headers = {"Authorization": f"Bearer {app_token(session, info)}"}
    graph = info["graph_root"]
    user = info["mailboxes"][0]["user_principal_name"]
    made = session.post(
        f"{graph}/users/{user}/contactFolders", json={"displayName": "Bare"}, headers=headers, timeout=60
    )
    made.raise_for_status()
    where = f"/users/{user}/contactFolders/{made.json()['id']}/contacts"
    bodies = [item(n) for n in range(contacts)]
    batches = [
        {"requests": [
            {"id": str(k), "method": "POST", "url": where, "body": body,
             "headers": {"Content-Type": "application/json"}}
            for k, body in enumerate(bodies[start : start + BATCH])
        ]}
        for start in range(0, contacts, BATCH)
    ]  # fmt: skip

    def loop() -> None:
        for batch in batches:
            sent = session.post(f"{graph}/$batch", json=batch, headers=headers, timeout=60)
            sent.raise_for_status()
            assert all(part["status"] == 201 for part in sent.json()["responses"])

    return cost_of(loop)


def item(n: int) -> dict[str, Any]:
    """Return a contact as Outlook takes it, with every mapped field."""
    return {
        "displayName": f"Jan van der Berg{n}",
        "givenName": "Jan",
        "surname": f"van der Berg{n}",
        "emailAddresses": [{"address": f"p{n}@klant.example", "name": f"Jan van der Berg{n}"}],
        "jobTitle": "Inkoper",
        "businessPhones": [f"020 555 {n % 10_000:04}"],
        "mobilePhone": f"+31 6 5550 {n % 10_000:04}",
        "businessAddress": {"street": f"Kade {n}", "city": "Zaandam", "postalCode": "1501 AB",
                            "countryOrRegion": "Nederland"},
    }  # fmt: skip


# -- the programs ----------------------------------------------------------------------------------------------------


def runs(options: Options) -> list[Table]:
    """Local work of a first sync of 10,000 contacts, of a run without a change, and with 1 % changed."""
    count = options.size(10_000, 60)
    life = _lives(options.size(options.rounds, 1), count, 1, max(1, count // 100))
    bare = []
    for _ in range(options.size(options.rounds, 1)):
        with worlds.sandbox(worlds.office(1, 1)) as sim:
            bare.append(apart(bare_loop, sim.instance.url, count))
    floor = median(bare)
    reaches = {"first": "4 s, 250 MiB", "echo": "-", "nothing": "50 ms", "changed": "150 ms"}
    rows = [
        (
            name, str(count), seconds(cost.cpu), reaches[name], seconds(cost.wall),
            seconds(floor.cpu) if name == "first" else "-",
            ratio(cost.cpu, floor.cpu) if name == "first" else "-",
            f"{life.mib} ({life.idle})" if name == "first" else "-",
        )
        for name, cost in life.costs.items()
    ]  # fmt: skip
    head = (
        "run",
        "contacts",
        "CPU",
        "reach",
        "wall",
        "CPU of a bare loop of the same batches",
        "x",
        "peak MiB (before it began)",
    )
    note_ = "The client's process alone, imports not counted; wall has the sandbox's own work in it."
    return [Table("Local work of whole runs", head, rows, note_)]


def loop(options: Options) -> list[Table]:
    """First sync at a latency of 20 ms per operation, four at a time, beside a bare loop of its batches."""
    count = options.size(2_000, 60)
    ours, bare = [], []
    for _ in range(options.size(options.rounds, 1)):
        settings = {**worlds.OPEN_SANDBOX, "graph_latency_ms": 20}
        with worlds.sandbox(worlds.office(count, 1), settings) as sim:
            ours.append(apart(_first, sim.instance.url, 1))
        with worlds.sandbox(worlds.office(1, 1), settings) as sim:
            bare.append(apart(bare_loop, sim.instance.url, count))
    mine, floor = median(ours), median(bare)
    per = mine.cpu / count * 1e3
    row = (
        str(count), seconds(floor.wall), seconds(mine.wall), ratio(mine.wall, floor.wall), f"{per:.2f}",
        f"{floor.cpu / count * 1e3:.2f}",
    )  # fmt: skip
    head = ("contacts", "bare loop", "whole first sync", "x", "CPU ms per contact", "of the bare loop")
    return [
        Table("First sync at 20 ms", head, [row], "Reach: <= 1.1 x the bare loop, <= 0.3 ms per contact.")
    ]


def _first(url: str, profiles: int) -> Cost:
    with _client(url) as h:
        h.import_office(profiles)
        return cost_of(lambda: h.counted("full"))


def window(options: Options) -> list[Table]:
    """A first sync of 10,000 contacts within the documented window: 10,000 operations in 600 seconds."""
    count = options.size(10_000, 60)
    limits: dict[str, Any] = {"graph_window_operations": 10_000, "graph_window_seconds": 600}
    if options.small:
        limits = {"graph_window_operations": 20, "graph_window_seconds": 1.2}
    with worlds.sandbox(worlds.office(count, 1), limits) as sim:
        wall, requests_made, refused, mib, cpu = apart(_within, sim.instance.url, limits)
    # The look-up of the folder, its making and its marker count as well, so the last contacts wait for a new window.
    floor = count // limits["graph_window_operations"] * limits["graph_window_seconds"]
    row = (
        str(count),
        f"{floor:.0f}",
        f"{wall:.1f}",
        ratio(wall, floor),
        str(requests_made),
        str(refused),
        f"{cpu:.1f}",
        str(mib),
    )
    head = ("contacts", "window s", "s", "x", "Graph requests", "answers 429", "CPU s", "peak MiB")
    note_ = "Reach: <= 1.05 x, no answer 429. Measured once."
    return [Table("First sync under the service's window", head, [row], note_)]


def _within(url: str, limits: dict[str, Any]) -> tuple[float, int, int, int, float]:
    settings = {
        "graph_window_operations": limits["graph_window_operations"],
        "graph_window": float(limits["graph_window_seconds"]),
    }
    with _client(url, **settings) as h:
        h.import_office(1)
        found: list[dict[str, Any]] = []
        cost = cost_of(lambda: found.append(h.counted("full")))
        graph = found[0]["graph"]
        return cost.wall, graph["requests"], graph["refusals"], peak_memory(), cost.cpu


def contacts(options: Options) -> list[Table]:
    """How runs grow with the contacts of a profile; and a profile of 1,000 in a company that grows."""
    rows = []
    lives: dict[int, Life] = {}
    for count in options.sizes(1_000, 10_000, 100_000, small=(20, 200)):
        lives[count] = _lives(1, count, 1, max(1, count // 1000))
        rows.append(("all", *_life_row(count, lives[count])))
        note(f"{count} contacts done")
    part = options.size(1_000, 20)
    for count in options.sizes(1_000, 10_000, 100_000, small=(20, 200)):
        shares = max(1, count // part)
        with worlds.sandbox(worlds.office(count, shares)) as sim:
            life = apart(_one_of_many, sim.instance.url, shares)
        rows.append((str(min(part, count)), *_life_row(count, life)))
    head = ("in the profile", "in BC", "first CPU", "nothing CPU", "changed CPU", "peak MiB after the first")
    grown = [
        ("first", *map(str, step[:2]), f"{step[2]:.1f}")
        for step in growth({n: life.costs["first"].cpu for n, life in lives.items()})
    ] + [
        ("nothing", *map(str, step[:2]), f"{step[2]:.1f}")
        for step in growth({n: life.costs["nothing"].cpu for n, life in lives.items()})
    ]
    note_ = (
        "Changed: one contact in a thousand. The first sync is measured once, the others three times. "
        "Cost must grow with what changed: the last rows should be flat."
    )
    return [
        Table("Runs of one profile", head, rows, note_),
        Table("Ten times the contacts", ("run", "from", "to", "CPU x"), grown),
    ]


def _one_of_many(url: str, profiles: int) -> Life:
    """The life of the first profile of an office, alone."""
    with _client(url) as h:
        if profiles == 1:
            h.import_office(1)
        else:
            h.add_profiles(worlds.mailbox(0), filter={"City": worlds.city(0)})
        costs = {"first": cost_of(lambda: h.counted("full"))}
        mib = peak_memory()
        h.counted()
        costs["nothing"] = median([cost_of(h.counted) for _ in range(3)])
        found = []
        for contact in h.ids()[: 3 * profiles : profiles]:
            h.edit(contact, "Functie")
            found.append(cost_of(h.counted))
            h.counted()
        costs["changed"] = median(found)
        return Life(costs, mib)


def _life_row(count: int, life: Life) -> tuple[str, ...]:
    cpu = (seconds(life.costs[name].cpu) for name in ("first", "nothing", "changed"))
    return (str(count), *cpu, str(life.mib))


def profiles(options: Options) -> list[Table]:
    """How runs grow with the number of profiles, all in one process: without Airflow's own cost."""
    rows = []
    nothing: dict[int, float] = {}
    for count in options.sizes(10, 100, 1_000, many=10_000, small=(1, 10)):
        with worlds.sandbox(worlds.office(count * 5, count)) as sim:
            life = apart(one_life, sim.instance.url, count, 1, 2)
        nothing[count] = life.costs["nothing"].cpu
        per = life.costs["nothing"].cpu / count
        rows.append(
            (
                str(count),
                *(seconds(life.costs[name].cpu) for name in ("first", "nothing", "changed")),
                seconds(per),
            )
        )
        note(f"{count} profiles done")
    head = (
        "profiles of 5 contacts",
        "first CPU",
        "nothing CPU",
        "one contact changed CPU",
        "nothing, per profile",
    )
    grown = [(str(a), str(b), f"{x:.1f}") for a, b, x in growth(nothing)]
    note_ = "The client's process alone, SQLite. The first sync is measured once, the others three times."
    return [
        Table("Runs over many profiles", head, rows, note_),
        Table("Ten times the profiles, nothing changed", ("from", "to", "CPU x"), grown),
    ]
