"""What the page of a colleague's own asks of Airflow: who it is, what they may, and to start a run for them.

A colleague has no permission on any DAG. The permission is one of the page's own (``permissions``); runs are started
here, as Airflow's own REST API starts them, and are in Airflow's audit log under the user's name.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from contact_sync_airflow import connections, environment, mails, permissions

if TYPE_CHECKING:
    from sync_lib.web.mine_seams import Allowed

#: In Airflow's audit log.
EVENT = f"{permissions.SELF}.start"


def user_name(user: Any) -> str:
    """Return the name that the login asserted, "" where there is none.

    Never an e-mail attribute, which ``get_name()`` of FAB's users falls back to: users may edit theirs.
    """
    name = getattr(user, "username", None)
    return name if isinstance(name, str) else ""


def start(dag: str, conf: Mapping[str, Any], user: str) -> str:
    """Start a run of a DAG for a user, write that into the audit log, and return the run's id.

    Raises:
        NotStarted: Airflow does not know the DAG, or refuses the run.
    """
    from airflow.api.common.trigger_dag import trigger_dag
    from airflow.exceptions import AirflowException
    from airflow.models.dag import DagModel
    from airflow.models.log import Log
    from airflow.utils.session import create_session
    from airflow.utils.types import DagRunTriggeredByType

    from sync_lib.web.mine_seams import NotStarted

    with create_session() as session:
        known = session.get(DagModel, dag)
        if known is None or known.is_stale or known.has_import_errors:
            raise NotStarted(f"Airflow has no DAG {dag} that can be run")
        try:
            by = DagRunTriggeredByType.UI
            run = trigger_dag(
                dag, triggered_by=by, triggering_user_name=user, conf=dict(conf), session=session
            )
        except (AirflowException, ValueError) as error:
            raise NotStarted(f"{type(error).__name__}") from error
        if run is None:
            raise NotStarted("Airflow made no run")
        run_id = str(run.run_id)
        extra = json.dumps({"conf": dict(conf)})
        session.add(
            Log(event=EVENT, owner=user, owner_display_name=user, extra=extra, dag_id=dag, run_id=run_id)
        )
    return run_id


def state_of(dag: str, run_id: str) -> str:
    """Return the state of a run, "" where Airflow has it no more."""
    from airflow.models.dagrun import DagRun
    from airflow.utils.session import create_session

    with create_session() as session:
        found = session.query(DagRun.state).filter(DagRun.dag_id == dag, DagRun.run_id == run_id).scalar()
    return str(getattr(found, "value", found) or "")


def allowed() -> Allowed:
    """Return what the administrator lets colleagues do; a file of filters that cannot be read allows none."""
    return replace(_read_allowed()[0], weekly_mail=mails.can_send())


def problems() -> list[str]:
    """Return what is wrong with the file of filters and the weekly mail, for those who look after the sync."""
    return [*_read_allowed()[1], *filter(None, [mails.problem()])]


def _read_allowed() -> tuple[Allowed, list[str]]:
    from sync_lib.errors import ConfigError
    from sync_lib.web.mine_seams import Allowed

    administrator, said = environment.administrator(), environment.own_filters()
    if said.lower() in ("none", "free"):
        return Allowed(administrator, any_filter=said.lower() == "free"), []
    try:
        field_profile = connections.business_central_settings().field_profile
        text = Path(said).read_text(encoding="utf-8")
        return Allowed.choice(administrator, text, field_profile=field_profile), []
    except (ConfigError, OSError, UnicodeDecodeError) as error:
        what = (
            str(error)
            if isinstance(error, ConfigError)
            else f"the file cannot be read ({type(error).__name__})"
        )
        problem = (
            f"{environment.OWN_FILTERS_VARIABLE} is {said!r}: {what}. It takes none, free, or the path of a file of "
            "filters. Until it is corrected, colleagues choose no filter."
        )
        return Allowed(administrator), [problem]
