"""Holds in a table of their own: a hold of a plan, and one of a company's number of contacts, are decided alike."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

KEEP = """
INSERT INTO hold (profile, plan, run, hash, reasons, state, opened_at, decided_by, decided_at, decided_how)
SELECT profile, id, run, hold_hash, hold_reasons, hold_state, created_at, COALESCE(decided_by, ''), decided_at,
       CASE WHEN decided_by IS NULL THEN '' ELSE 'person' END
  FROM plan
 WHERE hold_state <> ''
"""
DROPPED = {
    "plan": ("hold_hash", "hold_state", "hold_reasons", "decided_by", "decided_at"),
    # The next read of the company offers its number of contacts again, as a hold.
    "company": ("offered_count",),
}


def upgrade() -> None:
    row_id = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    op.create_table(
        "hold",
        sa.Column("id", row_id, autoincrement=True, nullable=False),
        sa.Column("profile", sa.Integer(), nullable=True),
        sa.Column("company", sa.Integer(), nullable=True),
        sa.Column("plan", row_id, nullable=True),
        sa.Column("offered", sa.Integer(), nullable=True),
        sa.Column("run", sa.Text(), nullable=False),
        sa.Column("hash", sa.String(length=64), nullable=False),
        sa.Column("reasons", sa.Text(), server_default="[]", nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("asked", sa.Integer(), server_default="1", nullable=False),
        sa.Column("requested", sa.Integer(), server_default="0", nullable=False),
        sa.Column("opened_at", sa.String(length=24), nullable=False),
        sa.Column("decided_by", sa.Text(), server_default="", nullable=False),
        sa.Column("decided_at", sa.String(length=24), nullable=True),
        sa.Column("decided_how", sa.String(length=16), server_default="", nullable=False),
        sa.ForeignKeyConstraint(["company"], ["company.id"], name=op.f("fk_hold_company")),
        sa.ForeignKeyConstraint(["plan"], ["plan.id"], name=op.f("fk_hold_plan")),
        sa.ForeignKeyConstraint(["profile"], ["sync_profile.id"], name=op.f("fk_hold_profile")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_hold")),
    )
    op.create_index(op.f("ix_hold_company_state"), "hold", ["company", "state"])
    op.create_index(op.f("ix_hold_plan"), "hold", ["plan"])
    op.create_index(op.f("ix_hold_profile_state"), "hold", ["profile", "state"])
    op.add_column("change", sa.Column("hold", sa.BigInteger(), nullable=True))
    op.execute(KEEP)
    op.drop_index(op.f("ix_plan_profile_hold_state"), table_name="plan")
    for table, columns in DROPPED.items():
        for column in columns:
            # Not as a batch: on SQLite that copies the table, which the foreign keys of others forbid.
            op.execute(f"ALTER TABLE {table} DROP COLUMN {column}")
