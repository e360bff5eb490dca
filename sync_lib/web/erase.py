"""Erase a contact from the staging database: what would go, and where it still is, before a person confirms it.

An address is in forms only, never in an address of a page, which servers and proxies write down. A digest keeps what
is erased to what was shown. Airflow's audit log says who did it, and to how many rows, not whose.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Annotated, Any

from fastapi import APIRouter, Depends, HTTPException, Query, Request
from fastapi.responses import HTMLResponse
from pydantic import BaseModel
from starlette.datastructures import FormData

from sync_lib.errors import ErasureError, ProfileBusyError
from sync_lib.operate.erasing import Said, said_of
from sync_lib.store import companies, erasure
from sync_lib.store.erasure import Erasure, Wanted
from sync_lib.store.snapshots import bc_contacts
from sync_lib.web.forms import Submitted, text_of
from sync_lib.web.language import msg
from sync_lib.web.pages import Page
from sync_lib.web.seams import SAFE_METHODS, User
from sync_lib.web.visit import CurrentVisit, SearchText, Visit

logger = logging.getLogger(__name__)

#: In Airflow's audit log, before anything is erased, and after.
ASKED, DONE = "contact_sync_erase.asked", "contact_sync_erase.done"

#: Other contacts that are named, and mailboxes that are not folded.
NAMED, UNFOLDED = 50, 5
#: Of an address, which RFC 5321 lets have 254 characters.
_LENGTH = 320

#: Table -> what its rows are, in the order in which they are shown.
ROWS = {
    "bc_contact": msg("the contact as Business Central has it"),
    "outlook_contact": msg("its items in Outlook folders"),
    "coupling": msg("ties between both sides, with the values that they last agreed on"),
    "former_item": msg("items in Outlook that it had before"),
    "change": msg("changes in the change log, with old and new values"),
    "held_action": msg("changes that are held"),
    "reject": msg("what of it does not sync, and why"),
    "dry_reject": msg("what of it a plan would not sync, and why"),
    "postponed": msg("changes that wait for their next try"),
    "awaited": msg("notes of who waits for it"),
    "claim": msg("notes of who makes it in Business Central"),
    "left_out": msg("that it was left out of a folder"),
    "wish": msg("that it shall be synced at once"),
}


def _refuse_others(request: Request) -> None:
    """Ask for the page's own permission, beside what the app asks for every page.

    Raises:
        HTTPException: 403.
    """
    user: User = request.state.visitor
    if not (user.sees_erasing if request.method in SAFE_METHODS else user.may_erase):
        raise HTTPException(403, _REFUSED)


_REFUSED = msg(
    "You may not erase contacts. An administrator of Airflow can give your role the permission contact_sync_erase."
)

router = APIRouter(dependencies=[Depends(_refuse_others)])
PAGE = Page("erase", "erase", msg("Erase a contact"), router, in_navigation=False)


class Asked(BaseModel):
    """What the address says: the company, and an id in Business Central; never an e-mail address."""

    company: int | None = None
    contact: SearchText = ""


@dataclass(slots=True)
class Look:
    """What the page shows of a contact.

    Attributes:
        whom: An address, or an id in BC, as a person typed it.
        found: What would go, or went; None for nothing looked at yet, or refused.
        error: Why nothing is erased.
        contacts: Ids of the contacts that the error is about.
        is_done: It is erased.
        elsewhere: Names of other companies that have something of it, where this one has nothing.
        people: Rows of the contacts that are named, by id.
    """

    company: int | None
    whom: str = ""
    found: Erasure | None = None
    error: str = ""
    contacts: Sequence[str] = ()
    is_done: bool = False
    elsewhere: Sequence[str] = ()
    people: dict[str, dict[str, Any]] = field(default_factory=dict)

    @property
    def said(self) -> list[Said]:
        """What there is to know about it."""
        return said_of(self.found, erased=self.is_done) if self.found else []

    @property
    def rows(self) -> list[tuple[str, int]]:
        """What goes, in the words of people, and how many rows of it."""
        counts = self.found.counts if self.found else {}
        return [(words, counts[table]) for table, words in ROWS.items() if counts.get(table)]


# -- routes ----------------------------------------------------------------------------------------------------------


@router.get("/erase")
def erase(visit: CurrentVisit, asked: Annotated[Asked, Query()]) -> HTMLResponse:
    """Ask for whom to erase; a contact's page leads here with its id."""
    return _show(visit, Look(asked.company, asked.contact))


