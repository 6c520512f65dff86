"""Short tasks that outlive their request: owned here, waited for and cancelled when their loop ends."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine

_tasks: set[asyncio.Task[None]] = set()


def spawn(work: Coroutine[object, object, None]) -> asyncio.Task[None]:
    """Run a bounded piece of work on the current loop."""
    task = asyncio.get_running_loop().create_task(work)
    _tasks.add(task)
    task.add_done_callback(_tasks.discard)
    return task


async def finish(timeout_s: float) -> None:
    """Wait for what runs on the current loop, then cancel the rest."""
    loop = asyncio.get_running_loop()
    # Another thread's loop, such as that of a tool's trial in the admin, has tasks of its own.
    tasks = [task for task in list(_tasks) if task.get_loop() is loop]
    if not tasks:
        return
    _, pending = await asyncio.wait(tasks, timeout=timeout_s)
    for task in pending:
        task.cancel()
    if pending:
        await asyncio.wait(pending, timeout=1)
