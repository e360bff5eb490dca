"""What a worker is handed from outside: the clients of both services, time and chance.

The rooms of the sync know the clients by these protocols only. Of time and chance production has one each (``SYSTEM``,
the module ``random``); a simulated world hands in others, so that a whole run is a function of its seed and waits for
nothing.
"""

from __future__ import annotations

import random
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Protocol

from sync_lib.model import BcContact, Company, OutlookContact, PlannedChange


class Clock(Protocol):
    """The time of one worker, and its ways to wait."""

    def now(self) -> datetime:
        """Return the time in UTC; for records that people read, since it decides nothing (rules 8.8b)."""

    def monotonic(self) -> float:
        """Return seconds from any beginning, which never run back."""

    def sleep(self, seconds: float) -> None:
        """Wait; never inside a transaction."""

    def every(self, seconds: float, act: Callable[[], bool]) -> AbstractContextManager[None]:
        """Call ``act`` each time so many seconds have passed, until the block ends or it returns False."""


class SystemClock:
    """The machine's clock."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)

    @contextmanager
    def every(self, seconds: float, act: Callable[[], bool]) -> Iterator[None]:
        """Call it from a thread of its own; the end of the block waits for a call that is under way."""
        done = threading.Event()

        def keep() -> None:
            while not done.wait(seconds) and act():
                pass

        thread = threading.Thread(target=keep, name="timer", daemon=True)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()


class Headway:
    """How far one worker is: what it reads and sends, and what it waits for. Others may look at any moment.

    Attributes:
        pages: Pages of lists that came from either service.
        items: Rows in them.
        changes: Those that the load under way carries out; each has an outcome once that is stored.
        mailbox: Whose folder they are of, as its limit is kept by.
        began: Seconds at work, without waits, when that load began.
    """

    def __init__(self) -> None:
        self._waited = 0.0
        self._since = 0.0
        self._waits: dict[object, float] = {}
        self._lock = threading.Lock()
        self.begin()

    def begin(self) -> None:
        """Begin with another profile or company: nothing of it has been read or sent."""
        self.pages = 0
        self.items = 0
        self.changes: Sequence[PlannedChange] = ()
        self.mailbox = ""
        self.began = 0.0

    def saw_page(self, items: int) -> None:
        """Take note of a page."""
        self.pages += 1
        self.items += items

    def load(self, changes: Sequence[PlannedChange], mailbox: str, now: float) -> None:
        """Take note of what a load is about to carry out, by the clock's seconds now."""
        self.mailbox, self.began = mailbox, now - self.waited(now)
        self.changes = changes

    def wait(self, clock: Clock, seconds: float) -> None:
        """Wait for a service; of several threads that wait at once the time counts once."""
        key, now = object(), clock.monotonic()
        with self._lock:
            self._since = self._since if self._waits else now
            self._waits[key] = now + seconds
        try:
            clock.sleep(seconds)
        finally:
            with self._lock:
                del self._waits[key]
                self._waited += 0.0 if self._waits else clock.monotonic() - self._since

    def waited(self, now: float) -> float:
        """Return how many seconds went by in waits, by the clock's seconds now."""
        with self._lock:
            return self._waited + (now - self._since if self._waits else 0.0)

    @property
    def waits_until(self) -> float | None:
        """When the wait that is under way ends, in the clock's seconds; None where nobody waits."""
        with self._lock:
            return min(self._waits.values(), default=None)


class Chance(Protocol):
    """Where jitter and ids come from that must differ between workers; the module ``random`` is one."""

    def random(self) -> float:
        """Return a number from 0 up to, not including, 1."""

    def getrandbits(self, k: int, /) -> int:
        """Return a whole number of so many bits."""


SYSTEM: Clock = SystemClock()
#: The module, not an instance of its own: its state is drawn anew in each process that is forked.
CHANCE: Chance = random


def draw_id(chance: Chance) -> str:
    """Return a GUID that nobody else draws."""
    return str(uuid.UUID(int=chance.getrandbits(128), version=4))


@dataclass(frozen=True, slots=True)
class User:
    """A user of Microsoft 365: the id stays, name and main e-mail address may change; "" where they were left out."""

    id: str
    principal_name: str
    mail: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class Account:
    """A user as lists of the directory show it.

    Attributes:
        id: Object id, in lower case.
        principal_name: Name to sign in with, "" where the app may not read it.
        mail: Main e-mail address, "" for none.
        enabled: None where the app may not read that.
        other_addresses: Further addresses of the mailbox; none where the app may not read them.
    """

    id: str
    principal_name: str
    mail: str
    enabled: bool | None = None
    other_addresses: tuple[str, ...] = ()

    @property
    def addresses(self) -> tuple[str, ...]:
        """All addresses by which somebody may know the user."""
        return (self.principal_name, self.mail, *self.other_addresses)


