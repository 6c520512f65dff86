"""Threads for blocking work of the gateway's own that is no database work (db.py).

The event loop's default threads are for blocking tools of agents, which may never give them back.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

_THREADS = 4
_pool = ThreadPoolExecutor(max_workers=_THREADS, thread_name_prefix="gateway")


async def in_own_thread(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Run a blocking function that ends by itself, and soon, off the event loop."""
    return await asyncio.get_running_loop().run_in_executor(_pool, lambda: function(*args, **kwargs))
