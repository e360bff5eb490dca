"""My contacts: the name of the folder, which contacts are in it, as far as that is allowed, and the weekly mail."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, replace
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Form, HTTPException, Request
from fastapi.responses import HTMLResponse, Response
from starlette.datastructures import FormData

from sync_lib.fields.bc_columns import columns_of
from sync_lib.fields.filters import Groups, to_written
from sync_lib.operate.settings_preview import Look, Preview, Subject, Wish, make_preview
from sync_lib.store import weekly_mail
from sync_lib.store.profiles import rows as profiles
from sync_lib.store.profiles.file import ProfileEntry
from sync_lib.store.profiles.settings import ChangedMeanwhile, change_profile
from sync_lib.store.profiles.values import WrongValue
from sync_lib.web import profile_words
from sync_lib.web.language import LANGUAGES, msg
from sync_lib.web.mine_seams import Allowed
from sync_lib.web.mine_visit import CurrentMine, Mine
from sync_lib.web.pages import Page
from sync_lib.web.profile_sheet import Row, Sheet

router = APIRouter()
PAGE = Page("mine_settings", "settings", msg("Settings"), router, in_navigation=False)

#: Names of a list in the preview.
NAMES = 50
#: The choice among named filters that leaves the filter as it is.
KEEP = ""


async def _submitted(request: Request) -> FormData:
    """Read the form: as a dependency, so that nobody's form is looked at before the app knows who sends it."""
    return await request.form()


Submitted = Annotated[FormData, Depends(_submitted)]


@router.get("/{n}/settings")
def settings(mine: CurrentMine) -> HTMLResponse:
    """Show the folder's name and the filter."""
    entry = profiles.entry_of(mine.profile)
    return _show(mine, entry, Sheet.of(entry), chosen=_name_of(mine.allowed, entry.filter))


@router.post("/{n}/settings")
def save(mine: CurrentMine, form: Submitted) -> Response:
    """Store the folder's name and the filter, unless somebody else changed a setting since they were shown."""
    stored = profiles.entry_of(mine.profile)
    sheet, entry = _sent(mine, form, stored)
    if entry is not None and _text(form, "seen") != _digest(stored):
        return _show(mine, stored, sheet, 409, chosen=_text(form, "chosen"))
    if entry is not None:
        try:
            with mine.visit.transaction() as conn:
                change_profile(conn, mine.profile, entry, seen=stored, by=mine.author)
        except WrongValue as taken:
            sheet.problems["folder_name"] = taken
        except ChangedMeanwhile as changed:
            return _show(mine, changed.stored, sheet, 409, chosen=_text(form, "chosen"))
        else:
            return mine.go("settings", said="saved")
    return _show(mine, stored, sheet, 422, chosen=_text(form, "chosen"))


@router.post("/{n}/settings/mail")
def weekly(mine: CurrentMine, wanted: Annotated[bool, Form()]) -> Response:
    """Store whether the colleague wants the weekly mail, in the language of the page; it can be stopped in any case."""
    if wanted and not mine.allowed.weekly_mail:
        return mine.go("settings", said="no_mail")
    with mine.visit.transaction() as conn:
        weekly_mail.choose(conn, mine.profile.id, mine.visit.language, wanted=wanted)
    return mine.go("settings", said="mail_on" if wanted else "mail_off")


@router.post("/{n}/settings/preview")
def preview(mine: CurrentMine, form: Submitted) -> HTMLResponse:
    """Show whom the filter of the form would bring into the folder, and whom it would take out."""
    stored = profiles.entry_of(mine.profile)
    sheet, _ = _sent(mine, form, stored)
    wish = sheet.wish(mine.visit.field_profile)
    return mine.fragment(
        "profile_preview.html",
        profile=mine.profile,
        sheet=sheet,
        wish=wish,
        found=_look(mine, stored, wish) if wish else None,
        names=NAMES,
        more=0,
        most=NAMES,
    )


def _look(mine: Mine, stored: ProfileEntry, wish: Wish) -> Preview | None:
    profile = mine.profile
    if profile.company is None:
        return None
    subject = Subject(profile.company, profile.id, Sheet.of(stored).wish(mine.visit.field_profile))
    with mine.visit.read() as conn:
        found = make_preview(conn, subject, wish, Look(mine.visit.settings, NAMES))
    return found if found.read_at else None


def _sent(mine: Mine, form: FormData, stored: ProfileEntry) -> tuple[Sheet, ProfileEntry | None]:
    """Return the form as it was sent, and the settings that it asks for; None where something is wrong.

    Nothing but the folder's name and the filter is taken from it, and the filter only as far as that is allowed.
    """
    sheet, allowed = Sheet.of(stored), mine.allowed
    if not stored.default_folder and "folder_name" in form:
        sheet.texts["folder_name"] = _text(form, "folder_name")
    if allowed.any_filter:
        sheet.groups = Sheet.sent(form).groups
    elif (name := _text(form, "chosen")) != KEEP:
        if name not in allowed.filters:
            raise HTTPException(400, msg("There is no such filter any more: open the page again."))
        sheet.groups = Sheet.of(replace(stored, filter=allowed.filters[name])).groups
    wanted = sheet.entry(mine.visit.field_profile)
    if wanted is None:
        return sheet, None
    return sheet, replace(stored, folder_name=wanted.folder_name, filter=wanted.filter)


def _text(form: FormData, name: str) -> str:
    value = form.get(name, "")
    return value if isinstance(value, str) else ""


def _digest(entry: ProfileEntry) -> str:
    """Return what the form brings back, so that nobody overwrites what somebody else has just chosen."""
    written = json.dumps(asdict(entry) | {"filter": to_written(entry.filter)}, sort_keys=True)
    return hashlib.sha256(written.encode()).hexdigest()


def _name_of(allowed: Allowed, filter_: Groups) -> str:
    """Return the name of the filter that is this one, or that it stays as it is."""
    return next((name for name, each in allowed.filters.items() if each == filter_), KEEP)


def _show(mine: Mine, entry: ProfileEntry, sheet: Sheet, status: int = 200, *, chosen: str) -> HTMLResponse:
    # Room for one more condition in each group, and for one more group: no script is needed to add them.
    filled = [[row for row in rows if row.expression.strip()] for rows in sheet.groups]
    sheet.groups = [[*rows, Row("Name", "")] for rows in [*filter(None, filled), []]]
    with mine.visit.read() as conn:
        mail = weekly_mail.read_choice(conn, mine.profile.id)
    values: dict[str, Any] = {
        "entry": entry,
        "mail": mail,
        "languages": LANGUAGES,
        "sheet": sheet,
        "seen": _digest(entry),
        "chosen": chosen,
        "changed": status == 409,
        "names": _name_of(mine.allowed, entry.filter),
        "columns": columns_of(mine.visit.field_profile),
        "settings": profile_words.SETTINGS,
        "examples": profile_words.EXAMPLES,
        "title_of": profile_words.title_of,
    }
    return mine.page("mine_settings.html", "settings", status, **values)
