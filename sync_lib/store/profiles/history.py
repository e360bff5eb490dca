"""Who changed which setting of a profile, and when; written in the transaction that changes it."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, fields
from typing import Any

from sqlalchemy import Connection, func, insert, select

from sync_lib.fields.filters import from_written, to_written
from sync_lib.store import tables as t
from sync_lib.store.profiles.file import ProfileEntry

_NAMES = tuple(each.name for each in fields(ProfileEntry))

#: Who changes profiles by a file or from a terminal.
TERMINAL = "contact-sync"


@dataclass(frozen=True, slots=True)
class Author:
    """Who changes something, and the time."""

    name: str
    now: str


@dataclass(frozen=True, slots=True)
class SettingChange:
    """One setting, before and after; ``before`` of a new profile is the default."""

    column: str
    before: Any
    after: Any


@dataclass(frozen=True, slots=True)
class ProfileChange:
    """What one person changed at one time; ``is_new``: they made the profile."""

    at: str
    who: str
    is_new: bool
    settings: list[SettingChange]


def write_change(
    conn: Connection, profile: int, before: ProfileEntry | None, after: ProfileEntry, by: Author
) -> None:
    """Write down what differs; ``before`` is None for a new profile."""
    write_changes(conn, [(profile, before, after)], by)


def write_changes(
    conn: Connection, changes: Iterable[tuple[int, ProfileEntry | None, ProfileEntry]], by: Author
) -> None:
    """Write down what differs of many profiles: (id, before, after)."""
    rows = [
        {
            "profile": profile,
            "at": by.now,
            "who": by.name,
            "is_new": before is None,
            "settings": json.dumps(_changed(before, after), ensure_ascii=False),
        }
        for profile, before, after in changes
    ]
    if rows:
        conn.execute(insert(t.profile_change), rows)


def _changed(before: ProfileEntry | None, after: ProfileEntry) -> dict[str, list[Any]]:
    shown = before or ProfileEntry(after.mailbox, after.company_name)
    values = {name: [getattr(shown, name), getattr(after, name)] for name in _NAMES}
    changed = {name: pair for name, pair in values.items() if pair[0] != pair[1]}
    if "filter" in changed:
        changed["filter"] = [to_written(groups) for groups in changed["filter"]]
    return changed


def write_setting(
    conn: Connection, changes: Iterable[tuple[int, str]], column: str, value: str, by: Author
) -> None:
    """Write down what a person said of profiles that no file says: (id, what it was before)."""
    rows = [
        {
            "profile": profile,
            "at": by.now,
            "who": by.name,
            "is_new": False,
            "settings": json.dumps({column: [before, value]}, ensure_ascii=False),
        }
        for profile, before in changes
    ]
    if rows:
        conn.execute(insert(t.profile_change), rows)


def read_author(conn: Connection, profile: int, column: str) -> str:
    """Return who changed a setting last, "" where that is no longer known."""
    c = t.profile_change.c
    wanted = select(c.who).where(c.profile == profile, c.settings.contains(f'"{column}":', autoescape=True))
    return conn.scalar(wanted.order_by(c.at.desc(), c.id.desc()).limit(1)) or ""


def read_changes(conn: Connection, profile: int, limit: int) -> tuple[list[ProfileChange], int]:
    """Return the last changes of a profile, newest first, and how many there are."""
    c = t.profile_change.c
    wanted = select(c.at, c.who, c.is_new, c.settings).where(c.profile == profile)
    rows = conn.execute(wanted.order_by(c.at.desc(), c.id.desc()).limit(limit)).all()
    total = select(func.count()).select_from(t.profile_change).where(c.profile == profile)
    changes = [ProfileChange(at, who, is_new, _parsed(text)) for at, who, is_new, text in rows]
    return changes, int(conn.scalar(total) or 0)


def _parsed(text: str) -> list[SettingChange]:
    found = json.loads(text)
    if "filter" in found:
        found["filter"] = [from_written(written) for written in found["filter"]]
    if "categories" in found:
        found["categories"] = [tuple(templates) for templates in found["categories"]]
    return [SettingChange(column, *pair) for column, pair in found.items()]
