"""Figures per day for trends, when the edit behind a change was made, and how far a task at work has come.

What was written on the days that the change log still holds is counted from it; how long edits took then nobody knows.
"""

import json
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0023"
down_revision = "0022"
branch_labels = None
depends_on = None

OPEN = "ix_hold_open"
FIGURES = ("contacts", "agreed", "rejected", "held")
#: Outcomes of contacts that are the same on both sides.
AGREED = ("unchanged", "created", "updated", "coupled", "conflict", "deleted")


def upgrade() -> None:
    for table, others in (("profile", "sync_profile"), ("company", "company")):
        op.create_table(
            f"{table}_day",
            sa.Column(table, sa.Integer(), nullable=False),
            sa.Column("day", sa.String(length=10), nullable=False),
            *(sa.Column(name, sa.Integer(), nullable=True) for name in FIGURES),
            sa.Column("written_outlook", sa.Integer(), server_default="0", nullable=False),
            sa.Column("written_business_central", sa.Integer(), server_default="0", nullable=False),
            sa.Column("arrivals", sa.Text(), server_default="{}", nullable=False),
            sa.ForeignKeyConstraint([table], [f"{others}.id"], name=op.f(f"fk_{table}_day_{table}_{others}")),
            sa.PrimaryKeyConstraint(table, "day", name=op.f(f"pk_{table}_day")),
        )
    op.create_index(op.f("ix_profile_day_day"), "profile_day", ["day"])
    waits = sa.text("state = 'open'")
    op.create_index(OPEN, "hold", ["id"], postgresql_where=waits, sqlite_where=waits)
    for table, columns in _columns().items():
        for column in columns:
            op.add_column(table, column)
    _fill()


def downgrade() -> None:
    op.execute("DELETE FROM fact WHERE scope = 'runs' AND name = 'last_good'")
    # Not by a batch: SQLite would drop the tables that others refer to.
    for table, columns in _columns().items():
        for column in columns:
            op.drop_column(table, column.name)
    op.drop_index(OPEN, table_name="hold")
    op.drop_table("company_day")
    op.drop_table("profile_day")


def _columns() -> dict[str, list[sa.Column[Any]]]:
    return {
        "change": [sa.Column("edited_at", sa.String(length=24), nullable=True)],
        "run_company": [sa.Column("progress", sa.Text(), server_default="", nullable=False)],
        "run_profile": [sa.Column("progress", sa.Text(), server_default="", nullable=False)],
        "comparison": [sa.Column(name, sa.Integer(), server_default="0", nullable=False) for name in FIGURES],
    }


def _fill() -> None:
    conn = op.get_bind()
    op.execute(
        """
        INSERT INTO fact (scope, name, value, found_at)
        SELECT 'runs', 'last_good', id, ended_at FROM (
            SELECT id, ended_at FROM sync_run
            WHERE state = 'success' AND NOT dry_run AND ended_at IS NOT NULL ORDER BY started_at DESC LIMIT 1
        ) AS newest
        """
    )
    counted = sa.text("SELECT count(DISTINCT contact) FROM reject WHERE profile = :profile")
    change = sa.text(
        "UPDATE comparison SET contacts = :contacts, agreed = :agreed, rejected = :rejected, held = :held"
        " WHERE profile = :profile"
    )
    for profile, counters in conn.execute(sa.text("SELECT profile, counters FROM comparison")).all():
        found = json.loads(counters)
        outcomes = found.get("outcomes", {})
        values = {
            "profile": profile,
            "contacts": found.get("read") or 0,
            "agreed": sum(outcomes.get(name, 0) for name in AGREED),
            "rejected": conn.execute(counted, {"profile": profile}).scalar_one(),
            "held": outcomes.get("held", 0),
        }
        conn.execute(change, values)
    op.execute(
        """
        INSERT INTO profile_day (profile, day, written_outlook, written_business_central)
        SELECT profile, day, sum(1 - to_bc), sum(to_bc) FROM (
            SELECT c.profile AS profile, substr(c.ended_at, 1, 10) AS day,
                CASE WHEN c.action IN ('create_business_central', 'update_business_central') THEN 1 ELSE 0 END AS to_bc
            FROM change AS c JOIN sync_profile AS p ON p.id = c.profile
            WHERE c.outcome IN ('created', 'updated', 'deleted') AND c.ended_at IS NOT NULL
        ) AS written GROUP BY profile, day
        """
    )
    op.execute(
        """
        INSERT INTO company_day (company, day, written_outlook, written_business_central)
        SELECT p.company, d.day, sum(d.written_outlook), sum(d.written_business_central)
        FROM profile_day AS d JOIN sync_profile AS p ON p.id = d.profile WHERE p.company IS NOT NULL
        GROUP BY p.company, d.day
        """
    )
