"""One profile in one run: what its steps work with."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from sqlalchemy import Connection, Engine

from sync_lib.diff.context import DiffContext
from sync_lib.extract.staging import Staging
from sync_lib.fields.contact_keys import BcKey
from sync_lib.fields.filters import Filter
from sync_lib.load import if_match
from sync_lib.load.target import Target
from sync_lib.model import HoldReason, Mode, Run
from sync_lib.run.holding import Recreations
from sync_lib.run.inputs import mapper_of, policy_of
from sync_lib.run.standing import digest_of_settings
from sync_lib.store import held, undo
from sync_lib.store.companies import CompanyRow
from sync_lib.store.engine import read
from sync_lib.store.leases import Lease, check_lease
from sync_lib.store.profiles import rows as profiles
from sync_lib.store.profiles.rows import Profile
from sync_lib.store.snapshots import bc_contacts
from sync_lib.store.wishes import Wishes

if TYPE_CHECKING:
    from sync_lib.ports import Outlook
    from sync_lib.run.folders import Found
    from sync_lib.services import Services


@dataclass(frozen=True, slots=True)
class ProfileRun:
    """What the steps of one profile's run work with; a step that learns more hands on another one.

    Attributes:
        services: The clients and the staging database.
        run: The run; of a profile that is due, a full one.
        profile: The profile as it is stored now.
        lease: The right to work on it.
        company: Its company.
        company_key: The company's own key.
        filter: The profile's filter.
        wanted: What persons want undone.
        restored: The marker's counter where it is ahead of the staging database, else 0 (rules 2.8).
        wishes: What persons want of single contacts.
    """

    services: Services
    run: Run
    profile: Profile
    lease: Lease
    company: CompanyRow
    company_key: BcKey
    filter: Filter
    wanted: undo.Open
    restored: int = 0
    wishes: Wishes = field(default_factory=Wishes)

    @property
    def id(self) -> int:
        """The profile's key in the staging database."""
        return self.profile.id

    @property
    def engine(self) -> Engine:
        """The staging database."""
        return self.services.engine

    @property
    def outlook(self) -> Outlook:
        """Microsoft Graph."""
        return self.services.outlook

    @property
    def field_profile(self) -> str:
        """Which fields of BC are read."""
        return self.services.business_central_settings.field_profile

    @property
    def is_full(self) -> bool:
        """Whether the run reads everything."""
        return self.run.mode == Mode.FULL

    @property
    def is_restored(self) -> bool:
        """Whether a side went back to an older state, or was exchanged: read in full, differences are conflicts."""
        return bool(self.restored or self.profile.restored_by)

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """Run the block in a transaction that nobody without the lease can commit.

        Raises:
            LeaseLostError: Another worker took over.
        """
        with self.engine.begin() as conn:
            check_lease(conn, self.lease)
            yield conn

    def reread(self) -> ProfileRun:
        """Return the same with the profile as it is stored now."""
        with read(self.engine) as conn:
            return replace(self, profile=profiles.read_profile(conn, self.id))

    def bind(self, **values: object) -> ProfileRun:
        """Store what was found out about the profile, and return the same with it."""
        with self.transaction() as conn:
            profiles.bind_profile(conn, self.id, **values)
        return self.reread()

    def held_as_a_whole(self) -> str:
        """Return why the plan is held as a whole, until what it holds has been carried out (1, 2.8 and 5); else ""."""
        if self.is_restored:
            return HoldReason.RESTORED if self.restored else self.profile.restored_by
        with read(self.engine) as conn:
            return held.find_whole(conn, self.id)

    def settings_digest(self) -> str:
        """Return the digest of all settings that a diff depends on."""
        return digest_of_settings(self.profile, self.field_profile, self.company, self.wishes.left_out)

    def context(
        self, names: frozenset[str] = frozenset(), leaving: frozenset[str] = frozenset()
    ) -> DiffContext:
        """Return what a diff depends on.

        Args:
            names: Company names in Outlook that may have to be found in BC.
            leaving: Contacts that left the scope in this run, and stay until the edit of their item is in BC.
        """
        mapper = mapper_of(self.company, self.field_profile, self.profile.language)
        with read(self.engine) as conn:
            companies = bc_contacts.read_company_numbers(
                conn, self.company.id, names, overlay=self.run.overlay
            )
            again = Recreations.of(held.read_held(conn, self.id))
        return DiffContext(
            policy_of(self.profile),
            replace(mapper, lookups=replace(mapper.lookups, companies=companies)),
            restored=bool(self.held_as_a_whole()),
            undone=self.wanted.undone,
            leaving=leaving,
            company=self.company_key,
            asked=again.asked,
            left_away=again.left_away,
            wished=self.wishes.wished,
        )

    def staging(self, context: DiffContext, began: str = "") -> Staging:
        """Return where a read of the folder is staged; ``began`` is when it began, by the staging database."""
        return Staging(self.id, context.mapper, self.run, self.services.now(), began)

    def target(self, found: Found, context: DiffContext) -> Target:
        """Return what a load works on."""
        services = self.services
        with read(self.engine) as conn:
            enforces = if_match.read_known(conn, services.graph_settings.tenant_id)
        return Target(
            engine=self.engine,
            outlook=self.outlook,
            business_central=services.business_central,
            run=self.run.id,
            profile=self.id,
            user=found.user,
            folder=found.folder.id,
            company=self.company.id,
            company_key=self.company_key,
            context=context,
            in_filter=lambda values: self.filter.passes(values, me=self.profile.salesperson_code),
            graph_tenant=services.graph_settings.tenant_id,
            enforces_if_match=enforces,
            check_lease=lambda conn: check_lease(conn, self.lease),
            may_write=services.may_write,
            fencing=self.lease.fencing,
            now=services.now,
            longest_request=services.settings.longest_request,
        )
