"""P2C over EWMA against weighted shuffle through a running gateway: four vendors on loopback, one slow.

Requests arrive at seeded moments, whatever became of those before; each round has another slow vendor, which
the gateway has to find out. The 99th percentile counts from the moment when a request was due.
"""

from __future__ import annotations

import asyncio
import random
import statistics
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

from bench.client import Connection, Target, connect
from bench.gateway import Services, gateway, over_vendors
from bench.processes import free_port
from bench.vendor import CHAT

ROUNDS = 5
_REQUESTS = 700
_PER_S = 220.0
_QUICK_S, _SLOW_S = 0.05, 0.6
_VENDORS = 4
STRATEGIES = ("weighted", "latency")


class _Vendor:
    """Answers each chat after a time of its own, seeded and with a long tail."""

    def __init__(self, seed: int) -> None:
        self.mean_s = _QUICK_S
        self.port = 0
        self._draw = random.Random(seed)
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    def stop(self) -> None:
        if self._server is not None:
            self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).lower()
                await reader.readexactly(int(head.partition(b"content-length:")[2].partition(b"\r\n")[0]))
                await asyncio.sleep(self.mean_s * self._draw.lognormvariate(0, 0.35))
                writer.write(CHAT)
        writer.transport.abort()


async def _p99_s(target: Target, seed: int) -> float:
    loop = asyncio.get_running_loop()
    request = target.request(target.chat_body())
    idle: list[Connection] = []
    took: list[float] = []

    async def ask(due: float) -> None:
        connection = idle.pop() if idle else await connect(target)
        answer = await connection.request(request)
        if answer.status != 200:
            raise RuntimeError(f"the gateway answered {answer.status}: {answer.excerpt!r}")
        took.append(loop.time() - due)
        idle.append(connection)

    began = loop.time()
    async with asyncio.TaskGroup() as group:
        for moment in arrivals(random.Random(seed), requests=_REQUESTS, per_s=_PER_S):
            await asyncio.sleep(max(0.0, began + moment - loop.time()))
            group.create_task(ask(began + moment))
    for connection in idle:
        connection.close()
    return statistics.quantiles(took, n=100)[98]


def arrivals(draw: random.Random, *, requests: int, per_s: float) -> Iterator[float]:
    """When so many requests come, in seconds from the start: each for itself, that many in a second."""
    moment = 0.0
    for _ in range(requests):
        moment += draw.expovariate(per_s)
        yield moment


def p99s() -> list[tuple[float, ...]]:
    """The 99th percentiles in seconds of each round, in the order of STRATEGIES."""
    return asyncio.run(_p99s())


async def _p99s() -> list[tuple[float, ...]]:
    vendors = [_Vendor(seed) for seed in range(_VENDORS)]
    rounds = []
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-routing-")))
        for vendor in vendors:
            await vendor.start()
            stack.callback(vendor.stop)
        port = free_port()
        server = gateway(folder, port, core=None, services=Services(), profile={})
        await asyncio.to_thread(stack.enter_context, server)
        ports = [vendor.port for vendor in vendors]
        targets = [await asyncio.to_thread(over_vendors, port, ports, name) for name in STRATEGIES]
        for seed in range(ROUNDS):
            for index, vendor in enumerate(vendors):
                vendor.mean_s = _SLOW_S if index == seed % _VENDORS else _QUICK_S
            rounds.append(tuple([await _p99_s(target, seed) for target in targets]))
    return rounds
