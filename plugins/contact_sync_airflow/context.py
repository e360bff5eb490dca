"""Airflow's context of a task: what its run was asked to do, and what the task hands on to others.

Each DAG file imports this module: its top imports nothing but Airflow's SDK.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

from airflow.sdk import get_current_context

from contact_sync_airflow import connections, environment

if TYPE_CHECKING:
    from sync_lib.model import Decision, RunRequest
    from sync_lib.operate.approval import Question
    from sync_lib.services import Services

#: Where the web server shows our pages.
PAGES = "/contact_sync"

#: What a run of the sync may be asked for.
PARAMETERS = ("mode", "profiles", "dry_run")

#: What a person may answer about a hold.
APPROVE, REJECT = "Approve", "Reject"


@contextmanager
def open_services_to_plan() -> Iterator[tuple[Services, RunRequest]]:
    """Yield to the task that plans a run its services and what was asked; write a run down that cannot open them.

    Raises:
        ConfigError: As ``connections.open_services``.
        RequestError: The run was asked for something that there is not.
    """
    from sync_lib import pipeline
    from sync_lib.errors import SyncError

    request = run_request()
    with ExitStack() as opened:
        try:
            refuse_others(*PARAMETERS)
            ready = opened.enter_context(connections.open_services())
        except SyncError as error:
            pipeline.fail_plan(connections.staging_settings(), request, error)
            raise
        yield ready, request


def this_run() -> str:
    """Return the id of the DAG run that the calling task belongs to."""
    return str(get_current_context()["dag_run"].run_id)


def refuse_others(*parameters: str) -> None:
    """Refuse a run that was asked for by other parameters than these, or whose parameters Airflow takes no notice of.

    Airflow takes every name: ``dryrun`` would be a run that writes, ``profile`` one over all profiles.

    Raises:
        RequestError: The run's configuration has such a parameter.
    """
    from sync_lib.errors import RequestError

    context = get_current_context()
    asked, params = context["dag_run"].conf or {}, context["params"]
    takes = f"It takes {', '.join(parameters)}. Nothing was done; start another one."
    if unknown := sorted(set(map(str, asked)) - set(parameters)):
        raise RequestError(
            f"The run was asked for {', '.join(map(repr, unknown))}, which is no parameter. {takes}"
        )
    if ignored := [name for name in parameters if name in asked and params[name] != asked[name]]:
        raise RequestError(
            f"Airflow takes no notice of what the run was asked for ({', '.join(ignored)}): its setting"
            " dag_run_conf_overrides_params is off. Switch it on. Nothing was done."
        )


def chosen_profiles() -> list[str]:
    """Return the profiles that this run was asked for, by mailbox or id; none for all."""
    return list(get_current_context()["params"]["profiles"] or [])


def run_request() -> RunRequest:
    """Return what this DAG run was asked to do, and warn of settings that cannot be read.

    Raises:
        ConfigError: A parameter has a value that the form would have refused.
    """
    from sync_lib.model import RunRequest

    environment.log_setting_problems()
    context = get_current_context()
    dag_run, params = context["dag_run"], context["params"]
    run_type = str(getattr(dag_run.run_type, "value", dag_run.run_type))
    full = run_type == "backfill" or (run_type == "scheduled" and environment.is_full_slot(dag_run.run_after))
    return RunRequest(
        run_id=dag_run.run_id,
        mode="full" if full else params["mode"],
        profiles=chosen_profiles(),
        dry_run=params["dry_run"],
        run_type=run_type,
        run_after=dag_run.run_after,
        requested_at=_made_at(context["ti"].id),
        full_slot=environment.last_full_slot(dag_run.run_after),
        others=_others_at_work(context["ti"]),
    )


def is_last_try() -> bool:
    """Whether Airflow does not try the calling task again, should it fail now."""
    ti = get_current_context()["ti"]
    return int(ti.try_number) > int(ti.max_tries)


def _others_at_work(ti: Any) -> int:
    """Return how many other runs of the calling task's DAG are at work."""
    return max(0, int(ti.get_dr_count(dag_id=ti.dag_id, states=["running"])) - 1)


def hold_of_run() -> tuple[int, int]:
    """Return the hold that this run asks about, and how often that has been asked."""
    params = get_current_context()["params"]
    return int(params["hold"]), int(params["asked"])


