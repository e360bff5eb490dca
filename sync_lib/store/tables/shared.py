"""What workers share: claims, leases, the budget of Business Central, and what was found out about services."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    String,
    Table,
    Text,
)

from sync_lib.store.tables.schema import RowId, Time, blank, metadata

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
    blank("reason"),
    Index(None, "profile", "at"),
)
