"""What the last connection check of each profile found."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "profile_check",
        sa.Column("profile", sa.Integer(), nullable=False),
        sa.Column("run", sa.Text(), nullable=False),
        sa.Column("at", sa.String(length=24), nullable=False),
        sa.Column("lines", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["profile"], ["sync_profile.id"], name=op.f("fk_profile_check_profile")),
        sa.PrimaryKeyConstraint("profile", name=op.f("pk_profile_check")),
    )


def downgrade() -> None:
    op.drop_table("profile_check")
