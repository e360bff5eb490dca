"""Profile: the settings of one profile, its filter checked while it is typed; and how to make a new one."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Annotated, Literal

from fastapi import APIRouter, HTTPException, Query
from fastapi.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from sqlalchemy import Connection
from starlette.datastructures import FormData

from sync_lib.errors import ConfigError, SyncError
from sync_lib.fields.bc_columns import columns_of
from sync_lib.operate import answers, checks
from sync_lib.operate.end_preview import preview_end
from sync_lib.operate.settings_preview import Look, Subject, make_preview
from sync_lib.store import companies, company_names
from sync_lib.store.profiles import endings
from sync_lib.store.profiles import rows as profiles
from sync_lib.store.profiles.checks import Line, Said, read_check
from sync_lib.store.profiles.file import ProfileEntry
from sync_lib.store.profiles.history import Author, read_changes
from sync_lib.store.profiles.rows import Profile
from sync_lib.store.profiles.settings import ChangedMeanwhile, add_profile, change_profile, remove_profile
from sync_lib.store.profiles.values import POLICIES, WrongValue
from sync_lib.web import profile_status
from sync_lib.web import profile_words as words
from sync_lib.web.forms import Submitted
from sync_lib.web.language import msg
from sync_lib.web.pages import Page
from sync_lib.web.profile_sheet import Row, Sheet
from sync_lib.web.profile_status import ProfileId
from sync_lib.web.profile_status import find as _find
from sync_lib.web.visit import CurrentVisit, Visit

router = APIRouter()
router.include_router(profile_status.router)
PAGE = Page("profile", "profiles", msg("Profile"), router, in_navigation=False)

LANGUAGES = ("nl", "en", "de", "fr")
#: Names of a list in the preview: at first, with each click on *more*, and at most.
NAMES, MORE_NAMES, MOST_NAMES = 25, 200, 5_000
#: Changes of the settings that are shown.
HISTORY = 50

SecondAnswer = Literal["go-back", "leave"]
How = Literal["keep", "remove"]


# -- routes ----------------------------------------------------------------------------------------------------------


@router.post("/profiles/check")
def check(visit: CurrentVisit, form: Submitted) -> HTMLResponse:
    """Say whether one condition of a filter can be understood, while it is typed."""
    row = next(iter(Sheet.sent(form).rows), Row("", ""))
    if row.expression.strip():
        row.check(visit.field_profile)
    return visit.fragment("profile_feedback.html", row=row)


@router.get("/profiles/new")
def new(visit: CurrentVisit, like: Annotated[int | None, Query(ge=1, lt=2**31)] = None) -> HTMLResponse:
    """Show an empty form; or one with the settings of another profile, without what is its colleague's own."""
    if like is None:
        return _show(visit, None, Sheet.of(ProfileEntry("", "")))
    model = _find(visit, like)
    entry = replace(profiles.entry_of(model), mailbox="", salesperson_code="", enabled=True)
    sheet = Sheet.of(entry)
    sheet.model = model
    return _show(visit, None, sheet)


@router.post("/profiles/new")
def add(visit: CurrentVisit, form: Submitted) -> Response:
    """Store a new profile."""
    sheet = Sheet.sent(form)
    if entry := sheet.entry(visit.field_profile):
        try:
            with visit.transaction() as conn:
                added = add_profile(conn, entry, by=_author(visit))
        except WrongValue as taken:
            sheet.problems["folder_name"] = taken
        else:
            return _saved(visit, added)
    return _show(visit, None, sheet, status=422)


@router.get("/profiles/{profile}/check")
def checked(
    visit: CurrentVisit, profile: ProfileId, run: Annotated[str, Query(max_length=250)] = ""
) -> HTMLResponse:
    """Show what the last connection check found, or that the given run of it came to no result."""
    with visit.read() as conn:
        found = read_check(conn, _find(visit, profile).id)
    return visit.fragment("profile_checked.html", checked=found, run=run, checks=words.CHECKS)


@router.post("/profiles/new/preview")
def preview_of_new(visit: CurrentVisit, form: Submitted) -> HTMLResponse:
    """Show whom a new profile would sync."""
    return _preview(visit, None, Sheet.sent(form), _names_of(form))


