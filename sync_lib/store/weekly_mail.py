"""Who wants a mail each week about what does not sync, and whose turn it is to send it.

A mail is claimed, sent, and only then noted as sent, each in a transaction of its own. Of two runs at once, or a task
that is tried again, one has the claim, and what was sent is not due any more. A worker that is lost between sending
and noting leaves its claim behind: that one mail is sent a second time, and no other one is.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Connection, and_, func, or_, select, update

from sync_lib.store import clock
from sync_lib.store import tables as t
from sync_lib.store.bulk import among, upsert
from sync_lib.store.engine import is_postgresql

#: Seconds after which a claim is one of a worker that is lost: sending one mail takes minutes at the very most.
CLAIM = 3600.0

_W, _P = t.weekly_mail.c, t.sync_profile.c


@dataclass(frozen=True, slots=True)
class Choice:
    """What a colleague chose for a profile, and when the mail was last sent, None for never."""

    wanted: bool
    language: str
    sent_at: str | None


def read_choice(conn: Connection, profile: int) -> Choice:
    """Return what was chosen for a profile; who never chose wants none."""
    row = conn.execute(select(_W.wanted, _W.language, _W.sent_at).where(_W.profile == profile)).first()
    return Choice(*row) if row else Choice(False, "", None)


def choose(conn: Connection, profile: int, language: str, *, wanted: bool) -> None:
    """Store whether a colleague wants the mail about a profile, in the language of the page on which they said so.

    When it was last sent stays: who stops the mail and asks for it again gets no second one in that week.
    """
    new = upsert(is_postgresql(conn))(t.weekly_mail).values(
        profile=profile, wanted=wanted, language=language, chosen_at=clock.moment(conn)
    )
    values = {"wanted": new.excluded.wanted, "language": new.excluded.language}
    changed = new.on_conflict_do_update(index_elements=["profile"], set_=values)
    began = update(t.weekly_mail).where(_W.profile == profile, ~_W.wanted)
    if wanted:
        conn.execute(began.values(chosen_at=clock.moment(conn)))
    conn.execute(changed)


def read_due(conn: Connection, since: str) -> dict[str, list[int]]:
    """Return whose mail is due, by account: profiles for which it was asked before the week, and not done since.

    Args:
        conn: The staging database.
        since: When the week began.
    """
    account = func.lower(_P.graph_user_id)
    wanted = select(account, _P.id).join(t.weekly_mail, _W.profile == _P.id).where(_is_due(conn, since))
    found: dict[str, list[int]] = {}
    for user, profile in conn.execute(wanted.where(_P.enabled, account.is_not(None)).order_by(_P.id)):
        found.setdefault(user, []).append(profile)
    return found


def claim(conn: Connection, profiles: Collection[int], since: str) -> dict[int, str]:
    """Take the turn to send the mails of profiles that are still due; return each one's language."""
    due = update(t.weekly_mail).where(among(conn, _W.profile, profiles), _is_due(conn, since))
    taken = due.values(claimed_at=clock.moment(conn)).returning(_W.profile, _W.language)
    return {row.profile: row.language for row in conn.execute(taken)}


def finish(conn: Connection, profiles: Collection[int], *, sent: bool) -> None:
    """Note that the week of profiles is done with: the mail was sent, or there was nothing to say."""
    now = clock.now(conn)
    values = {"claimed_at": None, "done_at": now} | ({"sent_at": now} if sent else {})
    conn.execute(update(t.weekly_mail).where(among(conn, _W.profile, profiles)).values(values))


def release(conn: Connection, profiles: Collection[int]) -> None:
    """Give the turn back: the mail could not be sent, and the next night tries again."""
    conn.execute(update(t.weekly_mail).where(among(conn, _W.profile, profiles)).values(claimed_at=None))


def _is_due(conn: Connection, since: str) -> ColumnElement[bool]:
    is_free = or_(_W.claimed_at.is_(None), _W.claimed_at <= clock.moment(conn, -CLAIM))
    return and_(_W.wanted, _W.chosen_at < since, or_(_W.done_at.is_(None), _W.done_at < since), is_free)
