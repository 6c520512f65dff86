"""`python -m bench.mcp`: what a call of an MCP server's tool costs through the gateway.

Beside it are the same call without anything between, and through a proxy that is the official package's
server and client and nothing else: the two edges that a gateway can't do without. The target is a p50 at one
connection of at most 2 ms above the proxy's. Calls are plain JSON of the revision 2026-07-28.
"""

from __future__ import annotations

import argparse
import asyncio
import shutil
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from time import monotonic, perf_counter, sleep
from typing import NamedTuple

import aiohttp
import uvloop

from bench.gateway import Services, gateway, with_mcp_server
from bench.processes import Server, StartError, accepts, cores, free_port, python

VERSION = "2026-07-28"
SETTLE_S = 2.0
FOUND_S = 30.0
_META = {
    "io.modelcontextprotocol/protocolVersion": VERSION,
    "io.modelcontextprotocol/clientCapabilities": {},
}


class Way(NamedTuple):
    """A way to the tool. `server` is what stands between; None: nothing does."""

    name: str
    url: str
    tool: str
    key: str
    server: Server | None


class Figures(NamedTuple):
    """Of one round: milliseconds."""

    p50: float
    p99: float
    cpu: float
    calls_per_s: float


def main() -> int:
    """Measure in turns and print a table."""
    parser = argparse.ArgumentParser(prog="python -m bench.mcp", description=__doc__)
    parser.add_argument("--calls", type=int, default=1000, help="a round's, of each way")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--connections", type=int, nargs="+", default=[1, 16])
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="agent-gateway-bench-"))
    try:
        with ExitStack() as stack:
            ways = started(stack, folder)
            for connections in options.connections:
                _print(connections, measured(ways, connections, options.calls, options.rounds))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return 0


def started(stack: ExitStack, folder: Path) -> list[Way]:
    """The server, the proxy and the gateway, ready; the stack ends them."""
    server_core, load_core = cores()
    ports = free_port(), free_port(), free_port()
    url = f"http://127.0.0.1:{ports[0]}/mcp"
    peer = _peer("peer", folder, ports[0], load_core)
    proxy = _peer("proxy", folder, ports[1], server_core, "--upstream", url)
    ours = gateway(folder, ports[2], core=server_core, services=Services(), profile={})
    for server in (peer, proxy, ours):
        stack.enter_context(server)
    key = with_mcp_server(ports[2], url)
    ways = [
        Way("direct", url, "echo", "", None),
        Way("proxy", f"http://127.0.0.1:{ports[1]}/mcp", "echo", "", proxy),
        Way("gateway", f"http://127.0.0.1:{ports[2]}/mcp", "bench__echo", key, ours),
    ]
    _wait_until_found(ways[2])
    return ways


def _peer(name: str, folder: Path, port: int, core: int | None, *arguments: str) -> Server:
    return Server(
        name=name,
        command=python("-m", "bench.mcp_peers", "--port", str(port), *arguments),
        log=folder / f"{name}.log",
        is_ready=accepts(port),
        core=core,
    )


def _wait_until_found(way: Way) -> None:
    """The gateway looks for tools by itself, soon after a server is added."""
    deadline = monotonic() + FOUND_S
    while True:
        try:
            uvloop.run(_round(way, 1, 1))
            return
        except StartError:
            if monotonic() > deadline:
                raise
            sleep(0.2)


def measured(ways: Sequence[Way], connections: int, calls: int, rounds: int) -> dict[str, list[Figures]]:
    """Each way's figures, round by round; the ways take turns."""
    found: dict[str, list[Figures]] = {way.name: [] for way in ways}
    for way in ways:
        uvloop.run(_round(way, connections, max(calls // 10, connections)))
    for _ in range(rounds):
        for way in ways:
            before = way.server.cpu_s() if way.server is not None else 0.0
            began = monotonic()
            took = sorted(uvloop.run(_round(way, connections, calls)))
            lasted_s = monotonic() - began
            # The ledger writes its last lines after the last answer.
            sleep(SETTLE_S)
            cpu_s = way.server.cpu_s() - before if way.server is not None else 0.0
            p99 = took[int(len(took) * 0.99)]
            found[way.name].append(Figures(median(took), p99, cpu_s * 1000 / calls, calls / lasted_s))
    return found


async def _round(way: Way, connections: int, calls: int) -> list[float]:
    """How long each call took, in milliseconds."""
    headers = {
        "accept": "application/json, text/event-stream",
        "mcp-protocol-version": VERSION,
        "mcp-method": "tools/call",
        "mcp-name": way.tool,
        **({"authorization": f"Bearer {way.key}"} if way.key else {}),
    }
    params = {"name": way.tool, "arguments": {"text": "hello"}, "_meta": _META}
    took: list[float] = []
    left = iter(range(calls))

    async def work(session: aiohttp.ClientSession) -> None:
        for number in left:
            began = perf_counter()
            body = {"jsonrpc": "2.0", "id": number, "method": "tools/call", "params": params}
            async with session.post(way.url, json=body, headers=headers) as response:
                answer = await response.read()
            if b'"hello"' not in answer:
                raise StartError(f"{way.name} answered {response.status}: {answer[:300]!r}")
            took.append((perf_counter() - began) * 1000)

    async with aiohttp.ClientSession() as session:
        await asyncio.gather(*(work(session) for _ in range(connections)))
    return took


def _print(connections: int, found: dict[str, list[Figures]]) -> None:
    sys.stdout.write(f"\n{connections} at once, medians of rounds\n")
    middles = {name: [median(column) for column in zip(*rows, strict=True)] for name, rows in found.items()}
    for name, (p50, p99, cpu, rate) in middles.items():
        cpu_text = f"{cpu:.2f}" if cpu else "-"
        sys.stdout.write(
            f"{name:8} p50 {p50:.2f} ms, p99 {p99:.2f} ms, CPU {cpu_text} ms a call, {rate:.0f} calls/s\n"
        )
    above = middles["gateway"][0] - middles["proxy"][0]
    sys.stdout.write(f"gateway above proxy: {above:+.2f} ms at p50\n")


if __name__ == "__main__":
    sys.exit(main())
