"""The staging database: every table, in one ``MetaData``. Alembic migrations under ``migrations/`` create them.

Conventions: times are UTC text of 24 characters (``2026-03-02T09:15:04.123Z``), so that text order is time order on
both databases; "" stands for blank; JSON is stored as text and never searched by SQL.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    text,
)

from sync_lib.fields.columns import BC_COLUMNS

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

# SQLite only numbers rows by itself in a column of type INTEGER; PostgreSQL gets room for more than 2^31 rows.
RowId = BigInteger().with_variant(Integer, "sqlite")
Time = String(24)


def _blank(name: str, kind: type[Text] | String = Text) -> Column[str]:
    return Column(name, kind, nullable=False, server_default="")


#: A BC company that profiles name. ``generation`` grows with every stage that changed a row of it.
company = Table(
    "company",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("tenant_id", Text, nullable=False),
    Column("environment", Text, nullable=False),
    Column("company_id", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("phone_region", String(2), nullable=False, server_default="NL"),
    Column("generation", BigInteger, nullable=False, server_default="0"),
    # The stop rule of rules 8.3: the count that a person (or the first read) accepted; one that waits is a hold.
    Column("accepted_count", Integer),
    Column("countries", Text, nullable=False, server_default="{}"),
    # Where the Connection points instead, until it is pointed back or a person accepts the move (rules 1).
    _blank("offered_tenant_id"),
    _blank("offered_environment"),
    UniqueConstraint("tenant_id", "environment", "company_id"),
)

#: Where a company was before a person accepted a move: keys and markers of it count as ours (rules 1).
former_binding = Table(
    "former_binding",
    metadata,
    Column("company", ForeignKey("company.id"), primary_key=True),
    Column("tenant_id", Text, primary_key=True),
    Column("environment", Text, primary_key=True),
    Column("company_id", Text, primary_key=True),
    Column("until", Time, nullable=False),
)

#: What a company was called before: a file may still name it so.
former_company_name = Table(
    "former_company_name",
    metadata,
    Column("company", ForeignKey("company.id"), primary_key=True),
    Column("name", Text, primary_key=True),
    Column("until", Time, nullable=False),
)

#: What people set per company, by the name (or id) that profiles know it by, before any run resolved it.
company_setting = Table(
    "company_setting",
    metadata,
    Column("company_name", Text, primary_key=True),
    Column("phone_region", String(2), nullable=False, server_default="NL"),
)

#: Rules 1. ``company_name`` is what the person wrote (name or id); ``company`` is the company it resolved to.
sync_profile = Table(
    "sync_profile",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("mailbox", Text, nullable=False),
    Column("company_name", Text, nullable=False),
    Column("company", ForeignKey("company.id")),
    Column("enabled", Boolean, nullable=False, server_default="1"),
    Column("folder_name", Text, nullable=False, server_default="Business Central"),
    Column("default_folder", Boolean, nullable=False, server_default="0"),
    # The folder's name in the imported file: it still means this profile when a user has renamed the folder since.
    _blank("folder_asked"),
    Column("filter", Text, nullable=False, server_default="[]"),  # JSON list of [field, expression]
    Column("direction", String(24), nullable=False, server_default="both"),
    Column("salesperson_code", String(20), nullable=False, server_default=""),
    Column("language", String(8), nullable=False, server_default="nl"),
    # Policies of rules 7: recreate / stay_away, delete / keep, delete / keep, fill / overwrite.
    Column("deleted_in_outlook", String(16), nullable=False, server_default="recreate"),
    Column("deleted_in_bc", String(16), nullable=False, server_default="delete"),
    Column("left_scope", String(16), nullable=False, server_default="delete"),
    Column("blank_in_bc", String(16), nullable=False, server_default="fill"),
    # What the profile is bound to when it first syncs.
    Column("graph_user_id", Text),
    Column("folder_id", Text),
    # The folder's name when it was last seen: tells a rename by the user from one in the profile.
    _blank("folder_seen"),
    Column("folder_made_by_sync", Boolean, nullable=False, server_default="0"),
    Column("marker_counter", Integer, nullable=False, server_default="0"),
    # Another account that has the mailbox's address now, until a person says that it is the same colleague.
    _blank("successor"),
    # A folder with this profile's marker beside the bound one, and what a person answered: go_back / leave.
    _blank("second_folder"),
    _blank("second_answer", String(8)),
    # A folder that was left: our marker and keys are still to be taken off.
    _blank("leaving_folder"),
    # Why the next run is a restored one (rules 2.8) although the folder's marker is not ahead.
    _blank("restored_by", String(32)),
    # The folder whose first look is remembered in ``held_action``; another one is looked at once it has been read.
    _blank("looked_at"),
    Column("created_at", Time, nullable=False),
    Column("updated_at", Time, nullable=False),
    UniqueConstraint("mailbox", "company_name", "folder_name"),
    UniqueConstraint("graph_user_id", "folder_id"),
)

#: What a mailbox was called before: a file may still name it so.
former_mailbox = Table(
    "former_mailbox",
    metadata,
    Column("profile", ForeignKey("sync_profile.id"), primary_key=True),
    Column("mailbox", Text, primary_key=True),
    Column("until", Time, nullable=False),
)

#: Folders that a profile was bound to before: one of them that comes back is told (rules 1).
former_folder = Table(
    "former_folder",
    metadata,
    Column("profile", ForeignKey("sync_profile.id"), primary_key=True),
    Column("folder_id", Text, primary_key=True),
    Column("until", Time, nullable=False),
)

#: Who changed which settings of a profile. ``settings`` is JSON: column -> [before, after].
profile_change = Table(
    "profile_change",
    metadata,
    Column("id", RowId, primary_key=True, autoincrement=True),
    Column("profile", ForeignKey("sync_profile.id"), nullable=False),
    Column("at", Time, nullable=False),
    Column("who", Text, nullable=False),  # user of Airflow, or ``contact-sync`` for a file or a terminal
    Column("is_new", Boolean, nullable=False, server_default="0"),
    Column("settings", Text, nullable=False, server_default="{}"),
    Index(None, "profile", "at"),
)

#: The last connection check of each profile. ``lines`` is JSON: see ``profile_checks``.
profile_check = Table(
    "profile_check",
    metadata,
    Column("profile", ForeignKey("sync_profile.id"), primary_key=True),
    Column("run", Text, nullable=False),
    Column("at", Time, nullable=False),
    Column("lines", Text, nullable=False),
)

#: Snapshot of BC. ``overlay`` is "" for the real one and a run id for what a dry run read (rules 8.2).
bc_contact = Table(
    "bc_contact",
    metadata,
    Column("row_id", RowId, primary_key=True, autoincrement=True),
    Column("company", ForeignKey("company.id"), nullable=False),
    Column("overlay", Text, nullable=False, server_default=""),
    Column("id", String(36), nullable=False),
    Column("etag", Text, nullable=False),
    Column("last_modified", Time, nullable=False),
    *(_blank(column.name) for column in BC_COLUMNS),
    _blank("email_key"),
    # Case-folded name of a company contact, "" for other types: what an Outlook company name is looked up by.
    _blank("company_key"),
    # Why this contact may not go to Outlook by rules 3 (``name_missing`` ...), computed once, at staging; "" = it may.
    _blank("problem", String(16)),
    Column("fingerprint", BigInteger, nullable=False, server_default="0"),
    Column("normaliser", Integer, nullable=False, server_default="0"),
    # The company's generation in which this row last changed.
    Column("generation", BigInteger, nullable=False, server_default="0"),
    Column("gone_since", Time),
    UniqueConstraint("company", "overlay", "id"),
    Index(None, "company", "overlay", "email_key"),
    Index(None, "company", "overlay", "generation"),
    Index(None, "company", "overlay", "salesperson"),
    Index(None, "company", "overlay", "company_number"),
    Index(
        None,
        "company",
        "overlay",
        "company_key",
        postgresql_where=text("company_key <> ''"),
        sqlite_where=text("company_key <> ''"),
    ),
)

#: Snapshot of one profile's folder. ``record`` is the mapped part of Graph's JSON object.
outlook_contact = Table(
    "outlook_contact",
    metadata,
    Column("row_id", RowId, primary_key=True, autoincrement=True),
    Column("profile", ForeignKey("sync_profile.id"), nullable=False),
    Column("overlay", Text, nullable=False, server_default=""),
    Column("id", Text, nullable=False),
    Column("etag", Text, nullable=False),
    Column("last_modified", Time, nullable=False),
    Column("created", Time, nullable=False, server_default=""),
    Column("bc_key", Text),  # NULL: not read yet; "": read, and the item has none
    Column("record", Text, nullable=False),
    _blank("email_key"),
    _blank("name"),
    Column("fingerprint", BigInteger, nullable=False, server_default="0"),
    Column("normaliser", Integer, nullable=False, server_default="0"),
    Column("gone_since", Time),
    _blank("gone_reason", String(16)),  # deleted / moved / absent
    # Whether its owner flagged it private (rules 3); NULL: not read yet. Of a private item that nothing is tied to
    # neither record, name nor address are stored, but a digest of the address.
    Column("private", Boolean),
    _blank("flag_etag"),  # the version with which the flag was last read
    _blank("address_digest", String(32)),
    UniqueConstraint("profile", "overlay", "id"),
    Index(None, "profile", "overlay", "email_key"),
)

#: Rules 2.1. ``baseline_*`` are JSON: what that side held when the pair last agreed, in written form.
coupling = Table(
    "coupling",
    metadata,
    Column("id", RowId, primary_key=True, autoincrement=True),
    Column("profile", ForeignKey("sync_profile.id"), nullable=False),
    Column("bc_id", String(36), nullable=False),
    Column("bc_row", BigInteger),
    Column("outlook_id", Text),
    Column("outlook_row", BigInteger),
    Column("origin", String(16), nullable=False),
    Column("state", String(16), nullable=False),
    Column("baseline_bc", Text, nullable=False, server_default="{}"),
    Column("baseline_outlook", Text, nullable=False, server_default="{}"),
    # Fingerprints of the two snapshots when the pair last agreed: equal ones mean that nothing changed.
    Column("bc_fingerprint", BigInteger),
    Column("outlook_fingerprint", BigInteger),
    Column("outlook_etag", Text, nullable=False, server_default=""),
    Column("refused", Text, nullable=False, server_default="{}"),  # JSON: "side:field" -> {digest, reason}
    Column(
        "former", Text, nullable=False, server_default="[]"
    ),  # JSON: [{id, baseline_bc, baseline_outlook}]
    Column(
        "differs", Text, nullable=False, server_default="{}"
    ),  # JSON: field -> direction that lets it differ (7.9)
    # True: look at the single fields at the next diff, whatever the fingerprints say.
    Column("attention", Boolean, nullable=False, server_default="0"),
    Column("created_at", Time, nullable=False),
    Column("updated_at", Time, nullable=False),
    UniqueConstraint("profile", "bc_id"),
    UniqueConstraint("profile", "outlook_id"),
    Index(None, "bc_id"),
)

#: Items that stood for a contact before, wherever they are now: a privacy block asks for them by id (rules 7.4).
#: ``settled``: since the contact was blocked it was looked up, and nothing is left to do.
former_item = Table(
    "former_item",
    metadata,
    Column("profile", ForeignKey("sync_profile.id"), primary_key=True),
    Column("outlook_id", Text, primary_key=True),
    Column("bc_id", String(36), nullable=False),
    _blank("origin", String(16)),  # how the item came to be; "": only its key knows
    Column("settled", Boolean, nullable=False, server_default="0"),
    Index(None, "profile", "bc_id"),
)

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
    Column("diffed_settings", Text, nullable=False, server_default=""),
    Column("pending", Boolean, nullable=False, server_default="1"),
    Column("contacts", Integer, nullable=False, server_default="0"),
    Column("last_good_at", Time),
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
    _blank("reason"),
    Column("message", Text, nullable=False, server_default=""),
    Column("profiles_digest", Text, nullable=False, server_default=""),
    Column("full_slot", Time),  # the last slot of the full schedule before the run
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
    _blank("reason"),
    _blank("message"),
    Column("counters", Text, nullable=False, server_default="{}"),
    Column("started_at", Time),
    Column("ended_at", Time),
)

run_profile = Table(
    "run_profile",
    metadata,
    Column("run", ForeignKey("sync_run.id"), primary_key=True),
    Column("profile", ForeignKey("sync_profile.id"), primary_key=True),
    Column("chunk", Text, nullable=False),  # the mapped task's key
    Column("state", String(16), nullable=False),  # planned / running / done / skipped / held / failed
    _blank("reason"),
    _blank("message"),
    Column("counters", Text, nullable=False, server_default="{}"),
    Column("started_at", Time),
    Column("ended_at", Time),
    Index(None, "profile", "started_at"),
)

#: Rules 8: what one round of one run decided about one profile; its changes stand in ``change``.
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
    _blank("hash", String(64)),
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
    _blank("asked_hash", String(64)),
    # The hash that the question shows: what an answer decides about that names no other one.
    _blank("shown", String(64)),
    Column("opened_at", Time, nullable=False),
    _blank("decided_by"),
    Column("decided_at", Time),
    _blank("decided_how", String(16)),  # person / timeout
    Index(None, "profile", "state"),
    Index(None, "company", "state"),
    Index(None, "plan"),
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
    _blank("guard_class", String(16)),
    _blank("digest", String(32)),  # as it was last planned: what an approval is bound to
    _blank("reason", String(64)),
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
    Column("sent_at", Time),
    Column("ended_at", Time),
    Index(None, "profile", "state"),
    Index(None, "profile", "outcome", "ended_at"),
    Index(None, "bc_id"),
    # What was done with an item that nothing in BC is tied to, or was when it was planned.
    Index(None, "outlook_id", postgresql_where=text("bc_id IS NULL"), sqlite_where=text("bc_id IS NULL")),
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
    _blank("asked_by"),
    Column("asked_at", Time, nullable=False),
    Column("ended_at", Time),
    _blank("ended_run"),  # the run that carried it out
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

#: What a dry run would leave out, beside the standing rejects; the next comparison of the profile takes its place.
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
    _blank("name"),
    _blank("email"),
)

#: What the last comparison of a profile found; a run that finds it quiet shows these figures (rules 8.8).
comparison = Table(
    "comparison",
    metadata,
    Column("profile", ForeignKey("sync_profile.id"), primary_key=True),
    Column("run", Text, nullable=False),  # the run that compared
    Column("compared_at", Time, nullable=False),
    Column("counters", Text, nullable=False, server_default="{}"),  # JSON: read, outcomes, reasons, ...
)

#: Why a profile fails, and since when without a break, by this database's clock (rules 8.8).
profile_cause = Table(
    "profile_cause",
    metadata,
    Column("profile", ForeignKey("sync_profile.id"), primary_key=True),
    Column("reason", Text, nullable=False),
    Column("since", Time, nullable=False),
    Column("told_at", Time),  # when people were last told of it
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

#: The right to create a contact in BC (rules 8.7).
claim = Table(
    "claim",
    metadata,
    Column("company", ForeignKey("company.id"), primary_key=True),
    Column("email_key", Text, primary_key=True),
    Column("profile", Integer, nullable=False),
    Column("fencing", BigInteger, nullable=False),
    Column("state", String(16), nullable=False),  # open / unknown / done
    Column("bc_id", String(36)),
    Column("run", Text, nullable=False),
    Column("claimed_at", Time, nullable=False),
)

#: One worker per profile and per company; ``fencing`` grows with every change of holder and never shrinks.
lease = Table(
    "lease",
    metadata,
    Column("key", Text, primary_key=True),
    Column("holder", Text, nullable=False),
    Column("fencing", BigInteger, nullable=False),
    Column("expires_at", Float, nullable=False),  # seconds since 1970 by the database's own clock
)

#: BC's shared budget: concurrent slots, a pause that a service asked for, and requests per slice of time.
budget_slot = Table(
    "budget_slot",
    metadata,
    Column("scope", Text, primary_key=True),
    Column("slot", Integer, primary_key=True),
    Column("holder", Text, nullable=False, server_default=""),
    Column("expires_at", Float, nullable=False, server_default="0"),
)

budget = Table(
    "budget",
    metadata,
    Column("scope", Text, primary_key=True),
    Column("not_before", Float, nullable=False, server_default="0"),
)

budget_use = Table(
    "budget_use",
    metadata,
    Column("scope", Text, primary_key=True),
    Column("slice", BigInteger, primary_key=True),
    Column("requests", Integer, nullable=False),
)

#: Facts learnt about a service, for example whether Graph enforces If-Match for contacts (rules 8.5).
fact = Table(
    "fact",
    metadata,
    Column("scope", Text, primary_key=True),
    Column("name", Text, primary_key=True),
    Column("value", Text, nullable=False),
    Column("found_at", Time, nullable=False),
)

#: When a contact was erased from this database, and how many rows of which table went: never whose (rules 9).
erasure = Table(
    "erasure",
    metadata,
    Column("id", RowId, primary_key=True, autoincrement=True),
    Column("company", ForeignKey("company.id"), nullable=False),
    Column("at", Time, nullable=False),
    Column("counts", Text, nullable=False),  # JSON: table -> rows
)

#: How far the two services agreed when a profile was read in full beside the sync; a reason where it was not read.
drift_check = Table(
    "drift_check",
    metadata,
    Column("id", RowId, primary_key=True, autoincrement=True),
    Column("profile", ForeignKey("sync_profile.id"), nullable=False),
    Column("at", Time, nullable=False),
    Column("pairs", Integer, nullable=False, server_default="0"),  # active and pinned couplings
    Column("agreeing", Integer, nullable=False, server_default="0"),
    Column("explained", Integer, nullable=False, server_default="0"),  # differ, for a reason on record
    Column(
        "planned", Text, nullable=False, server_default="{}"
    ),  # JSON: what a real run would do -> contacts
    _blank("reason"),
    Index(None, "profile", "at"),
)
