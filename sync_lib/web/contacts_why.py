"""Why is this contact (not) in this Outlook folder? One sentence, with the rule, the run and the value that decided.

The staged row and the profile are judged here as the sync judges them; what only the sync can know (which of two
contacts keeps an address, what a service refused) is taken from what it wrote down.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sync_lib.errors import FilterSyntaxError
from sync_lib.fields.bc_columns import BcColumn
from sync_lib.fields.filters import Group, find_column, parse_filter
from sync_lib.model import Action, CouplingState, Direction, Origin, Outcome
from sync_lib.store.holds import DROPPED, HoldState
from sync_lib.store.queries.contacts import Note, Tie, Twin
from sync_lib.store.queries.plans import PLANNED, SENDING
from sync_lib.web.language import msg

IN, OUT, WAITS, FAILED = "in", "out", "waits", "failed"
STATES = {
    IN: msg("in the folder"),
    OUT: msg("not in the folder"),
    WAITS: msg("not yet"),
    FAILED: msg("failed"),
}


@dataclass(frozen=True, slots=True)
class Why:
    """One answer.

    Attributes:
        state: One of ``STATES``.
        rule: What decided, in a word or two; marked text.
        text: The sentence; marked text with places for ``values``.
        values: Texts, a number, a field's column (said in the reader's language), another answer to quote, or several,
            each on a line of its own.
        reason: A code whose plain words are put at ``%(why)s``.
        run: The run that decided, "" for none.
        at: When.
        hold: What waits for a person.
    """

    state: str
    rule: str
    text: str
    values: Mapping[str, Value] = field(default_factory=dict)
    reason: str = ""
    run: str = ""
    at: str | None = None
    hold: int | None = None


Value = str | int | BcColumn | Why | tuple[Why, ...]

_SCOPE, _REQUIRED, _PRIVACY = msg("Type"), msg("Required fields"), msg("Privacy")
_FILTER, _DIRECTION, _TIE = msg("Filter"), msg("Direction"), msg("Tied together")
_POLICY, _DELETED, _DUPLICATE = msg("Choice of the profile"), msg("Deleted"), msg("Duplicate")
_LEFT = msg("Left out")
_GUARD, _LAST, _PROFILE = msg("Guard"), msg("Last attempt"), msg("Profile")

_TIED = {
    Origin.MADE_BY_SYNC: msg("The sync made it in this folder and keeps both sides the same."),
    Origin.ADOPTED: msg("It was in this folder and tied to Business Central; both sides are kept the same."),
    Origin.MADE_BY_USER: msg("A colleague made it in this folder; both sides are kept the same."),
}
_RELEASED = {
    "deleted_in_bc_kept": msg(
        "It stays in this folder and syncs no more: it was deleted in Business Central, and the profile keeps such "
        "contacts, or the sync had not made this one."
    ),
    "left_scope_kept": msg(
        "It stays in this folder and syncs no more: it left the filter, and the profile keeps such contacts, or the "
        "sync had not made this one."
    ),
    "deleted_in_bc_edited_in_outlook": msg(
        "It stays in this folder and syncs no more: it was deleted in Business Central after an edit in Outlook."
    ),
    "left_scope_edited_in_outlook": msg(
        "It stays in this folder and syncs no more: it left the filter after an edit in Outlook."
    ),
}
MISSED = msg("The filter leaves it out: %(field)s is %(value)s, and the profile wants %(wanted)s.")
MISSED_ME = msg(
    "The filter leaves it out: %(field)s is %(value)s, and the profile wants %(wanted)s, which is %(me)s."
)
MISSED_GROUPS = msg("The filter leaves it out, since none of its groups holds it.%(groups)s")
_MISSING = {
    "name_missing": msg("It has no name in Business Central, and a name is required."),
    "email_missing": msg("It has no e-mail address in Business Central, and one is required."),
    "email_invalid": msg("Its first e-mail address in Business Central, %(email)s, is not a valid one."),
}
_ENDED = {
    Outcome.FAILED: msg("The last attempt failed (%(why)s); the next run tries again."),
    Outcome.REJECTED: msg("It was refused (%(why)s)."),
    Outcome.UNKNOWN: msg(
        "An earlier request has had no answer (%(why)s); it is looked for before anything is sent again."
    ),
    Outcome.SKIPPED: msg("The last run left it alone (%(why)s)."),
    SENDING: msg("A run is writing it now, or was stopped while it wrote it; the next run finds out."),
    PLANNED: msg("A run has planned it and not written it yet."),
}
_HELD = {
    HoldState.OPEN: msg("The guard holds its last change until a person decides (%(why)s)."),
    HoldState.REJECTED: msg("A person rejected its last change, and so it stays held (%(why)s)."),
    HoldState.APPROVED: msg(
        "A person approved its last change, and no run has carried it out yet (%(why)s)."
    ),
}


# -- contacts of Business Central ------------------------------------------------------------------------------------


def of_contact(row: Mapping[str, Any], tie: Tie, twins: Sequence[Twin], field_profile: str) -> list[Why]:
    """Return the answer for a contact of BC in one profile, and what else is to be said about it."""
    outside = _outside(row, tie, field_profile)
    if tie.left_at and (outside is None or outside.rule in (_FILTER, _REQUIRED)):
        return [_left_out(tie), *_stopped(tie), *_open(tie)]
    if tie.is_present and tie.state in (CouplingState.ACTIVE, CouplingState.PINNED):
        return [_live(row, tie, outside), *_stopped(tie), *_open(tie)]
    if tie.is_present and tie.state == CouplingState.RELEASED:
        note = next((note for note in tie.notes if note.reason in _RELEASED), None)
        text = _RELEASED.get(note.reason if note else "", msg("It stays in this folder and syncs no more."))
        return [_noted(Why(IN, _POLICY, text, at=tie.since), note)]
    if outside is not None:
        return [outside]
    return [next(_absent(row, tie, twins))]


def _left_out(tie: Tie) -> Why:
    """A person left it out: what became, or becomes, of its item."""
    text, state = msg("%(who)s left it out of this folder, where it is never made, changed or tied."), OUT
    if tie.is_present and tie.state == CouplingState.RELEASED:
        text, state = msg("%(who)s left it out: it stays in this folder and syncs no more."), IN
    elif tie.is_present:
        text, state = (
            msg("%(who)s left it out: the next run takes it out of the folder, or syncs it no more."),
            WAITS,
        )
    return Why(state, _LEFT, text, {"who": tie.left_by}, at=tie.left_at)


def _live(row: Mapping[str, Any], tie: Tie, outside: Why | None) -> Why:
    run = tie.changes[-1].run if tie.changes else ""
    if outside is None and tie.state == CouplingState.PINNED:
        text = msg("A colleague made it in this folder, and so it syncs whatever the filter says.")
        return Why(IN, _TIE, text, run=run, at=tie.since)
    if outside is None:
        return Why(IN, _TIE, _TIED[Origin(tie.origin)], run=run, at=tie.since)
    if row["problem"] and outside.rule == _REQUIRED:
        text = msg("It is in this folder, and nothing is written until this is fixed: %(why)s")
        return Why(IN, _REQUIRED, text, {"why": outside}, run=tie.run, at=tie.since)
    text = msg("It is still in this folder, and the next run looks after it: %(why)s")
    return Why(WAITS, outside.rule, text, {"why": outside}, run=tie.run, at=tie.since)


def _outside(row: Mapping[str, Any], tie: Tie, field_profile: str) -> Why | None:
    """Why the profile may not have this contact (rules 3 and 4), in the order in which the sync asks; else None."""
    done = [
        line
        for line in tie.changes
        if line.action == Action.DELETE_OUTLOOK and line.outcome == Outcome.DELETED
    ]
    run, at = (done[-1].run, done[-1].at) if done else (tie.run, None)
    if row["gone_since"]:
        return Why(OUT, _DELETED, msg("It was deleted in Business Central."), run=run, at=row["gone_since"])
    if row["privacy_blocked"] == "true":
        text = msg(
            "It is blocked for privacy in Business Central, and such contacts are in no Outlook folder."
        )
        return Why(OUT, _PRIVACY, text, run=run, at=at)
    if row["type"] != "Person":
        text = msg("It is of type %(type)s in Business Central, and only persons go to Outlook.")
        return Why(OUT, _SCOPE, text, {"type": row["type"]}, run=run, at=at)
    if tie.state != CouplingState.PINNED and (missed := _filtered(row, tie, field_profile)):
        return Why(OUT, _FILTER, *missed, run=run, at=at)
    if row["problem"]:
        return Why(OUT, _REQUIRED, _MISSING[row["problem"]], {"email": row["email"]}, run=run, at=at)
    return None


def _filtered(row: Mapping[str, Any], tie: Tie, field_profile: str) -> tuple[str, dict[str, Value]] | None:
    """Return what the contact misses of each group of the filter, as a sentence; None where it passes."""
    try:
        missed = [_missed(group, row, tie, field_profile) for group in tie.filter]
    except FilterSyntaxError:
        return msg("The filter of the profile cannot be understood."), {}
    failed = [values for values in missed if values is not None]
    if len(failed) < len(missed) or not failed:
        return None
    if len(failed) == 1:
        [values] = failed
        return MISSED_ME if "me" in values else MISSED, values
    groups = tuple(_of_group(number, values) for number, values in enumerate(failed, 1))
    return MISSED_GROUPS, {"groups": groups}


def _of_group(number: int, values: dict[str, Value]) -> Why:
    text = (
        msg("Group %(group)s: %(field)s is %(value)s, and the profile wants %(wanted)s, which is %(me)s.")
        if "me" in values
        else msg("Group %(group)s: %(field)s is %(value)s, and the profile wants %(wanted)s.")
    )
    return Why(OUT, _FILTER, text, values | {"group": number})


def _missed(group: Group, row: Mapping[str, Any], tie: Tie, field_profile: str) -> dict[str, Value] | None:
    """Return the first condition of a group that the contact does not fulfil, as values of a sentence, or None."""
    for name, expression in group:
        condition = parse_filter([[(name, expression)]], field_profile=field_profile)
        if condition.passes(row, me=tie.salesperson):
            continue
        column = find_column(name)
        value = row[column.name] if column else ""
        values: dict[str, Value] = {"field": column or name, "value": value, "wanted": expression}
        return values | ({"me": tie.salesperson} if "%me" in expression.casefold() else {})
    return None


def _absent(row: Mapping[str, Any], tie: Tie, twins: Sequence[Twin]) -> Iterator[Why]:
    """Yield why a contact that the profile may have is not in its folder, the decisive cause first."""
    yield from _stopped(tie)
    if tie.state == CouplingState.AWAY:
        text = msg(
            "It was deleted in Outlook, and the profile lets it stay away until Business Central changes it."
        )
        yield _noted(Why(OUT, _POLICY, text, run=tie.run), _note(tie, "stay_away"))
    if tie.direction == Direction.TO_BUSINESS_CENTRAL:
        text = msg("The profile writes to Business Central only; nothing new goes to Outlook.")
        yield Why(OUT, _DIRECTION, text, run=tie.run)
    if note := _note(tie, "duplicate_email_in_bc"):
        yield _noted(_duplicate(row, tie, twins), note)
    yield from _open(tie)
    yield from _unread(tie)
    if tie.state:
        text = msg("It was deleted in Outlook, and the next run makes it again.")
        yield Why(WAITS, _TIE, text, run=tie.run, at=tie.since)
    if tie.diffed is not None and row["generation"] > tie.diffed:
        text = msg("Business Central changed it after the profile was last compared; the next run makes it.")
        yield Why(WAITS, _PROFILE, text, run=tie.run, at=row["last_modified"])
    yield Why(WAITS, _PROFILE, msg("Nothing keeps it out: the next run makes it."), run=tie.run)


def _duplicate(row: Mapping[str, Any], tie: Tie, twins: Sequence[Twin]) -> Why:
    persons = [twin for twin in twins if twin.type == "Person" and not twin.is_blocked]
    persons.sort(key=lambda twin: (tie.profile not in twin.profiles, twin.number, twin.id))
    if not persons:
        text = msg(
            "Another contact of Business Central has the same e-mail address, %(email)s, and is the one that syncs."
        )
        return Why(OUT, _DUPLICATE, text, {"email": row["email"]})
    text = msg(
        "Contact %(number)s, %(name)s, has the same e-mail address, %(email)s, and is the one that syncs."
    )
    other = persons[0]
    return Why(OUT, _DUPLICATE, text, {"number": other.number, "name": other.name, "email": row["email"]})


# -- items of Outlook ------------------------------------------------------------------------------------------------


def of_item(row: Mapping[str, Any], tie: Tie) -> list[Why]:
    """Return why an item of the profile's folder is not in Business Central."""
    if row["gone_since"]:
        return [Why(OUT, _DELETED, msg("It is no longer in the folder."), at=row["gone_since"])]
    return [next(_not_in_bc(tie))]


