"""What does not sync, and why: rejects in force by reason and by profile, and one by one with their contacts' names."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Select, and_, distinct, false, func, literal, or_, select, true, union_all

from sync_lib.store import tables as t
from sync_lib.store.queries import search

#: Profiles in the list of those with the most rejects.
MOST = 12

_CHUNK = 1000


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which rejects to show: of a reason, of a profile, with a part of a name or address; blank parts say nothing."""

    reason: str = ""
    profile: int | None = None
    text: str = ""


@dataclass(frozen=True, slots=True)
class ReasonCount:
    """How many contacts have a reason, and in how many profiles."""

    reason: str
    contacts: int
    profiles: int


@dataclass(frozen=True, slots=True)
class ProfileCount:
    """How many rejects a profile has."""

    id: int
    mailbox: str
    company: str
    rejects: int


@dataclass(frozen=True, slots=True)
class RejectLine:
    """One contact, or one field of it, that does not sync.

    ``name`` is "" where staging no longer holds the contact, ``next_try`` where a value must change first, ``number``
    where the contact is in Outlook. ``flagged_private`` is of an item that its owner flagged so.
    """

    profile: int
    mailbox: str
    company: str
    side: str
    contact: str
    field: str
    reason: str
    since: str
    name: str
    email: str
    dry_run: bool = False
    next_try: str = ""
    number: str = ""
    tenant_id: str = ""
    environment: str = ""
    flagged_private: bool = False

    @property
    def is_private(self) -> bool:
        """Whether it is an item of which neither name nor address is stored (rules 3)."""
        return self.side == "outlook" and self.reason == "private_in_outlook" and not self.name


def _every() -> Any:
    """The rejects in force, and beside them what dry runs would leave out that is not in force already."""
    r, dry = t.reject.c, t.dry_reject.c
    same = (r.profile == dry.profile, r.side == dry.side, r.contact == dry.contact, r.field == dry.field)
    is_in_force = select(r.profile).where(*same, r.reason == dry.reason).correlate(t.dry_reject).exists()
    keys = ("profile", "side", "contact", "field", "reason", "since")
    blanks = (literal("").label("name"), literal("").label("email"))
    in_force = select(*(r[key] for key in keys), *blanks, false().label("dry_run"))
    planned = select(*(dry[key] for key in keys), dry.name, dry.email, true().label("dry_run")).where(
        ~is_in_force
    )
    return union_all(in_force, planned).subquery("rejects")


def read_reasons(conn: Connection, wanted: Wanted) -> list[ReasonCount]:
    """Return the reasons with their counts, most frequent first; the wanted reason does not narrow them."""
    every = _every()
    r = every.c
    # A contact with two refused fields counts once per reason.
    contacts = select(r.reason, r.profile, r.side, r.contact).distinct()
    chosen = _chosen(contacts, every, Wanted("", wanted.profile, wanted.text)).subquery()
    count = func.count()
    counted = select(chosen.c.reason, count, func.count(distinct(chosen.c.profile))).group_by(chosen.c.reason)
    return [ReasonCount(*row) for row in conn.execute(counted.order_by(count.desc(), chosen.c.reason))]


def read_profiles_with_most(conn: Connection, wanted: Wanted) -> list[ProfileCount]:
    """Return the profiles with the most rejects; a wanted profile is the only one."""
    every = _every()
    r, p = every.c, t.sync_profile.c
    of_each = _chosen(select(r.profile, func.count().label("rejects")), every, wanted)
    chosen = of_each.group_by(r.profile).subquery()
    counted = select(p.id, p.mailbox, p.company_name, chosen.c.rejects).join(chosen, chosen.c.profile == p.id)
    counted = counted.order_by(chosen.c.rejects.desc(), p.mailbox, p.id).limit(MOST)
    return [ProfileCount(*row) for row in conn.execute(counted)]


