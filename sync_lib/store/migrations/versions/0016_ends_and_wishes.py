"""How profiles end; contacts that a person leaves out of a folder, or wants synced at once."""

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
    row_id = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    op.create_table(
        "left_out",
        sa.Column("id", row_id, autoincrement=True, nullable=False),
        sa.Column("profile", sa.Integer(), nullable=False),
        sa.Column("bc_id", sa.String(length=36), nullable=False),
        sa.Column("left_by", sa.Text(), nullable=False),
        sa.Column("left_at", sa.String(length=24), nullable=False),
        sa.Column("was_pinned", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("back_by", sa.Text(), server_default="", nullable=False),
        sa.Column("back_at", sa.String(length=24), nullable=True),
        sa.ForeignKeyConstraint(["profile"], ["sync_profile.id"], name=op.f("fk_left_out_profile")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_left_out")),
    )
    op.create_index(op.f("ix_left_out_profile_bc_id"), "left_out", ["profile", "bc_id"])
    is_open = sa.text("back_at IS NULL")
    op.create_index(
        "uq_left_out_open",
        "left_out",
        ["profile", "bc_id"],
        unique=True,
        postgresql_where=is_open,
        sqlite_where=is_open,
    )
    op.create_table(
        "wish",
        sa.Column("id", row_id, autoincrement=True, nullable=False),
        sa.Column("profile", sa.Integer(), nullable=False),
        sa.Column("contact", sa.Text(), nullable=False),
        sa.Column("asked_by", sa.Text(), nullable=False),
        sa.Column("asked_at", sa.String(length=24), nullable=False),
        sa.Column("ended_at", sa.String(length=24), nullable=True),
        sa.Column("ended_run", sa.Text(), server_default="", nullable=False),
        sa.ForeignKeyConstraint(["profile"], ["sync_profile.id"], name=op.f("fk_wish_profile")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_wish")),
    )
    op.create_index(op.f("ix_wish_profile_ended_at"), "wish", ["profile", "ended_at"])


def downgrade() -> None:
    """Go back; a profile that has ended is a switched-off one there, and what was left out is synced again."""
    op.drop_table("wish")
    op.drop_table("left_out")
    for name in ("ending", *TIMES, "ended_notes"):
        # Not by a batch: SQLite would drop the table that others refer to.
        op.drop_column("sync_profile", name)
