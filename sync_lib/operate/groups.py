"""Reconcile groups of Entra ID with the profiles of their members: who joined gets one, who left is dealt with.

Nothing is written to a service. A group that cannot be read, is gone or is suddenly empty changes nothing; one bad
member never stops the others; what a person made or changed stays (``group_plan``).
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from sync_lib.errors import AccessDeniedError, ConfigError, NotFoundError, SyncError
from sync_lib.model import Company
from sync_lib.operate import group_plan, people, proposal
from sync_lib.operate.group_plan import GroupPlan, Limits, Reading, Step, StepKind
from sync_lib.operate.proposal import Known
from sync_lib.ports import Account
from sync_lib.services import Services
from sync_lib.store.engine import read, transaction
from sync_lib.store.migrate import require_schema
from sync_lib.store.profiles import endings, groups
from sync_lib.store.profiles import rows as profiles
from sync_lib.store.profiles.groups import Group, Look, Member
from sync_lib.store.profiles.history import Author
from sync_lib.store.profiles.rows import entry_of, lock_profiles
from sync_lib.store.profiles.settings import add_profile, change_profile

if TYPE_CHECKING:
    from sqlalchemy import Connection

logger = logging.getLogger(__name__)

#: Troubles by which nothing of a group could be looked at.
UNREAD = frozenset({"no_right", "group_gone", "group_ambiguous", "not_readable"})


@dataclass(frozen=True, slots=True)
class LeftAlone:
    """A member who has no profile by the group, and why."""

    mailbox: str
    why: str


@dataclass
class GroupReport:
    """What a look at one group came to.

    Attributes:
        group: The group.
        members: How many it has, None where that could not be read.
        done: What was done, or in a dry run would be.
        failed: Who could not be dealt with, and why.
        left_out: Members who get no profile, and why.
        waiting: Leavers who wait for a person.
        trouble: Why nothing, or not everything, was done, as a code.
        message: What a service said of it.
    """

    group: Group
    members: int | None = None
    done: list[Step] = field(default_factory=list)
    failed: list[LeftAlone] = field(default_factory=list)
    left_out: list[LeftAlone] = field(default_factory=list)
    waiting: tuple[Step, ...] = ()
    trouble: str = ""
    message: str = ""

    @property
    def is_unread(self) -> bool:
        """Whether nothing of the group could be looked at."""
        return self.trouble in UNREAD


def reconcile(
    services: Services, *, only: str = "", dry_run: bool = False, confirmed: int = 0
) -> list[GroupReport]:
    """Give who joined a profile, and switch off or end who left; return what was done, group by group.

    Args:
        services: The services and the staging database.
        only: Number or name of a group; all of them without it. All are read, since people go from one to another.
        dry_run: Change nothing, and say what would be done.
        confirmed: So many may leave a group, whatever the limit: a person has looked at them.

    Raises:
        ConfigError: There is no such group.
    """
    require_schema(services.engine)
    with read(services.engine) as conn:
        stored = groups.read_groups(conn)
    if not stored:
        return []
    readings = read_groups(services, stored)
    settings = services.settings
    limits = Limits(settings.group_leavers, settings.group_leavers_percent, confirmed)
    with read(services.engine) as conn:
        members, known = groups.read_members(conn), Known.read(conn)
    plans = group_plan.plan_groups(readings, members, {each.id: each for each in known.profiles}, limits)
    chosen = [each for each in plans if _is_meant(each.reading.group, only)]
    if not chosen:
        raise ConfigError(f"There is no group {only!r}. List them: contact-sync groups list.")
    return [_carry_out(services, plan, known, dry_run=dry_run) for plan in chosen]


def _is_meant(group: Group, only: str) -> bool:
    return only.strip().casefold() in ("", str(group.id), group.entry.group_name.casefold())


# -- reading ---------------------------------------------------------------------------------------------------------


def read_groups(services: Services, stored: Sequence[Group]) -> list[Reading]:
    """Return each group as Entra ID has it now; one that cannot be read says why."""
    found: dict[str, Reading] = {}
    readings = []
    for group in stored:
        key = group.group_id or group.entry.group_name.casefold()
        if key not in found:
            found[key] = _read_group(services, group)
        readings.append(replace(found[key], group=group))
    return readings


def _read_group(services: Services, group: Group) -> Reading:
    try:
        ids = [group.group_id] if group.group_id else _ids(services, group)
        if len(ids) != 1:
            return Reading(group, trouble="group_ambiguous" if ids else "group_gone", message=", ".join(ids))
        members = services.directory.fetch_members(ids[0])
    except AccessDeniedError as error:
        return Reading(group, trouble="no_right", message=str(error))
    except NotFoundError as error:
        return Reading(group, trouble="group_gone" if error.in_form else "not_readable", message=str(error))
    except SyncError as error:
        return Reading(group, trouble="not_readable", message=str(error))
    return Reading(group, ids[0], {each.id: each for each in members})


def _ids(services: Services, group: Group) -> list[str]:
    return [each.id for each in services.directory.find_groups(group.entry.group_name)]


# -- who may join ----------------------------------------------------------------------------------------------------


def _carry_out(services: Services, plan: GroupPlan, known: Known, *, dry_run: bool) -> GroupReport:
    reading = plan.reading
    report = GroupReport(
        reading.group,
        None if reading.members is None else len(reading.members),
        waiting=plan.waiting,
        trouble=plan.trouble,
        message=reading.message,
    )
    joining = list(_joining(services, plan, known, report)) if plan.joiners else []
    steps = [*plan.steps, *joining]
    logger.info("group %d: %s", reading.group.id, group_plan.count(steps) or "nothing to do")
    if dry_run:
        report.done += steps
        return report
    for step in steps:
        _try(services, step, report)
    if report.failed and not report.trouble:
        report.trouble = "some_failed"
    with transaction(services.engine) as conn:
        look = Look(services.now(), report.trouble, reading.group_id, report.members, len(report.waiting))
        groups.write_look(conn, reading.group.id, look)
    return report


def _joining(services: Services, plan: GroupPlan, known: Known, report: GroupReport) -> Iterator[Step]:
    """Yield the steps of members who get a profile; note the others, each with the reason."""
    group, left = plan.reading.group, []
    for account in plan.joiners:
        why = _why_not(account, group, known)
        if why:
            report.left_out.append(LeftAlone(account.principal_name or account.id, why))
        else:
            left.append(account)
    codes = _codes(services, group, left, report)
    whys = _closed(services, left, report) if codes is not None else {}
    for account in left:
        code = proposal.code_of(account, codes or {})
        lacks_code = proposal.names_me(group.entry.filter) and not code
        why = proposal.NO_CODE if lacks_code else whys[account.id]
        if why:
            report.left_out.append(LeftAlone(account.principal_name, why))
        else:
            yield group_plan.join(group, account, code)


def _why_not(account: Account, group: Group, known: Known) -> str:
    if not account.principal_name:
        return proposal.NAMELESS
    if account.enabled is False:
        return proposal.DISABLED
    return known.problem(account, group_plan.profile_of(group, account, ""))


def _codes(
    services: Services, group: Group, joining: Sequence[Account], report: GroupReport
) -> Mapping[str, str] | None:
    """Return the salesperson codes by address where the group's filter asks for them; None where they are closed."""
    if not joining or not proposal.names_me(group.entry.filter):
        return {}
    try:
        company: Company = proposal.find_company(services, group.entry.company_name)
        return people.codes_by_address(services, company.id)
    except SyncError as error:
        report.trouble = report.trouble or "no_salespeople"
        report.message = report.message or str(error)
        return None


