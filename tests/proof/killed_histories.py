"""A random history up to one of its runs, and that run killed at every place; the next runs end as if nothing was.

The run is repeated from one moment and ended before each of its effects (``crashes.py``), which stands for before
and after each call and before each commit. What users do between crash and the next runs is the random histories'.
"""

from __future__ import annotations

import copy
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from tests.proof import histories, oracle
from tests.proof.crashes import Start, killed_everywhere, state
from tests.proof.histories import History
from tests.proof.player import Player
from tests.proof.verdict import check

#: A moment is a copy of two things, the world and the database: what is neither of them can't be gone back to.
_ELSEWHERE = frozenset(
    {"hold", "release", "lag", "unlag", "backup", "restore", "lose_database", "two_runs", "many"}
)
_STEPS = 14


def draw(seed: int) -> tuple[History, str]:
    """Return the history of a seed up to the run that is killed, and that run's mode."""
    drawn = histories.draw(seed, steps=_STEPS, faults=False)
    steps = tuple(step for step in drawn.steps if step[0] not in _ELSEWHERE)
    runs = [number for number, step in enumerate(steps) if step[0] == "run"]
    # The first run of all is in every history, and rarely the most telling one.
    chosen = random.Random(seed).choice(runs[1:] or runs)
    # A part of the deletes counts for 24 hours (8.3), so that a guard may hold the rest of them; that is no crash.
    wide = {name: 10**6 for name in drawn.settings if name.startswith("guard_")}
    wide |= dict.fromkeys(("guard_deletes", "guard_few_deletes", "guard_overwrites", "guard_creates"), 10**6)
    few = min(drawn.people, 12)
    short = replace(
        drawn, steps=steps[:chosen], people=few, database="sqlite", settings=drawn.settings | wide
    )
    return short, steps[chosen][1]


@dataclass
class KilledPlayer(Player):
    """Plays a history, and then one run with all its crashes in place of the end."""

    mode: str = "incremental"
    home: Path = Path()
    counts: Counter[str] = field(default_factory=Counter)

    def finish(self) -> None:
        """Kill the run at every place, and judge each time."""
        self.troubles.do_clear_faults(0, 0)
        moment = Start(self.h, self.home, self._reopen)
        known, now = self.oracle, self.hours + 1
        moment.again()
        self._go_on(known, now, killed=False)
        wanted = state(self.h)

        def run() -> None:
            self.troubles.set_hours(now)
            self.run(self.mode)

        def judge(what: str) -> None:
            self._go_on(known, now, killed=True)
            found = state(self.h)
            check(found == wanted, "I7", f"{what}: {_differing(found, wanted)}")

        self.counts += killed_everywhere(moment, run, judge)

    def _go_on(self, known: oracle.Oracle, now: float, *, killed: bool) -> None:
        """The runs that follow, judged one by one; then there is nothing left to write."""
        self.oracle = copy.deepcopy(known)
        if killed:
            self._judge(self.before)
        else:
            self.troubles.set_hours(now)
            self.do_run(self.mode)
        mode = "full" if self.full_needed else "incremental"
        for _ in range(2):
            self.troubles.set_hours(self.hours + 1)
            self.do_run(mode)
            if self.accept_count():
                self.do_run(mode)
        scene = self.scene()
        self.sim.reset_counters()
        ran = self.run(mode)
        writes = self._writes()
        check(
            not writes,
            "I5",
            f"the run after convergence wrote {writes}: {list(ran.report.lines()) if ran else []}",
        )
        self.oracle.judge_end(scene, self.h.edges.engine)


def _differing(found: dict[str, Any], wanted: dict[str, Any]) -> str:
    names = [name for name in wanted if found.get(name) != wanted[name]]
    return "; ".join(f"{name}: {found.get(name)} in place of {wanted[name]}" for name in names)


def play(seed: int, new_database: Callable[[str], str], home: Path) -> Counter[str]:
    """Play the history of a seed with all crashes; raise with the history where an invariant breaks."""
    history, mode = draw(seed)
    player = KilledPlayer(history, new_database, mode=mode, home=home)
    try:
        player.play()
    except Exception as error:
        raise AssertionError(
            f"{type(error).__name__} {error}\n{history}\n  then killed: {mode} run"
        ) from error
    return player.counts + Counter(histories=1)