@dataclass(frozen=True, slots=True)
class DirectoryGroup:
    """A group of Entra ID: the id stays, the name may change."""

    id: str
    name: str


@dataclass(frozen=True, slots=True)
class Colleague:
    """Somebody who works with Business Central; ``code`` is that of a salesperson, or the name of a user."""

    code: str
    name: str
    email: str


@dataclass(frozen=True, slots=True)
class Folder:
    """An Outlook contact folder; the markers are our extended properties on it, "" when absent."""

    id: str
    name: str
    parent_id: str
    marker: str
    other_marker: str = ""


@dataclass(frozen=True, slots=True)
class DeltaPage:
    """One complete round of a folder's delta: what changed, what left, and the link of the next round."""

    contacts: list[OutlookContact]
    removed: list[str]
    delta_link: str


@dataclass(frozen=True, slots=True)
class BatchWrite:
    """One write of a ``$batch`` to a mailbox. ``contact_id`` is "" and ``folder_id`` is set for a create.

    ``bc_key`` is the value to give to our extended property in the same write; "" leaves the property as it is, unless
    ``clears_key`` says that it is to be blank, which is no key.
    """

    method: str
    contact_id: str = ""
    folder_id: str = ""
    etag: str = ""
    body: dict[str, Any] | None = None
    bc_key: str = ""
    clears_key: bool = False


@dataclass(frozen=True, slots=True)
class BcUpdate:
    """One change of a contact of Business Central.

    Attributes:
        contact_id: Its id.
        body: The properties to change, as BC's API calls them.
        etag: The version that it is based on, as BC sent it, with ``W/`` and quotes.
    """

    contact_id: str
    body: Mapping[str, Any]
    etag: str


@dataclass(frozen=True, slots=True)
class WriteResult:
    """What one write came to: a contact as the service returned it, or an error, or nothing (a delete).

    Attributes:
        contact: The written contact (``BcContact`` or ``OutlookContact``), when the service returned one.
        error: None on success. A ``ServiceError`` other than ``ThrottledError`` means that the outcome is unknown.
        request_id: The service's id of the request.
    """

    contact: OutlookContact | BcContact | None = None
    error: Exception | None = None
    request_id: str = ""


class Pages(Protocol):
    """One read of a list of Business Central: how large its pages are, and what its answers say of the time.

    Attributes:
        rows: How many rows the next page is asked to have.
        troubled: Some page had to be asked for again with fewer rows.
        date: The time of the service by its latest answer, "" where none said it.
        newest: The newest stamp read, no later than the answer that it came in says it is.
    """

    rows: int
    troubled: bool
    date: str
    newest: str

    @property
    def is_smallest(self) -> bool:
        """Whether fewer rows would help no more."""

    def headers(self) -> Mapping[str, str]:
        """Return the headers that ask for a page."""

    def shrink(self) -> bool:
        """Ask for fewer rows from now on; False where that helps no more."""

    def answered(self, headers: Mapping[str, str]) -> None:
        """Take note of a page that came, by the headers of its answer."""

    def saw(self, stamp: str) -> None:
        """Take note of a row's stamp."""


class BusinessCentral(Protocol):
    """Business Central's contacts; errors are those of ``sync_lib.errors``."""

    def fetch_companies(self) -> list[Company]:
        """Return the companies that the app may see."""

    def iter_contacts(
        self, company_id: str, *, since: str | None = None, listing: Pages | None = None
    ) -> Iterator[BcContact]:
        """Yield contacts of any type, all of them or those changed at ``since`` or later."""

    def iter_ids(self, company_id: str, listing: Pages | None = None) -> Iterator[tuple[str, str]]:
        """Yield id and stamp of every contact."""

    def count_contacts(self, company_id: str) -> int | None:
        """Return how many contacts there are by BC's own count, or None where it does not say."""

    def fetch_contacts(
        self, company_id: str, ids: Sequence[str], *, may_be_empty: bool = False
    ) -> dict[str, BcContact | None]:
        """Return contacts by id: None for one that BC does not have, nothing for one that cannot be judged."""

    def find_by_emails(
        self, company_id: str, emails: Sequence[str], *, since: str = ""
    ) -> dict[str, list[BcContact] | None]:
        """Return, for each address, the contacts whose e-mail field holds it; None where BC's answer proves nothing."""

    def create_contacts(self, company_id: str, bodies: Sequence[Mapping[str, Any]]) -> list[WriteResult]:
        """Create contacts, each once, and return what each came to, in the order given."""

    def update_contacts(self, company_id: str, updates: Sequence[BcUpdate]) -> list[WriteResult]:
        """Change contacts that still have the version known, and return what each came to, in the order given."""

    def fetch_countries(self, company_id: str) -> dict[str, str]:
        """Return BC's own table Country/Region: code to display name."""

    def fetch_salespeople(self, company_id: str) -> list[Colleague]:
        """Return the salespeople of a company."""

    def fetch_users(self, company_id: str) -> list[Colleague]:
        """Return the users of Business Central; only our own API lists them."""


