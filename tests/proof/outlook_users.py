"""What users do in Outlook, item by item."""

from __future__ import annotations

#: What a service, or the sync, changes along with a field.
from typing import TYPE_CHECKING, Any

from tests.proof import mapped, oracle
from tests.proof.histories import (
    UNREADABLE,
)
from tests.proof.oracle import Setup

if TYPE_CHECKING:
    from tests.proof.player import Player


#: What a service, or the sync, changes along with a field.
TOGETHER = {
    "country": ("city", "county", "post", "country"),
    **dict.fromkeys(("name", *mapped.PARTS), ("name", *mapped.PARTS)),
}


class OutlookUsers:
    """What users do in Outlook, item by item."""

    def __init__(self, player: Player) -> None:
        self.player = player

    def _items(self, profile: Setup) -> list[oracle.Item]:
        folder = self.player._folder(profile)
        return self.player.scene().folder(profile.mailbox, folder) if folder else []

    def _item(self, a: int, b: int) -> tuple[Setup, oracle.Item | None]:
        profile = self.player._profile(a)
        found = self._items(profile)
        return profile, found[b % len(found)] if found else None

    def _patch_item(self, profile: Setup, item: oracle.Item, body: dict[str, Any]) -> None:
        self.player._in_outlook("PATCH", f"contacts/{item.id}", body, profile.mailbox)

    def do_ol_edit(self, a: int, b: int, name: str, variant: int) -> None:
        profile, item = self._item(a, b)
        if item is not None:
            self._edit_item(profile, item, name, self.player._value(name, variant, long=True))

    def do_ol_clear(self, a: int, b: int, name: str, _variant: int) -> None:
        profile, item = self._item(a, b)
        if item is not None:
            self._edit_item(profile, item, name, "")

    def _edit_item(self, profile: Setup, item: oracle.Item, name: str, value: str) -> None:
        if name == "country" and value:
            value = {"NL": "Nederland", "BE": "België", "DE": "Duitsland", "FR": "Frankrijk"}.get(
                value, value
            )
        self._patch_item(profile, item, _item_body(item, name, value))
        self.player.oracle.typed_in(item.id, value)
        over = TOGETHER.get(name, (name,)) if name != "country" else (name,)
        what = f"{profile.mailbox} {item.properties.get('displayName')}"
        self.player.typed_instead(
            what,
            (name, value),
            (profile.mailbox, item.id),
            [item.values[n] for n in over],
            was=item.values[name],
        )

    def do_own(self, a: int, b: int) -> bool:
        """A user adds what is none of the sync's business (I8)."""
        profile, item = self._item(a, b)
        if item is None:
            return False
        n = self.player._next()
        own = item.properties
        emails, phones = _addresses(item), list(own.get("businessPhones") or [])
        body: dict[str, Any] = {
            "personalNotes": f"eigen q{n}q",
            "categories": [*(own.get("categories") or []), f"Eigen {n}"],
        }
        if b % 2 and 0 < len(emails) < 3:
            body["emailAddresses"] = [*emails, {"address": f"eigen{n}@thuis.example", "name": "x"}]
            self.player.oracle.typed.add(f"eigen{n}@thuis.example")
        if a % 2 and 0 < len(phones) < 2:
            body["businessPhones"] = [*phones, f"+49 30 5{n:06}"]
            self.player.oracle.typed.add(mapped.normal("phone", f"+49 30 5{n:06}"))
        self._patch_item(profile, item, body)
        return True

    def do_comma(self, a: int, b: int) -> bool:
        """A user types a further address with a comma, which nobody can read (F32)."""
        profile, item = self._item(a, b)
        emails = _addresses(item) if item else []
        if item is None or len(emails) > 2:
            return False
        broken = {"name": f"eigen q{self.player._next()}q", "address": UNREADABLE}
        self._patch_item(profile, item, {"emailAddresses": [*emails, broken]})
        return True

    def do_private(self, a: int, b: int) -> bool:
        """A user flags an item private or confidential (F31): from now on nothing of it may go to BC (I14)."""
        profile, item = self._item(a, b)
        if item is None:
            return False
        self._flag(profile, item, 2 + b % 2)
        self.player.oracle.flagged.setdefault(item.id, set())
        return True

    def do_public(self, a: int, _b: int) -> None:
        """A user takes the flags of a folder back: what was typed meanwhile may go."""
        profile = self.player._profile(a)
        for item in self._items(profile):
            if item.id in self.player.oracle.flagged:
                self._flag(profile, item, 0)
                del self.player.oracle.flagged[item.id]

    def _flag(self, profile: Setup, item: oracle.Item, value: int) -> None:
        body = {"mailbox": profile.mailbox, "contact": item.id, "value": value}
        self.player._graph("sensitivity", body)

    def do_drop_first(self, a: int, b: int) -> bool:
        """A user removes the first address; an own one moves up."""
        profile, item = self._item(a, b)
        emails = _addresses(item) if item else []
        if item and emails:
            self.player.oracle.typed_over([emails[0]])
            self._patch_item(profile, item, {"emailAddresses": emails[1:]})
        return bool(emails)

    def do_ol_add(self, a: int, b: int) -> None:
        profile = self.player._profile(a)
        folder = self.player._folder(profile)
        if folder is None:
            return
        n = self.player._next()
        taken = self.player.bc._contact(b)
        address = taken["email"] if taken and taken["email"] and b % 4 == 0 else f"q{n}q@nieuw.example"
        body: dict[str, Any] = {"jobTitle": f"Baan q{n}q"}
        if b % 7:
            body["displayName"] = f"Nieuw q{n}q"
        if b % 5:
            body["emailAddresses"] = [{"address": address, "name": "x"}]
        made = self.player._in_outlook("POST", f"contactFolders/{folder}/contacts", body, profile.mailbox)
        self.player.oracle.users_items.add(made["id"])
        self.player._typed("new in Outlook", "job", f"Baan q{n}q", (profile.mailbox, made["id"]))
        self.player.oracle.typed |= {mapped.normal("email", address), mapped.normal("name", f"Nieuw q{n}q")}

    def do_ol_delete(self, a: int, b: int) -> None:
        profile, item = self._item(a, b)
        if item:
            self.player.oracle.users_deletes.add(item.id)
            self.player._in_outlook("DELETE", f"contacts/{item.id}", None, profile.mailbox)
            self.player.oracle.typed_over(list(item.values.values()))

    def do_purge(self, a: int, _b: int) -> None:
        """A user empties Deleted Items."""
        mailbox = self.player._profile(a).mailbox
        gone = [i for i in self.player.scene().items[mailbox].values() if i.folder == "deleteditems"]
        self.player.oracle.typed_over([item.properties for item in gone])
        self.player._graph("purge", {"mailbox": mailbox})

    def do_move_out(self, a: int, b: int) -> bool:
        profile, item = self._item(a, b)
        if item:
            self._move(profile, item, "Prive")
            self.player.oracle.typed_over(list(item.values.values()))
        return item is not None

    def do_move_back(self, a: int, b: int) -> bool:
        profile = self.player._profile(a)
        folder = self.player._folder(profile)
        out = [
            i
            for i in self.player.scene().items[profile.mailbox].values()
            if i.bc_id and i.folder in ("Prive", "deleteditems")
        ]
        out.sort(key=lambda i: (i.created, i.version))
        if folder and out:
            self._move(profile, out[b % len(out)], folder)
        return bool(folder and out)

    def _move(self, profile: Setup, item: oracle.Item, to: str) -> None:
        self.player.oracle.moved_about = True
        self.player.oracle.users_items.add(item.id)
        self.player.oracle.users_deletes.discard(item.id)
        self.player._graph("move", {"mailbox": profile.mailbox, "contact": item.id, "to": to})

    def do_copy(self, a: int, b: int) -> bool:
        profile, item = self._item(a, b)
        if item:
            made = self.player._graph("copy", {"mailbox": profile.mailbox, "contact": item.id})
            self.player.oracle.users_items.add(made["immutable_id"])
        return item is not None


def _addresses(item: oracle.Item) -> list[dict[str, Any]]:
    """The entries as a user sends them, those that nobody can read as they were typed."""
    return [{"address": UNREADABLE, **entry} for entry in item.properties.get("emailAddresses") or []]


def _item_body(item: oracle.Item, name: str, value: str) -> dict[str, Any]:
    own = item.properties
    if name == "email":
        rest = _addresses(item)[1:]
        return {"emailAddresses": ([{"address": value, "name": "x"}] if value else []) + rest}
    if name == "phone":
        rest = list(own.get("businessPhones") or [])[1:]
        return {"businessPhones": ([value] if value else []) + rest}
    if name in ("street", "city", "county", "post", "country"):
        key = {
            "street": "street",
            "city": "city",
            "county": "state",
            "post": "postalCode",
            "country": "countryOrRegion",
        }[name]
        return {"businessAddress": {**(own.get("businessAddress") or {}), key: value or None}}
    if name == "email2":
        first, *rest = _addresses(item) or [{"address": "", "name": ""}]
        return {"emailAddresses": [first, *([{"address": value, "name": "x"}] if value else []), *rest[1:]]}
    return {(mapped.SCALARS | mapped.PARTS)[name]: value or None}
