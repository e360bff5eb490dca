"""Look-ups of contacts of Business Central by id or by e-mail: many questions in one batch, each judged by itself."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TypeGuard

from sync_lib.clients.answers import Answer
from sync_lib.clients.batch import Part
from sync_lib.clients.business_central_records import (
    LANGUAGE,
    bc_batch,
    contacts_of,
    guid_of,
    iter_rows,
    malformed,
    to_contact,
    to_segment,
    to_select,
)
from sync_lib.clients.listing import Listing
from sync_lib.clients.odata import to_literal, to_query
from sync_lib.clients.session import ApiSession
from sync_lib.errors import (
    ApiError,
    AuthError,
    MalformedAnswerError,
    RejectedError,
    ServiceError,
    ThrottledError,
)
from sync_lib.fields.bc_columns import BcColumn
from sync_lib.model import BcContact

logger = logging.getLogger(__name__)

#: Statuses by which not one contact but the service as a whole does not answer.
_AWAY = frozenset({0, 502, 503, 504})


class ContactLookups:
    """Answers which contacts a company has, of those that somebody names."""

    def __init__(self, session: ApiSession, api: str, columns: Sequence[BcColumn]) -> None:
        self._session = session
        self._api = api
        self._columns = columns
        self._select = to_select(columns)
        self._batch = bc_batch(session, api)

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

    def find_by_emails(
        self, company_id: str, emails: Sequence[str], *, since: str = ""
    ) -> dict[str, list[BcContact] | None]:
        """Return, for each address, the contacts whose e-mail field holds it, alone or in a ``;`` list, in any case.

        None where the answer proves nothing: BC does not take one of the questions, or a row came that was not asked
        for. An address like that takes no other along.

        A function of a function, which would fold lists too, is documented to work from ``$schemaversion=2.1`` on
        only, and API v2.0 is 2.0 (learn.microsoft.com, "Using filter expressions in OData URIs"). So all lists are
        read, or those that changed at ``since`` or later where the caller knows the older ones.

        More may come than asked for ("an@x.example" finds "jan@x.example"): the caller compares. Addresses
        travel in the body of a batch, so that no log of requests shows them.
        """
        own = {email: _questions(email) for email in dict.fromkeys(emails)}
        recent = f" and lastModifiedDateTime ge {since}" if since else ""
        lists = f"contains(email,';'){recent}"
        asked: dict[str, Callable[[str], bool]] = {}
        for questions in own.values():
            asked |= questions
        found = self._matching(company_id, asked | {lists: lambda held: ";" in held}) if own else {}
        return {
            email: _holding(email, [found[text] for text in (*questions, lists)])
            for email, questions in own.items()
        }

    def _ask(self, company_id: str, ids: Iterable[str]) -> dict[str, Answer | ApiError]:
        """Ask for contacts one by one; raise where it is the service that does not answer."""
        base, query = contacts_of(company_id), to_query({"$select": self._select})
        wanted = list(ids)
        answers = self._batch.send([Part("GET", f"{base}({to_segment(one)})?{query}") for one in wanted])
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
        base = contacts_of(company_id)
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
        path = f"{self._api}/{contacts_of(company_id)}"
        body = self._session.request("GET", path, params=query, headers=LANGUAGE).body
        rows = body.get("value")
        if rows == []:
            return may_be_empty
        if not isinstance(rows, list):
            return False
        answers = self._ask(company_id, [guid_of(row) for row in rows if isinstance(row, dict)])
        if not (found := self._read(answers)):
            for answer in answers.values():
                if isinstance(answer, ServiceError):
                    raise answer
        return bool(found)

    def _matching(
        self, company_id: str, asked: Mapping[str, Callable[[str], bool]]
    ) -> dict[str, list[BcContact] | None]:
        """Return the contacts that pass each of some filters; None where what came does not, or was refused."""
        base = contacts_of(company_id)
        queries = [to_query({"$filter": text, "$select": self._select}) for text in asked]
        answers = self._batch.send([Part("GET", f"{base}?{query}") for query in queries])
        found: dict[str, list[BcContact] | None] = {}
        for answer, (text, fits) in zip(answers, asked.items(), strict=True):
            try:
                found[text] = self._fitting(answer, fits)
            except (RejectedError, MalformedAnswerError) as error:
                logger.warning("looking up an address in Business Central proves nothing: %s", error)
                found[text] = None
        return found

    def _fitting(self, answer: Answer | ApiError, fits: Callable[[str], bool]) -> list[BcContact]:
        contacts = [to_contact(row, self._columns) for row in self._all_rows(answer)]
        if not all(fits(contact.values["email"]) for contact in contacts):
            raise MalformedAnswerError("Business Central answered a look-up with rows not asked for.")
        return contacts

    def _all_rows(self, answer: Answer | ApiError) -> Iterator[object]:
        if isinstance(answer, ApiError):
            raise answer
        if not isinstance(answer.body.get("value"), list):
            raise malformed()
        yield from answer.body["value"]
        if link := answer.body.get("@odata.nextLink"):
            yield from iter_rows(self._session, self._session.own_link(link), {}, Listing())


def _questions(email: str) -> dict[str, Callable[[str], bool]]:
    """The filters that find an address, each with what its rows must hold; lists are found by another one."""
    text = email.strip().lower()
    folded = text.casefold()
    questions: dict[str, Callable[[str], bool]] = {
        f"tolower(email) eq {to_literal(text)}": lambda held: held.casefold() == folded
    }
    for spelling in (text, email.strip(), text.upper()):
        questions[f"contains(email,{to_literal(spelling)})"] = lambda held: folded in held.casefold()
    return questions


def _holding(email: str, answers: Iterable[list[BcContact] | None]) -> list[BcContact] | None:
    """Return the contacts that hold an address, each once; None where one of the answers proves nothing."""
    folded = email.strip().casefold()
    found: dict[str, BcContact] = {}
    for answer in answers:
        if answer is None:
            return None
        found |= {each.id: each for each in answer if folded in each.values["email"].casefold()}
    return list(found.values())


def _is_away(answer: Answer | ApiError) -> TypeGuard[ApiError]:
    """Whether an answer says that nobody can be asked now, whichever contact it was about."""
    if isinstance(answer, MalformedAnswerError):
        return False
    is_silent = isinstance(answer, ServiceError) and answer.status in _AWAY
    return is_silent or isinstance(answer, ThrottledError | AuthError)


def _is_absent(answer: Answer | ApiError) -> bool:
    """Whether the API itself says that there is nothing under an address, by whatever code."""
    return isinstance(answer, ApiError) and answer.status == 404 and answer.in_form
