"""What a run was, in words: its id says that to who knows Airflow, and to nobody else."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from sync_lib.times import to_text
from sync_lib.web.language import msg

#: Kind of a run -> what is said of it. Where it is not stored any more, an id begins with one of the first three, or
#: with ``hold_``.
KINDS = {
    "scheduled": msg("scheduled"),
    "manual": msg("started by hand"),
    "backfill": msg("backfill: everything once"),
    "approval": msg("after a decision about what was held"),
    "drift_check": msg("check by night whether both sides agree"),
    "switch_preview": msg("preview of a switch of the field profile"),
    "asset_triggered": msg("started by an asset in Airflow"),
    "operator_triggered": msg("started by another DAG"),
}
_OTHER = msg("another run")


@dataclass(frozen=True, slots=True)
class RunTold:
    """A run in words.

    Attributes:
        id: Its id.
        kind: One of ``KINDS``, or what Airflow calls another one.
        text: What it was; a marked text.
        at: When it was scheduled for, as the staging database writes times; "" where it was not, or nobody knows.
        by: Who started it by hand, "" where nobody did, or Airflow does not know.
    """

    id: str
    kind: str
    text: str
    at: str = ""
    by: str = ""


def tell_run(run: str, kind: str = "") -> RunTold:
    """Return a run in words.

    Args:
        run: Its id.
        kind: What the staging database has of it; "" where it has it no more, so that its id has to say it.
    """
    prefix, _, rest = run.partition("__")
    found = kind or ("approval" if run.startswith("hold_") else prefix)
    at = _moment(rest) if found == "scheduled" else ""
    return RunTold(run, found, KINDS.get(found, _OTHER), at)


def _moment(text: str) -> str:
    """Return the time that the id of a scheduled run holds, "" for none."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return ""
    return to_text(found.astimezone(UTC)) if found.tzinfo else ""
