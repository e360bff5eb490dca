"""What is measured: persons with every field filled, a sandbox in a process of its own, and a sync beside it."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import requests
import yaml
from demo_parts.processes import free_port
from demo_parts.sandbox import SandboxInstance
from requests.adapters import BaseAdapter, HTTPAdapter

from sandbox import Sandbox
from sync_lib.store.profiles.importing import import_profiles
from tests.sync.harness import COMPANY, Harness, person

#: The services' windows would be all that is measured: they are off on both ends.
OPEN: dict[str, Any] = {"graph_window_operations": 10**9, "bc_window_requests": 10**9}
OPEN_SANDBOX: dict[str, Any] = {"graph_window_operations": None, "bc_rate": None}
#: Nothing of what is measured here is to wait for a person.
UNGUARDED: dict[str, Any] = {
    "guard_deletes": 10**6,
    "guard_overwrites": 10**6,
    "guard_creates": 10**6,
    "guard_company_writes": 10**6,
}


def people(count: int, profiles: int = 1) -> list[dict[str, Any]]:
    """Return persons of a company with every mapped field filled; each belongs to one of the profiles by its city."""
    return [
        person(
            f"Jan van der Berg{n}",
            f"p{n}@klant.example",
            phoneNumber=f"020 555 {n % 10_000:04}",
            mobilePhoneNumber=f"+31 6 5550 {n % 10_000:04}",
            jobTitle="Inkoper",
            addressLine1=f"Kade {n}",
            city=city(n % profiles),
            postalCode="1501 AB",
            country="NL",
            lastModifiedDateTime=_changed_at(n),
        )
        for n in range(count)
    ]


def _changed_at(n: int) -> str:
    """When a contact was last changed: long ago, a minute after the one before, so that no overlap brings many."""
    return f"{datetime(2020, 1, 1, tzinfo=UTC) + timedelta(minutes=n):%Y-%m-%dT%H:%M:%SZ}"


def city(profile: int) -> str:
    """Return the city whose persons a profile shows."""
    return f"Plaats {profile}"


def mailbox(profile: int) -> str:
    """Return the mailbox of a profile."""
    return f"collega{profile}@voorbeeld.example"


def office(count: int, profiles: int) -> dict[str, Any]:
    """Return a world: one company, a mailbox a profile."""
    contacts = people(count, profiles)
    return {
        "companies": [{"name": COMPANY, "contacts": contacts}],
        "mailboxes": [mailbox(n) for n in range(profiles)],
    }


class Elsewhere:
    """A sandbox in a process of its own, as far as a harness knows one."""

    #: Its time is real.
    time = None

    def __init__(self, instance: SandboxInstance) -> None:
        self.instance = instance
        self.control = instance.control
        self._info: dict[str, Any] | None = None

    def info(self) -> dict[str, Any]:
        """Return addresses, credentials, companies and mailboxes."""
        if self._info is None:
            self._info = dict(self.control("GET", "info"))
        return self._info

    def dump(self) -> dict[str, Any]:
        """Return the whole world."""
        return dict(self.control("GET", "dump"))

    def counters(self) -> dict[str, Any]:
        """Return what was counted since the last reset."""
        return dict(self.control("GET", "counters"))

    def reset_counters(self) -> None:
        """Start counting from zero."""
        self.control("POST", "counters/reset")

    def set(self, **values: Any) -> None:
        """Set switches, limits and options by name."""
        self.control("POST", "switches", values)

    def user_token(self, service: str) -> str:
        """Return the token with which users' edits are made."""
        return str(self.info()["user_tokens"][service])

    def new_adapter(self) -> BaseAdapter:
        """Return what carries requests there."""
        return HTTPAdapter()

    def new_session(self) -> requests.Session:
        """Return a session for users' edits."""
        session = requests.Session()
        session.trust_env = False
        return session


class Client(Harness):
    """The sync as a worker runs it: its clock is the machine's, and it waits where it has to."""

    def _surroundings(self) -> dict[str, Any]:
        return {}

    def counted(self, mode: str = "incremental") -> dict[str, Any]:
        """Run once; return the counts of the services. Whatever is not good is an error: it would be no measurement."""
        self.sim.reset_counters()
        ran = self.run(mode)
        assert not ran.errors, ran.errors
        app = self.sim.counters()["app"]
        return {"writes": sum(ran.writes.values()), "graph": app["graph"], "bc": app["bc"]}

    def import_office(self, profiles: int) -> None:
        """Import the profiles of an office."""
        self.import_rows(profile_rows(profiles))

    def import_rows(self, rows: list[dict[str, Any]]) -> None:
        """Import profiles as a file would name them; others stay."""
        import_profiles(
            self.edges.engine,
            yaml.safe_dump({"profiles": rows}),
            now=self.edges.now(),
            field_profile=self.edges.business_central_settings.field_profile,
        )

    def ids(self) -> list[str]:
        """Return the ids of the company's contacts."""
        return [contact["id"] for contact in self.sim.dump()["companies"][0]["contacts"]]

    def edit(self, contact: str, title: str) -> None:
        """Let a user change the job title of a contact in Business Central."""
        self.in_bc("PATCH", f"contacts({contact})", {"jobTitle": title})


@contextmanager
def sandbox(world: Mapping[str, Any], settings: Mapping[str, Any] = OPEN_SANDBOX) -> Iterator[Elsewhere]:
    """Yield a sandbox in a process of its own, with such a world."""
    with ExitStack() as running:
        home = Path(running.enter_context(tempfile.TemporaryDirectory(prefix="contact-sync-bench-")))
        instance = SandboxInstance(home, free_port())
        running.callback(instance.program.kill)
        instance.control("POST", "reset", {"world": world, "settings": settings})
        instance.info = instance.control("GET", "info")
        yield Elsewhere(instance)


def attach(sim: Elsewhere | Sandbox, database: str, **settings: Any) -> Client:
    """Return a sync beside a sandbox; close it after use."""
    return Client(cast("Sandbox", sim), database, **{**OPEN, **UNGUARDED, **settings})


class Timed(Client):
    """The same in the time of a sandbox that is in this process."""

    def _surroundings(self) -> dict[str, Any]:
        return Harness._surroundings(self)


@contextmanager
def timed(sim: Sandbox, **settings: Any) -> Iterator[Client]:
    """Yield a sync that waits in the sandbox's own time."""
    with tempfile.TemporaryDirectory(prefix="contact-sync-bench-") as folder:
        made = Timed(sim, f"sqlite:///{Path(folder) / 'staging.db'}", **{**OPEN, **UNGUARDED, **settings})
        try:
            yield made
        finally:
            made.close()


@contextmanager
def client(sim: Elsewhere | Sandbox, **settings: Any) -> Iterator[Client]:
    """Yield a sync beside a sandbox, on a SQLite file of its own."""
    with tempfile.TemporaryDirectory(prefix="contact-sync-bench-") as folder:
        made = attach(sim, f"sqlite:///{Path(folder) / 'staging.db'}", **settings)
        try:
            yield made
        finally:
            made.close()


def profile_rows(profiles: int) -> list[dict[str, Any]]:
    """Return the profiles of an office, as a file would name them; a single one shows the whole company."""
    if profiles == 1:
        return [{"mailbox": mailbox(0), "company": COMPANY}]
    return [{"mailbox": mailbox(n), "company": COMPANY, "filter": {"City": city(n)}} for n in range(profiles)]
