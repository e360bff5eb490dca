"""What companies and profiles were bound to before, and what waits for a person's answer about it."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

#: Column -> length of its text, None for any.
ADDED: dict[str, dict[str, int | None]] = {
    "company": {"offered_tenant_id": None, "offered_environment": None},
    "sync_profile": {
        "successor": None,
        "second_folder": None,
        "second_answer": 8,
        "leaving_folder": None,
        "restored_by": 32,
    },
}


def upgrade() -> None:
    for table, columns in ADDED.items():
        for name, length in columns.items():
            kind = sa.String(length=length) if length else sa.Text()
            op.add_column(table, sa.Column(name, kind, server_default="", nullable=False))
    _former("former_binding", "company", "tenant_id", "environment", "company_id")
    _former("former_company_name", "company", "name")
    _former("former_mailbox", "sync_profile", "mailbox")
    _former("former_folder", "sync_profile", "folder_id")


def _former(table: str, owner: str, *values: str) -> None:
    column = owner.removeprefix("sync_")
    op.create_table(
        table,
        sa.Column(column, sa.Integer(), nullable=False),
        *(sa.Column(name, sa.Text(), nullable=False) for name in values),
        sa.Column("until", sa.String(length=24), nullable=False),
        sa.ForeignKeyConstraint([column], [f"{owner}.id"], name=op.f(f"fk_{table}_{column}")),
        sa.PrimaryKeyConstraint(column, *values, name=op.f(f"pk_{table}")),
    )


def downgrade() -> None:
    for table in ("former_folder", "former_mailbox", "former_company_name", "former_binding"):
        op.drop_table(table)
    for table, columns in ADDED.items():
        for name in columns:
            # Not as a batch: on SQLite that copies the table, which the foreign keys of others forbid.
            op.execute(f"ALTER TABLE {table} DROP COLUMN {name}")
