"""The WebSocket protocol's end for a peer that takes nothing; the rest of it is uvicorn's."""

from __future__ import annotations

import asyncio

import pytest
from pytest_django.fixtures import Settings
from uvicorn import Config
from uvicorn.server import ServerState

from gateway_project import stalled
from gateway_project.websocket import PatientProtocol

STALL_S = 0.05


class StuckTransport(asyncio.Transport):
    """A connection whose peer reads nothing: closing would wait for ever, aborting does not."""

    def __init__(self) -> None:
        super().__init__()
        self.aborted = asyncio.Event()

    def get_write_buffer_size(self) -> int:
        """What was buffered stays so."""
        return 100_000

    def abort(self) -> None:
        """The end."""
        self.aborted.set()

    def close(self) -> None:
        """Waits until what is buffered was taken, which it never is."""


async def _application(scope: object, receive: object, send: object) -> None:
    raise AssertionError("no handshake is made here")


async def _connected() -> tuple[PatientProtocol, StuckTransport]:
    config = Config(_application, ws=PatientProtocol)
    config.load()
    protocol, transport = PatientProtocol(config, ServerState(), {}), StuckTransport()
    protocol.connection_made(transport)
    return protocol, transport


@pytest.fixture(autouse=True)
def impatient(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """Short waits."""
    settings.CLIENT_STALL_S = STALL_S
    monkeypatch.setattr(stalled, "_GRACE_S", 0)


def test_a_peer_that_takes_nothing_is_cut_off() -> None:
    async def run() -> None:
        protocol, transport = await _connected()
        protocol.pause_writing()
        async with asyncio.timeout(5):
            await transport.aborted.wait()

    asyncio.run(run())


def test_a_peer_that_takes_again_in_time_is_kept() -> None:
    async def run() -> bool:
        protocol, transport = await _connected()
        protocol.pause_writing()
        protocol.resume_writing()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(4 * STALL_S):
                await transport.aborted.wait()
        return transport.aborted.is_set()

    assert not asyncio.run(run())


def test_a_server_that_stops_waits_for_no_such_peer() -> None:
    async def run() -> bool:
        protocol, transport = await _connected()
        protocol.pause_writing()
        protocol.shutdown()
        return transport.aborted.is_set()

    assert asyncio.run(run())
