"""What the sync itself says that it did, read from the staging database through the library."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import select

from sync_lib.model import ProfileResult
from sync_lib.run.report import make_report
from sync_lib.store import looking, runs, tables
from sync_lib.store.engine import open_engine, read


def report_lines(url: str, run_id: str) -> list[str]:
    """Return the table of profiles that the run's task ``report`` logged too."""
    engine = open_engine(url)
    with read(engine) as conn:
        run = runs.read_run(conn, run_id)
        if run is None:
            return ["The run left no plan: see the log of its task plan_run."]
        companies, profiles = runs.read_company_results(conn, run_id), looking.read_outcomes(conn, run)
    engine.dispose()
    now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return list(make_report(run, companies, profiles, now).lines())


def profile_results(url: str, run_id: str) -> list[ProfileResult]:
    """Return what became of each profile of a run."""
    engine = open_engine(url)
    with read(engine) as conn:
        run = runs.read_run(conn, run_id)
        results = looking.read_outcomes(conn, run) if run else []
    engine.dispose()
    return results


def written(url: str, run_id: str) -> dict[str, Counter[str]]:
    """Return the writes that each profile of a run reported, by mailbox."""
    results = profile_results(url, run_id)
    return {result.mailbox: Counter(result.counters.get("writes", {})) for result in results}


def uncounted(reported: dict[str, Counter[str]], counted: dict[str, Any]) -> list[str]:
    """Return where the reported creates, updates and deletes are not those that the services saw.

    A key that is added to an item that was there already is a write to Outlook and no update, so services may see
    more updates than were reported, and never fewer.
    """
    problems = []
    for mailbox, writes in reported.items():
        seen: Counter[str] = Counter(counted["graph"]["mailboxes"].get(mailbox, {}))
        for name in ("created", "deleted"):
            problems += _differing(mailbox, name, writes[f"{name}_outlook"], seen[f"contacts_{name}"])
        if writes["updated_outlook"] > seen["contacts_updated"]:
            problems.append(f"{mailbox}: more updates in Outlook were reported than the sandbox counted")
    total: Counter[str] = sum(reported.values(), Counter())
    for name in ("created", "updated"):
        side = "Business Central"
        problems += _differing(
            side, name, total[f"{name}_business_central"], counted["bc"][f"contacts_{name}"]
        )
    return problems


def _differing(where: str, what: str, reported: int, seen: int) -> list[str]:
    return (
        []
        if reported == seen
        else [f"{where}: {reported} {what} were reported, and the sandbox counted {seen}"]
    )


def excuses(url: str) -> dict[tuple[str, str, str], str]:
    """Return what was reported as not synced: (mailbox, contact id, field or "") -> reason."""
    profile, reject, change = tables.sync_profile.c, tables.reject.c, tables.change.c
    rejects = select(profile.mailbox, reject.contact, reject.field, reject.reason).join(
        tables.sync_profile, profile.id == reject.profile
    )
    held = (
        select(profile.mailbox, change.bc_id, change.outlook_id)
        .join(tables.sync_profile, profile.id == change.profile)
        .where(change.outcome == "held")
    )
    engine = open_engine(url)
    with read(engine) as conn:
        found = {(row.mailbox, row.contact, row.field): row.reason for row in conn.execute(rejects)}
        for row in conn.execute(held):
            found |= {
                (row.mailbox, contact, ""): "held" for contact in (row.bc_id, row.outlook_id) if contact
            }
    engine.dispose()
    return found
