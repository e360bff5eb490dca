from __future__ import annotations

from collections import Counter
from typing import Any

import orjson
import pytest
import requests
from hypothesis import given
from hypothesis import strategies as st

from sync_lib.clients.answers import Answer
from sync_lib.clients.batch import BatchSender, Part
from sync_lib.errors import (
    AuthError,
    MalformedAnswerError,
    NotFoundError,
    RejectedError,
    ServiceError,
    ThrottledError,
    VersionMismatchError,
)
from tests.clients.fakes import BatchService, FakeTime, Transport, error_body, make_session

RESET = requests.ConnectionError("reset")
THROTTLED = (429, error_body("ApplicationThrottled"), {"Retry-After": "2"})


def sender_of(
    handle: Any, *faults: Any, most: int = 20, time: FakeTime | None = None
) -> tuple[BatchSender, Transport]:
    transport = Transport(BatchService(handle, faults=faults))
    return BatchSender(make_session(transport, time=time), "/$batch", most=most), transport


def create(number: int) -> Part:
    return Part("POST", f"/contacts?n={number}", body={"n": number})


def patch(number: int) -> Part:
    return Part("PATCH", f"/contacts/{number}", {"If-Match": 'W/"1"'}, {"n": number})


def delete(number: int) -> Part:
    return Part("DELETE", f"/contacts/{number}", {"If-Match": 'W/"1"'})


def get(number: int) -> Part:
    return Part("GET", f"/contacts/{number}")


def echo(part: dict[str, Any]) -> tuple[int, Any]:
    return 200, {"url": part["url"]}


class Flaky:
    """Says what a script holds for a part, one reply per attempt, then 200."""

    def __init__(self, script: dict[str, list[Any]]) -> None:
        self.script = {url: list(replies) for url, replies in script.items()}
        self.attempts: Counter[str] = Counter()

    def __call__(self, part: dict[str, Any]) -> Any:
        self.attempts[part["url"]] += 1
        replies = self.script.get(part["url"])
        return replies.pop(0) if replies else (200, {"url": part["url"]})


def test_answers_come_in_the_order_asked_whatever_order_they_arrive_in() -> None:
    sender, transport = sender_of(echo)
    answers = sender.send([get(number) for number in range(45)])
    assert [answer.body["url"] for answer in answers if isinstance(answer, Answer)] == [
        f"/contacts/{number}" for number in range(45)
    ]
    assert [len(parts) for parts in transport.parts] == [20, 20, 5]


def test_parts_carry_their_own_headers() -> None:
    sender, transport = sender_of(echo)
    sender.send([patch(1), get(2)])
    assert transport.parts == [
        [
            {
                "id": "1",
                "method": "PATCH",
                "url": "/contacts/1",
                "headers": {"If-Match": 'W/"1"', "Content-Type": "application/json"},
                "body": {"n": 1},
            },
            {"id": "2", "method": "GET", "url": "/contacts/2"},
        ]
    ]


def test_ids_are_compared_without_case_and_extra_answers_ignored() -> None:
    body = {"responses": [None, 5, {"id": "zz", "status": 200}, {"id": 1, "status": 200, "body": {"a": 1}}]}
    transport = Transport([(200, body)])
    (answer,) = BatchSender(make_session(transport), "/$batch", most=20).send([get(1)])
    assert isinstance(answer, Answer)
    assert answer.body == {"a": 1}


def test_only_throttled_parts_go_again_after_the_largest_wait() -> None:
    time = FakeTime()
    flaky = Flaky(
        {
            "/contacts/1": [(429, None, {"retry-after": "3"})],
            "/contacts/2": [(429, None, {"Retry-After": "9.5"})],
        }
    )
    sender, transport = sender_of(flaky, time=time)
    answers = sender.send([get(number) for number in range(4)])

    assert all(isinstance(answer, Answer) for answer in answers)
    assert [len(parts) for parts in transport.parts] == [4, 2]
    assert time.slept == [9.5]


