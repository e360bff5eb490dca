"""Contacts of Business Central, through its API v2.0 or through our own API page (field profile ``extended``).

Reads go to the primary database, never to a replica (no ``Data-Access-Intent``): most of them precede a write, and
a replica lags. Pages are the server's, asked for by ``odata.maxpagesize``: ``$top`` would end the list without a
next link.
"""

from __future__ import annotations

import contextlib
import logging
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeGuard
from urllib.parse import quote

from sync_lib.clients.answers import Answer
from sync_lib.clients.batch import BatchSender, Part
from sync_lib.clients.listing import MOST, Listing
from sync_lib.clients.odata import to_literal, to_query, to_stamp
from sync_lib.clients.session import ApiSession
from sync_lib.errors import (
    AccessDeniedError,
    ApiError,
    AuthError,
    MalformedAnswerError,
    RecordError,
    ServiceError,
    ThrottledError,
)
from sync_lib.fields.columns import BcColumn, columns_of
from sync_lib.model import BcContact, Company
from sync_lib.ports import WriteResult
from sync_lib.settings import BusinessCentralSettings

logger = logging.getLogger(__name__)

BATCH_SIZE = 100

_API = "/api/v2.0"
_EXTENDED_API = "/api/contactSync/contacts/v1.0"
#: Language and number format of BC's messages, so that they do not depend on who registered the app.
_LANGUAGE = {"Accept-Language": "en-US"}
#: Without it the standard leaves open whether BC looks at the parts after one that failed.
_CONTINUE = {**_LANGUAGE, "Prefer": "odata.continue-on-error"}

#: Statuses by which not one contact but the service as a whole does not answer.
_AWAY = frozenset({0, 502, 503, 504})


