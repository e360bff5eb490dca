"""Finds out whether Graph enforces ``If-Match`` for contacts (rules 8.5), with versions that an item really had.

Exchange refuses a version that it cannot read as malformed, which says nothing; only a well-formed older one tells. So
an item of ours is written with its present version, then once more with that one, which is old by then. What is written
is the item's own BC key, or a mark of ours that nobody else reads: nothing of its owner's changes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from sync_lib.errors import AccessDeniedError, NotFoundError, SyncError, VersionMismatchError
from sync_lib.model import OutlookContact
from sync_lib.store import ledger, locks, snapshots
from sync_lib.store.engine import read
from sync_lib.store.profiles import Profile

#: How many items of a profile are looked at; most are as they were staged.
_TRIED = 5


@dataclass(frozen=True, slots=True)
class Found:
    """``answer`` is ``enforced``, ``ignored``, or "" where it is not known; ``error`` says why not."""

    answer: str = ""
    error: SyncError | None = None


def find_out(edges: Any, profiles: Iterable[Profile]) -> Found | None:
    """Ask Graph with the first item that will do, or return None where no profile has one that is ours.

    A profile that another task works on is passed over. The versions that come of it are recorded as those of our own
    writes, so that no item looks edited by its owner.
    """
    found: Found | None = None
    for profile in profiles:
        lease = locks.acquire_lease(edges.engine, f"profile:{profile.id}", edges.worker, edges.settings.lease)
        if lease is None:
            found = found or Found()
            continue
        try:
            found = _ask(edges, profile) or found
        finally:
            locks.release_lease(edges.engine, lease)
        if found and found.answer:
            break
    return found


def _ask(edges: Any, profile: Profile) -> Found | None:
    found: Found | None = None
    try:
        for item in _items(edges, profile):
            found = _probe(edges, profile, item)
            if found.answer:
                break
    except (AccessDeniedError, NotFoundError) as error:
        return Found(error=error)
    return found


def _items(edges: Any, profile: Profile) -> Iterator[OutlookContact]:
    """Yield items with our key, as they are now; those that nobody has touched since they were staged come first."""
    if not profile.graph_user_id:
        return
    with read(edges.engine) as conn:
        staged = snapshots.read_outlook(conn, profile.id)
    ours = staged[staged["bc_key"].fillna("") != ""].head(_TRIED)
    versions = dict(zip(ours["id"], ours["etag"], strict=True))
    present = edges.outlook.fetch_contacts(profile.graph_user_id, list(versions)) if versions else {}
    items = [item for item in present.values() if item and item.bc_key]
    yield from sorted(items, key=lambda item: item.etag != versions[item.id])


def _probe(edges: Any, profile: Profile, item: OutlookContact) -> Found:
    def write(etag: str, mark: str = "") -> Any:
        return edges.outlook.write_again(profile.graph_user_id, replace(item, etag=etag), mark=mark)

    newest = write(item.etag)
    if newest.error is None and newest.contact.etag == item.etag:
        # A write that changes nothing makes no new version here: a mark of ours that differs each time does.
        newest = write(item.etag, mark=edges.now())
    if newest.error is not None or newest.contact.etag == item.etag:
        return Found(error=newest.error)
    stale = write(item.etag)
    last = newest.contact if stale.error else stale.contact
    with edges.engine.begin() as conn:
        ledger.follow_own_write(conn, profile.id, item, last)
    if stale.error is None:
        return Found("ignored")
    return Found("enforced") if isinstance(stale.error, VersionMismatchError) else Found(error=stale.error)
