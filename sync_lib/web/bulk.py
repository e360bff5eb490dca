"""One change of many profiles: those that are ticked on the overview, or all that its search holds.

The search is asked again each time, so that its choice is what it holds then; a digest keeps what is carried out to
what was shown. What a change means is in ``operate.many_profiles``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, HTTPException, Query
from fastapi.responses import HTMLResponse, JSONResponse
from pydantic import BaseModel, Field, ValidationError
from sqlalchemy import Connection
from starlette.datastructures import FormData

from sync_lib.fields.bc_columns import columns_of
from sync_lib.operate import many_profiles as many
from sync_lib.operate.many_contacts import Look, count_contacts
from sync_lib.operate.many_profiles import Change, Plan
from sync_lib.store.profiles.history import Author
from sync_lib.store.profiles.rows import Profile, lock_profiles, read_chosen
from sync_lib.store.profiles.values import POLICIES
from sync_lib.store.queries import overview
from sync_lib.store.queries.overview import Wanted
from sync_lib.web import profile_words as words
from sync_lib.web.forms import Submitted, text_of
from sync_lib.web.language import msg
from sync_lib.web.overview import State
from sync_lib.web.pages import Page
from sync_lib.web.profile_sheet import Row
from sync_lib.web.visit import CurrentVisit, SearchText, Visit

router = APIRouter()
PAGE = Page("bulk", "bulk", msg("Change many profiles"), router, in_navigation=False)

#: Profiles that are named, of those that change and of those that are refused.
NAMED = 50
#: Seconds for which contacts are counted.
PATIENCE = 3.0


class Choice(BaseModel):
    """Which profiles: their ids, or else the search of the overview."""

    q: SearchText = ""
    state: State = ""
    profiles: Annotated[str, Field(pattern=r"^[0-9,]*$", max_length=40_000)] = ""

    @property
    def ids(self) -> list[int] | None:
        """The ids that are ticked, None for a search."""
        found = [int(each) for each in self.profiles.split(",") if each and len(each) < 10]
        return found if self.profiles else None

    def read(self, conn: Connection) -> list[Profile]:
        """Return the profiles that it means now."""
        ids = self.ids
        if ids is None:
            ids = overview.read_chosen(conn, Wanted(text=self.q, state=self.state))
        return read_chosen(conn, ids)


@dataclass(slots=True)
class Asked:
    """What a form asks for; a condition that cannot be understood is in ``row`` with what is wrong."""

    choice: Choice
    change: Change | None
    row: Row
    digest: str = ""


# -- routes ----------------------------------------------------------------------------------------------------------


@router.get("/bulk")
def bulk(visit: CurrentVisit, choice: Annotated[Choice, Query()]) -> HTMLResponse:
    """Show which profiles are chosen, and what can be changed of all of them."""
    with visit.read() as conn:
        chosen = choice.read(conn)
    return visit.page(
        "bulk.html",
        "overview",
        choice=choice,
        chosen=chosen,
        named=NAMED,
        policies=list(POLICIES),
        settings=words.SETTINGS,
        columns=columns_of(visit.field_profile),
    )


@router.get("/bulk/profiles")
def profiles(visit: CurrentVisit, choice: Annotated[Choice, Query()]) -> JSONResponse:
    """Return the ids of those that are chosen and switched on: runs are started for profiles, not for a search."""
    with visit.read() as conn:
        chosen = choice.read(conn)
    return JSONResponse({"profiles": [each.key for each in chosen if each.enabled or each.ending]})


@router.post("/bulk/preview")
def preview(visit: CurrentVisit, form: Submitted) -> HTMLResponse:
    """Show what a change would do."""
    asked = _asked(visit, form)
    with visit.read() as conn:
        return _preview(visit, conn, asked)


@router.post("/bulk")
def change(visit: CurrentVisit, form: Submitted) -> HTMLResponse:
    """Do what was shown, all of it or nothing; nothing where it would be something else by now."""
    asked = _asked(visit, form)
    if asked.change is None:
        with visit.read() as conn:
            return _preview(visit, conn, asked)
    with visit.transaction() as conn:
        # Whatever else changes profiles waits until this is done.
        lock_profiles(conn)
        plan = _plan(visit, conn, asked.choice, asked.change)
        is_as_shown = plan.digest == asked.digest
        if is_as_shown:
            many.carry_out(conn, plan, Author(visit.user.name, visit.now))
    if is_as_shown:
        return visit.fragment("bulk_done.html", plan=plan)
    with visit.read() as conn:
        return _preview(visit, conn, asked, is_stale=True)


def _plan(visit: Visit, conn: Connection, choice: Choice, wanted: Change) -> Plan:
    return many.make_plan(choice.read(conn), wanted, visit.field_profile)


def _preview(visit: Visit, conn: Connection, asked: Asked, *, is_stale: bool = False) -> HTMLResponse:
    plan = contacts = None
    if asked.change is not None:
        plan = _plan(visit, conn, asked.choice, asked.change)
        contacts = count_contacts(conn, plan, Look(visit.settings, visit.field_profile, PATIENCE))
    return visit.fragment(
        "bulk_preview.html", plan=plan, contacts=contacts, row=asked.row, named=NAMED, is_stale=is_stale
    )


# -- what a form says ------------------------------------------------------------------------------------------------


def _asked(visit: Visit, form: FormData) -> Asked:
    given = {name: text_of(form, name) for name in ("q", "state", "profiles")}
    row = Row(text_of(form, "field"), text_of(form, "expression"))
    try:
        choice = Choice.model_validate(given)
    except ValidationError as error:
        raise HTTPException(400, msg("This form is incomplete: open the page again.")) from error
    asked = Asked(choice, None, row, text_of(form, "digest"))
    asked.change = _change(text_of(form, "what"), form, row, visit.field_profile)
    return asked


def _change(what: str, form: FormData, row: Row, field_profile: str) -> Change | None:
    """Return what is to be changed, or None where the form does not say it, or says it wrongly."""
    if what in (many.ON, many.OFF):
        return Change(what)
    if what == many.POLICY:
        column, _, value = text_of(form, "policy").partition(":")
        is_known = value in POLICIES.get(column, ())
        return Change(what, column, value) if is_known else None
    if what == many.END:
        how = text_of(form, "how")
        return Change(what, value=how) if how in ("keep", "remove") else None
    if what == many.CONDITION and row.expression.strip():
        pair = row.check(field_profile)
        return Change(what, pair=pair) if pair else None
    return None
