"""Puts the page of a colleague's own together: an app of its own, with a permission of its own.

It shares texts, styles and templates with the other pages, and no route: a login that is good for one of the two apps
opens nothing of the other one.
"""

from __future__ import annotations

from urllib.parse import urlencode

from fastapi import FastAPI, Request
from fastapi.responses import RedirectResponse, Response
from starlette.exceptions import HTTPException as AnyHTTPException

from sync_lib.operate.colleagues import Accounts
from sync_lib.web import mine, mine_changes, mine_contacts, mine_settings
from sync_lib.web.app import assemble, show_error
from sync_lib.web.mine_seams import MineSeams

PAGES = (mine.PAGE, mine_contacts.PAGE, mine_changes.PAGE, mine_settings.PAGE)


def make_mine_app(seams: MineSeams) -> FastAPI:
    """Return the app. No answer comes from it before ``authorize`` agreed, but for where to log in."""
    app = assemble(seams.pages, PAGES)
    app.state.mine = seams
    app.state.accounts = Accounts(seams.pages.edges)
    app.add_exception_handler(AnyHTTPException, _show_error)
    return app


def _show_error(request: Request, error: Exception) -> Response:
    """Lead a person without a login to it, and back: colleagues open the page by its address."""
    if isinstance(error, AnyHTTPException) and error.status_code == 401 and _is_opened(request):
        seams: MineSeams = request.app.state.mine
        root = request.scope.get("root_path", "").removesuffix(seams.pages.mount)
        back = urlencode({"next": f"{root}{seams.pages.mount}/"})
        return RedirectResponse(f"{root}/{seams.login}?{back}", status_code=303)
    return show_error(request, error)


def _is_opened(request: Request) -> bool:
    """Whether a person opens the page in a browser."""
    headers = request.headers
    return (
        request.method == "GET" and "text/html" in headers.get("accept", "") and "hx-request" not in headers
    )
