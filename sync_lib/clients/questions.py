"""One question about many mailboxes: has anything changed in the folder since its delta link was given?

Twenty links go into a request, whatever their mailboxes: Graph dispatches the parts of a batch four at a time
(https://learn.microsoft.com/graph/json-batching), so several requests are under way at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import chain

from sync_lib.clients.answers import Answer
from sync_lib.clients.batch import BatchSender, Part
from sync_lib.clients.mailboxes import BATCH_SIZE, PREFER
from sync_lib.clients.session import ApiSession
from sync_lib.errors import AccessDeniedError, ApiError, AuthError, RecordError

# One item is enough to know that there is something.
_HEADERS = {"Prefer": f"{PREFER['Prefer']}, odata.maxpagesize=1"}


class Questions:
    """Asks Graph about folders, by their delta links.

    Args:
        session: With little patience: who is not answered soon has work, as far as anybody knows.
        at_once: Requests under way at a time.
    """

    def __init__(self, session: ApiSession, at_once: int) -> None:
        self._session = session
        self._at_once = max(1, at_once)

    def ask(self, links: Sequence[str]) -> list[str | ApiError]:
        """Return for each delta link the next one where nothing has changed, "" where something has, or an error.

        "Nothing" is one page without items and with a delta link. Whatever else comes may be a change. Without links
        only the token is asked for: where there is none, nobody has to find that out for each mailbox.

        Raises:
            ApiError: No token, or Graph takes no batch of this app.
        """
        self._session.sign_in()
        batches = [links[n : n + BATCH_SIZE] for n in range(0, len(links), BATCH_SIZE)]
        if len(batches) <= 1 or self._at_once == 1:
            return list(chain.from_iterable(map(self._ask, batches)))
        with ThreadPoolExecutor(min(self._at_once, len(batches))) as pool:
            return list(chain.from_iterable(pool.map(self._ask, batches)))

    def _ask(self, links: Sequence[str]) -> list[str | ApiError]:
        root = self._session.root
        own = [
            n
            for n, link in enumerate(links)
            if link.startswith(f"{root}/") and self._session.is_own_link(link)
        ]
        parts = [Part("GET", links[n].removeprefix(root), _HEADERS) for n in own]
        answers = self._send(parts) if parts else []
        # A link of another root is none to be asked: its profile reads the folder in full.
        found: list[str | ApiError] = [""] * len(links)
        for n, answer in zip(own, answers, strict=True):
            found[n] = self._next_link(answer) if isinstance(answer, Answer) else answer
        return found

    def _send(self, parts: Sequence[Part]) -> list[Answer | ApiError]:
        sender = BatchSender(self._session, "/$batch", most=BATCH_SIZE, headers=PREFER)
        try:
            return sender.send(parts)
        except (AccessDeniedError, RecordError):
            # It is the batch that is refused, and perhaps for one of them: a gateway may know no batches at all.
            return [self._single(part) for part in parts]

    def _single(self, part: Part) -> Answer | ApiError:
        try:
            return self._session.request("GET", part.url, headers=part.headers)
        except AuthError:
            raise
        except ApiError as error:
            return error

    def _next_link(self, answer: Answer) -> str:
        body = answer.body
        link = body.get("@odata.deltaLink")
        is_empty = body.get("value") == [] and not body.get("@odata.nextLink")
        return link if is_empty and isinstance(link, str) and self._session.is_own_link(link) else ""