def test_a_throttled_create_goes_again_and_a_failed_one_does_not() -> None:
    flaky = Flaky(
        {
            "/contacts?n=1": [THROTTLED],
            "/contacts?n=2": [(503, None)],
            "/contacts?n=3": [THROTTLED, (500, None)],
        }
    )
    sender, _ = sender_of(flaky)
    first, second, third, fourth = sender.send([create(number) for number in (1, 2, 3, 4)])

    assert isinstance(first, Answer)
    assert isinstance(fourth, Answer)
    for unknown in (second, third):
        assert isinstance(unknown, ServiceError)
        assert not isinstance(unknown, ThrottledError)
    assert flaky.attempts == {"/contacts?n=1": 2, "/contacts?n=2": 1, "/contacts?n=3": 2, "/contacts?n=4": 1}


def test_failed_updates_and_deletes_go_again() -> None:
    flaky = Flaky({"/contacts/1": [(503, None)], "/contacts/2": [(504, None)]})
    sender, _ = sender_of(flaky)
    assert all(isinstance(answer, Answer) for answer in sender.send([patch(1), delete(2), create(3)]))


def test_a_repeated_delete_that_finds_nothing_has_succeeded_but_a_first_one_has_not() -> None:
    gone = (404, error_body("ErrorItemNotFound"))
    sender, _ = sender_of(
        Flaky({"/contacts/1": [(504, None), gone], "/contacts/2": [gone], "/contacts/3": [THROTTLED, gone]})
    )
    repeated, first, throttled = sender.send([delete(1), delete(2), delete(3)])
    assert isinstance(repeated, Answer)
    assert isinstance(first, NotFoundError)
    assert isinstance(throttled, NotFoundError)


def test_a_delete_without_a_version_is_not_repeated() -> None:
    """The second one would find the item in Deleted Items and remove it from there for good."""
    flaky = Flaky({"/contacts/1": [(504, None)], "/contacts/2": [THROTTLED]})
    sender, _ = sender_of(flaky)
    unknown, throttled = sender.send([Part("DELETE", "/contacts/1"), Part("DELETE", "/contacts/2")])
    assert isinstance(unknown, ServiceError)
    assert isinstance(throttled, Answer)
    assert flaky.attempts == {"/contacts/1": 1, "/contacts/2": 2}


def test_a_mismatch_after_a_repeat_is_handed_on() -> None:
    sender, _ = sender_of(Flaky({"/contacts/1": [(504, None), (412, None)]}))
    (answer,) = sender.send([patch(1)])
    assert isinstance(answer, VersionMismatchError)


def test_a_lost_batch_with_creates_leaves_them_unknown_and_repeats_the_rest() -> None:
    flaky = Flaky({})
    sender, transport = sender_of(flaky, RESET)
    first, second, third = sender.send([create(1), patch(2), delete(3)])

    assert isinstance(first, ServiceError)
    assert not isinstance(first, ThrottledError)
    assert isinstance(second, Answer)
    assert isinstance(third, Answer)
    assert [[part["method"] for part in parts] for parts in transport.parts] == [
        ["POST", "PATCH", "DELETE"],
        ["PATCH", "DELETE"],
    ]


@pytest.mark.parametrize("fault", [RESET, (502, None), (200, b'{"responses": ['), (200, b"<html>")])
def test_a_lost_batch_without_creates_is_repeated(fault: Any) -> None:
    sender, transport = sender_of(echo, fault)
    assert all(isinstance(answer, Answer) for answer in sender.send([patch(1), delete(2)]))
    assert len(transport.requests) == 2


@pytest.mark.parametrize("body", [{"x": 1}, {"responses": None}, {"responses": {}}, {"responses": []}])
def test_an_answer_without_a_part_leaves_the_part_unknown(body: Any) -> None:
    sender, transport = sender_of(echo, (200, body))
    created, patched = sender.send([create(1), patch(2)])
    assert isinstance(created, MalformedAnswerError)
    assert isinstance(patched, Answer)
    assert len(transport.requests) == 2


