"""Look up by index what grew with the number of profiles, or of contacts.

The profiles of a mailbox, the contacts that are blocked for privacy, and what was written to BC lately.
"""

import sqlalchemy as sa
from alembic import op

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None

KEY, BLOCKED, TO_BC = "ix_sync_profile_mailbox_key", "ix_bc_contact_blocked", "ix_change_to_bc"


def upgrade() -> None:
    op.add_column("sync_profile", sa.Column("mailbox_key", sa.Text(), server_default="", nullable=False))
    conn = op.get_bind()
    given = sa.text("UPDATE sync_profile SET mailbox_key = :key WHERE id = :id")
    for row in conn.execute(sa.text("SELECT id, mailbox FROM sync_profile")).all():
        # Not by the database: its lower case is not the same on both.
        conn.execute(given, {"id": row.id, "key": row.mailbox.casefold()})
    op.create_index(op.f(KEY), "sync_profile", ["mailbox_key"])
    blocked = sa.text("privacy_blocked = 'true'")
    to_bc = sa.text("action IN ('create_business_central', 'update_business_central')")
    for name, table, columns, only in (
        (BLOCKED, "bc_contact", ["company", "overlay"], blocked),
        (TO_BC, "change", ["state", "ended_at"], to_bc),
    ):
        op.create_index(name, table, columns, postgresql_where=only, sqlite_where=only)


def downgrade() -> None:
    op.drop_index(TO_BC, table_name="change")
    op.drop_index(BLOCKED, table_name="bc_contact")
    op.drop_index(op.f(KEY), table_name="sync_profile")
    # Not by a batch: SQLite would drop the tables that others refer to.
    op.drop_column("sync_profile", "mailbox_key")
