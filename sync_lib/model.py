"""What travels between the parts: contacts as read, couplings, changes. Values only, no behaviour with effects.

The words are those of the architecture: a *record* is a service's raw JSON object, a *contact* is a mapped one,
a value is in *written form* (as a person typed it) unless it is called normal.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any


class Side(StrEnum):
    """The two ends of the sync."""

    BUSINESS_CENTRAL = "business_central"
    OUTLOOK = "outlook"


class Direction(StrEnum):
    """Which way a profile, or a mapped field, carries values."""

    BOTH = "both"
    TO_OUTLOOK = "to_outlook"
    TO_BUSINESS_CENTRAL = "to_business_central"


class Origin(StrEnum):
    """How the Outlook item of a coupling came to be."""

    MADE_BY_SYNC = "made_by_sync"
    ADOPTED = "adopted"
    MADE_BY_USER = "made_by_user"


class CouplingState(StrEnum):
    """Rules 2.1."""

    ACTIVE = "active"
    PINNED = "pinned"
    RELEASED = "released"
    AWAY = "away"


class Action(StrEnum):
    """What a change does. ``couple`` writes key or categories to an item, nothing else; ``untie`` takes them off."""

    CREATE_OUTLOOK = "create_outlook"
    UPDATE_OUTLOOK = "update_outlook"
    DELETE_OUTLOOK = "delete_outlook"
    CREATE_BC = "create_business_central"
    UPDATE_BC = "update_business_central"
    COUPLE = "couple"
    UNTIE = "untie"


class HoldReason(StrEnum):
    """Why the guard holds what it holds (rules 8.3)."""

    DELETES = "too_many_deletes"
    OVERWRITES = "too_many_overwrites"
    CREATES = "too_many_creates"
    COMPANY_WRITES = "too_many_company_writes"
    #: What was in a user's own folder before the sync first saw it is not made in BC.
    FIRST_LOOK = "first_sync_of_users_folder"
    #: Everything went from a folder at once: nothing is made again, nor left away.
    EMPTIED = "folder_suddenly_empty"
    #: A person said no.
    REJECTED = "rejected_by_person"
    #: The staging database is older than the mailbox (2.8).
    RESTORED = "staging_database_restored"
    #: BC is older than what was read of it (5).
    BC_WENT_BACK = "bc_went_back"
    #: The first run behind a move to another environment (1).
    MOVED = "company_moved"


#: Reasons that hold a whole plan. What differs is a conflict for as long as such a hold is not carried out.
WHOLE_PLAN = frozenset({HoldReason.RESTORED, HoldReason.BC_WENT_BACK, HoldReason.MOVED})


class HeldState(StrEnum):
    """What a person said, or has not said yet, of one action that the guard holds (rules 8.3)."""

    #: Of a folder's first look: nobody has been asked, since nothing has been planned for it yet.
    FIRST_LOOK = "first_look"
    OPEN = "open"
    APPROVED = "approved"
    REJECTED = "rejected"
    #: The other answer about an emptied folder: its contact is not made again there.
    LEFT_AWAY = "left_away"


class BcStatus(StrEnum):
    """What a BC contact is to a profile (rules 3)."""

    IN_SCOPE = "in_scope"
    INVALID = "invalid"  # in the filter, but without a valid name or e-mail address
    OUT = "out"  # outside the filter, or not a Person
    BLOCKED = "blocked"
    GONE = "gone"


class Outcome(StrEnum):
    """Rules 8.8: what became of a change, or of a contact that needed none."""

    CREATED = "created"
    UPDATED = "updated"
    DELETED = "deleted"
    COUPLED = "coupled"
    UNCHANGED = "unchanged"
    SKIPPED = "skipped"
    REJECTED = "rejected"
    CONFLICT = "conflict"
    HELD = "held"
    UNKNOWN = "unknown"
    FAILED = "failed"


class Mode(StrEnum):
    """How much a run reads."""

    INCREMENTAL = "incremental"
    FULL = "full"


#: Values of one contact by mapped field name, in written form. A missing key is "not known", "" is blank.
Fields = dict[str, str]
#: Categories of one item, by what they are.
Categories = dict[str, list[str]]


@dataclass(frozen=True, slots=True)
class Company:
    """A BC company as its API lists it."""

    id: str
    name: str


@dataclass(frozen=True, slots=True)
class BcContact:
    """One contact of Business Central, any type, as read.

    Attributes:
        id: System id, lower-case GUID.
        etag: Opaque version, verbatim with ``W/`` and quotes.
        last_modified: UTC, ``YYYY-MM-DDTHH:MM:SS.mmmZ`` (always 24 characters, so that text order is time order).
        values: Text per BC column of ``sync_lib.fields.bc_columns.BC_COLUMNS``; "" for blank, never None.
    """

    id: str
    etag: str
    last_modified: str
    values: dict[str, str]


@dataclass(frozen=True, slots=True)
class OutlookContact:
    """One item of an Outlook contact folder, as read, perhaps in part.

    Attributes:
        id: Immutable id.
        etag: ``@odata.etag``, verbatim; "" when the service left it out.
        last_modified: UTC, 24 characters as in ``BcContact``; "" when left out.
        created: UTC, as above.
        parent_folder_id: Folder that holds the item; "" when left out.
        bc_key: Value of our extended property; "" = read and absent; None = not read (delta cannot carry it).
        record: The mapped properties that the service sent, in Graph's spelling; a missing key is "not sent".
        private: Whether its owner flagged it private (rules 3), or the flag can't be read; None = not read.
    """

    id: str
    etag: str
    last_modified: str
    created: str
    parent_folder_id: str
    bc_key: str | None
    record: dict[str, Any]
    private: bool | None = None


@dataclass(frozen=True, slots=True)
class Refusal:
    """A value that the other side cannot hold (rules 6, last point); the other fields go on."""

    field: str
    reason: str


@dataclass(frozen=True, slots=True)
class Coupling:
    """Rules 2.1: the tie between one BC contact and one Outlook contact in one profile.

    Attributes:
        id: Key in the staging database; 0 for one that is not stored yet.
        baseline_bc: Field -> written value that BC held when the pair last agreed; a missing field has no baseline.
        baseline_outlook: ``{"fields": ..., "emailAddresses": [...], "businessPhones": [...]}``, the same for Outlook.
        bc_fingerprint: Fingerprint of BC's snapshot at that time; None where single fields must be looked at.
        outlook_fingerprint: The same for Outlook.
        outlook_etag: The item's version last seen in agreement, or returned by our write.
        refused: Field -> ``{"digest", "reason"}`` of a value that the other side could not hold.
        former: Former items of this coupling: ``[{"id", "baseline_bc", "baseline_outlook", "differs"}]``.
        differs: Field -> direction that lets it differ (rules 7.8 and 7.9).
        categories: ``asked``: what the templates last came to; ``own``: what the sync put on the item. {}: never.
        attention: Look at the single fields at the next diff, whatever the fingerprints say.
    """

    id: int
    bc_id: str
    bc_row: int | None
    outlook_id: str | None
    outlook_row: int | None
    origin: Origin
    state: CouplingState
    baseline_bc: Fields = field(default_factory=dict)
    baseline_outlook: dict[str, Any] = field(default_factory=dict)
    bc_fingerprint: int | None = None
    outlook_fingerprint: int | None = None
    outlook_etag: str = ""
    refused: dict[str, dict[str, str]] = field(default_factory=dict)
    former: list[dict[str, Any]] = field(default_factory=list)
    differs: dict[str, str] = field(default_factory=dict)
    categories: Categories = field(default_factory=dict)
    attention: bool = False


@dataclass(frozen=True, slots=True)
class Undone:
    """What of one contact of BC, and of its item, a person wants to be as it was before some changes.

    ``values``: field -> (value before, value written). ``restored``: of a deleted item; ``made``: of one that was made.
    """

    values: dict[str, tuple[str, str]] = field(default_factory=dict)
    restored: Fields | None = None
    made: Fields | None = None


@dataclass(frozen=True, slots=True)
class FormerItem:
    """An item that stands or has stood for a BC contact that is blocked for privacy (rules 7.4).

    Attributes:
        bc_id: The contact.
        outlook_id: The item's immutable id.
        origin: How it came to be, "" where only its key can show it.
        settled: It was looked up since the contact was blocked, and nothing was left to do.
        categories: Digests of what the sync put on it.
    """

    bc_id: str
    outlook_id: str
    origin: str = ""
    settled: bool = False
    categories: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class HeldAction:
    """One action that the guard holds, or that a person decided about: known by class and contact (rules 8.3).

    Attributes:
        id: Key in the staging database.
        hold: The hold in which a person is, or was, asked; None for a first look that nobody was asked about yet.
        action: What would be done.
        guard_class: The class that it is held in, "" for none of its own.
        digest: The action with its values, as it was last planned; an approval is bound to it.
        reason: Why it is held.
        state: What a person said.
        keys: All that the contact is or was known by in this profile: ids of either side and, for a create in BC,
            digests of the item's normal e-mail.
    """

    id: int
    hold: int | None
    action: str
    guard_class: str
    digest: str
    reason: str
    state: HeldState
    keys: frozenset[str]


@dataclass(frozen=True, slots=True)
class Decision:
    """What a person said of a hold, or what it came to because nobody did in time.

    ``shown`` is the hash of what the person saw; "" stands for what the question shows.
    """

    approved: bool
    by: str
    how: str
    at: str
    shown: str = ""


@dataclass(frozen=True, slots=True)
class BcSide:
    """A BC contact as the diff sees it: the staged row, and what this profile makes of it."""

    id: str
    row_id: int
    fingerprint: int
    etag: str
    email_key: str
    number: str
    status: BcStatus
    values: dict[str, str]
    problem: str = ""
    #: By a person, of this profile's folder: out of its scope, whatever the filter says.
    left_out: bool = False
    last_modified: str = ""  # by BC's clock; "" where that was not read


@dataclass(frozen=True, slots=True)
class OutlookSide:
    """An Outlook item as the diff sees it: the staged row. ``bc_key`` is "" for an item without one.

    Attributes:
        private: Whether its owner had flagged it private (rules 3) when the flag was last read.
        flag_read: Whether that was in this version.
        address_digest: Of a private item that nothing is tied to: that is all that is stored of its address.
    """

    id: str
    row_id: int
    fingerprint: int
    etag: str
    created: str
    email_key: str
    bc_key: str
    record: dict[str, Any]
    private: bool = False
    flag_read: bool = True
    address_digest: str = ""
    last_modified: str = ""  # by Graph's clock; "" where that was not read

    @property
    def is_veiled(self) -> bool:
        """Whether what it holds is not stored: a private item that nothing is tied to."""
        return self.private and not self.record


@dataclass(frozen=True, slots=True)
class RunRequest:
    """What a DAG run was asked to do.

    Attributes:
        run_id: DAG run id.
        mode: ``incremental`` or ``full``.
        profiles: Mailboxes or profile ids; empty for all that are enabled.
        dry_run: Plan only.
        run_type: ``manual``, ``scheduled``, ``backfill``, ``asset_triggered``.
        run_after: The run's own time; a manual run has no logical date.
        requested_at: When the run was made; for a backfill a few milliseconds after the backfill itself.
        full_slot: The last slot of the full schedule; who has not been read in full since is, in this run (rules 5).
        others: How many other runs of the DAG are at work.
    """

    run_id: str
    mode: str = Mode.INCREMENTAL
    profiles: list[str] = field(default_factory=list)
    dry_run: bool = False
    run_type: str = "manual"
    run_after: datetime | None = None
    requested_at: datetime | None = None
    full_slot: datetime | None = None
    others: int = 0


@dataclass(frozen=True, slots=True)
class RunPlan:
    """What the tasks behind ``plan_run`` are mapped over; both empty with a reason where the run has nothing to do."""

    companies: list[str]
    tasks: list[str]
    skip_reason: str | None = None


@dataclass(frozen=True, slots=True)
class Run:
    """One DAG run as the staging database knows it."""

    id: str
    mode: str
    dry_run: bool
    run_type: str
    state: str
    message: str
    started_at: str
    full_slot: str | None = None
    #: Whether only profiles with work are mapped, and when that was decided.
    finds_work: bool = False
    found_at: str | None = None

    @property
    def overlay(self) -> str:
        """Which overlay of the snapshots this run reads and writes: its own for a dry run (rules 8.2)."""
        return self.id if self.dry_run else ""


@dataclass(frozen=True, slots=True)
class ProfileResult:
    """What became of one profile in one run.

    ``counters`` are those of its last comparison where the run found it quiet, and ``compared_at`` says when that was;
    else None (rules 8.8).
    """

    profile: int
    mailbox: str
    company: str
    state: str
    reason: str
    message: str
    counters: dict[str, Any] = field(default_factory=dict)
    last_good_at: str | None = None
    compared_at: str | None = None


@dataclass(frozen=True, slots=True)
class Before:
    """What became of a profile in the run before, and when that began."""

    state: str
    reason: str
    at: str


@dataclass(frozen=True, slots=True)
class CompanyResult:
    """What became of one company in one run."""

    company: int
    name: str
    state: str
    reason: str
    message: str
    counters: dict[str, Any] = field(default_factory=dict)


#: Verdict and cause where a person wants back what was there before a change: the old value goes to both sides.
UNDO = "undo"
#: An item that a create of ours made when its contact had been coupled with another one (rules 2.3).
LATE_CREATE = "late_create"


# -- the plan --------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class PlannedChange:
    """One action of a plan, as rules 8.1 want it stored, with what the load needs beside it.

    ``before`` holds values of the side that is written to, ``after`` what is sent, ``source`` the values of the
    other side as read, all in written form by field; ``losing`` holds values that lost a conflict.
    """

    action: Action
    cause: str
    bc_id: str | None = None
    outlook_id: str | None = None
    coupling: Coupling | None = None
    bc: BcSide | None = None
    item: OutlookSide | None = None
    email_key: str = ""
    before: Fields = field(default_factory=dict)
    after: Fields = field(default_factory=dict)
    source: Fields = field(default_factory=dict)
    losing: Fields = field(default_factory=dict)
    refused: list[Refusal] = field(default_factory=list)
    reason: str = ""
    digest: str = ""
    guard_class: str = ""
    #: ``before`` and ``after`` of the item, and what its coupling then remembers; {}: they are not written.
    categories: Categories = field(default_factory=dict)
    #: Normal forms of ``after``: what the digest is made of.
    normal: Fields = field(default_factory=dict)
    #: The fields of an update that replace a value which is not that side's baseline: the guard may hold just these.
    overwritten: frozenset[str] = frozenset()
    #: What the staging database knows of it as a held action.
    known: tuple[HeldAction, ...] = ()
    hold: int | None = None  # the hold whose approval lets it through
    n: int = 0
    outcome: Outcome | None = None
    elsewhere: bool = False  # of an item outside the profile's folder, which counts beside the contacts (7.4)
    waits: bool = False  # refused, all of it or a field, for a reason that may pass: tried again later
    edited_at: str | None = (
        None  # when the edit behind it was made, by the service's clock; None: no fresh edit
    )

    @property
    def subject(self) -> tuple[str, str]:
        """The action, and the contact as rejects name it: what a change is known by from run to run."""
        to_bc = self.action in (Action.CREATE_BC, Action.UPDATE_BC)
        ids = (self.outlook_id, self.bc_id) if to_bc else (self.bc_id, self.outlook_id)
        return self.action, ids[0] or ids[1] or ""


@dataclass(frozen=True, slots=True)
class Reject:
    """A contact, or a field of one, that is not synced, and why."""

    side: Side
    contact: str
    outcome: Outcome
    reason: str
    field: str = ""


@dataclass(frozen=True, slots=True)
class NotUndone:
    """What stays as it is although a person wanted it back: a whole contact, or a field of it, and why."""

    bc_id: str
    reason: str
    field: str = ""


@dataclass(slots=True)
class Plan:
    """What a profile's diff came to.

    Attributes:
        changes: Writes to the services, BC to Outlook first (rules 8.10).
        couplings: Couplings to store at once, since they need no write: new baselines, states.
        ended: Couplings to remove at once.
        rejects: Contacts and fields that stay out, with reasons.
        outcomes: One outcome per contact that was read and needs no write; together with one per contact with
            changes they are the balanced books of rules 8.8.
        not_undone: What a person wanted back and does not get.
        unread: Items whose private flag must be read first, in the version that is staged (rules 3).
        leaving: Contacts of BC that left the scope, and stay until the edit of their item is in BC (rules 7.3b).
    """

    changes: list[PlannedChange] = field(default_factory=list)
    couplings: list[Coupling] = field(default_factory=list)
    ended: list[Coupling] = field(default_factory=list)
    rejects: list[Reject] = field(default_factory=list)
    outcomes: Counter[Outcome] = field(default_factory=Counter)
    not_undone: list[NotUndone] = field(default_factory=list)
    leaving: set[str] = field(default_factory=set)
    unread: set[str] = field(default_factory=set)
    #: Former items of blocked contacts that need nothing any more.
    settled: list[FormerItem] = field(default_factory=list)
