"""Whole runs against the sandbox over real HTTP, and what users do meanwhile. Everything goes through public APIs."""

from __future__ import annotations

import itertools
import random
from dataclasses import dataclass, field, replace
from typing import Any

import yaml
from sqlalchemy import select

from sandbox import Sandbox
from sync_lib import model, pipeline, services
from sync_lib.errors import SyncError
from sync_lib.model import ProfileResult
from sync_lib.run.report import RunReport, Verdict
from sync_lib.settings import BusinessCentralSettings, GraphSettings, StagingSettings, SyncSettings
from sync_lib.store import tables as t
from sync_lib.store.engine import read
from sync_lib.store.migrate import migrate
from sync_lib.store.profiles.importing import export_profiles, import_profiles
from tests.clocks import Hasty
from tests.sync.audit import audit
from tests.transport import Watched

COMPANY = "Molenzicht BV"
FOLDER = "Business Central"


def world(*contacts: dict[str, Any], mailboxes: list[Any] | None = None, **company: Any) -> dict[str, Any]:
    """A tiny world: one company with these contacts, and one or more mailboxes."""
    return {
        "companies": [{"name": COMPANY, "contacts": list(contacts), **company}],
        "mailboxes": mailboxes or ["anna@voorbeeld.example"],
    }


def person(name: str, email: str | None = None, **fields: Any) -> dict[str, Any]:
    """A contact of Business Central of type Person."""
    address = email if email is not None else name.lower().replace(" ", ".") + "@klant.example"
    return {"type": "Person", "displayName": name, "email": address, **fields}


@dataclass
class Ran:
    """What one run came to."""

    report: RunReport
    verdict: Verdict
    errors: list[SyncError] = field(default_factory=list)

    @property
    def writes(self) -> dict[str, int]:
        return dict(self.report.writes)

    def profile(self, mailbox: str) -> ProfileResult:
        return next(p for p in self.report.profiles if p.mailbox == mailbox)

    def reasons(self, mailbox: str | None = None) -> dict[str, int]:
        found = self.report.profiles if mailbox is None else [self.profile(mailbox)]
        return {key: n for p in found for key, n in p.counters.get("reasons", {}).items()}


