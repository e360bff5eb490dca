"""My contacts: why one is, or is not, in the colleague's own Outlook; leave it out, take it back, sync it at once.

The answers are those of the data team's page (``contacts_why``), about this one profile. Of what the folder does not
hold only the contact is found that is named wholly, and only its name is shown: nobody leafs through the company here.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, HTTPException, Query
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from pydantic import BaseModel

from sync_lib.errors import ConfigError
from sync_lib.store import wishes
from sync_lib.store.queries import contacts as store
from sync_lib.store.queries.contacts import Subject, Wanted
from sync_lib.web import contacts_why as why
from sync_lib.web import words
from sync_lib.web.contacts import say
from sync_lib.web.language import msg
from sync_lib.web.mine_visit import CurrentMine, Mine
from sync_lib.web.pages import Page
from sync_lib.web.visit import PartNumber, SearchText

router = APIRouter()
PAGE = Page("mine_contacts", "contacts", msg("Search"), router, in_navigation=False)

PART_SIZE = 50
#: How often one contact was left out, the last times.
LEFT_OUT_SHOWN = 20

What = Literal["leave-out", "take-back", "sync-now"]
_WISHES = {"leave-out": wishes.leave_out, "take-back": wishes.take_back, "sync-now": wishes.ask_sync}


class Asked(BaseModel):
    """What the address says about the search, or about the part of a contact's life."""

    q: SearchText = ""
    part: PartNumber = 1


@router.get("/{n}/contacts")
def contacts(mine: CurrentMine, asked: Annotated[Asked, Query()]) -> HTMLResponse:
    """Find contacts of the folder, and whom the colleague misses there."""
    values: dict[str, Any] = {"asked": asked, "people": [], "items": [], "size": PART_SIZE}
    if asked.q:
        wanted = Wanted(asked.q, mine.profile.id, asked.part, PART_SIZE, narrow=True)
        with mine.visit.read() as conn:
            if mine.profile.company is not None:
                values["people"] = store.find_contacts(conn, wanted)
            values["items"] = store.find_items(conn, wanted)
    return mine.page("mine_contacts.html", "search", **values)


@router.get("/{n}/contacts/{key}")
def contact(mine: CurrentMine, key: str, asked: Annotated[Asked, Query()]) -> HTMLResponse:
    """Show why a contact of Business Central is, or is not, in the folder, and what was done to it."""
    key, profile = key.replace("\0", ""), mine.profile
    subject = Subject(_company(mine), key, profile=profile.id)
    with mine.visit.read() as conn:
        row = store.read_contact(conn, _company(mine), key)
        life = store.read_life(conn, subject, profile.id, asked.part, PART_SIZE)
        ties = store.read_ties(conn, subject)
        twins = store.read_twins(conn, subject, row["email_key"] if row else "", [profile.id])
        left_out = wishes.read_history(conn, key, [profile.id], LEFT_OUT_SHOWN).get(profile.id, [])
    if row is None and not life.total:
        raise HTTPException(404)
    answers = [
        (tie, why.of_contact(row, tie, twins, mine.visit.field_profile) if row else []) for tie in ties
    ]
    offered = _offered(mine, row, answers[0][0] if answers else None)
    values = {"row": row, "answers": answers, "left_out": left_out, "offered": offered, "is_item": False}
    return _show(mine, asked, life, {**values, "address": f"contacts/{key}", "title": _name(row, life)})


@router.get("/{n}/items/{key:path}")
def item(mine: CurrentMine, key: str, asked: Annotated[Asked, Query()]) -> Response:
    """Show why an item of the folder is not in Business Central; one that is tied is shown with its contact."""
    key, profile = key.replace("\0", ""), mine.profile
    subject = Subject(profile.company, profile=profile.id, outlook_id=key)
    with mine.visit.read() as conn:
        bc_id = store.read_owner(conn, subject)
        if bc_id is not None and profile.company is not None:
            return RedirectResponse(mine.url(f"contacts/{bc_id}"), status_code=303)
        row = store.read_item(conn, profile.id, key)
        life = store.read_life(conn, subject, profile.id, asked.part, PART_SIZE)
        ties = store.read_ties(conn, subject)
    if row is None and not life.total:
        raise HTTPException(404)
    answers = [(tie, why.of_item(row, tie) if row else []) for tie in ties]
    offered = ["sync-now"] if row and not row["gone_since"] and profile.enabled else []
    title = (
        mine.text(words.PRIVATE_CONTACT) if row and row["private"] and not row["record"] else _name(row, life)
    )
    values = {"row": row, "answers": answers, "left_out": [], "offered": offered, "is_item": True}
    return _show(mine, asked, life, {**values, "address": f"items/{key}", "title": title})


@router.post("/{n}/contacts/{key}/{what}")
def wish(mine: CurrentMine, key: str, what: What) -> Response:
    """Leave a contact out of the folder, take it back, or let it be tried at once."""
    key = key.replace("\0", "")
    with mine.visit.transaction() as conn:
        if store.read_contact(conn, _company(mine), key) is None:
            raise HTTPException(404)
        _store(mine, conn, key, what)
    return mine.go(f"contacts/{key}", said=mine.carried_out())


@router.post("/{n}/items/{key:path}")
def wish_of_item(mine: CurrentMine, key: str) -> Response:
    """Let an item be tried at once that is in Outlook only."""
    key = key.replace("\0", "")
    with mine.visit.transaction() as conn:
        if store.read_item(conn, mine.profile.id, key) is None:
            raise HTTPException(404)
        _store(mine, conn, key, "sync-now")
    return mine.go(f"items/{key}", said=mine.carried_out())


def _store(mine: Mine, conn: Any, key: str, what: str) -> None:
    try:
        _WISHES[what](conn, mine.profile, key, mine.author)
    except ConfigError as error:
        # It was said already, or the profile was switched off.
        raise HTTPException(409, msg("That cannot be done any more: open the page again.")) from error


def _company(mine: Mine) -> int:
    if mine.profile.company is None:
        raise HTTPException(404)
    return mine.profile.company


def _offered(mine: Mine, row: dict[str, Any] | None, tie: store.Tie | None) -> list[str]:
    if row is None or row["gone_since"] or tie is None:
        return []
    if tie.left_at:
        return ["take-back"]
    return [*(["sync-now"] if mine.profile.enabled else []), "leave-out"]


def _name(row: dict[str, Any] | None, life: store.Life) -> str:
    """What a contact is called, or was where staging holds it no more."""
    return (row or {}).get("name") or next((line.name for line in life.lines if line.name), "")


def _show(mine: Mine, asked: Asked, life: store.Life, values: dict[str, Any]) -> HTMLResponse:
    return mine.page(
        "mine_contact.html",
        "search",
        asked=asked,
        life=life,
        size=PART_SIZE,
        say=lambda answer: say(mine.visit, answer),
        states=why.STATES,
        **values,
    )