@router.get("/profiles/{profile}/preview")
def preview_of_stored(visit: CurrentVisit, profile: ProfileId) -> HTMLResponse:
    """Show whom a profile syncs, to who may not edit it."""
    stored = _find(visit, profile)
    return _preview(visit, stored, Sheet.of(profiles.entry_of(stored)), NAMES)


@router.post("/profiles/{profile}/preview")
def preview(visit: CurrentVisit, profile: ProfileId, form: Submitted) -> HTMLResponse:
    """Show what saving the form as it is now would add and remove."""
    stored = _find(visit, profile)
    sheet = Sheet.sent(form, profiles.entry_of(stored), correctable=not stored.has_synced)
    return _preview(visit, stored, sheet, _names_of(form))


@router.get("/profiles/{profile}")
def settings(
    visit: CurrentVisit, profile: ProfileId, saved: Annotated[str, Query(max_length=5)] = ""
) -> HTMLResponse:
    """Show the settings of a profile; of one that has ended, what became of it."""
    stored = _find(visit, profile, may_have_ended=True)
    if stored.ended_at:
        return _show_ended(visit, stored)
    return _show(visit, stored, Sheet.of(profiles.entry_of(stored)), is_saved=bool(saved))


@router.post("/profiles/{profile}")
def save(visit: CurrentVisit, profile: ProfileId, form: Submitted) -> Response:
    """Store changed settings, unless somebody else changed some since they were shown."""
    stored = _find(visit, profile)
    sheet, status = Sheet.sent(form, profiles.entry_of(stored), correctable=not stored.has_synced), 422
    entry = sheet.entry(visit.field_profile)
    if entry and sheet.seen:
        try:
            with visit.transaction() as conn:
                change_profile(conn, stored, entry, seen=sheet.seen, by=_author(visit))
        except WrongValue as taken:
            sheet.problems["folder_name"] = taken
        except ChangedMeanwhile as changed:
            sheet.merge(entry, changed.stored)
            status = 409
        else:
            return _saved(visit, profile)
    return _show(visit, stored, sheet, status=status)


@router.post("/profiles/{profile}/look-up")
def look_up(visit: CurrentVisit, profile: ProfileId) -> HTMLResponse:
    """Say whether the edges know mailbox and company of a profile that has just been saved.

    The page asks once it is shown: a service that does not answer keeps nobody waiting.
    """
    stored = _find(visit, profile)
    try:
        with visit.seams.edges() as edges:
            lines = checks.look_up(edges, visit.engine, stored)
    except SyncError as error:
        lines = [Line("mailbox", False, "", Said(str(error)), Said(""), unknown=True)]
    return visit.fragment("profile_looked_up.html", lines=lines, checks=words.CHECKS)


@router.post("/profiles/{profile}/remove")
def remove(visit: CurrentVisit, profile: ProfileId) -> Response:
    """Remove a profile that has never synced."""
    if _find(visit, profile).has_synced:
        raise HTTPException(409, msg("This profile has synced meanwhile: switch it off instead."))
    with visit.transaction() as conn:
        remove_profile(conn, profile)
    return RedirectResponse(visit.url(), status_code=303)


@router.get("/profiles/{profile}/end")
def preview_of_end(visit: CurrentVisit, profile: ProfileId) -> HTMLResponse:
    """Show how many contacts would go and stay if the profile ended: the question that its buttons answer."""
    stored = _find(visit, profile)
    with visit.read() as conn:
        found = preview_end(conn, stored)
    return visit.fragment("profile_end.html", profile=stored, found=found)


@router.post("/profiles/{profile}/end/{how}")
def end(visit: CurrentVisit, profile: ProfileId, how: How) -> JSONResponse:
    """Store that the profile is to end; the run that the page starts then carries it out."""
    stored = _find(visit, profile)
    if not stored.has_synced or stored.ending_began:
        raise HTTPException(409, msg("Only a profile that has synced can be ended, and only once."))
    with visit.transaction() as conn:
        endings.ask_end(conn, stored, how, _author(visit))
    return JSONResponse({"address": visit.url(f"profiles/{profile}"), "profile": str(profile)})


@router.post("/profiles/{profile}/same-colleague")
def same_colleague(visit: CurrentVisit, profile: ProfileId) -> Response:
    """Take the account that has the mailbox's address now for the same colleague's."""
    stored = _find(visit, profile)
    if stored.successor:
        with visit.transaction() as conn:
            answers.accept_successor(conn, stored, now=visit.now)
    return _saved(visit, profile)


