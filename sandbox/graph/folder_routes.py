"""The contact folders of Graph."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from sandbox.graph.answers import write_context, write_page
from sandbox.graph.contact import EXTENDED, View, extended_values, merge_extended, parse_expand
from sandbox.graph.delta import decode, encode, expired
from sandbox.graph.mailbox import CONTACTS, DELETED_ITEMS, Folder, Mailbox
from sandbox.graph.places import Places
from sandbox.graph.query import folder_filter
from sandbox.router import Router
from sandbox.wire import ApiError, Call, Reply
from sandbox.world import World

FOLDER_KEYS = frozenset(("id", "displayName", "parentFolderId"))


class FolderRoutes:
    """``contactFolders`` and ``childFolders`` of a user."""

    def __init__(self, world: World) -> None:
        self.world = world
        self._places = Places(world)

    def register(self, router: Router) -> None:
        """Add the routes."""
        add = router.add
        for folders in ("/users/{user}/contactFolders", "/users/{user}/contactFolders/{folder}/childFolders"):
            add("GET", folders, self.list_folders)
            add("POST", folders, self.create_folder)
        add("GET", "/users/{user}/contactFolders/delta", self.folder_delta)
        add("GET", "/users/{user}/contactFolders/{folder}", self.get_folder)
        add("PATCH", "/users/{user}/contactFolders/{folder}", self.update_folder)
        add("DELETE", "/users/{user}/contactFolders/{folder}", self.delete_folder)
        for parent in ("", "/{parent}/childFolders"):
            place = f"/users/{{user}}/contactFolders{parent}/{{folder}}"
            add("POST", f"{place}/permanentDelete", self.delete_folder)

    def list_folders(self, call: Call, values: dict[str, str]) -> Reply:
        """GET contactFolders: the children of the default folder, which itself is not listed."""
        mailbox = self._places.mailbox(call, values)
        parent = self._places.folder(mailbox, values.get("folder"))
        matches = folder_filter(call.query.get("$filter"))
        found = [f for f in mailbox.children(parent.number) if matches is None or matches(f)]
        expand = parse_expand(call.query.get("$expand"))
        page = write_page(
            call,
            found,
            write_context(call, values, "contactFolders"),
            lambda folder: self._write_folder(mailbox, folder, expand, call.query.get("$select")),
            most=self.world.settings.limit("graph_list_page"),
        )
        return Reply(200, page)

    def get_folder(self, call: Call, values: dict[str, str]) -> Reply:
        """GET contactFolders/{id}."""
        mailbox = self._places.mailbox(call, values)
        folder = self._places.folder(mailbox, values["folder"])
        expand = parse_expand(call.query.get("$expand"))
        body = self._write_folder(mailbox, folder, expand, call.query.get("$select"))
        return Reply(200, {"@odata.context": write_context(call, values, "contactFolders/$entity"), **body})

    def create_folder(self, call: Call, values: dict[str, str]) -> Reply:
        """POST contactFolders or childFolders."""
        mailbox = self._places.mailbox(call, values)
        parent = self._places.folder(mailbox, values.get("folder"))
        body = self._folder_body(call)
        name = self._folder_name(body, mailbox, parent.number, None)
        extended = merge_extended(None, extended_values(body))
        folder = mailbox.create_folder(name, parent.number, self.world.clock.now())
        folder.extended = extended or {}
        call.notes["written"] = "folders_created"
        context = write_context(call, values, "contactFolders/$entity")
        return Reply(201, {"@odata.context": context, **self._write_folder(mailbox, folder)})

    def update_folder(self, call: Call, values: dict[str, str]) -> Reply:
        """PATCH contactFolders/{id}: rename, or set extended properties."""
        mailbox = self._places.mailbox(call, values)
        folder = self._places.folder(mailbox, values["folder"])
        body = self._folder_body(call)
        extended = merge_extended(folder.extended, extended_values(body))
        if "displayName" in body:
            if folder.number in (CONTACTS, DELETED_ITEMS):
                raise ApiError(400, "ErrorInvalidRequest", "Distinguished folders cannot be renamed.")
            folder.name = self._folder_name(body, mailbox, folder.parent or CONTACTS, folder)
        folder.extended = extended or {}
        folder.usn = mailbox.next_usn(self.world.clock.now())
        call.notes["written"] = "folders_updated"
        context = write_context(call, values, "contactFolders/$entity")
        return Reply(200, {"@odata.context": context, **self._write_folder(mailbox, folder)})

    def delete_folder(self, call: Call, values: dict[str, str]) -> Reply:
        """DELETE contactFolders/{id}: gone with its contents."""
        mailbox = self._places.mailbox(call, values)
        folder = self._places.folder(mailbox, values["folder"])
        if folder.number in (CONTACTS, DELETED_ITEMS):
            raise ApiError(400, "ErrorDeleteDistinguishedFolder", "Distinguished folders cannot be deleted.")
        mailbox.delete_folder(folder, self.world.clock.now())
        call.notes["written"] = "folders_deleted"
        return Reply(204)

    def folder_delta(self, call: Call, values: dict[str, str]) -> Reply:
        """GET contactFolders/delta: what changed among the folders, in one page."""
        mailbox = self._places.mailbox(call, values)
        token = decode(call.query.get("$deltatoken", ""))
        if "$deltatoken" in call.query and token.get("e") != mailbox.delta_epoch:
            raise expired(self.world)
        since = int(token.get("u", 0))
        changed = [f for f in mailbox.folders.values() if f.usn > since]
        value = [self._write_folder(mailbox, f) for f in changed]
        value += [
            {"id": mailbox.folder_id(number), "@removed": {"reason": "deleted"}}
            for number, usn in mailbox.gone_folders.items()
            if usn > since > 0
        ]
        link = f"{call.base}/graph/v1.0{quote(call.path)}"
        token = {"u": mailbox.usn, "e": mailbox.delta_epoch}
        return Reply(200, {"value": value, "@odata.deltaLink": f"{link}?$deltatoken={encode(token)}"})

    @staticmethod
    def _folder_body(call: Call) -> dict[str, Any]:
        body = call.json_object()
        for name in body:
            if name not in FOLDER_KEYS and "@odata." not in name and name != EXTENDED:
                message = f"The property '{name}' does not exist on type 'microsoft.graph.contactFolder'."
                raise ApiError(400, "RequestBodyRead", message)
        return body

    def _folder_name(self, body: dict[str, Any], mailbox: Mailbox, parent: int, folder: Folder | None) -> str:
        text = body.get("displayName")
        if not isinstance(text, str) or not text.strip():
            raise ApiError(400, "ErrorInvalidRequest", "A folder needs a displayName.")
        twin = mailbox.find_folder(text, parent)
        if twin is not None and twin is not folder:
            raise ApiError(409, "ErrorFolderExists", "A folder with the specified name already exists.")
        return text

    def _write_folder(
        self, mailbox: Mailbox, folder: Folder, expand: tuple[str, ...] = (), select: str | None = None
    ) -> dict[str, Any]:
        other = self.world.settings.is_on("graph_parent_id", "all")
        body: dict[str, Any] = {
            "id": mailbox.folder_id(folder.number),
            "parentFolderId": mailbox.folder_id(folder.parent or 0, other=other),
            "displayName": folder.name,
        }
        if select:
            body = {name: body[name] for name in ("id", *select.replace(" ", "").split(",")) if name in body}
        View(immutable=False, expand=expand).write_extended(body, folder.extended)
        return body
