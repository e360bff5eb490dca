"""# Contacts in sync between Business Central and Outlook

One run reads Business Central **once per company**, asks Outlook about all folders at once, and then works **one
profile with work per mapped task**: it reads the Outlook folder, compares, and writes both sides. A mapped task carries
its mailbox's name: open its log to see what happened to that colleague's contacts. Who has nothing to do has no task.

| Started | What it does |
| --- | --- |
| by schedule (`CONTACT_SYNC_SCHEDULE`, every 5 minutes) | *incremental*: what changed since the last run |
| by schedule, at a slot of `CONTACT_SYNC_FULL_SCHEDULE` (nightly) | *full*: all contacts, whatever their dates |
| by hand (**Trigger**) | what the form says: mode, some profiles or all, dry run |
| by a backfill | *full*, once: its other runs see that and end green |

A profile that fails does not stop the others. The last task, `verdict`, makes the run red when a profile or a company
failed; its log names them. Contacts that were skipped, rejected or held do not make a run red: `report` lists them
with their reasons. For what is held, `request_approval` starts a run of `contact_sync_approval`, which waits for a
person under *Browse > Required Actions*.

All of it can be repeated at any time: a cleared task, a second run, a run after a crash.
"""

from datetime import UTC, datetime

from airflow.sdk import Param, dag, task

from contact_sync_airflow import context, environment, retry, tasks

PARAMS = {
    "mode": Param(
        "incremental",
        type="string",
        enum=["incremental", "full"],
        title="Mode",
        description_md="**incremental**: what changed since the last run. **full**: all contacts on both sides; "
        "it takes longer and finds the same, but for what a lost or restored staging database forgot. "
        "A backfill is one full sync, whatever is chosen here and however many dates it has.",
    ),
    "profiles": Param(
        [],
        type=["array", "null"],
        items={"type": "string", "minLength": 1},
        title="Profiles",
        description_md="Mailboxes to sync, one a line, for example `anna@example.com`. Empty: all that are enabled.",
    ),
    "dry_run": Param(
        False,
        type="boolean",
        title="Dry run",
        description_md="Plan only: nothing is written to Business Central or to Outlook.",
    ),
}


@dag(
    schedule=environment.schedule(),
    start_date=datetime(2020, 1, 1, tzinfo=UTC),
    catchup=False,
    # A long profile delays nobody else: leases keep two runs from one profile, and the third place is for persons.
    max_active_runs=3,
    params=PARAMS,
    default_args=retry.default_args(),
    doc_md=__doc__,
    tags=["contacts"],
)
def contact_sync() -> None:
    """Wire the tasks of one run."""

    @task
    def plan_run() -> list[str]:
        from sync_lib import pipeline

        with context.open_services_to_plan() as (services, request):
            return pipeline.plan_run(services, request).companies

    tasks.wire(plan_run(), planned_by="plan_run")


contact_sync()
