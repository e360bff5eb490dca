"""How profiles end: what a person has said, how far it has come, and what could not be done."""

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None

TIMES = ("ending_at", "ending_began", "ended_at")


def upgrade() -> None:
    op.add_column("sync_profile", sa.Column("ending", sa.String(length=8), server_default="", nullable=False))
    for name in TIMES:
        op.add_column("sync_profile", sa.Column(name, sa.String(length=24), nullable=True))
    op.add_column("sync_profile", sa.Column("ended_notes", sa.Text(), server_default="{}", nullable=False))


def downgrade() -> None:
    """Go back; a profile that has ended is a switched-off one there, which never synced."""
    for name in ("ending", *TIMES, "ended_notes"):
        # Not by a batch: SQLite would drop the table that others refer to.
        op.drop_column("sync_profile", name)
