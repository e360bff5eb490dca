"""Who a colleague is that opens the page of their own: the account that Microsoft 365 knows by their user name.

The user name is what the login asserted: the account's object id, or its user principal name. An address that a user
may edit is never looked at. Names are looked up in Microsoft Graph, so that whoever was given somebody's former address
is not taken for them, and a colleague whose address changed is still the same.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager

from sync_lib.errors import NotFoundError, SyncError
from sync_lib.ports import User
from sync_lib.services import Services, brief_outlook

#: Seconds for which an account that was looked up is believed; and while the service does not answer.
FRESH, STALE = 600.0, 3600.0
#: Seconds that a page waits for the service.
PATIENCE = 5.0
#: Names that are remembered: more than this many were tried by somebody who guesses.
_MOST = 5_000

_OBJECT_ID = re.compile(r"[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}")
_ADDRESS = re.compile(r"[^@\s<>/\\?#]+@[^@\s<>/\\?#]+\.[^@\s<>/\\?#]+")

Edges = Callable[[], AbstractContextManager[Services]]


class Accounts:
    """Looks accounts up, and remembers them for some minutes; for all requests of one server process."""

    def __init__(self, edges: Edges, now: Callable[[], float] = time.monotonic) -> None:
        """``edges`` opens the services; ``now`` counts seconds from anywhere."""
        self._edges, self._now = edges, now
        self._lock = threading.Lock()
        self._known: dict[str, tuple[float, User | None]] = {}

    def of(self, name: str) -> User | None:
        """Return the account of a user name; None where the name is no account's.

        Raises:
            SyncError: Microsoft 365 does not answer, and has not been asked about this name lately.
        """
        key = name.strip().casefold()
        if not (_OBJECT_ID.fullmatch(key) or _ADDRESS.fullmatch(key)):
            return None
        at, known = self._known.get(key, (float("-inf"), None))
        age = self._now() - at
        if age < FRESH:
            return known
        try:
            found = self._look_up(key)
        except SyncError:
            if age < STALE:
                return known
            if _OBJECT_ID.fullmatch(key):
                # It is the account itself; only a profile that has never synced is not found without its address.
                return User(key, "")
            raise
        with self._lock:
            if len(self._known) >= _MOST:
                self._known.clear()
            self._known[key] = (self._now(), found)
        return found

    def _look_up(self, key: str) -> User | None:
        with self._edges() as services:
            outlook = brief_outlook(services.graph_settings, patience=PATIENCE, transport=services.transport)
            try:
                user = outlook.fetch_user(key)
            except NotFoundError as error:
                if not error.in_form:
                    raise
                return None
        # What was asked for is what has to be answered: an alias, or another account, is nobody's name.
        same = key in (user.id.casefold(), user.principal_name.casefold())
        return user if same or not user.principal_name else None
