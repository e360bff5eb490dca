"""How Airflow's tries of a task go by the kind of the error: fail at once, or try again, and when.

Each DAG file imports this module: its top imports nothing but Airflow's SDK.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import RetryDecision, RetryPolicy

from contact_sync_airflow import environment, preload


def default_args(retries: int = 2) -> dict[str, Any]:
    """Return the arguments that all tasks of a DAG have in common."""
    return {
        "pre_execute": preload.use_current_code,
        "retries": retries,
        "retry_delay": environment.retry_delay(),
        "retry_policy": ByErrorType(),
        "execution_timeout": environment.task_timeout(),
    }


class ByErrorType(RetryPolicy):
    """Retries what may pass by itself, as late as the service asks; fails at once where a person must act."""

    def evaluate(
        self,
        exception: BaseException,
        try_number: int,  # noqa: ARG002 - Airflow passes it by name
        max_tries: int,  # noqa: ARG002 - Airflow passes it by name
        context: Any = None,  # noqa: ARG002 - Airflow passes it by name
    ) -> RetryDecision:
        """Return what Airflow should do after this error; it cannot go beyond the task's ``retries``."""
        from sync_lib.errors import AccessDeniedError, FatalError, ProfileError, TransientError

        kind = type(exception).__name__
        if isinstance(exception, FatalError | ProfileError | AccessDeniedError | SystemExit):
            return RetryDecision.fail(reason=f"{kind}: a person must act")
        if isinstance(exception, TransientError):
            wait = exception.retry_after
            delay = None if wait is None else timedelta(seconds=wait)
            return RetryDecision.retry(delay=delay, reason=f"{kind}: may pass by itself")
        return RetryDecision.default()

    def serialize(self) -> dict[str, Any]:
        """Return nothing: the policy has no settings."""
        return {}
