"""Open a profile's folder: find or make it, follow its name, notice what it says of the staging database (1, 2.8)."""

from __future__ import annotations

import logging
from dataclasses import replace

from sync_lib.errors import SyncError
from sync_lib.ports import Folder
from sync_lib.run import bindings, folders, second_folder
from sync_lib.run.folders import Found, Taken
from sync_lib.run.profile_run import ProfileRun
from sync_lib.store import runs
from sync_lib.store.changes import has_planned
from sync_lib.store.engine import read
from sync_lib.store.profiles import rows as profiles
from sync_lib.store.snapshots import outlook_items
from sync_lib.store.snapshots.outlook_items import FOLDER_DELETED

logger = logging.getLogger(__name__)

#: The profile's run after a step, and its folder; None where a dry run would have to make it.
Opened = tuple[ProfileRun, Found | None]


class RestoredError(SyncError):
    """The folder's marker is ahead of the staging database (rules 2.8)."""

    def __init__(self, counter: int) -> None:
        super().__init__(f"The folder's marker is at {counter}, ahead of the staging database.")
        self.counter = counter


def open_folder(profile_run: ProfileRun) -> Opened:
    """Open the folder. The bound one is taken as it is; a full sync, and a change of its name, look it up (rules 1)."""
    profile = profile_run.profile
    user, folder = profile.graph_user_id, profile.folder_id
    renamed = profile.folder_seen != profile.folder_name and not profile.default_folder
    full = profile_run.is_full or bool(profile.restored_by) or _broke_off(profile_run)
    if user and folder and not full and not renamed:
        return profile_run, Found(user, Folder(folder, profile.folder_name, "", ""))
    return find_folder(profile_run)


def _broke_off(profile_run: ProfileRun) -> bool:
    """Whether an earlier load broke off, perhaps before it learnt what its marker took the place of (2.8)."""
    with read(profile_run.engine) as conn:
        return not profile_run.run.dry_run and has_planned(conn, profile_run.id)


def find_folder(profile_run: ProfileRun) -> Opened:
    """Look the folder up, and make it where there is none.

    Raises:
        RestoredError: Its marker is ahead of the staging database.
        ProfileError: The mailbox is missing or closed to the app, or the folder belongs to somebody else.
    """
    if not profile_run.run.dry_run:
        profile_run = replace(
            profile_run, profile=bindings.follow_mailbox(profile_run.services, profile_run.profile)
        )
    profile = profile_run.profile

    def taken(user: str) -> Taken:
        with read(profile_run.engine) as conn:
            return folders.read_taken(conn, profile, user)

    found = folders.find_folder(profile_run.outlook, profile, profile_run.company_key, taken=taken)
    if found is None and profile_run.run.dry_run:
        return profile_run, None
    if found is None:
        user = profile.graph_user_id or profile_run.outlook.fetch_user_id(profile.mailbox)
        found = folders.make_folder(
            profile_run.outlook, profile, profile_run.company_key, user, taken=taken(user)
        )
    if profile_run.run.dry_run:
        if profile.folder_id not in (None, found.folder.id):
            _stage_emptied_folder(profile_run)
        return profile_run, found
    profile_run = _bind(_check_marker(profile_run, found), found)
    if profile_run.is_full and not profile_run.profile.default_folder:
        profile_run = _look_for_second(profile_run, found)
    return profile_run, found


def _check_marker(profile_run: ProfileRun, found: Found) -> ProfileRun:
    """Notice a marker that is ahead of the database: that was restored from an older backup (rules 2.8).

    For a folder that this database has never seen it was lost, which needs nothing but the matching.
    """
    marker = folders.Marker.on(found.folder)
    if marker is None or marker.counter <= profile_run.profile.marker_counter:
        return profile_run
    if profile_run.profile.folder_id is None:
        return replace(profile_run, profile=replace(profile_run.profile, marker_counter=marker.counter))
    if not profile_run.restored:
        raise RestoredError(marker.counter)
    return profile_run


def _bind(profile_run: ProfileRun, found: Found) -> ProfileRun:
    profile = profile_run.profile
    name = folders.follow_name(profile_run.outlook, profile, found)
    names = _followed_names(profile_run, found, name)
    replaced = profile.folder_id not in (None, found.folder.id)
    values = {
        "graph_user_id": found.user,
        "folder_id": found.folder.id,
        "folder_made_by_sync": found.new or (profile.folder_made_by_sync and not replaced),
        "marker_counter": profile.marker_counter,
    }
    values |= second_folder.bound(profile, found.folder.id)
    with profile_run.transaction() as conn:
        profiles.bind_profile(conn, profile_run.id, **values)
        profiles.rename_followed(conn, names)
        if replaced:
            # A new folder is an emptied one: the guard's "suddenly empty" decides about what was in the old one.
            now, key = profile_run.services.now(), profile_run.id
            profiles.write_former_folder(conn, key, profile.folder_id or "", now=now)
            outlook_items.mark_all_gone_outlook(conn, key, at=now, reason=FOLDER_DELETED)
            runs.write_cursor(conn, "outlook", key, updated_at=now, position="", diffed_generation=None)
        return replace(profile_run, profile=profiles.read_profile(conn, profile_run.id))


def _followed_names(profile_run: ProfileRun, found: Found, name: str) -> dict[int, str]:
    with read(profile_run.engine) as conn:
        others = profiles.read_neighbours(conn, profile_run.profile)
    names = folders.follow_names(profile_run.outlook, profile_run.profile, found, name, others)
    if not names:
        logger.warning(
            "another profile of this mailbox has the folder's name: the profile keeps the one it has"
        )
    return names


def _look_for_second(profile_run: ProfileRun, found: Found) -> ProfileRun:
    """Notice a folder of the profile's own beside the bound one; an answer about the one that is known stays.

    Beside one that was made just now there is none: it would have been taken by its marker.
    """
    profile_run = profile_run.reread()
    known = profile_run.profile
    if known.second_answer or found.new:
        return profile_run
    with read(profile_run.engine) as conn:
        not_ours = second_folder.read_taken(conn, known, found.user)
        former = profiles.read_former_folders(conn, known.id)
    second = folders.find_second(
        profile_run.outlook, found, profile_run.company_key, taken=not_ours, former=former
    )
    second_id = second.id if second else ""
    return (
        profile_run
        if second_id == known.second_folder
        else profile_run.bind(second_folder=second_id, second_answer="")
    )


# -- a folder that is not there --------------------------------------------------------------------------------------


def _stage_emptied_folder(profile_run: ProfileRun) -> None:
    """A folder that is gone, or that another one took the place of, is an emptied one (rules 1)."""
    with profile_run.engine.begin() as conn:
        outlook_items.mark_all_gone_outlook(
            conn,
            profile_run.id,
            at=profile_run.services.now(),
            reason=FOLDER_DELETED,
            overlay=profile_run.run.overlay,
        )


def missing_folder(profile_run: ProfileRun) -> Found:
    """Return what stands for a folder that a dry run does not make: an empty one."""
    _stage_emptied_folder(profile_run)
    return Found(profile_run.profile.graph_user_id or "", Folder("", "", "", ""), new=True)
