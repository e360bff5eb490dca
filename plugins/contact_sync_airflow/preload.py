"""What tasks are forked with, so that none of them imports it, and what a task does when our files changed since.

A fork of a process that has loaded all this costs 0.1 CPU seconds less for each hundred modules. But a running
scheduler or worker never sees an edit of what it has loaded: so each task compares the files of ``sync_lib`` with those
that were loaded, and imports them anew where they differ. ``config/airflow_local_settings.py`` imports this module
while Airflow itself still starts: its top imports nothing but the standard library.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import logging
import os
import sys
from typing import Any

log = logging.getLogger(__name__)

#: Other people's packages; the last ones are those that they import by themselves when they are first used.
PACKAGES = (
    "alembic",
    "email_validator",
    "idna",
    "msal",
    "nameparser",
    "orjson",
    "pandas",
    "phonenumbers",
    "psycopg",
    "requests",
    "sqlalchemy",
    "yaml",
    "msal_extensions",
    "netrc",
    "phonenumbers.data.region_NL",
    "sqlalchemy.dialects.postgresql.psycopg",
    "sqlalchemy.dialects.sqlite.pysqlite",
)
#: Modules of ours, as the tasks import them; all others come with these.
OURS = (
    "sync_lib.connections",
    "sync_lib.operate.airflow_clean",
    "sync_lib.operate.approval",
    "sync_lib.operate.credentials",
    "sync_lib.operate.group_news",
    "sync_lib.operate.groups",
    "sync_lib.operate.housekeeping",
    "sync_lib.operate.notices",
    "sync_lib.operate.notify",
    "sync_lib.operate.weekly_mail",
    "sync_lib.pipeline",
    "sync_lib.store.rehearsal",
)

#: The stamp of what was loaded before the fork, or "" where nothing was.
_loaded = ""


def load() -> None:
    """Import what tasks need. It opens nothing and starts nothing: engines, sockets and threads don't survive a fork.

    Where our own code cannot be imported, tasks are left to find that out: Airflow has to start all the same, and the
    error belongs in the log of whoever runs into it.
    """
    global _loaded  # noqa: PLW0603 - one process, one state of its modules
    for name in PACKAGES:
        try:
            importlib.import_module(name)
        except ImportError as error:
            # Some are there only where another package wants them, and none of them may keep the others away.
            log.info("%s is not loaded before tasks are forked: %s", name, error)
    stamp = source_stamp()
    try:
        for name in OURS:
            importlib.import_module(name)
        # Read once as well, since each task that maps a contact looks at them.
        sys.modules["sync_lib.fields.countries"].load_names()
    except Exception:
        log.exception("sync_lib cannot be imported; each task will try by itself.")
        _forget()
        return
    _loaded = stamp
    try:
        # A task opens an engine of its own, which has compiled nothing yet.
        sys.modules["sync_lib.store.rehearsal"].rehearse()
    except Exception:
        log.exception("Statements are not compiled before tasks are forked; each task compiles its own.")


def source_stamp() -> str:
    """Return a digest of the place, size and time of each file of ``sync_lib``, "" where there is no such package."""
    spec = importlib.util.find_spec("sync_lib")
    if spec is None or not spec.submodule_search_locations:
        return ""
    digest = hashlib.blake2b(digest_size=16)
    for root in spec.submodule_search_locations:
        for line in sorted(_files(root)):
            digest.update(line.encode("utf-8", "surrogateescape"))
    return digest.hexdigest()


def _files(folder: str) -> list[str]:
    found = []
    try:
        entries = list(os.scandir(folder))
    except OSError:  # The package went elsewhere.
        return []
    for entry in entries:
        if entry.is_dir(follow_symlinks=False):
            # What Python writes there as it imports is no source.
            found += _files(entry.path) if entry.name != "__pycache__" else []
        else:
            stat = entry.stat()
            found.append(f"{entry.path}\0{stat.st_size}\0{stat.st_mtime_ns}\n")
    return found


def use_current_code(context: Any = None) -> None:  # noqa: ARG001 - Airflow passes it by position
    """Let a task import our code anew where its files are no longer those that this process was forked with.

    It is the first thing that a task does (``pre_execute``), before its function imports anything of ours.
    """
    global _loaded  # noqa: PLW0603 - one process, one state of its modules
    if not _loaded or source_stamp() == _loaded:
        return
    _loaded = ""
    _forget()
    importlib.invalidate_caches()
    log.warning(
        "The files of sync_lib have changed since this scheduler or worker started, so this task imports them anew, "
        "which takes it longer. Restart it, so that tasks start with the code that is there now."
    )


def _forget() -> None:
    for name in [name for name in sys.modules if name == "sync_lib" or name.startswith("sync_lib.")]:
        del sys.modules[name]
