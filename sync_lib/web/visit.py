"""One request for a page: who asks, in which language, and how its answer is written.

A route takes ``visit: CurrentVisit`` and returns ``visit.page(...)`` or ``visit.fragment(...)``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cache
from typing import Annotated, Any
from urllib.parse import quote, urlencode

from fastapi import Depends, Request
from fastapi.responses import HTMLResponse
from jinja2 import Environment, PackageLoader, StrictUndefined
from pydantic import AfterValidator, Field
from sqlalchemy import Connection, Engine

from sync_lib.settings import SyncSettings
from sync_lib.store.engine import read, transaction
from sync_lib.store.profiles.wording import Worded
from sync_lib.store.queries.attention import read_attention
from sync_lib.store.queries.run_kinds import read_run_kinds
from sync_lib.times import to_text
from sync_lib.web import language, words
from sync_lib.web.assets import asset_versions
from sync_lib.web.health import Health, health_of
from sync_lib.web.run_words import RunTold, tell_run
from sync_lib.web.seams import Seams, Surroundings, User

#: Characters that would change how the text around them is shown, each with what is shown in its place.
_VISIBLE = {code: chr(0x2400 + code) for code in range(32) if chr(code) not in "\t\n"} | {0x7F: "\u2421"}
_VISIBLE |= {
    code: f"[U+{code:04X}]"
    for code in (*range(0x80, 0xA0), 0x061C, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A))
}
_SEARCH_LENGTH = 200


def shown(value: Any) -> Any:
    """Return a value as a template may write it: text without control characters and overrides of direction."""
    return value.replace("\r\n", "\n").translate(_VISIBLE) if isinstance(value, str) else value


def _searched(text: str) -> str:
    # PostgreSQL takes no NUL in a text, and no contact holds one there.
    return text.replace("\0", "").strip()[:_SEARCH_LENGTH]


#: A text to search for, from the query of a URL.
SearchText = Annotated[str, AfterValidator(_searched)]
#: Number of the part of a long list, from 1, from the query of a URL.
PartNumber = Annotated[int, Field(ge=1, le=1_000_000)]


@dataclass(frozen=True, slots=True)
class Visit:
    """One request.

    Attributes:
        user: Who asks; Airflow has already agreed to it.
        language: ``en`` or ``nl``.
        root: Airflow's own root as the browser sees it: "" or the path of its base URL.
        now: The time, as the staging database writes it.
    """

    request: Request
    seams: Seams
    user: User
    language: str
    root: str
    now: str

    @property
    def engine(self) -> Engine:
        """The staging database."""
        return self.seams.engine()

    @property
    def field_profile(self) -> str:
        """Which fields of Business Central are read, and a filter may therefore name."""
        return self.seams.field_profile()

    @property
    def settings(self) -> SyncSettings:
        """How the sync behaves."""
        return self.seams.settings()

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """Run the block on one unchanging picture of the staging database."""
        with read(self.engine) as conn:
            yield conn

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """Run the block in one transaction that may write; only for routes that change something."""
        with transaction(self.engine) as conn:
            yield conn

    def url(self, path: str = "", **query: Any) -> str:
        """Return the address of one of our pages, relative to the host; parts without a value are left out."""
        given = {name: value for name, value in query.items() if value not in (None, "", [])}
        question = f"?{urlencode(given, doseq=True)}" if given else ""
        return f"{self.root}{self.seams.mount}/{quote(path)}{question}"

    def business_central(self, tenant_id: str, environment: str, company: str, number: str) -> str:
        """Return the address of a contact's card in Business Central, or "" where nobody knows it.

        How it is written: Microsoft's "Web Client URL"; page 5050 is the card.
        """
        client = self.seams.bc_client()
        if not client or not number:
            return ""
        place = "/".join(quote(part, safe="") for part in (tenant_id, environment))
        # Quotes within a text of a filter are doubled.
        chosen = f"'No.' IS '{number.replace(chr(39), chr(39) * 2)}'"
        question = urlencode({"company": company, "page": "5050", "filter": chosen}, quote_via=quote)
        return f"{client}/{place}/?{question}"

    def airflow(self, path: str) -> str:
        """Return the address of one of Airflow's own pages, relative to the host.

        Args:
            path: Already quoted where it holds ids; a link to it needs the attribute ``data-airflow``, which takes it
                out of Airflow's frame.
        """
        return f"{self.root}/{path}"

    def text(self, message: str, /, **values: Any) -> str:
        """Return a marked text in the user's language."""
        return language.in_language(self.language, message, **values)

    def sentence(self, said: str) -> str:
        """Return a text that keeps its values apart in the user's language, and with it what it is made of."""
        if not isinstance(said, Worded):
            return said
        values = {
            name: self.sentence(each) if isinstance(each, str) else each for name, each in said.values.items()
        }
        return self.text(said.template, **values)

    def runs_in_words(self, runs: Iterable[str]) -> dict[str, RunTold]:
        """Return what runs were, by their ids: a look-up here, and one in Airflow where any was started by hand."""
        wanted = sorted({run for run in runs if run})
        with self.read() as conn:
            kinds = read_run_kinds(conn, wanted)
        told = {run: tell_run(run, kinds.get(run, "")) for run in wanted}
        by_hand = [run for run, each in told.items() if each.kind == "manual"]
        starters = self.seams.starters(by_hand) if by_hand else {}
        return {run: replace(each, by=starters.get(run, "")) for run, each in told.items()}

    def page(self, template: str, page: str, status: int = 200, **values: Any) -> HTMLResponse:
        """Return a whole page; ``page`` is its name in the navigation."""
        around = Surroundings()
        health, waiting = Health(), {}
        # What went wrong with a request may be what these lines would be read from.
        if status < 400:
            around = self.seams.surroundings()
            health = health_of(self, around)
            waiting = self._waiting()
        known = {"page": page, "navigation": self._navigation(), "health": health, "around": around}
        known["waiting"] = waiting
        return self._answer(template, status, {**known, **values})

    def fragment(self, template: str, **values: Any) -> HTMLResponse:
        """Return a part of a page, which htmx puts in its place."""
        return self._answer(template, 200, values)

    def wants_fragment(self, target: str) -> bool:
        """Whether htmx asks for the element with this id only; going back in the history asks for the page."""
        headers = self.request.headers
        return headers.get("hx-target") == target and "hx-history-restore-request" not in headers

    def _navigation(self) -> Any:
        return self.request.app.state.navigation

    def _waiting(self) -> dict[str, int]:
        """How much waits for people, by the page of the navigation that shows it."""
        with self.read() as conn:
            found = read_attention(conn)
        return {"plans": found.holds, "rejects": found.rejects}

    def _answer(self, template: str, status: int, values: dict[str, Any]) -> HTMLResponse:
        html = environment(self.language).get_template(template).render(visit=self, **values)
        # A lone surrogate, which JSON may hold, has no UTF-8.
        return HTMLResponse(html.encode("utf-8", "replace"), status_code=status)


