"""What is done by night: forgetting what is old, and looking whether the two services really agree (rules 9).

Nothing here writes to a service.
"""

from __future__ import annotations

import logging

from sync_lib.moments import shift
from sync_lib.pipeline import Edges
from sync_lib.store import retention
from sync_lib.store.migrate import migrate

logger = logging.getLogger(__name__)

DAY = 86_400.0
#: Days that are kept whatever the setting says: the guard counts deletes over 24 hours, and no run takes this long.
SHORTEST_RETENTION = 2


def remove_old(edges: Edges) -> dict[str, int]:
    """Remove what is older than the retention and needed by no later run; return the number of rows per table."""
    migrate(edges.engine)
    days = max(edges.settings.retention_days, SHORTEST_RETENTION)
    left = retention.drop_left_overlays(edges.engine, shift(edges.now(), -SHORTEST_RETENTION * DAY))
    if left:
        logger.info("threw away what %d dry runs left that were stopped", left)
    removed = retention.remove_old(edges.engine, shift(edges.now(), -days * DAY))
    for table, rows in removed.items():
        logger.info("%s: removed %d rows older than %d days", table, rows, days)
    return removed
