"""Whatever a vendor does, the client gets a clear end, and the ledger one true record."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from tests.doors.gateway import Gateway
from tests.doors.rows import MODEL
from tests.doors.streams import ASK, CHAT, STREAM, assert_ends_with_error, post_and_open, sse_data
from tests.fakes import bodies
from tests.fakes.behaviours import (
    Behaviour,
    answer,
    close_before_answer,
    error,
    garbage,
    hang_before_headers,
    json_answer,
    rate_limited,
    raw,
    stream,
    truncated,
)
from tests.fakes.exchange import Gate
from tests.fakes.vendor import FakeVendor

CHUNKS = bodies.chat_chunks(["Hel", "lo"], model="fake-chat")
BEGINNING = bodies.sse_events(CHUNKS[:3], has_done=False)


@pytest.mark.parametrize(
    ("rest", "options"),
    [
        ([], {"ending": "close"}),
        ([], {"ending": "reset"}),
        ([b'data: {"choices":[{"del'], {"is_chunked": False}),
        ([b"data: garbage\n\n"], {}),
        ([b"data: [1]\n\n"], {}),
        ([], {}),
        ([], {"is_chunked": False}),
    ],
    ids=["closed", "reset", "torn-event", "garbage", "no-object", "no-end", "no-end-unchunked"],
)
def test_a_stream_that_breaks_ends_with_an_error_event(
    vendor: FakeVendor, client: httpx.Client, gateway: Gateway, rest: list[bytes], options: dict[str, Any]
) -> None:
    gate = Gate()
    vendor.script(stream([*BEGINNING, gate, *rest], **options))

    broken, text = post_and_open(client, gate)

    assert broken.status_code == 200
    assert_ends_with_error(text, "upstream_failed")
    assert "[DONE]" not in text
    assert (
        "".join(json.loads(data)["choices"][0]["delta"]["content"] for data in sse_data(text)[:-1]) == "Hello"
    )
    record = gateway.record(broken.headers["x-request-id"])
    assert (record["status"], record["state"], record["error_code"]) == (502, "aborted", "upstream_failed")
    # What came was paid for.
    assert record["output_tokens"] > 0
    assert len(vendor.requests) == 1


def test_an_error_event_of_the_vendor_is_told(vendor: FakeVendor, client: httpx.Client) -> None:
    gate = Gate()
    broken = bodies.error("The model crashed.", kind="server_error", code="server_error")
    vendor.script(stream([*BEGINNING, gate, bodies.sse_event(broken)]))

    _, text = post_and_open(client, gate)

    told = assert_ends_with_error(text, "server_error")
    assert told["message"] == "Upstream 'fake' reported an error: The model crashed."


def test_what_came_with_the_error_is_told_before_it(vendor: FakeVendor, client: httpx.Client) -> None:
    gate = Gate()
    chunk = bodies.sse_event(bodies.chat_chunk({"content": "!"}, model="fake-chat"))
    broken = bodies.sse_event(bodies.error("boom", kind="server_error"))
    vendor.script(stream([*BEGINNING, gate, chunk + broken]))

    _, text = post_and_open(client, gate)

    assert json.loads(sse_data(text)[-2])["choices"][0]["delta"]["content"] == "!"
    assert_ends_with_error(text, "upstream_failed")


def test_an_error_event_before_all_else_becomes_a_status(vendor: FakeVendor, client: httpx.Client) -> None:
    limit = {"error": {"message": "Slow down.", "code": 429}}
    broken = bodies.error("boom", kind="server_error")
    vendor.script(*(stream(bodies.sse_events([event], has_done=False)) for event in (limit, broken)))

    assert [client.post(CHAT, json=STREAM).status_code for _ in range(2)] == [429, 502]


@pytest.mark.parametrize("ending", ["close", "reset", "end"])
def test_a_stream_without_any_event_is_a_502(vendor: FakeVendor, client: httpx.Client, ending: Any) -> None:
    vendor.script(stream([b": hello\n\n"], ending=ending))

    refused = client.post(CHAT, json=STREAM)

    assert refused.status_code == 502
    assert refused.headers["x-should-retry"] == "false"
    assert "text/event-stream" not in refused.headers["content-type"]


def test_a_stream_that_forgets_done_is_complete(
    vendor: FakeVendor, client: httpx.Client, gateway: Gateway
) -> None:
    vendor.script(stream(bodies.sse_events([*CHUNKS], has_done=False)))

    answered = client.post(CHAT, json=STREAM)

    assert sse_data(answered.text)[-1] == "[DONE]"
    assert gateway.record(answered.headers["x-request-id"])["state"] == "estimated"


@pytest.mark.parametrize("wants_usage", [False, True])
def test_a_plain_answer_to_a_stream_becomes_events(
    vendor: FakeVendor, client: httpx.Client, gateway: Gateway, wants_usage: bool
) -> None:
    vendor.script(json_answer(bodies.chat_completion("Hello", model="fake-chat")))

    answered = client.post(CHAT, json={**STREAM, "stream_options": {"include_usage": wants_usage}})

    *chunks, done = sse_data(answered.text)
    parsed = [json.loads(chunk) for chunk in chunks]
    assert done == "[DONE]"
    assert parsed[0]["choices"][0]["delta"]["content"] == "Hello"
    assert parsed[1]["choices"][0]["finish_reason"] == "stop"
    assert [chunk.get("usage") for chunk in parsed[2:]] == ([bodies.USAGE] if wants_usage else [])
    assert {chunk["model"] for chunk in parsed} == {MODEL}
    assert gateway.record(answered.headers["x-request-id"])["state"] == "reported"


@pytest.mark.parametrize(
    "body",
    [b"nothing", b'{"choices":"x"}', b'{"choices":[7]}', b'{"choices":[{"message":[1]}]}', b'{"error":"x"}'],
)
def test_a_useless_answer_to_a_stream_is_a_502(vendor: FakeVendor, client: httpx.Client, body: bytes) -> None:
    vendor.script(answer(200, body))

    assert client.post(CHAT, json=STREAM).status_code == 502


@pytest.mark.parametrize(
    "behaviour",
    [
        truncated(b'{"id":', 100),
        raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"),
        garbage(),
    ],
    ids=["short", "bad-chunk", "garbage"],
)
def test_a_plain_answer_that_breaks_is_a_502(
    vendor: FakeVendor, client: httpx.Client, gateway: Gateway, behaviour: Behaviour
) -> None:
    vendor.script(behaviour)

    refused = client.post(CHAT, json=ASK)

    assert refused.status_code == 502
    record = gateway.record(refused.headers["x-request-id"])
    assert (record["status"], record["state"], record["cost"]) == (502, "aborted", 0)


def test_a_kept_connection_that_died_is_replaced_once(vendor: FakeVendor, client: httpx.Client) -> None:
    client.post(CHAT, json=ASK)
    vendor.always(close_before_answer(only_if_reused=True))

    again = client.post(CHAT, json=ASK)

    assert again.status_code == 200
    assert [request.number_on_connection > 1 for request in vendor.requests[1:]] == [True, False]


@pytest.mark.parametrize(
    "first", [b"H", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n{"]
)
def test_nothing_is_sent_twice_once_a_byte_came(
    vendor: FakeVendor, client: httpx.Client, first: bytes
) -> None:
    client.post(CHAT, json=ASK)
    vendor.script(raw(first))

    refused = client.post(CHAT, json=ASK)

    assert refused.status_code == 502
    assert vendor.requests[1].number_on_connection > 1
    assert len(vendor.requests) == 2


def test_a_new_connection_that_dies_is_not_replaced(
    vendor: FakeVendor, client: httpx.Client, gateway: Gateway
) -> None:
    vendor.always(close_before_answer())
    # Its pool may hold a connection of an earlier test; this takes it.
    client.post(CHAT, json=ASK)
    before = len(vendor.requests)

    refused = client.post(CHAT, json=ASK)

    assert refused.status_code == 502
    assert len(vendor.requests) == before + 1


@pytest.mark.parametrize("streams", [False, True], ids=["plain", "stream"])
def test_a_vendor_that_never_begins_is_a_504_of_its_phase(
    vendor: FakeVendor, client: httpx.Client, gateway: Gateway, streams: bool
) -> None:
    vendor.script(hang_before_headers())

    late = client.post(CHAT, json={**ASK, "model": "hasty/fake-chat", "stream": streams})

    assert late.status_code == 504
    assert late.json()["error"] == {
        "message": "Upstream 'hasty' did not finish the phase 'first token' within 0.3 s.",
        "type": "timeout_error",
        "param": None,
        "code": "upstream_timeout",
    }
    vendor.requests[0].wait_aborted()
    record = gateway.record(late.headers["x-request-id"])
    assert (record["status"], record["state"], record["error_code"]) == (504, "aborted", "upstream_timeout")


def test_comments_do_not_count_as_a_first_token(vendor: FakeVendor, client: httpx.Client) -> None:
    vendor.script(stream([piece for _ in range(200) for piece in (b": wait\n\n", 0.05)]))

    late = client.post(CHAT, json={**STREAM, "model": "hasty/fake-chat"})

    assert late.status_code == 504
    assert "'first token'" in late.json()["error"]["message"]


def test_a_stream_that_stops_ends_with_an_error_event(vendor: FakeVendor, client: httpx.Client) -> None:
    vendor.script(stream(BEGINNING, ending="hang"))

    late = client.post(CHAT, json={**STREAM, "model": "idle/fake-chat"})

    assert late.status_code == 200
    told = assert_ends_with_error(late.text, "upstream_timeout")
    assert told["message"] == "Upstream 'idle' did not finish the phase 'idle' within 0.3 s."
    vendor.requests[0].wait_aborted()


def test_a_plain_answer_that_stops_is_a_504(vendor: FakeVendor, client: httpx.Client) -> None:
    head = b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 99\r\n\r\n{"id"'
    vendor.script(raw(head, ending="hang"))

    late = client.post(CHAT, json={**ASK, "model": "idle/fake-chat"})

    assert late.status_code == 504
    assert "'idle'" in late.json()["error"]["message"]


def test_an_endless_stream_ends_at_the_total_limit(vendor: FakeVendor, client: httpx.Client) -> None:
    endless = bodies.sse_event(CHUNKS[1])
    vendor.script(stream([piece for _ in range(300) for piece in (endless, 0.03)]))

    late = client.post(CHAT, json={**STREAM, "model": "brief/fake-chat"})

    told = assert_ends_with_error(late.text, "upstream_timeout")
    assert told["message"] == "Upstream 'brief' did not finish the phase 'total' within 1.5 s."


def test_a_rate_limit_with_a_long_wait_is_not_retried(vendor: FakeVendor, client: httpx.Client) -> None:
    vendor.script(rate_limited("3600"), rate_limited("7"))

    long, short = (client.post(CHAT, json=STREAM) for _ in range(2))

    assert (long.status_code, long.headers["retry-after"]) == (429, "3600")
    assert long.headers["x-should-retry"] == "false"
    assert "x-should-retry" not in short.headers


def test_the_concurrency_of_an_upstream_is_kept_also_after_faults(
    vendor: FakeVendor, gateway: Gateway
) -> None:
    narrow = {**ASK, "model": "narrow/fake-chat"}
    gate = Gate()
    faults = [error(500), garbage(), answer(200, b"x"), stream(BEGINNING, ending="close"), truncated(b"{", 9)]
    with gateway.client() as client:
        for fault in faults:
            for streams in (False, True):
                vendor.script(fault)
                client.post(CHAT, json={**narrow, "stream": streams})

        vendor.script(stream([*BEGINNING, gate, *bodies.sse_events(CHUNKS[3:])]))
        with client.stream("POST", CHAT, json={**narrow, "stream": True}) as held:
            gate.wait_reached()
            refused = client.post(CHAT, json=narrow)
            gate.open()
            held.read()
        served = client.post(CHAT, json=narrow)

    assert refused.status_code == 503
    assert refused.json()["error"]["type"] == "overloaded_error"
    assert refused.headers["retry-after"] == "1"
    assert served.status_code == 200


def test_who_has_seen_the_end_of_a_stream_may_ask_again(vendor: FakeVendor, gateway: Gateway) -> None:
    narrow = {**ASK, "model": "narrow/fake-chat"}
    gate = Gate()
    vendor.script(stream([*BEGINNING, *bodies.sse_events(CHUNKS[3:]), gate]))
    with gateway.client() as client:
        ended = client.post(CHAT, json={**narrow, "stream": True})
        served = client.post(CHAT, json=narrow)
        gate.open()

    assert ended.text.endswith("data: [DONE]\n\n")
    assert served.status_code == 200


def test_a_host_that_never_connects_is_a_504_of_its_phase(vendor: FakeVendor, client: httpx.Client) -> None:
    late = client.post(CHAT, json={**ASK, "model": "mute/fake-chat"})

    assert late.status_code == 504
    assert (
        late.json()["error"]["message"] == "Upstream 'mute' did not finish the phase 'connect' within 0.3 s."
    )


@pytest.mark.parametrize("streams", [False, True], ids=["plain", "stream"])
def test_a_closed_port_is_a_502(client: httpx.Client, streams: bool) -> None:
    refused = client.post(CHAT, json={**ASK, "model": "gone/fake-chat", "stream": streams})

    assert refused.status_code == 502
    assert refused.json()["error"]["message"] == "Upstream 'gone': the connection was refused or failed."
