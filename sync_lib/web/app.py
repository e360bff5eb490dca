"""Puts the pages together. ``PAGES`` is the navigation; a page that is added there has all of the protection here."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

from fastapi import Depends, FastAPI, HTTPException, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import PlainTextResponse, Response
from starlette.exceptions import HTTPException as AnyHTTPException

from sync_lib.errors import StagingAwayError, SyncError, reason_of
from sync_lib.store.engine import AWAY
from sync_lib.web import (
    assets,
    bulk,
    contacts,
    erase,
    groups,
    history,
    many,
    overview,
    plans,
    profile,
    rejects,
    trends,
    undo,
    words,
)
from sync_lib.web.language import in_language, language_of, msg
from sync_lib.web.pages import Page
from sync_lib.web.seams import Seams, User
from sync_lib.web.security import SafeAnswers, refuse_cross_site
from sync_lib.web.visit import current_visit

logger = logging.getLogger(__name__)

#: In the order of the navigation.
PAGES = (
    overview.PAGE,
    profile.PAGE,
    plans.PAGE,
    history.PAGE,
    contacts.PAGE,
    rejects.PAGE,
    undo.PAGE,
    groups.PAGE,
    trends.PAGE,
    bulk.PAGE,
    many.PAGE,
    erase.PAGE,
)

_METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]


def make_app(seams: Seams) -> FastAPI:
    """Return the app. No answer comes from it, not even to an unknown path, before ``authorize`` agreed."""
    return assemble(seams, PAGES)


def assemble(seams: Seams, pages: Sequence[Page]) -> FastAPI:
    """Return an app of some pages, each of whose routes asks ``authorize`` and refuses other sites."""

    def remember(request: Request, user: User = Depends(seams.authorize)) -> None:  # noqa: B008 - seams come late.
        request.state.visitor = user

    app = FastAPI(
        dependencies=[Depends(remember), Depends(refuse_cross_site)],
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
    )
    app.state.seams = seams
    app.state.navigation = [page for page in pages if page.in_navigation]
    app.add_middleware(SafeAnswers)
    app.include_router(assets.router)
    for page in pages:
        app.include_router(page.router)
    # Dependencies belong to routes, so that a path which leads nowhere needs a route too.
    app.add_api_route("/{path:path}", _not_found, methods=_METHODS)
    for error in (AnyHTTPException, RequestValidationError, SyncError, *AWAY):
        app.add_exception_handler(error, show_error)
    return app


def _not_found() -> Response:
    raise HTTPException(404)


def show_error(request: Request, error: Exception) -> Response:
    """Return the page, or the line, that says what went wrong; to who is not known, nothing but a line."""
    status, message = _explain(error)
    text = in_language(language_of(request), message)
    if not hasattr(request.state, "visitor"):
        return PlainTextResponse(text, status_code=status, headers=getattr(error, "headers", None))
    visit, detail = current_visit(request), ""
    if isinstance(error, SyncError) and not isinstance(error, StagingAwayError):
        # What the error itself says is English.
        reason, detail = words.reason_of(reason_of(error)), str(error)
        text = f"{visit.text(reason.means)}. {visit.text(reason.remedy)}"
    if "hx-request" in request.headers:
        return PlainTextResponse(f"{text} {detail}".rstrip(), status_code=status)
    return visit.page("error.html", page="", status=status, message=text, detail=detail)


def _explain(error: Any) -> tuple[int, str]:
    if isinstance(error, (SyncError, *AWAY)):
        logger.warning("a page could not be made: %s", type(error).__name__)
        is_away = isinstance(error, (StagingAwayError, *AWAY))
        return 503, _DATABASE_AWAY if is_away else str(error)
    if isinstance(error, RequestValidationError):
        return 400, msg("This address or form holds something that cannot be understood.")
    return error.status_code, _STATUS.get(
        error.status_code, _DETAILS.get(str(error.detail), str(error.detail))
    )


_DATABASE_AWAY = msg(
    "The staging database does not answer. Nothing is lost: runs wait or try again. Check whether its server is up and"
    " reachable from Airflow's API server, then reload this page."
)
_STATUS = {
    401: msg("Log in to Airflow first, then open this page again."),
    404: msg("There is no such page."),
}
#: What Airflow itself says -> the same in words; what we refuse has words of its own.
_DETAILS = {
    "Forbidden": msg("You may not do this, or not see this. Ask whoever gives permissions in Airflow."),
}