def _closed(services: Services, joining: Sequence[Account], report: GroupReport) -> Mapping[str, str]:
    try:
        return proposal.why_closed(services, [each.id for each in joining])
    except SyncError as error:
        report.trouble = report.trouble or "not_readable"
        report.message = report.message or str(error)
        return {each.id: f"the mailbox could not be asked: {error}" for each in joining}


# -- one person ------------------------------------------------------------------------------------------------------


def _try(services: Services, step: Step, report: GroupReport) -> None:
    try:
        with transaction(services.engine) as conn:
            lock_profiles(conn)
            _apply(conn, step, Author(f"group {step.group.entry.group_name}", services.now()))
        report.done.append(step)
    except Exception as error:  # noqa: BLE001 - recovered by noting it: the others go on
        # A message of the database may hold values; our own say what is wrong with the profile.
        known = isinstance(error, SyncError | ValueError)
        report.failed.append(
            LeftAlone(step.mailbox or step.user, str(error) if known else type(error).__name__)
        )


def _apply(conn: Connection, step: Step, by: Author) -> None:
    if step.kind is StepKind.JOINS:
        _join(conn, step, by)
        return
    assert step.member is not None
    # Another reconciliation, or a person, may have been here since the plan was made.
    found = groups.find_member(conn, step.member.group, step.user)
    if found is None:
        return
    if step.kind is StepKind.FORGOTTEN:
        groups.forget_member(conn, found)
    elif found.profile is not None:
        if step.kind is StepKind.MOVES:
            groups.forget_member(conn, found)
        given = _change(conn, found, step, by)
        left_at = (found.left_at or by.now) if step.kind is StepKind.LEAVES else ""
        stays = replace(found, group=step.group.id, given=given, left_at=left_at)
        groups.write_member(conn, stays, now=by.now)


