"""A dry run that leaves nothing behind: what a look at the profiles needs, and no run of theirs."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

from sync_lib.model import ProfileResult, RunPlan, RunRequest
from sync_lib.run.company import read_company
from sync_lib.run.plan import plan_run
from sync_lib.run.profile import sync_profiles
from sync_lib.services import Services
from sync_lib.store import runs
from sync_lib.store.engine import read, transaction
from sync_lib.store.snapshots.writing import drop_overlay

logger = logging.getLogger(__name__)


@contextmanager
def dry_run(services: Services, request: RunRequest) -> Iterator[list[ProfileResult]]:
    """Yield what became of each profile of a dry run (rules 8.2); behind the block it is forgotten, with its plans."""
    _drop(services, request.run_id)
    try:
        _read_all(services, request.run_id, plan_run(services, request))
        with read(services.engine) as conn:
            results = runs.read_profile_results(conn, request.run_id)
        yield results
    finally:
        _drop(services, request.run_id)


def _drop(services: Services, run: str) -> None:
    with transaction(services.engine) as conn:
        drop_overlay(conn, run)
        runs.drop_run(conn, run)


def _read_all(services: Services, run: str, plan: RunPlan) -> None:
    for company in plan.companies:
        _try(partial(read_company, services, run, int(company)))
    for task in plan.tasks:
        _try(partial(sync_profiles, services, run, task))


def _try(work: Callable[[], object]) -> None:
    try:
        work()
    except Exception as error:  # noqa: BLE001 - recovered by skipping: its outcome is on record, the others go on
        logger.warning("not checked: %s", type(error).__name__)
