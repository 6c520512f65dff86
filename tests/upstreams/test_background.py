"""Work that outlives its request belongs to the loop that it began on."""

from __future__ import annotations

import asyncio

from upstreams_app.services import background


def test_the_end_of_another_threads_loop_ends_nothing_of_this_one() -> None:
    # As when an administrator tries a tool out: the trial has a loop of its own.
    async def other() -> None:
        await background.finish(3)

    async def work() -> None:
        go_on = asyncio.Event()
        done: list[bool] = []

        async def late() -> None:
            await go_on.wait()
            done.append(True)

        background.spawn(late())
        async with asyncio.timeout(3):
            await asyncio.to_thread(asyncio.run, other())
        go_on.set()
        await background.finish(3)
        assert done == [True]

    asyncio.run(work())