@pytest.mark.parametrize("part", [{}, {"status": "200"}, {"status": None}])
def test_a_part_without_status_is_missing(part: dict[str, Any]) -> None:
    sender, _ = sender_of(echo, (200, {"responses": [{"id": "1", **part}]}))
    (created,) = sender.send([create(1)])
    assert isinstance(created, MalformedAnswerError)


@pytest.mark.parametrize("outer", [200, 424])
def test_the_outer_status_of_a_throttled_batch_does_not_matter(outer: int) -> None:
    parts = [
        {"id": "1", "status": 201, "body": {"id": "a"}},
        {"id": "2", "status": 429, "headers": {"RETRY-AFTER": "1"}},
    ]
    sender, transport = sender_of(echo, (outer, {"responses": parts}))
    first, second = sender.send([create(1), create(2)])
    assert isinstance(first, Answer)
    assert first.body == {"id": "a"}
    assert isinstance(second, Answer)
    assert [len(parts) for parts in transport.parts] == [2, 1]


def test_a_throttled_whole_batch_did_nothing() -> None:
    time = FakeTime()
    sender, transport = sender_of(echo, (429, None, {"Retry-After": "5"}), time=time)
    assert all(isinstance(answer, Answer) for answer in sender.send([create(1), create(2)]))
    assert (len(transport.requests), time.slept) == (2, [5.0])


def test_a_wait_beyond_the_cap_ends_as_throttled_also_for_what_was_never_sent() -> None:
    long = (429, None, {"Retry-After": "299"})
    sender, transport = sender_of(Flaky({"/contacts?n=1": [long]}), most=2)
    first, second, third = sender.send([create(1), create(2), create(3)])
    assert isinstance(first, ThrottledError)
    assert first.retry_after == 299
    assert isinstance(second, Answer)
    assert isinstance(third, ThrottledError)
    assert len(transport.requests) == 1


def test_throttled_after_an_unknown_outcome_is_unknown() -> None:
    long = (429, None, {"Retry-After": "299"})
    sender, _ = sender_of(Flaky({"/contacts/1": [(504, None), long], "/contacts/2": [(504, None), long]}))
    patched, read = sender.send([patch(1), get(2)])
    assert isinstance(patched, ServiceError)
    assert not isinstance(patched, ThrottledError)
    assert isinstance(read, ThrottledError)


def test_a_part_that_stays_broken_is_given_up() -> None:
    sender, transport = sender_of(lambda part: (500, None))
    (answer,) = sender.send([patch(1)])
    assert isinstance(answer, ServiceError)
    assert len(transport.requests) == 4


def test_a_refused_token_raises_before_anything_was_done_and_is_a_result_after() -> None:
    refused = (401, error_body("InvalidAuthenticationToken"))
    sender, _ = sender_of(echo, refused, refused)
    with pytest.raises(AuthError):
        sender.send([create(1)])

    sender, _ = sender_of(echo, None, refused, refused, most=1)
    first, second = sender.send([create(1), create(2)])
    assert isinstance(first, Answer)
    assert isinstance(second, AuthError)


def test_one_part_that_breaks_the_whole_batch_does_not_take_the_others_along() -> None:
    def answer(request: requests.PreparedRequest) -> Any:
        assert isinstance(request.body, bytes)
        if b'"n":3' in request.body:
            return 413, None
        return BatchService(echo)(request)

    sender = BatchSender(make_session(Transport(answer)), "/$batch", most=20)
    answers = sender.send([create(number) for number in range(8)])
    assert [number for number, answer in enumerate(answers) if isinstance(answer, RejectedError)] == [3]
    assert sum(isinstance(answer, Answer) for answer in answers) == 7


def test_parts_that_bc_did_not_look_at_go_again_at_once() -> None:
    """BC may stop at the first part that fails."""
    gone = {"/contacts/1", "/contacts/4"}
    time = FakeTime()

    def answer(request: requests.PreparedRequest) -> Any:
        responses = []
        for part in orjson.loads(request.body)["requests"]:
            found = part["url"] not in gone
            responses.append({"id": part["id"], "status": 200 if found else 404, "body": {}})
            if not found:
                break
        return 200, {"responses": responses}

    sender = BatchSender(make_session(Transport(answer), time=time), "/$batch", most=100)
    answers = sender.send([get(number) for number in range(7)])
    assert [isinstance(answer, Answer) for answer in answers] == [True, False, True, True, False, True, True]
    assert time.slept == []


