"""Microsoft Graph: users, contact folders and contacts."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from urllib.parse import quote

from sandbox.graph import contact as graph_contact
from sandbox.graph.contact import View
from sandbox.graph.delta import Delta, decode, encode, expired
from sandbox.graph.ids import is_change_key
from sandbox.graph.mailbox import CONTACTS, DELETED_ITEMS, Contact, Folder, Mailbox
from sandbox.graph.query import contact_filter, folder_filter, sort_contacts
from sandbox.graph.users import Users
from sandbox.router import Router
from sandbox.wire import JSON_GRAPH, ApiError, Call, Reply, parse_integer
from sandbox.world import World

READERS = frozenset(("Contacts.Read", "Contacts.ReadWrite"))
FOLDER_KEYS = frozenset(("id", "displayName", "parentFolderId"))
# Functions may be written as OData calls them; Microsoft's own SDK does.
DELTA_FORMS = frozenset(("delta()", "microsoft.graph.delta", "microsoft.graph.delta()"))
LIST_OPTIONS = frozenset(("$select", "$top", "$skip", "$filter", "$orderby", "$expand", "$count"))


class Graph:
    """Handles single operations, whether they came alone or in a batch."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.users = Users(world)
        self.router = Router()
        add = self.router.add
        self.users.register(self.router)
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
        for owner in ("/users/{user}", "/users/{user}/contactFolders/{folder}"):
            add("GET", f"{owner}/contacts", self.list_contacts)
            add("POST", f"{owner}/contacts", self.create_contact)
            add("GET", f"{owner}/contacts/delta", self.contact_delta)
            add("GET", f"{owner}/contacts/{{contact}}", self.get_contact)
            add("PATCH", f"{owner}/contacts/{{contact}}", self.update_contact)
            add("DELETE", f"{owner}/contacts/{{contact}}", self.delete_contact)
            add("POST", f"{owner}/contacts/{{contact}}/permanentDelete", self.purge_contact)
        add("POST", "/users/{user}/translateExchangeIds", self.translate_ids)

    def handle(self, call: Call) -> Reply:
        """Return the answer to one operation, errors included."""
        try:
            if call.segments[:1] == ["me"]:
                message = "/me request is only valid with delegated authentication flow."
                raise ApiError(400, "BadRequest", message)
            if call.segments and call.segments[-1] in DELTA_FORMS:
                call.segments = [*call.segments[:-1], "delta"]
            handler, values = self.router.find(call)
            if len(call.segments) > 2:
                self._check_role(call)
            reply = handler(call, values)
        except ApiError as error:
            return problem(call, error)
        reply.content_type = JSON_GRAPH
        applied = self._applied(call)
        if applied:
            reply.headers["Preference-Applied"] = applied
        return reply

    def _check_role(self, call: Call) -> None:
        granted = READERS.intersection(call.roles)
        if not granted or (call.method != "GET" and "Contacts.ReadWrite" not in granted):
            raise ApiError(403, "ErrorAccessDenied", "Access is denied. Check credentials and try again.")

    @staticmethod
    def _applied(call: Call) -> str:
        applied = []
        if is_immutable(call):
            applied.append('IdType="ImmutableId"')
        if call.page_size() and call.method == "GET":
            applied.append(f"odata.maxpagesize={call.page_size()}")
        return ", ".join(applied)

    # Mailboxes, folders and contacts by the names in a path

    def _mailbox(self, call: Call, values: dict[str, str]) -> Mailbox:
        mailbox = self.world.find_mailbox(values["user"])
        if mailbox is None or mailbox.state == "removed":
            raise ApiError(404, "ErrorInvalidUser", f"The requested user '{values['user']}' is invalid.")
        call.mailbox = mailbox.user_principal_name
        if mailbox.state == "no_mailbox":
            message = "The mailbox is either inactive, soft-deleted, or is hosted on-premise."
            raise ApiError(404, "MailboxNotEnabledForRESTAPI", message)
        if mailbox.state == "policy_denied" and call.identity != "user":
            message = (
                "Access to OData is disabled: [RAOP] : Blocked by the tenant's AppOnly AccessPolicy settings."
            )
            raise ApiError(403, "ErrorAccessDenied", message)
        return mailbox

    def _folder(self, mailbox: Mailbox, text: str | None, *, code: str = "ErrorItemNotFound") -> Folder:
        from sandbox.graph.ids import parse_folder_id

        aliases = {"contacts": CONTACTS, "deleteditems": DELETED_ITEMS}
        number: int | None
        if text is None:
            number = CONTACTS
        elif text.lower() in aliases and self.world.settings.is_on("graph_folder_alias", "serve"):
            number = aliases[text.lower()]
        else:
            number = parse_folder_id(mailbox.key, text)
        folder = mailbox.folders.get(number) if number is not None else None
        if folder is None:
            if number is None and text is not None and len(text) < 40:
                raise ApiError(400, "ErrorInvalidIdMalformed", "Id is malformed.")
            raise ApiError(404, code, "The specified object was not found in the store.")
        return folder

    def _contact(self, call: Call, values: dict[str, str]) -> tuple[Mailbox, Contact]:
        mailbox = self._mailbox(call, values)
        contact = mailbox.find(values["contact"])
        if contact is None:
            if len(values["contact"]) < 40:
                raise ApiError(400, "ErrorInvalidIdMalformed", "Id is malformed.")
            raise ApiError(404, "ErrorItemNotFound", "The specified object was not found in the store.")
        if "folder" in values:
            folder = self._folder(mailbox, values["folder"])
            if contact.folder != folder.number:
                raise ApiError(404, "ErrorItemNotFound", "The specified object was not found in the store.")
        return mailbox, contact

    # Folders

    def list_folders(self, call: Call, values: dict[str, str]) -> Reply:
        """GET contactFolders: the children of the default folder, which itself is not listed."""
        mailbox = self._mailbox(call, values)
        parent = self._folder(mailbox, values.get("folder"))
        matches = folder_filter(call.query.get("$filter"))
        found = [f for f in mailbox.children(parent.number) if matches is None or matches(f)]
        expand = graph_contact.parse_expand(call.query.get("$expand"))
        page = self._page(call, found, f"users('{quote(values['user'])}')/contactFolders")
        page["value"] = [
            self._write_folder(mailbox, f, expand, call.query.get("$select")) for f in page["value"]
        ]
        return Reply(200, page)

    def get_folder(self, call: Call, values: dict[str, str]) -> Reply:
        """GET contactFolders/{id}."""
        mailbox = self._mailbox(call, values)
        folder = self._folder(mailbox, values["folder"])
        expand = graph_contact.parse_expand(call.query.get("$expand"))
        body = self._write_folder(mailbox, folder, expand, call.query.get("$select"))
        return Reply(200, {"@odata.context": self._context(call, values, "contactFolders/$entity"), **body})

    def create_folder(self, call: Call, values: dict[str, str]) -> Reply:
        """POST contactFolders or childFolders."""
        mailbox = self._mailbox(call, values)
        parent = self._folder(mailbox, values.get("folder"))
        body = self._folder_body(call)
        name = self._folder_name(body, mailbox, parent.number, None)
        extended = graph_contact.merge_extended(None, graph_contact.extended_values(body))
        folder = mailbox.create_folder(name, parent.number, self.world.clock.now())
        folder.extended = extended or {}
        call.notes["written"] = "folders_created"
        context = self._context(call, values, "contactFolders/$entity")
        return Reply(201, {"@odata.context": context, **self._write_folder(mailbox, folder)})

    def update_folder(self, call: Call, values: dict[str, str]) -> Reply:
        """PATCH contactFolders/{id}: rename, or set extended properties."""
        mailbox = self._mailbox(call, values)
        folder = self._folder(mailbox, values["folder"])
        body = self._folder_body(call)
        extended = graph_contact.merge_extended(folder.extended, graph_contact.extended_values(body))
        if "displayName" in body:
            if folder.number in (CONTACTS, DELETED_ITEMS):
                raise ApiError(400, "ErrorInvalidRequest", "Distinguished folders cannot be renamed.")
            folder.name = self._folder_name(body, mailbox, folder.parent or CONTACTS, folder)
        folder.extended = extended or {}
        folder.usn = mailbox.next_usn(self.world.clock.now())
        call.notes["written"] = "folders_updated"
        context = self._context(call, values, "contactFolders/$entity")
        return Reply(200, {"@odata.context": context, **self._write_folder(mailbox, folder)})

    def delete_folder(self, call: Call, values: dict[str, str]) -> Reply:
        """DELETE contactFolders/{id}: gone with its contents."""
        mailbox = self._mailbox(call, values)
        folder = self._folder(mailbox, values["folder"])
        if folder.number in (CONTACTS, DELETED_ITEMS):
            raise ApiError(400, "ErrorDeleteDistinguishedFolder", "Distinguished folders cannot be deleted.")
        mailbox.delete_folder(folder, self.world.clock.now())
        call.notes["written"] = "folders_deleted"
        return Reply(204)

    def folder_delta(self, call: Call, values: dict[str, str]) -> Reply:
        """GET contactFolders/delta: what changed among the folders, in one page."""
        mailbox = self._mailbox(call, values)
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
            if name not in FOLDER_KEYS and "@odata." not in name and name != graph_contact.EXTENDED:
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

    # Contacts

    def list_contacts(self, call: Call, values: dict[str, str]) -> Reply:
        """GET contacts of the default folder or of the named one."""
        mailbox = self._mailbox(call, values)
        folder = self._folder(mailbox, values.get("folder"))
        if set(call.query) - LIST_OPTIONS:
            raise ApiError(400, "ErrorInvalidUrlQuery", "The query option is not supported on contacts.")
        matches = contact_filter(call.query.get("$filter"))
        if matches is not None and "$orderby" in call.query:
            raise ApiError(400, "ErrorInvalidUrlQueryFilter", "The restriction or sort order is too complex.")
        view = self._view(call)
        is_wide = self.world.settings.is_on("graph_filter_scope", "mailbox")
        by_property = matches is not None and "singleValueExtendedProperties" in call.query["$filter"]
        if by_property and self.world.settings.is_on("graph_filtered_property", "omit"):
            view.expand = ()
        contacts = [mailbox.contacts[number] for number in folder.changes]
        if by_property and is_wide:
            contacts = list(mailbox.contacts.values())
        found = sort_contacts(
            [c for c in contacts if matches is None or matches(c)], call.query.get("$orderby")
        )
        page = self._page(call, found, f"users('{quote(values['user'])}')/contacts")
        page["value"] = [view.write(mailbox, contact, in_list=True) for contact in page["value"]]
        return Reply(200, page)

    def get_contact(self, call: Call, values: dict[str, str]) -> Reply:
        """GET one contact, in whatever folder it is."""
        mailbox, contact = self._contact(call, values)
        return Reply(200, self._entity(call, values, mailbox, contact))

    def create_contact(self, call: Call, values: dict[str, str]) -> Reply:
        """POST contacts: nothing prevents a second identical one."""
        mailbox = self._mailbox(call, values)
        folder = self._folder(mailbox, values.get("folder"))
        body = call.json_object()
        extended = graph_contact.merge_extended(None, graph_contact.extended_values(body))
        fields = graph_contact.apply({}, body, self.world.settings)
        contact = mailbox.add(folder, fields, extended, self.world.clock.now())
        call.notes["written"] = "contacts_created"
        return Reply(201, self._entity(call, values, mailbox, contact))

    def update_contact(self, call: Call, values: dict[str, str]) -> Reply:
        """PATCH one contact."""
        mailbox, contact = self._contact(call, values)
        self._check_version(call, mailbox, contact)
        body = call.json_object()
        new = graph_contact.extended_values(body)
        old = contact.fields
        fields = graph_contact.apply(old, body, self.world.settings)
        extended = graph_contact.merge_extended(contact.extended, new)
        same = fields == old and extended == contact.extended
        if not (same and self.world.settings.is_on("graph_noop_patch", "keep")):
            names = tuple(name for name in {**old, **fields} if old.get(name) != fields.get(name))
            contact.fields, contact.extended = fields, extended
            mailbox.log_change(contact, names, self.world.clock.now())
        call.notes["written"] = "contacts_updated"
        return Reply(200, self._entity(call, values, mailbox, contact))

    def delete_contact(self, call: Call, values: dict[str, str]) -> Reply:
        """DELETE one contact: to Deleted Items."""
        mailbox, contact = self._contact(call, values)
        self._check_version(call, mailbox, contact)
        mailbox.delete(contact, self.world.clock.now())
        call.notes["written"] = "contacts_deleted"
        return Reply(204)

    def purge_contact(self, call: Call, values: dict[str, str]) -> Reply:
        """POST permanentDelete: gone for good, with no stop in Deleted Items.

        It lies where no mail client gets to (https://learn.microsoft.com/graph/api/contact-permanentdelete).
        """
        mailbox, contact = self._contact(call, values)
        mailbox.purge(contact, self.world.clock.now())
        call.notes["written"] = "contacts_deleted"
        return Reply(204)

    def contact_delta(self, call: Call, values: dict[str, str]) -> Reply:
        """GET contacts/delta of a folder."""
        mailbox = self._mailbox(call, values)
        folder = self._folder(mailbox, values.get("folder"), code="ErrorSyncFolderNotFound")
        link = f"{call.base}/graph/v1.0{quote(call.path)}"
        page = Delta(self.world, mailbox, folder, link).page(
            call, View(immutable=is_immutable(call), other_parent=self._other_parent())
        )
        return Reply(200, {"@odata.context": f"{call.base}/graph/v1.0/$metadata#Collection(contact)", **page})

    def translate_ids(self, call: Call, values: dict[str, str]) -> Reply:
        """POST translateExchangeIds between the default and the immutable form."""
        mailbox = self._mailbox(call, values)
        body = call.json_object()
        ids, target = body.get("inputIds") or [], str(body.get("targetIdType", "")).lower()
        if not isinstance(ids, list) or len(ids) > 1000 or target not in ("restid", "restimmutableentryid"):
            raise ApiError(400, "ErrorInvalidRequest", "Up to 1000 ids and a known target type are expected.")
        pairs = []
        for text in ids:
            contact = mailbox.find(str(text))
            if contact is not None:
                new = mailbox.item_id(contact, immutable=target == "restimmutableentryid")
                pairs.append({"sourceId": text, "targetId": new})
        return Reply(200, {"value": pairs})

    # Small helpers

    def _check_version(self, call: Call, mailbox: Mailbox, contact: Contact) -> None:
        wanted = call.headers.get("if-match", "*").strip()
        if wanted == "*" or self.world.settings.is_on("graph_if_match", "ignore"):
            return
        version = wanted.removeprefix("W/").strip('"')
        if not is_change_key(version):
            raise ApiError(400, "ErrorInvalidChangeKey", "The change key is invalid.")
        if version != mailbox.change_key(contact):
            message = (
                "The change key passed in the request does not match the current change key for the item."
            )
            raise ApiError(412, "ErrorIrresolvableConflict", message)

    def _view(self, call: Call) -> View:
        select = graph_contact.parse_select(call.query.get("$select"), graph_contact.SELECTABLE)
        return View(
            immutable=is_immutable(call),
            select=select,
            expand=graph_contact.parse_expand(call.query.get("$expand")),
            other_parent=self._other_parent(),
        )

    def _other_parent(self) -> bool:
        return not self.world.settings.is_on("graph_parent_id", "same")

    def _entity(
        self, call: Call, values: dict[str, str], mailbox: Mailbox, contact: Contact
    ) -> dict[str, Any]:
        view = self._view(call)
        if call.method != "GET":
            view.expand = ()
        return {
            "@odata.context": self._context(call, values, "contacts/$entity"),
            **view.write(mailbox, contact),
        }

    def _context(self, call: Call, values: dict[str, str], what: str) -> str:
        return f"{call.base}/graph/v1.0/$metadata#users('{quote(values['user'])}')/{what}"

    def _page(self, call: Call, items: Iterable[Any], what: str) -> dict[str, Any]:
        """Return a page of a list with the ``$skip`` kind of next link; the items are not yet written."""
        found = list(items)
        most = int(self.world.settings.limit("graph_list_page") or 10**9)
        size = min(call.page_size() or parse_integer(call.query, "$top") or 10, most)
        skip = parse_integer(call.query, "$skip") or 0
        page: dict[str, Any] = {"@odata.context": f"{call.base}/graph/v1.0/$metadata#{what}"}
        if call.query.get("$count", "").lower() == "true":
            page["@odata.count"] = len(found)
        page["value"] = found[skip : skip + size]
        if skip + size < len(found):
            query = {**call.query, "$skip": str(skip + size)}
            text = "&".join(f"{quote(name, safe='$')}={quote(value)}" for name, value in query.items())
            page["@odata.nextLink"] = f"{call.base}/graph/v1.0{quote(call.path)}?{text}"
        return page


def is_immutable(call: Call) -> bool:
    """Return whether the caller asked for immutable ids."""
    return (call.prefer("IdType") or "").lower() == "immutableid"


def problem(call: Call, error: ApiError) -> Reply:
    """Return an error in Graph's shape."""
    inner = {"date": "", "request-id": "", "client-request-id": call.headers.get("client-request-id", "")}
    inner.update(call.notes.get("ids", {}))
    body = {"error": {"code": error.code, "message": error.message, "innerError": inner}}
    return Reply(error.status, body, dict(error.headers), content_type=JSON_GRAPH)
