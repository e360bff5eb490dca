"""Carries a history out against the real sandbox and the real pipeline, and lets the oracle judge."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from sandbox import Sandbox
from sync_lib import services
from sync_lib.errors import SyncError, TransientError
from sync_lib.model import Decision
from sync_lib.store import clock, holds, runs
from sync_lib.store.holds import HoldState
from sync_lib.times import shift
from tests import partial
from tests.proof import filters, fleet, mapped, oracle, upkeep
from tests.proof.approvals import Approvals
from tests.proof.bc_users import BcUsers
from tests.proof.histories import (
    CITIES,
    SLOW,
    STANDS_FOR,
    History,
    Step,
)
from tests.proof.interventions import (
    WorkersClock,
    watch_order,
)
from tests.proof.odd_runs import OddRuns
from tests.proof.oracle import Oracle, Scene, Setup
from tests.proof.outlook_users import OutlookUsers
from tests.proof.places import Places
from tests.proof.scheduler import Scheduler
from tests.proof.tracing import Trace
from tests.proof.troubles import Troubles
from tests.proof.users import Users
from tests.proof.verdict import check
from tests.proof.wanted import Wanted
from tests.sync.harness import COMPANY, Harness, Ran, person


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
        people = [
            person(f"Persoon q{n}q", f"start{n}@klant.example", city=CITIES[n % 3], **self._salesperson(n))
            for n in range(self.history.people)
        ]
        salespeople = [{"code": code} for code in filters.SALESPEOPLE if code]
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
        companies = [{**company, "salespeople": salespeople} for company in companies]
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
        self.bc = BcUsers(self)
        self.outlook = OutlookUsers(self)
        self.places = Places(self)
        self.troubles = Troubles(self)
        self.odd_runs = OddRuns(self)
        self.users = Users(self)
        self.fleet = fleet.Fleet(self)
        self.upkeep = upkeep.Upkeep(self)
        self.wanted = Wanted(self)
        self.field_profile = self.history.field_profile
        self.planned: list[Any] = []
        self.typed_by_service: list[str] = []
        self.patience: dict[str, Any] = {}
        self.kept: list[tuple[Any, list[dict[str, Any]]]] = []
        self.kept_keys: list[int] = []
        self.full_needed = self.history.settings["id_scan_requests"] == 0
        try:
            # Each comparison of what is unsettled is held against one of everything.
            with partial.checked():
                self._open()
                self._play()
        finally:
            self.h.close()
            self.sim.stop()

    def _salesperson(self, n: int) -> dict[str, str]:
        """Whose contact one of the first ones is, where the page that says it is read."""
        extended = self.history.field_profile == "extended"
        return {"salespersonCode": filters.SALESPEOPLE[n % 3]} if extended else {}

    def _open(self) -> None:
        self.h = Harness(self.sim, self.new_database(self.history.database), **self.history.settings)
        self._reopen()
        for profile in self.oracle.profiles:
            profile.key = 0
            self._import(profile)
        self.wanted.forget_all()
        self.oracle.ends.forget_items(self.h.edges.engine)
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
        if self.scheduler and self.sim.time:
            made.clock = WorkersClock(self.scheduler, self.sim.time)
            watch_order(made, self.scheduler)
        if self.trace:
            self.trace.watch(made)
        clock.set_offset(made.engine, self.hours * 3600)
        now = made.now
        made.now = lambda: shift(now(), (self.hours + self.worker_skew) * 3600)  # type: ignore[method-assign]
        return made

    def _import(self, profile: Setup) -> None:
        if profile.ended:
            # Who imports its row makes a new one of it.
            return
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
        parts = (
            *(self, self.bc, self.outlook, self.places, self.troubles, self.odd_runs),
            *(self.users, self.fleet, self.upkeep, self.wanted),
        )
        act = next(filter(None, (getattr(part, f"do_{name}", None) for part in parts)))
        if act(*arguments) is not False and name in STANDS_FOR:
            self._fired(STANDS_FOR[name])

    def _fired(self, fault: str, times: int = 1) -> None:
        self.fired[fault] = self.fired.get(fault, 0) + times

    def finish(self) -> None:
        """Edits stop, faults go, and after two runs everything agrees (I5); then nothing is written any more."""
        self._do(("release", 0, 0))
        self.troubles.do_unlag(0, 0)
        self.troubles.do_clear_faults(0, 0)
        self.troubles.do_hours(0, 0)
        self.users.switch_on()
        self.fleet.correct()
        if any(profile.ending for profile in self.oracle.profiles):
            self._run_with_retries("incremental")
        mode = "full" if self.full_needed else "incremental"
        # Where a company moved, the first run only asks (rules 1), and until all that differs was looked at no baseline
        # says which side changed: what only Business Central changed of a private item waits for the run behind it.
        for _ in range(3 if self.fleet.has_moved else 2):
            # A profile of a company that moved ends only once somebody has accepted the move.
            self.wanted.leave_somebody()
            self._run_with_retries(mode)
            moved = self.fleet.accept_moves()
            if moved:
                self.do_run(mode)
            if self.accept_count() | self.places.answer_all() | self.fleet.approve_moved() | moved:
                self.do_run(mode)
        scene = self.scene()
        for mode in ("incremental", "full"):
            self.sim.reset_counters()
            self.h.audits = True
            ran = self.run(mode)
            self.h.audits = False
            writes = self._writes()
            lines = list(ran.report.lines()) if ran else []
            check(not writes, "I5", f"the {mode} run after convergence wrote {writes}: {lines}")
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

    def scene(self) -> Scene:
        return Scene.of(self.sim.dump(), self.first)

    def look(self) -> Scene:
        """What the services hold before a run; what the staging database holds is noted."""
        self.oracle.ends.look(self.h.edges.engine)
        return self.scene()

    def _graph(self, what: str, body: dict[str, Any]) -> Any:
        """The control plane of Graph; a mailbox is named by its first address."""
        return self.sim.control("POST", f"graph/{what}", body | {"mailbox": self.today[body["mailbox"]]})

    def _in_outlook(self, method: str, path: str, body: Any, mailbox: str) -> Any:
        return self.h.in_outlook(method, path, body, self.today[mailbox])

    def _staged(self, profile: Setup) -> dict[str, Any]:
        """What the staging database knows of a profile."""
        names = "id, mailbox, company, company_name, graph_user_id, folder_id, folder_asked, successor, second_folder"
        names += ", ending, ended_at"
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
        """A run that nobody disturbs; where nothing fails, those that it finds quiet must be so (I21)."""
        before = self.look()
        self.h.audits = self._is_calm()
        try:
            ran = self.run(mode)
        finally:
            self.h.audits = False
        self._judge(before)
        return ran

    def _is_calm(self) -> bool:
        """Whether both services answer as they should, and show all that there is."""
        return not self.planned and not self.oracle.ends.lagging and not self.patience

    def _judge(self, before: Scene, *, users_acted: bool = False) -> None:
        if any(fault.name == "F6" and fault.fired for fault in self.planned):
            # What the slow service still carries out belongs to this run.
            self._rest(SLOW)
        self._note_edits()
        after = self.scene()
        # What was created is judged by its key, so that a cause that arises and goes within a run counts too.
        self.oracle.saw(after)
        self.oracle.judge_run(before, after, users_acted=users_acted)
        self.oracle.ends.judge(self.h.edges.engine, before, after, users_acted=users_acted)
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

    def _rest(self, seconds: float) -> None:
        (self.sim.time or time).sleep(seconds)

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

    def _typed(self, what: str, name: str, value: str, place: oracle.Place) -> None:
        self.oracle.parts_typed |= name in mapped.PARTS
        # A city that several have, however it is written, is no value by which an edit is known.
        if name in ("country", "company") or mapped.normal(name, value) in CITIES:
            self.oracle.typed.add(mapped.normal(name, value))
        else:
            self.oracle.typed_value(self.step, f"{what}, {name}", name, value, place)

    def typed_instead(
        self, what: str, typed: tuple[str, str], place: oracle.Place, over: list[str], *, was: str
    ) -> None:
        """A user typed a value where others were.

        The same value in another written form is no edit (rules 2.1): it need not survive what somebody typed on the
        other side meanwhile, in place of it.
        """
        name, value = typed
        is_known = mapped.key_of(value) in self.oracle.tokens
        self.oracle.typed_over(over)
        if is_known or mapped.normal(name, value) != mapped.normal(name, was):
            self._typed(what, name, value, place)
        else:
            self.oracle.typed.add(mapped.normal(name, value))

    def _profile(self, a: int) -> Setup:
        return self.oracle.profiles[a % len(self.oracle.profiles)]

    def of_mailbox(self, mailbox: str) -> list[Setup]:
        """The profiles of a mailbox."""
        return [profile for profile in self.oracle.profiles if profile.mailbox == mailbox]

    def _folder(self, profile: Setup) -> str | None:
        """The id of the folder that the profile is bound to, or that has its name."""
        folders = self.scene().folders[profile.mailbox]
        bound = self._staged(profile).get("folder_id")
        known = [bound] if bound else []
        named = [key for key, name in folders.items() if name == profile.folder]
        return next(
            (key for key in [*known, *named] if not folders.get(key, "deleted/").startswith("deleted/")), None
        )

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
