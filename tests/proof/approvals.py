"""Judges that nothing above a limit is written before a person approved it, and as it was shown (I19)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, text

from tests.proof.excuses import known_as

#: Fields of a new contact that have to be as they were shown, and how the staging database calls them.
SHOWN = {"name": "name", "email": "email", "job": "job_title"}


@dataclass
class Approvals:
    """What persons approved, in a history whose limits may be none at all."""

    settings: Mapping[str, Any]
    #: Contacts of Business Central whose items may be deleted.
    deletes: set[str] = field(default_factory=set)
    #: Values with which contacts may be created in Business Central.
    creates: list[dict[str, str]] = field(default_factory=list)

    #: Contacts of Business Central and fields of their items that may be replaced, and contacts made again.
    overwrites: set[tuple[str, str]] = field(default_factory=set)
    #: The same for values of Business Central.
    overwrites_bc: set[tuple[str, str]] = field(default_factory=set)
    recreates: set[str] = field(default_factory=set)

    @property
    def every_overwrite_waits(self) -> bool:
        """Whether not even one value that is nobody's baseline may be replaced by itself."""
        return self._is_none("guard_overwrites")

    @property
    def every_delete_waits(self) -> bool:
        """Whether not even one delete may go by itself."""
        many = self._is_none("guard_deletes")
        few = self.settings.get("guard_few_deletes", 3) <= 1
        return many or (few and self.settings.get("guard_few_deletes_percent") == 0)

    @property
    def every_create_waits(self) -> bool:
        """Whether not even one contact may be created in Business Central by itself."""
        return self._is_none("guard_creates")

    def _is_none(self, name: str) -> bool:
        return bool(self.settings.get(name) == 0 and self.settings.get(f"{name}_percent") == 0)

    def approve(self, conn: Connection, hold: int) -> None:
        """Note what a question shows that a person says yes to."""
        shown = conn.execute(
            text(
                "SELECT c.action, c.bc_id, c.after FROM change c JOIN hold h ON h.plan = c.plan"
                " WHERE h.id = :hold AND c.outcome = 'held'"
            ),
            {"hold": hold},
        )
        for action, bc_id, after in shown:
            if action == "delete_outlook":
                self.deletes.add(bc_id)
            elif action == "create_business_central":
                self.creates.append(json.loads(after))
            elif action == "create_outlook":
                self.recreates.add(bc_id)
            elif action == "update_outlook":
                self.overwrites |= {(bc_id, name) for name in known_as(json.loads(after))}
            elif action == "update_business_central":
                self.overwrites_bc |= {(bc_id, name) for name in known_as(json.loads(after))}

    def was_shown(self, values: Mapping[str, str], normal: Any) -> bool:
        """Whether a person approved a contact with these values."""
        return any(
            all(
                normal(name, values[name]) == normal(name, after.get(known, ""))
                for name, known in SHOWN.items()
            )
            for after in self.creates
        )
