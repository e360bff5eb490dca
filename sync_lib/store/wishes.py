"""What a person wants of one contact in one profile: that it is left out, taken back, or synced at once.

Nothing here holds a value of a contact. What is left out stays so until somebody takes it back; a wish to sync stays
until a run has gone through it, so that a run that broke off is made up for by the next one.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, Select, bindparam, insert, select, update

from sync_lib.errors import ConfigError
from sync_lib.fields.normal_forms import email_key
from sync_lib.model import CouplingState
from sync_lib.store import tables as t
from sync_lib.store.profiles.history import Author
from sync_lib.store.profiles.rows import Profile

#: Why a contact that was left out is not synced.
LEFT_OUT = "left_out"

_L, _W = t.left_out.c, t.wish.c


@dataclass(frozen=True, slots=True)
class LeftOut:
    """That a contact was left out: who and when, and who took it back, if anybody has."""

    left_by: str
    left_at: str
    back_by: str = ""
    back_at: str | None = None


@dataclass(frozen=True, slots=True)
class Wishes:
    """What persons want of single contacts of a profile now.

    Attributes:
        left_out: Contacts of BC that are left out.
        keys: Wishes to sync a contact.
        wished: The contacts that they name: system ids, or immutable ids.
    """

    left_out: frozenset[str] = frozenset()
    keys: tuple[int, ...] = ()
    wished: frozenset[str] = field(default_factory=frozenset)


_LEFT_OUT = select(_L.bc_id).where(_L.profile == bindparam("profile"), _L.back_at.is_(None))

_WISHED = select(_W.id, _W.contact).where(_W.profile == bindparam("profile"), _W.ended_at.is_(None))


def read_wishes(conn: Connection, profile: int) -> Wishes:
    """Return what persons want of single contacts of a profile now."""
    rows = conn.execute(_WISHED, {"profile": profile}).all()
    keys, wished = tuple(row.id for row in rows), frozenset(row.contact for row in rows)
    return Wishes(read_left_out(conn, profile), keys, wished)


def read_left_out(conn: Connection, profile: int) -> frozenset[str]:
    """Return the contacts of BC that are left out of a profile's folder."""
    return frozenset(conn.scalars(_LEFT_OUT, {"profile": profile}))


def read_history(
    conn: Connection, bc_id: str, profiles: Collection[int], limit: int
) -> Mapping[int, list[LeftOut]]:
    """Return how often a contact was left out of the folders of some profiles, the newest first."""
    columns = (_L.profile, _L.left_by, _L.left_at, _L.back_by, _L.back_at)
    wanted = select(*columns).where(_L.bc_id == bc_id, _L.profile.in_(profiles))
    found: dict[int, list[LeftOut]] = {}
    for profile, *values in conn.execute(wanted.order_by(_L.id.desc()).limit(limit)):
        found.setdefault(profile, []).append(LeftOut(*values))
    return found


# -- what a person says ----------------------------------------------------------------------------------------------


def leave_out(conn: Connection, profile: Profile, bc_id: str, by: Author) -> None:
    """Leave a contact of BC out of a profile's folder, until somebody takes it back.

    Raises:
        ConfigError: The profile has ended.
    """
    _refuse_ended(profile)
    if conn.execute(_of(profile, bc_id)).first() is not None:
        return
    c = t.coupling.c
    state = conn.scalar(select(c.state).where(c.profile == profile.id, c.bc_id == bc_id))
    who = {"left_by": by.name, "left_at": by.now, "was_pinned": state == CouplingState.PINNED}
    conn.execute(insert(t.left_out).values(profile=profile.id, bc_id=bc_id, **who))


def take_back(conn: Connection, profile: Profile, bc_id: str, by: Author) -> None:
    """Let a contact that was left out sync as if it never had been.

    Raises:
        ConfigError: It is not left out, or the profile has ended.
    """
    _refuse_ended(profile)
    row = conn.execute(_of(profile, bc_id)).first()
    if row is None:
        raise ConfigError(f"{profile.mailbox}: this contact is not left out.")
    back = update(t.left_out).where(_L.id == row.id)
    conn.execute(back.values(back_by=by.name, back_at=by.now))
    if row.was_pinned:
        # The filter does not hold it: in scope it is by having been pinned alone (rules 2.1).
        c = t.coupling.c
        released = (c.profile == profile.id, c.bc_id == bc_id, c.state == CouplingState.RELEASED)
        pinned = {"state": CouplingState.PINNED, "attention": True}
        conn.execute(update(t.coupling).where(*released).values(pinned))


def ask_sync(conn: Connection, profile: Profile, contact: str, by: Author) -> None:
    """Let the next run of a profile try a contact, whatever it is held off for.

    Raises:
        ConfigError: The contact is left out, or the profile is switched off or has ended.
    """
    _refuse_ended(profile)
    if not profile.enabled:
        raise ConfigError(f"{profile.mailbox}: this profile is switched off.")
    if conn.execute(_of(profile, contact)).first() is not None:
        raise ConfigError(f"{profile.mailbox}: this contact is left out. Take it back first.")
    same = (_W.profile == profile.id, _W.contact == contact, _W.ended_at.is_(None))
    if conn.scalar(select(_W.id).where(*same)) is None:
        row = {"profile": profile.id, "contact": contact, "asked_by": by.name, "asked_at": by.now}
        conn.execute(insert(t.wish).values(row))


def end_wishes(conn: Connection, keys: Collection[int], run: str, now: str) -> None:
    """Record that a run has gone through wishes."""
    if keys:
        ended = update(t.wish).where(_W.id.in_(keys), _W.ended_at.is_(None))
        conn.execute(ended.values(ended_at=now, ended_run=run))


def find_contact(conn: Connection, profile: Profile, *, bc_id: str = "", address: str = "") -> str:
    """Return the id of a contact of a profile's company, by that id or by its address.

    Raises:
        ConfigError: There is none, or several have the address.
    """
    c = t.bc_contact.c
    here = (c.company == profile.company, c.overlay == "", c.gone_since.is_(None))
    named = c.id == bc_id.strip().lower() if bc_id else c.email_key == (email_key(address) or None)
    found = [str(key) for key in conn.scalars(select(c.id).where(*here, named).order_by(c.number))]
    if len(found) > 1:
        raise ConfigError(f"{len(found)} contacts have this address. Name one by --bc-id: {', '.join(found)}")
    if not found:
        raise ConfigError(f"{profile.mailbox}: its company has no such contact, as far as it has been read.")
    return found[0]


def _of(profile: Profile, bc_id: str) -> Select[Any]:
    columns = (_L.id, _L.was_pinned)
    return select(*columns).where(_L.profile == profile.id, _L.bc_id == bc_id, _L.back_at.is_(None))


def _refuse_ended(profile: Profile) -> None:
    if profile.ended_at:
        raise ConfigError(f"{profile.mailbox}: this profile has ended.")
