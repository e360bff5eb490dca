"""Filters of several groups: nothing changes on the way up, for one group is stored as it was.

The version before cannot read several groups. So it is kept from a database that may have some, and the way back leaves
none: such a profile keeps its first group and is switched off, so that nobody leaves a folder by it.
"""

import json
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None

_PROFILE = sa.table("sync_profile", sa.column("id"), sa.column("filter"), sa.column("enabled", sa.Boolean))
_CHANGE = sa.table("profile_change", sa.column("id"), sa.column("settings"))


def upgrade() -> None:
    pass


def downgrade() -> None:
    conn = op.get_bind()
    for key, text in conn.execute(sa.select(_PROFILE.c.id, _PROFILE.c.filter)).all():
        groups = json.loads(text)
        if _are_several(groups):
            first = json.dumps(groups[0], ensure_ascii=False)
            values = {"filter": first, "enabled": False}
            conn.execute(sa.update(_PROFILE).where(_PROFILE.c.id == key).values(values))
    for key, text in conn.execute(sa.select(_CHANGE.c.id, _CHANGE.c.settings)).all():
        settings = json.loads(text)
        if any(map(_are_several, settings.get("filter", ()))):
            del settings["filter"]
            kept = json.dumps(settings, ensure_ascii=False)
            conn.execute(sa.update(_CHANGE).where(_CHANGE.c.id == key).values(settings=kept))


def _are_several(groups: list[Any]) -> bool:
    """Whether these are groups, not the pairs of one: a pair begins with the name of a field."""
    return bool(groups) and not isinstance(groups[0][0], str)
