"""My contacts: what was changed, and whose value won; undo of one change; what does not sync, and why.

A conflict is settled by the undo of the change that decided it: the colleague's value goes back to both sides.
"""

from __future__ import annotations

import logging
from typing import Annotated, Any

from fastapi import APIRouter, HTTPException, Path, Query
from fastapi.responses import HTMLResponse, Response
from pydantic import BaseModel

from sync_lib.errors import SyncError
from sync_lib.operate.undo_preview import Look, preview_undo
from sync_lib.store import undo
from sync_lib.store.queries import plans, rejects
from sync_lib.store.queries.plans import ChangeLine
from sync_lib.web.language import msg
from sync_lib.web.mine_visit import CurrentMine, Mine
from sync_lib.web.pages import Page
from sync_lib.web.undo import line_of, reasons_of
from sync_lib.web.visit import PartNumber

logger = logging.getLogger(__name__)

router = APIRouter()
PAGE = Page("mine_changes", "changes", msg("Changes"), router, in_navigation=False)

PART_SIZE = 30
#: What the undo of one change may write: its contact, on both sides, and no more.
UNDONE_SHOWN = 20
#: Requests to undo something that are shown above the list.
UNDOS = 10

Key = Annotated[int, Path(ge=1, lt=2**53)]
Number = Annotated[int, Path(ge=1, lt=2**31)]


class Asked(BaseModel):
    """What the address says about the list."""

    conflicts: bool = False
    part: PartNumber = 1


class AskedPart(BaseModel):
    """What the address says about the list of what does not sync."""

    part: PartNumber = 1


@router.get("/{n}/changes")
def changes(mine: CurrentMine, asked: Annotated[Asked, Query()]) -> HTMLResponse:
    """Show what was changed in the colleague's folder, and from it in Business Central."""
    with mine.visit.read() as conn:
        lines = plans.read_newest(conn, mine.profile.id, asked.part, PART_SIZE + 1, conflicts=asked.conflicts)
        undos = undo.read_undos(conn, mine.profile.id, UNDOS)
    return mine.page(
        "mine_changes.html",
        "changes",
        asked=asked,
        lines=lines[:PART_SIZE],
        more=len(lines) > PART_SIZE,
        undos=[each for each in undos if each.state == undo.UndoState.OPEN],
    )


@router.get("/{n}/changes/{plan}/{k}/undo")
def preview(mine: CurrentMine, plan: Key, k: Number) -> HTMLResponse:
    """Show what would go back if this one change were undone, and what would stay and why."""
    change, values = _change(mine, plan, k), dict[str, Any]()
    try:
        with mine.visit.read() as conn:
            look = Look(mine.visit.settings, mine.visit.field_profile)
            found = preview_undo(conn, _asked(mine, change), look)
    except SyncError as error:
        raise HTTPException(409, msg("This change cannot be undone now.")) from error
    values["lines"] = [line_of(each, i) for i, each in enumerate(found.changes[:UNDONE_SHOWN], 1)]
    values |= {"reasons": reasons_of(found), "held": found.held, "change": change}
    return mine.page("mine_undo.html", "changes", **values)


@router.post("/{n}/changes/{plan}/{k}/undo")
def ask(mine: CurrentMine, plan: Key, k: Number) -> Response:
    """Record that the colleague wants a change undone; the next run of the profile carries it out."""
    change = _change(mine, plan, k)
    with mine.visit.transaction() as conn:
        key = undo.ask(conn, _asked(mine, change), mine.author.name, mine.visit.now)
    logger.info("undo %d is asked for in profile %d by its colleague", key, mine.profile.id)
    return mine.go("changes", said=mine.carried_out())


@router.post("/{n}/undo/{key}/withdraw")
def withdraw(mine: CurrentMine, key: Key) -> Response:
    """End a request of this profile that no run has gone through yet."""
    with mine.visit.transaction() as conn:
        request = undo.read_undo(conn, key)
        if request is None or request.profile != mine.profile.id:
            raise HTTPException(404)
        if not undo.withdraw(conn, key, mine.visit.now):
            raise HTTPException(409, msg("A run has dealt with it already."))
    return mine.go("changes", said="withdrawn")


@router.get("/{n}/not-synced")
def not_synced(mine: CurrentMine, asked: Annotated[AskedPart, Query()]) -> HTMLResponse:
    """Show what does not sync, why, and what to do about it."""
    wanted = rejects.Wanted(profile=mine.profile.id)
    with mine.visit.read() as conn:
        lines = rejects.read_rejects(conn, wanted, asked.part, PART_SIZE)
        total = rejects.count_rejects(conn, wanted)
    return mine.page("mine_left.html", "left", asked=asked, lines=lines, total=total, size=PART_SIZE)


def _change(mine: Mine, plan: int, n: int) -> ChangeLine:
    with mine.visit.read() as conn:
        found = plans.find_change(conn, mine.profile.id, plan, n)
    if found is None:
        raise HTTPException(404)
    return found


def _asked(mine: Mine, change: ChangeLine) -> undo.Asked:
    return undo.Asked(mine.profile.id, change.run, change.plan, change.n)
