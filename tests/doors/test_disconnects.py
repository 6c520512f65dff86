"""A client that leaves ends the vendor's work at once, and pays for what it got."""

from __future__ import annotations

import time
import uuid

import httpx
import pytest

from tests.doors.gateway import Gateway
from tests.doors.raw import chat_connection, read_until
from tests.fakes import bodies
from tests.fakes.behaviours import SSE, Behaviour, hang_before_headers, huge, stream
from tests.fakes.exchange import Exchange, Gate
from tests.fakes.vendor import FakeVendor
from tests.services import wait_until

CHUNKS = bodies.chat_chunks(["Hel", "lo"], model="fake-chat", usage=bodies.USAGE)
# A tick of 50 ms or two, and a margin for a busy machine; these upstreams' own limits are 60 s and more.
AT_ONCE_S = 3


@pytest.mark.parametrize("streams", [False, True], ids=["plain", "stream"])
@pytest.mark.parametrize(
    "behaviour",
    [hang_before_headers(), stream([], ending="hang"), stream([b": soon\n\n"], ending="hang")],
    ids=["before-headers", "after-headers", "after-a-comment"],
)
def test_leaving_before_the_first_byte_ends_the_call_and_costs_nothing(
    vendor: FakeVendor,
    gateway: Gateway,
    behaviour: Behaviour,
    streams: bool,
) -> None:
    vendor.script(behaviour)
    # The client never learns the request's id.
    user = uuid.uuid4().hex

    with chat_connection(gateway, "fake/fake-chat", stream=streams, user=user):
        (request,) = vendor.wait_for_requests(1)
    left_at = time.monotonic()

    assert request.wait_aborted() - left_at < AT_ONCE_S
    record = gateway.record_of_user(user)
    assert (record["status"], record["state"], record["cost"]) == (499, "aborted", 0)
    assert record["error_code"] == "client_disconnected"
    assert (record["input_tokens"], record["output_tokens"]) == (0, 0)


def test_leaving_while_the_answer_is_bridged_by_comments(vendor: FakeVendor, eager_gateway: Gateway) -> None:
    vendor.script(hang_before_headers())

    with chat_connection(eager_gateway, "fake/fake-chat", stream=True) as opened:
        request_id = read_until(opened, b": ping")
        left_at = time.monotonic()

    assert vendor.requests[0].wait_aborted() - left_at < AT_ONCE_S
    record = eager_gateway.record(request_id)
    assert (record["status"], record["state"], record["cost"]) == (499, "aborted", 0)


def test_leaving_in_the_middle_of_a_stream_charges_what_came(vendor: FakeVendor, gateway: Gateway) -> None:
    vendor.script(stream(bodies.sse_events(CHUNKS[:3], has_done=False), ending="hang"))

    with chat_connection(gateway, "fake/fake-chat", stream=True) as opened:
        request_id = read_until(opened, b'"lo"')
        left_at = time.monotonic()

    assert vendor.requests[0].wait_aborted() - left_at < AT_ONCE_S
    record = gateway.record(request_id)
    assert (record["status"], record["state"]) == (499, "aborted")
    assert 0 < record["output_tokens"] < 50
    assert 0 < record["input_tokens"] < 60
    assert record["cost"] > 0


@pytest.mark.parametrize("wants_usage", [False, True])
def test_leaving_after_the_finish_still_reads_the_usage(
    vendor: FakeVendor, gateway: Gateway, wants_usage: bool
) -> None:
    gate = Gate()
    finished, usage = bodies.sse_events(CHUNKS[:4], has_done=False), bodies.sse_events(CHUNKS[4:])
    vendor.script(stream([*finished, gate, *usage]))

    with chat_connection(
        gateway, "fake/fake-chat", stream=True, stream_options={"include_usage": wants_usage}
    ) as opened:
        request_id = read_until(opened, b'"finish_reason":"stop"')
    (left,) = gateway.log_lines(request_id)
    gate.open()

    assert left["error_code"] == "client_disconnected"
    record = gateway.record(request_id)
    assert (record["status"], record["state"], record["cost"]) == (200, "reported", 57_500)
    assert not vendor.requests[0].aborted.is_set()


def test_a_usage_that_never_comes_is_not_waited_for_long(vendor: FakeVendor, gateway: Gateway) -> None:
    vendor.script(stream(bodies.sse_events(CHUNKS[:4], has_done=False), ending="hang"))

    with chat_connection(gateway, "fake/fake-chat", stream=True) as opened:
        request_id = read_until(opened, b'"finish_reason":"stop"')
        left_at = time.monotonic()

    assert vendor.requests[0].wait_aborted() - left_at > 1.5
    record = gateway.record(request_id)
    assert (record["status"], record["state"]) == (200, "estimated")
    assert record["output_tokens"] < 50


def test_a_client_that_does_not_read_and_leaves_frees_the_vendor(
    vendor: FakeVendor, gateway: Gateway
) -> None:
    event = bodies.sse_event(bodies.chat_chunk({"content": "x" * 60_000}, model="fake-chat"))
    written = 0

    async def endless(exchange: Exchange) -> None:
        nonlocal written
        await exchange.head(200, [("content-type", SSE), ("transfer-encoding", "chunked")])
        while True:
            await exchange.chunk(event)
            written += 1

    def stands_still() -> bool:
        before = written
        time.sleep(0.3)
        return written == before

    vendor.script(endless)

    with chat_connection(gateway, "fake/fake-chat", stream=True) as opened:
        read_until(opened, b"xxxx")
        # The vendor is held back once all buffers between it and the client are full.
        wait_until(stands_still, 20, "the vendor to be held back")
        left_at = time.monotonic()

    assert vendor.requests[0].wait_aborted() - left_at < AT_ONCE_S


def test_leaving_while_a_large_plain_answer_arrives(vendor: FakeVendor, gateway: Gateway) -> None:
    # So much that it can't all be here before the leaving is noticed.
    vendor.script(huge(240_000_000))

    with chat_connection(gateway, "fake/fake-chat"):
        vendor.wait_for_requests(1)
    left_at = time.monotonic()

    assert vendor.requests[0].wait_aborted() - left_at < AT_ONCE_S


def test_the_next_request_of_others_is_not_disturbed(
    vendor: FakeVendor, gateway: Gateway, client: httpx.Client
) -> None:
    for _ in range(20):
        vendor.script(hang_before_headers())
        with chat_connection(gateway, "fake/fake-chat"):
            vendor.wait_for_requests(1)
        vendor.requests[0].wait_aborted()
        vendor.reset()

    answered = client.post("/v1/chat/completions", json={"model": "fake/fake-chat", "messages": [{}]})

    assert answered.status_code == 200
