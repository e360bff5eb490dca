"""Random histories: what users do, what fails, and when the sync runs; as plain steps that can be left out one by one.

``draw`` makes a history from a seed; ``play`` carries it out against a real sandbox and the real pipeline and lets the
oracle judge; ``shrink`` leaves out steps for as long as the same invariant breaks. A step names its contacts by
numbers that are taken modulo what is there, so that every part of a history is a history.
"""

from __future__ import annotations

import contextlib
import random
import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import requests
from sqlalchemy import event, text

from sandbox import Sandbox
from sync_lib import pipeline
from sync_lib.errors import SyncError
from sync_lib.moments import shift
from tests.sync import oracle
from tests.sync.harness import COMPANY, Harness, Ran, person
from tests.sync.oracle import Oracle, Scene, Setup, check

Step = tuple[Any, ...]
BOXES = ("anna@voorbeeld.example", "bram@voorbeeld.example", "cora@voorbeeld.example")
CITIES = ("Zaandam", "Utrecht", "Haarlem")
EDITED = ("name", "email", "phone", "mobile", "job", "street", "city", "county", "post", "country")
WEIGHTS = {
    "bc_edit": 14, "ol_edit": 14, "bc_clear": 2, "ol_clear": 2, "bc_add": 4, "ol_add": 5, "bc_delete": 2,
    "ol_delete": 3, "move_out": 2, "move_back": 2, "copy": 1, "rename_folder": 1, "delete_folder": 0.4,
    "own": 3, "drop_first": 0.7, "block": 1, "unblock": 0.7, "type": 1, "profile": 1.5,
    "run": 16, "dry": 1.5, "fault": 7,
    "clear_faults": 2, "kill": 2.5, "two_runs": 0.5, "lose_database": 0.3, "migrate_mailbox": 0.4,
    "hold": 0.7, "release": 0.7, "hours": 1, "expire_delta": 0.7,
}  # fmt: skip

#: Faults that a history draws: what Sandbox.add_fault takes. "nth" is drawn beside it.
FAULTS: tuple[dict[str, Any], ...] = (
    {"name": "F1", "service": "graph"},
    {"name": "F1", "service": "bc"},
    {"name": "F2", "service": "graph", "count": 2},
    {"name": "F3", "service": "graph"},
    {"name": "F3", "service": "bc"},
    {"name": "F3", "service": "graph", "count": 12},
    {"name": "F4", "service": "graph", "part": True},
    {"name": "F4", "service": "graph", "part": False},
    {"name": "F4", "service": "bc"},
    {"name": "F4", "service": "bc", "method": "POST"},
    {"name": "F4", "service": "graph", "moment": "before"},
    {"name": "F4", "service": "bc", "moment": "before"},
    {"name": "F5", "service": "graph"},
    {"name": "F5", "service": "bc"},
    {"name": "F5", "service": "graph", "moment": "before"},
    {"name": "F5", "service": "bc", "moment": "mid_body"},
    {"name": "F7", "service": "graph"},
    {"name": "F7", "service": "bc"},
    {"name": "F8"},
    {"name": "F9", "service": "graph", "path": "/delta"},
    {"name": "F9", "service": "bc"},
    {"name": "F9", "service": "bc", "variant": "no_value"},
    {"name": "F9", "service": "graph", "variant": "empty_page"},
    {"name": "F9", "service": "graph", "variant": "next_self", "count": 2},
    {"name": "F9", "service": "bc", "variant": "next_foreign"},
    {"name": "F10", "service": "graph", "part": True, "path": "/contacts/", "field": "businessHomePage"},
    {"name": "F10", "service": "bc", "path": "/contacts", "field": "website"},
    {"name": "F11", "count": 4},
    {"name": "F14"},
    {"name": "F17", "keep": 0.7},
    {"name": "F17", "keep": 0.3},
    {"name": "F18"},
)


@dataclass(frozen=True)
class History:
    """All that decides what happens."""

    seed: int
    database: str
    settings: dict[str, Any]
    sandbox: dict[str, Any]
    field_profile: str
    people: int
    profiles: tuple[Setup, ...]
    steps: tuple[Step, ...]

    def __str__(self) -> str:
        """Return it as a failure prints it."""
        lines = [
            f"seed {self.seed} on {self.database}, {self.people} contacts, fields {self.field_profile}",
            f"  sandbox  {self.sandbox}",
            f"  settings {self.settings}",
            *(f"  {profile}" for profile in self.profiles),
            *(f"  {number:3} {' '.join(map(repr, step))}" for number, step in enumerate(self.steps)),
        ]
        return "\n".join(lines)


