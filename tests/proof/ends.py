"""Judges what became of profiles that ended, and of contacts that a person left out of a folder (rules 1, 7.3)."""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sqlalchemy import Engine, text

from tests.proof import hands_off, mapped
from tests.proof.limits import agreed
from tests.proof.mapped import IN_COMPANY, bc_values, compact, normal, valid_email
from tests.proof.pairs import LIVE
from tests.proof.verdict import check

if TYPE_CHECKING:
    from tests.proof.oracle import Item, Oracle, Scene, Setup, Token

MADE = "made_by_sync"


@dataclass
class Ends:
    """Follows profiles to their ends, and contacts that are left out, from run to run."""

    oracle: Oracle
    #: Of each profile's key, as they were before the run: its couplings by item, its folder, and who made that.
    coupled: dict[int, dict[str, dict[str, Any]]] = field(default_factory=dict)
    folders: dict[int, tuple[str | None, bool]] = field(default_factory=dict)
    #: Contacts of profiles whose creation in Outlook has no outcome yet, and those that were left out.
    unsettled: set[tuple[int, str]] = field(default_factory=set)
    left_out: set[tuple[int, str]] = field(default_factory=set)
    #: Versions of items as the last run left them.
    versions: dict[str, int] = field(default_factory=dict)
    #: Items of the sync that lost their key with their profile, with their contact.
    freed: dict[str, str] = field(default_factory=dict)
    #: Mailboxes whose delta shows nothing new for a while (F18).
    lagging: set[str] = field(default_factory=set)
    #: What had been typed before the run; and of profiles whose end began in a run that could not finish it, what
    #: had been typed before that one: from then on nothing is synced, and what is typed is its owner's alone.
    typed: frozenset[str] = frozenset()
    typed_in_time: dict[int, frozenset[str]] = field(default_factory=dict)

    def look(self, engine: Engine) -> None:
        """Note how things are before a run."""
        self.coupled = defaultdict(dict)
        with engine.connect() as conn:
            for row in conn.execute(text("SELECT * FROM coupling")).mappings():
                self.coupled[row["profile"]][row["outlook_id"] or row["bc_id"]] = dict(row)
            found = conn.execute(text("SELECT id, folder_id, folder_made_by_sync FROM sync_profile"))
            self.folders = {row[0]: (row[1], bool(row[2])) for row in found}
            sent = conn.execute(
                text(
                    "SELECT profile, bc_id FROM change WHERE bc_id IS NOT NULL AND action = 'create_outlook'"
                    " AND (state <> 'done' OR outcome = 'unknown')"
                )
            )
            self.unsettled = {(row[0], row[1]) for row in sent}
        self.left_out = {(p.key, each) for p in self.oracle.profiles for each in p.left_out}
        self.typed = frozenset(self.oracle.tokens)

    def forget_items(self, engine: Engine) -> None:
        """What the staging database knows no longer, a privacy block can't reach."""
        with engine.connect() as conn:
            known = {row[0] for row in conn.execute(text("SELECT outlook_id FROM former_item"))}
        self.freed = {item: contact for item, contact in self.freed.items() if item in known}

    def judge(self, engine: Engine, before: Scene, after: Scene, *, users_acted: bool) -> None:
        """Judge what a run did."""
        for profile in self.oracle.profiles:
            if profile.left_out and not users_acted:
                self._judge_left_out(engine, profile, before, after)
            if profile.ending:
                self._follow(engine, profile, before, after, users_acted=users_acted)
        self.versions = {item.id: item.version for box in after.items.values() for item in box.values()}

    # -- contacts that are left out --------------------------------------------------------------------------------

    def _judge_left_out(self, engine: Engine, profile: Setup, before: Scene, after: Scene) -> None:
        """I8: what is left out is neither made nor changed nor coupled; an edit that it had may go first (7.3b)."""
        live = {row["bc_id"] for row in self.coupled[profile.key].values() if row["state"] in LIVE}
        with engine.connect() as conn:
            found = conn.execute(
                text("SELECT bc_id, state FROM coupling WHERE profile = :p"), {"p": profile.key}
            )
            now = {row[0] for row in found if row[1] in LIVE}
        alone = [each for each in self.oracle.profiles if each.company == profile.company] == [profile]
        for each in profile.left_out:
            one, other = before.contacts.get(each), after.contacts.get(each)
            known = (profile.key, each)
            if each in live or known in self.unsettled or known not in self.left_out:
                continue
            check(each not in now, "I8", f"{each[:8]} is left out, and was coupled")
            if one and other:
                same = {**bc_values(one), "home": ""} == {**bc_values(other), "home": ""}
                check(same or not alone, "I8", f"{each[:8]} is left out, and was changed in Business Central")
            for item in self._in_folder(profile, after):
                self._judge_item(item, before.items[profile.mailbox].get(item.id), each)

    def _judge_item(self, item: Item, was: Item | None, contact: str) -> None:
        if item.bc_id != contact or item.id in self.oracle.users_items:
            return
        check(was is not None, "I8", f"{contact[:8]} is left out, and was made in Outlook")
        same = was is None or was.folder_id != item.folder_id or was.values == item.values
        check(same, "I8", f"{contact[:8]} is left out, and its item was changed")

    def _in_folder(self, profile: Setup, scene: Scene) -> list[Item]:
        folder, _ = self.folders.get(profile.key, (None, False))
        return scene.folder(profile.mailbox, folder) if folder else []

    # -- profiles that end -----------------------------------------------------------------------------------------

    def is_free(self, profile: Setup, item: Item) -> bool:
        """Whether an item may go with its profile: a person has approved that of what the sync made (rules 1)."""
        one_way = profile.direction == "to_business_central"
        return profile.ending == "remove" and item.origin == MADE and not one_way

    def _follow(
        self, engine: Engine, profile: Setup, before: Scene, after: Scene, *, users_acted: bool
    ) -> None:
        with engine.connect() as conn:
            row = conn.execute(
                text("SELECT ended_at, ended_notes, ending_began FROM sync_profile WHERE id = :p"),
                {"p": profile.key},
            ).one()
            left = conn.scalar(text("SELECT count(*) FROM coupling WHERE profile = :p"), {"p": profile.key})
        if row[0] is None:
            if row[2] is not None:
                self.typed_in_time.setdefault(profile.key, self.typed)
            return
        how, profile.ended, profile.ending = profile.ending, profile.ending, ""
        check(not left, "I3", f"{left} couplings of a profile that has ended")
        inside = self._in_folder(profile, before)
        known = self.coupled[profile.key]
        self.freed |= {item.id: item.bc_id for item in inside if item.bc_id and item.origin == MADE}
        notes = json.loads(row[1])
        if users_acted or "reason" in notes or notes.get("folder") == "missing":
            return
        ended = _Ended(profile, how, notes, before, after)
        stays = self._in_folder(profile, after)
        self._judge_marks(ended, stays, inside)
        self._judge_folder(ended, inside, stays)
        self._judge_edits(engine, ended, inside, known)

    def _judge_marks(self, ended: _Ended, stays: list[Item], inside: list[Item]) -> None:
        """Key and category are off, but for items that Graph lets nobody write."""
        known = self.coupled[ended.profile.key]
        ours = {item.id for item in inside if item.bc_id or item.id in known}
        marked = [
            item
            for item in stays
            if (item.bc_id and ended.is_of_company(item.bc_id))
            or (item.id in ours and hands_off.CATEGORY in (item.properties.get("categories") or []))
        ]
        refused = ended.notes.get("refused", 0)
        check(len(marked) <= refused, "I8", f"{len(marked)} items are marked, and their profile has ended")

    def _judge_folder(self, ended: _Ended, inside: list[Item], stays: list[Item]) -> None:
        """What the sync made and nobody edited goes by *remove*, and so does its folder where nothing is left in it."""
        profile, known = ended.profile, self.coupled[ended.profile.key]
        folder, is_ours = self.folders[profile.key]
        label = ended.after.folders[profile.mailbox].get(folder or "", "deleted/")
        is_there, was_there = (
            not each.startswith("deleted/")
            for each in (label, ended.before.folders[profile.mailbox].get(folder or "", "deleted/"))
        )
        if not was_there:
            return
        removes = ended.how == "remove" and profile.direction != "to_business_central"
        if not is_there:
            check(removes and is_ours, "I4", "a folder was deleted that was not to go with its profile")
            gone = [ended.after.items[profile.mailbox].get(item.id) for item in inside]
            swept = [item for item in gone if item is None or item.folder.startswith("deleted/")]
            check(not swept, "I4", f"{len(swept)} items were deleted with the folder of a profile")
            return
        check(
            stays or not (removes and is_ours), "I5", "the empty folder of a profile that has ended is there"
        )
        for item in stays:
            row = known.get(item.id)
            was = ended.before.items[profile.mailbox].get(item.id)
            untouched = was is not None and self.versions.get(item.id) == was.version
            goes = row and row["state"] in LIVE and row["origin"] == MADE and not json.loads(row["differs"])
            if (
                removes
                and goes
                and untouched
                and row
                and _as_agreed(was, row)
                and not ended.notes.get("refused")
            ):
                check(False, "I5", f"{item.id} was made by the sync, and stays when its profile is removed")

    def _judge_edits(
        self, engine: Engine, ended: _Ended, inside: list[Item], known: dict[str, dict[str, Any]]
    ) -> None:
        """I1: what was typed last in a folder is in Business Central, or in the log, or is said to be left."""
        profile = ended.profile
        if profile.direction == "to_outlook" or profile.mailbox in self.lagging:
            return
        log: list[tuple[set[str], str]] | None = None
        unsent: dict[str, str] = {}
        in_time = self.typed_in_time.get(profile.key)
        for name, token in self.oracle.tokens.items():
            if in_time is not None and name not in in_time:
                continue
            mailbox, key = token.place or ("", "")
            item = next((each for each in inside if (mailbox, each.id) == (profile.mailbox, key)), None)
            if item is None or not self._may_go(ended, item, known.get(key), token):
                continue
            contact = ended.after.contacts[known[key]["bc_id"]]
            if _is_in(token, bc_values(contact)):
                continue
            log = self.oracle.read_log(engine) if log is None else log
            ids = {key, contact["id"]}
            if not any(mapped.key_of(token.text) in lost and ids & of for of, lost in log):
                unsent[key] = token.text
        most = ended.notes.get("edits", 0)
        message = (
            f"the last edits {sorted(unsent.values())} of a profile that ended are not in Business Central"
        )
        check(len(unsent) <= most, "I1", message)

    def _may_go(self, ended: _Ended, item: Item, row: dict[str, Any] | None, token: Token) -> bool:
        """Whether what a user typed into an item is to reach Business Central."""
        if row is None or row["state"] not in LIVE or item.id in self.oracle.flagged:
            return False
        if token.field in mapped.BC_PARTS or not _is_in(token, item.values):
            return False
        scenes = (ended.before, ended.after)
        contacts = [scene.contacts.get(row["bc_id"]) for scene in scenes]
        wanted = all(contact is not None and ended.profile.wants(contact) for contact in contacts)
        whole = valid_email(item.values["email"]) and normal("name", item.values["name"])
        return bool(wanted and whole)

    # -- at the end ------------------------------------------------------------------------------------------------

    def judge_last(self, scene: Scene) -> None:
        """What was to end has ended, and a block reaches what the sync had made (rules 7.4)."""
        for profile in self.oracle.profiles:
            check(not profile.ending, "I5", f"the profile {profile.number} was to end, and has not")
        for box in scene.items.values():
            for item in box.values():
                contact = scene.contacts.get(self.freed.get(item.id, ""))
                if contact is None or not contact["privacyBlocked"] or item.id in self.oracle.renamed_items:
                    continue
                is_gone = item.folder == "deleteditems" or item.folder.startswith("deleted/")
                check(is_gone, "I14", f"{item.id} of a profile that ended is blocked, and still there")


@dataclass(frozen=True)
class _Ended:
    profile: Setup
    how: str
    notes: dict[str, Any]
    before: Scene
    after: Scene

    def is_of_company(self, contact: str) -> bool:
        """Whether a key is of the profile's own company, as far as that can be seen."""
        found = self.before.contacts.get(contact) or self.after.contacts.get(contact)
        return found is not None and found[IN_COMPANY] == self.profile.company


def _is_in(token: Token, values: dict[str, str]) -> bool:
    held = values[token.field]
    same = normal(token.field, held) == normal(token.field, token.text)
    return same or mapped.key_of(token.text) in compact(held)


def _as_agreed(item: Item | None, row: dict[str, Any]) -> bool:
    """Whether an item holds what its coupling says."""
    base = agreed(row["baseline_outlook"])
    return item is not None and all(
        normal(name, base[name]) == normal(name, item.values[name])
        for name in base.keys() & item.values.keys()
    )
