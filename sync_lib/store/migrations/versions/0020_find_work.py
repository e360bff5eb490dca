"""Which profiles have work: what each was last looked at with, when it is due, and what its comparison waits for.

Every profile is due at first, so that its next run compares and learns what it waits for. The mapped tasks of the last
runs get the places that pages link to, which were counted from the keys until now.
"""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None


def _columns() -> dict[str, list[sa.Column[Any]]]:
    return {
        "cursor": [
            sa.Column("looked_generation", sa.BigInteger(), nullable=True),
            sa.Column("due_at", sa.String(length=24), server_default="", nullable=True),
            sa.Column("linked_at", sa.String(length=24), nullable=True),
            sa.Column("ask_failures", sa.Integer(), server_default="0", nullable=False),
            sa.Column("ask_due", sa.String(length=24), nullable=True),
        ],
        "sync_run": [
            sa.Column("finds_work", sa.Boolean(), server_default="0", nullable=False),
            sa.Column("found_at", sa.String(length=24), nullable=True),
            sa.Column("asked", sa.Integer(), nullable=True),
            sa.Column("quiet", sa.Integer(), nullable=True),
            sa.Column("mapped", sa.Integer(), nullable=True),
        ],
        "run_profile": [
            sa.Column("map_index", sa.Integer(), nullable=True),
            sa.Column("why", sa.String(length=24), server_default="", nullable=False),
        ],
    }


def upgrade() -> None:
    for table, columns in _columns().items():
        for column in columns:
            op.add_column(table, column)
    op.execute(
        """
        UPDATE run_profile SET map_index = (
            SELECT place FROM (
                SELECT run, profile, dense_rank() OVER (PARTITION BY run ORDER BY length(chunk), chunk) - 1 AS place
                FROM run_profile
            ) AS places WHERE places.run = run_profile.run AND places.profile = run_profile.profile
        ) WHERE run IN (SELECT id FROM sync_run ORDER BY started_at DESC LIMIT 200)
        """
    )
    op.create_table(
        "awaited",
        sa.Column("profile", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(length=8), nullable=False),
        sa.Column("value", sa.String(length=36), nullable=False),
        sa.ForeignKeyConstraint(
            ["profile"], ["sync_profile.id"], name=op.f("fk_awaited_profile_sync_profile")
        ),
        sa.PrimaryKeyConstraint("profile", "kind", "value", name=op.f("pk_awaited")),
    )
    op.create_index(op.f("ix_awaited_kind_value"), "awaited", ["kind", "value"])


def downgrade() -> None:
    op.drop_index(op.f("ix_awaited_kind_value"), table_name="awaited")
    op.drop_table("awaited")
    # Not by a batch: SQLite would drop the tables that others refer to.
    for table, columns in _columns().items():
        for column in columns:
            op.drop_column(table, column.name)
