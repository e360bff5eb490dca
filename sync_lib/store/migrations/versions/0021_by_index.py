"""Look up by index what grew with the number of profiles, or of contacts.

The profiles of a mailbox, the contacts that are blocked for privacy, what was written to BC lately, and what the last
comparison of a profile left unsettled: everything at first, until the next one has left its marks.
"""

import sqlalchemy as sa
from alembic import op

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None

KEY, BLOCKED, TO_BC = "ix_sync_profile_mailbox_key", "ix_bc_contact_blocked", "ix_change_to_bc"
COUPLINGS, ITEMS = "ix_coupling_unsettled", "ix_outlook_contact_unsettled"


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
    for table in ("coupling", "outlook_contact"):
        op.add_column(table, sa.Column("settled", sa.Boolean(), server_default="0", nullable=False))
    op.add_column("cursor", sa.Column("settled_generation", sa.BigInteger(), nullable=True))
    unsettled = sa.text("NOT settled")
    for name, table, columns, only in (
        (BLOCKED, "bc_contact", ["company", "overlay"], blocked),
        (TO_BC, "change", ["state", "ended_at"], to_bc),
        (COUPLINGS, "coupling", ["profile"], unsettled),
        (ITEMS, "outlook_contact", ["profile", "overlay"], unsettled),
    ):
        op.create_index(name, table, columns, postgresql_where=only, sqlite_where=only)


def downgrade() -> None:
    op.execute("DELETE FROM awaited WHERE kind = 'scope'")
    op.drop_index(ITEMS, table_name="outlook_contact")
    op.drop_index(COUPLINGS, table_name="coupling")
    op.drop_index(TO_BC, table_name="change")
    op.drop_index(BLOCKED, table_name="bc_contact")
    op.drop_index(op.f(KEY), table_name="sync_profile")
    # Not by a batch: SQLite would drop the tables that others refer to.
    for table, column in (
        ("sync_profile", "mailbox_key"),
        ("cursor", "settled_generation"),
        ("outlook_contact", "settled"),
        ("coupling", "settled"),
    ):
        op.drop_column(table, column)
