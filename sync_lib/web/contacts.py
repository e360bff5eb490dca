"""Contacts: found on both sides; why one is, or is not, in an Outlook folder; and all that was done to it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any, Literal

from fastapi import APIRouter, HTTPException, Path, Query
from fastapi.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from pydantic import BaseModel, Field

from sync_lib.errors import ConfigError
from sync_lib.fields import reading
from sync_lib.fields.bc_columns import BcColumn
from sync_lib.store import companies, wishes
from sync_lib.store.profiles import rows as profiles
from sync_lib.store.profiles.history import Author
from sync_lib.store.queries import contacts as store
from sync_lib.store.queries.contacts import Subject, Wanted
from sync_lib.web import contacts_why as why
from sync_lib.web import words
from sync_lib.web.contacts_alike import Alike, Answer, put_together
from sync_lib.web.contacts_why import Why
from sync_lib.web.language import msg
from sync_lib.web.pages import Page
from sync_lib.web.run_words import RunTold
from sync_lib.web.visit import CurrentVisit, PartNumber, SearchText, Visit

router = APIRouter()
PAGE = Page("contacts", "contacts", msg("Contacts"), router)

PART_SIZE = 50
#: Profiles that answer by themselves on one part of a contact's page; of those that answer alike, how many are named.
ANSWERS, NAMED = 25, 50
#: Profiles that are asked at all: the databases take so many ids in one query.
MOST_PROFILES = 10_000
#: How often a contact was left out, of all profiles that are shown, the last times.
LEFT_OUT_SHOWN = 100

#: What the page shows of a contact besides its name: columns of staging.
_FACTS = (
    *("number", "type", "email", "email2", "phone", "mobile_phone", "company_name", "job_title", "city"),
    *("salesperson", "territory"),
)

ProfileId = Annotated[int, Path(ge=1, lt=2**31)]
What = Literal["leave-out", "take-back", "sync-now"]
Chosen = Annotated[int, Field(ge=1, lt=2**31)] | None


class Asked(BaseModel):
    """What the address says about the search."""

    q: SearchText = ""
    profile: Chosen = None
    part: PartNumber = 1


class AskedContact(BaseModel):
    """What the address says about a contact's page: the part of its life, and which profiles answer by themselves.

    Attributes:
        profile: This one alone.
        mailbox: Those with this in their mailbox.
        same: Those that answer alike, by the key of that.
        profiles: The part of them.
    """

    profile: Chosen = None
    mailbox: SearchText = ""
    same: SearchText = ""
    part: PartNumber = 1
    profiles: PartNumber = 1


@router.get("/contacts")
def contacts(visit: CurrentVisit, asked: Annotated[Asked, Query()]) -> HTMLResponse:
    """Find contacts on both sides."""
    wanted = Wanted(asked.q, asked.profile, asked.part, PART_SIZE)
    values: dict[str, Any] = {"asked": asked, "people": [], "items": [], "size": PART_SIZE, "only": None}
    with visit.read() as conn:
        if asked.profile is not None:
            values["only"] = _of_profile(conn, asked.profile)
        if asked.q:
            values |= {"people": store.find_contacts(conn, wanted), "items": store.find_items(conn, wanted)}
    if visit.wants_fragment("found"):
        return visit.fragment("contacts_found.html", **values)
    return visit.page("contacts.html", "contacts", **values)


@router.get("/contacts/of/{profile}/{key}")
def contact_of(visit: CurrentVisit, profile: ProfileId, key: str) -> Response:
    """Lead to a contact of BC that a profile names."""
    with visit.read() as conn:
        company = _of_profile(conn, profile).company
    if company is None:
        raise HTTPException(404)
    return RedirectResponse(visit.url(f"contacts/{company}/{key}"), status_code=303)


@router.get("/contacts/{company}/{key}")
def contact(
    visit: CurrentVisit, company: ProfileId, key: str, asked: Annotated[AskedContact, Query()]
) -> HTMLResponse:
    """Show why a contact of BC is, or is not, in each folder, and its life."""
    key = key.replace("\0", "")
    subject = Subject(company, key, profile=asked.profile)
    with visit.read() as conn:
        row = store.read_contact(conn, company, key)
        life = store.read_life(conn, subject, asked.profile, asked.part, PART_SIZE)
        ties = store.read_ties(conn, subject, 1, MOST_PROFILES)
        email_key = row["email_key"] if row else ""
        twins = store.read_twins(conn, subject, email_key, [tie.profile for tie in ties])
        given = [
            Answer(tie, why.of_contact(row, tie, twins, visit.field_profile) if row else []) for tie in ties
        ]
        answers = _chosen(given, asked)
        shown = [answer.tie.profile for answer in answers["answers"]]
        left_out = wishes.read_history(conn, key, shown, LEFT_OUT_SHOWN)
        place = companies.read_company(conn, company) if row else None
    if row is None and not life.total:
        raise HTTPException(404)
    values = {
        "row": row,
        "facts": _facts(row),
        "title": (row or {}).get("name") or _name_in(life),
        **answers,
        "total": len(given),
        "address": f"contacts/{company}/{key}",
        "erase": {"company": company, "contact": key},
        "left_out": left_out,
        "card": visit.business_central(place.tenant_id, place.environment, place.name, row["number"])
        if place and row
        else "",
    }
    return _show(visit, asked, life, values)


def _chosen(given: list[Answer], asked: AskedContact) -> dict[str, Any]:
    """Return the answers that are shown by themselves, one part of them, and those that are put together."""
    alone, alike = put_together(given)
    same = next((each.answers for each in alike if each.key == asked.same), None)
    if asked.mailbox:
        wanted = asked.mailbox.casefold()
        alone, alike = [answer for answer in given if wanted in answer.tie.mailbox.casefold()], []
    elif same is not None:
        alone, alike = same, []
    start = (asked.profiles - 1) * ANSWERS
    is_some = same is not None or bool(asked.mailbox)
    return {
        "answers": alone[start : start + ANSWERS],
        "profiles": len(alone),
        "alike": alike,
        "is_some": is_some,
    }


@router.post("/contacts/{company}/{key}/{what}/{profile}")
def wish(visit: CurrentVisit, company: ProfileId, key: str, what: What, profile: ProfileId) -> JSONResponse:
    """Leave a contact out of a folder, take it back, or let it be tried at once; a run of the profile follows."""
    key = key.replace("\0", "")
    with visit.transaction() as conn:
        owner = _of_profile(conn, profile)
        if owner.company != company or store.read_contact(conn, company, key) is None:
            raise HTTPException(404)
        _store(visit, conn, owner, key, what)
    return _wished(visit, owner, f"contacts/{company}/{key}")


@router.post("/items/{profile}/{key:path}")
def wish_of_item(visit: CurrentVisit, profile: ProfileId, key: str) -> JSONResponse:
    """Let an item be tried at once that is in Outlook only."""
    key = key.replace("\0", "")
    with visit.transaction() as conn:
        owner = _of_profile(conn, profile)
        if store.read_item(conn, profile, key) is None:
            raise HTTPException(404)
        _store(visit, conn, owner, key, "sync-now")
    return _wished(visit, owner, f"items/{profile}/{key}")


_WISHES = {"leave-out": wishes.leave_out, "take-back": wishes.take_back, "sync-now": wishes.ask_sync}


def _store(visit: Visit, conn: Any, profile: profiles.Profile, key: str, what: str) -> None:
    try:
        _WISHES[what](conn, profile, key, Author(visit.user.name, visit.now))
    except ConfigError as error:
        # Somebody else has said something meanwhile, or it was switched off.
        raise HTTPException(409, str(error)) from error


def _wished(visit: Visit, profile: profiles.Profile, address: str) -> JSONResponse:
    """The page to go on with, and the profile that a run is started for, if it is synced at all."""
    return JSONResponse({"address": visit.url(address), "profile": profile.key if profile.enabled else ""})


@router.get("/items/{profile}/{key:path}")
def item(
    visit: CurrentVisit, profile: ProfileId, key: str, asked: Annotated[AskedContact, Query()]
) -> Response:
    """Show why an item of a folder is not in BC, and its life; one that is tied is shown with its contact."""
    key = key.replace("\0", "")
    with visit.read() as conn:
        owner = _of_profile(conn, profile)
        subject = Subject(owner.company, profile=profile, outlook_id=key)
        bc_id = store.read_owner(conn, subject)
        if bc_id is not None and owner.company is not None:
            return RedirectResponse(visit.url(f"contacts/{owner.company}/{bc_id}"), status_code=303)
        row = store.read_item(conn, profile, key)
        life = store.read_life(conn, subject, profile, asked.part, PART_SIZE)
        # Of a profile that has ended there is none.
        ties = store.read_ties(conn, subject)
        twins = store.read_twins(conn, subject, row["email_key"] if row else "", [profile])
    if row is None and not life.total:
        raise HTTPException(404)
    fields = reading.from_outlook(row["record"], visit.field_profile) if row else {}
    values = {
        "row": row,
        "facts": [(name, value) for name, value in fields.items() if value and name != "name"],
        "title": _title(visit, row, life),
        "answers": [Answer(tie, why.of_item(row, tie) if row else []) for tie in ties],
        "profiles": len(ties),
        "total": len(ties),
        "twins": twins,
        "company": owner.company,
        "address": f"items/{profile}/{key}",
        "erase": _erasable(owner.company, row),
    }
    return _show(visit, asked, life, values)


def _runs(visit: Visit, answers: Iterable[Answer], alike: Iterable[Alike]) -> dict[str, RunTold]:
    """Return what the runs were that the shown answers name; all of them are looked up at once."""
    said = [*(each.whys for each in answers), *(each.whys for each in alike)]
    return visit.runs_in_words(why.run for whys in said for why in whys)


def _show(visit: Visit, asked: AskedContact, life: store.Life, values: dict[str, Any]) -> HTMLResponse:
    shown = {
        "twins": [],
        "company": None,
        "card": "",
        "left_out": {},
        "alike": [],
        "is_some": False,
        **values,
        "asked": asked,
        "life": life,
        "size": PART_SIZE,
        "answer_size": ANSWERS,
        "named": NAMED,
        "say": lambda answer: say(visit, answer),
        "states": why.STATES,
    }
    if visit.wants_fragment("life"):
        return visit.fragment("contacts_life.html", **shown)
    shown["runs"] = _runs(visit, shown["answers"], shown["alike"])
    return visit.page("contacts_one.html", "contacts", **shown)


def say(visit: Visit, answer: Why) -> str:
    """Return the sentence of an answer in the reader's language."""
    values = {name: _said(visit, value) for name, value in answer.values.items()}
    if answer.reason:
        values["why"] = visit.text(words.reason_of(answer.reason).means)
    elif "why" not in values:
        values["why"] = visit.text(msg("no reason was given"))
    return visit.text(answer.text, **values)


