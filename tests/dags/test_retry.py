"""Which errors are tried again, and when."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from sync_lib.errors import (
    AccessDeniedError,
    AuthError,
    ConfigError,
    LeaseLostError,
    ProfileError,
    ServiceError,
    SyncError,
    ThrottledError,
)

if TYPE_CHECKING:
    from contact_sync_airflow import retry

pytestmark = pytest.mark.airflow


def test_errors_that_need_a_person_fail_at_once() -> None:
    for error in (
        ConfigError("x"),
        AuthError("x", status=401),
        LeaseLostError("x"),
        ProfileError("mailbox_not_found", "x"),
        AccessDeniedError("x", status=403),
    ):
        assert retry.ByErrorType().evaluate(error, 1, 3).action.value == "fail", error


def test_errors_that_pass_are_tried_again_when_the_service_says() -> None:
    decision = retry.ByErrorType().evaluate(ThrottledError("x", retry_after=37.5), 1, 3)
    assert decision.action.value == "retry"
    assert decision.retry_delay == timedelta(seconds=37.5)
    decision = retry.ByErrorType().evaluate(ServiceError("x", status=503), 1, 3)
    assert decision.action.value == "retry"
    assert decision.retry_delay is None


def test_other_errors_are_left_to_airflow() -> None:
    assert retry.ByErrorType().evaluate(ZeroDivisionError(), 1, 3).action.value == "default"
    assert retry.ByErrorType().evaluate(SyncError("x"), 1, 3).action.value == "default"
    assert retry.ByErrorType().serialize() == {}
