"""A server on this test's own event loop that answers by script, and what a client of it needs."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from gateway_project.core.deadline import CallScope
from upstreams_app.registry import ConnectionSettings, UpstreamConfig
from upstreams_app.services.phases import Phases

HI = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"
Handler = Callable[["Peer"], Awaitable[None]]


class Peer:
    """One connection as the server sees it."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.gone = asyncio.Event()

    async def request(self) -> tuple[bytes, bytes]:
        """The head and the body of the next request; IncompleteReadError if none comes."""
        head = await self.reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
        return head, await self.reader.readexactly(length)

    def write(self, data: bytes) -> None:
        """Send bytes."""
        self.writer.write(data)

    async def wait_gone(self) -> None:
        """Wait until the client has closed the connection."""
        with contextlib.suppress(OSError):
            while await self.reader.read(65_536):
                pass
        self.gone.set()


class Server:
    """What `serving` gives: the connections so far, the requests on them, and the address."""

    def __init__(self) -> None:
        self.peers: list[Peer] = []
        self.requests: list[tuple[Peer, bytes, bytes]] = []
        self.port = 0

    @property
    def url(self) -> str:
        """Its base URL without TLS."""
        return f"http://127.0.0.1:{self.port}"

    async def wait_for_peers(self, count: int) -> None:
        """Wait for that many connections."""
        async with asyncio.timeout(5):
            while len(self.peers) < count:  # noqa: ASYNC110
                await asyncio.sleep(0.005)


def answering(server: Server, *answers: bytes) -> Handler:
    """Answers each request of all connections with the next of these; the last one stays."""
    left = list(answers)

    async def handle(peer: Peer) -> None:
        while True:
            head, body = await peer.request()
            server.requests.append((peer, head, body))
            peer.write(left.pop(0) if len(left) > 1 else left[0])

    return handle


def refusing(body: bytes) -> Handler:
    """Refuses a request when its head has come, and takes no more of it."""

    async def handle(peer: Peer) -> None:
        await peer.reader.readuntil(b"\r\n\r\n")
        peer.write(b"HTTP/1.1 413 Too Large\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))
        await peer.wait_gone()

    return handle


@contextlib.asynccontextmanager
async def serving(
    handler: Handler | None = None,
    *answers: bytes,
    tls: ssl.SSLContext | None = None,
    host: str = "127.0.0.1",
) -> AsyncIterator[Server]:
    """A server of this handler, else one that answers with `answers`, else with two letters."""
    server = Server()
    chosen = handler or answering(server, *(answers or (HI,)))
    tasks: set[asyncio.Task[Any]] = set()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        peer = Peer(reader, writer)
        server.peers.append(peer)
        try:
            await chosen(peer)
        except (asyncio.CancelledError, asyncio.IncompleteReadError, ConnectionError):
            pass  # The client left, or we cancelled it ourselves at the end of the test.
        finally:
            peer.gone.set()
            writer.transport.abort()
            tasks.discard(task)

    listening = await asyncio.start_server(accept, host, 0, ssl=tls)
    server.port = listening.sockets[0].getsockname()[1]
    try:
        yield server
    finally:
        listening.close()
        for task in list(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.sleep(0.01)


def config(*endpoints: str, **changed: Any) -> UpstreamConfig:
    """An upstream with these base URLs, and all else as usual."""
    connection = {"verify_hostname": "", "ca_bundle": "", "client_certificate": "", "client_key": ""}
    fields: dict[str, Any] = {
        "id": uuid.uuid4(),
        "name": "loop",
        "kind": "openai-compatible",
        "endpoints": endpoints,
        "credential": "sk-upstream-0123",
        "takes_client_credential": False,
        "headers": (),
        "connection": ConnectionSettings(**{**connection, **changed.pop("connection", {})}),
        "connect_timeout_s": 5.0,
        "first_token_timeout_s": 5.0,
        "idle_timeout_s": 5.0,
        "total_timeout_s": 60.0,
        "max_concurrency": None,
        "asks_stream_usage": True,
    }
    return UpstreamConfig(**{**fields, **changed})


class RecordedScope(CallScope):
    """A scope that notes the phases it is told."""

    def __init__(self) -> None:
        task = asyncio.current_task()
        assert task is not None
        super().__init__(task)
        self.phases: list[str] = []

    def enter_phase(self, phase: str, seconds: float) -> None:
        """Note the phase."""
        self.phases.append(phase)
        super().enter_phase(phase, seconds)


def phases(upstream: UpstreamConfig) -> Phases:
    """The phases of a call by the current task; `scope` is a `RecordedScope`."""
    return Phases(RecordedScope(), upstream)
