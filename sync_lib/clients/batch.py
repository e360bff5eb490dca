"""Several calls in one HTTP request: JSON batches as Microsoft Graph and Business Central both take them.

Each part has its own outcome, and only parts that may be sent again are sent again. Answers are matched by id,
since they come in any order (https://learn.microsoft.com/graph/json-batching).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sync_lib.clients.answers import Answer, is_unknown, settled, to_error
from sync_lib.clients.pacing import Gate, Patience
from sync_lib.clients.session import ATTEMPTS_ON_500, ApiSession
from sync_lib.errors import (
    ApiError,
    MalformedAnswerError,
    NotFoundError,
    RejectedError,
    ServiceError,
    ThrottledError,
)

_FEWEST = 4
_CLEAN_BATCHES_BEFORE_GROWTH = 16
_LONGEST_GROWTH_WAIT = 1024


@dataclass(frozen=True, slots=True)
class Part:
    """One call of a batch.

    Attributes:
        method: HTTP method.
        url: Relative to the service's root, its query quoted.
        headers: Of this part; the outer request's do not count for it.
        body: JSON object.
        after_previous: Carried out only after the part before it, and only if that one succeeded.
    """

    method: str
    url: str
    headers: Mapping[str, str] = field(default_factory=dict)
    body: dict[str, Any] | None = None
    after_previous: bool = False

    @property
    def repeat(self) -> bool:
        """Whether sending it twice does no harm.

        A create makes a second copy. A delete without a version, sent twice, finds the item in Deleted Items and
        removes it from there for good.
        """
        return self.method in ("GET", "PATCH") or (self.method == "DELETE" and "If-Match" in self.headers)

    @property
    def path(self) -> str:
        """Return the URL without query, for messages."""
        return self.url.partition("?")[0]


class BatchSender:
    """Sends parts to one service, for Graph to one mailbox, with one batch in flight.

    Where some parts of a batch pass and others are refused as too many at a time, batches shrink to four parts,
    which is what Outlook works on at once, and grow back after a row of clean ones; each relapse makes the row
    longer, so that a mailbox that never takes more is not asked again and again.

    Args:
        session: Sends the batches.
        path: Of the service's ``$batch``.
        most: Parts that a batch may have.
        headers: Of each batch.
        gate: A limit of these batches' own.
        fewest: What batches shrink to; ``most`` where the service works on the parts one after the other.
    """

    def __init__(  # noqa: PLR0913 - where batches go, and how large they are
        self,
        session: ApiSession,
        path: str,
        *,
        most: int,
        headers: Mapping[str, str] | None = None,
        gate: Gate | None = None,
        fewest: int = _FEWEST,
    ) -> None:
        self._session = session
        self._path = path
        self._most = self._size = most
        self._fewest = min(fewest, most)
        self._headers = headers
        self._gate = gate
        self._clean = 0
        self._growth_wait = _CLEAN_BATCHES_BEFORE_GROWTH

    def send(self, parts: Sequence[Part], *, repeat_lost: bool = True) -> list[Answer | ApiError]:
        """Return the answer or the error of each part, in the order given.

        A create that may have been carried out ends as ``ServiceError``; so does any part of which the last
        attempt's outcome is unknown. ``ThrottledError`` means that the part did nothing, in no attempt.

        Args:
            parts: What to send.
            repeat_lost: Whether parts may be sent again after a batch whose answer did not arrive.

        Raises:
            ApiError: The whole batch was refused (for example ``AuthError``) before any part was carried out.
        """
        work = _Work(parts, self._session.patience(), repeat_lost=repeat_lost)
        while work.pending:
            chunk = work.pending[: self._size]
            self._settle(work, chunk, self._ask(work, chunk))
        return [work.results[n] for n in range(len(parts))]

    def _ask(self, work: _Work, chunk: list[int]) -> dict[int, Answer | ApiError]:
        parts = [work.parts[n] for n in chunk]
        try:
            answer = self._session.request(
                "POST",
                self._path,
                json={"requests": [_to_json(number, part) for number, part in enumerate(parts, 1)]},
                headers=self._headers,
                repeat=work.repeat_lost and all(part.repeat for part in parts),
                operations=len(parts),
                gate=self._gate,
                writes=any(part.method != "GET" for part in parts),
            )
        except ApiError as error:
            refused = error
        else:
            work.began = True
            found = _by_id(answer.body.get("responses"))
            return {
                n: _outcome(found.get(str(number)), work.parts[n], answer)
                for number, n in enumerate(chunk, 1)
            }
        return self._refused(work, chunk, refused)

    def _refused(self, work: _Work, chunk: list[int], error: ApiError) -> dict[int, Answer | ApiError]:
        if isinstance(error, RejectedError) and len(chunk) > 1:
            # Too large, or one part that breaks the whole: it did nothing, and must not take the others along.
            half = len(chunk) // 2
            return self._ask(work, chunk[:half]) | self._ask(work, chunk[half:])
        if not isinstance(error, ServiceError | RejectedError) and not work.began:
            raise error
        work.began = work.began or is_unknown(error)
        if not isinstance(error, RejectedError):
            # Where the session could repeat the batch itself, or was asked to come back later, its patience is spent.
            creates = any(not work.parts[n].repeat for n in chunk)
            work.give_up = not (is_unknown(error) and creates and work.repeat_lost)
        return dict.fromkeys(chunk, error)

    def _settle(self, work: _Work, chunk: list[int], outcomes: dict[int, Answer | ApiError]) -> None:
        again = {n: error for n in chunk if (error := work.take(n, outcomes[n])) is not None}
        work.pending = [*again, *work.pending[len(chunk) :]]
        self._resize(outcomes)
        if not again:
            work.patience = self._session.patience()
        elif len(again) < len(chunk) and all(_is_missing(error) for error in again.values()):
            # BC may stop at the first part that fails; the rest was not looked at.
            return
        if work.give_up or (again and not _wait(work.patience, again.values())):
            work.abandon(again)

    def _resize(self, outcomes: dict[int, Answer | ApiError]) -> None:
        throttled = [isinstance(outcome, ThrottledError) for outcome in outcomes.values()]
        if not any(throttled):
            self._clean += 1
            if self._clean >= self._growth_wait:
                self._size = self._most
        elif not all(throttled) and self._size > self._fewest:
            if self._clean or self._growth_wait > _CLEAN_BATCHES_BEFORE_GROWTH:
                self._growth_wait = min(2 * self._growth_wait, _LONGEST_GROWTH_WAIT)
            self._size, self._clean = self._fewest, 0


class _Work:
    """How far the parts of one ``send`` are."""

    def __init__(self, parts: Sequence[Part], patience: Patience, *, repeat_lost: bool) -> None:
        self.parts = parts
        self.repeat_lost = repeat_lost
        self.patience = patience
        self.pending = list(range(len(parts)))
        self.results: dict[int, Answer | ApiError] = {}
        self.unsure: set[int] = set()
        #: Whether any part was carried out, or may have been: from then on nothing is raised, results would be lost.
        self.began = False
        self.give_up = False

    def take(self, n: int, outcome: Answer | ApiError) -> ServiceError | None:
        """Note a part's outcome; return its error where the part may be sent again."""
        part = self.parts[n]
        if isinstance(outcome, ServiceError):
            throttled = isinstance(outcome, ThrottledError)
            if not throttled:
                self.unsure.add(n)
            if throttled or (part.repeat and outcome.status != 424):
                return outcome
        if isinstance(outcome, NotFoundError) and part.method == "DELETE" and n in self.unsure:
            # The attempt whose answer was lost had done it.
            outcome = Answer(204, {}, {}, outcome.request_id)
        self.results[n] = outcome
        return None

    def abandon(self, again: Mapping[int, ServiceError]) -> None:
        """End all that is pending: what was tried with its error, what was never sent as throttled."""
        for n in self.pending:
            error = again.get(n) or ThrottledError("Not sent: the service refused what came before.")
            unsure = n in self.unsure and self.parts[n].method != "GET"
            self.results[n] = settled(error, maybe_done=unsure)
        self.pending = []


