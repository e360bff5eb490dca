"""What may stay apart at the end: what is held and what is refused, each its own field or action only."""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Engine, text

#: How the oracle calls a field where that is not the word of the staging database.
KNOWN_AS = {
    "mobile_phone": "mobile", "job_title": "job", "post_code": "post", "home_page": "home",
    "company_name": "company", "first_name": "first", "middle_name": "middle",
}  # fmt: skip
#: Where a country waits, what lies in it waits with it (rules 6).
_WITH_COUNTRY = ("city", "county", "post")


@dataclass
class Excuses:
    """What waits in one profile; contacts by either id."""

    #: Not synced as a whole, and why.
    whole: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    #: Actions that a person is asked about, or said no to.
    held: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    fields: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))

    def anything(self, each: str) -> bool:
        """Whether a contact has anything that waits."""
        return bool(self.whole[each] or self.held[each] or self.fields[each])

    def absence(self, *ids: str) -> bool:
        """Whether a contact may be missing in Outlook."""
        waits = {"create_outlook", "couple"}
        return any(self.whole[each] or waits & self.held[each] for each in ids)

    def presence(self, *ids: str) -> bool:
        """Whether an item may still be there, or its coupling as it was."""
        return any(self.whole[each] or "delete_outlook" in self.held[each] for each in ids)

    def keeps(self, *ids: str) -> bool:
        """Whether a pair may stay though its contact left the scope: while its edit waits for a person (rules 7.3b)."""
        return any(action.startswith("update") for each in ids for action in self.held[each])

    def difference(self, name: str, *ids: str) -> bool:
        """Whether a field may differ."""
        return any(self.whole[each] or name in self.fields[each] for each in ids)


def read(engine: Engine, profile: int) -> Excuses:
    """Read what waits in a profile."""
    found = Excuses()
    with engine.connect() as conn:
        held = conn.execute(
            text(
                "SELECT c.bc_id, c.outlook_id, c.action, c.after FROM change c JOIN hold h ON h.plan = c.plan"
                " WHERE c.outcome = 'held' AND h.state IN ('open', 'rejected') AND c.profile = :p"
            ),
            {"p": profile},
        ).mappings()
        for row in held:
            for key in filter(None, (row["bc_id"], row["outlook_id"])):
                found.held[key].add(row["action"])
                if not row["action"].startswith(("create", "delete")):
                    found.fields[key] |= known_as(json.loads(row["after"]))
        rejects = conn.execute(
            text("SELECT contact, field, reason FROM reject WHERE profile = :p"), {"p": profile}
        )
        for contact, name, reason in rejects:
            if name:
                found.fields[contact] |= known_as([name])
            else:
                found.whole[contact].add(reason)
    return found


def known_as(names: Any) -> set[str]:
    """Return fields of the staging database as the oracle calls them, and those that wait with them."""
    known = {KNOWN_AS.get(name, name) for name in names}
    return known | (set(_WITH_COUNTRY) if "country" in known else set())
