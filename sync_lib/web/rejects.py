"""Rejects: what does not sync, in plain words and with a remedy; by reason, by profile, and one by one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Query
from fastapi.responses import HTMLResponse, Response
from pydantic import BaseModel, Field

from sync_lib.store.queries import rejects as store
from sync_lib.store.queries.overview import read_last_run
from sync_lib.store.queries.rejects import Wanted
from sync_lib.web import words
from sync_lib.web.language import msg
from sync_lib.web.pages import Page
from sync_lib.web.spreadsheet import spreadsheet
from sync_lib.web.visit import CurrentVisit, PartNumber, SearchText, Visit

router = APIRouter()
PAGE = Page("rejects", "rejects", msg("Not synced"), router)

PART_SIZE = 50

_TITLES = (
    msg("Mailbox"),
    msg("Company"),
    msg("Name"),
    msg("E-mail address"),
    msg("Is in"),
    msg("Field"),
    msg("Reason"),
    msg("What to do"),
    msg("Plan only"),
    msg("Since"),
    msg("Next try"),
    msg("Contact number"),
    msg("Open in Business Central"),
    msg("Id"),
)


class Asked(BaseModel):
    """What the address says about the list."""

    q: SearchText = ""
    reason: SearchText = ""
    # A form sends the choice "all" as an empty text.
    profile: Annotated[int, Field(ge=1, lt=2**31)] | None = None
    part: PartNumber = 1

    @property
    def wanted(self) -> Wanted:
        """Return it as the store takes it."""
        return Wanted(self.reason, self.profile, self.q)


@router.get("/rejects")
def rejects(visit: CurrentVisit, asked: Annotated[Asked, Query()]) -> HTMLResponse:
    """Show what does not sync."""
    wanted = asked.wanted
    with visit.read() as conn:
        values: dict[str, Any] = {
            "asked": asked,
            "reasons": store.read_reasons(conn, wanted),
            "profiles": store.read_profiles_with_most(conn, wanted),
            "total": store.count_rejects(conn, wanted),
            "lines": store.read_rejects(conn, wanted, asked.part, PART_SIZE),
            "size": PART_SIZE,
            "has_run": read_last_run(conn) is not None,
        }
    if visit.wants_fragment("rejects"):
        return visit.fragment("rejects_list.html", **values)
    return visit.page("rejects.html", "rejects", **values)


@router.get("/rejects.csv")
def rejects_file(visit: CurrentVisit, asked: Annotated[Asked, Query()]) -> Response:
    """Hand out all that the page shows, not only one part of it."""
    return spreadsheet(visit, "contact_sync_rejects", _rows(visit, asked.wanted))


def _rows(visit: Visit, wanted: Wanted) -> Iterator[Sequence[object]]:
    yield [visit.text(title) for title in _TITLES]
    with visit.read() as conn:
        for line in store.iter_rejects(conn, wanted):
            reason = words.reason_of(line.reason)
            yield (
                line.mailbox,
                line.company,
                line.name or (visit.text(words.PRIVATE_CONTACT) if line.is_private else ""),
                line.email,
                visit.text(words.word_of(line.side)),
                visit.text(words.field_of(line.field)),
                visit.text(reason.means),
                visit.text(reason.remedy),
                visit.text(msg("yes")) if line.dry_run else "",
                line.since,
                line.next_try,
                line.number,
                visit.business_central(line.tenant_id, line.environment, line.company, line.number),
                line.contact,
            )
