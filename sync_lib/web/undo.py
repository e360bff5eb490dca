"""Undo: what would go back to both sides, before anybody asks for it; and what became of it.

The request is a route of ours; the run that carries it out is started in Airflow, as any other.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from fastapi import APIRouter, HTTPException, Path, Query
from fastapi.responses import HTMLResponse, JSONResponse
from pydantic import BaseModel, Field

from sync_lib.model import PlannedChange
from sync_lib.operate.undo_preview import Look, UndoPreview, preview_undo
from sync_lib.store import undo
from sync_lib.store.profiles import rows as profiles
from sync_lib.store.queries import plans
from sync_lib.store.queries.plans import WOULD_BE, ChangeLine, Group
from sync_lib.store.snapshots import bc_contacts
from sync_lib.web.language import msg
from sync_lib.web.pages import Page
from sync_lib.web.visit import CurrentVisit, PartNumber

logger = logging.getLogger(__name__)

router = APIRouter()
PAGE = Page("undo", "undo", msg("Undo"), router, in_navigation=False)

PART_SIZE = 50
#: Contacts that are named of those that stay as they are.
NAMED = 25

ProfileId = Annotated[int, Field(ge=1, lt=2**31)]
Key = Annotated[int, Path(ge=1, lt=2**53)]


class Wanted(BaseModel):
    """What is to be undone: what a run did to a profile, or one change of a plan."""

    profile: ProfileId
    run: Annotated[str, Field(max_length=1000)]
    plan: Annotated[int, Field(ge=1, lt=2**53)] | None = None
    n: Annotated[int, Field(ge=1, lt=2**31)] | None = None

    @property
    def asked(self) -> undo.Asked:
        """Return it as the store takes it."""
        whole = self.plan is None or self.n is None
        return undo.Asked(
            self.profile, self.run.replace("\0", ""), *((None, None) if whole else (self.plan, self.n))
        )


class AskedPreview(Wanted):
    """The same, and the part of the list."""

    part: PartNumber = 1


@router.get("/undo")
def preview(visit: CurrentVisit, wanted: Annotated[AskedPreview, Query()]) -> HTMLResponse:
    """Show what would go back, and what would stay and why."""
    asked = wanted.asked
    with visit.read() as conn:
        head = _found(plans.read_head(conn, asked.profile, asked.run))
        look = Look(visit.settings, visit.field_profile)
        found = preview_undo(conn, asked, look)
        named = [each.bc_id for each in found.left[:NAMED]]
        names = {row["id"]: row["name"] for row in bc_contacts.read_bc_rows(conn, found.company, ids=named)}
    start = (wanted.part - 1) * PART_SIZE
    shown = found.changes[start : start + PART_SIZE]
    values: dict[str, Any] = {
        "head": head,
        "asked": asked,
        "told": visit.runs_in_words([asked.run])[asked.run],
        "lines": [line_of(change, start + n) for n, change in enumerate(shown, 1)],
        "groups": _groups(found.changes),
        "total": len(found.changes),
        "held": found.held,
        "reasons": reasons_of(found),
        "left": [(each, names.get(each.bc_id, "")) for each in found.left[:NAMED]],
        "part": wanted.part,
        "size": PART_SIZE,
        "query": {"profile": asked.profile, "run": asked.run, "plan": asked.plan, "n": asked.n},
    }
    return visit.page("undo.html", "plans", **values)


@router.post("/undo")
def ask(visit: CurrentVisit, wanted: Wanted) -> JSONResponse:
    """Record what a person wants undone; the next run of the profile carries it out."""
    asked = wanted.asked
    with visit.transaction() as conn:
        _found(plans.read_head(conn, asked.profile, asked.run))
        if profiles.read_profile(conn, asked.profile).ended_at:
            raise HTTPException(409, msg("The profile has ended: nothing of it can be undone any more."))
        key = undo.ask(conn, asked, visit.user.name, visit.now)
    logger.info("undo %d is asked for in profile %d", key, asked.profile)
    return JSONResponse({"address": visit.url(f"undo/{key}"), "profile": str(asked.profile)})


@router.get("/undo/{key}")
def undoing(visit: CurrentVisit, key: Key) -> HTMLResponse:
    """Show what became of a request."""
    with visit.read() as conn:
        request = _found(undo.read_undo(conn, key))
        values: dict[str, Any] = {
            "undo": request,
            "head": _found(plans.read_head(conn, request.profile, request.run)),
        }
    values["told"] = visit.runs_in_words([request.run])[request.run]
    if visit.wants_fragment("undo"):
        return visit.fragment("undo_panel.html", **values)
    return visit.page("undo_one.html", "plans", **values)


@router.post("/undo/{key}/withdraw")
def withdraw(visit: CurrentVisit, key: Key) -> JSONResponse:
    """End a request that no run has gone through yet."""
    with visit.transaction() as conn:
        _found(undo.read_undo(conn, key))
        ended = undo.withdraw(conn, key, visit.now)
    if not ended:
        raise HTTPException(409, msg("A run has dealt with it already."))
    return JSONResponse({"address": visit.url(f"undo/{key}")})


def _found(value: Any) -> Any:
    if value is None:
        raise HTTPException(404)
    return value


def line_of(change: PlannedChange, n: int) -> ChangeLine:
    """Return a change that is planned only as the pages show one of the log."""
    values = change.bc.values if change.bc else {}
    record: Mapping[str, Any] = change.item.record if change.item else {}
    name = values.get("name") or record.get("displayName") or change.after.get("name", "")
    return ChangeLine(
        0, n, "", 1, str(change.action), _outcome(change), change.cause, change.reason, change.bc_id or "",
        change.outlook_id or "", "", change.before, change.after, {}, str(name), values.get("email", ""),
    )  # fmt: skip


def _outcome(change: PlannedChange) -> str:
    return str(change.outcome or WOULD_BE)


def _groups(changes: Sequence[PlannedChange]) -> list[Group]:
    counts = Counter((str(change.action), _outcome(change)) for change in changes)
    groups = [Group(action, outcome, count) for (action, outcome), count in counts.items()]
    return sorted(groups, key=lambda group: (group.side != "outlook", group.action))


def reasons_of(found: UndoPreview) -> list[tuple[str, int]]:
    counts = Counter(each.reason for each in found.left)
    if found.made_in_bc:
        counts[undo.NEVER_DELETED] = found.made_in_bc
    return counts.most_common()
