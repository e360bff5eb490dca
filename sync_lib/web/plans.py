"""Plans: what a run did to a profile, or would do, from the old to the new value; and what waits for a person.

Deciding is no route of ours: the page asks Airflow's own REST API, which knows who may, and keeps the log of it. An
answer goes to the run that asks about exactly this hold, so that it can never decide about another one.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from typing import Annotated, Any, Literal

from fastapi import APIRouter, HTTPException, Path, Query
from fastapi.responses import HTMLResponse, JSONResponse, Response
from pydantic import BaseModel, Field

from sync_lib.store import holds
from sync_lib.store.holds import HoldState
from sync_lib.store.queries import plans as store
from sync_lib.store.queries.plans import HoldLine, PlanHead, Wanted
from sync_lib.web import words
from sync_lib.web.language import msg
from sync_lib.web.pages import Page
from sync_lib.web.spreadsheet import spreadsheet
from sync_lib.web.visit import CurrentVisit, PartNumber, SearchText, Visit

logger = logging.getLogger(__name__)

router = APIRouter()
PAGE = Page("plans", "plans", msg("To decide"), router)

PART_SIZE = 50
APPROVAL_DAG = "contact_sync_approval"
QUESTION = "wait_for_person"

_TITLES = (
    msg("Mailbox"),
    msg("Company"),
    msg("Run"),
    msg("When"),
    msg("Written to"),
    msg("Action"),
    msg("Outcome"),
    msg("Name"),
    msg("E-mail address"),
    msg("Field"),
    msg("Old value"),
    msg("New value"),
    msg("Lost a conflict"),
    msg("Planned because"),
    msg("Reason"),
    msg("Id in Business Central"),
    msg("Id in Outlook"),
)

# PostgreSQL counts in 64 bits; no id of ours comes near it.
Key = Annotated[int, Path(ge=1, lt=2**53)]


class AskedList(BaseModel):
    """What the address says about the list of holds."""

    q: SearchText = ""
    state: Literal["", "open", "approved", "rejected", "superseded", "applied"] = ""
    part: PartNumber = 1


class Asked(BaseModel):
    """What the address says about the list of changes."""

    q: SearchText = ""
    action: SearchText = ""
    outcome: SearchText = ""
    part: PartNumber = 1

    def wanted(self, profile: int, run: str = "", plan: int | None = None) -> Wanted:
        """Return it as the store takes it."""
        return Wanted(profile, run.replace("\0", ""), plan, self.q, self.action, self.outcome)


class AskedFile(Asked):
    """The same, and whose changes: of a profile in a run, or of a hold."""

    profile: Annotated[int, Field(ge=1, lt=2**31)] | None = None
    run: SearchText = ""
    hold: Annotated[int, Field(ge=1, lt=2**53)] | None = None


@router.get("/plans")
def plans(visit: CurrentVisit, asked: Annotated[AskedList, Query()]) -> HTMLResponse:
    """Show what waits for a person."""
    with visit.read() as conn:
        counts = store.count_holds(conn, asked.q)
        values: dict[str, Any] = {
            "asked": asked,
            "counts": counts,
            "total": sum(
                counts.get(state, 0) for state in ([asked.state] if asked.state else store.IN_FORCE)
            ),
            "states": [str(state) for state in HoldState],
            "lines": store.read_hold_lines(conn, asked.state, asked.q, asked.part, PART_SIZE),
            "size": PART_SIZE,
        }
    if visit.wants_fragment("plans"):
        return visit.fragment("plans_list.html", **values)
    return visit.page("plans.html", "plans", **values)


@router.get("/plans/{profile}/{run_id:path}")
def plan(visit: CurrentVisit, profile: Key, run_id: str, asked: Annotated[Asked, Query()]) -> HTMLResponse:
    """Show what a run did to a profile, or would do."""
    wanted = asked.wanted(profile, run_id)
    with visit.read() as conn:
        head = _found(store.read_head(conn, profile, wanted.run))
        values = _changes(conn, wanted, asked)
    address = f"plans/{profile}/{wanted.run}"
    values |= {"head": head, "address": address, "file": {"profile": profile, "run": wanted.run}}
    if visit.wants_fragment("changes"):
        return visit.fragment("plans_changes.html", **values)
    values["told"] = visit.runs_in_words([wanted.run]).get(wanted.run)
    return visit.page("plans_run.html", "history", **values)


@router.get("/holds/{key}")
def hold(visit: CurrentVisit, key: Key, asked: Annotated[Asked, Query()]) -> HTMLResponse:
    """Show what a hold keeps from being done, why, and what a person said of it."""
    with visit.read() as conn:
        line: HoldLine = _found(store.read_hold_line(conn, key))
        values: dict[str, Any] = {
            "line": line,
            "hold": line.hold,
            "address": f"holds/{key}",
            "file": {"hold": key},
            "question": question(line.hold),
        }
        if visit.wants_fragment("hold"):
            return visit.fragment("plans_hold_panel.html", **values)
        if line.hold.plan is not None:
            values |= _changes(conn, asked.wanted(line.hold.profile or 0, plan=line.hold.plan), asked)
    if visit.wants_fragment("changes"):
        return visit.fragment("plans_changes.html", **values)
    return visit.page("plans_hold.html", "plans", **values)


@router.post("/holds/{key}/ask_again")
def ask_again(visit: CurrentVisit, key: Key) -> JSONResponse:
    """Let a person be asked about a rejected hold once more; answer with the run of the approval DAG that asks."""
    with visit.transaction() as conn:
        _found(holds.read_hold(conn, key))
        asked = holds.ask_again(conn, key)
    if asked is None:
        raise HTTPException(
            409, msg("This hold was not rejected, or waits again already: there is nothing to ask.")
        )
    logger.info("hold %d is asked about again", key)
    return JSONResponse({"run": asked.request, "conf": {"hold": asked.id, "asked": asked.asked}})


@router.get("/changes.csv")
def changes_file(visit: CurrentVisit, asked: Annotated[AskedFile, Query()]) -> Response:
    """Hand out all changes of a plan or a hold, a line for each field."""
    with visit.read() as conn:
        if asked.hold is not None:
            line: HoldLine = _found(store.read_hold_line(conn, asked.hold))
            wanted = asked.wanted(line.hold.profile or 0, plan=_found(line.hold.plan))
        else:
            wanted = asked.wanted(_found(asked.profile), asked.run)
        head = _found(store.read_head(conn, wanted.profile, wanted.run))
    return spreadsheet(visit, "contact_sync_changes", _rows(visit, head, wanted))


def question(hold: holds.Hold) -> str:
    """Return where Airflow takes the answer about a hold, below its REST API."""
    return f"dags/{APPROVAL_DAG}/dagRuns/{hold.request}/taskInstances/{QUESTION}/-1/hitlDetails"


def _changes(conn: Any, wanted: Wanted, asked: Asked) -> dict[str, Any]:
    groups = store.count_changes(conn, wanted)
    total = sum(
        group.count
        for group in groups
        if asked.action in ("", group.action) and asked.outcome in ("", group.outcome)
    )
    lines = store.read_changes(conn, wanted, asked.part, PART_SIZE)
    return {
        "asked": asked,
        "groups": groups,
        "total": total,
        "lines": lines,
        "size": PART_SIZE,
        "profile": wanted.profile,
    }


def _found(value: Any) -> Any:
    if value is None:
        raise HTTPException(404)
    return value


def _rows(visit: Visit, head: PlanHead, wanted: Wanted) -> Iterator[Sequence[object]]:
    yield [visit.text(title) for title in _TITLES]
    with visit.read() as conn:
        for line in store.iter_changes(conn, wanted):
            first = (
                head.mailbox,
                head.company,
                line.run,
                line.at,
                *(visit.text(words.word_of(code)) for code in (line.side, line.action, line.outcome)),
                line.name,
                line.email,
            )
            last = (
                visit.text(words.word_of(line.cause)),
                visit.text(words.reason_of(line.reason).means),
                line.bc_id,
                line.outlook_id,
            )
            yes = visit.text(msg("yes"))
            for value in line.values:
                name = visit.text(words.field_of(value.field))
                yield *first, name, value.old or "", value.new or "", yes if value.lost else "", *last
            if not line.values:
                yield *first, "", "", "", "", *last
