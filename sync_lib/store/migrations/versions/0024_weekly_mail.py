"""The weekly mail that colleagues ask for about what does not sync: nobody has asked for one yet."""

import sqlalchemy as sa
from alembic import op

revision = "0024"
down_revision = "0023"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "weekly_mail",
        sa.Column("profile", sa.Integer(), nullable=False),
        sa.Column("wanted", sa.Boolean(), nullable=False),
        sa.Column("language", sa.String(length=8), nullable=False),
        sa.Column("chosen_at", sa.String(length=24), nullable=False),
        sa.Column("claimed_at", sa.String(length=24), nullable=True),
        sa.Column("done_at", sa.String(length=24), nullable=True),
        sa.Column("sent_at", sa.String(length=24), nullable=True),
        sa.ForeignKeyConstraint(
            ["profile"], ["sync_profile.id"], name=op.f("fk_weekly_mail_profile_sync_profile")
        ),
        sa.PrimaryKeyConstraint("profile", name=op.f("pk_weekly_mail")),
    )


def downgrade() -> None:
    op.drop_table("weekly_mail")
