"""The control plane under ``/__sim/``: what a test or a demonstration can do that no public API offers."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from sandbox import world_json
from sandbox.business_central.table import Company, changed
from sandbox.faults import FaultError
from sandbox.graph.contact import SENSITIVITY
from sandbox.graph.ids import parse_folder_id
from sandbox.graph.mailbox import CONTACTS, DELETED_ITEMS, Contact, Folder, Mailbox
from sandbox.guids import make_uuid
from sandbox.seed import Size, make_world
from sandbox.settings import SettingsError
from sandbox.wire import ApiError, Call, Reply
from sandbox.world import World

if TYPE_CHECKING:
    from sandbox.server import Server

MAILBOX_STATES = ("normal", "no_mailbox", "disabled", "policy_denied", "removed")
COMPANY_STATES = ("normal", "forbidden", "missing")
SIZES = ("seed", "companies", "contacts", "mailboxes", "per_mailbox")


class Control:
    """Answers the control plane's requests for one server."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.save: Callable[[], None] | None = None
        self._actions: dict[str, Callable[[dict[str, Any]], Any]] = {
            "GET info": lambda _: self.info(),
            "POST reset": self.reset,
            "POST save": lambda _: self._save(),
            "GET counters": lambda _: self.server.counters.to_json(),
            "POST counters/reset": lambda _: self.server.counters.reset(),
            "GET faults": lambda _: self.server.faults.to_json(),
            "POST faults": self._add_faults,
            "GET switches": lambda _: self.world.settings.to_json(),
            "POST switches": self._set,
            "GET clock": lambda _: self.world.clock.to_json(),
            "POST clock": self._clock,
            "POST late": lambda _: {"statuses": self.server.carry_out_late()},
            "POST entra/expire-tokens": lambda _: self._expire_tokens(),
            "POST entra/app": self._app,
            "POST graph/mailbox": self._mailbox,
            "POST graph/move": self._move,
            "POST graph/copy": self._copy,
            "POST graph/sensitivity": self._set_sensitivity,
            "POST graph/purge": self._purge,
            "POST graph/move-folder": self._move_folder,
            "POST graph/expire-delta": self._expire_delta,
            "POST graph/hold-delta": self._hold_delta,
            "POST bc/hold": self._hold,
            "POST bc/release": self._release,
            "POST bc/replica": self._replica,
            "POST bc/company": self._company,
            "POST bc/set": self._set_rows,
            "POST bc/compute": self._compute,
        }

    @property
    def world(self) -> World:
        """The world that is being served."""
        return self.server.world

    async def handle(self, call: Call) -> Reply:
        """Return the answer to one request; refusals say what is wrong."""
        name = f"{call.method} {'/'.join(call.segments)}"
        try:
            if call.method == "DELETE" and call.segments == ["faults"]:
                self.server.faults.clear(call.query.get("name") or call.query.get("id"))
                return Reply(200, {"ok": True})
            if name == "GET dump":
                return Reply(200, self.dump(call.query))
            if name == "GET requests":
                return Reply(200, self.requests(call.query))
            if name not in self._actions:
                return Reply(404, {"error": f"no such control: {name}", "known": sorted(self._actions)})
            result = self._actions[name](call.json() if call.body else {})
        except (
            ValueError,
            KeyError,
            TypeError,
            AttributeError,
            SettingsError,
            FaultError,
            StopIteration,
        ) as error:
            return Reply(400, {"error": f"{type(error).__name__}: {error}"})
        except ApiError as error:
            return Reply(error.status, {"error": error.message})
        return Reply(200, {"ok": True} if result is None else result)

    # The whole

    def info(self) -> dict[str, Any]:
        """Return where everything is, and with which credentials."""
        world, base = self.world, self.server.base
        return {
            "base_url": base,
            "tenant_id": world.tenant_id,
            "client_id": world.app.client_id,
            "client_secret": world.app.client_secret,
            "authority": f"{base}/{world.tenant_id}",
            "graph_root": f"{base}/graph/v1.0",
            "bc_root": f"{base}/bc/v2.0",
            "environment": world.environment,
            "companies": [{"id": c.id, "name": c.name, "state": c.state} for c in world.companies.values()],
            "mailboxes": [
                {"user_principal_name": m.user_principal_name, "id": m.user_id, "state": m.state}
                for m in world.mailboxes.values()
            ],
            "user_tokens": {"graph": world.user_token("graph"), "bc": world.user_token("bc")},
            "apps": [
                {"name": a.name, "client_id": a.client_id, "client_secret": a.client_secret}
                for a in world.apps
            ],
        }

    def reset(self, body: dict[str, Any]) -> dict[str, Any]:
        """Put a new world in place; faults and counts go, clock and settings stay unless given."""
        old = self.world
        size = Size(**{name: int(body[name]) for name in SIZES if name in body})
        settings = {
            name: body[name] for name in ("settings", "switches", "limits", "options") if name in body
        }
        for values in settings.values():
            type(old.settings)(values)
        if "world" in body:
            world = world_json.from_json(body["world"], old.clock, old.settings, seed=size.seed)
        else:
            world = make_world(size, old.clock, old.settings)
        for values in settings.values():
            old.settings.change(values)
        self.server.use(world)
        self.server.faults.clear()
        self.server.counters.reset()
        return self.info()

    def dump(self, query: dict[str, str]) -> dict[str, Any]:
        """Return the world, or the mailboxes and companies that the query names."""
        return world_json.to_json(self.world, mailbox=query.get("mailbox"), company=query.get("company"))

    def requests(self, query: dict[str, str]) -> dict[str, Any]:
        """Return the logged requests after ``since`` whose target matches ``path``."""
        since, pattern = int(query.get("since", 0)), re.compile(query.get("path", ""))
        found = [
            item for item in self.server.counters.log if item["n"] > since and pattern.search(item["target"])
        ]
        return {"requests": found, "last": self.server.counters.logged}

    def _save(self) -> None:
        if self.save is None:
            raise ValueError("the sandbox was started without a state file")
        self.save()

    def _add_faults(self, body: Any) -> dict[str, Any]:
        items = body if isinstance(body, list) else body.get("faults", [body])
        return {"faults": [self.server.faults.add(item).to_json() for item in items]}

    def _set(self, body: dict[str, Any]) -> dict[str, Any]:
        self.world.settings.change(body)
        return self.world.settings.to_json()

    def _clock(self, body: dict[str, Any]) -> dict[str, Any]:
        self.world.clock.change(body)
        return self.world.clock.to_json()

    # Entra ID

    def _expire_tokens(self) -> None:
        self.world.tokens_from = self.world.issued

    def _app(self, body: dict[str, Any]) -> None:
        app = next(a for a in self.world.apps if a.name == body.get("name", "app"))
        app.client_secret = str(body.get("client_secret", app.client_secret))
        app.graph_roles = tuple(body.get("graph_roles", app.graph_roles))
        app.bc_roles = tuple(body.get("bc_roles", app.bc_roles))

    # Outlook

    def _mailbox(self, body: dict[str, Any]) -> dict[str, Any]:
        world = self.world
        name = body["mailbox"]
        mailbox = world.find_mailbox(name)
        if mailbox is None:
            if not body.get("create"):
                raise KeyError(name)
            mailbox = world_json.new_mailbox(world, {"user_principal_name": name})
        state = body.get("state", mailbox.state)
        if state not in MAILBOX_STATES:
            raise ValueError(f"state must be one of {', '.join(MAILBOX_STATES)}")
        mailbox.state = state
        if body.get("migrate"):
            mailbox.migrate(world.clock.now())
        if "rename" in body:
            world.rename_mailbox(mailbox, body["rename"])
        if body.get("replace"):
            # The account was deleted and made again under its address.
            world.mailboxes.pop(mailbox.user_id)
            again = make_uuid("user again", mailbox.user_id)
            address = mailbox.user_principal_name
            mailbox = world_json.new_mailbox(world, {"user_principal_name": address, "id": again})
        return {"user_principal_name": mailbox.user_principal_name, "id": mailbox.user_id, "state": state}

    def _find(self, body: dict[str, Any]) -> tuple[Mailbox, Contact]:
        mailbox = self.world.mailbox(body["mailbox"])
        contact = mailbox.find(body["contact"])
        if contact is None:
            raise KeyError("there is no such contact")
        return mailbox, contact

    @staticmethod
    def find_folder(mailbox: Mailbox, text: str) -> Folder:
        """Return a folder by id, well-known name or display name."""
        known = {"contacts": CONTACTS, "deleteditems": DELETED_ITEMS}
        number = known.get(text.lower().replace(" ", ""), parse_folder_id(mailbox.key, text))
        if number is not None:
            return mailbox.folders[number]
        found = next((f for f in mailbox.folders.values() if f.name.casefold() == text.casefold()), None)
        if found is None:
            raise KeyError(text)
        return found

    def _ids(self, mailbox: Mailbox, contact: Contact) -> dict[str, str]:
        return {
            "id": mailbox.item_id(contact, immutable=False),
            "immutable_id": mailbox.item_id(contact, immutable=True),
        }

    def _move(self, body: dict[str, Any]) -> dict[str, str]:
        mailbox, contact = self._find(body)
        mailbox.move(contact, self.find_folder(mailbox, body["to"]), self.world.clock.now())
        return self._ids(mailbox, contact)

    def _copy(self, body: dict[str, Any]) -> dict[str, str]:
        mailbox, contact = self._find(body)
        target = self.find_folder(mailbox, body["to"]) if "to" in body else mailbox.folders[contact.folder]
        extended = dict(contact.extended or {})
        return self._ids(mailbox, mailbox.add(target, contact.fields, extended, self.world.clock.now()))

    def _set_sensitivity(self, body: dict[str, Any]) -> None:
        """What the button Private of Outlook does: 2 sets the flag, 0 takes it away; the version moves."""
        mailbox, contact = self._find(body)
        value = int(body.get("value", 2))
        extended = {**(contact.extended or {}), SENSITIVITY: str(value)}
        if extended != (contact.extended or {}):
            contact.extended = extended
            mailbox.log_change(contact, (), self.world.clock.now())

    def _purge(self, body: dict[str, Any]) -> None:
        if "contact" in body:
            mailbox, contact = self._find(body)
            mailbox.purge(contact, self.world.clock.now())
            return
        mailbox = self.world.mailbox(body["mailbox"])
        folder = self.find_folder(mailbox, body.get("folder", "deleteditems"))
        for number in list(folder.changes):
            mailbox.purge(mailbox.contacts[number], self.world.clock.now())

    def _move_folder(self, body: dict[str, Any]) -> dict[str, str]:
        mailbox = self.world.mailbox(body["mailbox"])
        folder, target = self.find_folder(mailbox, body["folder"]), self.find_folder(mailbox, body["to"])
        folder.parent = target.number
        folder.usn = mailbox.next_usn(self.world.clock.now())
        return {"id": mailbox.folder_id(folder.number)}

    def _chosen(self, body: dict[str, Any]) -> list[Mailbox]:
        return (
            [self.world.mailbox(body["mailbox"])]
            if "mailbox" in body
            else list(self.world.mailboxes.values())
        )

    def _expire_delta(self, body: dict[str, Any]) -> None:
        for mailbox in self._chosen(body):
            if body.get("only") == "next":
                gone = [key for key, item in self.world.rounds.items() if item.mailbox == mailbox.user_id]
                for key in gone:
                    del self.world.rounds[key]
            else:
                mailbox.delta_epoch += 1

    def _hold_delta(self, body: dict[str, Any]) -> None:
        for mailbox in self._chosen(body):
            mailbox.touch()
            mailbox.delta_held = mailbox.usn if body.get("hold", True) else None

    # Business Central

    def _company_of(self, body: dict[str, Any]) -> Company:
        return self.world.company(body.get("company"))

    def _hold(self, body: dict[str, Any]) -> None:
        self._company_of(body).hold(str(body.get("identity", "user")))

    def _release(self, body: dict[str, Any]) -> dict[str, int]:
        return {"rows": self._company_of(body).release(rollback=bool(body.get("rollback")))}

    def _replica(self, body: dict[str, Any]) -> None:
        self._company_of(body).freeze_replica(frozen=bool(body.get("frozen", True)))

    def _company(self, body: dict[str, Any]) -> None:
        company = self._company_of(body)
        state = body.get("state", company.state)
        if state not in COMPANY_STATES:
            raise ValueError(f"state must be one of {', '.join(COMPANY_STATES)}")
        company.state = state
        world_json.set_tables(company, body)

    def _compute(self, body: dict[str, Any]) -> None:
        """Give a contact other values of computed fields: neither its stamp nor its version moves."""
        company = self._company_of(body)
        values = {world_json.ATTRIBUTES[name]: value for name, value in body["values"].items()}
        company.commit(body["contact"], changed(company.rows[body["contact"]], values))

    def _set_rows(self, body: dict[str, Any]) -> dict[str, Any]:
        """Write rows past all checks, as a data import does."""
        company = self._company_of(body)
        rows = [world_json.put_row(self.world, company, item) for item in body["contacts"]]
        return {"ids": [row.id for row in rows]}
