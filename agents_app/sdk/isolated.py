"""The task of a run's process: run an agent on one request, with models and tools beyond the socket.

The run is the same as in the server's process; its door is a frame that asks, and a frame that answers.
"""

from __future__ import annotations

import asyncio
import itertools
import socket
import traceback
from collections.abc import Collection
from contextlib import aclosing
from dataclasses import asdict
from pathlib import Path
from time import perf_counter
from typing import Any

from agents_app.entry import AgentEntry
from agents_app.errors import AgentFailed, RunLimitExceeded
from agents_app.folders import Folder, digest_of
from agents_app.isolation.frames import Frame, FrameError, encode, read_frame, receive_frame, send_frame
from agents_app.sdk.gateway_tools import ToolSpec, tools_from
from agents_app.sdk.loader import DropInError, load
from agents_app.sdk.nested import models_from
from agents_app.sdk.runner import Run
from agents_app.sdk.tracing import recording
from agents_app.trace import Recorder, caller
from gateway_project.core.errors import GatewayError, InvalidRequest, PermissionDenied, UpstreamFailed

# Errors that this side may make; all others are those of calls, which the server knows.
OWN_ERRORS = (InvalidRequest, PermissionDenied, RunLimitExceeded, UpstreamFailed, AgentFailed)


class CallFailed(GatewayError):
    """A call that this run made failed; the server knows how, and tells the client."""

    def __init__(
        self, message: str, call_id: int, *, status: int | None = None, code: str | None = None
    ) -> None:
        super().__init__(message, status=status, code=code)
        self.call_id = call_id


def main(channel: socket.socket, path: str) -> None:
    """Take the request, run the agent, and send what comes of it."""
    order = receive_frame(channel)
    if order is None:
        return
    token = order["token"]
    try:
        entry = _entry(order, Path(path))
    except (DropInError, OSError, ValueError) as error:
        traceback.print_exc()
        failed = {"kind": "Changed" if isinstance(error, _Changed) else "AgentFailed"}
        send_frame(channel, {"token": token, "do": "end", "error": failed})
        return
    asyncio.run(_run(channel, entry, order))


class _Changed(ValueError):
    """The folder is not what the server looked at."""


def _entry(order: Frame, path: Path) -> AgentEntry:
    folder = Folder(path=path, **order["folder"])
    if digest_of(path) != folder.digest:
        raise _Changed("The files changed since they were loaded.")
    for loaded in load(folder):
        if loaded.slug == order["slug"]:
            return AgentEntry(**order["entry"], id_json=b"", agent=loaded.agent, generation=loaded.generation)
    raise DropInError("There is no such agent in the folder.")


async def _run(channel: socket.socket, entry: AgentEntry, order: Frame) -> None:
    reader, writer = await asyncio.open_unix_connection(sock=channel)
    link = _Link(reader, writer, order["token"])
    listening = asyncio.create_task(link.listen())
    trace = Recorder(keeps_content=entry.records_content, is_for_another=True)
    try:
        run = Run.of(entry, order["fields"], _RemoteDoor(link))
        tools = _RemoteTools(link, order["tools"])
        with models_from(run.config.model_provider), recording(trace), tools_from(tools):
            text = ""
            if order["is_stream"]:
                async with aclosing(run.pieces()) as pieces:
                    async for piece in pieces:
                        await link.send({"do": "piece", "delta": piece.delta, "step": piece.step})
            else:
                text = await run.answer()
        end: Frame = {"do": "end", "text": text, "outcome": asdict(run.outcome)}
    except Exception as error:  # noqa: BLE001  (whatever the agent's code raises)
        end = {"do": "end", "error": _told(error)}
    steps = [step.plain(trace.started) for step in trace.steps]
    elapsed_ms = (perf_counter() - trace.started) * 1000
    await link.send({"do": "steps", "steps": steps, "elapsed_ms": elapsed_ms})
    await link.send(end)
    # The server closes its end, and with that ends this process.
    await listening


def _told(error: Exception) -> Frame:
    """An error as the server takes it; the stack is for the log."""
    if isinstance(error, CallFailed):
        return {"call": error.call_id}
    if isinstance(error, OWN_ERRORS) and not isinstance(error, AgentFailed):
        kind = next(kind for kind in OWN_ERRORS if isinstance(error, kind))
        return {"kind": kind.__name__, "message": error.message, "param": error.param, "code": error.code}
    traceback.print_exception(error)
    message = error.message if isinstance(error, AgentFailed) else ""
    return {"kind": AgentFailed.__name__, "message": message}


