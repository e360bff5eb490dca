"""Reading contacts from Business Central: filter, order, keyset paging, and how a row is written."""

from __future__ import annotations

import base64
from collections.abc import Callable
from operator import attrgetter
from typing import Any
from urllib.parse import quote

from sandbox.business_central.filter import Test, parse_filter
from sandbox.business_central.table import EXTENDED, STANDARD, Company, Field, Row
from sandbox.clock import iso_milliseconds
from sandbox.graph.delta import decode, encode
from sandbox.settings import Settings
from sandbox.wire import ApiError, Call, parse_integer

HARD_PAGE = 20000
KNOWN = frozenset(
    (
        "$filter",
        "$select",
        "$orderby",
        "$count",
        "$top",
        "$skip",
        "$skiptoken",
        "$expand",
        "$schemaversion",
        "company",
        "tenant",
    )
)


class Page:
    """One API page on the Contact table: a set of fields, and whether nothing is deleted through it."""

    def __init__(self, fields: tuple[Field, ...], *, keeps_all: bool = False) -> None:
        self.fields = {f.name: f for f in fields}
        self.keeps_all = keeps_all
        self._names = tuple(self.fields)
        self._read = attrgetter(*(f.attribute for f in fields))

    def write(self, row: Row, select: frozenset[str] | None = None) -> dict[str, Any]:
        """Return a row as JSON object."""
        body: dict[str, Any] = {"@odata.etag": etag(row)}
        body.update(zip(self._names, self._read(row), strict=True))
        body["lastModifiedDateTime"] = iso_milliseconds(row.modified)
        if select is not None:
            body = {name: value for name, value in body.items() if name in select or name == "@odata.etag"}
        return body

    def select(self, call: Call) -> frozenset[str] | None:
        """Return the names of ``$select``; an unknown one is refused."""
        text = call.query.get("$select")
        if not text or text.strip() == "*":
            return None
        names = frozenset(name.strip() for name in text.split(","))
        for name in names - set(self.fields):
            message = f"Could not find a property named '{name}' on type 'Microsoft.NAV.contact'."
            raise ApiError(400, "BadRequest", message)
        return names


PAGES = {"standard": Page(STANDARD), "extended": Page(EXTENDED, keeps_all=True)}


def page_of(call: Call) -> Page:
    """Return the set of fields that the address of a call stands for."""
    return PAGES[call.notes.get("profile", "standard")]


def etag(row: Row) -> str:
    """Return the weak ETag in the form that Business Central gives it."""
    text = f"'20;{row.row_version};00;'"
    return f'W/"{base64.b64encode(text.encode()).decode()}"'


class Query:
    """One list request on a company's contacts."""

    def __init__(self, call: Call, company: Company, page: Page, settings: Settings) -> None:
        unknown = {name for name in call.query if name.startswith("$")} - KNOWN
        if unknown:
            raise ApiError(400, "BadRequest", "The query option is not supported.")
        self.call = call
        self.company = company
        self.page = page
        self.settings = settings
        text = call.query.get("$filter")
        is_new = call.query.get("$schemaversion", "2.0") not in ("1.0", "2.0")
        nested = "fold" if is_new else settings.switches["bc_nested_functions"]
        self.test: Test | None = parse_filter(text, page.fields, nested) if text else None
        self.order = self._order()

    def _order(self) -> list[tuple[str, bool]]:
        order: list[tuple[str, bool]] = []
        for item in self.call.query.get("$orderby", "").split(","):
            name, _, direction = item.strip().partition(" ")
            if not name:
                continue
            if name not in self.page.fields or direction.strip().lower() not in ("", "asc", "desc"):
                raise ApiError(400, "BadRequest", f"Could not order by '{name}'.")
            order.append((self.page.fields[name].attribute, direction.strip().lower() == "desc"))
        # The primary key makes the order total, so that a page can go on behind the last row.
        return [*order, ("number", False), ("id", False)]

    def rows(self) -> list[Row]:
        """Return all matching rows in order."""
        read_only = self.call.headers.get("data-access-intent", "").lower() == "readonly"
        if read_only and self.company.replica is not None:
            rows = list(self.company.replica.values())
            rows.sort(key=attrgetter("number", "id"))
        else:
            rows = self.company.sorted_rows()
        if self.test is not None:
            rows = [row for row in rows if self.test(row)]
        else:
            rows = list(rows)
        for attribute, descending in reversed(self.order[:-2]):
            rows.sort(key=attrgetter(attribute), reverse=descending)
        return rows

    def answer(self, link: str) -> dict[str, Any]:
        """Return the page that was asked for."""
        found = self.rows()
        body: dict[str, Any] = {}
        if self.call.query.get("$count", "").lower() == "true":
            body["@odata.count"] = len(found)
        top, skip = parse_integer(self.call.query, "$top"), parse_integer(self.call.query, "$skip") or 0
        size = self._page_size()
        if "$skiptoken" in self.call.query:
            found = self._behind(found, self.call.query["$skiptoken"])
        else:
            found = found[skip:]
        shown = found[: size if top is None else min(size, top)]
        select = self.page.select(self.call)
        body["value"] = [self.page.write(row, select) for row in shown]
        # $top means a total: the server gives no link with it (microsoft/AL issue 6858).
        if top is None and len(shown) < len(found):
            body["@odata.nextLink"] = self._next(link, shown[-1])
        return body

    def _page_size(self) -> int:
        asked = self.call.page_size()
        if asked is not None and asked > HARD_PAGE:
            raise ApiError(413, "BadRequest", "The requested page is larger than 20000 rows.")
        most = self.settings.limit("bc_max_page")
        return min(asked or HARD_PAGE, int(most) if most else HARD_PAGE)

    def _behind(self, rows: list[Row], token: str) -> list[Row]:
        last = decode(token).get("k")
        if not isinstance(last, list) or len(last) != len(self.order):
            raise ApiError(400, "BadRequest", "The skip token is not valid.")
        is_behind = _behind_test(self.order, last)
        low, high = 0, len(rows)
        while low < high:
            middle = (low + high) // 2
            if is_behind(rows[middle]):
                high = middle
            else:
                low = middle + 1
        return rows[low:]

    def _next(self, link: str, last: Row) -> str:
        query = {
            name: value for name, value in self.call.query.items() if name not in ("$skiptoken", "$skip")
        }
        query["$skiptoken"] = encode({"k": [getattr(last, attribute) for attribute, _ in self.order]})
        text = "&".join(f"{quote(name, safe='$')}={quote(value)}" for name, value in query.items())
        return f"{link}?{text}"


def _behind_test(order: list[tuple[str, bool]], last: list[Any]) -> Callable[[Row], bool]:
    def is_behind(row: Row) -> bool:
        for (attribute, descending), old in zip(order, last, strict=True):
            value = getattr(row, attribute)
            if value != old:
                return bool(value < old) if descending else bool(value > old)
        return False

    return is_behind