def _wait(patience: Patience, errors: Any) -> bool:
    errors = list(errors)
    asked = [error.retry_after for error in errors if error.retry_after is not None]
    only_500 = all(error.status == 500 for error in errors)
    return patience.wait(max(asked, default=None), attempts=ATTEMPTS_ON_500 if only_500 else None) is not None


def _is_missing(error: ServiceError) -> bool:
    return isinstance(error, MalformedAnswerError) and error.status == 0


def _to_json(number: int, part: Part) -> dict[str, Any]:
    request: dict[str, Any] = {"id": str(number), "method": part.method, "url": part.url}
    headers = {**part.headers, **({} if part.body is None else {"Content-Type": "application/json"})}
    if headers:
        request["headers"] = headers
    if part.body is not None:
        request["body"] = part.body
    if part.after_previous and number > 1:
        request["dependsOn"] = [str(number - 1)]
    return request


def _by_id(responses: object) -> dict[str, dict[str, Any]]:
    if not isinstance(responses, list):
        return {}
    return {str(one.get("id")).lower(): one for one in responses if isinstance(one, dict)}


def _outcome(response: dict[str, Any] | None, part: Part, outer: Answer) -> Answer | ApiError:
    status = response.get("status") if response else None
    if response is None or not isinstance(status, int):
        return MalformedAnswerError(
            f"{part.method} {part.path}: missing in the batch's answer (request {outer.request_id})",
            request_id=outer.request_id,
            method=part.method,
            path=part.path,
        )
    headers = {str(name).lower(): str(value) for name, value in (response.get("headers") or {}).items()}
    request_id = headers.get("request-id") or outer.request_id
    body = response.get("body")
    if not 200 <= status < 300:
        return to_error(status, headers, body, method=part.method, path=part.path, request_id=request_id)
    return Answer(status, headers, body if isinstance(body, dict) else {}, request_id)
