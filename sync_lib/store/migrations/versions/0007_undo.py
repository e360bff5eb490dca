"""What persons want undone."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    row_id = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    op.create_table(
        "undo",
        sa.Column("id", row_id, autoincrement=True, nullable=False),
        sa.Column("profile", sa.Integer(), nullable=False),
        sa.Column("run", sa.Text(), nullable=False),
        sa.Column("plan", sa.BigInteger(), nullable=True),
        sa.Column("n", sa.Integer(), nullable=True),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("asked_by", sa.Text(), server_default="", nullable=False),
        sa.Column("asked_at", sa.String(length=24), nullable=False),
        sa.Column("ended_at", sa.String(length=24), nullable=True),
        sa.Column("ended_run", sa.Text(), server_default="", nullable=False),
        sa.Column("told", sa.Text(), server_default="{}", nullable=False),
        sa.ForeignKeyConstraint(["profile"], ["sync_profile.id"], name=op.f("fk_undo_profile")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_undo")),
    )
    op.create_index(op.f("ix_undo_profile_state"), "undo", ["profile", "state"])


def downgrade() -> None:
    op.drop_index(op.f("ix_undo_profile_state"), table_name="undo")
    op.drop_table("undo")
