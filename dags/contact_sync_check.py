"""# Is everything there that the contact sync needs?

Run it by hand after the first set-up, and whenever something stopped working. It asks each service itself: tokens,
permissions (too few and too many), Business Central's companies, each profile's mailbox and folder, the staging
database, the clocks. Its log has one line per check: **ok**, or what is wrong and how to mend it. It changes
nothing in Business Central or in any mailbox that it does not also remove.

The run is red when a check failed.
"""

from datetime import UTC, datetime

from airflow.sdk import dag, task

import contact_sync_hooks as hooks


@dag(
    schedule=None,
    start_date=datetime(2020, 1, 1, tzinfo=UTC),
    default_args={"retries": 0, "execution_timeout": hooks.task_timeout()},
    doc_md=__doc__,
    tags=["contacts"],
)
def contact_sync_check() -> None:
    """Wire the one task of the self-test."""

    @task
    def check() -> None:
        from sync_lib import pipeline

        with hooks.edges() as edges:
            hooks.raise_unless_all_ok(pipeline.check_connections(edges))

    check()


contact_sync_check()