def put_question(question: Question | None) -> str:
    """Hand the headline on and return the text of a question, in the language of CONTACT_SYNC_NOTIFY_LANGUAGE.

    Raises:
        AirflowSkipException: There is nothing to ask any more.
    """
    from airflow.sdk.exceptions import AirflowSkipException

    if question is None:
        raise AirflowSkipException("This hold does not wait any more: nobody is asked.")
    from sync_lib.web import plans_question

    page = f"{environment.address_of_airflow()}{PAGES}/holds/{question.hold}"
    subject, body = plans_question.in_words(question, environment.notify_language(), page)
    get_current_context()["ti"].xcom_push("subject", subject)
    return body


def decision(answer: dict[str, Any]) -> Decision:
    """Return what a person, or the time-out, answered to a question."""
    from sync_lib.model import Decision
    from sync_lib.times import to_text

    user = answer.get("responded_by_user")
    at = answer["responded_at"]
    moment = at if isinstance(at, datetime) else datetime.fromisoformat(str(at))
    approved = answer["chosen_options"] == [APPROVE]
    by = str(user["name"] or user["id"]) if user else ""
    # Our page says what it showed; an answer in Airflow itself is one to what the question shows.
    shown = str((answer.get("params_input") or {}).get("shown", ""))
    return Decision(approved, by, "person" if user else "timeout", to_text(moment), shown)


def start_run(dag_id: str, run_id: str, conf: dict[str, int]) -> None:
    """Start a run of another DAG, unless there is one of this id.

    Airflow's TriggerDagRunOperator does the same, and takes 1.7 seconds to import in each parse of a DAG file.

    Raises:
        DagRunTriggerException: Always; it asks Airflow to start the run.
    """
    from airflow.sdk.exceptions import DagRunTriggerException

    raise DagRunTriggerException(
        trigger_dag_id=dag_id,
        dag_run_id=run_id,
        conf=conf,
        reset_dag_run=False,
        skip_when_already_exists=True,
        wait_for_completion=False,
        allowed_states=[],
        failed_states=[],
        poke_interval=60,
        deferrable=False,
    )


def count_runs(dag_id: str, run_ids: Sequence[str], *, at_work: bool) -> int:
    """Return how many of these runs of a DAG there are, all of them or those that have not ended."""
    ti = get_current_context()["ti"]
    states = ["queued", "running"] if at_work else None
    return int(ti.get_dr_count(dag_id=dag_id, run_ids=list(run_ids), states=states))


def is_paused(dag_id: str) -> bool:
    """Whether a DAG is switched off in Airflow."""
    return bool(get_current_context()["ti"].get_dag(dag_id).is_paused)


def show_company(company: str) -> None:
    """Put the company's name in the place of the map index in Airflow's UI."""
    get_current_context()["company"] = company


def show_mailbox(mailbox: str) -> None:
    """Put the mailbox in the place of the map index in Airflow's UI."""
    get_current_context()["mailbox"] = mailbox


def task_states() -> dict[str, str]:
    """Return the state of each task instance of this run, by task id and map index (``sync_profile_3``)."""
    ti = get_current_context()["ti"]
    states = ti.get_task_states(dag_id=ti.dag_id, run_ids=[ti.run_id])
    return {task: str(state or "") for task, state in states.get(ti.run_id, {}).items()}


def failed_before() -> bool:
    """Whether the scheduled run before failed as well; the nightly full run reports it once more."""
    context = get_current_context()
    run = context["dag_run"]
    previous = context["ti"].get_previous_dagrun()
    return previous is not None and previous.state == "failed" and not environment.is_full_slot(run.run_after)


def link_to_run() -> str:
    """Return the address of this run's page in Airflow."""
    from urllib.parse import quote

    run = get_current_context()["dag_run"]
    return f"{environment.address_of_airflow()}/dags/{run.dag_id}/runs/{quote(run.run_id, safe='')}"


def _made_at(task_instance_id: Any) -> datetime:
    """Return when a task instance was made, which is when its run was: Airflow's ids are UUIDs of version 7.

    A task sees neither the id of its backfill nor when that was created; this is a few milliseconds after it.
    """
    return datetime.fromtimestamp((UUID(str(task_instance_id)).int >> 80) / 1000, tz=UTC)
