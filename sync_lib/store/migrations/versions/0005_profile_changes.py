"""Who changed which settings of a profile, and when."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    row_id = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    op.create_table(
        "profile_change",
        sa.Column("id", row_id, autoincrement=True, nullable=False),
        sa.Column("profile", sa.Integer(), nullable=False),
        sa.Column("at", sa.String(length=24), nullable=False),
        sa.Column("who", sa.Text(), nullable=False),
        sa.Column("is_new", sa.Boolean(), server_default="0", nullable=False),
        sa.Column("settings", sa.Text(), server_default="{}", nullable=False),
        sa.ForeignKeyConstraint(["profile"], ["sync_profile.id"], name=op.f("fk_profile_change_profile")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_profile_change")),
    )
    op.create_index(op.f("ix_profile_change_profile_at"), "profile_change", ["profile", "at"])


def downgrade() -> None:
    op.drop_table("profile_change")
