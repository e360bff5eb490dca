"""Loads what tasks import, once, in the process that they are forked from.

A task that imports pandas, requests, msal and SQLAlchemy by itself costs 0.45 CPU seconds, a fork of a warm process
0.12. Third-party packages only: of what is loaded here a running scheduler or worker never sees an edit.
"""

import importlib
import sys

PRELOADED = (
    "alembic",
    "babel",
    "msal",
    "nameparser",
    "orjson",
    "pandas",
    "phonenumbers",
    "requests",
    "sqlalchemy",
)

# Airflow imports this file in each of its processes, and only these two fork tasks.
if {"scheduler", "worker"} & set(sys.argv[1:3]):
    for name in PRELOADED:
        importlib.import_module(name)