def count_rejects(conn: Connection, wanted: Wanted) -> int:
    """Return the number of rejects."""
    every = _every()
    return conn.scalar(_chosen(select(func.count()).select_from(every), every, wanted)) or 0


def read_rejects(conn: Connection, wanted: Wanted, part: int, size: int) -> list[RejectLine]:
    """Return one part of the rejects, by profile."""
    rows = conn.execute(_lines(wanted, limit=size, offset=(part - 1) * size))
    return [RejectLine(*row) for row in rows]


def iter_rejects(conn: Connection, wanted: Wanted) -> Iterator[RejectLine]:
    """Yield all rejects, a thousand at a time in memory."""
    with conn.execution_options(yield_per=_CHUNK).execute(_lines(wanted)) as rows:
        for row in rows:
            yield RejectLine(*row)


def _lines(wanted: Wanted, **window: int) -> Select[Any]:
    # The page is cut by the table's own key before names are looked up: that costs the same for any number of rows.
    every = _every()
    r, p, bc, item = every.c, t.sync_profile.c, t.bc_contact.c, t.outlook_contact.c
    key = (r.profile, r.side, r.contact, r.field, r.dry_run)
    chosen = _chosen(select(every), every, wanted).order_by(*key)
    if window:
        chosen = chosen.limit(window["limit"]).offset(window["offset"])
    shown = chosen.subquery("shown")
    c = shown.c
    is_bc = and_(bc.company == p.company, bc.overlay == "", bc.id == c.contact, c.side == "business_central")
    is_item = and_(item.profile == c.profile, item.overlay == "", item.id == c.contact, c.side == "outlook")
    place, wait = t.company.c, t.postponed.c
    next_try = select(func.min(wait.next_try)).where(
        wait.profile == c.profile, wait.contact == c.contact, wait.code == c.reason
    )
    return (
        select(
            c.profile, p.mailbox, p.company_name, c.side, c.contact, c.field, c.reason, c.since,
            func.coalesce(bc.name, item.name, c.name), func.coalesce(bc.email, item.email_key, c.email), c.dry_run,
            func.coalesce(next_try.scalar_subquery(), ""), func.coalesce(bc.number, ""),
            func.coalesce(place.tenant_id, ""), func.coalesce(place.environment, ""),
            func.coalesce(item.private, false()),
        )
        .select_from(shown)
        .join(t.sync_profile, p.id == c.profile)
        .outerjoin(t.company, place.id == p.company)
        .outerjoin(t.bc_contact, is_bc)
        .outerjoin(t.outlook_contact, is_item)
        .order_by(c.profile, c.side, c.contact, c.field, c.dry_run)
    )  # fmt: skip


def _chosen(query: Select[Any], every: Any, wanted: Wanted) -> Select[Any]:
    r = every.c
    if wanted.reason:
        query = query.where(r.reason == wanted.reason)
    if wanted.profile is not None:
        query = query.where(r.profile == wanted.profile)
    return query.where(_holds(wanted.text, every)) if wanted.text else query


def _holds(text: str, every: Any) -> Any:
    """Whether mailbox, name or address holds a text; each asks for the contacts of its own side only."""
    r, p, bc, item = every.c, t.sync_profile.c, t.bc_contact.c, t.outlook_contact.c

    owner = select(p.id).where(p.id == r.profile)
    in_bc = select(bc.id).join(t.sync_profile, p.company == bc.company)
    in_bc = in_bc.where(
        p.id == r.profile, bc.overlay == "", bc.id == r.contact, search.holds(text, bc.name, bc.email)
    )
    in_outlook = select(item.id).where(item.profile == r.profile, item.overlay == "", item.id == r.contact)
    return or_(
        owner.where(search.holds(text, p.mailbox)).correlate(every).exists(),
        search.holds(text, r.name, r.email),
        and_(r.side == "business_central", in_bc.correlate(every).exists()),
        and_(
            r.side == "outlook",
            in_outlook.where(search.holds(text, item.name, item.email_key)).correlate(every).exists(),
        ),
    )
