"""A vendor on the test's own event loop, whose faults can be changed while calls are under way."""

from __future__ import annotations

import asyncio
import json
from collections import Counter, deque
from collections.abc import Callable
from typing import Any, Final

OK: Final = "ok"
HANG: Final = "hang"
FAILS: Final = "500"
LIMITED: Final = "429"
DEAD: Final = "dead"
FAULTS: Final = (HANG, FAILS, LIMITED, DEAD)
# How long after an answer was written nobody knows whether it was read.
_UNREAD_S = 0.2
_HEAD = b"HTTP/1.1 %d X\r\nContent-Type: %b\r\nContent-Length: %d\r\n%b\r\n"


class ShakyVendor:
    """`asked` counts requests by their marker (the `user` field), `answered` those that got a good answer,
    `hung` those that never got one, `cut` those whose answer may have been lost when the vendor died.

    A mode that is a number is a status to answer with. What is dead refuses connections and breaks those
    that are open; what hangs takes requests, and never answers those, whatever it does later.
    """

    def __init__(self, *, delay_s: float = 0.0) -> None:
        self.mode = OK
        self.delay_s = delay_s
        # Called when a good answer is written.
        self.when_answered: Callable[[], None] = lambda: None
        self.port = 0
        self.accepted = 0
        self.was_asked = asyncio.Event()
        self.asked: Counter[str] = Counter()
        self.answered: Counter[str] = Counter()
        self.hung: Counter[str] = Counter()
        self.cut: Counter[str] = Counter()
        # The latest requests.
        self.heads: deque[dict[str, str]] = deque(maxlen=10)
        self.bodies: deque[dict[str, Any]] = deque(maxlen=10)
        # The last good answer of each connection, and when it was written.
        self._written: dict[asyncio.StreamWriter, tuple[str, float]] = {}
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        """Scheme, host and port."""
        return f"http://127.0.0.1:{self.port}"

    async def start(self) -> None:
        """Listen, at the same port as before."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def become(self, mode: str) -> None:
        """Behave in another way from now on."""
        was, self.mode = self.mode, mode
        if mode == DEAD and self._server is not None:
            self._server.close()
            for writer in list(self._open):
                self._note_cut(writer)
                writer.transport.abort()
        elif was == DEAD:
            await self.start()

    async def stop(self) -> None:
        """End everything."""
        if self._server is not None:
            self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _note_cut(self, writer: asyncio.StreamWriter) -> None:
        marker, at = self._written.get(writer, ("", 0.0))
        if asyncio.get_running_loop().time() - at < _UNREAD_S:
            self.cut[marker] += 1

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self._open.add(writer)
        self.accepted += 1
        try:
            while True:
                await self._answer(reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass  # The client left, or the vendor died.
        finally:
            self._open.discard(writer)
            self._written.pop(writer, None)
            self._tasks.discard(task)
            writer.transport.abort()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        lines = [line.partition(": ") for line in head.split("\r\n")[1:-2]]
        self.heads.append({name.lower(): value for name, _, value in lines})
        body = json.loads(await reader.readexactly(int(self.heads[-1]["content-length"])))
        self.bodies.append(body)
        marker = str(body.get("user"))
        self.asked[marker] += 1
        self.was_asked.set()
        mode = self.mode
        if mode == HANG:
            self.hung[marker] += 1
            await asyncio.get_running_loop().create_future()
        if mode.isdigit():
            extra = b"Retry-After: 1\r\n" if mode == LIMITED else b""
            writer.write(_HEAD % (int(mode), b"application/json", 2, extra) + b"{}")
            return
        if self.delay_s:
            await asyncio.sleep(self.delay_s)
        if self.mode == DEAD or writer.transport.is_closing():
            # It died between the request and the answer, which nobody will get.
            raise ConnectionResetError
        self.answered[marker] += 1
        kind, answer = (
            (b"text/event-stream", _stream()) if body.get("stream") else (b"application/json", _plain())
        )
        writer.write(_HEAD % (200, kind, len(answer), b"") + answer)
        self._written[writer] = (marker, asyncio.get_running_loop().time())
        self.when_answered()


_USAGE = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}


def _plain() -> bytes:
    message = {"role": "assistant", "content": "fine"}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    answer = {"id": "x", "object": "chat.completion", "model": "m", "choices": [choice], "usage": _USAGE}
    return json.dumps(answer).encode()


def _stream() -> bytes:
    choice = {"index": 0, "delta": {"content": "fine"}, "finish_reason": "stop"}
    chunk = {"id": "x", "object": "chat.completion.chunk", "model": "m", "choices": [choice]}
    return b"data: %b\n\ndata: [DONE]\n\n" % json.dumps(chunk).encode()
