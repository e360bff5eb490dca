"""What the pages read: the last comparison of each profile, what a dry run would leave out, and causes of failure."""

import json

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

OPEN = "ix_sync_run_open"


def upgrade() -> None:
    op.create_table(
        "comparison",
        sa.Column("profile", sa.Integer(), nullable=False),
        sa.Column("run", sa.Text(), nullable=False),
        sa.Column("compared_at", sa.String(length=24), nullable=False),
        sa.Column("counters", sa.Text(), server_default="{}", nullable=False),
        sa.ForeignKeyConstraint(["profile"], ["sync_profile.id"], name=op.f("fk_comparison_profile")),
        sa.PrimaryKeyConstraint("profile", name=op.f("pk_comparison")),
    )
    op.create_table(
        "dry_reject",
        sa.Column("profile", sa.Integer(), nullable=False),
        sa.Column("side", sa.String(length=20), nullable=False),
        sa.Column("contact", sa.Text(), nullable=False),
        sa.Column("field", sa.String(length=24), server_default="", nullable=False),
        sa.Column("outcome", sa.String(length=16), nullable=False),
        sa.Column("reason", sa.String(length=64), nullable=False),
        sa.Column("since", sa.String(length=24), nullable=False),
        sa.Column("run", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), server_default="", nullable=False),
        sa.Column("email", sa.Text(), server_default="", nullable=False),
        sa.ForeignKeyConstraint(["profile"], ["sync_profile.id"], name=op.f("fk_dry_reject_profile")),
        sa.PrimaryKeyConstraint("profile", "side", "contact", "field", name=op.f("pk_dry_reject")),
    )
    op.create_table(
        "profile_cause",
        sa.Column("profile", sa.Integer(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("since", sa.String(length=24), nullable=False),
        sa.Column("told_at", sa.String(length=24), nullable=True),
        sa.ForeignKeyConstraint(["profile"], ["sync_profile.id"], name=op.f("fk_profile_cause_profile")),
        sa.PrimaryKeyConstraint("profile", name=op.f("pk_profile_cause")),
    )
    op.add_column("sync_run", sa.Column("reason", sa.Text(), server_default="", nullable=False))
    open_runs = sa.text("ended_at IS NULL")
    op.create_index(OPEN, "sync_run", ["started_at"], postgresql_where=open_runs, sqlite_where=open_runs)
    _fill()


def downgrade() -> None:
    op.drop_index(OPEN, table_name="sync_run")
    # Not by a batch: SQLite would drop the table that others refer to.
    op.drop_column("sync_run", "reason")
    op.drop_table("profile_cause")
    op.drop_table("dry_reject")
    op.drop_table("comparison")


def _fill() -> None:
    """Take over the last run of each profile that compared.

    A run that found a profile quiet stored the outcome *unchanged* alone, without the key ``planned``, which only a
    comparison writes.
    """
    conn = op.get_bind()
    rows = conn.execute(
        sa.text(
            "SELECT own.profile, own.run, own.started_at, own.ended_at, own.counters FROM run_profile own"
            " JOIN sync_run r ON r.id = own.run"
            " WHERE own.started_at = (SELECT max(x.started_at) FROM run_profile x JOIN sync_run y ON y.id = x.run"
            " WHERE x.profile = own.profile AND x.counters LIKE '%\"planned\"%' AND y.dry_run = :no)"
            " AND own.counters LIKE '%\"planned\"%' AND r.dry_run = :no"
        ).bindparams(sa.bindparam("no", False, sa.Boolean()))
    )
    # Two runs of one profile may have begun in the same millisecond: one of them is enough.
    found = {row.profile: row for row in rows}
    for profile, row in found.items():
        counters = json.loads(row.counters)
        conn.execute(
            sa.text(
                "INSERT INTO comparison (profile, run, compared_at, counters) VALUES (:p, :run, :at, :c)"
            ),
            {
                "p": profile,
                "run": row.run,
                "at": row.ended_at or row.started_at,
                "c": json.dumps(counters | {"planned": {}}),
            },
        )
