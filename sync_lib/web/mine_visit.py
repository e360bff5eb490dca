"""One request for the page of a colleague's own: whose profiles these are, and how its answers are written.

Which profiles are theirs comes from who they are, never from the request: a route takes ``mine: CurrentMine``, whose
``profile`` is one of their own, by its place in their own list. No id of a profile is in any address or form.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Depends, HTTPException, Path, Request
from fastapi.responses import HTMLResponse, RedirectResponse

from sync_lib.errors import SyncError
from sync_lib.operate.colleagues import Accounts
from sync_lib.ports import User
from sync_lib.store import own_runs
from sync_lib.store.profiles import rows as profiles
from sync_lib.store.profiles.history import Author
from sync_lib.store.profiles.rows import Profile
from sync_lib.web.health import Health, Line
from sync_lib.web.language import msg
from sync_lib.web.mine_seams import Allowed, MineSeams, NotStarted
from sync_lib.web.visit import Visit, current_visit

logger = logging.getLogger(__name__)

SYNC_DAG, CHECK_DAG = "contact_sync", "contact_sync_check"


@dataclass(frozen=True, slots=True)
class Section:
    """A part of the page in its navigation; ``path`` is below the profile's place in the list."""

    name: str
    path: str
    title: str


SECTIONS = (
    Section("home", "", msg("My contacts")),
    Section("search", "contacts", msg("Search")),
    Section("changes", "changes", msg("Changes")),
    Section("left", "not-synced", msg("Not synced")),
    Section("settings", "settings", msg("Settings")),
)

#: What came of what a colleague asked for, by the code that the next page is asked with: how it is shown, and the text.
SAID = {
    "started": ("good", msg("The sync has been started.")),
    "checking": ("good", msg("The check has been started; it takes some seconds.")),
    "soon": ("wait", msg("You have just asked for this. Wait a minute, then try again.")),
    "queued": ("wait", msg("The sync that you asked for still waits for its turn.")),
    "paused": ("wait", msg("All syncing is paused, so nothing was started.")),
    "off": ("wait", msg("Your sync is switched off, so nothing was started.")),
    "refused": ("bad", msg("It could not be started now. Try again later.")),
    "saved": ("good", msg("Saved. The next sync goes by it.")),
    "stored": ("good", msg("Stored. The sync that was started for it carries it out.")),
    "later": ("good", msg("Stored. The next sync carries it out.")),
    "mail_on": ("good", msg("The weekly mail is on.")),
    "mail_off": ("good", msg("The weekly mail is off.")),
    "no_mail": ("wait", msg("No mail can be sent now, so nothing was changed.")),
    "withdrawn": ("good", msg("Withdrawn: it is not undone.")),
}


