"""Items that stood for a contact before: a privacy block finds them wherever in the mailbox they lie."""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "former_item",
        sa.Column("profile", sa.Integer(), nullable=False),
        sa.Column("outlook_id", sa.Text(), nullable=False),
        sa.Column("bc_id", sa.String(length=36), nullable=False),
        sa.Column("origin", sa.String(length=16), server_default="", nullable=False),
        sa.Column("settled", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.ForeignKeyConstraint(["profile"], ["sync_profile.id"], name=op.f("fk_former_item_profile")),
        sa.PrimaryKeyConstraint("profile", "outlook_id", name=op.f("pk_former_item")),
    )
    op.create_index(op.f("ix_former_item_profile_bc_id"), "former_item", ["profile", "bc_id"])
    # What the change log still knows of couplings that ended. How those items came to be, their keys say.
    op.execute(
        "INSERT INTO former_item (profile, outlook_id, bc_id)"
        " SELECT c.profile, c.outlook_id, max(c.bc_id) FROM change c JOIN sync_profile p ON p.id = c.profile"
        " WHERE c.bc_id IS NOT NULL AND c.outlook_id IS NOT NULL AND NOT EXISTS (SELECT 1 FROM coupling t"
        " WHERE t.profile = c.profile AND t.outlook_id = c.outlook_id) GROUP BY c.profile, c.outlook_id"
    )


def downgrade() -> None:
    op.drop_table("former_item")
