"""What the names in a path of Graph stand for: a mailbox, a folder, a contact."""

from __future__ import annotations

from sandbox.graph.ids import parse_folder_id
from sandbox.graph.mailbox import CONTACTS, DELETED_ITEMS, Contact, Folder, Mailbox
from sandbox.wire import ApiError, Call
from sandbox.world import World


class Places:
    """Finds what a path names, or raises the refusal."""

    def __init__(self, world: World) -> None:
        self.world = world

    def mailbox(self, call: Call, values: dict[str, str]) -> Mailbox:
        """Return the mailbox of the user in a path, and note it on the call."""
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

    def folder(self, mailbox: Mailbox, text: str | None, *, code: str = "ErrorItemNotFound") -> Folder:
        """Return a folder by its id or its well-known name; without a name the default one."""
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

    def contact(self, call: Call, values: dict[str, str]) -> tuple[Mailbox, Contact]:
        """Return the contact in a path, and its mailbox; a folder in the path must be the one it is in."""
        mailbox = self.mailbox(call, values)
        contact = mailbox.find(values["contact"])
        if contact is None:
            if len(values["contact"]) < 40:
                raise ApiError(400, "ErrorInvalidIdMalformed", "Id is malformed.")
            raise ApiError(404, "ErrorItemNotFound", "The specified object was not found in the store.")
        if "folder" in values:
            folder = self.folder(mailbox, values["folder"])
            if contact.folder != folder.number:
                raise ApiError(404, "ErrorItemNotFound", "The specified object was not found in the store.")
        return mailbox, contact
