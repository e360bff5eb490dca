"""When a full read is due: the slot that a run knows of, and how often a due read failed."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("sync_run", sa.Column("full_slot", sa.String(length=24), nullable=True))
    op.add_column("cursor", sa.Column("full_tried_at", sa.String(length=24), nullable=True))
    op.add_column("cursor", sa.Column("full_failures", sa.Integer(), server_default="0", nullable=False))


def downgrade() -> None:
    # Not by a batch: SQLite would drop the tables that others refer to.
    for name in ("full_failures", "full_tried_at"):
        op.drop_column("cursor", name)
    op.drop_column("sync_run", "full_slot")
