"""The server's end of the socket to an agent's process: it takes little memory, and leaves others time."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Awaitable, Callable
from contextlib import closing
from typing import TypeVar

import pytest

from agents_app.isolation.frames import FrameError, send_frame
from agents_app.isolation.processes import Child
from agents_app.services import process_link
from agents_app.services.isolated_frames import DropFrame
from agents_app.services.process_link import Pace, ProcessLink

T = TypeVar("T")
FRAME = {"output": "x" * 1_000_000}


def linked(work: Callable[[ProcessLink, socket.socket], Awaitable[T]]) -> T:
    """What comes of work with a link, and the process's end of it."""

    async def main() -> T:
        ours, theirs = socket.socketpair()
        output, printing = os.pipe2(os.O_NONBLOCK)
        ending, telling = os.pipe()
        try:
            with closing(Child(ours, output, ending)) as child, theirs:
                link = await ProcessLink.open(child)
                try:
                    return await work(link, theirs)
                finally:
                    link.close()
        finally:
            os.close(printing)
            os.close(telling)

    return asyncio.run(main())


def test_calls_that_are_dropped_leave_nothing_in_memory() -> None:
    """A process may make calls, drop them, and never read an answer."""

    async def work(link: ProcessLink, theirs: socket.socket) -> int:
        for _ in range(20):
            call = asyncio.create_task(link.send(FRAME))
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            call.cancel()
            await asyncio.gather(call, return_exceptions=True)
        waiting: int = link._writer.transport.get_write_buffer_size()
        return waiting

    assert linked(work) < 2_000_000


def test_a_frame_has_no_more_parts_than_others_can_wait_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process_link, "_FRAME_PARTS", 20)

    async def work(link: ProcessLink, theirs: socket.socket) -> None:
        await link.begin({"token": "t"})
        send_frame(theirs, {"do": "drop", "id": 1, "token": "t"})
        assert await link.read() == DropFrame(1)
        send_frame(theirs, {"do": "call", "id": 1, "request": {"a": [[]] * 30}, "token": "t"})
        with pytest.raises(FrameError, match="too many parts"):
            await link.read()

    linked(work)


def test_who_takes_much_work_waits_and_others_do_not(monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[float] = []

    class Noting(Pace):
        WORK_S = 0.0

        async def rest(self, spent_s: float) -> None:
            waited.append(spent_s)

    monkeypatch.setattr(process_link, "_pace", Noting())

    async def work(link: ProcessLink, theirs: socket.socket) -> None:
        await link.begin({"token": "t"})
        for number in (1, 2):
            send_frame(theirs, {"do": "drop", "id": number, "token": "t"})
            assert await link.read() == DropFrame(number)

    linked(work)

    assert len(waited) == 1


def test_processes_rest_one_after_the_other(monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    monkeypatch.setattr(asyncio, "sleep", sleep)
    pace = Pace()

    async def work() -> None:
        await pace.rest(100.0)
        await pace.rest(100.0)

    asyncio.run(work())

    assert [round(one, -1) for one in slept] == [300, 600]
