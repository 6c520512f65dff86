"""What the log says about a request: one line, with the call that answered it."""

from __future__ import annotations

import json

from tests.doors.gateway import Gateway
from tests.doors.raw import chat_connection, read_until
from tests.doors.rows import KEY
from tests.fakes import bodies
from tests.fakes.behaviours import chat, stream
from tests.fakes.exchange import Gate
from tests.fakes.vendor import FakeVendor

CHUNKS = bodies.chat_chunks(["Hel", "lo"], model="fake-chat", usage=bodies.USAGE)


def test_a_request_and_its_call_are_one_line(vendor: FakeVendor, gateway: Gateway) -> None:
    vendor.script(chat(["Hel", "lo"]))
    with gateway.client(KEY) as client:
        request = {"model": "fake/fake-chat", "messages": [{"role": "user", "content": "Hi"}]}
        answered = client.post("/v1/chat/completions", json=request)
    request_id = answered.headers["x-request-id"]
    record = gateway.record(request_id)

    (line,) = gateway.log_lines(request_id)

    assert (line["event"], line["status"], line["model"]) == ("http.request", 200, "fake/fake-chat")
    assert (line["upstream"], line["upstream_model"], line["attempts"]) == ("fake", "fake-chat", 1)
    assert (line["state"], line["cost_nano_usd"]) == ("reported", record["cost"])
    assert (line["input_tokens"], line["output_tokens"]) == (record["input_tokens"], record["output_tokens"])
    assert "Hello" not in json.dumps(line)


def test_a_call_that_is_settled_later_has_a_line_of_its_own(vendor: FakeVendor, gateway: Gateway) -> None:
    gate = Gate()
    finished, usage = bodies.sse_events(CHUNKS[:4], has_done=False), bodies.sse_events(CHUNKS[4:])
    vendor.script(stream([*finished, gate, *usage]))

    with chat_connection(gateway, "fake/fake-chat", stream=True) as opened:
        request_id = read_until(opened, b'"finish_reason":"stop"')

    (first,) = gateway.log_lines(request_id)
    gate.open()
    _, second = gateway.log_lines(request_id, count=2)

    assert (first["event"], first["error_code"]) == ("http.request", "client_disconnected")
    assert "upstream" not in first
    assert (second["event"], second["state"], second["cost_nano_usd"]) == ("llm.call", "reported", 57_500)
