"""Faults, clocks, and what becomes of the staging database."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import text

from sync_lib.store import clock, tables
from tests.proof import mapped
from tests.proof.histories import (
    FAULTS,
    MALFORMED,
    PATIENCE,
    UNKIND_FAULTS,
)
from tests.proof.interventions import (
    expire_leases,
)

if TYPE_CHECKING:
    from tests.proof.player import Player


class Troubles:
    """Faults, clocks, and what becomes of the staging database."""

    def __init__(self, player: Player) -> None:
        self.player = player

    def do_unkind(self, which: int, nth: int) -> None:
        spec = {"count": 1, **UNKIND_FAULTS[which % len(UNKIND_FAULTS)]}
        spec["nth"] = list(range(nth, nth + int(spec["count"] or 1)))
        self.player.planned.append(self.player.sim.add_fault(**spec))

    def do_malformed(self, a: int, b: int) -> None:
        """A version is taken for a malformed one (F29)."""
        spec = {"count": 1, **MALFORMED[a % len(MALFORMED)]}
        nth = 1 + b % 5
        self.player.planned.append(
            self.player.sim.add_fault(**spec | {"nth": list(range(nth, nth + spec["count"]))})
        )

    def do_late(self, a: int, b: int) -> None:
        """A create that no answer comes to, and that the service carries out later (F37).

        Not where the engine is set so that no request takes any time.
        """
        if self.player.history.settings["longest_request"]:
            service, nth = ("bc", "graph")[a % 2], 1 + b % 4
            self.player.planned.append(self.player.sim.add_fault(name="F37", service=service, nth=nth))

    def do_carry_out(self, _a: int, _b: int) -> None:
        """The services carry out what they kept; they never do so after the longest request time."""
        self.player.sim.control("POST", "late", {})
        self.player.oracle.saw(self.player.scene())

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
            value = f"https://f{self.player._next()}q.example"
            self.player.oracle.typed.add(mapped.normal("home", value))
            spec["action"] = {"method": "PATCH", "path": "{path}", "body": {name: value}}
            self.player.planned.append(self.player.sim.add_fault(**spec))
            self.player.planned[-1].typed = value
            return
        self.player.planned.append(self.player.sim.add_fault(**spec))

    def _lose_patience(self, spec: dict[str, Any]) -> None:
        """A worker that waits for an answer less long than the service takes.

        Where the engine is set so that no request takes any time at all, the slow one acts before it answers.
        """
        if self.player.history.settings["longest_request"] == 0.0:
            spec["moment"] = "after"
        self.player.patience = {"request_timeout": PATIENCE}
        self.player._reopen()

    def do_clear_faults(self, _a: int, _b: int) -> None:
        for fault in self.player.planned:
            self.player._fired(fault.name, fault.fired)
        self.player.planned = []
        self.player.sim.clear_faults()
        if self.player.patience:
            self.player.patience = {}
            self.player._reopen()

    def do_hours(self, _a: int, _b: int) -> None:
        """An hour passes: by the staging database's clock, which decides, and by the workers'."""
        self.do_carry_out(0, 0)
        self.set_hours(self.player.hours + 1)

    def set_hours(self, hours: float) -> None:
        """Let it be so many hours after the beginning."""
        self.player.hours = hours
        clock.set_offset(self.player.h.edges.engine, hours * 3600)

    def do_worker_clock(self, a: int, _b: int) -> None:
        """The workers' clock is off by up to a day (F20), which changes nothing (I12)."""
        self.player.worker_skew = float(a % 49 - 24)

    def do_clock(self, a: int, _b: int) -> None:
        """The services' clocks are off by up to a day (F20)."""
        skew = (a % 49 - 24) * 3600
        self.player.sim.clock(advance_seconds=skew - self.player.skew)
        self.player.skew = skew

    def do_expire_tokens(self, _a: int, _b: int) -> None:
        self.player.sim.control("POST", "entra/expire-tokens", {})

    def do_lag(self, a: int, _b: int) -> None:
        """Delta queries of a mailbox show nothing new for a while (F18)."""
        mailbox = self.player._profile(a).mailbox
        self.player.oracle.ends.lagging.add(mailbox)
        self.player._graph("hold-delta", {"mailbox": mailbox})

    def do_unlag(self, _a: int, _b: int) -> None:
        self.player.oracle.ends.lagging.clear()
        for profile in self.player.oracle.profiles:
            self.player._graph("hold-delta", {"mailbox": profile.mailbox, "hold": False})

    def do_expire_delta(self, a: int, _b: int) -> None:
        self.player._graph("expire-delta", {"mailbox": self.player._profile(a).mailbox})

    def do_hold(self, _a: int, _b: int) -> None:
        self.do_release(0, 0)
        self.player.sim.control("POST", "bc/hold", {"identity": "user"})

    def do_release(self, _a: int, _b: int) -> bool:
        """What a user wrote in a transaction becomes visible, with the stamps of then (F15)."""
        if all(company["held"] is None for company in self.player.sim.dump()["companies"]):
            return False
        written = self.player.sim.control("POST", "bc/release", {})["rows"]
        self.player.oracle.saw(self.player.scene())
        return bool(written)

    def do_lose_database(self, _a: int, _b: int) -> None:
        if self.player.fleet.has_moved:
            # Nobody but the database knows that keys of the former environment are ours (rules 2.7).
            return
        self._forget_losers()
        self.player._open()
        before = self.player.look()
        self.player.run("full")
        self.player._judge(before)

    def _forget_losers(self) -> None:
        """What was planned and not written is forgotten with the database, and so are its losers."""
        self.player.oracle.pairs.forget()
        if self.player.trace:
            self.player.trace.forget_database()
        self.player.h.close()
        self.player.oracle.tokens = self.player.scene().without_log(self.player.oracle.tokens)

    def do_backup(self, _a: int, _b: int) -> None:
        with self.player.h.edges.engine.connect() as conn:
            self.player.kept_keys = [profile.key for profile in self.player.oracle.profiles]
            self.player.kept = [
                (table, [dict(row) for row in conn.execute(table.select()).mappings()])
                for table in tables.metadata.sorted_tables
            ]

    def do_restore(self, _a: int, _b: int) -> None:
        """The staging database of an earlier moment takes the place of the present one (rules 2.8)."""
        if not self.player.kept or self._names_nobody():
            return
        self._forget_losers()
        self.player.h.database = self.player.new_database(self.player.history.database)
        self.player.h.edges = self.player.edges()
        with self.player.h.edges.engine.begin() as conn:
            for table, rows in self.player.kept:
                if rows:
                    conn.execute(table.insert(), rows)
                if (
                    rows
                    and self.player.history.database == "postgresql"
                    and table.autoincrement_column is not None
                ):
                    column = table.autoincrement_column.name
                    conn.execute(
                        text(f"SELECT setval(pg_get_serial_sequence('{table.name}', '{column}'), :n)"),
                        {"n": max(row[column] for row in rows)},
                    )
        expire_leases(self.player.h.edges)
        for profile, key in zip(self.player.oracle.profiles, self.player.kept_keys, strict=True):
            profile.key = key
        self.player.wanted.read_again()
        self.player.oracle.ends.forget_items(self.player.h.edges.engine)
        for profile in self.player.oracle.profiles:
            self.player.fleet.name_folder(profile)
            self.player._import(profile)
            self.player.upkeep.set_region(profile)
        self.player.oracle.saw_couplings(self.player.h.edges.engine)

    def _names_nobody(self) -> bool:
        """Whether a backup knows an account that is gone, by an address that its successor no longer has."""
        stored = next(rows for table, rows in self.player.kept if table.name == "sync_profile")
        now = {
            profile.mailbox: self.player.places._user_id(profile) for profile in self.player.oracle.profiles
        }
        return any(
            row["graph_user_id"]
            and row["graph_user_id"] != now[self.player.first[row["mailbox"]]]
            and row["mailbox"] != self.player.today[self.player.first[row["mailbox"]]]
            for row in stored
        )
