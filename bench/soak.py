"""Parts of the long proofs (`make soak`): drive many requests, and see what a server holds on to.

    result = drive(Target("gateway", port, key=key), requests=100_000, connections=16)
    before = sample([pid], port=port, upstream_ports={vendor_port})

`drive` survives a server that is killed meanwhile: it connects again and says which requests were
answered. `sample` reads /proc (Linux) and needs to run as the same user as the server.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic, perf_counter, sleep

import uvloop

from bench.client import Answer, Connection, Target, connect
from bench.processes import rss_kib

RECONNECT_S = 0.05
NO_ANSWER = 0
LISTEN = "0A"


@dataclass(slots=True)
class DriveResult:
    """`statuses` by HTTP status, NO_ANSWER (0) for connections lost before the answer's end.

    `request_ids` are the `x-request-id` of complete answers with status 200: the ledger must hold
    each of them exactly once.
    """

    statuses: Counter[int] = field(default_factory=Counter)
    request_ids: list[str] = field(default_factory=list)
    events: int = 0
    duration_s: float = 0.0
    first_failure: str = ""

    def add(self, answer: Answer) -> None:
        """Count one complete answer."""
        self.statuses[answer.status] += 1
        self.events += answer.events
        if answer.status == 200:
            self.request_ids.append(answer.request_id)
        elif not self.first_failure:
            self.first_failure = f"{answer.status}: {answer.excerpt.decode(errors='replace')}"


@dataclass(frozen=True, slots=True)
class ProcessSample:
    """What processes hold at one moment; `other_sockets` are neither clients' nor upstreams'."""

    rss_kib: int
    fds: int
    client_sockets: int
    upstream_sockets: int
    other_sockets: int


def drive(
    target: Target, *, requests: int, connections: int, stream_plan: str = "", timeout_s: float = 600.0
) -> DriveResult:
    """Send `requests` chats; stops early, with what it has, when `timeout_s` is over.

    `stream_plan` (`burst:100:8`, `paced:20:5`; see vendor.py) makes them streams.
    """
    return uvloop.run(
        drive_async(
            target,
            requests=requests,
            connections=connections,
            stream_plan=stream_plan,
            timeout_s=timeout_s,
        )
    )


async def drive_async(
    target: Target, *, requests: int, connections: int, stream_plan: str = "", timeout_s: float = 600.0
) -> DriveResult:
    """`drive` for a caller that has an event loop."""
    result = DriveResult()
    payload = target.request(target.chat_body(stream_plan=stream_plan))
    budget = iter(range(requests))
    started = perf_counter()
    try:
        async with asyncio.timeout(timeout_s), asyncio.TaskGroup() as group:
            for _ in range(connections):
                group.create_task(_work(target, payload, budget, result))
    except TimeoutError:
        result.first_failure = result.first_failure or f"not finished in {timeout_s:.0f} s"
    result.duration_s = perf_counter() - started
    return result


async def _work(target: Target, payload: bytes, budget: Iterator[int], result: DriveResult) -> None:
    connection: Connection | None = None
    try:
        while next(budget, None) is not None:
            try:
                if connection is None or not connection.is_open:
                    connection = await connect(target)
                result.add(await connection.request(payload))
            except OSError:
                result.statuses[NO_ANSWER] += 1
                connection = None
                await asyncio.sleep(RECONNECT_S)
    finally:
        if connection is not None:
            connection.close()


def sample(pids: Collection[int], *, port: int, upstream_ports: Collection[int]) -> ProcessSample:
    """Memory, descriptors and connected TCP sockets of processes, summed."""
    client = upstream = other = fds = 0
    for pid in pids:
        descriptors = _descriptors(pid)
        fds += len(descriptors)
        inodes = {name[8:-1] for name in descriptors if name.startswith("socket:[")}
        for inode, local_port, remote_port, state in _tcp_sockets(pid):
            if inode not in inodes or state == LISTEN:
                continue
            if local_port == port:
                client += 1
            elif remote_port in upstream_ports:
                upstream += 1
            else:
                other += 1
    return ProcessSample(sum(rss_kib(pid) for pid in pids), fds, client, upstream, other)


def wait_for_no_clients(
    pids: Collection[int], *, port: int, upstream_ports: Collection[int], timeout_s: float = 10.0
) -> ProcessSample:
    """Poll until no client socket is left or the time is over; the last sample either way."""
    deadline = monotonic() + timeout_s
    while (seen := sample(pids, port=port, upstream_ports=upstream_ports)).client_sockets:
        if monotonic() > deadline:
            break
        sleep(0.1)
    return seen


def _descriptors(pid: int) -> list[str]:
    names = []
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        try:
            names.append(str(entry.readlink()))
        except FileNotFoundError:
            continue
    return names


def _tcp_sockets(pid: int) -> Iterator[tuple[str, int, int, str]]:
    """Inode, local port, remote port and state (hexadecimal) of the TCP sockets in the namespace."""
    for table in ("tcp", "tcp6"):
        path = Path(f"/proc/{pid}/net/{table}")
        if not path.exists():
            continue
        for line in path.read_text().splitlines()[1:]:
            words = line.split()
            local, remote = (int(words[i].rsplit(":", 1)[1], 16) for i in (1, 2))
            yield words[9], local, remote, words[3]
