"""How a profile is doing: one sentence with cause and remedy, its last runs, and the first steps of a new one.

Starting a run is no route of ours: the page asks Airflow's own REST API, which knows who may, and keeps the log of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import APIRouter, HTTPException, Path
from fastapi.responses import HTMLResponse
from sqlalchemy import Connection

from sync_lib.store.profiles import rows as profiles
from sync_lib.store.profiles.checks import ProfileCheck, read_check
from sync_lib.store.profiles.rows import Profile
from sync_lib.store.queries import overview
from sync_lib.store.queries.overview import ProfileLine
from sync_lib.store.queries.profile_runs import ProfileRun, read_runs
from sync_lib.web.language import msg
from sync_lib.web.visit import CurrentVisit, Visit

router = APIRouter()

ProfileId = Annotated[int, Path(ge=1, lt=2**31)]

#: The chart, in its own units: of one bar with its gap, of all bars, and of what is beside and below them.
_STEP, _WIDTH, _HEIGHT, _LEFT, _FOOT = 26, 20, 96, 44, 18
#: States of runs that the legend explains, in its order; what no bar shows is left out.
_LEGEND = ("done", "held", "failed", "skipped", "running", "plan")


@dataclass(frozen=True, slots=True)
class Status:
    """How a profile is doing, as marked texts.

    Attributes:
        kind: ``good``, ``wait``, ``bad`` or ``off``.
        text: One sentence.
        values: What is put in its places.
        reason: Why, as a code with a remedy; "" for none.
        message: What a service said; "" for nothing.
    """

    kind: str
    text: str
    values: dict[str, Any]
    reason: str = ""
    message: str = ""


def status_of(line: ProfileLine) -> Status:
    """Return what its last run, or that it has none, comes to in one sentence."""
    if line.state == "off":
        return Status("off", msg("It is switched off: nothing of it syncs."), {})
    state = line.last_state
    if state == "failed":
        return Status("bad", msg("Its last run failed."), {}, line.reason, line.message)
    if state == "held":
        if held := line.outcome("held"):
            text = msg("Changes that wait until a person decides: %(count)s.")
            return Status("wait", text, {"count": held}, line.reason)
        return Status("wait", msg("It waits until a person decides."), {}, line.reason)
    if state == "skipped":
        return Status("wait", msg("Its last run left it out."), {}, line.reason, line.message)
    if line.last_good_at is None:
        return Status("off", msg("It has never synced."), {})
    if line.rejects:
        return Status("good", msg("It syncs. Contacts that do not: %(count)s."), {"count": line.rejects})
    return Status("good", msg("It syncs, and both sides agree."), {})


@dataclass(frozen=True, slots=True)
class Step:
    """One of the first steps of a new profile; ``of`` is what shows it: a check, a run, or nothing yet."""

    name: str
    is_done: bool
    is_next: bool
    of: Any = None


def steps_of(line: ProfileLine, checked: ProfileCheck | None, runs: Sequence[ProfileRun]) -> list[Step]:
    """Return check, plan and sync, each with whether it is done; none once the profile has synced."""
    if line.last_good_at is not None:
        return []
    planned = next((run for run in reversed(runs) if run.dry_run and run.is_over), None)
    is_fine = checked is not None and not checked.wrong
    is_next = "sync" if planned else "plan" if is_fine else "check"
    return [
        Step("check", is_fine, is_next == "check", checked),
        Step("plan", planned is not None, is_next == "plan", planned),
        Step("sync", False, is_next == "sync"),
    ]


# -- the chart -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class DrawnRun:
    """A bar of the chart and the place around it that can be clicked, in its own units."""

    run: ProfileRun
    n: int
    x: int
    y: int
    height: int
    state: str


@dataclass(frozen=True, slots=True)
class Chart:
    """Bars of the last runs, oldest first; ``top`` is what the highest line of the axis stands for."""

    bars: list[DrawnRun]
    top: int
    width: int
    legend: list[str]
    step: int = _STEP
    bar: int = _WIDTH
    height: int = _HEIGHT
    left: int = _LEFT
    foot: int = _FOOT


def chart_of(runs: Sequence[ProfileRun]) -> Chart:
    """Return the chart: a bar is as high as what the run wrote. One that wrote nothing has a low bar, to be seen."""
    top = _round_up(max((run.written for run in runs), default=0))
    bars = []
    for n, run in enumerate(runs):
        height = max(4, round(run.written / top * _HEIGHT))
        state = "plan" if run.dry_run and run.is_over else run.state
        bars.append(DrawnRun(run, n, _LEFT + n * _STEP, _HEIGHT - height, height, state))
    shown = {bar.state for bar in bars}
    legend = [state for state in _LEGEND if state in shown]
    return Chart(bars, top, _LEFT + max(len(bars), 16) * _STEP, legend)


def _round_up(number: int) -> int:
    """The next of 1, 2, 5, 10, 20, 50 ...: what an axis ends with."""
    unit = 1
    while True:
        for each in (1, 2, 5):
            if number <= each * unit:
                return each * unit
        unit *= 10


# -- routes ----------------------------------------------------------------------------------------------------------


def find(visit: Visit, profile: int, *, may_have_ended: bool = False) -> Profile:
    """Return a profile.

    Raises:
        HTTPException: 404, there is none; 409, it has ended.
    """
    with visit.read() as conn:
        found = profiles.find_profile(conn, profile)
    if found is None:
        raise HTTPException(404)
    if found.ended_at and not may_have_ended:
        raise HTTPException(409, msg("This profile has ended."))
    return found


@router.get("/profiles/{profile}/status")
def status(visit: CurrentVisit, profile: ProfileId) -> HTMLResponse:
    """Show anew how a profile is doing; the page asks while a run works on it."""
    stored = find(visit, profile)
    with visit.read() as conn:
        values = values_of(conn, stored)
    return visit.fragment("profile_status.html", profile=stored, **values)


def values_of(conn: Connection, profile: Profile) -> dict[str, Any]:
    """Return what ``profile_status.html`` shows of a profile that has not ended."""
    line = overview.read_line(conn, profile.id)
    if line is None:
        raise HTTPException(409, msg("This profile has ended."))
    runs = read_runs(conn, profile.id)
    return {
        "line": line,
        "status": status_of(line),
        "steps": steps_of(line, read_check(conn, profile.id), runs),
        "chart": chart_of(runs),
        "step_titles": STEPS,
    }


#: What each of the first steps is, and what it does.
STEPS = {
    "check": (
        msg("Check"),
        msg("Checks whether mailbox, company and permissions are as they must be. Nothing is synced."),
    ),
    "plan": (msg("Plan"), msg("Shows what the first sync would do, contact by contact. Nothing is written.")),
    "sync": (
        msg("Sync"),
        msg("Brings the contacts into the folder. If you do not, the next scheduled run does."),
    ),
}
