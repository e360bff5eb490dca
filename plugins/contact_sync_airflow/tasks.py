"""Tasks that several DAGs share: what a run does once it is planned, and whom it asks. No logic: they call the library.

DAG files import this module: its top imports nothing but Airflow's SDK.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from airflow.sdk import Asset, task

from contact_sync_airflow import connections, context, environment, messages

BUSINESS_CENTRAL = Asset("business_central_contacts")
OUTLOOK = Asset("outlook_contacts")
APPROVAL_DAG = "contact_sync_approval"


@task(map_index_template="{{ company }}")
def extract_business_central(key: str) -> None:
    from sync_lib import pipeline

    with connections.open_services_in_run() as services:
        pipeline.extract_business_central(services, context.this_run(), key, context.show_company)


# Only profiles with work get a task. A company that could not be read must not keep the others from being looked at.
@task(trigger_rule="all_done")
def find_work() -> list[str]:
    from sync_lib import pipeline

    with connections.open_services_in_run() as services:
        return pipeline.find_work(services, context.this_run(), last_try=context.is_last_try())


# A company that could not be read fails its own profiles, inside; it must not keep the others from running.
@task(map_index_template="{{ mailbox }}", trigger_rule="all_done")
def sync_profile(key: str) -> None:
    from sync_lib import pipeline

    with connections.open_services_in_run() as services:
        messages.log_results(pipeline.sync_profile(services, context.this_run(), key, context.show_mailbox))


# The only outlets: an outlet on a mapped task would make one event for each profile.
@task(trigger_rule="all_done", retries=0, outlets=[BUSINESS_CENTRAL, OUTLOOK])
def report(outlet_events: Any = None) -> None:
    from sync_lib import pipeline

    with connections.open_services_in_run() as services:
        finished = pipeline.finish_run(services, context.this_run(), environment.interval())
        messages.publish(finished, outlet_events)


@task(trigger_rule="all_done")
def list_holds() -> list[dict[str, Any]]:
    from sync_lib.operate import approval

    with connections.open_services_in_run() as services:
        return approval.list_requests(services, partial(context.count_runs, APPROVAL_DAG))


# One approval run for each hold that nobody was asked about yet. The same hold has the same run id.
@task
def request_approval(run_id: str, hold: int, asked: int) -> None:
    context.start_run(APPROVAL_DAG, run_id, {"hold": hold, "asked": asked})


# The only leaf, so that its colour is the run's. `report` alone would be green with everything before it dead.
@task(trigger_rule="all_done", retries=0)
def verdict(planned_by: str) -> None:
    from sync_lib import pipeline

    with messages.open_services_or_alarm() as services:
        outcome = pipeline.run_verdict(
            services, context.this_run(), context.task_states(), planned_by=planned_by
        )
        messages.notify(services, outcome)
        messages.raise_unless_good(outcome)


def wire(planned: Any, planned_by: str) -> None:
    """Put the tasks of a run behind the one that plans it, named ``planned_by``, and returns its companies."""
    extracted = extract_business_central.expand(key=planned)
    found = find_work()
    synced = sync_profile.expand(key=found)
    listed = list_holds()
    requested = request_approval.expand_kwargs(listed)
    judged = verdict(planned_by)
    [planned, extracted] >> found
    synced >> report() >> judged
    synced >> listed
    requested >> judged
