"""Categories by template: a profile's templates, and which categories of an item the sync put there.

Until now the sync put ``Business Central`` on the items that it made or tied, and took that text off again: it counts
as put there by the sync wherever a profile has, or had, an item.
"""

import hashlib

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None

_CATEGORY = "Business Central"
_TEMPLATES = f'["{_CATEGORY}"]'


def upgrade() -> None:
    for table in ("sync_profile", "profile_group"):
        op.add_column(table, sa.Column("categories", sa.Text(), server_default=_TEMPLATES, nullable=False))
    for table in ("coupling", "change"):
        op.add_column(table, sa.Column("categories", sa.Text(), server_default="{}", nullable=False))
    op.add_column("former_item", sa.Column("categories", sa.Text(), server_default="[]", nullable=False))
    coupling = sa.table("coupling", sa.column("outlook_id"), sa.column("categories"))
    known = f'{{"asked":["{_CATEGORY}"],"own":["{_CATEGORY}"]}}'
    op.execute(sa.update(coupling).where(coupling.c.outlook_id.is_not(None)).values(categories=known))
    former = sa.table("former_item", sa.column("categories"))
    digest = hashlib.blake2b(_CATEGORY.encode(), digest_size=8).hexdigest()
    op.execute(sa.update(former).values(categories=f'["{digest}"]'))


def downgrade() -> None:
    for table in ("former_item", "change", "coupling", "profile_group", "sync_profile"):
        op.drop_column(table, "categories")