@router.post("/erase/preview")
def preview(visit: CurrentVisit, form: Submitted) -> HTMLResponse:
    """Show what would go; by POST, so that no log of a server has the address."""
    return _show(visit, _look(visit, _wanted(visit, form), _whom(form)))


@router.post("/erase")
def carry_out(visit: CurrentVisit, form: Submitted) -> HTMLResponse:
    """Erase what was shown; nothing where it would be something else by now."""
    wanted, settings, name = _wanted(visit, form), visit.settings, visit.user.name
    seen = text_of(form, "digest")
    if not seen:
        raise HTTPException(400, msg("This form is incomplete: open the page again."))
    look = Look(wanted.company, _whom(form), is_done=True)
    # Where that cannot be written nothing is erased: nobody could find out who did it.
    visit.seams.audit(ASKED, name, {"company": wanted.company})
    lease, longest = settings.lease, settings.longest_request
    try:
        look.found = erasure.erase(
            visit.engine, wanted, lease_seconds=lease, longest_request=longest, seen=seen
        )
    except (ErasureError, ProfileBusyError) as error:
        again = _look(visit, wanted, _whom(form))
        again.error = again.error or _text(visit, error)
        return _show(visit, again)
    visit.seams.audit(DONE, name, {"company": wanted.company, "rows": look.found.total})
    logger.info("%d rows of a contact of company %d were erased", look.found.total, wanted.company)
    return _show(visit, look)


# -- what is shown ---------------------------------------------------------------------------------------------------


def _whom(form: FormData) -> str:
    # PostgreSQL takes no NUL in a text, and no contact holds one there.
    return text_of(form, "whom").replace("\0", "").strip()[:_LENGTH]


def _wanted(visit: Visit, form: FormData) -> Wanted:
    company, whom = text_of(form, "company"), _whom(form)
    with visit.read() as conn:
        known = {str(each.id): each.id for each in companies.read_companies(conn)}
    if company not in known:
        raise HTTPException(400, msg("This form is incomplete: open the page again."))
    is_address = "@" in whom
    return Wanted(known[company], "" if is_address else whom, whom if is_address else "")


def _look(visit: Visit, wanted: Wanted, whom: str) -> Look:
    look = Look(wanted.company, whom)
    try:
        look.found = erasure.preview(visit.engine, wanted)
    except ErasureError as error:
        look.error, look.contacts = _text(visit, error), error.contacts
    if look.found and not look.found.total:
        look.elsewhere = _elsewhere(visit, wanted)
    return look


def _elsewhere(visit: Visit, wanted: Wanted) -> list[str]:
    """Return the other companies that have something: who reads that there is nothing would take it for all of them."""
    with visit.read() as conn:
        others = [each for each in companies.read_companies(conn) if each.id != wanted.company]
    found = []
    for each in others:
        try:
            is_there = bool(erasure.preview(visit.engine, replace(wanted, company=each.id)).total)
        except ErasureError:
            # It is more than one contact there, which whoever chooses that company is told.
            is_there = True
        found += [each.name] if is_there else []
    return found


def _text(visit: Visit, error: ErasureError | ProfileBusyError) -> str:
    if isinstance(error, ErasureError):
        return visit.text(error.template, **error.values)
    return visit.text(str(error))


def _show(visit: Visit, look: Look) -> HTMLResponse:
    own = [look.found.contact] if look.found and look.found.contact else []
    others = [key for said in look.said for key in said.contacts] + list(look.contacts)
    with visit.read() as conn:
        known = companies.read_companies(conn)
        if look.company is not None and (own or others):
            rows = bc_contacts.read_bc_rows(conn, look.company, ids=[*own, *others[:NAMED]])
            look.people = {row["id"]: row for row in rows}
    values: dict[str, Any] = {"look": look, "companies": known, "named": NAMED, "unfolded": UNFOLDED}
    if visit.wants_fragment("erase-found"):
        return visit.fragment("erase_found.html", **values)
    return visit.page("erase.html", "contacts", **values)
