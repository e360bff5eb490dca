"""Read a profile's folder into staging, and say whether anything of the profile has to be compared (rules 5)."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace

from sqlalchemy import Connection

from sync_lib.diff.context import DiffContext
from sync_lib.errors import AccessDeniedError, NotFoundError
from sync_lib.extract import folder as folder_reads
from sync_lib.extract.staging import must_compare
from sync_lib.model import Run
from sync_lib.run import folders
from sync_lib.run.folders import Found
from sync_lib.run.opening import find_folder, missing_folder
from sync_lib.run.profile_run import ProfileRun
from sync_lib.services import Services
from sync_lib.store import clock, held, runs
from sync_lib.store.engine import read
from sync_lib.store.profiles import rows as profiles
from sync_lib.store.profiles.rows import Profile
from sync_lib.store.runs import Cursor
from sync_lib.store.snapshots import outlook_items
from sync_lib.store.snapshots.rows import Version

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class FolderState:
    """A folder as a read left it: the profile's run, where the folder is, and how many rows changed."""

    profile_run: ProfileRun
    found: Found
    changed: int


def read_outlook(profile_run: ProfileRun, found: Found, context: DiffContext) -> FolderState:
    """Read the folder; where it went meanwhile, find it again.

    Raises:
        ProfileError: The mailbox is missing or closed to the app.
    """
    try:
        state = _read_folder(profile_run, found, context)
    except NotFoundError as error:
        if folders.is_mailbox_missing(error):
            raise folders.mailbox_error(profile_run.outlook, profile_run.profile, error) from error
        logger.info("the folder is gone: looking for it again")
        profile_run, again = find_folder(profile_run)
        if again is None:
            return FolderState(profile_run, missing_folder(profile_run), 1)
        return _read_folder(profile_run, again, context)
    except AccessDeniedError as error:
        if not error.in_form:
            raise
        raise folders.mailbox_error(profile_run.outlook, profile_run.profile, error) from error
    # An account that was restored answers again: nobody has to say anything about another one.
    now = state.profile_run
    note_successor(now.services, now.run, now.profile, "")
    return state


def note_successor(services: Services, run: Run, profile: Profile, successor: str) -> None:
    """Remember the account that a person is asked about, "" for none; a dry run asks nobody (rules 8.2)."""
    if profile.successor != successor and not run.dry_run:
        with services.engine.begin() as conn:
            profiles.bind_profile(conn, profile.id, successor=successor)


def _read_folder(profile_run: ProfileRun, found: Found, context: DiffContext) -> FolderState:
    with read(profile_run.engine) as conn:
        cursor = runs.read_cursor(conn, "outlook", profile_run.profile.id)

    def known(ids: list[str] | None) -> dict[str, outlook_items.KnownItem]:
        with read(profile_run.engine) as conn:
            return outlook_items.known_outlook(conn, profile_run.id, overlay=profile_run.run.overlay, ids=ids)

    target = folder_reads.KnownFolder(found.user, found.folder.id, known, found.new)
    # Fingerprints that are made of something else now are renewed by a full read, and never taken for edits.
    full = profile_run.is_full or profile_run.is_restored or cursor.version != context.mapper.version
    # A dry run binds no folder: the cursor is still that of the one before.
    full = full or found.folder.id != profile_run.profile.folder_id
    with read(profile_run.engine) as conn:
        began = clock.now(conn)
    got = folder_reads.fetch_folder(profile_run.outlook, target, cursor.position, full=full)
    with profile_run.transaction() as conn:
        changed, stored = folder_reads.stage_folder(conn, got, profile_run.staging(context, began))
        profile_run = _look_first(conn, profile_run, found.folder.id)
    if stored:
        _judge(profile_run, found, context, got, stored, began)
    return FolderState(profile_run, found, changed + len(stored))


def _judge(  # noqa: PLR0913 - what the read found, and where it is staged
    profile_run: ProfileRun,
    found: Found,
    context: DiffContext,
    got: folder_reads.FolderRead,
    stored: dict[str, Version],
    began: str,
) -> None:
    """Ask for the items whose order in time two stamps do not show (rules 5)."""
    items = profile_run.outlook.fetch_contacts(found.user, sorted(stored), found.folder.id)
    with profile_run.transaction() as conn:
        staging = profile_run.staging(context, began)
        folder_reads.stage_looked_up(conn, found.folder.id, items, staging, force=stored)
        must_compare(conn, staging)
        folder_reads.move_folder_cursor(conn, got, staging)


def _look_first(conn: Connection, profile_run: ProfileRun, folder: str) -> ProfileRun:
    """Remember what was in the user's own folder before the sync came, once it is staged (rules 8.3)."""
    if profile_run.run.dry_run or profile_run.profile.looked_at == folder:
        return profile_run
    if is_first_look(profile_run, folder):
        held.remember_first_look(conn, profile_run.id, profile_run.services.now())
    profiles.bind_profile(conn, profile_run.id, looked_at=folder)
    return replace(profile_run, profile=replace(profile_run.profile, looked_at=folder))


def is_first_look(profile_run: ProfileRun, folder: str) -> bool:
    """Whether nobody has looked into a folder yet that the sync did not make."""
    return profile_run.profile.looked_at != folder and not profile_run.profile.folder_made_by_sync


# -- whether anything changed ----------------------------------------------------------------------------------------


def inputs_unchanged(profile_run: ProfileRun, cursor: Cursor) -> bool:
    """Whether a diff would see what the last one saw."""
    return (
        not profile_run.is_full
        # What a dry run read of BC is in its overlay, which moves no generation.
        and not profile_run.run.dry_run
        and not cursor.pending
        and not profile_run.profile.restored_by
        and not profile_run.wanted.keys
        and not profile_run.wishes.keys
        and cursor.diffed_generation == profile_run.company.generation
        and cursor.diffed_settings == profile_run.settings_digest()
    )
