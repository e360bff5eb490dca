"""What waits for a person: whom to ask, what to say, and what an answer sets going (rules 8.3).

An approved hold is carried out by an ordinary run over its profiles: both sides are read and compared again, and the
guard lets pass what comes out as it was approved. So there is one way to sync, and a run that is killed is made up for
by the next one. How long a question waits is for the DAG that asks: ``approval_timeout`` in contact_sync_airflow.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from sync_lib.errors import ConfigError
from sync_lib.model import Decision, Mode, RunPlan, RunRequest
from sync_lib.run.plan import plan_run
from sync_lib.services import Services
from sync_lib.store import companies, holds, runs
from sync_lib.store.engine import read
from sync_lib.store.holds import HeldActions, Hold, HoldState
from sync_lib.store.migrate import migrate
from sync_lib.store.profiles import rows as profiles

logger = logging.getLogger(__name__)

#: Runs that one question to Airflow names: they stand in an address.
_AT_ONCE = 50

SUPERSEDED = "This hold was superseded by another one, or has been decided already. Nothing was written."
PAUSED = "Approved. The DAG contact_sync is paused: its next run carries this out."


@dataclass(frozen=True, slots=True)
class Question:
    """What a person is asked, in codes and counts, and no value of a contact; the pages' words put it to them.

    Attributes:
        hold: Its number; its page shows every change.
        company: The company's name.
        mailbox: Whose changes wait, "" where it is the company's number of contacts.
        folder: The folder of that mailbox.
        kinds: What waits of the mailbox, in kinds, the biggest first.
        is_emptied: Whether that is to bring back what was in a folder.
        accepted: Of a company: how many contacts it had.
        offered: Of a company: how many it has now.
    """

    hold: int
    company: str
    mailbox: str = ""
    folder: str = ""
    kinds: tuple[HeldActions, ...] = ()
    is_emptied: bool = False
    accepted: int = 0
    offered: int = 0


class CountRuns(Protocol):
    """Says how many of these runs of the approval DAG there are, all of them or those that are at work."""

    def __call__(self, run_ids: Sequence[str], *, at_work: bool) -> int: ...


def list_requests(services: Services, count_runs: CountRuns | None = None) -> list[dict[str, Any]]:
    """Return the approval runs to start, one for each open hold that nobody was asked about.

    A hold whose request was made, and never came to ask, has the same run id once more. One whose run has ended
    without an answer, or is not there any more, gets another one: the first one cannot start again.

    Args:
        services: Of the task.
        count_runs: Asks Airflow; without it all questions count as being there.
    """
    if count_runs is not None:
        _ask_anew(services, count_runs)
    with read(services.engine) as conn:
        waiting = holds.read_unrequested(conn)
    return [{"run_id": hold.request, "hold": hold.id, "asked": hold.asked} for hold in waiting]


def _ask_anew(services: Services, count_runs: CountRuns) -> None:
    with read(services.engine) as conn:
        waiting = holds.read_holds(conn, HoldState.OPEN)
    asked = [hold for hold in waiting if hold.requested >= hold.asked]
    begun = _among([hold for hold in waiting if hold.requested < hold.asked], count_runs, at_work=False)
    lost = [
        hold for some in (asked, begun) for hold in _missing(some, _among(some, count_runs, at_work=True))
    ]
    if not lost:
        return
    with services.engine.begin() as conn:
        anew = [hold.id for hold in lost if holds.ask_anew(conn, hold)]
    for key in anew:
        logger.warning("Airflow has lost the question about hold %d: it is put once more", key)


def _missing(of: Sequence[Hold], found: Sequence[Hold]) -> list[Hold]:
    there = {hold.id for hold in found}
    return [hold for hold in of if hold.id not in there]


def _among(some: Sequence[Hold], count_runs: CountRuns, *, at_work: bool) -> list[Hold]:
    """Return those whose run Airflow has, at work or at all: mostly all or none of them, which takes one question."""
    found: list[Hold] = []
    todo = [some[n : n + _AT_ONCE] for n in range(0, len(some), _AT_ONCE)]
    while todo:
        part = todo.pop()
        there = count_runs([hold.request for hold in part], at_work=at_work)
        if there >= len(part):
            found += part
        elif there:
            half = len(part) // 2
            todo += [part[:half], part[half:]]
    return found


def ask(services: Services, key: int, asked: int, run_id: str) -> Question | None:
    """Return what to ask about a hold, or None where it does not wait any more."""
    with services.engine.begin() as conn:
        hold = _read(conn, key)
        if hold.state is not HoldState.OPEN or hold.asked != asked:
            _write_end(conn, services, run_id, SUPERSEDED)
            return None
        holds.mark_requested(conn, hold)
        return _of_company(conn, hold) if hold.company is not None else _of_profile(conn, hold)


def decide(  # noqa: PLR0913 - an answer, to what, and what it may set going
    services: Services, key: int, asked: int, run_id: str, decision: Decision, *, paused: bool = False
) -> RunPlan:
    """Record an answer; plan the run that carries an approved hold out, or say why there is nothing to do.

    Answering once more with the same decision, as a task that is tried again does, changes nothing. While the sync is
    ``paused`` an approval stays approved, and the first run that may write carries it out (rules 8.8c).

    A question may wait for days, and the program be upgraded meanwhile: as what plans a run, this brings the schema
    up to date first.

    Raises:
        ConfigError: There is no such hold, or its profile cannot be planned.
    """
    migrate(services.engine)
    with services.engine.begin() as conn:
        hold = _read(conn, key)
        if hold.state is HoldState.OPEN and hold.asked == asked:
            holds.decide(conn, hold, decision)
            hold = _read(conn, key)
            if decision.approved and hold.company is not None:
                holds.accept_offered(conn, hold)
        if hold.asked != asked or hold.decided_at != decision.at:
            return _write_end(conn, services, run_id, SUPERSEDED)
        if not decision.approved:
            said = "Rejected by a person." if decision.how == "person" else "Nobody answered in time."
            return _write_end(conn, services, run_id, f"{said} What is held stays held.")
        chosen = _profiles_of(conn, hold)
        if not chosen:
            return _write_end(
                conn, services, run_id, "Approved, and no profile of it is enabled: nothing is synced."
            )
        if paused:
            return _write_end(conn, services, run_id, PAUSED)
    mode = Mode.FULL if hold.company is not None else Mode.INCREMENTAL
    return plan_run(services, RunRequest(run_id, mode, chosen, run_type="approval"))


def _read(conn: Any, key: int) -> Hold:
    hold = holds.read_hold(conn, key)
    if hold is None:
        raise ConfigError(f"There is no hold {key}. List them: contact-sync holds list.")
    return hold


def _profiles_of(conn: Any, hold: Hold) -> list[str]:
    enabled = profiles.read_profiles(conn)
    return [
        str(each.id) for each in enabled if hold.profile == each.id or hold.company == (each.company or 0)
    ]


def _write_end(conn: Any, services: Services, run_id: str, message: str) -> RunPlan:
    """Write a run down that has nothing to do, with the reason."""
    at = services.now()
    values = {"mode": Mode.INCREMENTAL, "run_type": "approval", "state": "skipped", "message": message}
    runs.write_run(conn, run_id, {**values, "started_at": at, "ended_at": at})
    return RunPlan([], [], message)


# -- what a person is asked ------------------------------------------------------------------------------------------


def _of_company(conn: Any, hold: Hold) -> Question:
    company = companies.read_company(conn, hold.company or 0)
    return Question(hold.id, company.name, accepted=company.accepted_count or 0, offered=hold.offered or 0)


def _of_profile(conn: Any, hold: Hold) -> Question:
    profile = profiles.read_profile(conn, hold.profile or 0)
    kinds = tuple(holds.count_held(conn, hold))
    return Question(
        hold.id, profile.company_name, profile.mailbox, profile.folder_name, kinds, hold.is_emptied
    )
