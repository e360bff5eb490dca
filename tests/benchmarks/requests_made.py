"""Requests of each case of a profile's life, exact: the currency that Microsoft limits."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from sandbox import Sandbox
from tests.benchmarks import worlds
from tests.benchmarks.measuring import Options
from tests.benchmarks.report import Table
from tests.benchmarks.worlds import city

BATCH, BC_BATCH, DELTA_PAGE, BC_PAGE = 20, 100, 200, 20_000
HEAD = ("case", "Graph floor", "Graph reach", "Graph requests", "BC requests", "writes", "answers 429",
        "in flight: mailbox", "in flight: BC")  # fmt: skip


@dataclass(frozen=True)
class Case:
    """A case, and what it takes at least and at most by arithmetic on the documented limits; the reach may be open."""

    name: str
    floor: int
    reach: int


def pages(rows: int, size: int) -> int:
    """Return how many requests so many rows take, so many to a request."""
    return -(-rows // size)


def run(options: Options) -> list[Table]:
    """Return the counts; they are the same on each machine."""
    many, few = options.size(10_000, 100), options.size(45, 21)
    rows = [
        *_of_one(many, few),
        *_to_bc(options.size(50, 5), options.size(400, 30)),
        *_of_office(options.size(100, 5)),
    ]
    note = (
        "BC requests hold the shared read of the company: one for what changed, one for ids where that is due. "
        "Floors are arithmetic on the documented limits; the reach is what quality asks."
    )
    return [Table("Requests", HEAD, rows, note), window_scaled(options)]


def _row(case: Case, cost: dict[str, Any]) -> tuple[str, ...]:
    graph, bc = cost["graph"], cost["bc"]
    most = max((box["most_in_flight"] for box in graph["mailboxes"].values()), default=0)
    counts = (graph["requests"], bc["requests"], cost["writes"], graph["refusals"] + bc["refusals"], most)
    return (case.name, *map(str, (case.floor, case.reach, *counts, bc["most_in_flight"])))


def _of_one(many: int, few: int) -> Iterator[tuple[str, ...]]:
    """One profile that shows all: from the empty mailbox on."""
    with (
        Sandbox(world=worlds.office(many, 1), settings=worlds.OPEN_SANDBOX) as sim,
        worlds.client(sim) as h,
    ):
        h.import_office(1)
        batches = pages(many, BATCH)
        yield _row(Case(f"first full sync of {many}", batches + 2, batches + 10), h.counted("full"))
        yield _row(
            Case("the run behind it (echo)", pages(many, DELTA_PAGE), pages(many, DELTA_PAGE)), h.counted()
        )
        yield _row(Case("nothing changed", 1, 1), h.counted())
        ids = h.ids()
        h.edit(ids[0], "Directeur")
        yield _row(Case("one changed in BC", 2, 3), h.counted())
        h.counted()
        for n in ids[:few]:
            h.edit(n, "Chef")
        yield _row(Case(f"{few} changed in BC", 1 + pages(few, BATCH), 2 + pages(few, BATCH)), h.counted())
        h.counted()
        # Others: with all of the newest gone at once, Business Central would look as after a restore.
        for n in ids[few : 2 * few]:
            h.in_bc("DELETE", f"contacts({n})")
        yield _row(Case(f"{few} deleted in BC", 1 + pages(few, BATCH), 2 + pages(few, BATCH)), h.counted())
        h.counted()


def _to_bc(edits: int, unmapped_edits: int) -> Iterator[tuple[str, ...]]:
    """What users do in Outlook."""
    with (
        Sandbox(world=worlds.office(unmapped_edits, 1), settings=worlds.OPEN_SANDBOX) as sim,
        worlds.client(sim) as h,
    ):
        h.import_office(1)
        h.counted("full")
        h.counted()
        items = list(h.items().values())
        for item in items[:edits]:
            h.in_outlook("PATCH", f"contacts/{item['id']}", {"jobTitle": "Directeur"})
        reads = 1 + pages(edits, BATCH)
        yield _row(Case(f"{edits} changed in Outlook", reads, reads + 1), h.counted())
        h.counted()
        # Graph's stamps are of whole seconds: what changes within the second of our own write has to be looked up.
        sim.control("POST", "clock", {"advance_seconds": 60})
        for item in items:
            h.in_outlook("PATCH", f"contacts/{item['id']}", {"spouseName": "Kim"})
        unmapped = pages(len(items), DELTA_PAGE)
        case = Case(f"{len(items)} changed in Outlook, nothing that is mapped", unmapped, unmapped + 1)
        yield _row(case, h.counted())
        folder = h.folder_id()
        for n in range(45):
            address = [{"address": f"nieuw{n}@klant.example", "name": f"Nieuw {n}"}]
            new = {
                "givenName": "Nieuw",
                "surname": f"{n}",
                "displayName": f"Nieuw {n}",
                "emailAddresses": address,
            }
            h.in_outlook("POST", f"contactFolders/{folder}/contacts", new)
        # The delta, a look-up of their keys and flags, and afterwards a key on each of them.
        floor = 1 + 2 * pages(45, BATCH)
        yield _row(Case("45 added in Outlook", floor, floor + 1), h.counted())


def _of_office(profiles: int) -> Iterator[tuple[str, ...]]:
    """Many profiles of one company."""
    with (
        Sandbox(world=worlds.office(profiles * 5, profiles), settings=worlds.OPEN_SANDBOX) as sim,
        worlds.client(sim) as h,
    ):
        h.import_office(profiles)
        h.counted("full")
        h.counted()
        asked = pages(profiles, BATCH)
        yield _row(Case(f"{profiles} profiles, nothing changed", asked, asked), h.counted())
        h.in_bc("PATCH", f"contacts({h.ids()[0]})", {"city": city(0), "jobTitle": "Chef"})
        # The questions about the others, and of the one its delta and the write.
        floor = pages(profiles - 1, BATCH) + 2
        case = Case(f"{profiles} profiles, one contact of one of them changed in BC", floor, floor + 1)
        yield _row(case, h.counted())


def window_scaled(options: Options) -> Table:
    """A first sync within the service's window, at a hundredth of both: 100 operations in 6 seconds."""
    contacts = options.size(450, 60)
    operations, seconds = (100, 6.0) if not options.small else (20, 1.2)
    limits = {"graph_window_operations": operations, "graph_window_seconds": seconds}
    with (
        # Its time passes only where somebody waits, so that the figure is exact.
        Sandbox(transport="in_process", world=worlds.office(contacts, 1), settings=limits) as sim,
        worlds.timed(sim, graph_window_operations=operations, graph_window=seconds) as h,
    ):
        h.import_office(1)
        assert sim.time is not None
        began = sim.time.time()
        cost = h.counted("full")
        took = sim.time.time() - began
    floor = (contacts - 1) // operations * seconds
    refused = str(cost["graph"]["refusals"])
    row = (
        str(contacts),
        f"{operations} in {seconds:g} s",
        f"{floor:.1f}",
        f"{took:.1f}",
        f"{took / floor:.2f}",
        refused,
    )
    head = ("contacts", "window", "floor s", "s", "x", "answers 429")
    return Table(
        "A first sync within the window, scaled", head, [row], "Reach: 1.05 x the window, no answer 429."
    )
