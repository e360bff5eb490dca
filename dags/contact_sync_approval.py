"""# A person decides about what the guard holds

A run of `contact_sync` that would delete or overwrite unusually much holds that part and starts one run of this DAG
for it. It waits under **Browse > Required Actions** for a person: what would be done, how often, why it is held.

| Answer | What happens |
| --- | --- |
| *Approve* | both sides are read and compared again; what comes out exactly as it was shown is carried out |
| *Reject* | nothing is written, and nobody is asked again; of an emptied folder: its contacts are left away |
| none in time (`CONTACT_SYNC_APPROVAL_TIMEOUT`, seven days) | as *Reject*, and recorded as such |

While `contact_sync` is paused, or `CONTACT_SYNC_WRITES` is off, an approval writes nothing: it stays approved, and the
first run that may write carries it out, as far as it still comes out the same.

Runs refresh what a hold covers. An answer is about what was shown; the rest is asked about next. To be asked again
about what was rejected: `contact-sync holds ask-again ID`.
"""

from datetime import UTC, datetime
from typing import Any

from airflow.providers.standard.operators.hitl import HITLOperator
from airflow.sdk import Param, dag, task

from contact_sync_airflow import connections, context, environment, retry, tasks

PARAMS = {
    "hold": Param(
        0, type="integer", title="Hold", description_md="Number of the hold: `contact-sync holds list`."
    ),
    "asked": Param(
        1, type="integer", title="Asked", description_md="How often it has been asked about, this one too."
    ),
}


@dag(
    schedule=None,
    start_date=datetime(2020, 1, 1, tzinfo=UTC),
    catchup=False,
    # Each hold waits in a run of its own, and takes no worker meanwhile.
    max_active_runs=1000,
    is_paused_upon_creation=False,
    params=PARAMS,
    default_args=retry.default_args(),
    doc_md=__doc__,
    tags=["contacts"],
)
def contact_sync_approval() -> None:
    """Wire the question, the answer, and the run that carries it out."""

    @task
    def describe() -> str:
        from sync_lib.operate import approval

        with connections.open_services_in_run() as services:
            return context.put_question(approval.ask(services, *context.hold_of_run(), context.this_run()))

    wait_for_person = HITLOperator(
        task_id="wait_for_person",
        subject="{{ ti.xcom_pull('describe', key='subject') }}",
        body="{{ ti.xcom_pull('describe') }}",
        options=[context.APPROVE, context.REJECT],
        defaults=[context.REJECT],
        response_timeout=environment.approval_timeout(),
    )

    @task
    def decide(answer: dict[str, Any]) -> list[str]:
        from sync_lib.operate import approval

        with connections.open_services() as services:
            plan = approval.decide(
                services,
                *context.hold_of_run(),
                context.this_run(),
                context.decision(answer),
                paused=context.is_paused("contact_sync"),
            )
        return plan.companies

    decided = decide(wait_for_person.output)
    describe() >> wait_for_person
    tasks.wire(decided, planned_by="decide")


contact_sync_approval()
