"""What the next run would write if the Connection named the other field profile (rules 6): counts, and no values.

It is a dry run with that field profile, which reads both sides in full and is forgotten afterwards.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from sync_lib.errors import ConfigError
from sync_lib.fields.bc_columns import BC_COLUMNS
from sync_lib.fields.table import FIELD_MAPS
from sync_lib.logs import table
from sync_lib.model import Action, Mode, Outcome, ProfileResult, RunRequest
from sync_lib.operate.dry_runs import dry_run
from sync_lib.services import Services
from sync_lib.store.changes import read_of_run
from sync_lib.store.engine import read
from sync_lib.store.migrate import require_schema

_COLUMNS = ("mailbox", "company", "Outlook +/~/-", "BC +/~", "held", "not looked at")
_OUTLOOK = (Action.CREATE_OUTLOOK, Action.UPDATE_OUTLOOK, Action.DELETE_OUTLOOK)
_BC = (Action.CREATE_BC, Action.UPDATE_BC)
_UPDATES = {Action.UPDATE_OUTLOOK: "Outlook", Action.UPDATE_BC: "Business Central"}
#: Field -> what Business Central calls it.
_CAPTIONS = {
    row.name: "Street"
    if len(row.bc_columns) > 1
    else next(column.caption for column in BC_COLUMNS if column.name == row.bc_columns[0])
    for row in FIELD_MAPS
}


@dataclass(frozen=True, slots=True)
class Foreseen:
    """What would be written for one profile, or for all.

    Attributes:
        mailbox: Whose it is.
        company: The profile's company.
        writes: Action -> contacts.
        held: What would wait for a person: action -> contacts.
        fields: (side, field) -> contacts whose field would be written by an update.
        reason: Why the profile was not looked at, or "".
        message: The same in words.
    """

    mailbox: str = ""
    company: str = ""
    writes: Counter[str] = field(default_factory=Counter)
    held: Counter[str] = field(default_factory=Counter)
    fields: Counter[tuple[str, str]] = field(default_factory=Counter)
    reason: str = ""
    message: str = ""


@dataclass(frozen=True, slots=True)
class SwitchPreview:
    """What a switch would write: in all, and for each profile."""

    field_profile: str
    total: Foreseen
    profiles: list[Foreseen]

    def lines(self) -> list[str]:
        """Return a table of profiles, and what is written to which field."""
        head = f"With {self.field_profile}, the next run would write (nothing was written now):"
        rows = [_row(one) for one in [*self.profiles, replace(self.total, mailbox="in all")]]
        left = [f"{one.mailbox}: {one.message}" for one in self.profiles if one.message]
        return [head, *table([_COLUMNS, *rows]), *_field_lines(self.total), *left]


def preview_switch(services: Services, field_profile: str) -> SwitchPreview:
    """Return what the next run would write with another field profile; nothing is written, and nothing is stored.

    Raises:
        ConfigError: There is no enabled profile, or the Connection names that field profile already.
        SyncError: Business Central does not list its companies.
    """
    present = services.business_central_settings
    if present.field_profile == field_profile:
        raise ConfigError(f"The Connection business_central_default names {field_profile!r} already.")
    require_schema(services.engine)
    other = replace(
        services, business_central_settings=replace(present, field_profile=field_profile), worker=""
    )
    run = f"switch_preview__{other.worker}"
    request = RunRequest(run, Mode.FULL, dry_run=True, run_type="switch_preview")
    try:
        with dry_run(other, request) as results, read(other.engine) as conn:
            changes = read_of_run(conn, run)
            return SwitchPreview(field_profile, _in_all(changes), [_of(each, changes) for each in results])
    finally:
        other.close()


def _of(result: ProfileResult, changes: Iterable[dict[str, Any]]) -> Foreseen:
    if result.state not in ("done", "held"):
        reason = result.reason or result.state
        return Foreseen(result.mailbox, result.company, reason=reason, message=result.message)
    own = [change for change in changes if change["profile"] == result.profile]
    return _counted(Foreseen(result.mailbox, result.company), own)


def _in_all(changes: Sequence[dict[str, Any]]) -> Foreseen:
    """Count what all profiles would write; a contact of Business Central that several bring one value counts once."""
    distinct = {_written(change): change for change in reversed(changes)}
    return _counted(Foreseen(), distinct.values())


def _written(change: dict[str, Any]) -> tuple[object, ...]:
    if change["action"] != Action.UPDATE_BC:
        return change["plan"], change["n"]
    return change["bc_id"], tuple(sorted(change["after"].items()))


def _counted(found: Foreseen, changes: Iterable[dict[str, Any]]) -> Foreseen:
    for change in changes:
        action, outcome = Action(change["action"]), change["outcome"]
        if action not in _OUTLOOK + _BC or outcome not in (None, Outcome.HELD):
            continue
        counter = found.writes if outcome is None else found.held
        counter[action] += 1
        if action in _UPDATES and outcome is None:
            found.fields.update((_UPDATES[action], name) for name in change["after"])
    return found


def _row(found: Foreseen) -> tuple[str, ...]:
    def would(actions: Sequence[Action]) -> str:
        return "/".join(str(found.writes[action]) for action in actions)

    held = str(sum(found.held.values()))
    return found.mailbox, found.company, would(_OUTLOOK), would(_BC), held, found.reason


def _field_lines(found: Foreseen) -> list[str]:
    return [
        f"Updates in {side}: " + ", ".join(f"{_CAPTIONS[name]} {count}" for name, count in fields) + "."
        for side in _UPDATES.values()
        if (fields := sorted((name, count) for (where, name), count in found.fields.items() if where == side))
    ]
