"""Whether items of Outlook are private. NULL: not read yet, which the next full read makes up for."""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

TABLE = "outlook_contact"


def upgrade() -> None:
    op.add_column(TABLE, sa.Column("private", sa.Boolean(), nullable=True))
    op.add_column(TABLE, sa.Column("flag_etag", sa.Text(), server_default="", nullable=False))
    op.add_column(TABLE, sa.Column("address_digest", sa.String(length=32), server_default="", nullable=False))


def downgrade() -> None:
    # What is not stored of private items must be read again in full by the version before.
    op.execute(
        "UPDATE cursor SET position = '', version = 0 WHERE side = 'outlook' AND scope IN"
        " (SELECT CAST(profile AS TEXT) FROM outlook_contact WHERE private AND record = '{}')"
    )
    op.execute("UPDATE outlook_contact SET normaliser = 0 WHERE private AND record = '{}'")
    # Not by a batch: SQLite would drop the table that others refer to.
    for name in ("address_digest", "flag_etag", "private"):
        op.drop_column(TABLE, name)
