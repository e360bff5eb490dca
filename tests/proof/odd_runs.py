"""Runs that are no plain ones: dry, killed, disturbed, side by side; and what is wanted back."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable

#: What a service, or the sync, changes along with a field.
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import requests

from sync_lib.errors import SyncError, TransientError
from sync_lib.store import undo
from tests.proof import oracle, wanted
from tests.proof.histories import (
    Step,
)
from tests.proof.interventions import (
    Interrupter,
    Killed,
    Killer,
    expire_leases,
    writes_of,
)
from tests.proof.verdict import check
from tests.sync.harness import Harness

if TYPE_CHECKING:
    from tests.proof.player import Player


class OddRuns:
    """Runs that are no plain ones: dry, killed, disturbed, side by side; and what is wanted back."""

    def __init__(self, player: Player) -> None:
        self.player = player

    def do_dry(self, a: int, _b: int) -> None:
        """A dry run changes nothing, and the run after it plans the same (I18)."""
        self.player.troubles.do_clear_faults(0, 0)
        before, scene = oracle.tables(self.player.h.edges.engine), self.player.look()
        self.player.sim.reset_counters()
        mode = ("incremental", "full")[a % 2]
        # Only a real run settles what an earlier one sent, and sees what has become of the folder by that.
        unsettled = oracle.rows(self.player.h.edges.engine, "SELECT 1 FROM change WHERE state = 'sending'")
        runs_ = [f"{kind}__{self.player._next()}" for kind in ("dry", "real")]
        dry = self.player.run(mode, dry_run=True, run_id=runs_[0])
        check(not self.player._writes(), "I18", "a dry run wrote")
        after = oracle.tables(self.player.h.edges.engine)
        for name in before:
            check(before[name] == after[name], "I18", f"a dry run changed {name}")
        check(self.player.scene().text == scene.text, "I18", "a dry run changed a service")
        real = self.player.run(mode, run_id=runs_[1])
        self.player._judge(scene)
        if dry and real and dry.errors:
            away = all(isinstance(error, TransientError) for error in dry.errors)
            check(away or real.errors, "I18", f"a dry run failed: {dry.errors}")
        elif dry and real and not unsettled:
            self._judge_dry(runs_)

    def _judge_dry(self, run_ids: list[str]) -> None:
        plans: list[set[str]] = []
        for run_id in run_ids:
            found = oracle.rows(
                self.player.h.edges.engine,
                "SELECT p.profile, c.action, c.bc_id, c.outlook_id, c.digest"
                " FROM change c JOIN plan p ON p.id = c.plan WHERE p.run = :run AND p.round = 1"
                # A dry run ends no profile: what that will do a preview says.
                " AND c.cause <> 'profile_ended'",
                run=run_id,
            )
            plans.append({str(sorted(row.items(), key=str)) for row in found})
        # What an earlier profile of the real run writes is new to the later ones, so only one profile compares.
        if len(self.player.oracle.profiles) == 1 and plans[1]:
            check(plans[0] == plans[1], "I18", f"dry {plans[0] - plans[1]}, real {plans[1] - plans[0]}")

    def do_kill(self, mode: str, what: str, at: int, after: int) -> bool:
        before = self.player.look()
        killed = self.killed_run(mode, Killer(what, at, bool(after)))
        self.player._judge(before)
        return killed

    def do_during(self, mode: str, where: str, at: int, steps: tuple[Step, ...]) -> None:
        """A run, and what users do between two of its calls (I11)."""
        interrupter = Interrupter(
            where, at, lambda request: self._act(where, request, steps), self.player._ignores_versions()
        )
        interrupter.watch(self.player.h.edges)
        if where == "page":
            self.player.sim.set(bc_max_page=3)
        before = self.player.look()
        self.player.run(mode)
        self.player.sim.set(bc_max_page=self.player.history.sandbox.get("bc_max_page", 20000))
        self.player._reopen()
        self.player._judge(before, users_acted=interrupter.done)

    def _act(self, where: str, request: requests.PreparedRequest, steps: tuple[Step, ...]) -> bool:
        # What the service edited before them in this run is among what users see, and may delete.
        self.player._note_edits()
        acted = False
        for step in steps:
            self.player.oracle.saw(self.player.scene())
            version = self.player.scene().text
            if where != "write":
                self.player._do(step)
            elif step[0] in ("bc_edit", "ol_edit", "bc_clear", "ol_clear"):
                self._edit_written(request, step)
            acted = acted or step[0] in wanted.STEPS or self.player.scene().text != version
            self.player.oracle.saw(self.player.scene())
        if acted:
            faults = [where == "page" and any(step[0] in ("bc_add", "bc_delete") for step in steps) and "F16"]
            faults += [where == "write" and "F10"]
            for fault in filter(None, faults):
                self.player._fired(str(fault))
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
            found = [c for c in self.player.scene().contacts.values() if c["id"] in address]
            for contact in found:
                self.player.bc._edit_contact(
                    contact, name, "" if clears and name != "name" else self.player._value(name, variant)
                )
            return
        for profile in self.player.oracle.profiles:
            for item in self.player.scene().items[profile.mailbox].values():
                if address.endswith(f"/contacts/{item.id}"):
                    self.player.outlook._edit_item(
                        profile, item, name, "" if clears else self.player._value(name, variant, long=True)
                    )

    def killed_run(self, mode: str, killer: Killer) -> bool:
        """A run whose worker is killed; the next run comes from another worker, when the leases have run out."""
        killer.watch(self.player.h.edges)
        if self.player.trace:
            self.player.trace.watch_commits(self.player.h.edges)
        with contextlib.suppress(Killed):
            self.player.run(mode)
        self.player._reopen()
        expire_leases(self.player.h.edges)
        return killer.dead

    def do_two_runs(self, a: int, _b: int) -> None:
        """Two runs at once: one works on a profile, the other leaves it alone."""
        before = self.player.look()
        other = Harness.__new__(Harness)
        other.__dict__ = {**self.player.h.__dict__, "edges": self.player.edges()}
        errors: list[BaseException] = []

        def work() -> None:
            try:
                with contextlib.suppress(SyncError):
                    other.run(("incremental", "full")[a % 2], run_id=f"other__{self.player.step}")
            except BaseException as error:  # noqa: BLE001 - raised by the other thread, below
                errors.append(error)

        self._side_by_side(work, lambda: self.player.run("incremental"))
        other.close()
        self.player._judge(before)
        if errors:
            raise errors[0]

    def _side_by_side(self, first: Callable[[], Any], second: Callable[[], Any]) -> None:
        if self.player.scheduler:
            self.player.scheduler.run(first, second)
            return
        thread = threading.Thread(target=first)
        thread.start()
        second()
        thread.join()

    def do_undo(self, a: int, b: int) -> None:
        """A person wants back what a run did to a profile, or one change of it (rules 9)."""
        done = oracle.rows(
            self.player.h.edges.engine,
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
        self.player.oracle.pairs.forget()
        with self.player.h.edges.engine.begin() as conn:
            undo.ask(conn, undo.Asked(**asked), "person", self.player.h.edges.now())
        for change in done:
            if asked.items() <= change.items():
                self.player.oracle.wanted_back(change)
