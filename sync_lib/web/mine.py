"""My contacts: how a colleague's own sync is doing, *sync now*, *full sync*, and a check of the connection.

A colleague has no permission on any DAG: the server starts the run, with a conf of its own making, for the profile that
is theirs. What Airflow is asked is in ``mine_seams``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Form, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from sync_lib.store.profiles.checks import read_check
from sync_lib.store.queries import overview as store
from sync_lib.store.queries.overview import ProfileLine
from sync_lib.web import profile_words, words
from sync_lib.web.health import Health
from sync_lib.web.language import msg
from sync_lib.web.mine_visit import CHECK_DAG, SYNC_DAG, CurrentMine, Mine, profiles_of
from sync_lib.web.pages import Page
from sync_lib.web.visit import CurrentVisit

router = APIRouter()
PAGE = Page("mine", "", msg("My contacts"), router, in_navigation=False)

#: What of a check is about the colleague's own profile; the rest is for who runs the sync.
CHECKED = ("mailbox", "company", "filter", "salesperson")
AT_WORK = ("queued", "running")


@dataclass(frozen=True, slots=True)
class Standing:
    """How a profile is doing: one sentence in the reader's language, and how it is shown."""

    kind: str
    text: str
    ask: bool = False


@router.get("/")
def index(visit: CurrentVisit, request: Request) -> Response:
    """Lead to the colleague's profile, or say that there is none."""
    _, own = profiles_of(request)
    if own:
        return RedirectResponse(visit.url("1"), status_code=303)
    allowed = request.app.state.mine.allowed()
    values = {"page": "", "navigation": [], "health": Health(), "waiting": {}, "allowed": allowed}
    return visit.fragment("mine_nobody.html", **values)


@router.get("/{n}")
def home(mine: CurrentMine) -> HTMLResponse:
    """Show how the colleague's sync is doing."""
    return mine.page("mine.html", "home", **_standing(mine), **_checked(mine))


@router.get("/{n}/state")
def state(mine: CurrentMine) -> HTMLResponse:
    """Show how it is doing now; the page asks while something is at work."""
    return mine.fragment("mine_state.html", **_standing(mine))


@router.get("/{n}/checked")
def checked(mine: CurrentMine) -> HTMLResponse:
    """Show what the last check found; the page asks while one is at work."""
    return mine.fragment("mine_checked.html", **_checked(mine))


@router.post("/{n}/sync")
def sync(mine: CurrentMine, mode: Annotated[Literal["incremental", "full"], Form()]) -> Response:
    """Start a sync of the colleague's profile."""
    return mine.go(said=mine.start_sync(mode))


@router.post("/{n}/check")
def check(mine: CurrentMine) -> Response:
    """Start a check of the connection of the colleague's profile."""
    return mine.go(said=mine.start_check())


def _checked(mine: Mine) -> dict[str, Any]:
    with mine.visit.read() as conn:
        found = read_check(conn, mine.profile.id)
    return {
        "checked": found,
        "lines": [line for line in found.lines if line.kind in CHECKED] if found else [],
        "checks": profile_words.CHECKS,
        "check_state": mine.state_of_last(CHECK_DAG),
    }


def _standing(mine: Mine) -> dict[str, Any]:
    with mine.visit.read() as conn:
        line = store.read_line(conn, mine.profile.id)
    own_state = mine.state_of_last(SYNC_DAG)
    standing = _say(mine, line)
    waits = own_state in AT_WORK or (line is not None and line.state == "running")
    return {"line": line, "standing": standing, "own_state": own_state, "waits": waits}


def _say(mine: Mine, line: ProfileLine | None) -> Standing:
    """Return the one sentence: what is the matter first, and else how many contacts agree."""
    if mine.profile.ending:
        return Standing("wait", mine.text(msg("This sync is being ended.")), ask=True)
    if not mine.profile.enabled:
        return Standing("wait", mine.text(msg("Your sync is switched off.")), ask=True)
    if line is None or line.last_state == "never":
        return Standing("busy", mine.text(msg("Nothing has been synced yet: the first sync comes soon.")))
    if line.last_state == "failed":
        why = mine.text(words.reason_of(line.reason).means)
        return Standing("bad", mine.text(msg("The last sync did not work. %(why)s."), why=why), ask=True)
    if line.hold:
        text = msg(
            "Your contacts are synced, except for unusual changes: those wait until somebody has looked at them."
        )
        return Standing("wait", mine.text(text), ask=True)
    if line.last_state == "skipped":
        why = mine.text(words.reason_of(line.reason).means)
        return Standing("wait", mine.text(msg("The last sync left your folder alone. %(why)s."), why=why))
    return Standing("good", mine.text(msg("Your contacts are in sync.")))
