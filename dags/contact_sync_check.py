"""# Is everything there that the contact sync needs?

Run it by hand after the first set-up, and whenever something stopped working. It asks each service itself: tokens,
permissions (too few and too many), Business Central's companies, each profile's mailbox and folder, the staging
database, the clocks. Its log has one line per check: **ok**, or what is wrong and how to fix it. It changes
nothing in Business Central or in any mailbox that it does not also remove.

The run is red when a check failed. A profile's page starts it for that profile, and shows what it found.
"""

from datetime import UTC, datetime

from airflow.sdk import Param, dag, task

from contact_sync_airflow import connections, context, messages, retry

PARAMS = {
    "profiles": Param(
        [],
        type=["array", "null"],
        items={"type": "string", "minLength": 1},
        title="Profiles",
        description_md="Mailboxes to check, one a line, also of profiles that are switched off. Empty: all others.",
    ),
}


@dag(
    schedule=None,
    start_date=datetime(2020, 1, 1, tzinfo=UTC),
    # It has no schedule, so that it runs for nobody who did not ask; and who asks on a page waits for it.
    is_paused_upon_creation=False,
    params=PARAMS,
    default_args=retry.default_args(retries=0),
    doc_md=__doc__,
    tags=["contacts"],
)
def contact_sync_check() -> None:
    """Wire the one task of the self-test."""

    @task
    def check() -> None:
        from sync_lib import pipeline

        context.refuse_others("profiles")
        with connections.open_services() as services:
            found = pipeline.check_connections(services, context.chosen_profiles(), context.this_run())
            messages.raise_unless_all_ok(found)

    check()


contact_sync_check()
