"""Refusals that may pass: a table of what waits for its next try, and the old ones tried again (rules 6)."""

import json

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

#: What Business Central says of a value; before, every refusal of it was remembered as one of the value.
OF_VALUES = {
    "application_stringexceededlength",
    "application_fieldvalidationexception",
    "application_evaluateexception",
    "application_invalidguid",
    "internal_invalidtablerelation",
}


def upgrade() -> None:
    op.create_table(
        "postponed",
        sa.Column("profile", sa.Integer(), nullable=False),
        sa.Column("action", sa.String(length=32), nullable=False),
        sa.Column("contact", sa.Text(), nullable=False),
        sa.Column("digest", sa.String(length=32), nullable=False),
        sa.Column("code", sa.String(length=64), nullable=False),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("next_try", sa.String(length=24), nullable=False),
        sa.Column("run", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["profile"], ["sync_profile.id"], name=op.f("fk_postponed_profile")),
        sa.PrimaryKeyConstraint("profile", "action", "contact", name=op.f("pk_postponed")),
    )
    _try_again()


def downgrade() -> None:
    op.drop_table("postponed")


def _try_again() -> None:
    """Let the next run send once more what was refused for a reason that says nothing of the value."""
    conn = op.get_bind()
    rows = conn.execute(sa.text("SELECT id, profile, refused FROM coupling WHERE refused <> '{}'")).all()
    for row in rows:
        refused = json.loads(row.refused)
        kept = {name: entry for name, entry in refused.items() if _is_of_value(entry)}
        if kept == refused:
            continue
        conn.execute(
            sa.text("UPDATE coupling SET refused = :kept, attention = :yes WHERE id = :id").bindparams(
                sa.bindparam("yes", True, sa.Boolean()), kept=json.dumps(kept), id=row.id
            )
        )
        # An incremental run without news would not compare at all.
        conn.execute(
            sa.text(
                "UPDATE cursor SET pending = :yes WHERE side = 'outlook' AND scope = :profile"
            ).bindparams(sa.bindparam("yes", True, sa.Boolean()), profile=str(row.profile))
        )


def _is_of_value(entry: dict[str, str]) -> bool:
    return str(entry.get("reason", "")).lower() in OF_VALUES
