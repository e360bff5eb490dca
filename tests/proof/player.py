"""Carries a history out against the real sandbox and the real pipeline, and lets the oracle judge."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import unquote

import requests
from sqlalchemy import text

from sandbox import Sandbox
from sync_lib import services
from sync_lib.errors import SyncError, TransientError
from sync_lib.operate import answers
from sync_lib.store import clock, holds, runs, tables, undo
from sync_lib.store.holds import Decision, HoldState
from sync_lib.store.profiles import rows as profiles
from sync_lib.times import shift
from tests.proof import fleet, mapped, oracle, upkeep
from tests.proof.approvals import Approvals
from tests.proof.histories import (
    CITIES,
    FAULTS,
    MALFORMED,
    ODD_STAMPS,
    PATIENCE,
    SLOW,
    STANDS_FOR,
    UNKIND_FAULTS,
    UNREADABLE,
    History,
    Step,
)
from tests.proof.interventions import (
    Interrupter,
    Killed,
    Killer,
    WorkersClock,
    expire_leases,
    watch_order,
    writes_of,
)
from tests.proof.oracle import Oracle, Scene, Setup
from tests.proof.scheduler import Scheduler
from tests.proof.tracing import Trace
from tests.proof.users import Users
from tests.proof.verdict import check
from tests.sync.harness import COMPANY, Harness, Ran, person

#: What a service, or the sync, changes along with a field.
TOGETHER = {
    "country": ("city", "county", "post", "country"),
    **dict.fromkeys(("name", *mapped.PARTS), ("name", *mapped.PARTS)),
}


@dataclass
class Player:
    """Carries a history out."""

    history: History
    new_database: Callable[[str], str]
    fired: dict[str, int] = field(default_factory=dict)
    #: What was done, where somebody asks for it.
    trace: Trace | None = None

    def play(self) -> None:
        """Carry the history out; raise a ``Violation`` where an invariant breaks."""
        city = lambda n: {"city": CITIES[n % 3]}  # noqa: E731
        people = [
            person(f"Persoon q{n}q", f"start{n}@klant.example", **city(n)) for n in range(self.history.people)
        ]
        boxes = [
            {
                "user_principal_name": mailbox,
                "folders": [
                    {
                        "name": "Contacts",
                        "contacts": [{"displayName": "Tante Riet", "personalNotes": "eigen"}],
                    },
                    {"name": "Prive", "contacts": [{"displayName": "Oom Jan", "mobilePhone": "0655501234"}]},
                ],
            }
            for mailbox in dict.fromkeys(profile.mailbox for profile in self.history.profiles)
        ]
        companies = [{"name": COMPANY, "contacts": people}, *fleet.companies(self.history.companies)]
        world = {"companies": companies, "mailboxes": boxes}
        transport: Any = self.history.transport
        self.sim = Sandbox(world=world, settings=self.history.sandbox, transport=transport).start()
        note = self.trace.note if self.trace else lambda _line: None
        self.scheduler = (
            Scheduler(self.sim.time, f"workers {self.history.seed}", note) if self.sim.time else None
        )
        # An account may be renamed: today's address by the first one, by which profiles are known here, and back.
        self.today = {profile.mailbox: profile.mailbox for profile in self.history.profiles}
        self.first = dict(self.today)
        self.hours = self.worker_skew = 0.0
        self.skew = 0
        self.number = 1000
        self.oracle = Oracle(
            [replace(profile) for profile in self.history.profiles],
            approvals=Approvals(self.history.settings),
        )
        self.users = Users(self)
        self.fleet = fleet.Fleet(self)
        self.upkeep = upkeep.Upkeep(self)
        self.field_profile = self.history.field_profile
        self.planned: list[Any] = []
        self.typed_by_service: list[str] = []
        self.patience: dict[str, Any] = {}
        self.kept: list[tuple[Any, list[dict[str, Any]]]] = []
        self.full_needed = self.history.settings["id_scan_requests"] == 0
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
            profile.key = 0
            self._import(profile)
        if self.history.checked:
            self._note_check()

    def _note_check(self) -> None:
        """What the self-test finds out about Graph (rules 8.5)."""
        answer = "ignored" if self._ignores_versions() else "enforced"
        with self.h.edges.engine.begin() as conn:
            runs.write_fact(conn, self.sim.info()["tenant_id"], "graph_if_match", answer, self.h.edges.now())

    def _reopen(self) -> None:
        """A new worker: other edges on the same database."""
        self.h.edges.close()
        self.h.edges = self.edges()

    def edges(self) -> services.Services:
        made = self.h.open()
        settings = replace(made.business_central_settings, field_profile=self.field_profile)
        made.business_central_settings = settings
        made.settings = replace(made.settings, **self.patience)
        if self.scheduler:
            made.clock = WorkersClock(self.scheduler, self.sim.time)
            watch_order(made, self.scheduler)
        if self.trace:
            self.trace.watch(made)
        clock.set_offset(made.engine, self.hours * 3600)
        now = made.now
        made.now = lambda: shift(now(), (self.hours + self.worker_skew) * 3600)  # type: ignore[method-assign]
        return made

    def _import(self, profile: Setup) -> None:
        mailbox, company = self._staged_address(profile), self.fleet.staged_name(profile)
        self.h.add_profiles(mailbox, company=company, **profile.to_yaml())
        if not profile.key:
            [row] = oracle.rows(
                self.h.edges.engine,
                "SELECT id FROM sync_profile WHERE mailbox = :m AND folder_asked = :f AND company_name = :c",
                m=mailbox,
                f=profile.folder,
                c=company,
            )
            profile.key = row["id"]
            self.upkeep.set_region(profile)

    def _play(self) -> None:
        self.before = self.scene()
        self.oracle.users_contacts |= self.before.contacts.keys()
        self.oracle.typed |= {
            mapped.normal(n, v)
            for box in self.before.items.values()
            for i in box.values()
            for n, v in i.values.items()
        }
        self.oracle.typed |= set(CITIES)
        self.oracle.typed_there(self.before)
        self.oracle.saw(self.before)
        for number, step in enumerate(self.history.steps):
            self.step = number
            self._do(step)
            self.before = self.scene()
            self.oracle.saw(self.before)
        self.step = len(self.history.steps)
        self.finish()

    def _do(self, step: Step) -> None:
        name, *arguments = step
        parts = (self, self.users, self.fleet, self.upkeep)
        act = next(filter(None, (getattr(part, f"do_{name}", None) for part in parts)))
        if act(*arguments) is not False and name in STANDS_FOR:
            self._fired(STANDS_FOR[name])

    def _fired(self, fault: str, times: int = 1) -> None:
        self.fired[fault] = self.fired.get(fault, 0) + times

    def finish(self) -> None:
        """Edits stop, faults go, and after two runs everything agrees (I5); then nothing is written any more."""
        self._do(("release", 0, 0))
        self.do_unlag(0, 0)
        self.do_clear_faults(0, 0)
        self.do_hours(0, 0)
        self.users.switch_on()
        self.fleet.correct()
        mode = "full" if self.full_needed else "incremental"
        # Where a company moved, the first run only asks (rules 1).
        for _ in range(3 if self.fleet.has_moved else 2):
            self._run_with_retries(mode)
            moved = self.fleet.accept_moves()
            if moved:
                self.do_run(mode)
            if self.accept_count() | self.answer_all() | self.fleet.approve_moved() | moved:
                self.do_run(mode)
        scene = self.scene()
        for mode in ("incremental", "full"):
            self.sim.reset_counters()
            ran = self.run(mode)
            writes = self._writes()
            told = list(ran.report.lines()) if ran else []
            check(not writes, "I5", f"the {mode} run after convergence wrote {writes}: {told}")
            check(ran and not ran.errors, "I5", f"errors after convergence: {ran and ran.errors}")
        self.oracle.judge_end(scene, self.h.edges.engine)

    def _run_with_retries(self, mode: str) -> None:
        """A run, and once more where a service was too busy for one of its tasks, which Airflow tries again."""
        ran = self.do_run(mode)
        if ran and any(isinstance(error, TransientError) for error in ran.errors):
            self.do_run(mode)

    def accept_count(self) -> bool:
        """A person accepts that so few contacts are left in Business Central (rules 8.3)."""
        with self.h.edges.engine.begin() as conn:
            held = holds.read_holds(conn, HoldState.OPEN)
            waiting = [hold for hold in held if hold.company is not None]
            for hold in waiting:
                holds.decide(conn, hold, Decision(True, "user", "person", self.h.edges.now()))
                holds.accept_offered(conn, hold)
            return bool(waiting)

    def answer_all(self) -> bool:
        """A person answers what is asked about accounts and folders (rules 1)."""
        answered = [self._answer(profile, self.history.seed) for profile in self.oracle.profiles]
        return any(answered)

    def do_answer(self, a: int, b: int) -> None:
        self._answer(self._profile(a), b)

    def _answer(self, profile: Setup, n: int) -> bool:
        staged = self._staged(profile)
        with self.h.edges.engine.begin() as conn:
            stored = profiles.read_profile(conn, staged["id"])
            if staged["successor"]:
                answers.accept_successor(conn, stored, now=self.h.edges.now())
            if staged["second_folder"]:
                answers.answer_second_folder(conn, stored, (profiles.GO_BACK, profiles.LEAVE)[n % 2])
        if staged["second_folder"]:
            # Either folder may be the one that is left, and what the sync made in that one goes.
            for item in self.scene().items[profile.mailbox].values():
                if item.folder not in oracle.ELSEWHERE:
                    self.oracle.users_deletes.add(item.id)
        return bool(staged["successor"] or staged["second_folder"])

    # -- what happens ----------------------------------------------------------------------------------------------

    def scene(self) -> Scene:
        return Scene.of(self.sim.dump(), self.first)

    def _graph(self, what: str, body: dict[str, Any]) -> Any:
        """The control plane of Graph; a mailbox is named by its first address."""
        return self.sim.control("POST", f"graph/{what}", body | {"mailbox": self.today[body["mailbox"]]})

    def _in_outlook(self, method: str, path: str, body: Any, mailbox: str) -> Any:
        return self.h.in_outlook(method, path, body, self.today[mailbox])

    def _staged(self, profile: Setup) -> dict[str, Any]:
        """What the staging database knows of a profile."""
        names = "id, mailbox, company, company_name, graph_user_id, folder_id, folder_asked, successor, second_folder"
        found = oracle.rows(
            self.h.edges.engine, f"SELECT {names} FROM sync_profile WHERE id = :id", id=profile.key
        )
        return found[0] if found else {}

    def _staged_address(self, profile: Setup) -> str:
        return str(self._staged(profile).get("mailbox") or self.today[profile.mailbox])

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

    def do_run(self, mode: str) -> Ran | None:
        before = self.scene()
        ran = self.run(mode)
        self._judge(before)
        return ran

    def _judge(self, before: Scene, *, users_acted: bool = False) -> None:
        if any(fault.name == "F6" and fault.fired for fault in self.planned):
            # What the slow service still carries out belongs to this run.
            self._rest(SLOW)
        self._note_edits()
        after = self.scene()
        # What was created is judged by its key, so that a cause that arises and goes within a run counts too.
        self.oracle.saw(after)
        self.oracle.judge_run(before, after, users_acted=users_acted)
        self.oracle.pairs.follow(self.h.edges.engine, before, after, mapped.bc_values)
        self.oracle.saw_couplings(self.h.edges.engine)
        oracle.judge_counters(self.sim.counters())

    def _ignores_versions(self) -> bool:
        return self.history.sandbox.get("graph_if_match") == "ignore"

    def _note_edits(self) -> None:
        """Edits that the service made during a run (F10): from now on their values must survive."""
        for fault in self.planned:
            # What the service refused, as the item had gone a moment before, nobody typed.
            if fault.name == "F10" and fault.fired > fault.refused and fault.typed:
                if fault.get("service") == "graph" and self._ignores_versions() and self.typed_by_service:
                    # The sync may be writing what was typed at the other side, over it (the exception of rules 8.5).
                    fault.typed = ""
                    continue
                for value in self.typed_by_service:
                    self.oracle.tokens.pop(mapped.key_of(value), None)
                self.typed_by_service.append(fault.typed)
                self.oracle.typed_value(self.step, "during a run", "home", fault.typed)
                fault.typed = ""

    def do_dry(self, a: int, _b: int) -> None:
        """A dry run changes nothing, and the run after it plans the same (I18)."""
        self.do_clear_faults(0, 0)
        before, scene = oracle.tables(self.h.edges.engine), self.scene()
        self.sim.reset_counters()
        mode = ("incremental", "full")[a % 2]
        # Only a real run settles what an earlier one sent, and sees what has become of the folder by that.
        unsettled = oracle.rows(self.h.edges.engine, "SELECT 1 FROM change WHERE state = 'sending'")
        runs_ = [f"{kind}__{self._next()}" for kind in ("dry", "real")]
        dry = self.run(mode, dry_run=True, run_id=runs_[0])
        check(not self._writes(), "I18", "a dry run wrote")
        after = oracle.tables(self.h.edges.engine)
        for name in before:
            check(before[name] == after[name], "I18", f"a dry run changed {name}")
        check(self.scene().text == scene.text, "I18", "a dry run changed a service")
        real = self.run(mode, run_id=runs_[1])
        self._judge(scene)
        if dry and real and dry.errors:
            away = all(isinstance(error, TransientError) for error in dry.errors)
            check(away or real.errors, "I18", f"a dry run failed: {dry.errors}")
        elif dry and real and not unsettled:
            self._judge_dry(runs_)

    def _judge_dry(self, run_ids: list[str]) -> None:
        plans: list[set[str]] = []
        for run_id in run_ids:
            found = oracle.rows(
                self.h.edges.engine,
                "SELECT p.profile, c.action, c.bc_id, c.outlook_id, c.digest"
                " FROM change c JOIN plan p ON p.id = c.plan WHERE p.run = :run AND p.round = 1",
                run=run_id,
            )
            plans.append({str(sorted(row.items(), key=str)) for row in found})
        # What an earlier profile of the real run writes is new to the later ones, so only one profile compares.
        if len(self.oracle.profiles) == 1 and plans[1]:
            check(plans[0] == plans[1], "I18", f"dry {plans[0] - plans[1]}, real {plans[1] - plans[0]}")

    def do_kill(self, mode: str, what: str, at: int, after: int) -> bool:
        before = self.scene()
        killed = self.killed_run(mode, Killer(what, at, bool(after)))
        self._judge(before)
        return killed

    def do_during(self, mode: str, where: str, at: int, steps: tuple[Step, ...]) -> None:
        """A run, and what users do between two of its calls (I11)."""
        interrupter = Interrupter(
            where, at, lambda request: self._act(where, request, steps), self._ignores_versions()
        )
        interrupter.watch(self.h.edges)
        if where == "page":
            self.sim.set(bc_max_page=3)
        before = self.scene()
        self.run(mode)
        self.sim.set(bc_max_page=self.history.sandbox.get("bc_max_page", 20000))
        self._reopen()
        self._judge(before, users_acted=interrupter.done)

    def _act(self, where: str, request: requests.PreparedRequest, steps: tuple[Step, ...]) -> bool:
        # What the service edited before them in this run is among what users see, and may delete.
        self._note_edits()
        acted = False
        for step in steps:
            self.oracle.saw(self.scene())
            version = self.scene().text
            if where != "write":
                self._do(step)
            elif step[0] in ("bc_edit", "ol_edit", "bc_clear", "ol_clear"):
                self._edit_written(request, step)
            acted = acted or self.scene().text != version
            self.oracle.saw(self.scene())
        if acted:
            faults = [where == "page" and any(step[0] in ("bc_add", "bc_delete") for step in steps) and "F16"]
            faults += [where == "write" and "F10"]
            for fault in filter(None, faults):
                self._fired(str(fault))
        return acted

    def _edit_written(self, request: requests.PreparedRequest, step: Step) -> None:
        """Edit the very contact that the waiting request is about to write, on its side (F10)."""
        _, a, _, name, variant = step
        writes = writes_of(request)
        address, fields = writes[a % len(writes)]
        address = unquote(address)
        if fields and variant % 2:
            name = fields[a % len(fields)]
        clears = step[0].endswith("clear")
        if "/bc/" in str(request.url):
            found = [c for c in self.scene().contacts.values() if c["id"] in address]
            for contact in found:
                self._edit_contact(
                    contact, name, "" if clears and name != "name" else self._value(name, variant)
                )
            return
        for profile in self.oracle.profiles:
            for item in self.scene().items[profile.mailbox].values():
                if address.endswith(f"/contacts/{item.id}"):
                    self._edit_item(
                        profile, item, name, "" if clears else self._value(name, variant, long=True)
                    )

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

        self._side_by_side(work, lambda: self.run("incremental"))
        other.close()
        self._judge(before)
        if errors:
            raise errors[0]

    def _side_by_side(self, first: Callable[[], Any], second: Callable[[], Any]) -> None:
        if self.scheduler:
            self.scheduler.run(first, second)
            return
        thread = threading.Thread(target=first)
        thread.start()
        second()
        thread.join()

    def _rest(self, seconds: float) -> None:
        (self.sim.time or time).sleep(seconds)

    def do_undo(self, a: int, b: int) -> None:
        """A person wants back what a run did to a profile, or one change of it (rules 9)."""
        done = oracle.rows(
            self.h.edges.engine,
            "SELECT c.profile, p.run, c.plan, c.n, s.mailbox, c.action, c.bc_id, c.after FROM change c"
            " JOIN plan p ON p.id = c.plan JOIN sync_profile s ON s.id = c.profile"
            " WHERE c.outcome IN ('created', 'updated', 'deleted') ORDER BY c.plan, c.n",
        )
        if not done:
            return
        # Of the last ones: what was changed since stays as it is.
        chosen = done[-1 - a % min(len(done), 12)]
        names = ("profile", "run", "plan", "n")[: 4 if b % 2 else 2]
        asked = {name: chosen[name] for name in names}
        self.oracle.pairs.forget()
        with self.h.edges.engine.begin() as conn:
            undo.ask(conn, undo.Asked(**asked), "person", self.h.edges.now())
        for change in done:
            if asked.items() <= change.items():
                self.oracle.wanted_back(change)

    # -- faults ----------------------------------------------------------------------------------------------------

    def do_unkind(self, which: int, nth: int) -> None:
        spec = {"count": 1, **UNKIND_FAULTS[which % len(UNKIND_FAULTS)]}
        spec["nth"] = list(range(nth, nth + int(spec["count"] or 1)))
        self.planned.append(self.sim.add_fault(**spec))

    def do_malformed(self, a: int, b: int) -> None:
        """A version is taken for a malformed one (F29)."""
        spec = {"count": 1, **MALFORMED[a % len(MALFORMED)]}
        nth = 1 + b % 5
        self.planned.append(self.sim.add_fault(**spec | {"nth": list(range(nth, nth + spec["count"]))}))

    def do_late(self, a: int, b: int) -> None:
        """A create that no answer comes to, and that the service carries out later (F37).

        Not where the engine is told that no request takes any time.
        """
        if self.history.settings["longest_request"]:
            service, nth = ("bc", "graph")[a % 2], 1 + b % 4
            self.planned.append(self.sim.add_fault(name="F37", service=service, nth=nth))

    def do_carry_out(self, _a: int, _b: int) -> None:
        """The services carry out what they kept; they never do so after the longest request time."""
        self.sim.control("POST", "late", {})
        self.oracle.saw(self.scene())

    def do_fault(self, which: int, nth: int) -> None:
        spec = {**FAULTS[which % len(FAULTS)], "nth": nth}
        if spec["name"] == "F6":
            self._lose_patience(spec)
        if spec["name"] == "F21":
            spec["nth"] = None
        if spec.get("count", 1) != 1:
            spec["nth"] = list(range(nth, nth + int(spec["count"])))
        name = spec.pop("field", None)
        if name:
            value = f"https://f{self._next()}q.example"
            self.oracle.typed.add(mapped.normal("home", value))
            spec["action"] = {"method": "PATCH", "path": "{path}", "body": {name: value}}
            self.planned.append(self.sim.add_fault(**spec))
            self.planned[-1].typed = value
            return
        self.planned.append(self.sim.add_fault(**spec))

    def _lose_patience(self, spec: dict[str, Any]) -> None:
        """A worker that waits for an answer less long than the service takes.

        Where the engine is told that no request takes any time at all, the slow one acts before it answers.
        """
        if self.history.settings["longest_request"] == 0.0:
            spec["moment"] = "after"
        self.patience = {"request_timeout": PATIENCE}
        self._reopen()

    def do_clear_faults(self, _a: int, _b: int) -> None:
        for fault in self.planned:
            self._fired(fault.name, fault.fired)
        self.planned = []
        self.sim.clear_faults()
        if self.patience:
            self.patience = {}
            self._reopen()

    def do_hours(self, _a: int, _b: int) -> None:
        """An hour passes: by the staging database's clock, which decides, and by the workers'."""
        self.do_carry_out(0, 0)
        self.set_hours(self.hours + 1)

    def set_hours(self, hours: float) -> None:
        """Let it be so many hours after the beginning."""
        self.hours = hours
        clock.set_offset(self.h.edges.engine, hours * 3600)

    def do_worker_clock(self, a: int, _b: int) -> None:
        """The workers' clock is off by up to a day (F20), which changes nothing (I12)."""
        self.worker_skew = float(a % 49 - 24)

    def do_clock(self, a: int, _b: int) -> None:
        """The services' clocks are off by up to a day (F20)."""
        skew = (a % 49 - 24) * 3600
        self.sim.clock(advance_seconds=skew - self.skew)
        self.skew = skew

    def do_expire_tokens(self, _a: int, _b: int) -> None:
        self.sim.control("POST", "entra/expire-tokens", {})

    def do_lag(self, a: int, _b: int) -> None:
        """Delta queries of a mailbox show nothing new for a while (F18)."""
        self._graph("hold-delta", {"mailbox": self._profile(a).mailbox})

    def do_unlag(self, _a: int, _b: int) -> None:
        for profile in self.oracle.profiles:
            self._graph("hold-delta", {"mailbox": profile.mailbox, "hold": False})

    def do_expire_delta(self, a: int, _b: int) -> None:
        self._graph("expire-delta", {"mailbox": self._profile(a).mailbox})

    def do_hold(self, _a: int, _b: int) -> None:
        self.do_release(0, 0)
        self.sim.control("POST", "bc/hold", {"identity": "user"})

    def do_release(self, _a: int, _b: int) -> bool:
        """What a user wrote in a transaction becomes visible, with the stamps of then (F15)."""
        if all(company["held"] is None for company in self.sim.dump()["companies"]):
            return False
        written = self.sim.control("POST", "bc/release", {})["rows"]
        self.oracle.saw(self.scene())
        return bool(written)

    def do_lose_database(self, _a: int, _b: int) -> None:
        if self.fleet.has_moved:
            # Nobody but the database knows that keys of the former environment are ours (rules 2.7).
            return
        self._forget_losers()
        self._open()
        before = self.scene()
        self.run("full")
        self._judge(before)

    def _forget_losers(self) -> None:
        """What was planned and not written is forgotten with the database, and so are its losers."""
        self.oracle.pairs.forget()
        if self.trace:
            self.trace.forget_database()
        self.h.close()
        text = self.scene().text
        self.oracle.tokens = {k: v for k, v in self.oracle.tokens.items() if k in text}

    def do_backup(self, _a: int, _b: int) -> None:
        with self.h.edges.engine.connect() as conn:
            self.kept_keys = [profile.key for profile in self.oracle.profiles]
            self.kept = [
                (table, [dict(row) for row in conn.execute(table.select()).mappings()])
                for table in tables.metadata.sorted_tables
            ]

    def do_restore(self, _a: int, _b: int) -> None:
        """The staging database of an earlier moment takes the place of the present one (rules 2.8)."""
        if not self.kept or self._names_nobody():
            return
        self._forget_losers()
        self.h.database = self.new_database(self.history.database)
        self.h.edges = self.edges()
        with self.h.edges.engine.begin() as conn:
            for table, rows in self.kept:
                if rows:
                    conn.execute(table.insert(), rows)
                if rows and self.history.database == "postgresql" and table.autoincrement_column is not None:
                    column = table.autoincrement_column.name
                    conn.execute(
                        text(f"SELECT setval(pg_get_serial_sequence('{table.name}', '{column}'), :n)"),
                        {"n": max(row[column] for row in rows)},
                    )
        expire_leases(self.h.edges)
        for profile, key in zip(self.oracle.profiles, self.kept_keys, strict=True):
            profile.key = key
            self.fleet.name_folder(profile)
            self._import(profile)
            self.upkeep.set_region(profile)
        self.oracle.saw_couplings(self.h.edges.engine)

    def _names_nobody(self) -> bool:
        """Whether a backup knows an account that is gone, by an address that its successor no longer has."""
        stored = next(rows for table, rows in self.kept if table.name == "sync_profile")
        now = {profile.mailbox: self._user_id(profile) for profile in self.oracle.profiles}
        return any(
            row["graph_user_id"]
            and row["graph_user_id"] != now[self.first[row["mailbox"]]]
            and row["mailbox"] != self.today[self.first[row["mailbox"]]]
            for row in stored
        )

    def do_migrate_mailbox(self, a: int, _b: int) -> None:
        box = self._profile(a).mailbox
        before = self.scene().items[box]
        # Ids change, and with them whose flag it is.
        for profile in self.of_mailbox(box):
            self.do_public(profile.number, 0)
        self._graph("mailbox", {"mailbox": box, "migrate": True})
        after = self.scene().items[box]
        names = {(i.created, i.version, i.properties.get("displayName")): i.id for i in after.values()}
        for ids in (self.oracle.users_items, self.oracle.users_deletes):
            ids |= {
                new
                for i in before.values()
                if i.id in ids and (new := names.get((i.created, i.version, i.properties.get("displayName"))))
            }
        for item in before.values():
            if new := names.get((item.created, item.version, item.properties.get("displayName"))):
                self.oracle.tie(item.id, new)

    def do_replace_account(self, a: int, _b: int) -> bool:
        """An account is deleted and made again under its address, with an empty mailbox (F33)."""
        profile = self._profile(a)
        staged = [self._staged(each) for each in self.of_mailbox(profile.mailbox)]
        if any(row["graph_user_id"] and row["mailbox"] != self.today[profile.mailbox] for row in staged):
            # Nobody who knows the former address alone can find the account: a person has to correct the profile.
            return False
        for item in self.scene().items[profile.mailbox].values():
            self.oracle.users_deletes.add(item.id)
            self.oracle.typed_over([item.properties])
        self._graph("mailbox", {"mailbox": profile.mailbox, "replace": True})
        self._in_outlook("POST", "contactFolders", {"displayName": "Prive"}, profile.mailbox)
        return True

    def do_rename_account(self, a: int, _b: int) -> bool:
        """An account gets another address (F33), which a full sync reads."""
        profile = self._profile(a)
        staged = [self._staged(each)["graph_user_id"] for each in self.of_mailbox(profile.mailbox)]
        if not {None, "", self._user_id(profile)}.issuperset(staged):
            # An account made again is found by its address alone.
            return False
        name = f"{profile.mailbox.partition('@')[0]}{self._next()}@voorbeeld.example"
        self._graph("mailbox", {"mailbox": profile.mailbox, "rename": name})
        self.today[profile.mailbox] = name
        self.first[name] = profile.mailbox
        return True

    def _user_id(self, profile: Setup) -> str:
        today = self.today[profile.mailbox]
        boxes = self.sim.info()["mailboxes"]
        return next(str(box["id"]) for box in boxes if box["user_principal_name"] == today)

    def do_drag_folder(self, a: int, b: int) -> bool:
        """A user drags the folder to Deleted Items, or one that lies there back (F34)."""
        profile = self._profile(a)
        folders = self.scene().folders[profile.mailbox]
        away = [key for key, name in folders.items() if name.startswith("deleted/")]
        folder = away[b % len(away)] if away else self._folder(profile)
        if folder is None:
            return False
        if away:
            self._take_back(profile, folder)
        else:
            self._discard(profile, folder)
        to = "contacts" if away else "deleteditems"
        self._graph("move-folder", {"mailbox": profile.mailbox, "folder": folder, "to": to})
        self.full_needed = True
        return True

    def _take_back(self, profile: Setup, folder: str) -> None:
        """What was deleted with a folder is the user's again."""
        self.oracle.moved_about = True
        for item in self.scene().folder(profile.mailbox, folder):
            self.oracle.users_items.add(item.id)
            self.oracle.users_deletes.discard(item.id)

    def do_purge_folder(self, a: int, _b: int) -> bool:
        """A user deletes the folder for good (F34)."""
        profile = self._profile(a)
        if folder := self._folder(profile):
            self._discard(profile, folder)
            self._in_outlook("POST", f"contactFolders/{folder}/permanentDelete", None, profile.mailbox)
        return folder is not None

    # -- Business Central's users ----------------------------------------------------------------------------------

    def _next(self) -> int:
        self.number += 1
        return self.number

    def _value(self, name: str, variant: int, *, long: bool = False) -> str:
        """A value that nobody typed before; with ``long`` perhaps one that Business Central cannot hold (F14)."""
        n = self._next()
        if long and variant == 4 and name in ("job", "country"):
            self._fired("F14")
            return {"job": f"Functie q{n}q van de afdeling Inkoop", "country": "Verweggistan"}[name]
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
        keys = ("systemCreatedAt", "number", oracle.IN_COMPANY)
        found = sorted(self.scene().contacts.values(), key=lambda c: [c[key] for key in keys])
        return found[a % len(found)] if found else None

    def do_bc_edit(self, a: int, _b: int, name: str, variant: int) -> None:
        self._edit_bc(a, name, self._value(name, variant))

    def do_bc_clear(self, a: int, _b: int, name: str, _variant: int) -> None:
        if name != "name":
            self._edit_bc(a, name, "")

    def _edit_bc(self, a: int, name: str, value: str) -> None:
        contact = self._contact(a)
        if contact is not None:
            self._edit_contact(contact, name, value)

    def _edit_contact(self, contact: dict[str, Any], name: str, value: str) -> None:
        old = mapped.bc_values(contact)
        body: dict[str, Any]
        if name == "street":
            first, _, second = value.partition("\n")
            body = {"addressLine1": first, "addressLine2": second}
        else:
            body = {(mapped.BC_PROPERTIES | mapped.BC_PARTS)[name]: value}
        self._patch_contact(contact, body)
        self.oracle.typed_over([old[n] for n in TOGETHER.get(name, (name,))])
        self._typed("BC " + contact["displayName"], name, value, ("bc", contact["id"]))

    def _typed(self, what: str, name: str, value: str, place: oracle.Place) -> None:
        self.oracle.parts_typed |= name in mapped.PARTS
        if name in ("country", "company") or value in CITIES:
            self.oracle.typed.add(mapped.normal(name, value))
        else:
            self.oracle.typed_value(self.step, f"{what}, {name}", name, value, place)

    def _patch_contact(self, contact: dict[str, Any], body: dict[str, Any]) -> None:
        self.h.in_bc("PATCH", f"contacts({contact['id']})", body, contact[oracle.IN_COMPANY])
        self.oracle.typed_there(self.scene())

    def do_bc_add(self, a: int, b: int) -> None:
        n = self._next()
        taken = self._contact(b)
        email = taken["email"] if taken and a % 5 == 0 else "" if a % 11 == 0 else f"q{n}q@klant.example"
        name = f"Persoon q{n}q"
        made = self._add_contact(a, person(name, email, city=CITIES[a % 3]))
        self._typed("new in BC", "name", name, ("bc", made))

    def _add_contact(self, company: int, contact: dict[str, Any]) -> str:
        made = self.h.in_bc("POST", "contacts", contact, company % self.history.companies)
        self.oracle.typed_there(self.scene())
        self.oracle.users_contacts.add(made["id"])
        return str(made["id"])

    def do_bc_delete(self, a: int, _b: int) -> None:
        contact = self._contact(a)
        if contact:
            before = self.scene().contacts
            self.h.in_bc("DELETE", f"contacts({contact['id']})", company=contact[oracle.IN_COMPANY])
            # With a company its persons go.
            for key in before.keys() - self.scene().contacts.keys():
                self.oracle.typed_over(list(mapped.bc_values(before[key]).values()))

    def do_block(self, a: int, _b: int) -> None:
        contact = self._contact(a)
        if contact:
            self._patch_contact(contact, {"privacyBlocked": True})

    def do_unblock(self, _a: int, _b: int) -> None:
        for contact in self.scene().contacts.values():
            if contact["privacyBlocked"]:
                self._patch_contact(contact, {"privacyBlocked": False})

    def do_computed(self, a: int, b: int) -> bool:
        """A computed field changes, and neither stamp nor version (F30)."""
        contact = self._contact(a)
        # A row that nobody but its user sees yet has no computed fields.
        committed = {row["id"] for company in self.sim.dump()["companies"] for row in company["contacts"]}
        if contact and contact["id"] in committed:
            values = {"lastInteractionDate": f"2026-03-{1 + b % 28:02}"}
            company = self.fleet.company_id(contact)
            self.sim.control(
                "POST", "bc/compute", {"company": company, "contact": contact["id"], "values": values}
            )
        return contact is not None

    def do_odd_stamp(self, a: int, b: int) -> bool:
        """A row gets a stamp that says nothing of when it was written, as an upgrade leaves it (F30)."""
        contact = self._contact(a)
        if contact:
            stamp = ODD_STAMPS[b % len(ODD_STAMPS)]
            row = {"id": contact["id"], "lastModifiedDateTime": stamp}
            company = self.fleet.company_id(contact)
            self.sim.control("POST", "bc/set", {"company": company, "contacts": [{**_plain(contact), **row}]})
        return contact is not None

    def do_type(self, a: int, b: int) -> None:
        contact = self._contact(a)
        if contact:
            wanted = "Person" if contact["type"] == "Company" else "Company"
            self._patch_contact(contact, {"type": wanted})

    # -- Outlook's users -------------------------------------------------------------------------------------------

    def _profile(self, a: int) -> Setup:
        return self.oracle.profiles[a % len(self.oracle.profiles)]

    def of_mailbox(self, mailbox: str) -> list[Setup]:
        """The profiles of a mailbox."""
        return [profile for profile in self.oracle.profiles if profile.mailbox == mailbox]

    def _folder(self, profile: Setup) -> str | None:
        """The id of the folder that the profile is bound to, or that has its name."""
        folders = self.scene().folders[profile.mailbox]
        bound = self._staged(profile)["folder_id"]
        known = [bound] if bound else []
        named = [key for key, name in folders.items() if name == profile.folder]
        return next(
            (key for key in [*known, *named] if not folders.get(key, "deleted/").startswith("deleted/")), None
        )

    def _items(self, profile: Setup) -> list[oracle.Item]:
        folder = self._folder(profile)
        return self.scene().folder(profile.mailbox, folder) if folder else []

    def _item(self, a: int, b: int) -> tuple[Setup, oracle.Item | None]:
        profile = self._profile(a)
        found = self._items(profile)
        return profile, found[b % len(found)] if found else None

    def _patch_item(self, profile: Setup, item: oracle.Item, body: dict[str, Any]) -> None:
        self._in_outlook("PATCH", f"contacts/{item.id}", body, profile.mailbox)

    def do_ol_edit(self, a: int, b: int, name: str, variant: int) -> None:
        profile, item = self._item(a, b)
        if item is not None:
            self._edit_item(profile, item, name, self._value(name, variant, long=True))

    def do_ol_clear(self, a: int, b: int, name: str, _variant: int) -> None:
        profile, item = self._item(a, b)
        if item is not None:
            self._edit_item(profile, item, name, "")

    def _edit_item(self, profile: Setup, item: oracle.Item, name: str, value: str) -> None:
        if name == "country" and value:
            value = {"NL": "Nederland", "BE": "België", "DE": "Duitsland", "FR": "Frankrijk"}.get(
                value, value
            )
        self._patch_item(profile, item, _item_body(item, name, value))
        self.oracle.typed_in(item.id, value)
        over = TOGETHER.get(name, (name,)) if name != "country" else (name,)
        self.oracle.typed_over([item.values[n] for n in over])
        self._typed(
            f"{profile.mailbox} {item.properties.get('displayName')}", name, value, (profile.mailbox, item.id)
        )

    def do_own(self, a: int, b: int) -> bool:
        """A user adds what is none of the sync's business (I8)."""
        profile, item = self._item(a, b)
        if item is None:
            return False
        n = self._next()
        own = item.properties
        emails, phones = _addresses(item), list(own.get("businessPhones") or [])
        body: dict[str, Any] = {
            "personalNotes": f"eigen q{n}q",
            "categories": [*(own.get("categories") or []), f"Eigen {n}"],
        }
        if b % 2 and 0 < len(emails) < 3:
            body["emailAddresses"] = [*emails, {"address": f"eigen{n}@thuis.example", "name": "x"}]
            self.oracle.typed.add(f"eigen{n}@thuis.example")
        if a % 2 and 0 < len(phones) < 2:
            body["businessPhones"] = [*phones, f"+49 30 5{n:06}"]
            self.oracle.typed.add(mapped.normal("phone", f"+49 30 5{n:06}"))
        self._patch_item(profile, item, body)
        return True

    def do_comma(self, a: int, b: int) -> bool:
        """A user types a further address with a comma, which nobody can read (F32)."""
        profile, item = self._item(a, b)
        emails = _addresses(item) if item else []
        if item is None or len(emails) > 2:
            return False
        broken = {"name": f"eigen q{self._next()}q", "address": UNREADABLE}
        self._patch_item(profile, item, {"emailAddresses": [*emails, broken]})
        return True

    def do_private(self, a: int, b: int) -> bool:
        """A user flags an item private or confidential (F31): from now on nothing of it may go to BC (I14)."""
        profile, item = self._item(a, b)
        if item is None:
            return False
        self._flag(profile, item, 2 + b % 2)
        self.oracle.flagged.setdefault(item.id, set())
        return True

    def do_public(self, a: int, _b: int) -> None:
        """A user takes the flags of a folder back: what was typed meanwhile may go."""
        profile = self._profile(a)
        for item in self._items(profile):
            if item.id in self.oracle.flagged:
                self._flag(profile, item, 0)
                del self.oracle.flagged[item.id]

    def _flag(self, profile: Setup, item: oracle.Item, value: int) -> None:
        body = {"mailbox": profile.mailbox, "contact": item.id, "value": value}
        self._graph("sensitivity", body)

    def do_drop_first(self, a: int, b: int) -> bool:
        """A user removes the first address; an own one moves up."""
        profile, item = self._item(a, b)
        emails = _addresses(item) if item else []
        if item and emails:
            self.oracle.typed_over([emails[0]])
            self._patch_item(profile, item, {"emailAddresses": emails[1:]})
        return bool(emails)

    def do_ol_add(self, a: int, b: int) -> None:
        profile = self._profile(a)
        folder = self._folder(profile)
        if folder is None:
            return
        n = self._next()
        taken = self._contact(b)
        address = taken["email"] if taken and taken["email"] and b % 4 == 0 else f"q{n}q@nieuw.example"
        body: dict[str, Any] = {"jobTitle": f"Baan q{n}q"}
        if b % 7:
            body["displayName"] = f"Nieuw q{n}q"
        if b % 5:
            body["emailAddresses"] = [{"address": address, "name": "x"}]
        made = self._in_outlook("POST", f"contactFolders/{folder}/contacts", body, profile.mailbox)
        self.oracle.users_items.add(made["id"])
        self._typed("new in Outlook", "job", f"Baan q{n}q", (profile.mailbox, made["id"]))
        self.oracle.typed |= {mapped.normal("email", address), mapped.normal("name", f"Nieuw q{n}q")}

    def do_ol_delete(self, a: int, b: int) -> None:
        profile, item = self._item(a, b)
        if item:
            self.oracle.users_deletes.add(item.id)
            self._in_outlook("DELETE", f"contacts/{item.id}", None, profile.mailbox)
            self.oracle.typed_over(list(item.values.values()))

    def do_purge(self, a: int, _b: int) -> None:
        """A user empties Deleted Items."""
        mailbox = self._profile(a).mailbox
        gone = [i for i in self.scene().items[mailbox].values() if i.folder == "deleteditems"]
        self.oracle.typed_over([item.properties for item in gone])
        self._graph("purge", {"mailbox": mailbox})

    def do_move_out(self, a: int, b: int) -> bool:
        profile, item = self._item(a, b)
        if item:
            self._move(profile, item, "Prive")
            self.oracle.typed_over(list(item.values.values()))
        return item is not None

    def do_move_back(self, a: int, b: int) -> bool:
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
        return bool(folder and out)

    def _move(self, profile: Setup, item: oracle.Item, to: str) -> None:
        self.oracle.moved_about = True
        self.oracle.users_items.add(item.id)
        self.oracle.users_deletes.discard(item.id)
        self._graph("move", {"mailbox": profile.mailbox, "contact": item.id, "to": to})

    def do_copy(self, a: int, b: int) -> bool:
        profile, item = self._item(a, b)
        if item:
            made = self._graph("copy", {"mailbox": profile.mailbox, "contact": item.id})
            self.oracle.users_items.add(made["immutable_id"])
        return item is not None

    def do_rename_folder(self, a: int, b: int) -> bool:
        profile = self._profile(a)
        if folder := self._folder(profile):
            name = f"Zakelijk {self._next()}"
            self._in_outlook("PATCH", f"contactFolders/{folder}", {"displayName": name}, profile.mailbox)
        return folder is not None

    def do_delete_folder(self, a: int, _b: int) -> bool:
        profile = self._profile(a)
        if folder := self._folder(profile):
            self._discard(profile, folder)
            self._in_outlook("DELETE", f"contactFolders/{folder}", None, profile.mailbox)
        return folder is not None

    def _discard(self, profile: Setup, folder: str) -> None:
        for item in self.scene().folder(profile.mailbox, folder):
            self.oracle.users_deletes.add(item.id)
            self.oracle.typed_over(list(item.values.values()))

    def do_move_folder(self, a: int, b: int) -> bool:
        """A user drags the folder into another one, or to Deleted Items; only a full sync looks where it is."""
        profile = self._profile(a)
        if folder := self._folder(profile):
            to = ("deleteditems", "Prive", "contacts")[b % 3]
            if to == "deleteditems":
                self._discard(profile, folder)
            body = {"mailbox": profile.mailbox, "folder": folder, "to": to}
            self._graph("move-folder", body)
            self.full_needed = True
        return folder is not None

    def do_empty_folder(self, a: int, _b: int) -> bool:
        profile = self._profile(a)
        items = self._items(profile)
        if folder := self._folder(profile):
            self._discard(profile, folder)
            for item in items:
                self._in_outlook("DELETE", f"contacts/{item.id}", None, profile.mailbox)
        return bool(items)

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


def _addresses(item: oracle.Item) -> list[dict[str, Any]]:
    """The entries as a user sends them, those that nobody can read as they were typed."""
    return [{"address": UNREADABLE, **entry} for entry in item.properties.get("emailAddresses") or []]


def _plain(contact: dict[str, Any]) -> dict[str, Any]:
    """What the control plane takes of a dumped contact."""
    not_taken = ("systemCreatedAt", "etag", "version", oracle.IN_COMPANY)
    return {name: value for name, value in contact.items() if name not in not_taken}


def _item_body(item: oracle.Item, name: str, value: str) -> dict[str, Any]:
    own = item.properties
    if name == "email":
        rest = _addresses(item)[1:]
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
    if name == "email2":
        first, *rest = _addresses(item) or [{"address": "", "name": ""}]
        return {"emailAddresses": [first, *([{"address": value, "name": "x"}] if value else []), *rest[1:]]}
    return {(mapped.SCALARS | mapped.PARTS)[name]: value or None}