class _Link:
    """The socket: frames out with the run's token, and answers in for whoever waits for them."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, token: str) -> None:
        self._reader = reader
        self._writer = writer
        self._token = token
        self._numbers = itertools.count(1)
        self._waiting: dict[int, asyncio.Queue[Frame]] = {}
        self.loop = asyncio.get_running_loop()

    async def listen(self) -> None:
        """Hand out answers until the server closes the socket; then nothing here matters any more."""
        while (frame := await read_frame(self._reader)) is not None:
            if (queue := self._waiting.get(frame["id"])) is not None:
                queue.put_nowait(frame)

    async def send(self, frame: Frame) -> None:
        """Send one, and wait while the server takes no more."""
        try:
            self._writer.write(encode({**frame, "token": self._token}))
        except FrameError:
            raise AgentFailed("The agent sent more than a frame can hold.") from None
        await self._writer.drain()

    async def ask(self, frame: Frame) -> tuple[int, asyncio.Queue[Frame]]:
        """Send a question; where its answers come."""
        if asyncio.get_running_loop() is not self.loop:
            raise AgentFailed("Connections belong to the run's event loop, and can't be used in another.")
        number = next(self._numbers)
        queue = self._waiting[number] = asyncio.Queue()
        await self.send({**frame, "id": number})
        return number, queue

    def forget(self, number: int, *, is_over: bool) -> None:
        """Nobody waits for these answers any more; the server is told unless it has sent the last."""
        if self._waiting.pop(number, None) is not None and not is_over:
            self._writer.write(encode({"do": "drop", "id": number, "token": self._token}))


def _raise_if_failed(frame: Frame, number: int) -> None:
    if "error" in frame:
        raise CallFailed(str(frame["error"]), number, status=frame.get("status"), code=frame.get("code"))


def _call(request: Frame) -> Frame:
    """The wish for an LLM call of the step around the caller."""
    return {"do": "call", "request": request, "step": caller.get()}


class _RemoteTools:
    """The gateway's tools: the server has told which there are, and calls them."""

    def __init__(self, link: _Link, tools: dict[str, Frame]) -> None:
        self._link = link
        self._tools = {name: ToolSpec(one["description"], one["parameters"]) for name, one in tools.items()}

    def names(self) -> Collection[str]:
        """The tools that the run's key may use."""
        return self._tools.keys()

    def spec(self, name: str) -> ToolSpec | None:
        """What one is."""
        return self._tools.get(name)

    async def invoke(self, name: str, arguments_json: str, call_id: str) -> str:
        """Have one called; what the model is to read."""
        wish = {"do": "tool", "name": name, "arguments": arguments_json, "call_id": call_id}
        number, queue = await self._link.ask(wish)
        is_over = False
        try:
            output = str((await queue.get())["output"])
            is_over = True
        finally:
            self._link.forget(number, is_over=is_over)
        return output


class _RemoteDoor:
    """What a run's LLM calls go through: the server makes them."""

    def __init__(self, link: _Link) -> None:
        self._link = link
        self.finish_reason = "stop"

    async def complete(self, request: Frame) -> Frame:
        """A whole answer; raises GatewayError."""
        number, queue = await self._link.ask(_call(request))
        is_over = False
        try:
            frame = await queue.get()
            is_over = True
        finally:
            self._link.forget(number, is_over=is_over)
        _raise_if_failed(frame, number)
        answer: Frame = frame["answer"]
        return answer

    async def stream(self, request: Frame) -> _RemoteChunks:
        """A stream that has begun; raises GatewayError."""
        number, queue = await self._link.ask(_call(request))
        chunks = _RemoteChunks(self._link, number, queue)
        await chunks.open()
        return chunks


class _RemoteChunks:
    """The chunks of one streamed call, as they come."""

    def __init__(self, link: _Link, number: int, queue: asyncio.Queue[Frame]) -> None:
        self._link = link
        self._number = number
        self._queue = queue
        self._is_over = False

    async def open(self) -> None:
        """Wait until the upstream began to answer."""
        await self._next()

    async def __anext__(self) -> dict[str, Any]:
        frame = await self._next()
        chunk: dict[str, Any] = frame["chunk"]
        return chunk

    async def aclose(self) -> None:
        """End the call, if it runs still."""
        self._link.forget(self._number, is_over=self._is_over)

    async def _next(self) -> Frame:
        if self._is_over:
            raise StopAsyncIteration
        try:
            frame = await self._queue.get()
            self._is_over = "error" in frame or "end" in frame
            _raise_if_failed(frame, self._number)
        except BaseException:
            await self.aclose()
            raise
        if self._is_over:
            await self.aclose()
            raise StopAsyncIteration
        return frame
