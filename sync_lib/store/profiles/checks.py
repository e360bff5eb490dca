"""What the last connection check of each profile found, for the profile's page."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import Any

from sqlalchemy import Connection, delete, insert, select

from sync_lib.store import tables as t


@dataclass(frozen=True, slots=True)
class Said:
    """A text with the places of ``values``, which a page translates; or a service's own words, without values."""

    template: str
    values: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Line:
    """One thing that was looked at.

    Attributes:
        kind: What was looked at: ``staging``, ``mailbox`` ...
        ok: Nothing is wrong with it.
        reason: Why not, as a code; "" where there is none.
        detail: What was found.
        remedy: What a person can do.
        unknown: Not ok, and not wrong either.
    """

    kind: str
    ok: bool
    reason: str
    detail: Said
    remedy: Said
    unknown: bool = False


@dataclass(frozen=True, slots=True)
class ProfileCheck:
    """One check of a profile, and the run that made it."""

    run: str
    at: str
    lines: list[Line]

    @property
    def wrong(self) -> int:
        """How many lines something is wrong with."""
        return sum(not (line.ok or line.unknown) for line in self.lines)

    @property
    def unknown(self) -> int:
        """How many lines nothing is known of."""
        return sum(line.unknown for line in self.lines)


def write_check(conn: Connection, profile: int, run: str, at: str, lines: list[Line]) -> None:
    """Write down what a check found, in place of the one before."""
    conn.execute(delete(t.profile_check).where(t.profile_check.c.profile == profile))
    text = json.dumps([asdict(line) for line in lines], ensure_ascii=False)
    conn.execute(insert(t.profile_check).values(profile=profile, run=run, at=at, lines=text))


def read_check(conn: Connection, profile: int) -> ProfileCheck | None:
    """Return the last check of a profile, or None."""
    c = t.profile_check.c
    row = conn.execute(select(c.run, c.at, c.lines).where(c.profile == profile)).first()
    return ProfileCheck(row.run, row.at, [_line(line) for line in json.loads(row.lines)]) if row else None


def _line(values: dict[str, Any]) -> Line:
    texts = {name: Said(**values[name]) for name in ("detail", "remedy")}
    return Line(**values | texts)
