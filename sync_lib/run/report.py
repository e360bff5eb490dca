"""What a run came to: counters, a table for the log, and the run's colour. Pure."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sync_lib.logs import table
from sync_lib.model import CompanyResult, ProfileResult, Run

#: States in which a profile or a company has had its turn and makes no run red.
GOOD_STATES = frozenset({"done", "skipped", "held", "quiet"})

_COLUMNS = (
    "mailbox",
    "company",
    "state",
    "read",
    "Outlook +/~/-",
    "BC +/~",
    "held",
    "rejected",
    "compared",
    "last good sync",
)


@dataclass(frozen=True, slots=True)
class Verdict:
    """The run's colour, and why; ``lines`` hold one failure or warning each, in words.

    Attributes:
        reason: Why a run failed as a whole, as a code; "" where it did not, or where it is its profiles that say so.
    """

    ok: bool
    message: str
    lines: tuple[str, ...] = ()
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Arrived:
    """How long edits took from where they were made to our write, of one company in one run.

    Attributes:
        company: Its name.
        seconds: Of each edit, in any order; at least one.
        interval: Seconds between two runs of the schedule, None where there is none.
    """

    company: str
    seconds: Sequence[float]
    interval: float | None = None

    def percentile(self, percent: float) -> float:
        """Return the seconds within which so many percent arrived."""
        ordered = sorted(self.seconds)
        return ordered[max(0, math.ceil(len(ordered) * percent / 100) - 1)]

    def line(self) -> str:
        """Return it as a line of the log."""
        parts = ", ".join(f"{name} {in_words(self.percentile(n))}" for name, n in _PERCENTILES)
        within = ""
        if self.interval:
            share = sum(each <= self.interval for each in self.seconds) / len(self.seconds)
            within = f"; {share:.0%} within the schedule's {in_words(self.interval)}"
        return f"{self.company}: from edit to write, of {len(self.seconds)} edits: {parts}{within}"


_PERCENTILES = (("p50", 50.0), ("p95", 95.0), ("p99", 99.0))
#: What every figure of arrival is to be read with.
CLOCKS = (
    "edits by the clocks of Business Central and Microsoft 365, writes by that of the staging database: what these "
    "differ by is in the figures"
)


@dataclass(frozen=True, slots=True)
class RunReport:
    """The summary of one run.

    Attributes:
        run: DAG run id.
        mode: ``incremental`` or ``full``.
        dry_run: Nothing was written.
        skip_reason: Why the run did nothing, or "".
        companies: Outcome of each company.
        profiles: Outcome of each profile.
        at: When the report was made.
        failures: Companies and profiles that make the run red.
        arrived: How long edits took, of each company that had any.
    """

    run: str
    mode: str
    dry_run: bool
    skip_reason: str
    companies: list[CompanyResult]
    profiles: list[ProfileResult]
    at: str
    failures: int = field(default=0)
    arrived: list[Arrived] = field(default_factory=list)

    @property
    def writes(self) -> Counter[str]:
        """Writes over all profiles: ``created_outlook``, ``updated_business_central`` and so on."""
        total: Counter[str] = Counter()
        for profile in self.profiles:
            total.update(profile.counters.get("writes", {}))
        return total

    @property
    def outcomes(self) -> Counter[str]:
        """Contacts by outcome, over all profiles; of those that were quiet as their last comparison found them."""
        return self._outcomes(self.profiles)

    @staticmethod
    def _outcomes(profiles: Sequence[ProfileResult]) -> Counter[str]:
        total: Counter[str] = Counter()
        for profile in profiles:
            total.update(profile.counters.get("outcomes", {}))
        return total

    @property
    def events(self) -> dict[str, dict[str, Any]]:
        """What the assets' events carry: counts per asset."""
        writes = self.writes
        return {
            f"{side}_contacts": {
                "run": self.run,
                "mode": self.mode,
                **{name: writes[f"{name}_{side}"] for name in ("created", "updated", "deleted")},
            }
            for side in ("business_central", "outlook")
        }

    def counters_json(self) -> str:
        """Return the run's totals as they are stored: what an earlier comparison found is no outcome of this run."""
        own = self._outcomes([profile for profile in self.profiles if profile.compared_at is None])
        totals = {"outcomes": own, "writes": self.writes, "failures": self.failures}
        return json.dumps(totals, sort_keys=True)

    def lines(self) -> list[str]:
        """Return the report as lines for a log: a table of profiles, then reasons and messages."""
        if self.skip_reason:
            return [self.skip_reason]
        what = "Plan of a dry run (nothing was written)" if self.dry_run else "Run"
        head = [f"{what}: {self.mode}, {len(self.profiles)} profiles, {self.failures} failed"]
        rows = [_row(profile, self.at) for profile in self.profiles if profile.state != "quiet"]
        shown = table([_COLUMNS, *rows]) if rows else []
        others = [*self._company_lines(), *self._profile_lines(), *self._arrival_lines()]
        return [*head, *self._quiet_lines(), *shown, *others]

    def _quiet_lines(self) -> list[str]:
        """What is said of all that had nothing to do: a line for each would hide the others."""
        quiet = [profile for profile in self.profiles if profile.state == "quiet"]
        if not quiet:
            return []
        reasons: Counter[str] = Counter()
        for profile in quiet:
            reasons.update(profile.counters.get("reasons", {}))
        counted = ", ".join(f"{count} {reason}" for reason, count in sorted(reasons.items()))
        lines = [
            f"{len(quiet)} profiles had nothing to do: both sides are as their last comparison left them"
        ]
        return lines + ([f"of these, not synced: {counted}"] if counted else [])

    def _company_lines(self) -> list[str]:
        return [
            f"Company {company.name}: {company.state}, {company.reason}. {company.message}"
            for company in self.companies
            if company.state != "done" or company.reason
        ]

    def _arrival_lines(self) -> list[str]:
        lines = [each.line() for each in self.arrived]
        return [*lines, f"({CLOCKS})"] if lines else []

    def _profile_lines(self) -> list[str]:
        lines = []
        for profile in self.profiles:
            if profile.state == "quiet":
                continue
            if profile.message:
                lines.append(f"{profile.mailbox}: {profile.state}, {profile.reason}. {profile.message}")
            reasons = profile.counters.get("reasons", {})
            if reasons:
                counted = ", ".join(f"{count} {reason}" for reason, count in sorted(reasons.items()))
                when = f" (compared {age(profile.compared_at, self.at)})" if profile.compared_at else ""
                lines.append(f"{profile.mailbox}: not synced: {counted}{when}")
        return lines


