"""Remove the runs of ``contact_sync`` from Airflow's own database that had nothing to do.

    python quiet_runs.py HOURS

A run a minute leaves half a million runs a year, and ``airflow db clean`` goes by age alone. Each goes as it does by
Airflow's REST API, with its task instances. Prints ``removed RUN_ID`` for each, for ``contact-sync airflow-clean``.
"""

from __future__ import annotations

import sys
from datetime import UTC, datetime, timedelta

DAG, MAPPED = "contact_sync", "sync_profile"
#: Runs that one transaction removes.
BATCH = 100


def remove(hours: float) -> list[str]:
    """Remove scheduled runs that ended well, so many hours ago, without a mapped task; return their ids."""
    from airflow.models.dagrun import DagRun
    from airflow.models.taskinstance import TaskInstance
    from airflow.utils.session import create_session

    before = datetime.now(UTC) - timedelta(hours=hours)
    removed: list[str] = []
    while True:
        with create_session() as session:
            worked = session.query(TaskInstance).filter(
                TaskInstance.dag_id == DagRun.dag_id,
                TaskInstance.run_id == DagRun.run_id,
                TaskInstance.task_id == MAPPED,
                TaskInstance.map_index >= 0,
            )
            # The newest run stays: by it the scheduler knows where the schedule is.
            newest = session.query(DagRun.id).filter(DagRun.dag_id == DAG).order_by(DagRun.run_after.desc())
            quiet = session.query(DagRun).filter(
                DagRun.dag_id == DAG,
                DagRun.run_type == "scheduled",
                DagRun.state == "success",
                DagRun.end_date < before,
                DagRun.id != newest.limit(1).scalar(),
                ~worked.exists(),
            )
            runs = quiet.order_by(DagRun.id).limit(BATCH).all()
            for run in runs:
                session.delete(run)
        removed += [run.run_id for run in runs]
        if len(runs) < BATCH:
            return removed


def main(arguments: list[str]) -> None:
    """Remove them, and print their ids."""
    for run_id in remove(float(arguments[0])):
        print(f"removed {run_id}")  # noqa: T201 - its caller reads it


if __name__ == "__main__":
    main(sys.argv[1:])
