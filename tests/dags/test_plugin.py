"""The pages in Airflow's server."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from sync_lib.errors import ConfigError

if TYPE_CHECKING:
    from contact_sync_airflow import connections

pytestmark = pytest.mark.airflow

PLUGINS = Path(__file__).resolve().parents[2] / "plugins"


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


LOAD = """
import json, sys
from airflow import plugins_manager
names = [plugin["name"] for plugin in plugins_manager.get_plugin_info(["name"])]
files = {name: getattr(module, "__file__", None) or "" for name, module in sys.modules.items()}
loaded = [name for name, file in files.items() if file.startswith(sys.argv[1])]
print(json.dumps([names, loaded, plugins_manager.get_import_errors()]))
"""


@pytest.mark.parametrize("syntax", ["glob", "regexp"])
def test_airflow_loads_one_file_of_the_folder(tmp_path: Path, syntax: str) -> None:
    """It gives each file that it loads the file's bare name: the package's would be modules `hooks` and `context`."""
    environment = {
        **os.environ,
        "AIRFLOW_HOME": str(tmp_path),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__PLUGINS_FOLDER": str(PLUGINS),
        "AIRFLOW__CORE__DAG_IGNORE_FILE_SYNTAX": syntax,
    }
    command = [sys.executable, "-c", LOAD, str(PLUGINS)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    names, loaded, errors = json.loads(done.stdout.splitlines()[-1])
    assert "contact_sync" in names
    assert loaded == ["contact_sync_plugin"]
    assert errors == {}
