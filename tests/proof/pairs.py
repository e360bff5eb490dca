"""Follows couplings from run to run: who displaced whom, what stays away, and what is made again (I3, I5, I19)."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sqlalchemy import Engine, text

from tests.proof.excuses import KNOWN_AS
from tests.proof.mapped import normal
from tests.proof.verdict import check

if TYPE_CHECKING:
    from tests.proof.oracle import Item, Scene

#: A profile's key in the staging database, and a contact's id in Business Central.
Key = tuple[int, str]
LIVE = ("active", "pinned")


@dataclass
class Pairs:
    """Couplings as the last run left them; what is forgotten with a database is forgotten here too."""

    known: dict[Key, Mapping[str, Any]] = field(default_factory=dict)
    #: What Business Central held of a contact when its item went away; None where nobody knows.
    away: dict[Key, dict[str, str] | None] = field(default_factory=dict)
    #: What went away since its profile said so, or when nobody looked.
    by_policy: set[Key] = field(default_factory=set)
    #: What a person asked for after it went away.
    asked_for: set[Key] = field(default_factory=set)
    #: What a person wanted synced at once since it went away, of profiles that may write to Outlook.
    wished: set[Key] = field(default_factory=set)
    #: Ids of folders and items of mailboxes that moved to another server, as they were -> as they are.
    renamed: dict[str, str] = field(default_factory=dict)

    def forget(self) -> None:
        """Another database takes the place of the one that was followed, or a person has changed what it knows."""
        self.known.clear()
        self.away.clear()
        self.by_policy.clear()
        self.wished.clear()

    def wish(self, key: Key) -> None:
        """A person wants a contact synced at once: one that stays away comes back (rules 7.1)."""
        self.asked_for.add(key)
        if key in self.away:
            self.wished.add(key)

    def rename(self, ids: Mapping[str, str]) -> None:
        """A mailbox has moved to another server: its folders and items have other ids, and nothing is gone."""
        self.renamed = {old: ids.get(now, now) for old, now in self.renamed.items()} | dict(ids)

    def follow(
        self, engine: Engine, before: Scene, after: Scene, values: Callable[[Any], dict[str, str]]
    ) -> None:
        """Judge what a run did to couplings, and note how they are now.

        Args:
            engine: The staging database.
            before: The services before the run.
            after: The services behind it.
            values: Mapped fields of a contact of Business Central.
        """
        with engine.connect() as conn:
            found = conn.execute(
                text(
                    "SELECT c.profile, c.bc_id, c.outlook_id, c.state, c.baseline_bc, p.folder_id,"
                    " p.deleted_in_outlook FROM coupling c JOIN sync_profile p ON p.id = c.profile"
                )
            ).mappings()
            now: dict[Key, Mapping[str, Any]] = {(row["profile"], row["bc_id"]): dict(row) for row in found}
            # What the sync had made anew of one that came back goes, with a later run where this one was cut short.
            going = set(
                conn.scalars(
                    text(
                        "SELECT outlook_id FROM change WHERE action = 'delete_outlook' AND cause = 'returned'"
                        " AND (state <> 'done' OR outcome IN ('failed', 'unknown', 'skipped'))"
                    )
                )
            )
        items = {item.id: item for box in before.items.values() for item in box.values()}
        left = {item.id: item for box in after.items.values() for item in box.values()}
        self._judge_away(now, items, before, after, values)
        for key, row in now.items():
            if (known := self.known.get(key)) and known["outlook_id"] not in going:
                _judge_displaced(known, row, items, left)
            if row["state"] == "away":
                one, other = before.contacts.get(key[1]), after.contacts.get(key[1])
                is_known = (
                    one is not None
                    and other is not None
                    and values(one) == values(other)
                    and key[1] not in before.held | after.held
                    and _is_agreed(values(other), row["baseline_bc"])
                )
                was_said = row["deleted_in_outlook"] == "stay_away" or key not in self.known
                if key not in self.away and was_said:
                    self.by_policy.add(key)
                self.away.setdefault(key, values(other) if is_known else None)
        self.away = {
            key: held for key, held in self.away.items() if key in now and now[key]["state"] == "away"
        }
        self.wished &= self.away.keys()
        self.by_policy &= self.away.keys()
        self.known = now

    def _judge_away(
        self,
        now: Mapping[Key, Mapping[str, Any]],
        items: Mapping[str, Item],
        before: Scene,
        after: Scene,
        values: Callable[[Any], dict[str, str]],
    ) -> None:
        """I5: what stays away is made again only where Business Central changed it, or a person asked (rules 2.1).

        A person asks for one contact, or gives the profile the other policy.
        """
        for key, held in self.away.items():
            row, contacts = now.get(key), [scene.contacts.get(key[1]) for scene in (before, after)]
            is_made = row and row["state"] in LIVE and row["outlook_id"] and row["outlook_id"] not in items
            if not is_made or held is None or key in self.asked_for:
                continue
            if row and key in self.by_policy and row["deleted_in_outlook"] != "stay_away":
                continue
            same = all(contact is not None and values(contact) == held for contact in contacts)
            check(not same, "I5", f"{key[1][:8]} stayed away, was made again, and nothing had changed")

    def emptied(self, before: Scene, most: int) -> set[Key]:
        """Return the live pairs of profiles of which a run found not one item, where so many were coupled."""
        items = {item.id: item for box in before.items.values() for item in box.values()}
        live: dict[int, list[Mapping[str, Any]]] = defaultdict(list)
        for key, row in self.known.items():
            if row["state"] in LIVE and row["outlook_id"]:
                live[key[0]].append(row)
        with_keys = {item.folder_id for item in items.values() if item.bc_id}
        return {
            (profile, row["bc_id"])
            for profile, rows in live.items()
            if len(rows) >= most and self._today(rows[0]["folder_id"]) not in with_keys
            for row in rows
            for item in [items.get(self._today(row["outlook_id"]))]
            if item is None or item.folder_id != self._today(row["folder_id"])
        }

    def _today(self, id_: str) -> str:
        return self.renamed.get(id_, id_)


def _is_agreed(values: Mapping[str, str], baseline: str) -> bool:
    """Whether Business Central holds what it held when the pair last agreed: an edit may not have been read yet."""
    known = {KNOWN_AS.get(name, name): value for name, value in json.loads(baseline or "{}").items()}
    return all(
        normal(name, known[name]) == normal(name, values[name]) for name in known.keys() & values.keys()
    )


def _judge_displaced(
    known: Mapping[str, Any],
    now: Mapping[str, Any],
    before: Mapping[str, Item],
    after: Mapping[str, Item],
) -> None:
    """I3: a pair whose item is where it was keeps it; no late or older one displaces what a user made (rules 2.3)."""
    if known["state"] not in LIVE or now["outlook_id"] in (None, known["outlook_id"]):
        return
    item = after.get(known["outlook_id"] or "")
    was = before.get(known["outlook_id"] or "")
    is_there = item and was and item.folder_id == was.folder_id == now["folder_id"]
    check(not is_there, "I3", f"another item took the place of {known['outlook_id']}, which is where it was")
