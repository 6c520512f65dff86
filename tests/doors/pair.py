"""The two processes of a gateway told apart: who holds which connection."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import httpx

from bench.soak import sample
from tests.doors.gateway import Gateway
from tests.services import wait_until


def connections(gateway: Gateway) -> dict[int, int]:
    """How many client connections each process holds."""
    return {
        pid: sample([pid], port=gateway.port, upstream_ports=()).client_sockets
        for pid in gateway.server_pids()
    }


@contextlib.contextmanager
def client_of_each(gateway: Gateway) -> Iterator[list[httpx.Client]]:
    """A client on a kept connection to each of two processes, without a key."""
    with contextlib.ExitStack() as opened:
        found: dict[int, httpx.Client] = {}

        def reach_another() -> bool:
            client = opened.enter_context(gateway.client(""))
            before = connections(gateway)
            client.get("/health")
            for pid, count in connections(gateway).items():
                if count > before.get(pid, 0):
                    found.setdefault(pid, client)
            return len(found) == 2

        wait_until(reach_another, 20, "a connection to each process")
        yield list(found.values())
