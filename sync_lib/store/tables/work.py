"""Runs, cursors, plans and their changes, holds, and what does not sync (rules 8)."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    Index,
    Integer,
    String,
    Table,
    Text,
    text,
)

from sync_lib.store.tables.schema import RowId, Time, blank, metadata

#: Where the next extract of a side starts. Scope: company id (business_central) or profile id (outlook), as text.
cursor = Table(
    "cursor",
    metadata,
    Column("side", String(20), primary_key=True),
    Column("scope", Text, primary_key=True),
    Column("position", Text, nullable=False, server_default=""),  # watermark, or delta link
    Column("last_full_at", Time),  # when the last complete full read began
    # When a full read that was due was begun last, and how many such reads have failed since one was complete.
    Column("full_tried_at", Time),
    Column("full_failures", Integer, nullable=False, server_default="0"),
    Column("last_scan_at", Time),
    # Version of what the fingerprints of this snapshot are made of; another one asks for a full read.
    Column("version", Integer, nullable=False, server_default="0"),
    # What the last complete diff of a profile saw; equal inputs and nothing pending: no diff is needed.
    Column("diffed_generation", BigInteger),
    # The same, where it has left marks on all that was in agreement (``store.settled``); NULL: it has not.
    Column("settled_generation", BigInteger),
    Column("diffed_settings", Text, nullable=False, server_default=""),
    Column("pending", Boolean, nullable=False, server_default="1"),
    Column("contacts", Integer, nullable=False, server_default="0"),
    Column("last_good_at", Time),
    # The company's generation that a profile was last looked at with, whether it was compared or not.
    Column("looked_generation", BigInteger),
    # When a profile has something to do although nothing changes, by this database's clock (``store.looking``).
    Column("due_at", Time, server_default=""),
    Column("linked_at", Time),  # when the delta link was given
    # How often in a row the question about a mailbox failed, and when its task says again why.
    Column("ask_failures", Integer, nullable=False, server_default="0"),
    Column("ask_due", Time),
    Column("updated_at", Time, nullable=False),
)

sync_run = Table(
    "sync_run",
    metadata,
    Column("id", Text, primary_key=True),
    Column("mode", String(16), nullable=False),
    Column("dry_run", Boolean, nullable=False, server_default="0"),
    Column("run_type", String(24), nullable=False, server_default="manual"),
    Column("state", String(16), nullable=False),  # running / skipped / success / failed
    # A cause that all profiles share and that ended the run before any of them was worked on, "" for none.
    blank("reason"),
    Column("message", Text, nullable=False, server_default=""),
    Column("profiles_digest", Text, nullable=False, server_default=""),
    Column("full_slot", Time),  # the last slot of the full schedule before the run
    # Whether only profiles with work are mapped, when that was decided, and how many were asked, quiet and mapped.
    Column("finds_work", Boolean, nullable=False, server_default="0"),
    Column("found_at", Time),
    Column("asked", Integer),
    Column("quiet", Integer),
    Column("mapped", Integer),
    Column("started_at", Time, nullable=False),
    Column("ended_at", Time),
    Column("counters", Text, nullable=False, server_default="{}"),
    Index(None, "started_at"),
    Index(
        "ix_sync_run_open",
        "started_at",
        postgresql_where=text("ended_at IS NULL"),
        sqlite_where=text("ended_at IS NULL"),
    ),
)

#: One row per company that a run reads, and per profile that it syncs; a planned row without an end is a failure.
run_company = Table(
    "run_company",
    metadata,
    Column("run", ForeignKey("sync_run.id"), primary_key=True),
    Column("company", ForeignKey("company.id"), primary_key=True),
    Column("state", String(16), nullable=False),  # planned / done / held / failed
    blank("reason"),
    blank("message"),
    Column("counters", Text, nullable=False, server_default="{}"),
    blank("progress"),  # while it is at work, as JSON (``store.progress``)
    Column("started_at", Time),
    Column("ended_at", Time),
)

run_profile = Table(
    "run_profile",
    metadata,
    Column("run", ForeignKey("sync_run.id"), primary_key=True),
    Column("profile", ForeignKey("sync_profile.id"), primary_key=True),
    Column("chunk", Text, nullable=False),  # the mapped task's key
    # Place of the mapped task among those of the run; NULL: the profile got its outcome without a task.
    Column("map_index", Integer),
    blank("why", String(24)),  # what the profile was mapped for (``store.looking.Why``)
    Column("state", String(16), nullable=False),  # planned / running / done / skipped / held / failed
    blank("reason"),
    blank("message"),
    Column("counters", Text, nullable=False, server_default="{}"),
    blank("progress"),  # while it is at work, as JSON (``store.progress``)
    Column("started_at", Time),
    Column("ended_at", Time),
    Index(None, "profile", "started_at"),
)

#: Rules 8: what one round of one run decided about one profile; its changes are in ``change``.
plan = Table(
    "plan",
    metadata,
    Column("id", RowId, primary_key=True, autoincrement=True),
    Column("run", Text, nullable=False),
    Column("profile", ForeignKey("sync_profile.id"), nullable=False),
    Column("round", Integer, nullable=False, server_default="1"),
    Column("mode", String(16), nullable=False),
    Column("dry_run", Boolean, nullable=False, server_default="0"),
    Column("fencing", BigInteger, nullable=False),
    Column("created_at", Time, nullable=False),
    # The hold that its held changes wait in, as it was then: what an answer names.
    blank("hash", String(64)),
    Index(None, "profile", "created_at"),
)

#: Rules 8.3: what waits for a person. Of a profile: the held changes of ``plan``; of a company (``plan`` is NULL):
#: the number of contacts in ``offered``, which is so small that nothing is synced until a person accepts it.
hold = Table(
    "hold",
    metadata,
    Column("id", RowId, primary_key=True, autoincrement=True),
    Column("profile", ForeignKey("sync_profile.id")),
    Column("company", ForeignKey("company.id")),
    Column("plan", ForeignKey("plan.id")),
    Column("offered", Integer),
    Column("run", Text, nullable=False),  # the run that opened it
    Column("hash", String(64), nullable=False),
    Column("reasons", Text, nullable=False, server_default="[]"),
    Column("state", String(16), nullable=False),  # open / approved / rejected / superseded / applied
    # How often a person was asked; another number is another request in Airflow.
    Column("asked", Integer, nullable=False, server_default="1"),
    # The ``asked`` whose request has been made, so that no run makes it once more.
    Column("requested", Integer, nullable=False, server_default="0"),
    # The hash when it was asked about: names the request, whatever runs make of the hold meanwhile.
    blank("asked_hash", String(64)),
    # The hash that the question shows: what an answer decides about that names no other one.
    blank("shown", String(64)),
    Column("opened_at", Time, nullable=False),
    blank("decided_by"),
    Column("decided_at", Time),
    blank("decided_how", String(16)),  # person / timeout
    Index(None, "profile", "state"),
    Index(None, "company", "state"),
    Index(None, "plan"),
    # How many wait for a person, which every page says.
    Index("ix_hold_open", "id", postgresql_where=text("state = 'open'"), sqlite_where=text("state = 'open'")),
)

#: Rules 8.3: what is held, action by action, and what a person said of it. An action is known by its class and its
#: contact, never by its values; ``known_by`` is a JSON list of all that the contact is or was known by.
held_action = Table(
    "held_action",
    metadata,
    Column("id", RowId, primary_key=True, autoincrement=True),
    Column("profile", ForeignKey("sync_profile.id"), nullable=False),
    Column("hold", ForeignKey("hold.id")),  # NULL: of a first look, and nobody was asked about it yet
    Column("action", String(32), nullable=False),
    blank("guard_class", String(16)),
    blank("digest", String(32)),  # as it was last planned: what an approval is bound to
    blank("reason", String(64)),
    Column("state", String(16), nullable=False),  # first_look / open / approved / rejected / left_away
    Column("known_by", Text, nullable=False, server_default="[]"),
    Column("since", Time, nullable=False),
    Index(None, "profile", "state"),
    Index(None, "hold"),
)

change = Table(
    "change",
    metadata,
    Column("plan", ForeignKey("plan.id"), primary_key=True),
    Column("n", Integer, primary_key=True),
    Column("profile", Integer, nullable=False),
    Column("action", String(32), nullable=False),
    Column("coupling", BigInteger),
    Column("bc_id", String(36)),
    Column("outlook_id", Text),
    Column("email_key", Text, nullable=False, server_default=""),
    Column(
        "before", Text, nullable=False, server_default="{}"
    ),  # JSON: field -> value of the side written to
    Column("after", Text, nullable=False, server_default="{}"),  # JSON: field -> value that is sent
    Column(
        "source", Text, nullable=False, server_default="{}"
    ),  # JSON: field -> value of the other side, as read
    Column("losing", Text, nullable=False, server_default="{}"),  # JSON: field -> value that lost a conflict
    # JSON: ``before`` and ``after`` of the item's categories, ``asked`` and ``own``; {} where they are not written.
    Column("categories", Text, nullable=False, server_default="{}"),
    Column("etag", Text, nullable=False, server_default=""),
    Column("cause", String(64), nullable=False, server_default=""),
    Column("reason", String(64), nullable=False, server_default=""),
    Column("digest", String(32), nullable=False, server_default=""),  # identity of the action, for holds
    Column("guard_class", String(16), nullable=False, server_default=""),
    Column("hold", BigInteger),  # the hold whose approval let this action through
    Column("state", String(16), nullable=False),  # planned / sending / done
    Column("outcome", String(16)),
    Column("request_id", Text, nullable=False, server_default=""),
    Column("fencing", BigInteger),
    # When the edit was made that caused it, by the clock of the service that it was made in (``run.arrival``).
    Column("edited_at", Time),
    Column("sent_at", Time),
    Column("ended_at", Time),
    Index(None, "profile", "state"),
    Index(None, "profile", "outcome", "ended_at"),
    Index(None, "bc_id"),
    # What was written to BC lately, or may be yet: it is counted over all profiles of a company (rules 8.3).
    Index(
        "ix_change_to_bc",
        "state",
        "ended_at",
        postgresql_where=text("action IN ('create_business_central', 'update_business_central')"),
        sqlite_where=text("action IN ('create_business_central', 'update_business_central')"),
    ),
    # What was done with an item that nothing in BC is tied to, or was when it was planned.
    Index(None, "outlook_id", postgresql_where=text("bc_id IS NULL"), sqlite_where=text("bc_id IS NULL")),
)

#: The last run of a DAG that a colleague started for a profile of their own: there is one a minute at most.
own_run = Table(
    "own_run",
    metadata,
    Column("profile", ForeignKey("sync_profile.id"), primary_key=True),
    Column("dag", String(64), primary_key=True),
    Column("asked_at", Time, nullable=False),
    Column("asked_by", Text, nullable=False),
    # Of Airflow; "" where it refused to start one.
    blank("run"),
)

#: The mail that a colleague asked for about what does not sync in a profile of theirs, once a week (rules 9).
weekly_mail = Table(
    "weekly_mail",
    metadata,
    Column("profile", ForeignKey("sync_profile.id"), primary_key=True),
    Column("wanted", Boolean, nullable=False),
    Column("language", String(8), nullable=False),  # of the page on which it was asked for
    Column("chosen_at", Time, nullable=False),
    Column("claimed_at", Time),  # a task is about to send it since then
    Column("done_at", Time),  # a week was last done with: it was sent, or there was nothing to say
    Column("sent_at", Time),
)

#: What a person wants undone: one change (``plan`` and ``n``), or all that a run changed in a profile. The next run of
#: the profile that is no dry run plans it anew, as far as both sides still hold what was written then.
undo = Table(
    "undo",
    metadata,
    Column("id", RowId, primary_key=True, autoincrement=True),
    Column("profile", ForeignKey("sync_profile.id"), nullable=False),
    Column("run", Text, nullable=False),  # the run whose changes are undone
    Column("plan", BigInteger),
    Column("n", Integer),
    Column("state", String(16), nullable=False),  # open / done / withdrawn
    blank("asked_by"),
    Column("asked_at", Time, nullable=False),
    Column("ended_at", Time),
    blank("ended_run"),  # the run that carried it out
    Column(
        "told", Text, nullable=False, server_default="{}"
    ),  # JSON: contacts undone, and reason -> number left
    Index(None, "profile", "state"),
)

#: Contacts that a profile does not sync, with the reason; a row stands for as long as the reason does.
reject = Table(
    "reject",
    metadata,
    Column("profile", ForeignKey("sync_profile.id"), primary_key=True),
    Column("side", String(20), primary_key=True),
    Column("contact", Text, primary_key=True),  # system id, or immutable id
    Column("field", String(24), primary_key=True, server_default=""),  # "": the whole contact
    Column("outcome", String(16), nullable=False),
    Column("reason", String(64), nullable=False),
    Column("since", Time, nullable=False),
    Column("run", Text, nullable=False),
)

#: What a dry run would leave out, beside the rejects in force; the next comparison of the profile takes its place.
dry_reject = Table(
    "dry_reject",
    metadata,
    Column("profile", ForeignKey("sync_profile.id"), primary_key=True),
    Column("side", String(20), primary_key=True),
    Column("contact", Text, primary_key=True),
    Column("field", String(24), primary_key=True, server_default=""),
    Column("outcome", String(16), nullable=False),
    Column("reason", String(64), nullable=False),
    Column("since", Time, nullable=False),
    Column("run", Text, nullable=False),
    # What the dry run read of the contact is thrown away with its overlay, and its page names it all the same.
    blank("name"),
    blank("email"),
)

#: What the last comparison of a profile found; a run that finds it quiet shows these figures (rules 8.8).
comparison = Table(
    "comparison",
    metadata,
    Column("profile", ForeignKey("sync_profile.id"), primary_key=True),
    Column("run", Text, nullable=False),  # the run that compared
    Column("compared_at", Time, nullable=False),
    Column("counters", Text, nullable=False, server_default="{}"),  # JSON: read, outcomes, reasons, ...
    # Of these, what is added up over all profiles.
    Column("contacts", Integer, nullable=False, server_default="0"),
    Column("agreed", Integer, nullable=False, server_default="0"),
    Column("rejected", Integer, nullable=False, server_default="0"),
    Column("held", Integer, nullable=False, server_default="0"),
)

#: What the last comparison of a profile depended on beside the pairs in agreement: contacts of BC by id, and digests
#: of addresses and of company names. A contact of BC that changes and is among them may decide it anew.
awaited = Table(
    "awaited",
    metadata,
    Column("profile", ForeignKey("sync_profile.id"), primary_key=True),
    Column("kind", String(8), primary_key=True),  # contact / address / company / scope (``store.settled``)
    Column("value", String(36), primary_key=True),
    Index(None, "kind", "value"),
)

#: Why a profile fails, and since when without a break, by this database's clock (rules 8.8).
profile_cause = Table(
    "profile_cause",
    metadata,
    Column("profile", ForeignKey("sync_profile.id"), primary_key=True),
    Column("reason", Text, nullable=False),
    Column("since", Time, nullable=False),
    Column("told_at", Time),  # when it was last reported to people
)

#: Changes that a service refused for a reason that may pass, and when each is tried again (rules 6).
postponed = Table(
    "postponed",
    metadata,
    Column("profile", ForeignKey("sync_profile.id"), primary_key=True),
    Column("action", String(32), primary_key=True),
    Column("contact", Text, primary_key=True),  # as in ``reject``
    Column("digest", String(32), nullable=False),  # of what was to be written and of both sides
    Column("code", String(64), nullable=False),
    Column("tries", Integer, nullable=False),
    Column("next_try", Time, nullable=False),  # by the staging database's clock
    Column("run", Text, nullable=False),  # that tried it last
)
