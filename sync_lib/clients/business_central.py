"""Contacts of Business Central, through its API v2.0 or through our own API page (field profile ``extended``).

Reads go to the primary database, never to a replica (no ``Data-Access-Intent``): most of them precede a write, and
a replica lags. Pages are the server's, asked for by ``odata.maxpagesize``: ``$top`` would end the list without a
next link.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import quote

from sync_lib.clients.batch import BatchSender, Part
from sync_lib.clients.rest import Answer, ApiSession, to_literal, to_query, to_stamp
from sync_lib.errors import (
    ApiError,
    MalformedAnswerError,
    NotFoundError,
    RecordError,
    RejectedError,
    ServiceError,
)
from sync_lib.fields.columns import BcColumn, columns_of
from sync_lib.model import BcContact, Company, WriteResult
from sync_lib.settings import BusinessCentralSettings

PAGE_SIZE = 20_000
BATCH_SIZE = 100

_API = "/api/v2.0"
_EXTENDED_API = "/api/contactSync/contacts/v1.0"
#: Language and number format of BC's messages, so that they do not depend on who registered the app.
_LANGUAGE = {"Accept-Language": "en-US"}
#: Without it the standard leaves open whether BC looks at the parts after one that failed.
_CONTINUE = {**_LANGUAGE, "Prefer": "odata.continue-on-error"}

#: A 404 with one of these is about the contact; any other one is about the company, the address, or a proxy.
_GONE = frozenset({"badrequest_notfound", "internal_recordnotfound"})


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
        rows = self._rows(f"{self._standard}/companies", {"$select": "id,name"})
        return [Company(_guid(row), str(row.get("name") or "")) for row in rows]

    def iter_contacts(
        self, company_id: str, *, since: str | None = None, page_size: int = PAGE_SIZE
    ) -> Iterator[BcContact]:
        """Yield contacts of any type, all of them or those changed at ``since`` or later.

        A contact that is edited while pages are read may come twice; the later one is newer. Rows become visible at
        commit but carry the time of writing, so a caller has to let ``since`` overlap.

        Raises:
            MalformedAnswerError: The list broke off, or a record is not one. What was yielded is then no whole.
        """
        query = {"$select": self._select}
        if since is not None:
            # ``ge``, as many rows share one stamp after a bulk update.
            query["$filter"] = f"lastModifiedDateTime ge {since}"
            query["$orderby"] = "lastModifiedDateTime,number"
        for row in self._rows(self._contacts(company_id), query, page_size):
            yield to_contact(row, self._columns)

    def iter_ids(self, company_id: str) -> Iterator[tuple[str, str]]:
        """Yield id and stamp of every contact: OData shows no deletions, the difference of two scans does."""
        query = {"$select": "id,lastModifiedDateTime"}
        for row in self._rows(self._contacts(company_id), query, PAGE_SIZE):
            yield _guid(row), _stamp(row)

    def fetch_contacts(self, company_id: str, ids: Sequence[str]) -> dict[str, BcContact | None]:
        """Return contacts by id; None only for one that BC definitely does not have.

        Raises:
            ApiError: The company is not there, or a part failed; nothing can be said about the others then.
        """
        query = to_query({"$select": self._select})
        wanted = list(dict.fromkeys(ids))
        base = f"companies({_segment(company_id)})/contacts"
        answers = self._batch.send([Part("GET", f"{base}({_segment(one)})?{query}") for one in wanted])
        return {one: self._contact_or_none(answer) for one, answer in zip(wanted, answers, strict=True)}

    def find_by_email(self, company_id: str, email: str) -> list[BcContact]:
        """Return contacts whose e-mail field may hold an address, alone or in a ``;`` list, in any case.

        More may come than asked for ("an@x.example" finds "jan@x.example"): the caller compares. The address
        travels in the body of a batch, so that no log of requests shows it.
        """
        text = email.strip().lower()
        try:
            return self._matching(company_id, [f"contains(tolower(email),{to_literal(text)})"])
        except RejectedError:
            # Not every version takes a function of a function
            # (learn.microsoft.com, "Using filter expressions in OData URIs", shows single functions only).
            spellings = dict.fromkeys([text, email.strip(), text.upper()])
            contained = [f"contains(email,{to_literal(spelling)})" for spelling in spellings]
            return self._matching(company_id, [f"tolower(email) eq {to_literal(text)}", *contained])

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
        rows = self._rows(self._table(company_id, "countriesRegions"), {"$select": "code,displayName"})
        return {str(row["code"]): str(row.get("displayName") or "") for row in rows if row.get("code")}

    def fetch_salespeople(self, company_id: str) -> list[dict[str, str]]:
        """Return salespeople and purchasers as ``code``, ``name`` and ``email``."""
        query = {"$select": "code,displayName,email"}
        rows = self._rows(self._table(company_id, "salespeoplePurchasers"), query)
        names = {"code": "code", "name": "displayName", "email": "email"}
        return [{name: str(row.get(source) or "") for name, source in names.items()} for row in rows]

    def _contacts(self, company_id: str) -> str:
        return f"{self._api}/companies({_segment(company_id)})/contacts"

    def _table(self, company_id: str, name: str) -> str:
        return f"{self._standard}/companies({_segment(company_id)})/{name}"

    def _rows(
        self, path: str, query: Mapping[str, str], page_size: int = PAGE_SIZE
    ) -> Iterator[dict[str, Any]]:
        headers = {**_LANGUAGE, "Prefer": f"odata.maxpagesize={page_size}"}
        for page in self._session.iter_pages(path, query, headers):
            for row in page["value"]:
                if not isinstance(row, dict):
                    raise _malformed()
                yield row

    def _matching(self, company_id: str, filters: Sequence[str]) -> list[BcContact]:
        base = f"companies({_segment(company_id)})/contacts"
        queries = [to_query({"$filter": text, "$select": self._select}) for text in filters]
        found: dict[str, BcContact] = {}
        for answer in self._batch.send([Part("GET", f"{base}?{query}") for query in queries]):
            for row in self._all_rows(answer):
                contact = to_contact(row, self._columns)
                found[contact.id] = contact
        return list(found.values())

    def _all_rows(self, answer: Answer | ApiError) -> Iterator[object]:
        if isinstance(answer, ApiError):
            raise answer
        if not isinstance(answer.body.get("value"), list):
            raise _malformed()
        yield from answer.body["value"]
        if link := answer.body.get("@odata.nextLink"):
            yield from self._rows(self._session.own_link(link), {})

    def _contact_or_none(self, answer: Answer | ApiError) -> BcContact | None:
        if isinstance(answer, NotFoundError) and answer.code.lower() in _GONE:
            return None
        if isinstance(answer, ApiError):
            raise answer
        return to_contact(answer.body, self._columns)

    def _write(
        self, method: str, path: str, body: Mapping[str, Any], headers: Mapping[str, str], *, repeat: bool
    ) -> WriteResult:
        try:
            answer = self._session.request(
                method, path, json=body, headers={**_LANGUAGE, **headers}, repeat=repeat
            )
            contact = to_contact(answer.body, self._columns)
        except (RecordError, ServiceError) as error:
            return WriteResult(error=error, request_id=error.request_id)
        return WriteResult(contact=contact, request_id=answer.request_id)


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