class BusinessCentralClient:
    """Reads and writes contacts of the companies of one environment."""

    def __init__(self, session: ApiSession, settings: BusinessCentralSettings) -> None:
        self._session = session
        self._columns = columns_of(settings.field_profile)
        environment = f"/{_segment(settings.tenant_id)}/{_segment(settings.environment)}"
        self._standard = environment + _API
        self._api = environment + (_EXTENDED_API if settings.field_profile == "extended" else _API)
        self._select = ",".join(
            ["id", "lastModifiedDateTime", *(column.property for column in self._columns)]
        )
        self._batch = BatchSender(session, f"{self._api}/$batch", most=BATCH_SIZE, headers=_CONTINUE)

    def fetch_companies(self) -> list[Company]:
        """Return the companies that the app may see; address them by id, since names can change."""
        rows = self._rows(f"{self._standard}/companies", {"$select": "id,name"}, Listing())
        return [Company(_guid(row), str(row.get("name") or "")) for row in rows]

    def iter_contacts(
        self,
        company_id: str,
        *,
        since: str | None = None,
        page_size: int = MOST,
        listing: Listing | None = None,
    ) -> Iterator[BcContact]:
        """Yield contacts of any type, all of them or those changed at ``since`` or later.

        A contact that is edited while pages are read may come twice; the later one is newer. Rows become visible at
        commit but carry the time of writing, so a caller has to let ``since`` overlap. ``listing`` gets to know how
        large the pages were and what the newest stamp is.

        Raises:
            MalformedAnswerError: The list broke off, or a record is not one. What was yielded is then no whole.
        """
        query = {"$select": self._select}
        if since is not None:
            # ``ge``, as many rows share one stamp after a bulk update.
            query["$filter"] = f"lastModifiedDateTime ge {since}"
            query["$orderby"] = "lastModifiedDateTime,number"
        listing = listing or Listing(page_size)
        for row in self._rows(self._contacts(company_id), query, listing):
            contact = to_contact(row, self._columns)
            listing.saw(contact.last_modified)
            yield contact

    def iter_ids(self, company_id: str, listing: Listing | None = None) -> Iterator[tuple[str, str]]:
        """Yield id and stamp of every contact: OData shows no deletions, the difference of two scans does."""
        query = {"$select": "id,lastModifiedDateTime"}
        for row in self._rows(self._contacts(company_id), query, listing or Listing()):
            yield _guid(row), _stamp(row)

    def count_contacts(self, company_id: str) -> int | None:
        """Return how many contacts there are by BC's own count, or None where it does not say."""
        query = {"$count": "true", "$top": "1", "$select": "id"}
        path = self._contacts(company_id)
        try:
            body = self._session.request("GET", path, params=query, headers=_LANGUAGE, same_size=False).body
        except (RecordError, AccessDeniedError, ServiceError):
            return None
        count = body.get("@odata.count")
        return count if isinstance(count, int) and count >= 0 else None

    def fetch_contacts(
        self, company_id: str, ids: Sequence[str], *, may_be_empty: bool = False
    ) -> dict[str, BcContact | None]:
        """Return contacts by id: None for one that BC does not have, nothing for one that cannot be judged.

        What BC answers for a contact that is gone is nowhere documented, so no code decides (rules 5): it is gone by
        a 404 in OData's own form, or an empty list of the contacts with that id, while another one still answers.

        Args:
            company_id: The company's GUID.
            ids: Which contacts.
            may_be_empty: The company is known to have no contact left, so that no other one has to answer.

        Raises:
            ApiError: The company or the service does not answer; nothing can be said about any contact then.
        """
        answers = self._ask(company_id, dict.fromkeys(ids))
        found = self._read(answers)
        absent = {one for one, answer in answers.items() if _is_absent(answer)}
        listed, unlisted = self._search(
            company_id, [one for one in answers if one not in found.keys() | absent]
        )
        absent |= unlisted
        if answers.keys() - found and not found and not self._is_answering(company_id, may_be_empty):
            absent = set()
        found |= listed
        if doubtful := len(answers) - len(found) - len(absent):
            logger.warning(
                "%d contacts that Business Central does not say are gone stay as they are", doubtful
            )
        return {one: found.get(one) for one in answers if one in found or one in absent}

    def find_by_email(self, company_id: str, email: str, *, since: str = "") -> list[BcContact]:
        """Return contacts whose e-mail field may hold an address, alone or in a ``;`` list, in any case.

        A function of a function, which would fold lists too, is documented to work from ``$schemaversion=2.1`` on
        only, and API v2.0 is 2.0 (learn.microsoft.com, "Using filter expressions in OData URIs"). So all lists are
        read, or those that changed at ``since`` or later where the caller knows the older ones.

        More may come than asked for ("an@x.example" finds "jan@x.example"): the caller compares. The address
        travels in the body of a batch, so that no log of requests shows it.

        Raises:
            RejectedError: BC does not take one of the questions.
            MalformedAnswerError: A row came that was not asked for, so nothing that is missing is proven absent.
        """
        text = email.strip().lower()
        asked = {f"tolower(email) eq {to_literal(text)}": (lambda held: held.casefold() == text.casefold())}
        for spelling in (text, email.strip(), text.upper()):
            asked[f"contains(email,{to_literal(spelling)})"] = lambda held: text.casefold() in held.casefold()
        recent = f" and lastModifiedDateTime ge {since}" if since else ""
        asked[f"contains(email,';'){recent}"] = lambda held: ";" in held
        found = self._matching(company_id, asked)
        return [each for each in found if text.casefold() in each.values["email"].casefold()]

    def create_contact(self, company_id: str, body: Mapping[str, Any]) -> WriteResult:
        """Create a contact, once: it is never sent again after an unknown outcome (``ServiceError`` in the result).

        Raises:
            AuthError, AccessDeniedError: The company is closed to the app; nothing was written.
        """
        # ``type`` stands first: BC applies properties in order, and splits the name of a Person only.
        ordered = {"type": body.get("type", "Person"), **body}
        return self._write("POST", self._contacts(company_id), ordered, {}, repeat=False)

    def update_contact(
        self, company_id: str, contact_id: str, body: Mapping[str, Any], etag: str
    ) -> WriteResult:
        """Change a contact if it still has the version ``etag``, given as BC sent it, with ``W/`` and quotes.

        It is sent again after an unknown outcome, so a ``VersionMismatchError`` may stem from our own write: read,
        then decide. BC answers 409 to a stale version and 400 to a missing one
        (https://learn.microsoft.com/dynamics365/business-central/dev-itpro/webservices/use-odata-to-modify-data).

        Raises:
            AuthError, AccessDeniedError: The company is closed to the app; nothing was written.
        """
        if not etag or etag == "*":
            raise ValueError("an update needs the version it is based on")
        path = f"{self._contacts(company_id)}({_segment(contact_id)})"
        return self._write("PATCH", path, body, {"If-Match": etag}, repeat=True)

    def fetch_countries(self, company_id: str) -> dict[str, str]:
        """Return BC's own table Country/Region: code to display name."""
        path = self._table(company_id, "countriesRegions")
        rows = self._rows(path, {"$select": "code,displayName"}, Listing())
        return {str(row["code"]): str(row.get("displayName") or "") for row in rows if row.get("code")}

    def fetch_salespeople(self, company_id: str) -> list[dict[str, str]]:
        """Return salespeople and purchasers as ``code``, ``name`` and ``email``."""
        query = {"$select": "code,displayName,email"}
        rows = self._rows(self._table(company_id, "salespeoplePurchasers"), query, Listing())
        names = {"code": "code", "name": "displayName", "email": "email"}
        return [{name: str(row.get(source) or "") for name, source in names.items()} for row in rows]

    def _contacts(self, company_id: str) -> str:
        return f"{self._api}/companies({_segment(company_id)})/contacts"

    def _table(self, company_id: str, name: str) -> str:
        return f"{self._standard}/companies({_segment(company_id)})/{name}"

    def _rows(self, path: str, query: Mapping[str, str], listing: Listing) -> Iterator[dict[str, Any]]:
        for page in self._session.iter_pages(path, query, _LANGUAGE, paging=listing):
            for row in page["value"]:
                if not isinstance(row, dict):
                    raise _malformed()
                yield row

    def _ask(self, company_id: str, ids: Iterable[str]) -> dict[str, Answer | ApiError]:
        """Ask for contacts one by one; raise where it is the service that does not answer."""
        base, query = f"companies({_segment(company_id)})/contacts", to_query({"$select": self._select})
        wanted = list(ids)
        answers = self._batch.send([Part("GET", f"{base}({_segment(one)})?{query}") for one in wanted])
        for answer in answers:
            if _is_away(answer):
                raise answer
        return dict(zip(wanted, answers, strict=True))

    def _read(self, answers: Mapping[str, Answer | ApiError]) -> dict[str, BcContact | None]:
        """Return the contacts that came; one that cannot be read is left out, and takes no other along."""
        found: dict[str, BcContact | None] = {}
        for one, answer in answers.items():
            with contextlib.suppress(MalformedAnswerError):
                if isinstance(answer, Answer):
                    found[one] = to_contact(answer.body, self._columns)
        return found

    def _search(self, company_id: str, ids: Sequence[str]) -> tuple[dict[str, BcContact | None], set[str]]:
        """List contacts by their ids: those that come, and the ids of which the list is empty."""
        base = f"companies({_segment(company_id)})/contacts"
        queries = [to_query({"$filter": f"id eq {one}", "$select": self._select}) for one in ids]
        listed: dict[str, BcContact | None] = {}
        empty: set[str] = set()
        answers = self._batch.send([Part("GET", f"{base}?{query}") for query in queries]) if ids else []
        for one, answer in zip(ids, answers, strict=True):
            rows = answer.body.get("value") if isinstance(answer, Answer) else None
            if rows == []:
                empty.add(one)
            elif isinstance(answer, Answer) and isinstance(rows, list):
                came = self._read({one: replace(answer, body=rows[0])})
                listed |= {key: row for key, row in came.items() if row and row.id == key}
        return listed, empty

    def _is_answering(self, company_id: str, may_be_empty: bool) -> bool:
        """Whether some contact of the company can be read by its id; where there is none, what the caller knows."""
        query = {"$select": "id", "$top": "2"}
        body = self._session.request("GET", self._contacts(company_id), params=query, headers=_LANGUAGE).body
        rows = body.get("value")
        if rows == []:
            return may_be_empty
        if not isinstance(rows, list):
            return False
        answers = self._ask(company_id, [_guid(row) for row in rows if isinstance(row, dict)])
        if not (found := self._read(answers)):
            for answer in answers.values():
                if isinstance(answer, ServiceError):
                    raise answer
        return bool(found)

    def _matching(self, company_id: str, asked: Mapping[str, Callable[[str], bool]]) -> list[BcContact]:
        base = f"companies({_segment(company_id)})/contacts"
        queries = [to_query({"$filter": text, "$select": self._select}) for text in asked]
        answers = self._batch.send([Part("GET", f"{base}?{query}") for query in queries])
        found: dict[str, BcContact] = {}
        for answer, fits in zip(answers, asked.values(), strict=True):
            for row in self._all_rows(answer):
                contact = to_contact(row, self._columns)
                if not fits(contact.values["email"]):
                    raise MalformedAnswerError("Business Central answered a look-up with rows not asked for.")
                found[contact.id] = contact
        return list(found.values())

    def _all_rows(self, answer: Answer | ApiError) -> Iterator[object]:
        if isinstance(answer, ApiError):
            raise answer
        if not isinstance(answer.body.get("value"), list):
            raise _malformed()
        yield from answer.body["value"]
        if link := answer.body.get("@odata.nextLink"):
            yield from self._rows(self._session.own_link(link), {}, Listing())

    def _write(
        self, method: str, path: str, body: Mapping[str, Any], headers: Mapping[str, str], *, repeat: bool
    ) -> WriteResult:
        try:
            answer = self._session.request(
                method, path, json=body, headers={**_LANGUAGE, **headers}, repeat=repeat
            )
            if not answer.body and method == "PATCH":
                # OData lets a service answer an update with 204 and nothing (8.2.8.7, Preference return).
                answer = self._session.request(
                    "GET", path, params={"$select": self._select}, headers=_LANGUAGE
                )
            contact = to_contact(answer.body, self._columns)
        except (RecordError, ServiceError) as error:
            return WriteResult(error=error, request_id=error.request_id)
        return WriteResult(contact=contact, request_id=answer.request_id)


