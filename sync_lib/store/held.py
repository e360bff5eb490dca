"""Held actions one by one: what is held, what a person said of it, and when that ends (rules 8.3).

An action is known by its class and its contact, never by its values; an approval is bound to its digest. The rows
outlive plans: what a person rejected is still known when the change log has forgotten it.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, bindparam, delete, insert, select, update

from sync_lib.fields.contact_keys import bc_key, email_key_digest, is_email_digest, item_key, item_of
from sync_lib.model import WHOLE_PLAN, Action, CouplingState, HeldAction, HeldState, HoldReason
from sync_lib.store import tables as t
from sync_lib.store.bulk import among

_OF_PROFILE = t.held_action.c.profile == bindparam("profile")
_HELD = select(t.held_action).where(_OF_PROFILE).order_by(t.held_action.c.id)
_WHOLE = (
    select(t.held_action.c.reason)
    .where(_OF_PROFILE, t.held_action.c.reason.in_(sorted(WHOLE_PLAN)))
    .where(t.held_action.c.action != Action.CREATE_BC)
    .limit(1)
)


def read_held(conn: Connection, profile: int) -> list[HeldAction]:
    """Return all that is held in a profile, and all that persons said of it, oldest first."""
    return [_of(row) for row in conn.execute(_HELD, {"profile": profile})]


def _of(row: Any) -> HeldAction:
    keys = frozenset(json.loads(row.known_by))
    return HeldAction(
        row.id, row.hold, row.action, row.guard_class, row.digest, row.reason, HeldState(row.state), keys
    )


def find_whole(conn: Connection, profile: int) -> str:
    """Return why a plan of a profile was held as a whole, while anything of that has not been carried out; else "".

    A create in BC is no part of it: it may wait for ever, and says nothing about pairs that differ.
    """
    return conn.scalar(_WHOLE, {"profile": profile}) or ""


@dataclass(frozen=True, slots=True)
class Seen:
    """A planned action that is held, or was: the row that knows it, if there is one, and what it is now."""

    known: HeldAction | None
    action: str
    guard_class: str
    digest: str
    reason: str
    keys: frozenset[str]


def write_waiting(conn: Connection, profile: int, hold: int, seen: Iterable[Seen], now: str) -> None:
    """Let actions wait in a hold: new ones, and what changed since a person decided about it."""
    new: list[dict[str, Any]] = []
    known: list[dict[str, Any]] = []
    for each in seen:
        before = each.known.keys if each.known else frozenset()
        values = {
            "hold": hold,
            "digest": each.digest,
            "reason": each.reason,
            "state": HeldState.OPEN,
            "known_by": json.dumps(sorted(each.keys | before)),
        }
        if each.known is None:
            who = {"profile": profile, "action": each.action, "guard_class": each.guard_class, "since": now}
            new.append(values | who)
        elif _differs(each.known, values):
            known.append(values | {"row": each.known.id})
    if new:
        conn.execute(insert(t.held_action), new)
    if known:
        names = ("hold", "digest", "reason", "state", "known_by")
        statement = update(t.held_action).where(t.held_action.c.id == bindparam("row"))
        conn.execute(statement.values({name: bindparam(name) for name in names}), known)


def _differs(known: HeldAction, values: dict[str, Any]) -> bool:
    before = (known.hold, known.digest, known.reason, known.state, json.dumps(sorted(known.keys)))
    return before != tuple(values[name] for name in ("hold", "digest", "reason", "state", "known_by"))


def learn_keys(conn: Connection, seen: Iterable[Seen]) -> None:
    """Remember what else the contacts of rejected actions are known by now."""
    rows = [
        {"row": each.known.id, "all": json.dumps(sorted(each.keys | each.known.keys))}
        for each in seen
        if each.known is not None and not each.keys <= each.known.keys
    ]
    if rows:
        statement = update(t.held_action).where(t.held_action.c.id == bindparam("row"))
        conn.execute(statement.values(known_by=bindparam("all")), rows)


def end_actions(conn: Connection, ids: Collection[int]) -> None:
    """Forget held actions: they were carried out, or nothing is left of them."""
    if ids:
        conn.execute(delete(t.held_action).where(among(conn, t.held_action.c.id, list(ids))))


# -- when it ends by itself ------------------------------------------------------------------------------------------


def find_ended(
    conn: Connection, profile: int, unplanned: Sequence[HeldAction], *, with_folder: str
) -> list[HeldAction]:
    """Return those of the held actions that a complete diff did not yield that have ended.

    Args:
        conn: Inside the transaction that has stored the couplings of the diff.
        profile: Whose.
        unplanned: What the diff did not yield.
        with_folder: Why an item counts as gone whose whole folder went: that ends nothing.
    """
    creates = [each for each in unplanned if each.action == Action.CREATE_BC]
    others = [each for each in unplanned if each.action != Action.CREATE_BC]
    away = _away(conn, profile) if any(each.state is HeldState.LEFT_AWAY for each in others) else frozenset()
    ended = [each for each in others if each.state is not HeldState.LEFT_AWAY or not each.keys & away]
    if creates:
        ended += _ended_creates(conn, profile, creates, with_folder)
    return ended


def _away(conn: Connection, profile: int) -> frozenset[str]:
    """Contacts of BC whose item is away, or went and is to be decided about."""
    c, item = t.coupling.c, t.outlook_contact.c
    here = (item.profile == c.profile, item.overlay == "", item.id == c.outlook_id, item.gone_since.is_(None))
    present = select(item.id).where(*here).correlate(t.coupling).exists()
    rows = conn.scalars(
        select(c.bc_id).where(c.profile == profile, (c.state == CouplingState.AWAY) | ~present)
    )
    return frozenset(bc_key(bc_id) for bc_id in rows)


def _ended_creates(
    conn: Connection, profile: int, creates: Sequence[HeldAction], with_folder: str
) -> list[HeldAction]:
    """A create ends by a coupling; one that nobody has rejected also when its item is gone, and no other is there."""
    items = sorted({item for each in creates for key in each.keys if (item := item_of(key))})
    tie, c = t.coupling.c, t.outlook_contact.c
    coupled = set(
        conn.scalars(select(tie.outlook_id).where(tie.profile == profile, tie.outlook_id.is_not(None)))
    )
    ours = (c.profile == profile, c.overlay == "")
    rows = conn.execute(
        select(c.id, c.gone_since, c.gone_reason).where(*ours, among(conn, c.id, items))
    ).all()
    present = {item_key(row.id) for row in rows if row.gone_since is None and row.id not in coupled}
    went = {item_key(row.id) for row in rows if row.gone_since is not None and row.gone_reason == with_folder}
    here = conn.execute(select(c.id, c.email_key).where(*ours, c.gone_since.is_(None), c.email_key != ""))
    present |= {email_key_digest(row.email_key) for row in here if row.id not in coupled}
    ties = {item_key(each) for each in coupled}
    asked = (HeldState.OPEN, HeldState.APPROVED)
    return [
        each
        for each in creates
        if not each.keys & present and (each.keys & ties or (each.state in asked and not each.keys & went))
    ]


def remember_first_look(conn: Connection, profile: int, now: str) -> None:
    """Remember what is in a folder that the sync did not make, before anything of it is compared."""
    c = t.outlook_contact.c
    here = (c.profile == profile, c.overlay == "", c.gone_since.is_(None))
    rows = [
        {
            "profile": profile,
            "action": Action.CREATE_BC,
            "guard_class": "creates",
            "reason": HoldReason.FIRST_LOOK,
            "state": HeldState.FIRST_LOOK,
            "known_by": json.dumps(sorted(_keys_of_item(row.id, row.email_key))),
            "since": now,
        }
        for row in conn.execute(select(c.id, c.email_key).where(*here))
    ]
    if rows:
        conn.execute(insert(t.held_action), rows)


def _keys_of_item(outlook_id: str, email_key: str) -> set[str]:
    return {item_key(outlook_id)} | ({email_key_digest(email_key)} if email_key else set())


# -- decisions -------------------------------------------------------------------------------------------------------


def decide(
    conn: Connection, hold: int, digests: Collection[str], *, approved: bool, by_person: bool
) -> list[HeldAction]:
    """Decide about the actions of a hold that are still what was shown; return them. The others go on waiting."""
    c = t.held_action.c
    waiting = select(t.held_action).where(c.hold == hold, c.state == HeldState.OPEN)
    rows = [row for row in conn.execute(waiting).all() if row.digest in set(digests)]
    for state in (HeldState.APPROVED, HeldState.REJECTED, HeldState.LEFT_AWAY):
        ids = [row.id for row in rows if _answer(row.reason, approved, by_person) is state]
        if ids:
            conn.execute(update(t.held_action).where(among(conn, c.id, ids)).values(state=state))
    if any(row.reason == HoldReason.FIRST_LOOK for row in rows):
        _decide_first_look(conn, rows[0].profile, hold, approved=approved)
    return [_of(row) for row in rows]


def _answer(reason: str, approved: bool, by_person: bool) -> HeldState:
    if approved:
        return HeldState.APPROVED
    # Nobody said that they are to stay away where nobody said anything in time.
    return HeldState.LEFT_AWAY if reason == HoldReason.EMPTIED and by_person else HeldState.REJECTED


def _decide_first_look(conn: Connection, profile: int, hold: int, *, approved: bool) -> None:
    """An answer about a folder is one about all of its first look, also of what could not go yet."""
    c = t.held_action.c
    rest = (c.profile == profile, c.state == HeldState.FIRST_LOOK)
    if approved:
        conn.execute(delete(t.held_action).where(*rest))
        return
    waiting = (c.profile == profile, c.state == HeldState.OPEN, c.reason == HoldReason.FIRST_LOOK)
    for some in (rest, waiting):
        conn.execute(update(t.held_action).where(*some).values(state=HeldState.REJECTED, hold=hold))


def reopen(conn: Connection, hold: int, into: int) -> None:
    """Let what a person rejected in a hold wait again, in the same hold or in the one that is open already."""
    c = t.held_action.c
    said_no = c.state.in_([HeldState.REJECTED, HeldState.LEFT_AWAY])
    conn.execute(update(t.held_action).where(c.hold == hold, said_no).values(state=HeldState.OPEN, hold=into))


# -- erasing ---------------------------------------------------------------------------------------------------------


def find_known_by(conn: Connection, profiles: Collection[int], keys: Collection[str]) -> list[int]:
    """Return the held actions of these profiles whose contact is known by these keys, and by no other id."""
    return [key for key, left in _without(conn, profiles, keys) if all(map(is_email_digest, left))]


def forget_keys(conn: Connection, profiles: Collection[int], keys: Collection[str]) -> None:
    """Take keys out of the held actions of contacts that have ids of their own, and stay held."""
    for key, left in _without(conn, profiles, keys):
        text = json.dumps(sorted(left))
        conn.execute(update(t.held_action).where(t.held_action.c.id == key).values(known_by=text))


def _without(
    conn: Connection, profiles: Collection[int], keys: Collection[str]
) -> list[tuple[int, set[str]]]:
    c, wanted = t.held_action.c, set(keys)
    rows = conn.execute(select(c.id, c.known_by).where(among(conn, c.profile, list(profiles))))
    known = [(row.id, set(json.loads(row.known_by))) for row in rows]
    return [(key, each - wanted) for key, each in known if each & wanted]
