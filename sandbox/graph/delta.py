"""Delta queries on the contacts of one folder: rounds, pages and opaque links."""

from __future__ import annotations

import base64
import binascii
from random import Random
from typing import Any

import orjson

from sandbox.graph.contact import SELECTABLE, View, parse_select
from sandbox.graph.ids import immutable_id, item_id
from sandbox.graph.mailbox import Folder, Mailbox
from sandbox.graph.rounds import Entry, Round
from sandbox.guids import make_uuid
from sandbox.wire import ApiError, Call
from sandbox.world import World

ALLOWED = frozenset(("$select", "$top", "$deltatoken", "$skiptoken", "$expand"))


def encode(token: dict[str, Any]) -> str:
    """Return an opaque token."""
    return base64.urlsafe_b64encode(orjson.dumps(token)).decode().rstrip("=")


def decode(text: str) -> dict[str, Any]:
    """Return what a token of ours holds; anything else gives an empty one."""
    try:
        token = orjson.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    except (ValueError, binascii.Error):
        return {}
    return token if isinstance(token, dict) else {}


def expired(world: World) -> ApiError:
    """Return the error that makes a client start again from nothing."""
    status = int(world.settings.switches["graph_delta_expired"])
    return ApiError(status, "SyncStateNotFound", "The sync state generation is not found.")