@router.post("/profiles/{profile}/second-folder/{said}")
def answer_second_folder(visit: CurrentVisit, profile: ProfileId, said: SecondAnswer) -> Response:
    """Store whether the second folder is gone back to, or left."""
    stored = _find(visit, profile)
    if stored.second_folder:
        with visit.transaction() as conn:
            answers.answer_second_folder(conn, stored, said.replace("-", "_"))
    return _saved(visit, profile)


def _names_of(form: FormData) -> int:
    text = str(form.get("names", ""))
    return min(int(text), MOST_NAMES) if re.fullmatch("[0-9]{1,6}", text) else NAMES


def _preview(visit: Visit, profile: Profile | None, sheet: Sheet, names: int) -> HTMLResponse:
    wish, found = sheet.wish(visit.field_profile), None
    if wish:
        with visit.read() as conn:
            subject = _subject(conn, visit, profile, sheet)
            if subject:
                found = make_preview(conn, subject, wish, Look(visit.settings, names))
    return visit.fragment(
        "profile_preview.html",
        profile=profile,
        sheet=sheet,
        wish=wish,
        found=found if found and found.read_at else None,
        names=names,
        more=MORE_NAMES,
        most=MOST_NAMES,
    )


def _subject(conn: Connection, visit: Visit, profile: Profile | None, sheet: Sheet) -> Subject | None:
    """Return whose folder it is about, or None while no run has found out which company is meant."""
    company = profile.company if profile else None
    try:
        company = company or companies.find_company(conn, sheet.texts["company_name"]).id
    except ConfigError:
        return None
    if profile is None:
        return Subject(company)
    if not profile.has_synced:
        # Nothing is in its folder yet: whatever is saved, all of them come with the first sync.
        return Subject(company, profile.id)
    return Subject(company, profile.id, Sheet.of(profiles.entry_of(profile)).wish(visit.field_profile))


def _show_ended(visit: Visit, profile: Profile) -> HTMLResponse:
    with visit.read() as conn:
        found = endings.read_ended(conn, profile)
        changes, total = read_changes(conn, profile.id, HISTORY)
    return visit.page(
        "profile_ended.html",
        "overview",
        profile=profile,
        found=found,
        settings=words.SETTINGS | words.WISHES,
        title_of=words.title_of,
        changes=changes,
        changes_left=total - len(changes),
    )


def _author(visit: Visit) -> Author:
    return Author(visit.user.name, visit.now)


def _saved(visit: Visit, profile: int) -> Response:
    return RedirectResponse(visit.url(f"profiles/{profile}", saved="yes"), status_code=303)


def _known_companies(conn: Connection) -> list[str]:
    """Return the companies that profiles are bound to, and that Business Central listed last, each once.

    Until it has listed any, those that people wrote.
    """
    listed = [each.name for each in company_names.read_listed(conn)]
    written = [] if listed else profiles.read_company_names(conn)
    names = [*(each.name for each in companies.read_companies(conn)), *listed, *written]
    return sorted({name.casefold(): name for name in names}.values(), key=str.casefold)


def _show(
    visit: Visit,
    profile: Profile | None,
    sheet: Sheet,
    *,
    status: int = 200,
    is_saved: bool = False,
) -> HTMLResponse:
    with visit.read() as conn:
        known = [] if profile and profile.has_synced else _known_companies(conn)
        changes, total = read_changes(conn, profile.id, HISTORY) if profile else ([], 0)
        checked = read_check(conn, profile.id) if profile else None
        doing = profile_status.values_of(conn, profile) if profile else {"line": None, "status": None}
    return visit.page(
        "profile.html",
        "overview",
        status,
        profile=profile,
        doing=doing,
        sheet=sheet,
        seen=sheet.seen_as_text() if profile else "",
        blank=Row("Name", ""),
        is_saved=is_saved,
        companies=known,
        columns=columns_of(visit.field_profile),
        settings=words.SETTINGS | words.WISHES,
        policies=list(POLICIES),
        examples=words.EXAMPLES,
        languages_known=LANGUAGES,
        title_of=words.title_of,
        checked=checked,
        run="",
        checks=words.CHECKS,
        changes=changes,
        changes_left=total - len(changes),
    )
