"""A message reaches its webhook over real HTTP, or an error says that it did not, without the secret address."""

from __future__ import annotations

import traceback

import pytest

from sync_lib.clients import webhook
from sync_lib.errors import ApiError, ConfigError, ServiceError
from tests import receivers


def test_a_body_arrives_as_json():
    with receivers.webhook() as taken:
        webhook.post(taken.url, {"text": "één"})
    assert taken.bodies == [{"text": "één"}]


@pytest.mark.parametrize("status", [302, 307, 400, 404, 429, 500])
def test_what_was_not_taken_is_said_once_and_followed_nowhere(status):
    with receivers.webhook() as elsewhere, receivers.webhook() as taken:
        taken.status, taken.location = status, elsewhere.url
        with pytest.raises(ApiError, match=f"answered {status}") as caught:
            webhook.post(taken.url, {})
    assert (len(taken.bodies), elsewhere.bodies) == (1, [])
    assert "s3cr3t" not in "".join(traceback.format_exception(caught.value))


def test_nobody_there():
    with receivers.webhook() as taken:
        pass
    with pytest.raises(ApiError, match="did not answer: ConnectionError") as caught:
        webhook.post(taken.url, {})
    # It was not sent, for sure: it may be sent again.
    assert not isinstance(caught.value, ServiceError)
    assert "s3cr3t" not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize(
    "url", ["", "nonsense", "http://hooks.example/s3cr3t", "ftp://127.0.0.1/s3cr3t", "https://[s3cr3t"]
)
def test_an_address_that_is_none_is_refused_without_showing_it(url):
    with pytest.raises(ConfigError, match="must begin with https://") as caught:
        webhook.post(url, {})
    assert "s3cr3t" not in str(caught.value)
