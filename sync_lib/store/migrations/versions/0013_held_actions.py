"""What is held action by action, known by class and contact; and first looks of folders."""

import hashlib
import json

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

FIRST_LOOK = "first_sync_of_users_folder"
REJECTED = "rejected_by_person"
COLUMNS = (
    ("sync_profile", sa.Column("looked_at", sa.Text(), server_default="", nullable=False)),
    ("plan", sa.Column("hash", sa.String(length=64), server_default="", nullable=False)),
    ("hold", sa.Column("asked_hash", sa.String(length=64), server_default="", nullable=False)),
    ("hold", sa.Column("shown", sa.String(length=64), server_default="", nullable=False)),
)


def upgrade() -> None:
    row_id = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    op.create_table(
        "held_action",
        sa.Column("id", row_id, autoincrement=True, nullable=False),
        sa.Column("profile", sa.Integer(), nullable=False),
        sa.Column("hold", row_id, nullable=True),
        sa.Column("action", sa.String(length=32), nullable=False),
        sa.Column("guard_class", sa.String(length=16), server_default="", nullable=False),
        sa.Column("digest", sa.String(length=32), server_default="", nullable=False),
        sa.Column("reason", sa.String(length=64), server_default="", nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("known_by", sa.Text(), server_default="[]", nullable=False),
        sa.Column("since", sa.String(length=24), nullable=False),
        sa.ForeignKeyConstraint(["hold"], ["hold.id"], name=op.f("fk_held_action_hold")),
        sa.ForeignKeyConstraint(["profile"], ["sync_profile.id"], name=op.f("fk_held_action_profile")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_held_action")),
    )
    op.create_index(op.f("ix_held_action_hold"), "held_action", ["hold"])
    op.create_index(op.f("ix_held_action_profile_state"), "held_action", ["profile", "state"])
    for table, column in COLUMNS:
        op.add_column(table, column)
    _keep_holds()
    _keep_first_looks()


def downgrade() -> None:
    """Go back; holds still cover the changes of their plans, which is all that the schema before it knew."""
    for table, column in reversed(COLUMNS):
        # Not by a batch: SQLite would drop the table that others refer to.
        op.drop_column(table, column.name)
    op.drop_table("held_action")


def _keep_holds() -> None:
    """Carry over what is held, and what persons have said of it: each held change of a hold is an action of it."""
    conn = op.get_bind()
    conn.execute(
        sa.text(
            "UPDATE hold SET asked_hash = hash, shown = CASE WHEN requested >= asked THEN hash ELSE '' END"
        )
    )
    conn.execute(
        sa.text(
            "UPDATE plan SET hash = (SELECT max(h.hash) FROM hold h WHERE h.plan = plan.id)"
            " WHERE id IN (SELECT plan FROM hold WHERE plan IS NOT NULL)"
        )
    )
    rows = conn.execute(
        sa.text(
            "SELECT h.profile, h.id AS hold, h.state, h.opened_at, c.action, c.guard_class, c.digest, c.reason,"
            " c.bc_id, c.outlook_id, c.email_key FROM hold h JOIN change c ON c.plan = h.plan"
            " WHERE h.profile IS NOT NULL AND h.state IN ('open', 'approved', 'rejected')"
            " AND c.outcome = 'held' AND c.reason <> :rejected ORDER BY h.id, c.n"
        ),
        {"rejected": REJECTED},
    )
    names = ("profile", "hold", "state", "action", "guard_class", "digest", "reason")
    held = [
        {name: row[name] for name in names} | {"known_by": _known_by(row), "since": row["opened_at"]}
        for row in rows.mappings()
    ]
    if held:
        columns = (*names, "known_by", "since")
        table = sa.table("held_action", *(sa.column(name) for name in columns))
        conn.execute(sa.insert(table), held)


def _known_by(row: sa.RowMapping) -> str:
    keys = [f"bc:{row['bc_id']}"] if row["bc_id"] else []
    keys += [f"outlook:{row['outlook_id']}"] if row["outlook_id"] else []
    if row["action"] == "create_business_central" and row["email_key"]:
        keys.append("email:" + hashlib.blake2b(row["email_key"].encode(), digest_size=16).hexdigest())
    return json.dumps(sorted(keys))


def _keep_first_looks() -> None:
    """A folder that was compared both ways has had its first look; one that never went to BC, or waits, has it yet."""
    op.get_bind().execute(
        sa.text(
            "UPDATE sync_profile SET looked_at = folder_id WHERE folder_id IS NOT NULL"
            " AND (direction <> 'to_outlook' OR folder_made_by_sync = :yes)"
            " AND CAST(id AS TEXT) IN (SELECT scope FROM cursor WHERE side = 'outlook' AND diffed_generation IS NOT NULL)"
            " AND id NOT IN (SELECT profile FROM held_action WHERE state = 'open' AND reason = :first)"
        ).bindparams(sa.bindparam("yes", True, sa.Boolean())),
        {"first": FIRST_LOOK},
    )
