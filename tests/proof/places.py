"""What becomes of accounts and folders, and what persons answer about them (rules 1)."""

from __future__ import annotations

#: What a service, or the sync, changes along with a field.
from typing import TYPE_CHECKING, Any

from sync_lib.operate import answers
from sync_lib.store.profiles import rows as profiles
from tests.proof import oracle
from tests.proof.oracle import Setup

if TYPE_CHECKING:
    from tests.proof.player import Player


class Places:
    """What becomes of accounts and folders, and what persons answer about them (rules 1)."""

    def __init__(self, player: Player) -> None:
        self.player = player

    def answer_all(self) -> bool:
        """A person answers what is asked about accounts and folders (rules 1)."""
        answered = [
            self._answer(profile, self.player.history.seed) for profile in self.player.oracle.profiles
        ]
        return any(answered)

    def do_answer(self, a: int, b: int) -> None:
        self._answer(self.player._profile(a), b)

    def _answer(self, profile: Setup, n: int) -> bool:
        staged = self.player._staged(profile)
        if profile.ended or not staged:
            return False
        with self.player.h.edges.engine.begin() as conn:
            stored = profiles.read_profile(conn, staged["id"])
            if staged["successor"]:
                answers.accept_successor(conn, stored, now=self.player.h.edges.now())
            if staged["second_folder"]:
                answers.answer_second_folder(conn, stored, (profiles.GO_BACK, profiles.LEAVE)[n % 2])
        if staged["second_folder"]:
            # Either folder may be the one that is left, and what the sync made in that one goes.
            for item in self.player.scene().items[profile.mailbox].values():
                if item.folder not in oracle.ELSEWHERE:
                    self.player.oracle.users_deletes.add(item.id)
        return bool(staged["successor"] or staged["second_folder"])

    def do_migrate_mailbox(self, a: int, _b: int) -> None:
        box = self.player._profile(a).mailbox
        # Ids change, and with them whose flag it is.
        for profile in self.player.of_mailbox(box):
            self.player.outlook.do_public(profile.number, 0)
        was = self.player.scene()
        before = was.items[box]
        self.player._graph("mailbox", {"mailbox": box, "migrate": True})
        moved = self.player.scene()
        after = moved.items[box]
        self.player.oracle.pairs.rename(dict(zip(was.folders[box], moved.folders[box], strict=True)))
        names = {(i.created, i.version, i.properties.get("displayName")): i.id for i in after.values()}
        for ids in (self.player.oracle.users_items, self.player.oracle.users_deletes):
            ids |= {
                new
                for i in before.values()
                if i.id in ids and (new := names.get((i.created, i.version, i.properties.get("displayName"))))
            }
        self.player.oracle.renamed_items |= after.keys()
        for item in before.values():
            if new := names.get((item.created, item.version, item.properties.get("displayName"))):
                self.player.oracle.tie(item.id, new)
                self.player.oracle.pairs.rename({item.id: new})

    def do_replace_account(self, a: int, _b: int) -> bool:
        """An account is deleted and made again under its address, with an empty mailbox (F33)."""
        profile = self.player._profile(a)
        staged = self._all_staged(profile)
        if any(
            row["graph_user_id"] and row["mailbox"] != self.player.today[profile.mailbox] for row in staged
        ):
            # Nobody who knows the former address alone can find the account: a person has to correct the profile.
            return False
        for item in self.player.scene().items[profile.mailbox].values():
            self.player.oracle.users_deletes.add(item.id)
            self.player.oracle.typed_over([item.properties])
        self.player._graph("mailbox", {"mailbox": profile.mailbox, "replace": True})
        self.player._in_outlook("POST", "contactFolders", {"displayName": "Prive"}, profile.mailbox)
        return True

    def do_rename_account(self, a: int, _b: int) -> bool:
        """An account gets another address (F33), which a full sync reads."""
        profile = self.player._profile(a)
        staged = [row["graph_user_id"] for row in self._all_staged(profile)]
        if not {None, "", self._user_id(profile)}.issuperset(staged):
            # An account made again is found by its address alone.
            return False
        name = f"{profile.mailbox.partition('@')[0]}{self.player._next()}@voorbeeld.example"
        self.player._graph("mailbox", {"mailbox": profile.mailbox, "rename": name})
        self.player.today[profile.mailbox] = name
        self.player.first[name] = profile.mailbox
        return True

    def _all_staged(self, profile: Setup) -> list[dict[str, Any]]:
        """What the staging database knows of the profiles of a mailbox."""
        of_mailbox = self.player.of_mailbox(profile.mailbox)
        return [row for each in of_mailbox if (row := self.player._staged(each))]

    def _user_id(self, profile: Setup) -> str:
        today = self.player.today[profile.mailbox]
        boxes = self.player.sim.info()["mailboxes"]
        return next(str(box["id"]) for box in boxes if box["user_principal_name"] == today)

    def do_drag_folder(self, a: int, b: int) -> bool:
        """A user drags the folder to Deleted Items, or one that lies there back (F34)."""
        profile = self.player._profile(a)
        folders = self.player.scene().folders[profile.mailbox]
        away = [key for key, name in folders.items() if name.startswith("deleted/")]
        folder = away[b % len(away)] if away else self.player._folder(profile)
        if folder is None:
            return False
        if away:
            self._take_back(profile, folder)
        else:
            self._discard(profile, folder)
        to = "contacts" if away else "deleteditems"
        self.player._graph("move-folder", {"mailbox": profile.mailbox, "folder": folder, "to": to})
        self.player.full_needed = True
        return True

    def _take_back(self, profile: Setup, folder: str) -> None:
        """What was deleted with a folder is the user's again."""
        self.player.oracle.moved_about = True
        for item in self.player.scene().folder(profile.mailbox, folder):
            self.player.oracle.users_items.add(item.id)
            self.player.oracle.users_deletes.discard(item.id)

    def do_purge_folder(self, a: int, _b: int) -> bool:
        """A user deletes the folder for good (F34)."""
        profile = self.player._profile(a)
        if folder := self.player._folder(profile):
            self._discard(profile, folder)
            self.player._in_outlook("POST", f"contactFolders/{folder}/permanentDelete", None, profile.mailbox)
        return folder is not None

    def do_rename_folder(self, a: int, b: int) -> bool:
        profile = self.player._profile(a)
        if folder := self.player._folder(profile):
            name = f"Zakelijk {self.player._next()}"
            self.player._in_outlook(
                "PATCH", f"contactFolders/{folder}", {"displayName": name}, profile.mailbox
            )
        return folder is not None

    def do_delete_folder(self, a: int, _b: int) -> bool:
        profile = self.player._profile(a)
        if folder := self.player._folder(profile):
            self._discard(profile, folder)
            self.player._in_outlook("DELETE", f"contactFolders/{folder}", None, profile.mailbox)
        return folder is not None

    def _discard(self, profile: Setup, folder: str) -> None:
        for item in self.player.scene().folder(profile.mailbox, folder):
            self.player.oracle.users_deletes.add(item.id)
            self.player.oracle.typed_over(list(item.values.values()))

    def do_move_folder(self, a: int, b: int) -> bool:
        """A user drags the folder into another one, or to Deleted Items; only a full sync looks where it is."""
        profile = self.player._profile(a)
        if folder := self.player._folder(profile):
            to = ("deleteditems", "Prive", "contacts")[b % 3]
            if to == "deleteditems":
                self._discard(profile, folder)
            body = {"mailbox": profile.mailbox, "folder": folder, "to": to}
            self.player._graph("move-folder", body)
            self.player.full_needed = True
        return folder is not None

    def do_empty_folder(self, a: int, _b: int) -> bool:
        profile = self.player._profile(a)
        items = self.player.outlook._items(profile)
        if folder := self.player._folder(profile):
            self._discard(profile, folder)
            for item in items:
                self.player._in_outlook("DELETE", f"contacts/{item.id}", None, profile.mailbox)
        return bool(items)
