"""Finds out whether Graph enforces ``If-Match`` for contacts (rules 8.5), with versions that an item really had.

Exchange refuses a version that it cannot read as malformed, which says nothing; only a well-formed older one shows
it. So an item of ours is written with its present version, then once more with that one, which is old by then. What
is written is the item's own BC key, or a mark of ours that nobody else reads: nothing of its owner's changes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from sync_lib.errors import AccessDeniedError, NotFoundError, SyncError, VersionMismatchError
from sync_lib.model import OutlookContact
from sync_lib.ports import WriteResult
from sync_lib.services import Services
from sync_lib.store.couplings import follow_own_write
from sync_lib.store.engine import read
from sync_lib.store.leases import acquire_lease, release_lease
from sync_lib.store.profiles.rows import Profile
from sync_lib.store.snapshots import outlook_items

#: How many items of a profile are looked at; most are as they were staged.
_TRIED = 5


@dataclass(frozen=True, slots=True)
class Found:
    """``answer`` is ``enforced``, ``ignored``, or "" where it is not known; ``error`` says why not."""

    answer: str = ""
    error: SyncError | None = None


def find_out(services: Services, profiles: Iterable[Profile]) -> Found | None:
    """Ask Graph with the first item that will do, or return None where no profile has one that is ours.

    A profile that another task works on is passed over. The versions that come of it are recorded as those of our own
    writes, so that no item looks edited by its owner.
    """
    found: Found | None = None
    for profile in profiles:
        lease = acquire_lease(
            services.engine, f"profile:{profile.id}", services.worker, services.settings.lease
        )
        if lease is None:
            found = found or Found()
            continue
        try:
            found = _ask(services, profile) or found
        finally:
            release_lease(services.engine, lease)
        if found and found.answer:
            break
    return found


def _ask(services: Services, profile: Profile) -> Found | None:
    found: Found | None = None
    try:
        for item in _items(services, profile):
            found = _probe(services, profile, item)
            if found.answer:
                break
    except (AccessDeniedError, NotFoundError) as error:
        return Found(error=error)
    return found


def _items(services: Services, profile: Profile) -> Iterator[OutlookContact]:
    """Yield items with our key, as they are now; those that nobody has touched since they were staged come first."""
    if not profile.graph_user_id:
        return
    with read(services.engine) as conn:
        staged = outlook_items.read_outlook(conn, profile.id)
    ours = staged[staged["bc_key"].fillna("") != ""].head(_TRIED)
    versions = dict(zip(ours["id"], ours["etag"], strict=True))
    present = services.outlook.fetch_contacts(profile.graph_user_id, list(versions)) if versions else {}
    items = [item for item in present.values() if item and item.bc_key]
    yield from sorted(items, key=lambda item: item.etag != versions[item.id])


def _probe(services: Services, profile: Profile, item: OutlookContact) -> Found:
    user = profile.graph_user_id or ""

    def write(etag: str, mark: str = "") -> WriteResult:
        return services.outlook.write_again(user, replace(item, etag=etag), mark=mark)

    newest = write(item.etag)
    if _written(newest, item) == item:
        # A write that changes nothing makes no new version here: a mark of ours that differs each time does.
        newest = write(item.etag, mark=services.now())
    made = _written(newest, item)
    if made == item or made is None:
        return Found(error=_why(newest))
    stale = write(item.etag)
    last = _written(stale, made) or made
    with services.engine.begin() as conn:
        follow_own_write(conn, profile.id, item, last)
    if stale.error is None:
        return Found("ignored")
    return Found("enforced") if isinstance(stale.error, VersionMismatchError) else Found(error=_why(stale))


def _written(result: WriteResult, before: OutlookContact) -> OutlookContact | None:
    """The item as a write left it, ``before`` where it has no new version; None where the write failed."""
    contact = result.contact
    if result.error is not None or not isinstance(contact, OutlookContact):
        return None
    return before if contact.etag == before.etag else contact


def _why(result: WriteResult) -> SyncError | None:
    return result.error if isinstance(result.error, SyncError) else None
