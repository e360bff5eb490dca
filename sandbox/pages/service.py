"""Serves the two pages: lists, forms, and what their forms ask for, done by the APIs that users have."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from sandbox.pages import texts
from sandbox.pages.business_central import BusinessCentral
from sandbox.pages.outlook import Outlook
from sandbox.pages.places import Place
from sandbox.services import Services
from sandbox.user_actions import UserActions
from sandbox.wire import Call, Reply

PLACES: dict[str, Place] = {place.name: place for place in (Outlook(), BusinessCentral())}
_HERE = Path(__file__).parent
_STATIC = {"pages.css": "text/css; charset=utf-8", "pages.js": "text/javascript; charset=utf-8"}
_LOOPBACK = frozenset(("127.0.0.1", "localhost", "::1"))
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self';"
    " form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cache-Control": "no-store",
}
#: What an address keeps from page to page.
_KEPT = ("owner", "folder", "q")


class _RefusedError(Exception):
    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class Pages:
    """The pages at ``/``, ``/outlook`` and ``/business-central``."""

    def __init__(self, services: Services, users: UserActions) -> None:
        self._services = services
        self._users = users

    @staticmethod
    def takes(call: Call) -> bool:
        """Return whether a call is for one of the pages."""
        return not call.segments or call.segments[0] in PLACES or call.segments[0] == "static"

    async def handle(self, call: Call) -> Reply:
        """Return the answer to one request."""
        call.service = "pages"
        try:
            _check_origin(call)
            reply = await self._handle(call)
        except _RefusedError as error:
            reply = _html(call, "refused.html", error.status, message=str(error))
        reply.headers.update(_HEADERS)
        return reply

    async def _handle(self, call: Call) -> Reply:
        if call.segments[:1] == ["static"]:
            return _static(call)
        place = PLACES.get(call.segments[0]) if call.segments else None
        if place is None:
            return _html(call, "index.html", places=list(PLACES.values()))
        try:
            if call.method == "POST" and call.segments[1:] == ["contact"]:
                return await self._act(call, place)
            if call.method == "GET" and call.segments[1:] == ["contact"]:
                return self._form(call, place)
            if call.method == "GET" and not call.segments[1:]:
                return self._list(call, place)
        except (KeyError, ValueError, StopIteration) as error:
            raise _RefusedError(404, "That is not here any more.") from error
        raise _RefusedError(404, "There is no such page.")

    def _list(self, call: Call, place: Place) -> Reply:
        listing = place.listing(self._services.world, call.query)
        template = "list.html" if "part" in call.query else "page.html"
        return _html(call, template, place=place, listing=listing, search=call.query.get("q", ""))

    def _form(self, call: Call, place: Place, said: str = "") -> Reply:
        world, query = self._services.world, call.query
        if place.listing(world, query).problem:
            raise _RefusedError(404, "That is not here any more.")
        moves = place.moves(world, query) if query.get("contact") else ()
        values = {
            "place": place,
            "inputs": place.form(world, query),
            "moves": moves,
            "back": _address(place, query),
            "here": _address(place, query, part="contact"),
            "is_new": not query.get("contact"),
            "said": said,
        }
        return _html(call, "form.html", 200 if not said else 422, **values)

    async def _act(self, call: Call, place: Place) -> Reply:
        """Do what a form asks for, one action after the other; the first refusal is shown in the form."""
        given = dict(parse_qsl(call.body.decode("utf-8", "replace"), keep_blank_values=True))
        world, query = self._services.world, call.query
        if given.get("do") == "delete":
            actions = place.delete(world, query)
        elif given.get("do") == "move":
            actions = place.move(world, query, given["to"])
        else:
            actions = place.save(world, query, _changed(place.form(world, query), given))
        for action in actions:
            reply = await self._users.act(call, action)
            if reply.status >= 400:
                return self._form(call, place, _message(reply))
        call.service = "pages"
        return Reply(303, headers={"Location": _address(place, query)})


def _check_origin(call: Call) -> None:
    """Refuse whoever comes by another name than that of this machine, and forms of other sites.

    The pages ask for no password, and a name that leads to this machine may belong to anybody.
    """
    host = urlsplit(f"//{call.headers.get('host', '')}").hostname
    if host not in _LOOPBACK:
        raise _RefusedError(403, "These pages are for the machine that the sandbox runs on.")
    if call.method == "GET":
        return
    site, origin = call.headers.get("sec-fetch-site"), call.headers.get("origin", "")
    is_same = site == "same-origin" if site else urlsplit(origin).netloc == call.headers.get("host")
    if not is_same:
        raise _RefusedError(403, "This request came from another site.")


def _changed(inputs: list[Any], given: Mapping[str, str]) -> dict[str, str]:
    """Return the fields that were changed in the form, compared with what it was shown with.

    So an edit of the sync, made between the form and its answer, is not undone by it.
    """
    changed = {}
    for each in inputs:
        value = given.get(each.name, "").strip().replace("\r\n", "\n")
        if value != given.get(f"was.{each.name}", ""):
            changed[each.name] = value
    return changed


def _message(reply: Reply) -> str:
    body = reply.body if isinstance(reply.body, dict) else {}
    error = body.get("error", "")
    return str(error.get("message", "") if isinstance(error, dict) else error) or f"HTTP {reply.status}"


def _address(place: Place, query: Mapping[str, str], part: str = "") -> str:
    names = (*_KEPT, "contact") if part else _KEPT
    kept = urlencode({name: query[name] for name in names if query.get(name)})
    return f"/{place.name}{'/' + part if part else ''}{'?' + kept if kept else ''}"


def _static(call: Call) -> Reply:
    name = call.segments[1] if len(call.segments) == 2 else ""
    if name not in _STATIC:
        raise _RefusedError(404, "There is no such page.")
    return Reply(200, raw=(_HERE / "static" / name).read_bytes(), content_type=_STATIC[name])


def _html(call: Call, template: str, status: int = 200, **values: Any) -> Reply:
    language = texts.language_of(call.headers.get("accept-language", ""))
    known = {"language": language, "t": lambda text: texts.translate(text, language), "address": _address}
    page = _environment().get_template(template).render(**known, query=call.query, **values)
    return Reply(status, raw=page.encode("utf-8", "replace"), content_type="text/html; charset=utf-8")


@cache
def _environment() -> Environment:
    return Environment(
        loader=FileSystemLoader(_HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
