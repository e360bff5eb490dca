"""What people have heard of by messages, so that they hear it once, and hear when it works again."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection, and_, delete, distinct, func, select

from sync_lib.store import clock, runs
from sync_lib.store import tables as t

#: Stands for the run as a whole among the profiles.
RUN = 0
_SCOPE = "messages"
_FAILING, _RECEIVERS, _REJECTS, _CREDENTIALS = "failing", "receivers", "not_synced_since", "credentials"
#: How often people hear of contacts that newly do not sync.
_BETWEEN = timedelta(hours=23)


@dataclass(frozen=True, slots=True)
class NewRejects:
    """How many contacts of one owner newly do not sync for one reason."""

    owner: str
    reason: str
    contacts: int


@dataclass(frozen=True, slots=True)
class Heard:
    """What people have heard of.

    Attributes:
        failing: Profile -> the reason of its failure; ``RUN`` stands for the run as a whole.
        first: These receivers have heard nothing yet.
    """

    failing: Mapping[int, str]
    first: bool


def read_heard(conn: Connection, receivers: Collection[str]) -> Heard:
    """Return what the receivers have heard of; others than last time have heard nothing."""
    if runs.read_fact(conn, _SCOPE, _RECEIVERS) != _named(receivers):
        return Heard({}, True)
    stored = json.loads(runs.read_fact(conn, _SCOPE, _FAILING) or "{}")
    return Heard({int(profile): reason for profile, reason in stored.items()}, False)


def write_heard(conn: Connection, receivers: Collection[str], failing: Mapping[int, str]) -> None:
    """Store what the receivers have heard of. Of profiles that do not sync any more nothing is kept."""
    now = clock.now(conn)
    p = t.sync_profile.c
    enabled = set(conn.scalars(select(p.id).where(p.enabled))) if failing else set()
    kept = {key: reason for key, reason in failing.items() if key == RUN or key in enabled}
    values = {_RECEIVERS: _named(receivers), _FAILING: json.dumps(kept, sort_keys=True)}
    for name, value in values.items():
        if runs.read_fact(conn, _SCOPE, name) != value:
            runs.write_fact(conn, _SCOPE, name, value, now)


def take_credentials(conn: Connection, receivers: Collection[str], said: Mapping[str, str]) -> set[str]:
    """Return of which credentials people have not heard yet what is to be said of them, and note that they do.

    Args:
        conn: Inside a transaction.
        receivers: Who hears of them; others than last time have heard nothing.
        said: What is to be said, by Connection: a text that is another one where there is something new to say.
    """
    stored = json.loads(runs.read_fact(conn, _SCOPE, _CREDENTIALS) or "{}")
    known = stored.get("said", {}) if stored.get("receivers") == _named(receivers) else {}
    new = {connection for connection, what in said.items() if known.get(connection) != what}
    if new:
        value = {"receivers": _named(receivers), "said": {**known, **said}}
        runs.write_fact(conn, _SCOPE, _CREDENTIALS, json.dumps(value, sort_keys=True), clock.now(conn))
    return new


def forget(conn: Connection) -> None:
    """Forget all of it, since nobody gets messages; whoever gets the next ones hears all that is wrong then."""
    c = t.fact.c
    if conn.scalar(select(func.count()).select_from(t.fact).where(c.scope == _SCOPE)):
        conn.execute(delete(t.fact).where(c.scope == _SCOPE))


def read_new_rejects(conn: Connection, *, first: bool) -> tuple[NewRejects, ...]:
    """Return who newly does not sync, most first, where a day has passed since this was asked; note that it was.

    The owner is the salesperson of a contact in Business Central, as its code; where there is none, the mailbox.

    Args:
        conn: Inside a transaction.
        first: Nobody has heard of any yet: all that do not sync are new.
    """
    now = clock.now(conn)
    since = "" if first else runs.read_fact(conn, _SCOPE, _REJECTS) or ""
    if since and datetime.fromisoformat(now) - datetime.fromisoformat(since) < _BETWEEN:
        return ()
    runs.write_fact(conn, _SCOPE, _REJECTS, now, now)
    r, p, bc = t.reject.c, t.sync_profile.c, t.bc_contact.c
    contact = and_(
        r.side == "business_central", bc.company == p.company, bc.overlay == "", bc.id == r.contact
    )
    owner = func.coalesce(func.nullif(bc.salesperson, ""), p.mailbox)
    contacts = func.count(distinct(r.contact))
    found = conn.execute(
        select(owner, r.reason, contacts)
        .select_from(t.reject)
        .join(t.sync_profile, p.id == r.profile)
        .outerjoin(t.bc_contact, contact)
        .where(r.since > since, p.enabled)
        .group_by(owner, r.reason)
        .order_by(contacts.desc(), owner, r.reason)
    )
    return tuple(NewRejects(*row) for row in found)


def _named(receivers: Collection[str]) -> str:
    return ",".join(sorted(receivers))
