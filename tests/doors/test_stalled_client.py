"""A client that stays but reads nothing holds neither an upstream nor its connection for ever."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from bench.soak import sample
from tests.doors.gateway import Gateway, Template
from tests.doors.raw import chat_connection
from tests.fakes import bodies
from tests.fakes.behaviours import huge, stream
from tests.fakes.vendor import FakeVendor
from tests.services import wait_until

# More than what all buffers between vendor and client hold.
ANSWER_BYTES = 512 * 65_536


@pytest.fixture
def impatient_gateway(template: Template) -> Iterator[Gateway]:
    """A gateway that waits half a second for a client to take something."""
    with Gateway(template.copy(), GATEWAY_CLIENT_STALL_S="0.5") as running:
        yield running


def client_sockets(gateway: Gateway) -> int:
    """How many client connections the server holds."""
    return sample(gateway.server_pids(), port=gateway.port, upstream_ports=()).client_sockets


def test_the_vendor_is_freed_and_the_call_is_in_the_ledger(
    vendor: FakeVendor, impatient_gateway: Gateway
) -> None:
    event = bodies.sse_event(bodies.chat_chunk({"content": "x" * 60_000}, model="fake-chat"))
    vendor.script(stream([event] * 2000))

    with chat_connection(impatient_gateway, "fake/fake-chat", stream=True):
        vendor.wait_for_requests(1)
        vendor.requests[0].wait_aborted()
        wait_until(lambda: client_sockets(impatient_gateway) == 0, 10, "the connection to be cut off")

    record = impatient_gateway.newest_record("fake/fake-chat")
    assert (record["status"], record["state"], record["error_code"]) == (499, "aborted", "client_stalled")


def test_a_plain_answer_that_nobody_takes_goes_with_its_connection(
    vendor: FakeVendor, impatient_gateway: Gateway
) -> None:
    vendor.script(huge(ANSWER_BYTES))

    with chat_connection(impatient_gateway, "fake/fake-chat"):
        # It is in the ledger once it is written.
        impatient_gateway.newest_record("fake/fake-chat")
        assert client_sockets(impatient_gateway) == 1
        wait_until(lambda: client_sockets(impatient_gateway) == 0, 10, "the connection to be cut off")


def test_a_client_that_takes_little_at_a_time_gets_everything(
    vendor: FakeVendor, impatient_gateway: Gateway
) -> None:
    vendor.script(huge(ANSWER_BYTES))

    with chat_connection(impatient_gateway, "fake/fake-chat") as opened:
        size = 0
        # Longer than a client may take nothing at all.
        until = time.monotonic() + 2.5
        while time.monotonic() < until:
            size += len(opened.recv(2_000_000))
            time.sleep(0.3)
        while size < ANSWER_BYTES:
            piece = opened.recv(1_000_000)
            assert piece, size
            size += len(piece)
