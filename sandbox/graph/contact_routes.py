"""The contacts of Graph."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from sandbox.graph.answers import is_immutable, write_context, write_page
from sandbox.graph.contact import (
    SELECTABLE,
    View,
    apply,
    extended_values,
    merge_extended,
    parse_expand,
    parse_select,
)
from sandbox.graph.delta import Delta
from sandbox.graph.ids import is_change_key
from sandbox.graph.mailbox import Contact, Mailbox
from sandbox.graph.places import Places
from sandbox.graph.query import contact_filter, sort_contacts
from sandbox.router import Router
from sandbox.wire import ApiError, Call, Reply
from sandbox.world import World

LIST_OPTIONS = frozenset(("$select", "$top", "$skip", "$filter", "$orderby", "$expand", "$count"))


class ContactRoutes:
    """``contacts`` of a user, in the default folder or in a named one."""

    def __init__(self, world: World) -> None:
        self.world = world
        self._places = Places(world)

    def register(self, router: Router) -> None:
        """Add the routes."""
        add = router.add
        for owner in ("/users/{user}", "/users/{user}/contactFolders/{folder}"):
            add("GET", f"{owner}/contacts", self.list_contacts)
            add("POST", f"{owner}/contacts", self.create_contact)
            add("GET", f"{owner}/contacts/delta", self.contact_delta)
            add("GET", f"{owner}/contacts/{{contact}}", self.get_contact)
            add("PATCH", f"{owner}/contacts/{{contact}}", self.update_contact)
            add("DELETE", f"{owner}/contacts/{{contact}}", self.delete_contact)
            add("POST", f"{owner}/contacts/{{contact}}/permanentDelete", self.purge_contact)
        add("POST", "/users/{user}/translateExchangeIds", self.translate_ids)

    def list_contacts(self, call: Call, values: dict[str, str]) -> Reply:
        """GET contacts of the default folder or of the named one."""
        mailbox = self._places.mailbox(call, values)
        folder = self._places.folder(mailbox, values.get("folder"))
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
        page = write_page(
            call,
            found,
            write_context(call, values, "contacts"),
            lambda contact: view.write(mailbox, contact, in_list=True),
            most=self.world.settings.limit("graph_list_page"),
        )
        return Reply(200, page)

    def get_contact(self, call: Call, values: dict[str, str]) -> Reply:
        """GET one contact, in whatever folder it is."""
        mailbox, contact = self._places.contact(call, values)
        return Reply(200, self._entity(call, values, mailbox, contact))

    def create_contact(self, call: Call, values: dict[str, str]) -> Reply:
        """POST contacts: nothing prevents a second identical one."""
        mailbox = self._places.mailbox(call, values)
        folder = self._places.folder(mailbox, values.get("folder"))
        body = call.json_object()
        extended = merge_extended(None, extended_values(body))
        fields = apply({}, body, self.world.settings)
        contact = mailbox.add(folder, fields, extended, self.world.clock.now())
        call.notes["written"] = "contacts_created"
        return Reply(201, self._entity(call, values, mailbox, contact))

    def update_contact(self, call: Call, values: dict[str, str]) -> Reply:
        """PATCH one contact."""
        mailbox, contact = self._places.contact(call, values)
        self._check_version(call, mailbox, contact)
        body = call.json_object()
        new = extended_values(body)
        old = contact.fields
        fields = apply(old, body, self.world.settings)
        extended = merge_extended(contact.extended, new)
        same = fields == old and extended == contact.extended
        if not (same and self.world.settings.is_on("graph_noop_patch", "keep")):
            names = tuple(name for name in {**old, **fields} if old.get(name) != fields.get(name))
            contact.fields, contact.extended = fields, extended
            mailbox.log_change(contact, names, self.world.clock.now())
        call.notes["written"] = "contacts_updated"
        return Reply(200, self._entity(call, values, mailbox, contact))

    def delete_contact(self, call: Call, values: dict[str, str]) -> Reply:
        """DELETE one contact: to Deleted Items."""
        mailbox, contact = self._places.contact(call, values)
        self._check_version(call, mailbox, contact)
        mailbox.delete(contact, self.world.clock.now())
        call.notes["written"] = "contacts_deleted"
        return Reply(204)

    def purge_contact(self, call: Call, values: dict[str, str]) -> Reply:
        """POST permanentDelete: gone for good, with no stop in Deleted Items.

        It lies where no mail client gets to (https://learn.microsoft.com/graph/api/contact-permanentdelete).
        """
        mailbox, contact = self._places.contact(call, values)
        mailbox.purge(contact, self.world.clock.now())
        call.notes["written"] = "contacts_deleted"
        return Reply(204)

    def contact_delta(self, call: Call, values: dict[str, str]) -> Reply:
        """GET contacts/delta of a folder."""
        mailbox = self._places.mailbox(call, values)
        folder = self._places.folder(mailbox, values.get("folder"), code="ErrorSyncFolderNotFound")
        link = f"{call.base}/graph/v1.0{quote(call.path)}"
        page = Delta(self.world, mailbox, folder, link).page(
            call, View(immutable=is_immutable(call), other_parent=self._other_parent())
        )
        return Reply(200, {"@odata.context": f"{call.base}/graph/v1.0/$metadata#Collection(contact)", **page})

    def translate_ids(self, call: Call, values: dict[str, str]) -> Reply:
        """POST translateExchangeIds between the default and the immutable form."""
        mailbox = self._places.mailbox(call, values)
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
        select = parse_select(call.query.get("$select"), SELECTABLE)
        return View(
            immutable=is_immutable(call),
            select=select,
            expand=parse_expand(call.query.get("$expand")),
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
            "@odata.context": write_context(call, values, "contacts/$entity"),
            **view.write(mailbox, contact),
        }
