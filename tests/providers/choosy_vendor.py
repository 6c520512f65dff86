"""A vendor on the test's own event loop that gives one choice a call, each with a text of its own."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

from gateway_project.core import sse
from tests.providers import fake_anthropic as anthropic
from tests.providers.mind import Said
from tests.upstreams.loopback import Peer, Server, config, phases, serving
from upstreams_app.providers.anthropic import provider
from upstreams_app.services.outbound import UpstreamAnswer
from upstreams_app.services.provider_client import ProviderClient

Json = dict[str, Any]
Answer = Callable[[Peer, Json, int], Awaitable[None]]
ASK: Json = {"messages": [{"role": "user", "content": "Hello"}], "max_tokens": 100}
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
END = b"0\r\n\r\n"


class Vendor:
    """The vendor and the gateway's client of it; calls are numbered from 0 as they arrive."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.upstream = config(f"{server.url}/v1", kind="anthropic", options={})
        self.client = ProviderClient(self.upstream, provider())
        self.requests: list[Json] = []
        self.phases = phases(self.upstream)

    async def post(self, **fields: Any) -> UpstreamAnswer:
        """A chat."""
        self.phases = phases(self.upstream)
        body = json.dumps({**ASK, **fields}).encode()
        return await self.client.post("/chat/completions", body, phases=self.phases, model="claude-opus-4-1")

    async def whole(self, **fields: Any) -> bytes:
        """A chat's answer, whose connections are given back if it came whole."""
        answer = await self.post(**fields)
        is_complete, got = False, b""
        try:
            while piece := await answer.read_any():
                got += piece
            is_complete = True
        finally:
            answer.release(is_complete=is_complete)
        return got

    async def wait_all_gone(self) -> None:
        """Wait until no connection is open any more."""
        async with asyncio.timeout(5):
            for peer in self.server.peers:
                await peer.gone.wait()


@asynccontextmanager
async def vendor(answer: Answer) -> AsyncIterator[Vendor]:
    """One that answers each call by `answer`."""

    async def handle(peer: Peer) -> None:
        while True:
            _, body = await peer.request()
            number = len(running.requests)
            running.requests.append(json.loads(body))
            await answer(peer, running.requests[-1], number)

    async with serving(handle) as server:
        running = Vendor(server)
        yield running
        await running.client.close()


def said(number: int) -> Said:
    """What the call of a number is answered."""
    return Said(text=f"It is {number}.", input=10, cached=7, output=3)


def whole(wire: Json, number: int) -> bytes:
    """A plain answer."""
    body = json.dumps(anthropic.message(wire, said(number))).encode()
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)


def refusal(status: int, kind: str, *, headers: str = "") -> bytes:
    """A refusal."""
    body = json.dumps(anthropic.error(kind, "No.")).encode()
    return f"HTTP/1.1 {status} No\r\n{headers}Content-Length: {len(body)}\r\n\r\n".encode() + body


def events(wire: Json, number: int) -> list[bytes]:
    """The events of a streamed answer."""
    return [anthropic.sse(event) for event in anthropic.events(wire, said(number))]


def chunk(data: bytes) -> bytes:
    """One piece of a stream; its head is `HEAD`, and `END` its end."""
    return b"%x\r\n%b\r\n" % (len(data), data)


async def answers(peer: Peer, wire: Json, number: int) -> None:
    """As the vendor does: whole, or event by event."""
    if not wire.get("stream"):
        peer.write(whole(wire, number))
        return
    peer.write(HEAD + b"".join(chunk(event) for event in events(wire, number)) + END)


def chunks_of(stream: bytes) -> list[Json]:
    """The data of a stream but `[DONE]`, which must be its end, and nowhere else."""
    datas = [data for _, data in sse.iter_events(stream)]
    assert datas[-1] == b"[DONE]"
    assert datas.count(b"[DONE]") == 1
    return [json.loads(data or b"") for data in datas[:-1]]


def texts_of(chunks: Sequence[Json]) -> dict[int, str]:
    """What each choice says."""
    texts: dict[int, str] = {}
    for choice in (choice for chunk in chunks for choice in chunk["choices"]):
        texts[choice["index"]] = texts.get(choice["index"], "") + (choice["delta"].get("content") or "")
    return texts
