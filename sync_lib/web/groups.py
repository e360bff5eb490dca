"""Groups of Entra ID whose members get profiles: what the last look at each came to. They are changed by the file."""

from __future__ import annotations

from fastapi import APIRouter
from fastapi.responses import HTMLResponse

from sync_lib.store.profiles import groups as stored
from sync_lib.store.queries import groups as store
from sync_lib.web.language import msg
from sync_lib.web.pages import Page
from sync_lib.web.profile_words import SETTINGS, title_of
from sync_lib.web.visit import CurrentVisit

router = APIRouter()
PAGE = Page("groups", "groups", msg("Groups"), router, in_navigation=False)

#: Why nothing, or not everything, was done -> what is said of it, and what a person can do.
TROUBLES = {
    "no_right": (
        msg("The app may not read groups: nothing was changed."),
        msg("Grant it GroupMember.Read.All as an application permission, with admin consent."),
    ),
    "group_gone": (
        msg("Entra ID has no such group any more: nothing was changed."),
        msg("Take it out by contact-sync groups remove, or correct its name in the file."),
    ),
    "group_ambiguous": (
        msg("Several groups have this name: nothing was changed."),
        msg("Name the group by its id in the file."),
    ),
    "not_readable": (
        msg("Its members could not be read: nothing was changed."),
        msg("The next night tries again; the log of reconcile_groups says more."),
    ),
    "emptied": (
        msg("It is suddenly empty: nobody was switched off."),
        msg("If that is right: contact-sync groups reconcile --confirm NUMBER."),
    ),
    "many_leavers": (
        msg("Unusually many people left at once: they wait."),
        msg("See who they are: contact-sync groups reconcile --dry-run. If that is right: --confirm NUMBER."),
    ),
    "others_not_read": (
        msg(
            "Another group of the company could not be read: who left this one may be in that one, and waits."
        ),
        msg("See to the other group first."),
    ),
    "no_salespeople": (
        msg(
            "Business Central does not show its salespeople to the app: who joins waits, since the filter needs codes."
        ),
        msg("Let the app read the table Salesperson/Purchaser in Business Central."),
    ),
    "some_failed": (
        msg("Some people could not be dealt with; the others were."),
        msg("The log of reconcile_groups says who, and why."),
    ),
}

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
