"""The pages in Airflow's server."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from sync_lib.errors import ConfigError

if TYPE_CHECKING:
    from contact_sync_airflow import connections

pytestmark = pytest.mark.airflow


def test_a_page_changes_no_schema(tmp_path: Path, connection: Any) -> None:
    """O10: it says which schema there is, and what brings it up to date."""
    from sqlalchemy import text

    import contact_sync_plugin
    from sync_lib.store.engine import open_engine, transaction
    from sync_lib.store.migrate import VERSION_TABLE, migrate

    path = tmp_path / "staging.db"
    connection(
        connections.STAGING,
        json.dumps({"conn_type": "contact_sync_staging", "extra": {"sqlite_path": str(path)}}),
    )
    engine = open_engine(f"sqlite:///{path}")
    migrate(engine)
    with transaction(engine) as conn:
        conn.execute(text(f"UPDATE {VERSION_TABLE} SET version_num = '0000'"))
    with pytest.raises(ConfigError, match="older schema 0000"):
        contact_sync_plugin.Staging().engine()
    engine.dispose()
