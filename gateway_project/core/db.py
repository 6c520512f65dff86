"""Database work outside Django's own request cycle: one pool of threads, connections checked each time.

Without the checks one dropped connection would fail every later call of its thread; without an own
pool, `sync_to_async` would run all calls one after the other on a single thread.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import ParamSpec, TypeVar

from django.db import close_old_connections, connections

P = ParamSpec("P")
T = TypeVar("T")

_THREADS = 8
_pool = ThreadPoolExecutor(max_workers=_THREADS, thread_name_prefix="db")


def with_fresh_connections(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Call `function` in this thread with connections that were tested, and return unusable ones."""
    close_old_connections()
    try:
        return function(*args, **kwargs)
    finally:
        close_old_connections()


def close_connections_of_this_thread() -> None:
    """Give back every connection that this thread holds; for threads that are about to end."""
    connections.close_all()


async def in_thread(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Run synchronous database code off the event loop; a transaction is one such function."""
    call = partial(with_fresh_connections, function, *args, **kwargs)
    return await asyncio.get_running_loop().run_in_executor(_pool, call)