class FourAtATime:
    """A mailbox that refuses parts beyond the fourth of a batch, while it is ``strict``."""

    def __init__(self) -> None:
        self.strict = True
        self.refused = 0
        self.sizes: list[int] = []

    def __call__(self, request: requests.PreparedRequest) -> Any:
        parts = orjson.loads(request.body)["requests"]
        self.sizes.append(len(parts))
        responses = []
        for place, part in enumerate(parts):
            if self.strict and place >= 4:
                self.refused += 1
                responses.append(
                    {
                        "id": part["id"],
                        "status": 429,
                        "headers": {"Retry-After": "1"},
                        **error_body("ApplicationThrottled"),
                    }
                )
            else:
                responses.append({"id": part["id"], "status": 201, "body": {"id": part["url"]}})
        return 200, {"responses": responses}


def test_batches_shrink_to_four_where_more_are_refused_and_grow_back() -> None:
    service = FourAtATime()
    sender = BatchSender(make_session(Transport(service)), "/$batch", most=20)
    answers = sender.send([create(number) for number in range(60)])
    assert all(isinstance(answer, Answer) for answer in answers)
    assert service.sizes[:3] == [20, 4, 4]
    assert max(service.sizes[1:]) == 4

    service.strict = False
    for _ in range(20):
        sender.send([create(number) for number in range(20)])
    assert service.sizes[-1] == 20


def test_a_mailbox_that_never_takes_more_is_not_asked_again_and_again() -> None:
    service = FourAtATime()
    sender = BatchSender(make_session(Transport(service)), "/$batch", most=20)
    for _ in range(100):
        sender.send([create(number) for number in range(20)])
    assert service.refused < 100 * 20 * 0.05


kinds = st.sampled_from([create, patch, delete, get])
faults = st.sampled_from(
    [
        None,
        RESET,
        (502, None),
        (200, b"{"),
        (200, {"responses": []}),
        (429, None, {"Retry-After": "1"}),
        (503, None, {"Retry-After": "500"}),
    ]
)


@given(
    makers=st.lists(kinds, min_size=1, max_size=12),
    outer=st.lists(faults, max_size=6),
    inner=st.lists(st.sampled_from(["ok", "throttled", "lost", "failed", "missing"]), max_size=60),
)
def test_no_fault_makes_a_second_copy_and_every_part_gets_a_true_verdict(
    makers: list[Any], outer: list[Any], inner: list[str]
) -> None:
    """The service may carry out a part and still answer 504, or not at all."""
    done: Counter[str] = Counter()
    script = iter(inner)

    def handle(part: dict[str, Any]) -> Any:
        what = next(script, "ok")
        if what == "throttled":
            return THROTTLED
        if what == "failed":
            return 503, None
        done[f"{part['method']} {part['url']}"] += 1
        return {"ok": (200, {"id": "x"}), "lost": (504, None), "missing": None}[what]

    service = BatchService(handle)
    pending = list(outer)

    def answer(request: requests.PreparedRequest) -> Any:
        fault = pending.pop(0) if pending else None
        if fault is not None and not (isinstance(fault, tuple) and fault[0] == 429):
            service(request)
        return fault if fault is not None else service(request)

    sender = BatchSender(make_session(Transport(answer)), "/$batch", most=5)
    parts = [maker(number) for number, maker in enumerate(makers)]
    answers = sender.send(parts)

    assert len(answers) == len(parts)
    for part, result in zip(parts, answers, strict=True):
        times = done[f"{part.method} {part.url}"]
        if part.method == "POST":
            assert times <= 1
        if isinstance(result, Answer):
            assert times >= 1
        if isinstance(result, ThrottledError) and part.method != "GET":
            assert times == 0
