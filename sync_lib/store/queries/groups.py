"""What the page of groups shows: each with how many profiles it has, and what the last look came to."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, case, func, select

from sync_lib.store import tables as t
from sync_lib.store.profiles import groups
from sync_lib.store.profiles.groups import Group


@dataclass(frozen=True, slots=True)
class GroupLine:
    """A group, and how many of its people have a profile, or had one and left."""

    group: Group
    profiles: int = 0
    left: int = 0


def read_lines(conn: Connection) -> list[GroupLine]:
    """Return all groups in the order in which they were added; two queries, however many there are."""
    c, p = t.profile_group_member.c, t.sync_profile.c
    # One that has ended is no profile any more.
    is_here = c.left_at.is_(None) & p.id.is_not(None)
    counted = select(
        c.profile_group,
        func.sum(case((is_here, 1), else_=0)),
        func.sum(case((c.left_at.is_not(None), 1), else_=0)),
    ).select_from(
        t.profile_group_member.outerjoin(t.sync_profile, (p.id == c.profile) & p.ended_at.is_(None))
    )
    counted = counted.group_by(c.profile_group)
    counts = {row[0]: (int(row[1]), int(row[2])) for row in conn.execute(counted)}
    return [GroupLine(each, *counts.get(each.id, (0, 0))) for each in groups.read_groups(conn)]