@dataclass(frozen=True, slots=True)
class Mine:
    """One request of a colleague.

    Attributes:
        account: Who they are to Microsoft 365.
        profiles: Theirs, in the order in which they were added.
        n: Which of them the request is about, from 1.
    """

    visit: Visit
    own: MineSeams
    account: User
    profiles: tuple[Profile, ...]
    n: int

    @property
    def profile(self) -> Profile:
        """The profile that the request is about."""
        return self.profiles[self.n - 1]

    @property
    def author(self) -> Author:
        """Who changes something, in the words of people, and when."""
        return Author(self.account.principal_name or self.visit.user.name, self.visit.now)

    @property
    def allowed(self) -> Allowed:
        """What the administrator lets colleagues do."""
        return self.own.allowed()

    def url(self, path: str = "", **query: Any) -> str:
        """Return the address of a part of the page, about the same profile."""
        return self.visit.url(f"{self.n}/{path}" if path else str(self.n), **query)

    def text(self, message: str, /, **values: Any) -> str:
        """Return a marked text in the reader's language."""
        return self.visit.text(message, **values)

    def page(self, template: str, section: str, status: int = 200, **values: Any) -> HTMLResponse:
        """Return a whole page; ``section`` is its name in the navigation."""
        told = SAID.get(self.visit.request.query_params.get("said", ""))
        navigation = [
            Section(each.name, f"{self.n}/{each.path}".rstrip("/"), each.title) for each in SECTIONS
        ]
        known = {
            "mine": self,
            "page": section,
            "navigation": navigation,
            "told": told,
            "health": Health(self._health()),
            "waiting": {},
        }
        answer = self.visit.fragment(template, **known | {"allowed": self.allowed} | values)
        answer.status_code = status
        return answer

    def fragment(self, template: str, **values: Any) -> HTMLResponse:
        """Return a part of a page, which htmx puts in its place."""
        return self.visit.fragment(template, mine=self, **{"allowed": self.allowed} | values)

    def go(self, path: str = "", said: str = "") -> RedirectResponse:
        """Lead to a part of the page, which says what came of what was asked for."""
        return RedirectResponse(self.url(path, said=said), status_code=303)

    def _health(self) -> list[Line]:
        """What keeps everybody's contacts from syncing; nothing of it is for a colleague to solve."""
        lines = []
        if not self.visit.settings.writes:
            lines.append(Line("bad", self.text(msg("Writing is switched off: changes on both sides wait."))))
        if self.visit.seams.surroundings().paused:
            lines.append(Line("wait", self.text(msg("All syncing is paused."))))
        return lines

    # -- runs -------------------------------------------------------------------------------------------------------

    def start_sync(self, mode: str = "incremental") -> str:
        """Start a sync of this profile and of no other one; return the code of what came of it (``SAID``)."""
        if not self.profile.enabled:
            return "off"
        if self.visit.seams.surroundings().paused:
            return "paused"
        return self._start(SYNC_DAG, {"mode": mode, "dry_run": False, "profiles": [self.profile.key]})

    def start_check(self) -> str:
        """Start a check of this profile's connection; return the code of what came of it."""
        came = self._start(CHECK_DAG, {"profiles": [self.profile.key]})
        return "checking" if came == "started" else came

    def carried_out(self) -> str:
        """Start a sync for something that has been stored; return the code that says when it is carried out."""
        return "stored" if self.start_sync() == "started" else "later"

    def state_of_last(self, dag: str) -> str:
        """Return the state in Airflow of the last run that the colleague started; "" for none."""
        with self.visit.read() as conn:
            last = own_runs.read_last(conn, self.profile.id, dag)
        return self.own.state_of(dag, last.run) if last and last.run else ""

    def _start(self, dag: str, conf: Mapping[str, Any]) -> str:
        if self.state_of_last(dag) == "queued":
            return "queued"
        with self.visit.transaction() as conn:
            if not own_runs.take_turn(conn, self.profile.id, dag, self.author.name):
                return "soon"
        try:
            run = self.own.start(dag, conf, self.visit.user.name)
        except NotStarted as refused:
            logger.warning("no run of %s was started for profile %d: %s", dag, self.profile.id, refused)
            return "refused"
        with self.visit.transaction() as conn:
            own_runs.write_run(conn, self.profile.id, dag, run)
        logger.info("profile %d: a run of %s was started by its colleague", self.profile.id, dag)
        return "started"


def profiles_of(request: Request) -> tuple[User, tuple[Profile, ...]]:
    """Return who asks, as an account, and the profiles that are theirs; none where nothing matches.

    Raises:
        HTTPException: 503, it cannot be found out now.
    """
    visit = current_visit(request)
    accounts: Accounts = request.app.state.accounts
    try:
        account = accounts.of(visit.user.name)
    except SyncError as error:
        logger.warning("who opens the page of their own is not known: %s", type(error).__name__)
        raise HTTPException(503, NOT_KNOWN_NOW) from error
    if account is None:
        return User("", ""), ()
    with visit.read() as conn:
        return account, tuple(profiles.read_own(conn, account.id, account.principal_name))


NOT_KNOWN_NOW = msg(
    "Microsoft 365 does not answer now, so it cannot be looked up which contacts are yours. Try again in some minutes."
)


def current_mine(request: Request, n: Annotated[int, Path(ge=1, le=99)]) -> Mine:
    """Return the visit about the colleague's n-th profile.

    Raises:
        HTTPException: 404, they have no such one; 503, it cannot be found out now.
    """
    account, own = profiles_of(request)
    if n > len(own):
        raise HTTPException(404)
    return Mine(current_visit(request), request.app.state.mine, account, own, n)


CurrentMine = Annotated[Mine, Depends(current_mine)]