def _join(conn: Connection, step: Step, by: Author) -> None:
    before = groups.find_member(conn, step.group.id, step.user)
    if step.entry is None or (before and not before.left_at):
        return
    profile = add_profile(conn, step.entry, by=by)
    groups.write_member(conn, Member(step.group.id, step.user, profile, step.values), now=by.now)


def _change(conn: Connection, member: Member, step: Step, by: Author) -> dict[str, object]:
    """Give a profile what the group gives it now; return what it has given it."""
    stored = profiles.read_profile(conn, member.profile or 0)
    if stored.ending:
        return dict(member.given)
    before = entry_of(stored)
    values = group_plan.changed(member, before, step.values)
    change_profile(conn, stored, replace(before, **values), seen=before, by=by)
    if step.ends and values:
        endings.ask_end(conn, stored, step.ends, by)
    return {**member.given, **values}


# -- what people are shown -------------------------------------------------------------------------------------------


def lines(reports: Iterable[GroupReport], *, dry_run: bool = False) -> list[str]:
    """Return what a look came to, one line for each person and thing."""
    shown = []
    for report in reports:
        counts = group_plan.count(report.done)
        said = ", ".join(f"{number} {kind}" for kind, number in counts.items()) or "nothing to do"
        size = "not read" if report.members is None else f"{report.members} members"
        shown.append(
            f"{report.group.id}. {report.group.label}: {size}; {'would be: ' if dry_run else ''}{said}"
        )
        shown += [f"  {each}" for each in _details(report)]
    return shown


def _details(report: GroupReport) -> Iterator[str]:
    for step in report.done:
        yield said(step)
    for step in report.waiting:
        yield f"waits: {step.mailbox} left the group"
    for each in report.failed:
        yield f"FAILED: {each.mailbox}: {each.why}"
    for each in report.left_out:
        yield f"left alone: {each.mailbox}: {each.why}"
    if report.trouble:
        yield said_of(report.trouble, report.message)


#: What is said of a trouble in a log or a terminal; the page of groups says the same.
SAID = {
    "no_right": f"Nothing was changed: the app may not read groups. Grant it {people.GROUP_RIGHT}.",
    "group_gone": "Nothing was changed: Entra ID has no such group (any more). Correct its name in the file of "
    "profiles, or take it out: contact-sync groups remove.",
    "group_ambiguous": "Nothing was changed: several groups have this name. Name it by its id:",
    "not_readable": "Its members, or their mailboxes, could not be read; the next time tries again.",
    "emptied": "The group is suddenly empty: nobody was switched off. If that is right: --confirm NUMBER.",
    "many_leavers": "More people left at once than the limit: they wait. If that is right: --confirm NUMBER.",
    "others_not_read": "Who left waits: they may be in another group of the company, which could not be read.",
    "no_salespeople": "Who joins waits, since the filter names %me:",
    "some_failed": "Some people could not be dealt with; the others were.",
}


def said_of(trouble: str, message: str) -> str:
    """Return what is said of a trouble, with what a service said of it."""
    return f"{SAID[trouble]} {message}".rstrip()


_ENDS = {
    endings.KEEP: "its contacts stay in Outlook",
    endings.REMOVE: "what the sync made and nobody edited since is deleted in Outlook",
}


def said(step: Step) -> str:
    """Return what becomes of one person, as a line."""
    if step.kind is StepKind.LEAVES:
        return _said_of_leaver(step)
    if step.kind is StepKind.CHANGES:
        changes = ", ".join(f"{column} becomes {value!r}" for column, value in step.values.items())
        return f"changes: {step.mailbox}: {changes}"
    shown = {
        StepKind.JOINS: f"joins: {step.mailbox} gets a profile",
        StepKind.RETURNS: f"is back: {step.mailbox}"
        + (" is switched on again" if "enabled" in step.values else ""),
        StepKind.MOVES: f"moves: {step.mailbox} goes over to {step.group.entry.group_name}",
        StepKind.FORGOTTEN: "is forgotten: somebody who left, and whose profile was removed or has ended",
    }
    return shown[step.kind]


def _said_of_leaver(step: Step) -> str:
    if "enabled" not in step.values:
        return f"leaves: {step.mailbox}, whose profile stays as a person set it"
    if step.ends:
        return f"leaves: {step.mailbox}, whose profile the next run ends: {_ENDS[step.ends]}"
    return f"leaves: {step.mailbox} is switched off"
