"""The weekly mail: what does not sync of a colleague's contacts, to those colleagues who asked for it.

It goes in the first night of a week, Monday's, or in the first one after that in which it can be sent; one mail for all
profiles of one account that ask for it. This module says in codes what is to be told; who sends it puts it in words.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from sync_lib.errors import ConfigError
from sync_lib.ports import User
from sync_lib.services import Services
from sync_lib.store import clock, weekly_mail
from sync_lib.store.engine import read, transaction
from sync_lib.store.migrate import require_schema
from sync_lib.store.profiles import rows as profiles
from sync_lib.store.profiles.rows import Profile
from sync_lib.store.queries import rejects
from sync_lib.times import to_text

if TYPE_CHECKING:
    from sqlalchemy import Connection

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Left:
    """A contact, or a field of it, that does not sync.

    Attributes:
        contact: Its id, with its side.
        name: Name, or else address; "" where neither is stored, or its owner flagged the contact private.
        field: The field, "" for the whole contact.
        reason: Why, as a code.
        private: Its owner flagged it private in Outlook: nothing of it is told.
    """

    contact: tuple[str, str]
    name: str
    field: str
    reason: str
    private: bool = False


@dataclass(frozen=True, slots=True)
class About:
    """What does not sync in one profile; ``n`` is its place in the colleague's own list, from 1."""

    n: int
    company: str
    folder: str
    left: tuple[Left, ...]


@dataclass(frozen=True, slots=True)
class Letter:
    """What one colleague is to be told; ``language`` is the one that they asked for it in."""

    address: str
    language: str
    about: tuple[About, ...]


#: Sends a letter; returns False where it holds nothing that anybody has to know, so that nothing was sent.
Post = Callable[[Letter], bool]

#: So many failures in a row are those of a server that is away: waiting for it once for each colleague takes hours.
GIVE_UP = 5


def send_all(services: Services, zone: str, post: Post) -> Counter[str]:
    """Send the mails that are due; return how many were sent, had nothing to say, and failed.

    A profile has at most one mail in a week, whatever is tried again or runs twice (``store.weekly_mail``): only one
    that was sent by a worker which was lost before it could note that is sent once more. Whatever goes wrong with one
    colleague is logged, without name and address, and stops nobody else; that mail is tried again the next night. After
    some failures in a row (``GIVE_UP``) the others wait for that night too.

    Args:
        services: The staging database, and Microsoft Graph, which knows the address of an account today.
        zone: The time zone in which weeks begin.
        post: Sends one.
    """
    require_schema(services.engine)
    with read(services.engine) as conn:
        since = week_of(clock.now(conn), zone)
        due = weekly_mail.read_due(conn, since)
    counts = Counter({"sent": 0, "nothing to say": 0, "failed": 0})
    in_a_row = 0
    # By lot, so that addresses which no mail reaches are not before the same people every night.
    for user, keys in sorted(due.items(), key=lambda _: services.chance.random()):
        came = _send(services, user, keys, since, post)
        counts[came] += 1
        in_a_row = in_a_row + 1 if came == "failed" else 0
        if in_a_row == GIVE_UP:
            logger.warning(
                "%d mails in a row could not be sent: the others wait until the next night", GIVE_UP
            )
            break
    del counts["not its turn"]
    logger.info("weekly mail: %s", ", ".join(f"{count} {what}" for what, count in counts.items()))
    return counts


def week_of(now: str, zone: str) -> str:
    """Return when the week of a moment began: Monday at midnight in the time zone, as the database writes times."""
    local = datetime.fromisoformat(now).astimezone(ZoneInfo(zone))
    monday = (local - timedelta(days=local.weekday())).replace(hour=0, minute=0, second=0, microsecond=0)
    return to_text(monday.astimezone(ZoneInfo("UTC")))


def _send(services: Services, user: str, keys: list[int], since: str, post: Post) -> str:
    with transaction(services.engine) as conn:
        claimed = weekly_mail.claim(conn, keys, since)
    if not claimed:
        return "not its turn"
    try:
        # By the account: whoever was given its former address gets none of it.
        letter = _write(services, services.outlook.fetch_user(user), claimed)
        sent = any(each.left for each in letter.about) and post(letter)
    except Exception as error:  # noqa: BLE001 - recovered by going on: nobody waits for another colleague's mail
        # Messages of a mail server hold the address.
        which = ", ".join(map(str, sorted(claimed)))
        logger.warning("the weekly mail of profile %s was not sent: %s", which, type(error).__name__)
        with transaction(services.engine) as conn:
            weekly_mail.release(conn, list(claimed))
        return "failed"
    with transaction(services.engine) as conn:
        weekly_mail.finish(conn, list(claimed), sent=sent)
    return "sent" if sent else "nothing to say"


def _write(services: Services, account: User, claimed: dict[int, str]) -> Letter:
    with read(services.engine) as conn:
        own = profiles.read_own(conn, account.id, account.principal_name)
        about = tuple(
            About(n, each.company_name, each.folder_name, tuple(_left(conn, each)))
            for n, each in enumerate(own, 1)
            if each.id in claimed
        )
    address = account.mail or account.principal_name
    if not address:
        raise ConfigError(
            "Microsoft Graph shows no address of this account: grant the app User.ReadBasic.All."
        )
    return Letter(address, claimed[min(claimed)], about)


def _left(conn: Connection, profile: Profile) -> list[Left]:
    lines = rejects.iter_rejects(conn, rejects.Wanted(profile=profile.id))
    return [
        Left(
            (line.side, line.contact),
            "" if is_private else line.name or line.email,
            line.field,
            line.reason,
            is_private,
        )
        for line in lines
        # What a dry run would leave out is nobody's trouble yet.
        if not line.dry_run
        for is_private in (line.flagged_private or line.reason == "private_in_outlook",)
    ]
