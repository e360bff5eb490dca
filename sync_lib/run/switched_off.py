"""Carry a privacy block to profiles that are switched off, or have ended (rules 7.4), in full runs and housekeeping.

Nothing else of such a profile is read or written. Of one that has ended ids alone are known: what the sync made goes
wherever it lies, since the folder is the user's own. What fails is said in the log, and makes no run red.
"""

from __future__ import annotations

import logging

from sync_lib.diff.context import DiffContext
from sync_lib.errors import NotFoundError, ServiceError, SyncError
from sync_lib.load import if_match
from sync_lib.load.apply import apply_plan
from sync_lib.load.couple import key_for
from sync_lib.load.target import Target
from sync_lib.model import Coupling, FormerItem, Mode, Origin
from sync_lib.run import bindings, elsewhere, folders
from sync_lib.run.elsewhere import Place
from sync_lib.run.inputs import mapper_of, policy_of
from sync_lib.run.turns import keep_lease, mailbox_turn, take
from sync_lib.services import Services
from sync_lib.store import companies, former_items
from sync_lib.store.changes import write_plan
from sync_lib.store.companies import CompanyRow
from sync_lib.store.couplings import read_couplings_of
from sync_lib.store.engine import read
from sync_lib.store.leases import Lease, check_lease
from sync_lib.store.profiles import rows as profiles
from sync_lib.store.profiles.rows import Profile
from sync_lib.store.snapshots import bc_contacts

logger = logging.getLogger(__name__)


def remove_blocked(services: Services, run_id: str) -> int:
    """Remove what is left of blocked contacts in the mailboxes of switched-off profiles; return the number of writes.

    While writes are off nothing is done.

    Args:
        services: The services and the staging database.
        run_id: What the change log names as the run.
    """
    if not services.may_write():
        return 0
    with read(services.engine) as conn:
        every = [*profiles.read_profiles(conn, enabled_only=False), *profiles.read_ended(conn)]
    read_often = {profile.company for profile in every if profile.enabled}
    written = 0
    for profile in every:
        if profile.enabled or not profile.company or not profile.graph_user_id or not _has_items(profile):
            continue
        try:
            is_read = profile.company in read_often
            written += _Sweep(services, run_id, profile, is_read=is_read).run()
        except ServiceError as error:
            logger.warning("a service is away: what is left is for the next run: %s", error)
            break
        except SyncError as error:
            logger.warning(
                "privacy blocks do not reach the switched-off profile of %s: %s", profile.mailbox, error
            )
        except Exception as error:  # noqa: BLE001 - recovered by skipping: the other profiles go on
            # Named by its type only, since its text may hold a value of a contact.
            logger.warning("the switched-off profile of %s: %s", profile.mailbox, type(error).__name__)
    return written


def _has_items(profile: Profile) -> bool:
    """Whether a profile has a folder, or had one until it ended."""
    return bool(profile.folder_id or profile.ended_at)


