"""Runs that colleagues start for their own profiles: the last one of each, so that there is one a minute at most."""

import sqlalchemy as sa
from alembic import op

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "own_run",
        sa.Column("profile", sa.Integer(), nullable=False),
        sa.Column("dag", sa.String(length=64), nullable=False),
        sa.Column("asked_at", sa.String(length=24), nullable=False),
        sa.Column("asked_by", sa.Text(), nullable=False),
        sa.Column("run", sa.Text(), server_default="", nullable=False),
        sa.ForeignKeyConstraint(
            ["profile"], ["sync_profile.id"], name=op.f("fk_own_run_profile_sync_profile")
        ),
        sa.PrimaryKeyConstraint("profile", "dag", name=op.f("pk_own_run")),
    )


def downgrade() -> None:
    op.drop_table("own_run")
