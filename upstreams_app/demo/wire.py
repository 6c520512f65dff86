"""The form of the demo's answers: a JSON body, or server-sent events as OpenAI frames them."""

from __future__ import annotations

import asyncio
import hashlib
import itertools
from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from gateway_project.core.codec import dumps

# After so many events a stream lets others run, however fast its client takes them.
EVENTS_AT_ONCE: Final = 64
DONE: Final = b"data: [DONE]\n\n"
_serial = itertools.count(1)


@dataclass(frozen=True, slots=True)
class DemoAnswer:
    """Either `body` or `events` is set; each item of `events` is one or several whole events."""

    status: int
    headers: dict[str, str]
    body: bytes | None = None
    events: AsyncIterator[bytes] | None = None


def json_answer(content: Mapping[str, Any], *, status: int = 200) -> DemoAnswer:
    """A plain answer."""
    return DemoAnswer(status, {"content-type": "application/json"}, body=dumps(content))


def event_answer(chunks: Iterable[Mapping[str, Any]], *, pause_s: float = 0.0) -> DemoAnswer:
    """A stream of chunks, closed by [DONE], with a pause before each chunk if one is asked for."""
    headers = {"content-type": "text/event-stream; charset=utf-8", "cache-control": "no-cache"}
    return DemoAnswer(200, headers, events=_events(chunks, pause_s))


async def _events(chunks: Iterable[Mapping[str, Any]], pause_s: float) -> AsyncIterator[bytes]:
    for number, chunk in enumerate(chunks, 1):
        if pause_s or number % EVENTS_AT_ONCE == 0:
            await asyncio.sleep(pause_s)
        yield b"data: " + dumps(chunk) + b"\n\n"
    yield DONE


def content_id(prefix: str, content: bytes) -> str:
    """An id from the request's content and a serial number, so that repeated requests differ."""
    return f"{prefix}demo{content_digest(content)}{next(_serial):06x}"


def content_digest(content: bytes) -> str:
    """16 hexadecimal digits that depend on the content alone."""
    return hashlib.blake2b(content, digest_size=8).hexdigest()