# -- drawing ---------------------------------------------------------------------------------------------------------


def draw(seed: int, *, steps: int = 40, faults: bool = True) -> History:
    """Return the history of a seed; the same one always."""
    rng = random.Random(seed)
    names = [n for n in WEIGHTS if faults or n not in ("fault", "clear_faults", "kill")]
    chosen = rng.choices(names, [WEIGHTS[name] for name in names], k=rng.randint(steps // 3, steps))
    drawn = [("run", "full"), *(_step(rng, name) for name in chosen)]
    return History(
        seed,
        rng.choice(("sqlite", "sqlite", "postgresql")),
        _settings(rng),
        _switches(rng),
        rng.choice(("standard",) * 4 + ("extended",)),
        rng.randint(0, 12),
        tuple(_profile(rng, box) for box in BOXES[: rng.choice((1, 1, 2, 3))]),
        tuple(drawn),
    )


def _step(rng: random.Random, name: str) -> Step:
    a, b = rng.randrange(1000), rng.randrange(1000)
    if name in ("bc_edit", "ol_edit", "bc_clear", "ol_clear"):
        return (name, a, b, rng.choice(EDITED), rng.randrange(4))
    if name == "run":
        return (name, rng.choice(("incremental",) * 3 + ("full",)))
    if name == "kill":
        return (
            name,
            rng.choice(("incremental", "full")),
            rng.choice(("call", "commit")),
            a % 40,
            rng.choice((0, 1)),
        )
    if name == "fault":
        return (name, rng.randrange(len(FAULTS)), rng.choice((1, 1, 2, 3, 5, 8)))
    if name == "profile":
        setting = rng.choice(
            ("city", "city", "direction", "deleted_in_outlook", "deleted_in_bc", "left_scope", "blank_in_bc")
        )
        return (name, a, setting, rng.randrange(6))
    return (name, a, b)


def _profile(rng: random.Random, box: str) -> Setup:
    return Setup(
        box,
        city=rng.choice(("", "", "Zaandam", "Zaandam|Utrecht")),
        direction=rng.choice(("both",) * 6 + ("to_outlook", "to_business_central")),
        deleted_in_outlook=rng.choice(("recreate",) * 4 + ("stay_away",)),
        deleted_in_bc=rng.choice(("delete", "delete", "keep")),
        left_scope=rng.choice(("delete", "delete", "keep")),
        blank_in_bc=rng.choice(("fill", "fill", "overwrite")),
    )


def _settings(rng: random.Random) -> dict[str, Any]:
    low = rng.random() < 0.15
    names = ("guard_deletes", "guard_few_deletes", "guard_overwrites", "guard_creates")
    loose = dict.fromkeys(names, 10**6)
    return {
        "retry_cap": 1.0,
        "longest_request": rng.choice((0.0, 0.0, 600.0)),
        "id_scan_requests": rng.choice((5, 5, 0)),
        **({"guard_emptied_from": 3} if low else loose | {"guard_emptied_from": 10**6}),
    }


def _switches(rng: random.Random) -> dict[str, Any]:
    chosen: dict[str, Any] = {}
    for name, values in (
        ("graph_if_match", ("enforce", "ignore")),
        ("graph_address_patch", ("merge", "replace")),
        ("graph_noop_patch", ("bump", "keep")),
        ("graph_delta_body", ("full", "partial")),
        ("graph_delta_expired", ("410", "400")),
        ("graph_delta_returned", ("removed", "present")),
        ("graph_folder_alias", ("serve", "404")),
        ("batch_outer_on_429", ("200", "424")),
        ("graph_batch_over_4", ("queue", "429")),
        ("bc_country_change", ("clear", "keep")),
        ("bc_batch_after_error", ("continue", "stop")),
        ("bc_stale_status", ("409", "412")),
        ("graph_delta_page", (200, 2)),
        ("graph_list_page", (1000, 3)),
        ("bc_max_page", (20000, 4)),
        ("delta_duplicates", (0.0, 0.3)),
        ("delta_empty_pages", (0.0, 0.3)),
        ("delta_removed_in_first_round", (False, True)),
    ):
        if rng.random() < 0.3:
            chosen[name] = rng.choice(values)
    return chosen


# -- playing ---------------------------------------------------------------------------------------------------------


class Killed(BaseException):
    """The worker is gone: nothing of it may catch this or go on."""


@dataclass
class Killer:
    """Ends the edges that it watches at the n-th call or commit, before or after it; they are dead from then on."""

    what: str
    at: int
    after: bool
    seen: int = 0
    dead: bool = False

    def watch(self, edges: pipeline.Edges) -> None:
        event.listen(edges.engine, "before_cursor_execute", self._executed)
        event.listen(edges.engine, "commit", self._committed)
        for client in (edges.outlook, edges.business_central):
            http = client._session.http
            http.send = self._sender(http.send)

    def _sender(self, send: Callable[..., Any]) -> Callable[..., Any]:
        def watched(*args: Any, **kwargs: Any) -> Any:
            self._die_if_dead()
            if not self._is_now("call"):
                return send(*args, **kwargs)
            if self.after:
                with contextlib.suppress(requests.RequestException):
                    send(*args, **kwargs)
            self.dead = True
            raise Killed

        return watched

    def _is_now(self, what: str) -> bool:
        if what != self.what:
            return False
        self.seen += 1
        return self.seen == self.at + 1

    def _committed(self, _conn: Any) -> None:
        self._die_if_dead()
        if self._is_now("commit"):
            self.dead = True
            raise Killed

    def _executed(self, *_args: Any) -> None:
        self._die_if_dead()

    def _die_if_dead(self) -> None:
        if self.dead:
            raise Killed


def expire_leases(edges: pipeline.Edges) -> None:
    """Time passes for the leases and slots of a worker that is gone."""
    with edges.engine.begin() as conn:
        conn.execute(text("UPDATE lease SET expires_at = 0"))
        conn.execute(text("UPDATE budget_slot SET expires_at = 0"))


@dataclass
class Player:
    """Carries a history out."""

    history: History
    new_database: Callable[[str], str]
    fired: dict[str, int] = field(default_factory=dict)

    def play(self) -> None:
        """Carry the history out; raise a ``Violation`` where an invariant breaks."""
        city = lambda n: {"city": CITIES[n % 3]}  # noqa: E731
        people = [
            person(f"Persoon q{n}q", f"start{n}@klant.example", **city(n)) for n in range(self.history.people)
        ]
        boxes = [
            {
                "user_principal_name": profile.mailbox,
                "folders": [
                    {
                        "name": "Contacts",
                        "contacts": [{"displayName": "Tante Riet", "personalNotes": "eigen"}],
                    },
                    {"name": "Prive", "contacts": [{"displayName": "Oom Jan", "mobilePhone": "0655501234"}]},
                ],
            }
            for profile in self.history.profiles
        ]
        world = {"companies": [{"name": COMPANY, "contacts": people}], "mailboxes": boxes}
        self.sim = Sandbox(world=world, settings=self.history.sandbox).start()
        self.hours = 0.0
        self.number = 1000
        self.oracle = Oracle([replace(profile) for profile in self.history.profiles])
        self.planned: list[Any] = []
        try:
            self._open()
            self._play()
        finally:
            self.h.close()
            self.sim.stop()

    def _open(self) -> None:
        self.h = Harness(self.sim, self.new_database(self.history.database), **self.history.settings)
        self._reopen()
        for profile in self.oracle.profiles:
            self._import(profile)

    def _reopen(self) -> None:
        """A new worker: other edges on the same database."""
        self.h.edges.close()
        self.h.edges = self.edges()

    def edges(self) -> pipeline.Edges:
        made = self.h.open()
        settings = replace(made.business_central_settings, field_profile=self.history.field_profile)
        made.business_central_settings = settings
        now = made.now
        made.now = lambda: shift(now(), self.hours * 3600)  # type: ignore[method-assign]
        return made

    def _import(self, profile: Setup) -> None:
        self.h.add_profiles(profile.mailbox, **profile.to_yaml())

    def _play(self) -> None:
        self.before = self.scene()
        self.oracle.users_contacts |= self.before.contacts.keys()
        self.oracle.typed |= {
            oracle.normal(n, v)
            for box in self.before.items.values()
            for i in box.values()
            for n, v in i.values.items()
        }
        self.oracle.typed |= set(CITIES)
        self.oracle.saw(self.before)
        for number, step in enumerate(self.history.steps):
            self.step = number
            name, *arguments = step
            getattr(self, f"do_{name}")(*arguments)
            self.before = self.scene()
            self.oracle.saw(self.before)
        self.step = len(self.history.steps)
        self.finish()

    def finish(self) -> None:
        """Edits stop, faults go, and after two runs everything agrees (I5); then nothing is written any more."""
        self.do_release(0, 0)
        self.do_clear_faults(0, 0)
        self.hours += 1
        mode = "full" if self.history.settings["id_scan_requests"] == 0 else "incremental"
        for _ in range(2):
            self.do_run(mode)
            if self.accept_count():
                self.do_run(mode)
        scene = self.scene()
        for mode in ("incremental", "full", "incremental"):
            self.sim.reset_counters()
            ran = self.run(mode)
            writes = self._writes()
            told = list(ran.report.lines()) if ran else []
            check(not writes, "I5", f"the {mode} run after convergence wrote {writes}: {told}")
            check(ran and not ran.errors, "I5", f"errors after convergence: {ran and ran.errors}")
        self.oracle.judge_end(scene, self.h.edges.engine)

    def accept_count(self) -> bool:
        """A person accepts that so few contacts are left in Business Central (rules 8.3)."""
        with self.h.edges.engine.begin() as conn:
            held = "UPDATE company SET accepted_count = offered_count, offered_count = NULL"
            return bool(conn.execute(text(f"{held} WHERE offered_count IS NOT NULL")).rowcount)

    # -- what happens ----------------------------------------------------------------------------------------------

    def scene(self) -> Scene:
        return Scene.of(self.sim.dump())

    def _writes(self) -> dict[str, int]:
        app = self.sim.counters().get("app", {})
        return {
            f"{service}_{what}": count
            for service in ("graph", "bc")
            for what in ("created", "updated", "deleted")
            if (count := app.get(service, {}).get(f"contacts_{what}", 0))
        }

    def run(self, mode: str, **request: Any) -> Ran | None:
        """One run; None where not even its plan could be made."""
        try:
            return self.h.run(mode, **request)
        except SyncError:
            return None

    def do_run(self, mode: str) -> None:
        before = self.scene()
        self.run(mode)
        self._judge(before)

    def _judge(self, before: Scene) -> None:
        after = self.scene()
        acted = any(fault.name in ("F10", "F16") and fault.fired for fault in self.planned)
        # What was created is judged by its key, so that a cause that arises and goes within a run counts too.
        self.oracle.saw(after)
        self.oracle.judge_run(before, after, users_acted=acted)

    def do_dry(self, a: int, _b: int) -> None:
        """A dry run changes nothing, and the run after it plans the same (I18)."""
        self.do_clear_faults(0, 0)
        before, scene = oracle.tables(self.h.edges.engine), self.scene()
        self.sim.reset_counters()
        mode = ("incremental", "full")[a % 2]
        dry = self.run(mode, dry_run=True)
        check(not self._writes(), "I18", "a dry run wrote")
        after = oracle.tables(self.h.edges.engine)
        for name in before:
            check(before[name] == after[name], "I18", f"a dry run changed {name}")
        check(self.scene().text == scene.text, "I18", "a dry run changed a service")
        real = self.run(mode)
        self._judge(scene)
        if dry and real:
            self._judge_dry()

    def _judge_dry(self) -> None:
        plans: list[set[str]] = []
        for dry in (True, False):
            found = oracle.rows(
                self.h.edges.engine,
                "SELECT p.profile, c.action, c.bc_id, c.outlook_id, c.digest"
                " FROM change c JOIN plan p ON p.id = c.plan WHERE p.run = :run AND p.round = 1",
                run=self._last_run(dry=dry),
            )
            plans.append({str(sorted(row.items(), key=str)) for row in found})
        # What an earlier profile of the real run writes is new to the later ones, so only one profile compares.
        if len(self.oracle.profiles) == 1 and plans[1]:
            check(plans[0] == plans[1], "I18", f"dry {plans[0] - plans[1]}, real {plans[1] - plans[0]}")

    def _last_run(self, *, dry: bool) -> str:
        found = oracle.rows(
            self.h.edges.engine,
            f"SELECT id FROM sync_run WHERE {'' if dry else 'NOT '}dry_run ORDER BY started_at DESC, id DESC LIMIT 1",
        )
        return str(found[0]["id"])

    def do_kill(self, mode: str, what: str, at: int, after: int) -> None:
        before = self.scene()
        self.killed_run(mode, Killer(what, at, bool(after)))
        self._judge(before)

    def killed_run(self, mode: str, killer: Killer) -> bool:
        """A run whose worker is killed; the next run comes from another worker, when the leases have run out."""
        killer.watch(self.h.edges)
        with contextlib.suppress(Killed):
            self.run(mode)
        self._reopen()
        expire_leases(self.h.edges)
        return killer.dead

    def do_two_runs(self, a: int, _b: int) -> None:
        """Two runs at once: one works on a profile, the other leaves it alone."""
        before = self.scene()
        other = Harness.__new__(Harness)
        other.__dict__ = {**self.h.__dict__, "edges": self.edges()}
        errors: list[BaseException] = []

        def work() -> None:
            try:
                with contextlib.suppress(SyncError):
                    other.run(("incremental", "full")[a % 2], run_id=f"other__{self.step}")
            except BaseException as error:  # noqa: BLE001 - told by the other thread, below
                errors.append(error)

        thread = threading.Thread(target=work)
        thread.start()
        self.run("incremental")
        thread.join()
        other.close()
        self._judge(before)
        if errors:
            raise errors[0]

    # -- faults ----------------------------------------------------------------------------------------------------

    def do_fault(self, which: int, nth: int) -> None:
        spec = {**FAULTS[which % len(FAULTS)], "nth": nth}
        if spec.get("count", 1) != 1:
            spec["nth"] = list(range(nth, nth + int(spec["count"])))
        name = spec.pop("field", None)
        if name:
            if any(fault.name == "F10" for fault in self.planned):
                return
            value = f"https://f{self._next()}q.example"
            self.oracle.typed.add(oracle.normal("home", value))
            spec["action"] = {"method": "PATCH", "path": "{path}", "body": {name: value}}
            self.planned.append(self.sim.add_fault(**spec))
            self.planned[-1].typed = value
            return
        self.planned.append(self.sim.add_fault(**spec))

    def do_clear_faults(self, _a: int, _b: int) -> None:
        for fault in self.planned:
            self.fired[fault.name] = self.fired.get(fault.name, 0) + fault.fired
            if fault.name == "F10" and fault.fired:
                self.oracle.typed_value(self.step, "during a run", "home", fault.typed)
        f10 = [fault for fault in self.planned if fault.name == "F10" and fault.fired]
        for fault in f10:
            fault.name = "F10 done"
        self.planned = [fault for fault in self.planned if fault.name == "F10 done"]
        self.sim.clear_faults()

    def do_hours(self, _a: int, _b: int) -> None:
        self.hours += 1

    def do_expire_delta(self, a: int, _b: int) -> None:
        self.sim.control("POST", "graph/expire-delta", {"mailbox": self._profile(a).mailbox})

    def do_hold(self, _a: int, _b: int) -> None:
        self.do_release(0, 0)
        self.sim.control("POST", "bc/hold", {"identity": "user"})

    def do_release(self, _a: int, _b: int) -> None:
        if self.sim.dump()["companies"][0]["held"] is not None:
            self.sim.control("POST", "bc/release", {})
            self.oracle.saw(self.scene())

    def do_lose_database(self, _a: int, _b: int) -> None:
        self.h.close()
        # What was planned and not written is forgotten with the database, and so are its losers.
        self.oracle.tokens = {k: v for k, v in self.oracle.tokens.items() if k in self.scene().text}
        self.lost = True
        self._open()
        before = self.scene()
        self.run("full")
        self._judge(before)

    def do_migrate_mailbox(self, a: int, _b: int) -> None:
        box = self._profile(a).mailbox
        before = self.scene().items[box]
        self.sim.control("POST", "graph/mailbox", {"mailbox": box, "migrate": True})
        after = self.scene().items[box]
        names = {(i.created, i.version, i.properties.get("displayName")): i.id for i in after.values()}
        for ids in (self.oracle.users_items, self.oracle.users_deletes):
            ids |= {
                new
                for i in before.values()
                if i.id in ids and (new := names.get((i.created, i.version, i.properties.get("displayName"))))
            }

    # -- Business Central's users ----------------------------------------------------------------------------------

    def _next(self) -> int:
        self.number += 1
        return self.number

    def _value(self, name: str, variant: int) -> str:
        n = self._next()
        return {
            "name": f"{'AB'[variant % 2]}naam q{n}q",
            "email": f"q{n}q@klant.example",
            "phone": f"+31 20 5{n:06}",
            "mobile": f"06 5{n:07}",
            "job": f"Functie q{n}q",
            "street": f"Straat q{n}q 1" + ("\nAchterom" if variant == 3 else ""),
            "city": f"Stad q{n}q" if variant > 2 else CITIES[variant % 3],
            "county": f"Provincie q{n}q",
            "post": f"{n} QX",
            "country": ("NL", "BE", "DE", "FR")[variant % 4],
        }[name]

    def _contact(self, a: int) -> dict[str, Any] | None:
        found = sorted(self.scene().contacts.values(), key=lambda c: (c["systemCreatedAt"], c["number"]))
        return found[a % len(found)] if found else None

    def do_bc_edit(self, a: int, _b: int, name: str, variant: int) -> None:
        self._edit_bc(a, name, self._value(name, variant))

    def do_bc_clear(self, a: int, _b: int, name: str, _variant: int) -> None:
        if name != "name":
            self._edit_bc(a, name, "")

    def _edit_bc(self, a: int, name: str, value: str) -> None:
        contact = self._contact(a)
        if contact is None:
            return
        old = oracle.bc_values(contact)
        body: dict[str, Any]
        if name == "street":
            first, _, second = value.partition("\n")
            body = {"addressLine1": first, "addressLine2": second}
        else:
            body = {oracle.BC_PROPERTIES[name]: value}
        self._patch_contact(contact["id"], body)
        over = ("city", "county", "post", "country") if name == "country" else (name,)
        self.oracle.typed_over([old[n] for n in over])
        self._typed("BC " + contact["displayName"], name, value)

    def _typed(self, what: str, name: str, value: str) -> None:
        if name == "country" or value in CITIES:
            self.oracle.typed.add(oracle.normal(name, value))
        else:
            self.oracle.typed_value(self.step, f"{what}, {name}", name, value)

    def _patch_contact(self, key: str, body: dict[str, Any]) -> None:
        self.h.in_bc("PATCH", f"contacts({key})", body)

    def do_bc_add(self, a: int, b: int) -> None:
        n = self._next()
        taken = self._contact(b)
        email = taken["email"] if taken and a % 5 == 0 else "" if a % 11 == 0 else f"q{n}q@klant.example"
        name = f"Persoon q{n}q"
        made = self.h.add_contact(name, email, city=CITIES[a % 3])
        self.oracle.users_contacts.add(made["id"])
        self._typed("new in BC", "name", name)

    def do_bc_delete(self, a: int, _b: int) -> None:
        contact = self._contact(a)
        if contact:
            self.h.in_bc("DELETE", f"contacts({contact['id']})")
            self.oracle.typed_over(list(oracle.bc_values(contact).values()))

    def do_block(self, a: int, _b: int) -> None:
        contact = self._contact(a)
        if contact:
            self._patch_contact(contact["id"], {"privacyBlocked": True})

    def do_unblock(self, _a: int, _b: int) -> None:
        for contact in self.scene().contacts.values():
            if contact["privacyBlocked"]:
                self._patch_contact(contact["id"], {"privacyBlocked": False})

    def do_type(self, a: int, b: int) -> None:
        contact = self._contact(a)
        if contact:
            wanted = "Person" if contact["type"] == "Company" else "Company"
            self._patch_contact(contact["id"], {"type": wanted})

    # -- Outlook's users -------------------------------------------------------------------------------------------

    def _profile(self, a: int) -> Setup:
        return self.oracle.profiles[a % len(self.oracle.profiles)]

    def _folder(self, profile: Setup) -> str | None:
        """The id of the folder that the profile is bound to, or that has its name."""
        folders = self.scene().folders[profile.mailbox]
        bound = oracle.rows(
            self.h.edges.engine, "SELECT folder_id FROM sync_profile WHERE mailbox = :m", m=profile.mailbox
        )
        known = [row["folder_id"] for row in bound if row["folder_id"] in folders]
        return next(iter([*known, *(key for key, name in folders.items() if name == profile.folder)]), None)

    def _items(self, profile: Setup) -> list[oracle.Item]:
        folder = self._folder(profile)
        return self.scene().folder(profile.mailbox, folder) if folder else []

    def _item(self, a: int, b: int) -> tuple[Setup, oracle.Item | None]:
        profile = self._profile(a)
        found = self._items(profile)
        return profile, found[b % len(found)] if found else None

    def _patch_item(self, profile: Setup, item: oracle.Item, body: dict[str, Any]) -> None:
        self.h.in_outlook("PATCH", f"contacts/{item.id}", body, profile.mailbox)

    def do_ol_edit(self, a: int, b: int, name: str, variant: int) -> None:
        self._edit_item(a, b, name, self._value(name, variant))

    def do_ol_clear(self, a: int, b: int, name: str, _variant: int) -> None:
        self._edit_item(a, b, name, "")

    def _edit_item(self, a: int, b: int, name: str, value: str) -> None:
        profile, item = self._item(a, b)
        if item is None:
            return
        if name == "country" and value:
            value = {"NL": "Nederland", "BE": "België", "DE": "Duitsland", "FR": "Frankrijk"}[value]
        self._patch_item(profile, item, _item_body(item, name, value))
        self.oracle.typed_over([item.values[name]])
        self._typed(f"{profile.mailbox} {item.properties.get('displayName')}", name, value)

    def do_own(self, a: int, b: int) -> None:
        """A user adds what is none of the sync's business (I8)."""
        profile, item = self._item(a, b)
        if item is None:
            return
        n = self._next()
        own = item.properties
        emails, phones = list(own.get("emailAddresses") or []), list(own.get("businessPhones") or [])
        body: dict[str, Any] = {
            "personalNotes": f"eigen q{n}q",
            "categories": [*(own.get("categories") or []), f"Eigen {n}"],
        }
        if b % 2 and 0 < len(emails) < 3:
            body["emailAddresses"] = [*emails, {"address": f"eigen{n}@thuis.example", "name": "x"}]
            self.oracle.typed.add(f"eigen{n}@thuis.example")
        if a % 2 and 0 < len(phones) < 2:
            body["businessPhones"] = [*phones, f"+49 30 5{n:06}"]
            self.oracle.typed.add(oracle.normal("phone", f"+49 30 5{n:06}"))
        self._patch_item(profile, item, body)

    def do_drop_first(self, a: int, b: int) -> None:
        """A user removes the first address; an own one moves up."""
        profile, item = self._item(a, b)
        if item and (emails := item.properties.get("emailAddresses")):
            self.oracle.typed_over([emails[0]])
            self._patch_item(profile, item, {"emailAddresses": emails[1:]})

    def do_ol_add(self, a: int, b: int) -> None:
        profile = self._profile(a)
        folder = self._folder(profile)
        if folder is None:
            return
        n = self._next()
        taken = self._contact(b)
        address = taken["email"] if taken and b % 4 == 0 else f"q{n}q@nieuw.example"
        body: dict[str, Any] = {"jobTitle": f"Baan q{n}q"}
        if b % 7:
            body["displayName"] = f"Nieuw q{n}q"
        if b % 5:
            body["emailAddresses"] = [{"address": address, "name": "x"}]
        made = self.h.in_outlook("POST", f"contactFolders/{folder}/contacts", body, profile.mailbox)
        self.oracle.users_items.add(made["id"])
        self._typed("new in Outlook", "job", f"Baan q{n}q")
        self.oracle.typed |= {oracle.normal("email", address), oracle.normal("name", f"Nieuw q{n}q")}

    def do_ol_delete(self, a: int, b: int) -> None:
        profile, item = self._item(a, b)
        if item:
            self.oracle.users_deletes.add(item.id)
            self.h.in_outlook("DELETE", f"contacts/{item.id}", None, profile.mailbox)
            self.oracle.typed_over(list(item.values.values()))

    def do_move_out(self, a: int, b: int) -> None:
        profile, item = self._item(a, b)
        if item:
            self._move(profile, item, "Prive")
            self.oracle.typed_over(list(item.values.values()))

    def do_move_back(self, a: int, b: int) -> None:
        profile = self._profile(a)
        folder = self._folder(profile)
        out = [
            i
            for i in self.scene().items[profile.mailbox].values()
            if i.bc_id and i.folder in ("Prive", "deleteditems")
        ]
        out.sort(key=lambda i: (i.created, i.version))
        if folder and out:
            self._move(profile, out[b % len(out)], folder)

    def _move(self, profile: Setup, item: oracle.Item, to: str) -> None:
        self.oracle.moved_about = True
        self.oracle.users_items.add(item.id)
        self.oracle.users_deletes.discard(item.id)
        self.sim.control("POST", "graph/move", {"mailbox": profile.mailbox, "contact": item.id, "to": to})

    def do_copy(self, a: int, b: int) -> None:
        profile, item = self._item(a, b)
        if item:
            made = self.sim.control("POST", "graph/copy", {"mailbox": profile.mailbox, "contact": item.id})
            self.oracle.users_items.add(made["immutable_id"])

    def do_rename_folder(self, a: int, b: int) -> None:
        profile = self._profile(a)
        if folder := self._folder(profile):
            name = f"Zakelijk {self._next()}"
            self.h.in_outlook("PATCH", f"contactFolders/{folder}", {"displayName": name}, profile.mailbox)

    def do_delete_folder(self, a: int, _b: int) -> None:
        profile = self._profile(a)
        if folder := self._folder(profile):
            for item in self.scene().folder(profile.mailbox, folder):
                self.oracle.users_deletes.add(item.id)
                self.oracle.typed_over(list(item.values.values()))
            self.h.in_outlook("DELETE", f"contactFolders/{folder}", None, profile.mailbox)

    def do_profile(self, a: int, setting: str, n: int) -> None:
        profile = self._profile(a)
        values = {
            "city": ("", "Zaandam", "Zaandam|Utrecht", "Haarlem"),
            "direction": ("both", "both", "to_outlook", "to_business_central"),
            "deleted_in_outlook": ("recreate", "stay_away"),
            "deleted_in_bc": ("delete", "keep"),
            "left_scope": ("delete", "keep"),
            "blank_in_bc": ("fill", "overwrite"),
        }[setting]
        setattr(profile, setting, values[n % len(values)])
        self._import(profile)


def _item_body(item: oracle.Item, name: str, value: str) -> dict[str, Any]:
    own = item.properties
    if name == "email":
        rest = list(own.get("emailAddresses") or [])[1:]
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
    return {oracle._SCALARS[name]: value or None}


# -- shrinking -------------------------------------------------------------------------------------------------------


def attempt(
    history: History, new_database: Callable[[str], str], fired: dict[str, int] | None = None
) -> Exception | None:
    """Play a history; return what went wrong, or None."""
    player = Player(history, new_database, fired if fired is not None else {})
    try:
        player.play()
    except Exception as error:  # noqa: BLE001 - whatever a history ends with is what it found
        return error
    return None


def kind(error: Exception) -> str:
    """What makes two failures the same one."""
    return str(error)[:12] if isinstance(error, AssertionError) else type(error).__name__


def shrink(
    history: History, error: Exception, again: Callable[[History], Exception | None], tries: int = 150
) -> tuple[History, Exception]:
    """Leave out steps, contacts, switches and profiles for as long as the same invariant breaks."""
    wanted, budget = kind(error), iter(range(tries))
    best = history

    def fails(candidate: History) -> bool:
        nonlocal best, error
        if next(budget, None) is None:
            return False
        found = again(candidate)
        if found is None or kind(found) != wanted:
            return False
        best, error = candidate, found
        return True

    size = max(len(best.steps) // 2, 1)
    while size:
        start = 0
        while start < len(best.steps):
            if not fails(replace(best, steps=best.steps[:start] + best.steps[start + size :])):
                start += size
        size //= 2
    for name in list(best.sandbox):
        fails(replace(best, sandbox={k: v for k, v in best.sandbox.items() if k != name}))
    while len(best.profiles) > 1 and fails(replace(best, profiles=best.profiles[:-1])):
        pass
    for people in (0, 1, 2, 3):
        if people < best.people and fails(replace(best, people=people)):
            break
    for profile in range(len(best.profiles)):
        plain = (*best.profiles[:profile], Setup(BOXES[profile]), *best.profiles[profile + 1 :])
        if plain != best.profiles:
            fails(replace(best, profiles=plain))
    for name, value in (("database", "sqlite"), ("field_profile", "standard")):
        if getattr(best, name) != value:
            fails(replace(best, **{name: value}))
    return best, error