def _not_in_bc(tie: Tie) -> Iterator[Why]:
    yield from _stopped(tie)
    if note := next((note for note in tie.notes if not note.field), None):
        yield _noted(
            Why(OUT, _LAST, msg("It does not go to Business Central (%(why)s)."), reason=note.reason), note
        )
    if tie.direction == Direction.TO_OUTLOOK:
        text = msg("The profile writes to Outlook only; what colleagues make in the folder stays there.")
        yield Why(OUT, _DIRECTION, text, run=tie.run)
    yield from _open(tie)
    yield from _unread(tie)
    yield Why(
        WAITS, _PROFILE, msg("Nothing keeps it out: the next run makes it in Business Central."), run=tie.run
    )


# -- shared ----------------------------------------------------------------------------------------------------------


def _stopped(tie: Tie) -> Iterator[Why]:
    if not tie.enabled:
        yield Why(OUT, _PROFILE, msg("The profile is switched off."))
    if tie.company_hold:
        text = msg("Nothing of the company syncs until a person decides (%(why)s).")
        yield Why(WAITS, _GUARD, text, reason="bc_count_dropped", hold=tie.company_hold)


def _unread(tie: Tie) -> Iterator[Why]:
    if tie.run_state == "failed":
        text = msg("The last run of the profile failed (%(why)s).")
        yield Why(FAILED, _PROFILE, text, reason=tie.run_reason or "no_outcome", run=tie.run)
    if tie.diffed is None:
        yield Why(WAITS, _PROFILE, msg("The profile has not been synced yet."), run=tie.run)


def _open(tie: Tie) -> Iterator[Why]:
    """Yield what became of the last actions that did not come to an end."""
    for line in tie.changes:
        if line.outcome == Outcome.HELD:
            if tie.hold:
                text = _HELD[HoldState(tie.hold_state)]
                yield Why(WAITS, _GUARD, text, {}, line.reason, line.run, line.at, tie.hold)
        elif line.outcome in _ENDED and line.reason not in ("superseded", DROPPED):
            state = WAITS if line.outcome in (SENDING, PLANNED, Outcome.SKIPPED) else FAILED
            yield Why(state, _LAST, _ENDED[line.outcome], reason=line.reason, run=line.run, at=line.at)


def _note(tie: Tie, reason: str) -> Note | None:
    return next((note for note in tie.notes if note.reason == reason), None)


def _noted(why: Why, note: Note | None) -> Why:
    """The answer with when, and in which run, the sync wrote it down."""
    if note is None:
        return why
    return Why(why.state, why.rule, why.text, why.values, why.reason, note.run, note.since, why.hold)
