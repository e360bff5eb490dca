"""An index for the life of an item: its changes while nothing in Business Central was tied to it."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

NAME = "ix_change_outlook_id"


def upgrade() -> None:
    untied = sa.text("bc_id IS NULL")
    op.create_index(NAME, "change", ["outlook_id"], postgresql_where=untied, sqlite_where=untied)


def downgrade() -> None:
    op.drop_index(NAME, table_name="change")
