"""Compiles, before a process forks, what the task of a profile with a change asks and tells the staging database.

Each line is a call as the task makes it, of a profile, company, run and plan that there are none of. A line too many
costs a moment of the scheduler's start; one too few, a millisecond of each task.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from sqlalchemy import Connection

from sync_lib.errors import ConfigError, LeaseLostError
from sync_lib.model import Coupling, CouplingState, Direction, Origin, Outcome
from sync_lib.store import (
    causes,
    changes,
    clock,
    companies,
    couplings,
    former_items,
    held,
    holds,
    leases,
    looking,
    postponed,
    rejects,
    runs,
    settled,
    undo,
    wishes,
)
from sync_lib.store import tables as t
from sync_lib.store.compiled import Rehearsal
from sync_lib.store.profiles import rows as profiles
from sync_lib.store.snapshots import bc_contacts, outlook_items, rows

_NOBODY = 0
_COMPANY = companies.CompanyRow(_NOBODY, "", "", "", "", "", 0, None, "")
_COUPLING = Coupling(1, "", None, None, None, Origin.MADE_BY_SYNC, CouplingState.ACTIVE)
_LEASE = leases.Lease("", "", 0)


def rehearse() -> None:
    """Compile it for both kinds of database; engines that are opened from now on use that."""
    for postgresql in (True, False):
        rehearsal = Rehearsal(postgresql=postgresql)
        _take_turns(rehearsal)
        _begin(rehearsal.conn)
        _read_folder(rehearsal.conn)
        _compare(rehearsal.conn)
        _store_plan(rehearsal.conn)
        _load(rehearsal.conn)
        _close(rehearsal.conn)
        rehearsal.keep()


def _take_turns(rehearsal: Rehearsal) -> None:
    leases.acquire_lease(rehearsal.engine, "", "", 1.0)
    leases.release_lease(rehearsal.engine, _LEASE)
    with suppress(LeaseLostError):
        leases.check_lease(rehearsal.conn, _LEASE)


def _begin(conn: Connection) -> None:
    runs.read_run(conn, "")
    runs.read_chunk(conn, "", "")
    profiles.find_profile(conn, _NOBODY)
    profiles.of_mailbox(conn, "", "")
    runs.write_profile_state(conn, "", _NOBODY, state="", started_at="", progress="")
    looking.begin(conn, _NOBODY)
    clock.now(conn)
    runs.read_cursor(conn, "", _NOBODY)
    runs.read_company_results(conn, "")
    with suppress(ConfigError):
        companies.read_company(conn, _NOBODY)
    companies.read_key(conn, _COMPANY)
    undo.read_open(conn, _NOBODY)
    wishes.read_wishes(conn, _NOBODY)
    held.read_held(conn, _NOBODY)
    held.find_whole(conn, _NOBODY)
    runs.read_fact(conn, "", "")
    changes.has_planned(conn, _NOBODY)
    changes.read_unsettled(conn, _NOBODY)
    changes.give_up_planned(conn, _NOBODY, "")


def _read_folder(conn: Connection) -> None:
    rows.lock(conn, t.sync_profile, _NOBODY)
    outlook_items.known_outlook(conn, _NOBODY, ids=[""])
    outlook_items.read_outlook_records(conn, _NOBODY, [""])
    outlook_items.outlook_row_ids(conn, _NOBODY, [""])
    outlook_items.stage_outlook(conn, _NOBODY, [], normaliser=0)
    _write_cursor(conn, "pending", "due_at")
    _write_cursor(conn, "position", "linked_at")


def _compare(conn: Connection) -> None:
    settled.read_unsettled(conn, _NOBODY, _NOBODY, 0, 1)
    look = settled.LookUp(conn, _NOBODY, _NOBODY)
    look.couplings_of("outlook_id", [""])
    look.couplings_of("bc_id", [""])
    look.emails_of([""])
    look.contacts_with([""])
    one: list[Any] = [_NOBODY]
    # A frame is made of one row that the database answers, and compiled before that.
    with suppress(ValueError):
        bc_contacts.read_scope(conn, _NOBODY, ids=[""])
    with suppress(ValueError):
        outlook_items.read_outlook(conn, _NOBODY, ids=[""])
    for direction in Direction:
        with suppress(ValueError):
            couplings.read_couplings(conn, _NOBODY, direction, one)
    couplings.read_categories(conn, _NOBODY, [], one)
    couplings.read_coupling_rows(conn, _NOBODY, one)
    bc_contacts.read_bc_rows(conn, _NOBODY, row_ids=one)
    bc_contacts.read_bc_rows(conn, _NOBODY, ids=[""])
    bc_contacts.read_bc_by_email(conn, _NOBODY, [""])
    bc_contacts.read_company_numbers(conn, _NOBODY, ["x"])
    bc_contacts.read_blocked(conn, _NOBODY)
    postponed.read(conn, _NOBODY)


def _store_plan(conn: Connection) -> None:
    settled.mark(conn, _NOBODY, settled.Marks([_NOBODY], [_NOBODY], [""], []))
    former_items.forget_settled(conn, _NOBODY, [])
    changes.read_recent(conn, _NOBODY)
    couplings.write_couplings(conn, _NOBODY, [_COUPLING], "")
    _write_cursor(conn, "diffed_generation", "settled_generation", "diffed_settings", "pending", "due_at")
    profiles.bind_profile(conn, _NOBODY, restored_by="")
    holds.read_open_hold(conn, _NOBODY)
    holds.close_holds(conn, _NOBODY)
    plan = dict.fromkeys(("run", "profile", "round", "mode", "dry_run", "fencing", "hash"))
    changes.write_plan(conn, plan, [])


def _load(conn: Connection) -> None:
    profiles.bind_profile(conn, _NOBODY, marker_counter=0)
    changes.begin_sending(conn, _NOBODY, [0], 0)
    changes.finish_changes(conn, _NOBODY, [(0, Outcome.UPDATED, "", "")])
    postponed.forget(conn, _NOBODY, [("", "")])


def _close(conn: Connection) -> None:
    rejects.replace_rejects(conn, _NOBODY, [], "", "")
    counters: dict[str, Any] = {"outcomes": {}, "read": 0}
    runs.write_comparison(conn, _NOBODY, "", counters, "", 0)
    couplings.count_attention(conn, _NOBODY)
    _write_cursor(conn, "pending", "contacts", "last_good_at", "due_at")
    causes.note_outcome(conn, _NOBODY, "done", "")
    ended = ("state", "reason", "message", "counters", "ended_at", "progress")
    runs.write_profile_state(conn, "", _NOBODY, **dict.fromkeys(ended))
    runs.read_profile_results(conn, "", [_NOBODY])


def _write_cursor(conn: Connection, *names: str) -> None:
    runs.write_cursor(conn, "", _NOBODY, updated_at="", **dict.fromkeys(names))
