"""Judges a history of edits and runs by what the sandbox and the staging tables hold, not by what the sync says.

It shares no code with the sync: normal forms, scope and matching are spelled out here again, on purpose. Every edit
carries a unique token, so that a lost value is found by looking for the token in both services and in the change log.
The invariants I1 to I20 are those of the project's quality plan; a violation names its invariant first.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from sqlalchemy import Engine, text

from tests.proof import excuses, filters, hands_off, limits
from tests.proof.approvals import Approvals
from tests.proof.ends import Ends
from tests.proof.excuses import Excuses
from tests.proof.mapped import (
    FIELDS,
    IN_COMPANY,
    PARTS,
    bc_values,
    compact,
    item_values,
    key_of,
    normal,
    valid_email,
)
from tests.proof.pairs import Pairs
from tests.proof.verdict import check

KEY = "bccontactkey"
ELSEWHERE = ("deleteditems", "contacts", "Prive")


# -- what the sandbox holds ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Item:
    """One Outlook item with the folder that it lies in."""

    id: str
    folder: str
    folder_id: str
    bc_id: str
    origin: str
    properties: dict[str, Any]
    created: str
    version: int

    @property
    def values(self) -> dict[str, str]:
        return item_values(self.properties)


@dataclass
class Scene:
    """The sandbox at one moment: contacts by id, and per mailbox all items by id, and folder names by id."""

    contacts: dict[str, dict[str, Any]]
    items: dict[str, dict[str, Item]]
    folders: dict[str, dict[str, str]]
    dump: dict[str, Any]

    @cached_property
    def text(self) -> str:
        """Everything anywhere in the services, as tokens are looked for."""
        of_bc = [[company["contacts"], company["held"]] for company in self.dump["companies"]]
        return compact([of_bc, self.dump["mailboxes"]])

    def without_log(self, tokens: Mapping[str, Token]) -> dict[str, Token]:
        """Return what has to be found still where the log is lost with its database: nothing that it alone held.

        What was deleted with an item of a contact is one of these: it lies among the deleted items.
        """
        left = [
            item.properties
            for box in self.items.values()
            for item in box.values()
            if item.folder != "deleteditems" and not item.folder.startswith("deleted/")
        ]
        text = compact([list(self.contacts.values()), left])
        return {key: token for key, token in tokens.items() if key in text}

    @cached_property
    def held(self) -> set[str]:
        """Contacts of which a user wrote what nobody else sees yet."""
        return set().union(*((company["held"] or {}).keys() for company in self.dump.get("companies", ())))

    @classmethod
    def of(cls, dump: dict[str, Any], names: Mapping[str, str] | None = None) -> Scene:
        """Read a dump. Held rows of Business Central count: a user typed them.

        Args:
            dump: The sandbox's world.
            names: By which address an account is known here that was renamed.
        """
        contacts: dict[str, dict[str, Any]] = {}
        for number, company in enumerate(dump["companies"]):
            of_one = {contact["id"]: contact for contact in company["contacts"]} | (company["held"] or {})
            contacts |= {key: {**row, IN_COMPANY: number} for key, row in of_one.items() if row}
        boxes = {
            (names or {}).get(box["user_principal_name"], box["user_principal_name"]): box
            for box in dump["mailboxes"]
        }
        return cls(
            contacts,
            {name: {item.id: item for item in _items(box)} for name, box in boxes.items()},
            {
                name: {f["id"]: _label(f, box["folders"]) for f in box["folders"]}
                for name, box in boxes.items()
            },
            dump,
        )

    def folder(self, mailbox: str, folder_id: str) -> list[Item]:
        """Items of one folder, oldest first."""
        found = [item for item in self.items[mailbox].values() if item.folder_id == folder_id]
        return sorted(found, key=lambda item: (item.created, item.version, item.id))


def _label(folder: dict[str, Any], folders: list[dict[str, Any]]) -> str:
    """Return how a folder is known here; one that lies in Deleted Items is no folder any more."""
    by_id = {each["id"]: each for each in folders}
    above = by_id.get(folder["parent_id"])
    while above is not None:
        if above["well_known"] == "deleteditems":
            return f"deleted/{folder['name']}"
        above = by_id.get(above["parent_id"])
    return str(folder["well_known"] or folder["name"])


def _items(box: dict[str, Any]) -> list[Item]:
    found = []
    for folder in box["folders"]:
        label = _label(folder, box["folders"])
        for item in folder["contacts"]:
            keys = [value for name, value in item["extended"].items() if KEY in name.lower()]
            path, _, origin = (keys[0] if keys else "").partition("|")
            found.append(
                Item(
                    item["immutable_id"],
                    label,
                    folder["id"],
                    path.rpartition("/")[2],
                    origin,
                    item["properties"],
                    item["created"],
                    item["usn"],
                )
            )
    return found


# -- what the staging database holds ---------------------------------------------------------------------------------

#: Tables that a dry run leaves as they are (I18).
DRY = (
    "bc_contact", "outlook_contact", "coupling", "cursor", "claim", "reject", "sync_profile",
)  # fmt: skip


def rows(engine: Engine, statement: str, **values: Any) -> list[dict[str, Any]]:
    """Read the staging database by plain SQL."""
    with engine.connect() as conn:
        return [dict(row) for row in conn.execute(text(statement), values).mappings()]


def tables(engine: Engine) -> dict[str, list[tuple[Any, ...]]]:
    """Everything that a dry run must leave alone."""
    found = {}
    for name in DRY:
        where = " WHERE overlay = ''" if name in ("bc_contact", "outlook_contact") else ""
        table = rows(engine, f"SELECT * FROM {name}{where}")
        # To find a company is no effect of a dry run that anything could show.
        kept = ({k: v for k, v in row.items() if (name, k) != ("sync_profile", "company")} for row in table)
        found[name] = sorted((tuple(row.values()) for row in kept), key=str)
    return found


def judge_counters(counters: dict[str, Any]) -> None:
    """F21: never more than four operations in flight for a mailbox, and five to Business Central."""
    app = counters.get("app", {})
    for mailbox, tally in app.get("graph", {}).get("mailboxes", {}).items():
        most = max(tally["most_in_flight"], tally["most_requests_in_flight"])
        check(most <= 4, "F21", f"{most} operations at a time for {mailbox}")
    bc = app.get("bc", {})
    most = max(bc.get("most_in_flight", 0), bc.get("most_requests_in_flight", 0))
    check(most <= 5, "F21", f"{most} operations at a time for Business Central")


# -- the oracle ------------------------------------------------------------------------------------------------------


@dataclass
class Setup:
    """A profile as a person set it up; the oracle's own copy."""

    mailbox: str
    folder: str = "Business Central"
    city: str = ""
    direction: str = "both"
    deleted_in_outlook: str = "recreate"
    deleted_in_bc: str = "delete"
    left_scope: str = "delete"
    blank_in_bc: str = "fill"
    enabled: bool = True
    language: str = "nl"
    #: Number of its company in the world.
    company: int = 0
    #: Its number among the profiles of a history, and its key in the staging database.
    number: int = 0
    key: int = 0
    #: Further groups of the filter: the first one is its city.
    groups: tuple[filters.Group, ...] = ()
    salesperson: str = ""
    #: Contacts that a person left out of its folder.
    left_out: frozenset[str] = frozenset()
    #: How a person wants it to end, until it has; and how it ended.
    ending: str = ""
    ended: str = ""

    @property
    def filter(self) -> tuple[filters.Group, ...]:
        """All groups of the filter."""
        return (((("City", self.city),),) if self.city else ()) + self.groups

    def to_yaml(self) -> dict[str, Any]:
        """Return it as an import takes it, without mailbox and company."""
        policies = ("deleted_in_outlook", "deleted_in_bc", "left_scope", "blank_in_bc")
        names = ("folder", "direction", "enabled", "language")
        values: dict[str, Any] = {name: getattr(self, name) for name in names}
        values["policies"] = {
            name.replace("in_bc", "in_business_central"): getattr(self, name) for name in policies
        }
        values["salesperson"] = self.salesperson
        groups = [dict(group) for group in self.filter]
        # One group may be written without its bracket.
        values["filter"] = groups if groups[1:] else groups[0] if groups else {}
        return values

    def wants(self, contact: dict[str, Any]) -> bool:
        """Whether a contact of Business Central is in this profile's scope (pins aside)."""
        return (
            contact.get(IN_COMPANY, 0) == self.company
            and contact["type"] == "Person"
            and not contact["privacyBlocked"]
            and bool((contact["displayName"] or "").strip())
            and valid_email(contact["email"] or "")
            and contact["id"] not in self.left_out
            and filters.holds(self.filter, contact, self.salesperson)
        )


