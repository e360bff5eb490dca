"""History: what each run did to each profile, or would have done, the newest first."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query
from fastapi.responses import HTMLResponse
from pydantic import BaseModel

from sync_lib.store.queries import plans as store
from sync_lib.web.language import msg
from sync_lib.web.pages import Page
from sync_lib.web.visit import CurrentVisit, PartNumber, SearchText

router = APIRouter()
PAGE = Page("history", "history", msg("History"), router)

PART_SIZE = 50


class Asked(BaseModel):
    """What the address says about the list."""

    q: SearchText = ""
    kind: Literal["", "done", "planned"] = ""
    part: PartNumber = 1


@router.get("/history")
def history(visit: CurrentVisit, asked: Annotated[Asked, Query()]) -> HTMLResponse:
    """Show what runs did to profiles."""
    with visit.read() as conn:
        lines = store.read_plans(conn, asked.q, asked.kind, asked.part, PART_SIZE)
    # One more than is shown says whether there is another part: counting all of them would read all of them.
    values: dict[str, Any] = {
        "runs": visit.runs_in_words(line.run for line in lines),
        "asked": asked,
        "lines": lines[:PART_SIZE],
        "is_last": len(lines) <= PART_SIZE,
    }
    if visit.wants_fragment("history"):
        return visit.fragment("history_list.html", **values)
    return visit.page("history.html", "history", **values)