class _Sweep:
    def __init__(self, services: Services, run_id: str, profile: Profile, *, is_read: bool) -> None:
        self.services = services
        self.run_id = run_id
        self.profile = profile
        self.is_read = is_read
        with read(services.engine) as conn:
            self.company: CompanyRow = companies.read_company(conn, profile.company or 0)
            self.company_key = companies.read_key(conn, self.company)

    def run(self) -> int:
        if not self._items():
            return 0
        bindings.check_environment(self.services, self.company)
        lease = take(self.services, f"profile:{self.profile.id}")
        if lease is None:
            logger.info("another run works on this profile: it is left to the next one")
            return 0
        with keep_lease(self.services, lease), mailbox_turn(self.services, self.profile):
            try:
                return self._work(lease)
            except NotFoundError as error:
                if not folders.is_mailbox_missing(error):
                    raise
                raise folders.mailbox_error(self.services.outlook, self.profile, error) from error

    def _items(self) -> list[FormerItem]:
        with read(self.services.engine) as conn:
            blocked = set(bc_contacts.read_blocked(conn, self.company.id))
        if not self.is_read:
            blocked = self._read_blocked()
        with read(self.services.engine) as conn:
            return former_items.read_former(conn, self.profile.id, blocked)

    def _read_blocked(self) -> set[str]:
        """Ask BC itself about a company that no profile keeps up to date."""
        with read(self.services.engine) as conn:
            known = former_items.read_contacts(conn, self.profile.id)
        if not known:
            return set()
        bindings.check_environment(self.services, self.company)
        found = self.services.business_central.fetch_contacts(self.company.company_id, known)
        return {
            key for key, contact in found.items() if contact and contact.values["privacy_blocked"] == "true"
        }

    def _work(self, lease: Lease) -> int:
        items = self._with_copies(self._items())
        ids = {item.outlook_id for item in items}
        with read(self.services.engine) as conn:
            taken = profiles.read_taken_folders(conn, self.profile.id, self._user)
            couplings = _by_item(read_couplings_of(conn, self.profile.id, ids))
        place = Place(self.services.outlook, self._user, self._folder, self.company_key, taken)
        found = elsewhere.find_everywhere(place, items, couplings)
        for n, change in enumerate(found.changes, 1):
            change.n = n
        with self.services.engine.begin() as conn:
            check_lease(conn, lease)
            former_items.remember(conn, self.profile.id, found.settled)
            if not found.changes:
                return 0
            plan = write_plan(conn, self._plan_values(lease), found.changes)
        apply_plan(self._target(lease), plan, found.changes)
        logger.info(
            "%d items of blocked contacts in the mailbox of a switched-off profile", len(found.changes)
        )
        return len(found.changes)

    def _with_copies(self, items: list[FormerItem]) -> list[FormerItem]:
        """Add what carries a key of these contacts in the folder, which nobody has read since."""
        known = {item.outlook_id for item in items}
        if not self._folder:
            return items
        keys = {
            key_for(self.company_key, contact, origin): contact
            for contact in sorted({item.bc_id for item in items})
            for origin in Origin
        }
        try:
            found = self.services.outlook.find_by_keys(self._user, self._folder, list(keys))
        except NotFoundError as error:
            if folders.is_mailbox_missing(error):
                raise
            logger.info("the folder of a switched-off profile is gone: %s", error)
            return items
        copies = {contact.id: keys[key] for key, contacts in found.items() for contact in contacts}
        return items + [FormerItem(bc_id, key) for key, bc_id in copies.items() if key not in known]

    @property
    def _user(self) -> str:
        return self.profile.graph_user_id or ""

    @property
    def _folder(self) -> str:
        return self.profile.folder_id or ""

    def _plan_values(self, lease: Lease) -> dict[str, object]:
        values = {"run": self.run_id, "profile": self.profile.id, "round": 1, "mode": Mode.FULL}
        return {**values, "dry_run": False, "fencing": lease.fencing}

    def _target(self, lease: Lease) -> Target:
        field_profile = self.services.business_central_settings.field_profile
        mapper = mapper_of(self.company, field_profile, self.profile.language)
        with read(self.services.engine) as conn:
            enforces = if_match.read_known(conn, self.services.graph_settings.tenant_id)
        return Target(
            engine=self.services.engine,
            outlook=self.services.outlook,
            business_central=self.services.business_central,
            run=self.run_id,
            profile=self.profile.id,
            user=self._user,
            folder=self._folder,
            company=self.company.id,
            company_key=self.company_key,
            context=DiffContext(policy_of(self.profile), mapper),
            in_filter=lambda _values: False,
            graph_tenant=self.services.graph_settings.tenant_id,
            enforces_if_match=enforces,
            check_lease=lambda conn: check_lease(conn, lease),
            may_write=self.services.may_write,
            fencing=lease.fencing,
            now=self.services.now,
            longest_request=self.services.settings.longest_request,
        )


def _by_item(couplings: list[Coupling]) -> dict[str, Coupling]:
    return {coupling.outlook_id: coupling for coupling in couplings if coupling.outlook_id}
