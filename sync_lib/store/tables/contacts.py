"""The two snapshots, and the couplings between them (rules 2 and 5)."""

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
    UniqueConstraint,
    false,
    text,
)

from sync_lib.fields.bc_columns import BC_COLUMNS
from sync_lib.store.tables.schema import RowId, Time, blank, metadata

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
    *(blank(column.name) for column in BC_COLUMNS),
    blank("email_key"),
    # Case-folded name of a company contact, "" for other types: what an Outlook company name is looked up by.
    blank("company_key"),
    # Why this contact may not go to Outlook by rules 3 (``name_missing`` ...), computed once, at staging; "" = it may.
    blank("problem", String(16)),
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
    # The few that are blocked: every comparison asks for them (rules 7.4).
    Index(
        "ix_bc_contact_blocked",
        "company",
        "overlay",
        postgresql_where=text("privacy_blocked = 'true'"),
        sqlite_where=text("privacy_blocked = 'true'"),
    ),
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
    blank("email_key"),
    blank("name"),
    Column("fingerprint", BigInteger, nullable=False, server_default="0"),
    Column("normaliser", Integer, nullable=False, server_default="0"),
    Column("gone_since", Time),
    blank("gone_reason", String(16)),  # deleted / moved / absent
    # Whether its owner flagged it private (rules 3); NULL: not read yet. Of a private item that nothing is tied to
    # neither record, name nor address are stored, but a digest of the address.
    Column("private", Boolean),
    blank("flag_etag"),  # the version with which the flag was last read
    blank("address_digest", String(32)),
    # The last comparison saw the row as it is: in a pair in agreement, or gone (``store.settled``).
    Column("settled", Boolean, nullable=False, server_default="0", onupdate=false()),
    UniqueConstraint("profile", "overlay", "id"),
    Index(None, "profile", "overlay", "email_key"),
    Index(
        "ix_outlook_contact_unsettled",
        "profile",
        "overlay",
        postgresql_where=text("NOT settled"),
        sqlite_where=text("NOT settled"),
    ),
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
    # JSON: ``asked``, what the templates last came to, and ``own``, which categories of the item the sync put there.
    Column("categories", Text, nullable=False, server_default="{}"),
    # True: look at the single fields at the next diff, whatever the fingerprints say.
    Column("attention", Boolean, nullable=False, server_default="0"),
    # The last comparison found the pair in agreement. Whoever writes the row takes that off (``store.settled``).
    Column("settled", Boolean, nullable=False, server_default="0", onupdate=false()),
    Column("created_at", Time, nullable=False),
    Column("updated_at", Time, nullable=False),
    UniqueConstraint("profile", "bc_id"),
    UniqueConstraint("profile", "outlook_id"),
    Index(None, "bc_id"),
    Index(
        "ix_coupling_unsettled",
        "profile",
        postgresql_where=text("NOT settled"),
        sqlite_where=text("NOT settled"),
    ),
)

#: Items that stood for a contact before, wherever they are now: a privacy block asks for them by id (rules 7.4).
#: ``settled``: since the contact was blocked it was looked up, and nothing is left to do.
former_item = Table(
    "former_item",
    metadata,
    Column("profile", ForeignKey("sync_profile.id"), primary_key=True),
    Column("outlook_id", Text, primary_key=True),
    Column("bc_id", String(36), nullable=False),
    blank("origin", String(16)),  # how the item came to be; "": only its key knows
    Column("settled", Boolean, nullable=False, server_default="0"),
    # JSON: digests of the categories that the sync put on it; no text of a contact is kept here.
    Column("categories", Text, nullable=False, server_default="[]"),
    Index(None, "profile", "bc_id"),
)

#: Contacts that a person left out of a folder: while ``back_at`` is NULL the profile does not sync them. The rows say
#: who, and when; ``was_pinned``: its coupling was, and is again once it is taken back.
left_out = Table(
    "left_out",
    metadata,
    Column("id", RowId, primary_key=True, autoincrement=True),
    Column("profile", ForeignKey("sync_profile.id"), nullable=False),
    Column("bc_id", String(36), nullable=False),
    Column("left_by", Text, nullable=False),
    Column("left_at", Time, nullable=False),
    Column("was_pinned", Boolean, nullable=False, server_default="0"),
    blank("back_by"),
    Column("back_at", Time),
    Index(None, "profile", "bc_id"),
    Index(
        "uq_left_out_open",
        "profile",
        "bc_id",
        unique=True,
        postgresql_where=text("back_at IS NULL"),
        sqlite_where=text("back_at IS NULL"),
    ),
)

#: Contacts that a person wants synced now, and what was carried out of it: ``ended_run`` tried it. ``contact`` is a
#: system id, or an immutable id where nothing in BC is tied to the item.
wish = Table(
    "wish",
    metadata,
    Column("id", RowId, primary_key=True, autoincrement=True),
    Column("profile", ForeignKey("sync_profile.id"), nullable=False),
    Column("contact", Text, nullable=False),
    Column("asked_by", Text, nullable=False),
    Column("asked_at", Time, nullable=False),
    Column("ended_at", Time),
    blank("ended_run"),
    Index(None, "profile", "ended_at"),
)
