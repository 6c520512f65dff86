"""A client that stays but reads nothing must not hold an upstream for ever."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator

import pytest

from tests.doors import rows
from tests.doors.gateway import Gateway, Template
from tests.fakes import bodies
from tests.fakes.behaviours import stream
from tests.fakes.vendor import FakeVendor


@pytest.fixture
def impatient_gateway(template: Template) -> Iterator[Gateway]:
    """A gateway that waits half a second for a client to take something."""
    with Gateway(template.copy(), GATEWAY_CLIENT_STALL_S="0.5") as running:
        yield running


def test_the_vendor_is_freed_and_the_call_is_in_the_ledger(
    vendor: FakeVendor, impatient_gateway: Gateway
) -> None:
    event = bodies.sse_event(bodies.chat_chunk({"content": "x" * 60_000}, model="fake-chat"))
    vendor.script(stream([event] * 2000))
    request = {"model": "fake/fake-chat", "stream": True, "messages": [{"role": "user", "content": "Hi"}]}
    body = json.dumps(request).encode()
    head = (
        "POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\n"
        f"authorization: Bearer {rows.KEY}\r\ncontent-length: {len(body)}\r\n\r\n"
    )

    with socket.create_connection(("127.0.0.1", impatient_gateway.port)) as client:
        client.sendall(head.encode() + body)
        vendor.wait_for_requests(1)
        began = time.monotonic()
        freed = vendor.requests[0].wait_aborted() - began

    assert freed < 5
    record = impatient_gateway.newest_record("fake/fake-chat")
    assert (record["status"], record["state"], record["error_code"]) == (499, "aborted", "client_stalled")