def current_visit(request: Request) -> Visit:
    """Return the visit; there is none where the app did not ask Airflow about the user before."""
    state = request.app.state
    root = request.scope.get("root_path", "").removesuffix(state.seams.mount)
    return Visit(
        request=request,
        seams=state.seams,
        user=request.state.visitor,
        language=language.language_of(request),
        root=root,
        now=to_text(datetime.now(UTC)),
    )


CurrentVisit = Annotated[Visit, Depends(current_visit)]


@cache
def environment(code: str) -> Environment:
    """Return the templates of a language. Everything that they write is escaped."""
    made = Environment(
        loader=PackageLoader("sync_lib.web"),
        autoescape=True,
        extensions=["jinja2.ext.i18n"],
        finalize=shown,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    texts = language.translations(code)

    def translated(text: str) -> str:
        # Catalogues keep their own header under the empty text.
        return texts.gettext(text) if text else ""

    # Jinja's extension for translations adds this by itself.
    made.install_gettext_callables(texts.gettext, texts.ngettext, newstyle=True)  # type: ignore[attr-defined]
    made.globals.update(
        asset=lambda name: f"static/{name}?v={asset_versions()[name]}",
        languages=language.LANGUAGES,
        words=words,
        tell_run=tell_run,
        path=lambda text: quote(text, safe=""),
    )
    made.filters.update(
        age=lambda stamp: language.age(stamp, code),
        moment=lambda stamp: language.moment(stamp, code),
        number=lambda value: language.number(value, code),
        span=lambda seconds: language.span(seconds, code),
        clock=lambda stamp: language.clock(stamp, code),
        percent=lambda value: language.percent(value, code),
        reason=lambda code: translated(words.reason_of(code).means),
        remedy=lambda code: translated(words.reason_of(code).remedy),
        field=lambda name: translated(words.field_of(name)),
        sentence=lambda text: text[:1].upper() + text[1:],
        said=lambda code: translated(words.word_of(code)),
    )
    return made
