"""# What is done by night

| Task | What it does |
| --- | --- |
| `remove_old` | removes from the staging database what is older than `CONTACT_SYNC_RETENTION_DAYS` |
| `check_drift` | reads `CONTACT_SYNC_DRIFT_SAMPLE` profiles in full and logs how far both sides agree |
| `reconcile_groups` | gives who joined a group of Entra ID a profile, and switches off who left one |
| `send_weekly_mail` | on Mondays: mails to colleagues who asked for it what does not sync of their contacts, and why |
| `remove_blocked` | carries privacy blocks of Business Central to the mailboxes of profiles that are switched off |

What is removed: the change log with its old and new values, plans, runs, contacts that are gone. What waits for a
person, has no outcome yet, or is needed by a later run stays. A drift makes no run red: the log warns where fewer than
`CONTACT_SYNC_DRIFT_WARN_PERCENT` of a profile's pairs agree.

It starts by `CONTACT_SYNC_HOUSEKEEPING_SCHEDULE`, or by hand. Nothing here writes to Business Central, and to Outlook
only what a privacy block asks for. To erase one contact at once: `contact-sync contacts erase`.
"""

from datetime import UTC, datetime

from airflow.sdk import dag, task

from contact_sync_airflow import connections, context, environment, mails, messages, retry


@dag(
    schedule=environment.housekeeping_schedule(),
    start_date=datetime(2020, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    default_args=retry.default_args(),
    doc_md=__doc__,
    tags=["contacts"],
)
def contact_sync_housekeeping() -> None:
    """Wire the tasks of one night; none waits for another."""

    @task
    def remove_old() -> None:
        from sync_lib.operate import housekeeping

        with connections.open_services() as services:
            housekeeping.remove_old(services)

    @task
    def check_drift() -> None:
        from sync_lib.operate import housekeeping

        with connections.open_services() as services:
            housekeeping.check_drift(services, context.this_run())

    @task
    def remove_blocked() -> None:
        from sync_lib.operate import housekeeping

        with connections.open_services() as services:
            housekeeping.remove_blocked(services, context.this_run())

    @task
    def reconcile_groups() -> None:
        from sync_lib.operate import groups

        with connections.open_services() as services:
            messages.report_groups(groups.reconcile(services))

    @task
    def send_weekly_mail() -> None:
        with connections.open_services() as services:
            mails.send_weekly(services)

    remove_old()
    check_drift()
    remove_blocked()
    reconcile_groups()
    send_weekly_mail()


contact_sync_housekeeping()
