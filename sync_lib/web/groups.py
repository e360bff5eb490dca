"""Groups of Entra ID whose members get profiles: what the last look at each came to. They are changed by the file."""

from __future__ import annotations

from fastapi import APIRouter
from fastapi.responses import HTMLResponse

from sync_lib.store.profiles import groups as stored
from sync_lib.store.queries import groups as store
from sync_lib.web.groups_words import TROUBLES
from sync_lib.web.language import msg
from sync_lib.web.pages import Page
from sync_lib.web.profile_words import SETTINGS, title_of
from sync_lib.web.visit import CurrentVisit

router = APIRouter()
PAGE = Page("groups", "groups", msg("Groups"), router, in_navigation=False)

#: What becomes of leavers.
LEAVERS = {
    "switch_off": msg("is switched off"),
    "end_keep": msg("is ended by the next run, with the contacts kept"),
    "end_remove": msg("is ended by the next run, with the contacts removed"),
}


@router.get("/groups")
def groups(visit: CurrentVisit) -> HTMLResponse:
    """Show all groups, and the defaults of the file of profiles."""
    with visit.read() as conn:
        lines, defaults = store.read_lines(conn), stored.read_defaults(conn) or {}
    said = [(each, SETTINGS[each].title, value) for each, value in defaults.items()]
    return visit.page(
        "groups.html",
        "groups",
        lines=lines,
        defaults=said,
        troubles=TROUBLES,
        leavers=LEAVERS,
        title_of=title_of,
    )