class Directory(Protocol):
    """Users and groups of Entra ID, and whether a user's mailbox opens; errors are those of ``sync_lib.errors``."""

    def find_groups(self, name: str) -> list[DirectoryGroup]:
        """Return the groups that a name, or an id, means."""

    def fetch_members(self, group_id: str) -> list[Account]:
        """Return the users in a group and in the groups within it, each once."""

    def fetch_accounts(self) -> list[Account]:
        """Return all users of the tenant."""

    def open_mailboxes(self, users: Sequence[str]) -> dict[str, Exception | None]:
        """Return for each user id why its mailbox does not open to the app, or None where it does."""


class Outlook(Protocol):
    """Outlook's contact folders and their items; errors are those of ``sync_lib.errors``."""

    def fetch_user_id(self, mailbox: str) -> str:
        """Return the Graph user id of a user principal name."""

    def fetch_user(self, user: str) -> User:
        """Return a user by id or by user principal name."""

    def fetch_folder(self, user: str, folder_id: str) -> Folder:
        """Return a contact folder with its marker; also one that lies in Deleted Items may answer."""

    def fetch_default_folder(self, user: str) -> Folder:
        """Return the default Contacts folder."""

    def iter_folders(self, user: str) -> Iterator[Folder]:
        """Yield the folders below the default Contacts folder."""

    def iter_nested_folders(self, user: str, folders: Sequence[Folder]) -> Iterator[Folder]:
        """Yield the folders within these ones, level by level."""

    def is_deleted_folder(self, user: str, folder: Folder) -> bool:
        """Return whether a folder that still answers lies in Deleted Items."""

    def is_live_parent(self, user: str, parent_id: str) -> bool:
        """Return whether a folder that an item names as its own is not deleted."""

    def create_folder(self, user: str, name: str, marker: str) -> Folder:
        """Return a folder of that name: made now with our marker, or the one that has the name."""

    def rename_folder(self, user: str, folder_id: str, name: str) -> None:
        """Give a folder another name; its id stays."""

    def delete_folder(self, user: str, folder_id: str) -> None:
        """Delete a contact folder with all that is in it; one that is gone already is no error."""

    def write_marker(self, user: str, folder_id: str, value: str, *, other: bool = False) -> Folder:
        """Write our marker into one of its two slots, and return the folder as it was before."""

    def is_own_link(self, link: str) -> bool:
        """Return whether a delta link leads to the API that is asked now."""

    def fetch_delta(self, user: str, folder_id: str, delta_link: str | None) -> DeltaPage:
        """Return one complete round of what changed in a folder since a link was given; all of it without a link."""

    def iter_contacts(self, user: str, folder_id: str) -> Iterator[OutlookContact]:
        """Yield every contact of a folder with its BC key and private flag."""

    def fetch_contacts(
        self, user: str, ids: Sequence[str], folder_id: str = ""
    ) -> dict[str, OutlookContact | None]:
        """Return contacts by id, wherever in the mailbox they lie; None where there is none."""

    def find_by_keys(self, user: str, folder_id: str, keys: Sequence[str]) -> dict[str, list[OutlookContact]]:
        """Return, for each BC key, the contacts of a folder that carry it."""

    def apply_writes(self, user: str, writes: Sequence[BatchWrite]) -> list[WriteResult]:
        """Send up to 20 writes as one batch and return what each came to, in the order given."""

    def write_again(self, user: str, item: OutlookContact, *, mark: str = "") -> WriteResult:
        """Write an item's own BC key, or a mark of ours in its place, on condition of its version; nothing else."""