def make_report(
    run: Run,
    companies: Sequence[CompanyResult],
    profiles: Sequence[ProfileResult],
    at: str,
    known: Collection[int] = (),
) -> RunReport:
    """Return the report of a run; profiles whose cause is known count as no failures (rules 8.8)."""
    states = [company.state for company in companies]
    states += [profile.state for profile in profiles if profile.profile not in known]
    failures = sum(state not in GOOD_STATES for state in states)
    skip_reason = run.message if run.state == "skipped" else ""
    return RunReport(
        run.id, run.mode, run.dry_run, skip_reason, list(companies), list(profiles), at, failures
    )


def judge(
    companies: Sequence[CompanyResult],
    profiles: Sequence[ProfileResult],
    task_states: dict[str, str],
    known: Mapping[int, str] | None = None,
    known_tasks: Collection[str] = (),
) -> Verdict:
    """Decide the run's colour; held, rejected and busy profiles do not make it red.

    Args:
        companies: Outcome of each.
        profiles: Outcome of each.
        task_states: State of each task instance of the run.
        known: Profiles that fail for a known cause of their own, and since when; they make no run red (rules 8.8).
        known_tasks: Task instances that failed for nothing else.
    """
    known = known or {}
    bad = [profile for profile in profiles if profile.state not in GOOD_STATES]
    wrong: list[CompanyResult | ProfileResult] = [c for c in companies if c.state not in GOOD_STATES]
    wrong += [profile for profile in bad if profile.profile not in known]
    if wrong:
        short = "; ".join(f"{_name(each)} ({_reason(each)})" for each in wrong)
        lines = tuple(f"{_name(each)}: {_outcome(each)}" for each in wrong)
        return Verdict(False, f"Failed: {short}. The log of each one's task says what to do.", lines)
    failed = (task for task, state in task_states.items() if state in ("failed", "upstream_failed"))
    if dead := sorted(task for task in failed if task not in known_tasks):
        said = f"Failed tasks: {', '.join(dead)}. Their logs say why."
        return Verdict(False, said, reason="tasks_failed")
    warned = [f"{p.mailbox}: known since {known[p.profile]}: {_outcome(p)}" for p in bad]
    held = [profile.mailbox for profile in profiles if _waits(profile)]
    waiting = f" Waiting for a person: {', '.join(held)}." if held else ""
    left = f" {len(warned)} could not sync, for a known cause of their own." if warned else ""
    return Verdict(True, f"All {len(profiles)} profiles had their turn.{left}{waiting}", tuple(warned))