class Harness:
    """A sandbox, a staging database, and profiles; runs the sync as the DAG does."""

    #: Whether profiles that a run gives no task are worked on all the same, and must come to nothing (I21).
    audits = False

    def __init__(self, sim: Sandbox, database: str, **settings: Any) -> None:
        self.sim = sim
        self.database = database
        # Threads would make the order of what a simulated world is asked a matter of chance.
        at_once = {} if sim.time is None else {"graph_batches": 1}
        self.settings = replace(SyncSettings(), **at_once | settings)
        self.numbers = itertools.count(1)
        self._workers = itertools.count(1)
        self._users = sim.new_session()
        # Every worker's edges: a connection that nobody closes is an error of whichever test runs when it goes.
        self._opened: list[services.Services] = []
        self.edges = self.open()
        migrate(self.edges.engine)

    def open(self) -> services.Services:
        """Edges as a task process would open them."""
        info = self.sim.info()
        app = {
            "tenant_id": info["tenant_id"],
            "client_id": info["client_id"],
            "client_secret": info["client_secret"],
            "authority": info["base_url"],
        }
        made = services.Services(
            BusinessCentralSettings(root=info["bc_root"], environment=info["environment"], **app),
            GraphSettings(root=info["graph_root"], **app),
            StagingSettings(self.database),
            self.settings,
            **self._surroundings(),
        )
        self._opened.append(made)
        return made

    def _surroundings(self) -> dict[str, Any]:
        """Time, chance and transport of a worker: real ones, but where the sandbox has a world of its own."""
        transport = Watched(self.sim.new_adapter)
        if self.sim.time is None:
            return {"clock": Hasty(), "transport": transport}
        return {
            "clock": self.sim.time,
            "chance": random.Random(f"worker {next(self._workers)}"),
            "transport": transport,
            "staging_time": self.sim.time.time,
        }

    def close(self) -> None:
        for each in {id(each): each for each in [*self._opened, self.edges]}.values():
            each.close()
        self._opened.clear()
        self._users.close()

    def add_profiles(self, *mailboxes: str, **fields: Any) -> None:
        """Import profiles, one for each mailbox (the sandbox's first one if none is named)."""
        chosen = mailboxes or (self.sim.info()["mailboxes"][0]["user_principal_name"],)
        rows = [{"mailbox": m, "company": COMPANY, **fields} for m in chosen]
        text = yaml.safe_dump({"profiles": rows + self._others(rows)})
        import_profiles(
            self.edges.engine,
            text,
            now=self.edges.now(),
            field_profile=self.edges.business_central_settings.field_profile,
        )

    def _others(self, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Profiles that a file must name beside these rows, so that another folder is no rename (rules 1)."""
        with read(self.edges.engine) as conn:
            c = t.sync_profile.c
            found = conn.execute(select(c.mailbox, c.company_name, c.folder_asked))
            asked = {(row[0].casefold(), row[1].casefold(), row[2]) for row in found}
        if all(_place(row) in asked for row in rows):
            return []
        stored = yaml.safe_load(export_profiles(self.edges.engine))["profiles"]
        places = {_place(row) for row in rows}
        return [row for row in stored if _place(row) not in places]

    # -- runs ------------------------------------------------------------------------------------------------------

    def run(self, mode: str = "incremental", **request: Any) -> Ran:
        """One whole run, its tasks one after the other, as the DAG calls them."""
        run_id = request.pop("run_id", None) or f"manual__{next(self.numbers)}"
        errors: list[SyncError] = []
        states = {"plan_run": "success"}
        plan = pipeline.plan_run(self.edges, model.RunRequest(run_id, mode, **request))
        for company in plan.companies:
            self._try(errors, lambda c=company: pipeline.extract_business_central(self.edges, run_id, c))
        for key in self._find_work(errors, run_id):
            self._try(errors, lambda k=key: pipeline.sync_profile(self.edges, run_id, k))
        report = pipeline.finish_run(self.edges, run_id)
        # The books balance in every run of every test (rules 8.8).
        assert [p.counters.get("unbalanced", 0) for p in report.profiles] == [0] * len(report.profiles)
        return Ran(report, pipeline.run_verdict(self.edges, run_id, states), errors)

    def _find_work(self, errors: list[SyncError], run_id: str) -> list[str]:
        """The keys of the mapped tasks; a bug in deciding is no reason to map all of them here."""
        try:
            keys = pipeline.find_work(self.edges, run_id, last_try=False)
        except SyncError as error:
            errors.append(error)
            return []
        if self.audits:
            audit(self, run_id)
        return keys

    def full(self, **request: Any) -> Ran:
        return self.run("full", **request)

    @staticmethod
    def _try(errors: list[SyncError], act: Any) -> None:
        try:
            act()
        except SyncError as error:
            errors.append(error)

    # -- what the sandbox holds ------------------------------------------------------------------------------------

    def mailbox(self, name: str | None = None) -> dict[str, Any]:
        boxes = self.sim.dump()["mailboxes"]
        return next(box for box in boxes if name in (None, box["user_principal_name"]))

    def items(self, name: str | None = None, folder: str = FOLDER) -> dict[str, dict[str, Any]]:
        """Items of a folder by display name: their properties, with ``id`` and ``key``."""
        for found in self.mailbox(name)["folders"]:
            if found["name"] == folder:
                return {
                    item["properties"].get("displayName") or "": _item(item) for item in found["contacts"]
                }
        return {}

    def contacts(self) -> dict[str, dict[str, Any]]:
        """Contacts of the first company by name."""
        return {contact["displayName"]: contact for contact in self.sim.dump()["companies"][0]["contacts"]}

    def folder_id(self, name: str | None = None, folder: str = FOLDER) -> str:
        return next(str(f["id"]) for f in self.mailbox(name)["folders"] if f["name"] == folder)

    def counters(self) -> dict[str, Any]:
        return self.sim.counters()

    def app_writes(self) -> int:
        """Writes of the sync to contacts of either service since the counters were reset."""
        app = self.sim.counters()["app"]
        return sum(
            app.get(service, {}).get(f"contacts_{what}", 0)
            for service in ("graph", "bc")
            for what in ("created", "updated", "deleted")
        )

    # -- what users do ---------------------------------------------------------------------------------------------

    def in_outlook(self, method: str, path: str, body: Any = None, mailbox: str | None = None) -> Any:
        """A user's edit in Outlook; ``path`` is below the user."""
        user = mailbox or self.sim.info()["mailboxes"][0]["user_principal_name"]
        url = f"{self.sim.info()['graph_root']}/users/{user}/{path}"
        return self._as_user("graph", method, url, body, {"Prefer": 'IdType="ImmutableId"'})

    def add_item(self, mailbox: str | None = None, **properties: Any) -> dict[str, Any]:
        folder = self.folder_id(mailbox)
        made: dict[str, Any] = self.in_outlook(
            "POST", f"contactFolders/{folder}/contacts", properties, mailbox
        )
        return made

    def edit_item(self, name: str, mailbox: str | None = None, **properties: Any) -> None:
        self.in_outlook("PATCH", f"contacts/{self.items(mailbox)[name]['id']}", properties, mailbox)

    def delete_item(self, name: str, mailbox: str | None = None) -> None:
        self.in_outlook("DELETE", f"contacts/{self.items(mailbox)[name]['id']}", None, mailbox)

    def in_bc(self, method: str, path: str, body: Any = None, company: int = 0) -> Any:
        """A user's edit in Business Central; ``path`` is below the company of that number."""
        info = self.sim.info()
        company_id = info["companies"][company]["id"]
        root = f"{info['bc_root']}/{info['tenant_id']}/{info['environment']}/api/contactSync/contacts/v1.0"
        return self._as_user("bc", method, f"{root}/companies({company_id})/{path}", body, {"If-Match": "*"})

    def add_contact(self, name: str, email: str | None = None, **fields: Any) -> dict[str, Any]:
        made: dict[str, Any] = self.in_bc("POST", "contacts", person(name, email, **fields))
        return made

    def edit_contact(self, name: str, **fields: Any) -> None:
        self.in_bc("PATCH", f"contacts({self.contacts()[name]['id']})", fields)

    def delete_contact(self, name: str) -> None:
        self.in_bc("DELETE", f"contacts({self.contacts()[name]['id']})")

    def _as_user(self, service: str, method: str, url: str, body: Any, headers: dict[str, str]) -> Any:
        token = self.sim.user_token(service)
        answer = self._users.request(
            method, url, json=body, headers={"Authorization": f"Bearer {token}", **headers}, timeout=30
        )
        assert answer.status_code < 300, f"{method} {answer.status_code} {answer.text}"
        return answer.json() if answer.content else None


def settled(h: Harness) -> None:
    """After a run everything agrees: neither an incremental nor a full run writes anything."""
    h.run()
    h.sim.reset_counters()
    assert h.run().writes == {}
    assert h.full().writes == {}
    assert h.app_writes() == 0


def _place(row: dict[str, Any]) -> tuple[str, str, str]:
    folder = "Contacts" if row.get("default_folder") else row.get("folder", FOLDER)
    return row["mailbox"].casefold(), row["company"].casefold(), folder


def _item(item: dict[str, Any]) -> dict[str, Any]:
    keys = [value for name, value in item["extended"].items() if "bccontactkey" in name.lower()]
    return {**item["properties"], "id": item["immutable_id"], "key": keys[0] if keys else ""}
