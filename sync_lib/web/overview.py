"""Overview: how every profile is doing, worst first; and what became of each one in a given run.

What is read is in ``store.queries.overview``, how it is shown in ``templates/overview_profiles.html``. Starting a
run is no route of ours: the page asks Airflow's own REST API, which knows who may, and keeps the log of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query
from fastapi.responses import HTMLResponse
from pydantic import BaseModel

from sync_lib.store import company_names, runs
from sync_lib.store.profiles import endings
from sync_lib.store.progress import read_reading
from sync_lib.store.queries import overview as store
from sync_lib.store.queries.overview import Bar, Wanted
from sync_lib.web.language import msg
from sync_lib.web.pages import Page
from sync_lib.web.visit import CurrentVisit, PartNumber, SearchText, Visit

router = APIRouter()
PAGE = Page("overview", "", msg("Overview"), router)

PART_SIZE = 50
#: Profiles that have ended, the last ones, below the list.
ENDED_SHOWN = 50
_BAR, _GAP, _HEIGHT = 5, 2, 22

State = Literal["", "failed", "held", "running", "never", "skipped", "done", "off"]
Sort = Literal["state", "mailbox", "company", "started", "good", "rejects"]


@dataclass(frozen=True, slots=True)
class Column:
    """A column that the list can be sorted by; ``first`` is the direction of the first click on it."""

    sort: str
    title: str
    first: str = "up"


COLUMNS = (
    Column("state", msg("State")),
    Column("mailbox", msg("Mailbox")),
    Column("started", msg("Last run"), "down"),
    Column("good", msg("Last good sync")),
)


class Asked(BaseModel):
    """What the address says about the list."""

    q: SearchText = ""
    state: State = ""
    sort: Sort = "state"
    order: Literal["", "up", "down"] = ""
    part: PartNumber = 1

    def wanted(self, run: str = "") -> Wanted:
        """Return it as the store takes it."""
        return Wanted(run, self.q, self.state, self.sort, self.order == "down", self.part, PART_SIZE)


@router.get("/")
def overview(visit: CurrentVisit, asked: Annotated[Asked, Query()]) -> HTMLResponse:
    """Show all profiles, each with its last run."""
    return _show(visit, asked.wanted())


@router.get("/runs/{run_id:path}")
def run(visit: CurrentVisit, run_id: str, asked: Annotated[Asked, Query()]) -> HTMLResponse:
    """Show what became of each profile in one run."""
    return _show(visit, asked.wanted(run_id.replace("\0", "")))


def _show(visit: Visit, wanted: Wanted) -> HTMLResponse:
    with visit.read() as conn:
        run_line = store.read_run_line(conn, wanted.run) if wanted.run else store.read_last_run(conn)
        found = store.read_overview(conn, wanted)
        companies = (
            [each for each in runs.read_company_results(conn, wanted.run) if each.reason]
            if wanted.run
            else []
        )
        reading = [] if wanted.run else read_reading(conn)
        cleaned = runs.read_fact(conn, "airflow", "cleaned_at")
        ended = [] if wanted.run else endings.read_ended_list(conn, ENDED_SHOWN)
        listed = [] if found.counts else [each.name for each in company_names.read_listed(conn)]
    values: dict[str, Any] = {
        "messages": None if wanted.run else visit.seams.messages(),
        "told": visit.runs_in_words([wanted.run]).get(wanted.run) if wanted.run else None,
        "wanted": wanted,
        "run": run_line,
        "found": found,
        "companies": companies,
        "columns": COLUMNS,
        "states": store.STATES,
        "size": PART_SIZE,
        "address": f"runs/{wanted.run}" if wanted.run else "",
        "bars": bars,
        "cleaned": cleaned,
        "reading": reading,
        "ended": ended,
        "listed": listed,
    }
    if visit.wants_fragment("profiles"):
        return visit.fragment("overview_profiles.html", **values)
    return visit.page("overview.html", "overview", **values)


@dataclass(frozen=True, slots=True)
class DrawnBar:
    """A bar of the small chart, in its own units."""

    x: int
    y: int
    height: int
    state: str
    started_at: str
    written: int


def bars(history: Sequence[Bar]) -> list[DrawnBar]:
    """Return the bars of the small chart: as high as what a run wrote, on a scale by powers of four.

    A run that wrote nothing has a low bar, so that one sees that it was there.
    """
    drawn = []
    for n, bar in enumerate(history):
        steps = (bar.written.bit_length() + 1) // 2
        height = min(_HEIGHT, 4 + 3 * steps)
        drawn.append(
            DrawnBar(n * (_BAR + _GAP), _HEIGHT - height, height, bar.state, bar.started_at, bar.written)
        )
    return drawn