#: Where something is typed: ``bc`` and a contact's id, or a mailbox and an item's id.
Place = tuple[str, str]


@dataclass
class Token:
    """A value that a user typed: it must be found on a side, or in the change log as the loser (I1)."""

    text: str
    step: int
    what: str
    field: str
    #: Where it was typed; None where nobody knows, as it was the service.
    place: Place | None = None


@dataclass
class Oracle:
    """Follows a history step by step."""

    profiles: list[Setup]
    tokens: dict[str, Token] = field(default_factory=dict)
    #: All values that somebody typed, in normal form: what the sync may write (I2).
    typed: set[str] = field(default_factory=set)
    #: Item ids that users made, copied or moved about: twins of their own making (I3).
    users_items: set[str] = field(default_factory=set)
    users_contacts: set[str] = field(default_factory=set)
    #: Items that users deleted, and pairs of a profile's number and a BC id with a cause for a delete (I4).
    users_deletes: set[str] = field(default_factory=set)
    causes: dict[tuple[int, str], set[str]] = field(default_factory=dict)
    #: Folders, and the numbers of the profiles that are or were bound to them.
    bound: dict[str, set[int]] = field(default_factory=dict)
    #: Items whose ids changed: in no folder of a profile the sync can find them, as it knows their former ids (7.4).
    renamed_items: set[str] = field(default_factory=set)
    #: What an item without key was coupled to: 7.4 goes by coupling or key, and users may keep us from writing the key.
    coupled: dict[str, str] = field(default_factory=dict)
    #: What the coupling of an item says of Outlook's side, as the last run left it.
    baselines: dict[str, str] = field(default_factory=dict)
    #: What the couplings of a contact say of Business Central's side.
    bc_baselines: dict[str, list[str]] = field(default_factory=dict)
    #: The contact that the key of an item names, or named last; of copies too.
    keyed: dict[str, str] = field(default_factory=dict)
    #: What is, or was, coupled with what; by ids of either side, both ways.
    ties: dict[str, set[str]] = field(default_factory=dict)
    moved_about: bool = False
    #: What was typed into items while their owner had flagged them private (I14).
    flagged: dict[str, set[str]] = field(default_factory=dict)
    approvals: Approvals = field(default_factory=lambda: Approvals({}))
    pairs: Pairs = field(default_factory=Pairs)
    #: Somebody typed a part of a name, of which Business Central makes the whole one.
    parts_typed: bool = False
    #: Phone regions that a company had, by its number; the last one is today's.
    regions: dict[int, list[str]] = field(default_factory=dict)
    #: What the change log said before a part of it was removed: ids, and what lost.
    log: list[tuple[set[str], str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        for number, profile in enumerate(self.profiles):
            profile.number = number
        self.ends = Ends(self)

    # -- edits -----------------------------------------------------------------------------------------------------

    def saw(self, scene: Scene) -> None:
        """Note causes for deletes: whatever is not in scope at a moment between two steps (I4)."""
        self.keyed |= {i.id: i.bc_id for box in scene.items.values() for i in box.values() if i.bc_id}
        ids = {item.bc_id for box in scene.items.values() for item in box.values() if item.bc_id}
        for profile in self.profiles:
            for bc_id in ids | scene.contacts.keys():
                contact = scene.contacts.get(bc_id)
                if contact is None or not profile.wants(contact):
                    causes = self.causes.setdefault((profile.number, bc_id), set())
                    causes.add("blocked" if contact and contact["privacyBlocked"] else "left")

    def typed_there(self, scene: Scene) -> None:
        """A user wrote to Business Central: what it holds now is what its users and itself made of it (I2)."""
        for contact in scene.contacts.values():
            self.typed |= {normal(name, value) for name, value in bc_values(contact).items()}

    def saw_couplings(self, engine: Engine) -> None:
        """Note what each item is coupled to, and what its coupling says of it."""
        found = rows(
            engine,
            "SELECT outlook_id, bc_id, baseline_outlook, baseline_bc FROM coupling"
            " WHERE outlook_id IS NOT NULL",
        )
        self.bc_baselines = defaultdict(list)
        for row in found:
            self.bc_baselines[row["bc_id"]].append(row["baseline_bc"])
        self.baselines = {row["outlook_id"]: row["baseline_outlook"] for row in found}
        numbers = {profile.key: profile.number for profile in self.profiles}
        for row in rows(engine, "SELECT id, folder_id FROM sync_profile WHERE folder_id IS NOT NULL"):
            self.bound.setdefault(row["folder_id"], set()).add(numbers[row["id"]])
        self.coupled |= {row["outlook_id"]: row["bc_id"] for row in found}
        for row in found:
            self.tie(row["outlook_id"], row["bc_id"])

    def tie(self, one: str, other: str) -> None:
        """Two ids are of one contact."""
        self.ties.setdefault(one, set()).add(other)
        self.ties.setdefault(other, set()).add(one)

    def typed_value(self, step: int, what: str, name: str, value: str, place: Place | None = None) -> None:
        """A user typed a value with a unique token."""
        self.typed.add(normal(name, value))
        if key := key_of(value):
            self.tokens[key] = Token(value, step, what, name, place)

    def typed_in(self, item: str, value: str) -> None:
        """A user typed a value into an item; a unique one must not leave it while it is flagged private.

        What somebody typed elsewhere before, as a company's name, is no secret of the item.
        """
        if item not in self.flagged or not re.fullmatch(r"q\d+q", key := key_of(value)):
            return
        if not any(key in known for known in self.typed):
            self.flagged[item].add(key)

    def typed_over(self, values: object) -> None:
        """A user replaced or deleted these values, seeing them: their tokens need not survive."""
        seen = compact(values)
        for key in [key for key in self.tokens if key in seen]:
            del self.tokens[key]

    def wanted_back(self, change: dict[str, Any]) -> None:
        """A person sees what the sync wrote, and wants it undone: it need not survive, and an item may go (I4)."""
        self.typed_over(json.loads(change["after"]))
        self.pairs.asked_for.add((change["profile"], change["bc_id"]))
        if change["action"] == "create_outlook":
            numbers = [profile.number for profile in self.profiles if profile.key == change["profile"]]
            for number in numbers:
                self.causes.setdefault((number, change["bc_id"]), set()).add("undone")

    def _causes_of(self, mailbox: str, item: Item, bc_id: str) -> set[str]:
        """Causes for a delete of an item: those of its folder's profile, or of all profiles of its mailbox."""
        of_mailbox = {profile.number for profile in self.profiles if profile.mailbox == mailbox}
        numbers = self.bound.get(item.folder_id) or of_mailbox
        ended = {
            "ended" for each in self.profiles if each.number in numbers and self.ends.is_free(each, item)
        }
        return ended.union(*(self.causes.get((number, bc_id), set()) for number in numbers))

    # -- after each run --------------------------------------------------------------------------------------------

    def judge_run(self, before: Scene, after: Scene, *, users_acted: bool) -> None:
        """What holds for every run, whatever went wrong in it (I4, I8, I9, I15)."""
        if not users_acted:
            gone = before.contacts.keys() - after.contacts.keys()
            check(not gone, "I15", f"contacts deleted in Business Central: {sorted(gone)}")
        for mailbox, items in before.items.items():
            for item in items.values():
                now = after.items[mailbox].get(item.id)
                if not users_acted:
                    self._hands_off(mailbox, item, now)
        self._judge_deletes(before, after)
        limits.judge_creates(self, before, after)
        if not users_acted:
            limits.judge_overwrites(self, before, after)
            limits.judge_made_again(self, before, after)

    def _hands_off(self, mailbox: str, item: Item, now: Item | None) -> None:
        causes = self._causes_of(mailbox, item, item.bc_id or self.coupled.get(item.id, ""))
        baseline = self.baselines.get(item.id, "")
        hands_off.judge(mailbox, item, now, baseline, is_blocked="blocked" in causes)

    def _judge_deletes(self, before: Scene, after: Scene) -> None:
        for mailbox, items in before.items.items():
            for item in items.values():
                now = after.items[mailbox].get(item.id)
                left = item.folder != "deleteditems" and (now is None or now.folder == "deleteditems")
                if not left or item.id in self.users_deletes:
                    continue
                if not item.bc_id:
                    causes = self._causes_of(mailbox, item, self.coupled.get(item.id, ""))
                    message = f"an item without key was deleted in {mailbox}: {_named(item)}"
                    check("blocked" in causes, "I4", message)
                    continue
                causes = self._causes_of(mailbox, item, item.bc_id)
                twin = any(
                    other.bc_id == item.bc_id and other.folder_id == item.folder_id and other.id != item.id
                    for other in after.items[mailbox].values()
                )
                returned = self.moved_about and twin
                limits.judge_delete(
                    self.approvals, item, _named(item), is_free=twin or bool(causes & {"blocked", "ended"})
                )
                check(causes or returned, "I4", f"{_named(item)} of {mailbox} was deleted without a cause")

    # -- at the end ------------------------------------------------------------------------------------------------

    def judge_end(self, scene: Scene, engine: Engine) -> None:
        """What holds once edits have stopped and runs had their time (I1, I2, I3, I5, I14, I16)."""
        self.judge_tokens(scene, engine)
        self._judge_invented(scene)
        self._judge_twins(scene)
        self._judge_blocked(scene)
        self._judge_private(scene)
        self.ends.judge_last(scene)
        self._judge_pairs(scene, engine)
        self._judge_books(engine)

    def judge_tokens(self, scene: Scene, engine: Engine) -> None:
        """I1: the last value typed on each side is on a side, or lost a conflict that the change log shows."""
        lost = [
            (key, token, ids)
            for key, token in self.tokens.items()
            if not self._holds(scene, key, token, ids := self._of_one_contact(token.place))
            and not self._was_blocked(ids)
        ]
        if not lost:
            return
        log = self.read_log(engine)
        for key, token, ids in lost:
            message = f"{token.text!r} is lost: typed in step {token.step} ({token.what})"
            check(any(key in text and (ids is None or ids & of) for of, text in log), "I1", message)

    def read_log(self, engine: Engine) -> list[tuple[set[str], str]]:
        """Return of each change that was carried out, also of one that was removed since, its ids and what lost."""
        names = "action, losing, before, after, outcome, cause, bc_id, outlook_id"
        return self.log + [
            ({row["bc_id"], row["outlook_id"]}, compact([row["losing"], _deleted(row)]))
            for row in rows(engine, f"SELECT {names} FROM change")
            if row["outcome"] in ("updated", "conflict", "deleted", "created", "coupled")
        ]

    def erased(self, scene: Scene, contact: str) -> None:
        """A contact was erased: what it lost is in no log any more, and nobody need find it."""
        ids = self._of_one_contact(("bc", contact)) or set()
        self.tokens = {
            key: token
            for key, token in self.tokens.items()
            if token.place is None or token.place[1] not in ids or self._holds(scene, key, token, ids)
        }

    def _of_one_contact(self, place: Place | None) -> set[str] | None:
        """Return the ids of everything that was ever coupled with a contact or item, and its own."""
        if place is None:
            return None
        found, new = set(), {place[1]}
        while new:
            found |= new
            new = set().union(*(self.ties.get(each, set()) for each in new)) - found
        return found

    def _was_blocked(self, ids: set[str] | None) -> bool:
        """Whether what was typed went with a contact that was blocked, of which nothing is kept (rules 7.4)."""
        of_one = (ids or set()) | {self.keyed[each] for each in ids or () if each in self.keyed}
        return any("blocked" in causes and bc_id in of_one for (_, bc_id), causes in self.causes.items())

    @staticmethod
    def _holds(scene: Scene, key: str, token: Token, ids: set[str] | None) -> bool:
        """Whether the contact that a value was typed into, or what stands for it, holds the value still."""
        if ids is None:
            return key in scene.text
        contacts = [contact for each, contact in scene.contacts.items() if each in ids]
        items = [
            item
            for box in scene.items.values()
            for item in box.values()
            if item.id in ids and not (item.folder in ELSEWHERE or item.folder.startswith("deleted/"))
        ]
        if key in compact([contacts, [item.properties for item in items]]):
            return True
        values = [*map(bc_values, contacts), *(item.values for item in items)]
        wanted = normal(token.field, token.text)
        return any(normal(token.field, each[token.field]) == wanted for each in values)

    def _judge_invented(self, scene: Scene) -> None:
        self._words = {word for value in self.typed for word in value.split()}
        for mailbox, items in scene.items.items():
            for item in items.values():
                if item.folder in ("contacts", "Prive"):
                    continue
                for name, value in item.values.items():
                    check(
                        self._known(name, value), "I2", f"{name} = {value!r} in {mailbox} was typed by nobody"
                    )
        for contact in scene.contacts.values():
            for name, value in bc_values(contact).items():
                message = f"{name} = {value!r} in Business Central was typed by nobody"
                check(self._known(name, value), "I2", message)

    def _known(self, name: str, value: str) -> bool:
        """Whether somebody typed a value; of names the words, which services and sync split, join and cut."""
        form = normal(name, value)
        # Initials are what the parser of names makes of the words.
        if not form or form in self.typed or name == "initials":
            return True
        of_words = name in PARTS or (name == "name" and self.parts_typed)
        return of_words and all(any(known.startswith(w) for known in self._words) for w in form.split())

    def _judge_twins(self, scene: Scene) -> None:
        for profile in self.profiles:
            seen: dict[str, str] = {}
            for item in scene.items[profile.mailbox].values():
                if item.folder in ELSEWHERE or item.folder.startswith("deleted/") or not item.bc_id:
                    continue
                of_another = profile.number not in self.bound.get(item.folder_id, {profile.number})
                if of_another or item.id in self.users_items or item.origin == "made_by_user":
                    continue
                twin = item.bc_id in seen
                check(not twin, "I3", f"two items of {profile.mailbox} for one contact: {_named(item)}")
                seen[item.bc_id] = item.id
        made: dict[tuple[Any, ...], str] = {}
        for key, contact in scene.contacts.items():
            if key in self.users_contacts:
                continue
            who = (
                contact[IN_COMPANY],
                normal("name", contact["displayName"]),
                normal("email", contact["email"]),
            )
            check(who not in made, "I3", f"the sync made {who} twice in Business Central")
            made[who] = key

    def _judge_blocked(self, scene: Scene) -> None:
        for profile in self.profiles:
            for item in scene.items[profile.mailbox].values():
                contact = scene.contacts.get(item.bc_id)
                of_old_ids = item.id in self.renamed_items and item.folder_id not in self.bound
                if contact and contact["privacyBlocked"] and not of_old_ids:
                    there = item.folder not in ELSEWHERE and not item.folder.startswith("deleted/")
                    check(not there, "I14", f"{_named(item)} is blocked and still in {profile.mailbox}")

    def _judge_private(self, scene: Scene) -> None:
        known = compact([[company["contacts"], company["held"]] for company in scene.dump["companies"]])
        for item, values in self.flagged.items():
            for value in values:
                check(
                    value not in known, "I14", f"{value!r} of the private item {item} is in Business Central"
                )

    def _judge_pairs(self, scene: Scene, engine: Engine) -> None:
        staged = rows(
            engine,
            "SELECT p.folder_id, p.id AS profile, c.bc_id, c.outlook_id, c.state, c.differs, c.refused"
            " FROM sync_profile p LEFT JOIN coupling c ON c.profile = p.id",
        )
        for profile in [each for each in self.profiles if not each.ended]:
            own = [row for row in staged if row["profile"] == profile.key]
            coupled = {row["bc_id"]: row for row in own if row["bc_id"]}
            waits = excuses.read(engine, profile.key)
            _judge_couplings(scene, profile, [row for row in own if not waits.anything(row["bc_id"])])
            for bc_id, contact in scene.contacts.items():
                self._judge_contact(scene, profile, contact, coupled.get(bc_id), waits)

    def _judge_contact(
        self,
        scene: Scene,
        profile: Setup,
        contact: dict[str, Any],
        coupling: dict[str, Any] | None,
        waits: Excuses,
    ) -> None:
        key = contact["id"]
        item = scene.items[profile.mailbox].get(coupling["outlook_id"] or "") if coupling else None
        if item is not None and coupling and item.folder_id != coupling["folder_id"]:
            item = None  # Moved out: no longer the coupling's.
        named = f"{contact['displayName']!r} ({key[:8]}) of {profile.mailbox}, {profile.folder}"
        if item is None:
            expected = profile.wants(contact) and profile.direction != "to_business_central"
            away = coupling is not None and coupling["state"] == "away"
            stays = away and self._stays_away(profile, contact)
            waits_so = {"stay_away": stays, "left_out": key in profile.left_out}
            for reason in waits.whole[key]:
                is_so = waits_so.get(reason, _is_so(reason, scene, contact))
                check(is_so, "I5", f"{named} is not synced for {reason}, and that is not so")
            check(
                waits.absence(key) or stays or not expected, "I5", f"{named} is in scope and not in Outlook"
            )
            return
        assert coupling is not None
        if waits.presence(key, item.id):
            return
        if coupling["state"] == "released":
            check(not profile.wants(contact), "I5", f"{named} stays released")
            return
        if not profile.wants(contact):
            pinned = coupling["state"] == "pinned" and key not in profile.left_out
            stays = pinned or waits.keeps(key, item.id) or not _fixable(contact)
            check(stays, "I5", f"{named} stays, out of scope")
        differs = excuses.known_as({**json.loads(coupling["differs"]), **json.loads(coupling["refused"])})
        if not (valid_email(item.values["email"]) and valid_email(contact["email"] or "")):
            return
        if not (normal("name", item.values["name"]) and normal("name", contact["displayName"] or "")):
            return
        theirs, ours = bc_values(contact), item.values
        ours |= dict.fromkeys(hands_off.moved_up(item.properties, self.baselines.get(item.id, "")), "")
        for name in FIELDS:
            same = self._agree(contact, name, theirs[name], ours[name])
            if not same and name not in differs and not waits.difference(name, key, item.id):
                check(False, "I5", f"{named}: {name} is {theirs[name]!r} / {ours[name]!r}")

    def _stays_away(self, profile: Setup, contact: dict[str, Any]) -> bool:
        """Whether Business Central holds what it held when the item went away (rules 2.1)."""
        if (profile.key, contact["id"]) in self.pairs.wished:
            return False
        then, now = self.pairs.away.get((profile.key, contact["id"])), bc_values(contact)
        return then is None or all(self._agree(contact, name, then[name], now[name]) for name in FIELDS)

    def _agree(self, contact: dict[str, Any], name: str, one: str, other: str) -> bool:
        """Whether two values are equal, today or when a number of another region was the same one (rules 6)."""
        regions = self.regions.get(contact.get(IN_COMPANY, 0), []) if name in ("phone", "mobile") else []
        return any(normal(name, one, each) == normal(name, other, each) for each in ["NL", *regions])

    @staticmethod
    def _judge_books(engine: Engine) -> None:
        silent = rows(
            engine,
            "SELECT action, outcome FROM change WHERE reason = '' AND outcome IN"
            " ('skipped', 'rejected', 'held', 'unknown', 'failed')",
        )
        check(not silent, "I16", f"changes without a reason: {silent[:3]}")
        open_rows = rows(engine, "SELECT action, state, outcome FROM change WHERE state <> 'done'")
        check(not open_rows, "I16", f"changes without an end: {open_rows[:3]}")


def _is_so(reason: str, scene: Scene, contact: dict[str, Any]) -> bool:
    """Whether what a reject says of a contact of Business Central is so, as far as that can be seen there."""
    key = normal("email", contact["email"] or "")
    seen = {
        "name_missing": not normal("name", contact["displayName"] or ""),
        "email_missing": not valid_email(contact["email"] or ""),
        "duplicate_email_in_bc": any(
            other["id"] != contact["id"]
            and other[IN_COMPANY] == contact[IN_COMPANY]
            and normal("email", other["email"] or "") == key
            for other in scene.contacts.values()
        ),
        "privacy_blocked": contact["privacyBlocked"],
    }
    return bool(seen.get(reason, True))


def _judge_couplings(scene: Scene, profile: Setup, own: list[dict[str, Any]]) -> None:
    for row in own:
        item = scene.items[profile.mailbox].get(row["outlook_id"] or "")
        # 7.9: nothing is written to Outlook, and the coupling waits for another direction.
        here = item is not None and item.folder_id == row["folder_id"]
        waits = not here and profile.direction == "to_business_central"
        if row["outlook_id"] and not waits:
            check(here, "I3", "a coupling names an item that is not there")
            assert item is not None
            check(item.bc_id == row["bc_id"], "I3", f"key and coupling of {_named(item)} name two contacts")


def _deleted(row: dict[str, Any]) -> str:
    # Before a profile ends its last edits go to Business Central: that they were deleted with it is no excuse.
    ended = row["cause"] == "profile_ended"
    return str(row["before"]) if row["action"] == "delete_outlook" and not ended else ""


def _fixable(contact: dict[str, Any]) -> bool:
    named = bool((contact["displayName"] or "").strip())
    return named and valid_email(contact["email"] or "")


def _named(item: Item) -> str:
    return f"{item.properties.get('displayName')!r} ({item.bc_id[:8]})"
