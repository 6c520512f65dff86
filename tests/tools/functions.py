"""Functions that tools of the kind python call in tests."""

from __future__ import annotations

import asyncio
import threading
import time
from os import getcwd
from typing import Any

__all__ = ["getcwd"]

NOTHING = 7
SECRET = "internal detail 4711"
# Set when the waiting function was cancelled, or returned.
ended = threading.Event()


def add(a: int, b: int) -> int:
    """In a thread."""
    return a + b


async def greet(name: str) -> dict[str, str]:
    """On the loop."""
    await asyncio.sleep(0)
    return {"greeting": f"Hello {name}"}


def whoami(arguments: dict[str, Any], context: Any) -> dict[str, Any]:
    """With the call's context."""
    return {"given": arguments, "tool": context.tool, "agent": context.agent, "request": context.request_id}


def thread_name() -> str:
    """Where it runs."""
    return threading.current_thread().name


def fail() -> str:
    """As tools do."""
    raise ValueError(SECRET)


def leave() -> str:
    """As tools should not."""
    raise SystemExit(3)


def stop_iteration() -> str:
    """No future can hold it."""
    raise StopIteration


async def cancel_itself() -> str:
    """Nobody else cancels it."""
    raise asyncio.CancelledError


async def time_out_itself() -> str:
    """Not the tool's own time limit."""
    raise TimeoutError(SECRET)


async def wait_for_ever() -> str:
    """Until it is cancelled."""
    ended.clear()
    try:
        await asyncio.Event().wait()
    finally:
        ended.set()
    return ""


def block(seconds: float) -> str:
    """A thread that can't be cancelled."""
    time.sleep(seconds)
    return "late"


def repeat(text: str, times: int) -> str:
    """A result of any length."""
    return text * times


async def echo(value: str) -> str:
    """After the others had their turn."""
    await asyncio.sleep(0.02)
    return f"echo {value}"


class NoFunction:
    """A class is no function."""

    def __init__(self) -> None:
        self.made = True