def _is_away(answer: Answer | ApiError) -> TypeGuard[ApiError]:
    """Whether an answer says that nobody can be asked now, whichever contact it was about."""
    if isinstance(answer, MalformedAnswerError):
        return False
    is_silent = isinstance(answer, ServiceError) and answer.status in _AWAY
    return is_silent or isinstance(answer, ThrottledError | AuthError)


def _is_absent(answer: Answer | ApiError) -> bool:
    """Whether the API itself says that there is nothing under an address, by whatever code."""
    return isinstance(answer, ApiError) and answer.status == 404 and answer.in_form


def to_contact(record: object, columns: Sequence[BcColumn]) -> BcContact:
    """Return a contact made of BC's record, its values as text: blank is "", whatever BC calls it.

    Raises:
        MalformedAnswerError: It has no id or version, or lacks a property that was asked for: an invented blank
            would clear the field in Outlook.
    """
    if not isinstance(record, dict) or not record.get("@odata.etag"):
        raise _malformed()
    try:
        values = {column.name: _text(column, record[column.property]) for column in columns}
    except KeyError as error:
        raise MalformedAnswerError(f"Business Central sent a contact without {error.args[0]}.") from None
    return BcContact(_guid(record), str(record["@odata.etag"]), _stamp(record), values)


def _text(column: BcColumn, value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    text = str(value)
    if column.kind == "date" and text.startswith("0001-01-01"):
        return ""
    return _unescape(text).strip() if column.kind == "option" else text


_ESCAPE = re.compile(r"_x([0-9A-Fa-f]{4})_")


def _unescape(text: str) -> str:
    # Names of enum values: what XML names cannot hold is escaped, so blank comes as _x0020_.
    return _ESCAPE.sub(lambda match: chr(int(match.group(1), 16)), text)


def _guid(record: Mapping[str, Any]) -> str:
    value = record.get("id")
    if not isinstance(value, str) or not value:
        raise _malformed()
    return value.lower()


def _stamp(record: Mapping[str, Any]) -> str:
    try:
        stamp = to_stamp(record.get("lastModifiedDateTime"))
    except ValueError:
        stamp = ""
    if not stamp:
        raise _malformed()
    return stamp


def _segment(text: str) -> str:
    return quote(text, safe="")


def _malformed() -> MalformedAnswerError:
    return MalformedAnswerError("Business Central sent a record that is not what was asked for.")