def _waits(profile: ProfileResult) -> bool:
    """Whether something of a profile waits for a person, also where this run had nothing to do for it."""
    was_held = profile.state == "quiet" and bool(profile.counters.get("outcomes", {}).get("held"))
    return profile.state == "held" or was_held


def _name(result: CompanyResult | ProfileResult) -> str:
    return f"company {result.name}" if isinstance(result, CompanyResult) else result.mailbox


def _reason(result: CompanyResult | ProfileResult) -> str:
    if result.state in ("planned", "running"):
        return "no outcome: its task did not finish"
    return result.reason or result.state


def _outcome(result: CompanyResult | ProfileResult) -> str:
    """What is wrong with a company or a profile, in words."""
    if result.state in ("planned", "running"):
        return "its task ended without an outcome. Look at the task in Airflow, and clear it to run it again."
    return f"{result.message or 'See the log of its task.'} ({result.reason})"


#: Causes that lie outside of any one profile: where all have the same one, it is reported once, for all of them.
SHARED = frozenset(
    {
        "AuthError",
        "ConfigError",
        "ServiceError",
        "ThrottledError",
        "company_access_denied",
        "environment_changed",
        "extended_page_missing",
        "permission_missing",
        "service_away",
    }
)


def shared_cause(
    companies: Sequence[CompanyResult], profiles: Sequence[ProfileResult]
) -> CompanyResult | ProfileResult | None:
    """Return one that failed for the cause that all companies, or all profiles, of a run share; else None."""
    for results in (companies, profiles):
        reasons = {result.reason if result.state == "failed" else "" for result in results}
        if len(reasons) == 1 and reasons <= SHARED:
            return results[0]
    return None


def _row(profile: ProfileResult, at: str) -> tuple[str, ...]:
    counters = profile.counters
    outcomes, planned = counters.get("outcomes", {}), counters.get("planned", {})
    writes = planned or counters.get("writes", {})
    left_out = outcomes.get("rejected", 0) + outcomes.get("skipped", 0) - sum(planned.values())

    def counted(side: str, *names: str) -> str:
        return "/".join(str(writes.get(f"{name}_{side}", 0)) for name in names)

    return (
        profile.mailbox,
        profile.company,
        profile.state,
        str(counters.get("read", "-")),
        counted("outlook", "created", "updated", "deleted"),
        counted("business_central", "created", "updated"),
        str(outcomes.get("held", 0)),
        str(max(0, left_out)),
        _compared(profile, at),
        age(profile.last_good_at, at),
    )


def _compared(profile: ProfileResult, at: str) -> str:
    """When the figures of a profile were found: in this run, or by its last comparison."""
    if profile.compared_at is None:
        return "now" if "outcomes" in profile.counters else "-"
    return age(profile.compared_at, at)


def in_words(seconds: float) -> str:
    """Return a time span in words short enough for a line of a log."""
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds:.3g} s"


def age(since: str | None, at: str) -> str:
    """Return how long ago a time was, in words short enough for a table."""
    if not since:
        return "never"
    passed = _moment(at) - _moment(since)
    seconds = max(0, int(passed.total_seconds()))
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds // size} {unit} ago"
    return "just now"


def _moment(stamp: str) -> datetime:
    return datetime.fromisoformat(stamp)