class Delta:
    """Answers delta requests for one folder of one mailbox."""

    def __init__(self, world: World, mailbox: Mailbox, folder: Folder, link: str) -> None:
        self.world = world
        self.mailbox = mailbox
        self.folder = folder
        self.link = link

    def page(self, call: Call, view: View) -> dict[str, Any]:
        """Return one page with its next or delta link."""
        unknown = set(call.query) - ALLOWED
        if unknown:
            raise ApiError(
                400, "ErrorInvalidUrlQuery", "Change tracking does not support these query options."
            )
        if "$expand" in call.query:
            raise ApiError(500, "ErrorInternalServerError", "Value cannot be null.")
        key, offset, skip_empty = self._position(call)
        a_round = self.world.rounds[key] if key in self.world.rounds else self._open(call, view)
        settings = self.world.settings
        most = int(settings.limit("graph_delta_page") or 10**9)
        size = min(call.page_size() or int(call.query.get("$top", "0") or 0) or 10, most)
        chance = settings.options["delta_empty_pages"]
        if chance and not skip_empty and Random(f"{key}{offset}{a_round.upto}").random() < chance:
            return {"value": [], "@odata.nextLink": self._next(key, a_round, offset, skip_empty=True)}
        view.select = a_round.select
        entries = a_round.entries[offset : offset + size]
        page: dict[str, Any] = {"value": [self._write(entry, a_round, view) for entry in entries]}
        if offset + size < len(a_round.entries):
            page["@odata.nextLink"] = self._next(key, a_round, offset + size)
        else:
            page["@odata.deltaLink"] = self._delta_link(a_round)
        return page

    def _position(self, call: Call) -> tuple[str, int, bool]:
        if "$skiptoken" not in call.query:
            return "", 0, False
        token = decode(call.query["$skiptoken"])
        a_round = self.world.rounds.get(token.get("r", ""))
        if a_round is None or a_round.epoch != self.mailbox.delta_epoch:
            raise expired(self.world)
        if (a_round.mailbox, a_round.folder) != (self.mailbox.user_id, self.folder.number):
            raise ApiError(400, "SyncStateInvalid", "The sync state belongs to another folder.")
        return token["r"], int(token["o"]), bool(token.get("x"))

    def _open(self, call: Call, view: View) -> Round:
        now, options = self.world.clock.now(), self.world.settings.options
        upto = self.mailbox.visible_usn(now, options["delta_lag_seconds"])
        since, select = 0, parse_select(call.query.get("$select"), SELECTABLE)
        if "$deltatoken" in call.query:
            token = decode(call.query["$deltatoken"])
            if (token.get("w"), token.get("e")) != (self.world.nonce, self.mailbox.delta_epoch):
                raise expired(self.world)
            if (token.get("m"), token.get("f")) != (self.mailbox.user_id, self.folder.number):
                raise ApiError(400, "SyncStateInvalid", "The sync state belongs to another folder.")
            since, select = int(token["u"]), tuple(token["s"])
        upto = max(upto, since)
        a_round = Round(
            self.mailbox.user_id, self.folder.number, since, upto, select, self.mailbox.delta_epoch
        )
        a_round.entries = self._entries(a_round, immutable=view.immutable)
        return a_round

    def _entries(self, a_round: Round, *, immutable: bool) -> list[Entry]:
        present: list[Entry] = []
        for number, usn in reversed(self.folder.changes.items()):
            if usn <= a_round.since:
                break
            if usn <= a_round.upto:
                present.append(Entry(number))
        removed = self._removed(a_round) if a_round.since or self._shows_old_removals() else []
        if immutable:
            gone = {entry.number for entry in removed}
            if self.world.settings.is_on("graph_delta_returned", "removed"):
                present = [entry for entry in present if entry.number not in gone]
            else:
                removed = [entry for entry in removed if entry.number not in self.folder.changes]
        entries = present[::-1] + removed[::-1]
        return self._disordered(entries, a_round)

    def _removed(self, a_round: Round) -> list[Entry]:
        removed: list[Entry] = []
        for (number, moves), usn in reversed(self.folder.gone.items()):
            if usn <= a_round.since:
                break
            if usn <= a_round.upto:
                removed.append(Entry(number, moves))
        return removed

    def _shows_old_removals(self) -> bool:
        return bool(self.world.settings.options["delta_removed_in_first_round"])

    def _disordered(self, entries: list[Entry], a_round: Round) -> list[Entry]:
        options = self.world.settings.options
        random = Random(f"{self.world.seed}/{self.mailbox.user_id}/{self.folder.number}/{a_round.upto}")
        if options["delta_duplicates"]:
            entries = entries + [e for e in entries if random.random() < options["delta_duplicates"]]
        if options["delta_shuffle"]:
            random.shuffle(entries)
        return entries

    def _write(self, entry: Entry, a_round: Round, view: View) -> dict[str, Any]:
        contact = self.mailbox.contacts.get(entry.number)
        if entry.moves is None and contact is not None and contact.folder == self.folder.number:
            if a_round.since and self.world.settings.is_on("graph_delta_body", "partial"):
                names = self._changed(entry.number, contact.entered, a_round)
                if names is not None:
                    wanted = tuple(name for name in names if not a_round.select or name in a_round.select)
                    return View(immutable=view.immutable, select=wanted or ("id",)).write(
                        self.mailbox, contact
                    )
            return view.write(self.mailbox, contact)
        moves = entry.moves if entry.moves is not None else max(contact.moves - 1 if contact else 0, 0)
        key = self.mailbox.key
        gone_id = immutable_id(key, entry.number) if view.immutable else item_id(key, entry.number, moves)
        return {"id": gone_id, "@removed": {"reason": "deleted"}}

    def _changed(self, number: int, entered: int, a_round: Round) -> tuple[str, ...] | None:
        if entered > a_round.since:
            return None
        changes = self.mailbox.touched.get(number, [])
        return tuple(dict.fromkeys(name for usn, names in changes if usn > a_round.since for name in names))

    def _next(self, key: str, a_round: Round, offset: int, *, skip_empty: bool = False) -> str:
        if not key:
            self.world.issued += 1
            key = make_uuid("round", self.world.nonce, self.world.issued)
            self.world.keep_round(key, a_round)
        return f"{self.link}?$skiptoken={encode({'r': key, 'o': offset, 'x': skip_empty})}"

    def _delta_link(self, a_round: Round) -> str:
        token = {
            "w": self.world.nonce,
            "m": self.mailbox.user_id,
            "f": self.folder.number,
            "u": a_round.upto,
            "s": a_round.select,
            "e": a_round.epoch,
        }
        return f"{self.link}?$deltatoken={encode(token)}"
