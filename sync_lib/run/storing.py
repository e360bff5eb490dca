"""Judge a round's plan by the guard and store it, in one transaction: what was counted is reserved by it (8.3)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from sqlalchemy import Connection

from sync_lib.diff import guard
from sync_lib.model import Coupling, HeldAction, Plan
from sync_lib.run import holding, read_settled
from sync_lib.run.arrival import note_edits
from sync_lib.run.books import Progress
from sync_lib.run.compare import Compared
from sync_lib.run.folders import Found
from sync_lib.run.profile_run import ProfileRun
from sync_lib.run.reading import is_first_look
from sync_lib.store import former_items, held, runs
from sync_lib.store.changes import give_up_planned, write_plan
from sync_lib.store.couplings import end_couplings, write_couplings
from sync_lib.store.profiles import rows as profiles
from sync_lib.store.snapshots import bc_contacts


def store_plan(compared: Compared, found: Found, number: int, progress: Progress) -> tuple[ProfileRun, int]:
    """Judge and store the plan of a round.

    Args:
        compared: What it was compared with; the changes of its plan become what the guard made of them.
        found: The folder.
        number: The round, from 1.
        progress: What the run has come to so far.

    Returns:
        The profile's run, and the stored plan's key; 0 where nothing had to be stored.

    Raises:
        LeaseLostError: Another worker took over.
    """
    profile_run, plan = compared.profile_run, compared.plan
    values = {
        "run": profile_run.run.id,
        "profile": profile_run.id,
        "round": number,
        "mode": profile_run.run.mode,
        "dry_run": profile_run.run.dry_run,
        "fencing": profile_run.lease.fencing,
    }
    with profile_run.transaction() as conn:
        known = held.read_held(conn, profile_run.id)
        circumstances = _circumstances(conn, profile_run, found, plan, known, progress)
        verdict = guard.hold(plan.changes, circumstances, profile_run.services.settings)
        plan.changes = verdict.changes
        if profile_run.run.dry_run:
            return profile_run, write_plan(conn, values, plan.changes) if plan.changes else 0
        settled = read_settled.mark(conn, profile_run, compared.view)
        end_couplings(conn, [coupling.id for coupling in plan.ended])
        former_items.remember(conn, profile_run.id, plan.settled)
        blocked = bc_contacts.read_blocked(conn, profile_run.company.id)
        former_items.forget_settled(conn, profile_run.id, blocked)
        couplings = write_couplings(conn, profile_run.id, plan.couplings, profile_run.services.now())
        _give_ids(plan, couplings)
        _note_edits(conn, profile_run, plan)
        profile_run = _save_inputs(conn, profile_run, settled)
        return profile_run, holding.store(conn, verdict, known, holding.Stored(values, number == 1))


def _circumstances(  # noqa: PLR0913 - what the guard is given, and whence
    conn: Connection,
    profile_run: ProfileRun,
    found: Found,
    plan: Plan,
    known: Sequence[HeldAction],
    progress: Progress,
) -> guard.Circumstances:
    assert progress.base is not None
    return holding.read_circumstances(
        conn,
        profile_run.id,
        profile_run.company.id,
        plan.changes,
        known=known,
        live=progress.base[0],
        present=progress.base[1],
        whole=profile_run.held_as_a_whole(),
        first_look=profile_run.run.dry_run and is_first_look(profile_run, found.folder.id),
    )


def _note_edits(conn: Connection, profile_run: ProfileRun, plan: Plan) -> None:
    if plan.changes:
        last_good_at = runs.read_cursor(conn, "outlook", profile_run.id).last_good_at
        note_edits(plan.changes, last_good_at, profile_run.services.settings.overlap)


def _save_inputs(conn: Connection, profile_run: ProfileRun, settled: int | None) -> ProfileRun:
    """Store what the diff saw; that its plan is to be carried out yet says ``pending``."""
    runs.write_cursor(
        conn,
        "outlook",
        profile_run.id,
        updated_at=profile_run.services.now(),
        diffed_generation=profile_run.company.generation,
        settled_generation=settled,
        diffed_settings=profile_run.settings_digest(),
        pending=True,
    )
    # From here on the hold that is opened with it says so.
    profiles.bind_profile(conn, profile_run.id, restored_by="")
    if profile_run.restored:
        profiles.bind_profile(conn, profile_run.id, marker_counter=profile_run.restored)
        profile_run = replace(
            profile_run, profile=replace(profile_run.profile, marker_counter=profile_run.restored)
        )
        give_up_planned(conn, profile_run.id, "superseded")
    return profile_run


def _give_ids(plan: Plan, couplings: Sequence[Coupling]) -> None:
    """Let the changes know the couplings that the plan has stored for them, so that the load updates those."""
    ids = {coupling.bc_id: coupling.id for coupling in couplings}
    for change in plan.changes:
        if change.coupling is not None and not change.coupling.id and change.bc_id in ids:
            change.coupling = replace(change.coupling, id=ids[change.bc_id])
