"""The two services and the staging database, as one task uses them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Any

from sqlalchemy import Engine

from sync_lib.clients.auth import TokenSource, fetch_tenant_id
from sync_lib.clients.business_central import BusinessCentralClient
from sync_lib.clients.directory import DirectoryClient
from sync_lib.clients.listing import Listing
from sync_lib.clients.outlook import OutlookClient
from sync_lib.clients.questions import Questions
from sync_lib.clients.session import ApiSession
from sync_lib.clients.transport import Transport
from sync_lib.ports import CHANCE, SYSTEM, Chance, Clock, Headway, Pages, draw_id
from sync_lib.settings import (
    AppSettings,
    BusinessCentralSettings,
    GraphSettings,
    StagingSettings,
    SyncSettings,
)
from sync_lib.store import clock
from sync_lib.store.budget import BcBudget
from sync_lib.store.engine import open_engine
from sync_lib.times import to_text

#: Seconds that the question about a mailbox may take with its repeats: a slow one must not keep the others waiting.
QUESTION_PATIENCE = 20.0


def brief_business_central(
    settings: BusinessCentralSettings, *, patience: float | None = None, transport: Transport | None = None
) -> BusinessCentralClient:
    """Return a client for a quick look: outside the budget that workers share.

    Args:
        settings: The Connection.
        patience: Seconds that an answer may take, and nothing is tried again; without it, what a task allows.
        transport: As in ``Services``.
    """
    return BusinessCentralClient(_brief_session(settings, patience, transport), settings)


def brief_outlook(
    settings: GraphSettings, *, patience: float, transport: Transport | None = None
) -> OutlookClient:
    """Return a client for a quick look (``brief_business_central``)."""
    return OutlookClient(_brief_session(settings, patience, transport))


def _brief_session(settings: AppSettings, patience: float | None, transport: Transport | None) -> ApiSession:
    if patience is None:
        return ApiSession(settings.root, TokenSource(settings, transport=transport), transport=transport)
    tokens = TokenSource(settings, timeout=patience, transport=transport)
    return ApiSession(settings.root, tokens, timeout=patience, retry_cap=0, transport=transport)


@dataclass
class Services:
    """The two services and the staging database, opened when they are first used."""

    business_central_settings: BusinessCentralSettings
    graph_settings: GraphSettings
    staging_settings: StagingSettings
    settings: SyncSettings
    worker: str = ""
    clock: Clock = SYSTEM
    chance: Chance = CHANCE
    #: Makes what carries the requests of each session; without it, sockets.
    transport: Transport | None = None
    #: Gives the time of the staging database in seconds since 1970; without it, that database does.
    staging_time: Callable[[], float] | None = None
    #: Reads the switch for writes again; without it the settings' own holds for as long as the services live.
    read_switch: Callable[[], bool] | None = None

    #: How far this task is, for its log and the pages.
    headway: Headway = field(default_factory=Headway)

    def __post_init__(self) -> None:
        self.worker = self.worker or draw_id(self.chance)

    @cached_property
    def engine(self) -> Engine:
        """The staging database."""
        url, wait = self.staging_settings.url, self.settings.database_wait
        engine = open_engine(url, wait=wait, sleep=self.clock.sleep)
        if self.staging_time is not None:
            clock.set_source(engine, self.staging_time)
        return engine

    @cached_property
    def outlook(self) -> OutlookClient:
        """Microsoft Graph."""
        session = ApiSession(self.graph_settings.root, self._graph_tokens, **self._session_options())
        return OutlookClient(
            session,
            window_operations=self.settings.graph_window_operations,
            window=self.settings.graph_window,
            clock=self.clock.monotonic,
            sleep=self._wait,
        )

    @cached_property
    def questions(self) -> Questions:
        """Microsoft Graph, asked about many mailboxes at once."""
        patience = {"retry_cap": min(self.settings.retry_cap, QUESTION_PATIENCE)}
        options = self._session_options() | patience
        session = ApiSession(self.graph_settings.root, self._graph_tokens, **options)
        return Questions(session, self.settings.graph_batches)

    @cached_property
    def _graph_tokens(self) -> TokenSource:
        return TokenSource(self.graph_settings, transport=self.transport)

    @cached_property
    def directory(self) -> DirectoryClient:
        """Users and groups of Entra ID, through Microsoft Graph."""
        return DirectoryClient(
            ApiSession(self.graph_settings.root, self._graph_tokens, **self._session_options())
        )

    @cached_property
    def business_central(self) -> BusinessCentralClient:
        """Business Central, within the budget that all workers share."""
        bc, settings = self.business_central_settings, self.settings
        budget = BcBudget(
            self.engine,
            f"{bc.tenant_id}/{bc.client_id}",
            concurrency=settings.bc_concurrency,
            window_requests=settings.bc_window_requests,
            window=settings.bc_window,
            slot_seconds=settings.longest_request,
            sleep=self._wait,
            jitter=self.chance.random,
        )
        tokens = TokenSource(bc, transport=self.transport)
        session = ApiSession(bc.root, tokens, gate=budget, **self._session_options())
        return BusinessCentralClient(session, bc)

    def may_write(self) -> bool:
        """Whether anything may be written to either service now (rules 8.8c)."""
        return self.read_switch() if self.read_switch else self.settings.writes

    def listing(self, rows: int, remember: Callable[[int], None]) -> Pages:
        """Return the pages of one read of Business Central.

        Args:
            rows: How many rows to ask for at a time.
            remember: Called with a smaller size, once a page of that size was answered.
        """
        return Listing(rows, remember)

    @cached_property
    def tenant_id(self) -> str:
        """Id of Business Central's tenant, which the Connection may write as a domain name."""
        settings = self.business_central_settings
        return fetch_tenant_id(settings, settings.tenant_id, transport=self.transport)

    def is_own_tenant(self, tenant: str) -> bool:
        """Whether an id or a domain name is that of Business Central's tenant."""
        settings = self.business_central_settings
        if tenant.casefold() == settings.tenant_id.casefold():
            return True
        return fetch_tenant_id(settings, tenant, transport=self.transport) == self.tenant_id

    def _session_options(self) -> dict[str, Any]:
        return {
            "may_write": self.may_write,
            "timeout": self.settings.request_timeout,
            "retry_cap": self.settings.retry_cap,
            "transport": self.transport,
            "clock": self.clock.monotonic,
            "sleep": self._wait,
            "jitter": self.chance.random,
            "new_id": partial(draw_id, self.chance),
            "on_page": self.headway.saw_page,
        }

    def _wait(self, seconds: float) -> None:
        self.headway.wait(self.clock, seconds)

    def now(self) -> str:
        """Return the time as the staging database writes it; for records only, never to select what is read."""
        return to_text(self.clock.now())

    def close(self) -> None:
        """Give the connections back."""
        if "engine" in self.__dict__:
            self.engine.dispose()
