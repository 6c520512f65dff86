"""The server's end of the socket to an agent's process: what waits for the process stays little."""

from __future__ import annotations

import asyncio
import os
import socket
from contextlib import closing

from agents_app.isolation.processes import Child
from agents_app.services.process_link import ProcessLink

FRAME = {"output": "x" * 1_000_000}


def test_calls_that_are_dropped_leave_nothing_in_memory() -> None:
    """A process may make calls, drop them, and never read an answer."""

    async def work() -> int:
        ours, theirs = socket.socketpair()
        output, printing = os.pipe2(os.O_NONBLOCK)
        ending, telling = os.pipe()
        with closing(Child(ours, output, ending)) as child, theirs:
            link = await ProcessLink.open(child)
            for _ in range(20):
                call = asyncio.create_task(link.send(FRAME))
                await asyncio.sleep(0)
                await asyncio.sleep(0)
                call.cancel()
                await asyncio.gather(call, return_exceptions=True)
            waiting: int = link._writer.transport.get_write_buffer_size()
            link.close()
        os.close(printing)
        os.close(telling)
        return waiting

    assert asyncio.run(work()) < 2_000_000
