"""What the log says about a request: one line, with the call that answered it."""

from __future__ import annotations

import json
from typing import Any

from tests.doors.gateway import Gateway
from tests.doors.rows import KEY
from tests.doors.test_disconnects import CHUNKS, connection, read_until
from tests.fakes import bodies
from tests.fakes.behaviours import chat, stream
from tests.fakes.vendor import FakeVendor
from tests.services import wait_until


def lines_of(gateway: Gateway, request_id: str, *, count: int) -> list[dict[str, Any]]:
    """The log's lines about a request, once there are so many."""
    found: list[dict[str, Any]] = []

    def are_there() -> bool:
        found[:] = [json.loads(line) for line in gateway.log.splitlines() if request_id in line]
        return len(found) >= count

    wait_until(are_there, 10, f"{count} lines about {request_id}")
    return found


def test_a_request_and_its_call_are_one_line(vendor: FakeVendor, gateway: Gateway) -> None:
    vendor.script(chat(["Hel", "lo"]))
    with gateway.client(KEY) as client:
        request = {"model": "fake/fake-chat", "messages": [{"role": "user", "content": "Hi"}]}
        answered = client.post("/v1/chat/completions", json=request)
    request_id = answered.headers["x-request-id"]
    record = gateway.record(request_id)

    (line,) = lines_of(gateway, request_id, count=1)

    assert (line["event"], line["status"], line["model"]) == ("http.request", 200, "fake/fake-chat")
    assert (line["upstream"], line["upstream_model"], line["attempts"]) == ("fake", "fake-chat", 1)
    assert (line["state"], line["cost_nano_usd"]) == ("reported", record["cost"])
    assert (line["input_tokens"], line["output_tokens"]) == (record["input_tokens"], record["output_tokens"])
    assert "Hello" not in json.dumps(line)


def test_a_call_that_is_settled_later_has_a_line_of_its_own(vendor: FakeVendor, gateway: Gateway) -> None:
    finished, usage = bodies.sse_events(CHUNKS[:4], has_done=False), bodies.sse_events(CHUNKS[4:])
    vendor.script(stream([*finished, 0.4, *usage]))

    with connection(gateway, "fake/fake-chat", stream=True) as opened:
        request_id = read_until(opened, b'"finish_reason":"stop"')

    first, second = lines_of(gateway, request_id, count=2)
    assert (first["event"], first["error_code"]) == ("http.request", "client_disconnected")
    assert "upstream" not in first
    assert (second["event"], second["state"], second["cost_nano_usd"]) == ("llm.call", "reported", 57_500)
