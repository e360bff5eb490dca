"""An index for the folders that a contact is in."""

from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

NAME = "ix_coupling_bc_id"


def upgrade() -> None:
    op.create_index(NAME, "coupling", ["bc_id"])


def downgrade() -> None:
    op.drop_index(NAME, table_name="coupling")
