"""A client that stays but reads nothing must not hold an upstream for ever."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.doors.gateway import Gateway, Template
from tests.doors.raw import chat_connection
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

    with chat_connection(impatient_gateway, "fake/fake-chat", stream=True):
        vendor.wait_for_requests(1)
        vendor.requests[0].wait_aborted()

    record = impatient_gateway.newest_record("fake/fake-chat")
    assert (record["status"], record["state"], record["error_code"]) == (499, "aborted", "client_stalled")