def _said(visit: Visit, value: why.Value) -> str:
    if isinstance(value, Why):
        return say(visit, value)
    if isinstance(value, tuple):
        return "".join("\n" + say(visit, each) for each in value)
    if isinstance(value, int):
        return str(value)
    if isinstance(value, BcColumn):
        dutch = value.captions[0] if value.captions else value.caption
        return dutch if visit.language == "nl" else value.caption
    return f"“{value}”" if value else visit.text(msg("blank"))


def _of_profile(conn: Any, profile: int) -> profiles.Profile:
    found = profiles.find_profile(conn, profile)
    if found is None:
        raise HTTPException(404)
    return found


def _erasable(company: int | None, row: dict[str, Any] | None) -> dict[str, Any]:
    """How an item is erased that BC never had: by its address, if it has one."""
    address = row["email_key"] if row else ""
    return {"company": company, "contact": "", "whom": address} if company is not None and address else {}


def _facts(row: dict[str, Any] | None) -> list[tuple[str, str]]:
    if row is None:
        return []
    return [(name, words.word_of(row[name]) if name == "type" else row[name]) for name in _FACTS if row[name]]


def _title(visit: Visit, row: dict[str, Any] | None, life: store.Life) -> str:
    if row and row["private"] and not row["record"]:
        return visit.text(words.PRIVATE_CONTACT)
    return (row or {}).get("name") or _name_in(life)


def _name_in(life: store.Life) -> str:
    """What a contact was called, where staging holds it no more."""
    return next((line.name for line in life.lines if line.name), "")
