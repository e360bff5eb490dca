"""The whole state of the sandbox: apps, companies, mailboxes, groups, and what tokens and links refer to."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field

from sandbox.business_central.table import Company
from sandbox.clock import Clock
from sandbox.graph.directory import Directory
from sandbox.graph.mailbox import Mailbox
from sandbox.graph.rounds import Round
from sandbox.guids import make_uuid
from sandbox.settings import Settings

GRAPH_ROLES = ("Contacts.ReadWrite", "User.Read.All")
BC_ROLES = ("API.ReadWrite.All",)
TENANT = "11111111-2222-4333-8444-555555555555"


@dataclass
class App:
    """An app registration: who asks for tokens, and what an administrator granted it."""

    name: str
    client_id: str
    client_secret: str
    graph_roles: tuple[str, ...] = GRAPH_ROLES
    bc_roles: tuple[str, ...] = BC_ROLES
    extra: dict[str, str] = field(default_factory=dict)


class World:
    """Everything that a reset replaces. The clock and the settings outlive it."""

    def __init__(self, clock: Clock, settings: Settings, seed: int = 1) -> None:
        self.clock = clock
        self.settings = settings
        self.seed = seed
        self.tenant_id = TENANT
        self.environment = "Production"
        self.nonce = make_uuid("world", seed)
        self.apps = [App("app", make_uuid("client", seed), "sandbox-secret-" + make_uuid("secret", seed)[:8])]
        self.companies: dict[str, Company] = {}
        self.mailboxes: dict[str, Mailbox] = {}
        self.directory = Directory()
        self.rounds: OrderedDict[str, Round] = OrderedDict()
        self.issued = 0
        self.tokens_from = 0
        self._by_name: dict[str, Mailbox] = {}

    @property
    def app(self) -> App:
        """The app that the product under test uses."""
        return self.apps[0]

    def token_key(self) -> bytes:
        """Return the key that signs this world's tokens."""
        return f"sandbox/{self.nonce}".encode()

    def user_token(self, service: str) -> str:
        """Return the token with which edits of users are made; it never expires."""
        return make_uuid("user token", self.nonce, service)

    def add_mailbox(self, mailbox: Mailbox) -> None:
        """Add a user to the tenant."""
        self.mailboxes[mailbox.user_id] = mailbox
        self._by_name[mailbox.user_principal_name.casefold()] = mailbox

    def rename_mailbox(self, mailbox: Mailbox, name: str) -> None:
        """Give a user another principal name."""
        self._by_name.pop(mailbox.user_principal_name.casefold(), None)
        mailbox.user_principal_name = mailbox.mail = name
        self._by_name[name.casefold()] = mailbox

    def find_mailbox(self, name: str) -> Mailbox | None:
        """Return a mailbox by user id or principal name."""
        return self.mailboxes.get(name.lower()) or self._by_name.get(name.casefold())

    def mailbox(self, name: str) -> Mailbox:
        """Return a mailbox by user id or principal name; KeyError when there is none."""
        found = self.find_mailbox(name)
        if found is None:
            raise KeyError(name)
        return found

    def company(self, name: str | None = None) -> Company:
        """Return a company by id or name (the first one without); KeyError when there is none."""
        if name is None:
            return next(iter(self.companies.values()))
        found = self.companies.get(name.lower())
        return found or next(c for c in self.companies.values() if c.name == name)

    def keep_round(self, key: str, a_round: Round) -> None:
        """Remember a delta round whose pages are still to be read; the oldest ones are evicted."""
        self.rounds[key] = a_round
        while len(self.rounds) > 5000:
            self.rounds.popitem(last=False)
