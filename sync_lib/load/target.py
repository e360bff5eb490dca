"""Whose contacts a load works on, and through what; and what it leaves to do."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from sqlalchemy import Connection, Engine

from sync_lib.diff.context import DiffContext
from sync_lib.errors import ServiceError
from sync_lib.fields.contact_keys import BcKey
from sync_lib.fields.mapper import FieldMapper
from sync_lib.ports import BusinessCentral, Outlook
from sync_lib.store import clock


@dataclass(frozen=True, slots=True)
class Target:
    """Whose contacts a load works on, and through what.

    Attributes:
        company: Row of the BC company in the staging database.
        company_key: Any BC key of the company; its tenant, environment and company are what counts.
        in_filter: Whether a BC contact with these values passes the profile's filter.
        graph_tenant: Whose facts about Graph are known and remembered.
        enforces_if_match: Graph refuses a write with an old version; else, or where nobody knows (None), each write
            is preceded by a read (8.5).
        check_lease: Raises ``LeaseLostError`` where another worker took over; called inside the transaction.
        may_write: Reads the switch for writes; a change is not marked as being sent while it is off (8.8c).
    """

    engine: Engine
    outlook: Outlook
    business_central: BusinessCentral
    run: str
    profile: int
    user: str
    folder: str
    company: int
    company_key: BcKey
    context: DiffContext
    in_filter: Callable[[dict[str, str]], bool]
    graph_tenant: str
    enforces_if_match: bool | None
    check_lease: Callable[[Connection], None]
    may_write: Callable[[], bool]
    fencing: int
    now: Callable[[], str]
    longest_request: float

    @property
    def mapper(self) -> FieldMapper:
        """Maps the records of both services."""
        return self.context.mapper

    def too_late(self, conn: Connection) -> str:
        """Return the time before which a request was sent that is not carried out now and never will be."""
        return clock.now(conn, -self.longest_request)


@dataclass(slots=True)
class Loaded:
    """What a load left to do.

    Attributes:
        reread_outlook: Items to read again before the next round.
        reread_bc: Contacts to read again before the next round.
        changed_by_bc: BC made something else of what it was sent, which the next round takes to Outlook (rules 8.6).
        folder_missing: Something of the folder answered 404: is it still there (rules 1)?
        stopped: What stopped the load, if anything did.
    """

    reread_outlook: set[str] = field(default_factory=set)
    reread_bc: set[str] = field(default_factory=set)
    changed_by_bc: bool = False
    folder_missing: bool = False
    stopped: ServiceError | None = None

    @property
    def reread(self) -> bool:
        """Whether anything is to be read again."""
        return bool(self.reread_outlook or self.reread_bc or self.folder_missing)
