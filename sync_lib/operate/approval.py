"""What waits for a person: whom to ask, what to say, and what an answer sets going (rules 8.3).

An approved hold is carried out by an ordinary run over its profiles: both sides are read and compared again, and the
guard lets pass what comes out as it was approved. So there is one way to sync, and a run that is killed is made up for
by the next one. How long a question waits is for the DAG that asks: ``approval_timeout`` in contact_sync_airflow.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sync_lib.errors import ConfigError
from sync_lib.model import Decision, Mode, RunPlan, RunRequest
from sync_lib.run.plan import plan_run
from sync_lib.services import Services
from sync_lib.store import companies, holds, runs
from sync_lib.store.engine import read
from sync_lib.store.holds import HeldActions, Hold, HoldState
from sync_lib.store.profiles import rows as profiles

#: How many kinds of held changes a question lists.
MOST_KINDS = 10
SUPERSEDED = "This hold was superseded by another one, or has been decided already. Nothing was written."
PAUSED = "Approved. The DAG contact_sync is paused: its next run carries this out."


@dataclass(frozen=True, slots=True)
class Question:
    """What a person is asked: a headline, and the reasons as Markdown. Holds counts, and no value of a contact.

    ``hold`` is the number of the hold, whose page shows every change.
    """

    subject: str
    body: str
    hold: int


def list_requests(services: Services) -> list[dict[str, Any]]:
    """Return the approval runs to start, one for each open hold that nobody was asked about.

    A hold whose request was made, and never came to ask, has the same run id once more.
    """
    with read(services.engine) as conn:
        waiting = holds.read_unrequested(conn)
    return [{"run_id": hold.request, "hold": hold.id, "asked": hold.asked} for hold in waiting]


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

    Raises:
        ConfigError: There is no such hold, or its profile cannot be planned.
    """
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


# -- what a person is shown ------------------------------------------------------------------------------------------


def _of_company(conn: Any, hold: Hold) -> Question:
    company = companies.read_company(conn, hold.company or 0)
    subject = f"{company.name}: Business Central lists only {hold.offered} contacts"
    body = (
        f"{company.accepted_count} contacts were accepted before. Nothing of this company is synced while this waits; "
        "nothing counts as deleted. Often the app has lost a permission, or the environment is being restored.\n\n"
        f"**Approve**: {hold.offered} is the right number. All profiles of the company are synced in full, and the "
        "deletes that follow are judged by the guard of each profile.\n\n"
        "**Reject**: the company waits on, until the number changes."
    )
    return Question(subject, body, hold.id)


def _of_profile(conn: Any, hold: Hold) -> Question:
    profile = profiles.read_profile(conn, hold.profile or 0)
    kinds = holds.count_held(conn, hold)
    total = sum(kind.count for kind in kinds)
    subject = f"{total} changes of {profile.mailbox} ({profile.folder_name}) wait for a decision"
    rows = [_row(kind) for kind in kinds[:MOST_KINDS]]
    more = [f"and {len(kinds) - MOST_KINDS} further kinds"] if len(kinds) > MOST_KINDS else []
    table = "\n".join(
        ["| Changes | What | Planned because | Held because |", "| --: | --- | --- | --- |", *rows]
    )
    body = (
        f"Company {profile.company_name}. {_per_action(kinds)}\n\n{table}\n\n"
        + "".join(f"{text}\n\n" for text in more)
    ) + (
        "**Approve**: both sides are read again, and exactly these changes are carried out, as far as they still come "
        "out the same. What has changed since is asked about again.\n\n"
        f"**Reject**: {_EMPTIED if hold.is_emptied else _REJECTED}"
    )
    return Question(subject, body, hold.id)


_EMPTIED = (
    "what was in the emptied folder is left away, until Business Central changes it. Approve to bring it back. "
    "Anything else that is listed is not done."
)
_REJECTED = (
    "nothing is written. New contacts that are rejected are not made in Business Central whatever becomes of them, "
    "until somebody asks again; a value that is overwritten is asked about again once it is another one."
)


def _per_action(kinds: Sequence[HeldActions]) -> str:
    counts: dict[str, int] = {}
    for kind in kinds:
        counts[kind.action] = counts.get(kind.action, 0) + kind.count
    return ", ".join(f"{count} × `{action}`" for action, count in sorted(counts.items())) + "."


def _row(kind: HeldActions) -> str:
    return f"| {kind.count} | `{kind.action}` | `{kind.cause}` | `{kind.reason}` |"
