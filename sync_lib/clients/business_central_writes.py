"""Writes to contacts of Business Central: many in one batch, each conditional or sent once, and judged by itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sync_lib.clients.answers import Answer
from sync_lib.clients.batch import Part
from sync_lib.clients.business_central_records import (
    LANGUAGE,
    bc_batch,
    contacts_of,
    to_contact,
    to_segment,
    to_select,
)
from sync_lib.clients.odata import to_query
from sync_lib.clients.session import ApiSession
from sync_lib.errors import ApiError, AuthError, MalformedAnswerError
from sync_lib.fields.bc_columns import BcColumn
from sync_lib.ports import BcUpdate, WriteResult


class ContactWrites:
    """Changes and creates contacts of the companies of one environment."""

    def __init__(self, session: ApiSession, api: str, columns: Sequence[BcColumn]) -> None:
        self._columns = columns
        self._query = to_query({"$select": to_select(columns)})
        # One transaction for all parts (``Isolation: snapshot``) is never asked for: one refusal would undo the
        # others, whose answers would still say that they were carried out.
        self._batch = bc_batch(session, api)

    def create_contacts(self, company_id: str, bodies: Sequence[Mapping[str, Any]]) -> list[WriteResult]:
        """Create contacts, each once: none is sent again after an unknown outcome.

        Raises:
            AuthError, AccessDeniedError: The company is closed to the app; nothing was written.
        """
        path = contacts_of(company_id)
        # ``type`` comes first: BC applies properties in order, and splits the name of a Person only.
        ordered = [{"type": body.get("type", "Person"), **body} for body in bodies]
        return self._results(self._send([Part("POST", path, LANGUAGE, body) for body in ordered]))

    def update_contacts(self, company_id: str, updates: Sequence[BcUpdate]) -> list[WriteResult]:
        """Change contacts, each only if it still has the version that its update is based on.

        An update is sent again after an unknown outcome, so a ``VersionMismatchError`` may stem from our own write:
        read, then decide. BC answers 409 to a stale version and 400 to a missing one
        (https://learn.microsoft.com/dynamics365/business-central/dev-itpro/webservices/use-odata-to-modify-data).

        Raises:
            AuthError, AccessDeniedError: The company is closed to the app; nothing was written.
        """
        if any(update.etag in ("", "*") for update in updates):
            raise ValueError("an update needs the version it is based on")
        paths = [f"{contacts_of(company_id)}({to_segment(update.contact_id)})" for update in updates]
        parts = [
            Part("PATCH", path, {**LANGUAGE, "If-Match": update.etag}, dict(update.body))
            for path, update in zip(paths, updates, strict=True)
        ]
        return self._results(self._with_bodies(paths, self._send(parts)))

    def _send(self, parts: Sequence[Part]) -> list[Answer | ApiError]:
        answers = self._batch.send(parts)
        closed = [answer for answer in answers if isinstance(answer, AuthError)]
        if closed and len(closed) == len(answers):
            raise closed[0]
        return answers

    def _with_bodies(self, paths: Sequence[str], answers: list[Answer | ApiError]) -> list[Answer | ApiError]:
        """Read what was changed where BC does not say what became of it.

        OData lets a service answer an update with 204 and nothing (8.2.8.7, Preference return).
        """
        bare = [n for n, answer in enumerate(answers) if isinstance(answer, Answer) and not answer.body]
        if bare:
            read = self._batch.send([Part("GET", f"{paths[n]}?{self._query}", LANGUAGE) for n in bare])
            for n, answer in zip(bare, read, strict=True):
                answers[n] = answer
        return answers

    def _results(self, answers: Sequence[Answer | ApiError]) -> list[WriteResult]:
        return [self._result(answer) for answer in answers]

    def _result(self, answer: Answer | ApiError) -> WriteResult:
        if isinstance(answer, ApiError):
            return WriteResult(error=answer, request_id=answer.request_id)
        try:
            contact = to_contact(answer.body, self._columns)
        except MalformedAnswerError as error:
            return WriteResult(error=error, request_id=answer.request_id)
        return WriteResult(contact=contact, request_id=answer.request_id)
