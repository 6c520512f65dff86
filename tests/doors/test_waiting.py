"""Waiting: slow first events, silence within a stream, and many words at once."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.doors.gateway import Gateway
from tests.doors.streams import CHAT, STREAM, sse_data
from tests.fakes import bodies
from tests.fakes.behaviours import (
    Behaviour,
    chat,
    error,
    rate_limited,
    stream,
)
from tests.fakes.exchange import Gate
from tests.fakes.vendor import FakeVendor

CHUNKS = bodies.chat_chunks(["Hel", "lo"], model="fake-chat")
BEGINNING = bodies.sse_events(CHUNKS[:3], has_done=False)


def test_a_slow_first_event_is_bridged_by_comments(vendor: FakeVendor, eager_gateway: Gateway) -> None:
    gate = Gate()
    vendor.script(stream([gate, *bodies.sse_events(CHUNKS)]))

    with eager_gateway.client() as client, client.stream("POST", CHAT, json=STREAM) as answered:
        # The head is here although the vendor has said nothing.
        assert answered.status_code == 200
        lines = answered.iter_lines()
        assert [next(lines) for _ in range(4)] == [": ping", "", ": ping", ""]
        gate.open()
        rest = list(lines)

    assert [line for line in rest if line.startswith("data: ")][-1] == "data: [DONE]"
    assert eager_gateway.record(answered.headers["x-request-id"])["status"] == 200


@pytest.mark.parametrize(
    ("behaviour", "code"), [(error(500), "upstream_failed"), (rate_limited(), "rate_limit_exceeded")]
)
def test_a_late_error_is_the_only_event(
    vendor: FakeVendor, eager_gateway: Gateway, behaviour: Behaviour, code: str
) -> None:
    gate = Gate()

    async def late(exchange: Any) -> None:
        await gate.passed()
        await behaviour(exchange)

    vendor.script(late)

    with eager_gateway.client() as client, client.stream("POST", CHAT, json=STREAM) as answered:
        assert answered.status_code == 200
        gate.open()
        text = answered.read().decode()

    (event,) = [json.loads(data) for data in sse_data(text)]
    assert (event["choices"], event["error"]["code"]) == ([], code)
    record = eager_gateway.record(answered.headers["x-request-id"])
    assert (record["state"], record["error_code"]) == ("aborted", code)


def test_silence_within_a_stream_is_filled_with_heartbeats(
    vendor: FakeVendor, eager_gateway: Gateway
) -> None:
    gate = Gate()
    vendor.script(stream([*BEGINNING, gate, *bodies.sse_events(CHUNKS[3:])]))

    with eager_gateway.client() as client, client.stream("POST", CHAT, json=STREAM) as answered:
        lines = answered.iter_lines()
        while next(lines) != ": ping":
            pass
        gate.open()
        rest = list(lines)

    assert rest[-2] == "data: [DONE]"


def test_many_words_in_little_time_stay_in_order(vendor: FakeVendor, eager_gateway: Gateway) -> None:
    words = [f"{number} " for number in range(3000)]
    vendor.script(chat(words))

    with eager_gateway.client() as client:
        answered = client.post(CHAT, json=STREAM)

    *chunks, done = sse_data(answered.text)
    assert done == "[DONE]"
    text = "".join(json.loads(chunk)["choices"][0]["delta"].get("content") or "" for chunk in chunks)
    assert text == "".join(words)
