"""Loads what tasks import, once, in the process that they are forked from.

A task that imports pandas, requests, msal, SQLAlchemy and our own code by itself costs 0.8 CPU seconds more. Which
modules those are, and what a task does when our files changed after the scheduler started, is said in
``plugins/contact_sync_airflow/preload.py``.
"""

import logging
import sys

# Airflow imports this file in each of its processes, and only these two fork tasks.
if {"scheduler", "worker"} & set(sys.argv[1:3]):
    try:
        from contact_sync_airflow import preload

        preload.load()
    except Exception:
        # Without it tasks are slower, and no more than that: Airflow must start.
        logging.getLogger(__name__).exception("Nothing is loaded before tasks are forked.")
