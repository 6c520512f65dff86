"""Runs whose agent's code is in a process of its own. What it wants of models and tools is done here.

The process knows a request, and one socket. All that comes from it is checked: it may be the code of anybody.
"""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import secrets
from collections.abc import AsyncGenerator, Coroutine
from contextlib import aclosing
from time import perf_counter
from typing import Any

from django.conf import settings

from agents_app.entry import AgentEntry, Place
from agents_app.errors import AgentFailed, RunLimitExceeded
from agents_app.isolation.forkserver import RUN
from agents_app.isolation.frames import Frame, FrameError
from agents_app.isolation.processes import RUN_LINGER_S, Child, ProcessError, forkserver
from agents_app.isolation.sandbox import Limits
from agents_app.pieces import Outcome, Piece
from agents_app.services.door import RunDoor
from agents_app.services.isolated_frames import (
    CallFrame,
    DropFrame,
    EndFrame,
    ErrorFrame,
    PieceFrame,
    StepsFrame,
    ToolFrame,
)
from agents_app.services.process_link import ProcessLink
from agents_app.services.process_slots import slots
from agents_app.services.tool_door import RunTools
from agents_app.trace import MAX_STEPS, caller
from gateway_project.core.errors import (
    GatewayError,
    InvalidRequest,
    Overloaded,
    PermissionDenied,
    UpstreamFailed,
)
from gateway_project.core.ids import public_id

logger = logging.getLogger(__name__)
_MAX_OPEN_CALLS = 64
_MAX_ERRORS = 100
# Of models and tools, those that fail at once among them.
_MAX_CALLS = 20_000
# After so many frames of a process others have a turn, also if more of its frames are there.
_FRAMES_IN_A_ROW = 64
_GUARDED = "guardrail_blocked"
_MAX_PARAM = 200
_NOT_SENT = frozenset({"agent", "generation", "place", "id_json", "gateway_tools", "made_of"})
_KINDS: dict[str, type[GatewayError]] = {
    kind.__name__: kind
    for kind in (InvalidRequest, PermissionDenied, RunLimitExceeded, UpstreamFailed, AgentFailed)
}
_MEGABYTE = 1_000_000


class IsolatedRun:
    """As `agents_app.sdk.runner.Run`; either `answer` or `pieces`, once."""

    def __init__(self, entry: AgentEntry, fields: dict[str, Any], door: RunDoor, tools: RunTools) -> None:
        self.outcome = Outcome()
        self._entry = entry
        self._fields = fields
        self._door = door
        self._tools = tools
        self._text = ""
        self._link: ProcessLink
        self._calls = 0
        # Calls that are under way, and why others failed.
        self._open: dict[int, asyncio.Task[None]] = {}
        self._errors: dict[int, GatewayError] = {}

    async def go_on_from(self, state: str) -> bool:
        """Never: a state is the SDK's, and would be read by code that nobody trusts."""
        return False

    async def answer(self) -> str:
        """The final answer; raises GatewayError."""
        async with aclosing(self._pieces(is_stream=False)) as pieces:
            async for _ in pieces:
                raise _failed("sent a piece of an answer that is no stream")
        return self._text

    async def pieces(self) -> AsyncGenerator[Piece, None]:
        """The answer as it comes; raises GatewayError. Closing the iterator ends the process at once."""
        async with aclosing(self._pieces(is_stream=True)) as pieces:
            async for piece in pieces:
                yield piece

    async def _pieces(self, *, is_stream: bool) -> AsyncGenerator[Piece, None]:
        with slots.taken():
            began, child, ending = perf_counter(), self._start(), "killed"
            try:
                self._link = await ProcessLink.open(child)
            except BaseException:
                child.close()
                raise
            logger.info("agent.process.started", extra=self._who)
            try:
                await self._link.begin(self._order(is_stream=is_stream))
                async for piece in self._conversation():
                    yield piece
                ending = "done"
            except EOFError:
                ending = child.how_it_ended() or "unknown"
                failure = self._ended(ending)
                raise failure from failure.__cause__
            except (FrameError, UnicodeDecodeError) as error:
                raise _failed(f"broke the protocol: {error}") from error
            finally:
                await self._close(child)
                self._note_end(ending, perf_counter() - began)

    def _start(self) -> Child:
        place, limits = self._place, settings.AGENT_PROCESS_MEMORY_MB * _MEGABYTE
        try:
            return forkserver.start(
                RUN,
                place.folder.path.resolve(),
                limits=Limits(limits, settings.AGENT_PROCESS_CPU_S),
                linger_s=RUN_LINGER_S,
            )
        except ProcessError as error:
            logger.warning("agent.process.refused", extra={**self._who, "reason": str(error)})
            raise Overloaded(
                "No process could be started for the agent.", headers={"retry-after": "1"}
            ) from error

    @property
    def _place(self) -> Place:
        if self._entry.place is None:
            raise ValueError(f"the code of {self._entry.id} is in this process")
        return self._entry.place

    @property
    def _who(self) -> dict[str, str]:
        return {"agent": self._entry.id, "request_id": public_id("req", self._door.context.request_id)}

    def _order(self, *, is_stream: bool) -> Frame:
        """All that the process gets to know."""
        folder, place = self._place.folder, self._place
        entry = {
            one.name: getattr(self._entry, one.name)
            for one in dataclasses.fields(self._entry)
            if one.name not in _NOT_SENT
        }
        return {
            "token": secrets.token_hex(16),
            "folder": {
                "name": folder.name,
                "namespace": folder.namespace,
                "slug": folder.slug,
                "digest": folder.digest,
            },
            "slug": place.slug,
            "entry": entry,
            "fields": self._fields,
            "tools": self._tools.plain(),
            "is_stream": is_stream,
        }

    async def _conversation(self) -> AsyncGenerator[Piece, None]:
        """Do what the process wants until it says that the run is over. EOFError if it ends before."""
        count = 0
        while (said := await self._link.read()) is not None:
            count += 1
            if count % _FRAMES_IN_A_ROW == 0:
                await asyncio.sleep(0)
            if isinstance(said, PieceFrame):
                yield said.piece()
            elif isinstance(said, CallFrame):
                self._begin(said.id, self._call(said))
            elif isinstance(said, ToolFrame):
                self._begin(said.id, self._invoke(said))
            elif isinstance(said, DropFrame):
                self._drop(said.id)
            elif isinstance(said, StepsFrame):
                self._note_steps(said)
            else:
                self._finish(said)
                return
        raise EOFError

    def _begin(self, number: int, work: Coroutine[Any, Any, None]) -> None:
        self._calls += 1
        if number in self._open or len(self._open) >= _MAX_OPEN_CALLS or self._calls > _MAX_CALLS:
            work.close()
            raise FrameError("too many calls")
        task = self._open[number] = asyncio.create_task(work)
        task.add_done_callback(lambda _: self._open.pop(number, None))

    def _drop(self, number: int) -> None:
        """It may have ended a moment ago."""
        if (task := self._open.get(number)) is not None:
            task.cancel()

    async def _call(self, said: CallFrame) -> None:
        """One LLM call, answered with a whole answer, or with chunks."""
        if said.step is not None and said.step > 0:
            # Steps of another process have negative keys here.
            caller.set(-said.step)
        try:
            if said.request.get("stream") is True:
                await self._stream(said)
            else:
                answer = await self._door.complete(said.request)
                await self._link.send({"id": said.id, "answer": answer})
        except GatewayError as error:
            await self._tell_error(said.id, error)
        except (LookupError, TypeError, ValueError, AttributeError, FrameError) as error:
            # What is no request, or an answer that no frame can hold.
            logger.warning("agent.process.refused", extra={**self._who, "reason": repr(error)[:200]})
            await self._tell_error(said.id, AgentFailed("The agent's LLM call can't be made."))

    async def _stream(self, said: CallFrame) -> None:
        chunks = await self._door.stream(said.request)
        async with aclosing(chunks):
            await self._link.send({"id": said.id, "begun": True})
            async for chunk in chunks:
                await self._link.send({"id": said.id, "chunk": chunk})
        await self._link.send({"id": said.id, "end": True})

    async def _invoke(self, said: ToolFrame) -> None:
        output = await self._tools.invoke(said.name, said.arguments, said.call_id)
        await self._link.send({"id": said.id, "output": output})

    async def _tell_error(self, number: int, error: GatewayError) -> None:
        self._errors[number] = error
        if len(self._errors) > _MAX_ERRORS:
            del self._errors[next(iter(self._errors))]
        told = {"error": error.message, "status": error.status, "code": error.code}
        await self._link.send({"id": number, **told})

    def _note_steps(self, said: StepsFrame) -> None:
        trace = self._door.trace
        ran_ms = (perf_counter() - trace.started) * 1000
        # Its clock began after the run.
        offset_ms = ran_ms - min(max(said.elapsed_ms, 0.0), ran_ms)
        for step in said.steps[:MAX_STEPS]:
            trace.add(step, offset_ms)

    def _finish(self, said: EndFrame) -> None:
        if said.error is not None:
            raise self._error(said.error)
        if said.outcome is None:
            raise FrameError("an end without an outcome")
        self._text, self.outcome = said.text, said.outcome.outcome()

    def _error(self, told: ErrorFrame) -> GatewayError:
        if told.call is not None and told.call in self._errors:
            return self._errors[told.call]
        if told.kind == "Changed":
            message = "The agent's files have changed, and were not loaded yet."
            return Overloaded(message, headers={"retry-after": "2"})
        kind = _KINDS.get(told.kind, AgentFailed)
        if kind is AgentFailed or not told.message:
            return AgentFailed(told.text or "The agent failed; the log has the details.")
        is_guarded = kind is PermissionDenied and told.code == _GUARDED
        param = told.param[:_MAX_PARAM] if told.param is not None else None
        return kind(told.text, param=param, code=_GUARDED if is_guarded else None)

    def _ended(self, ending: str) -> GatewayError:
        """Why the process ended before the run did."""
        kind, _, rest = ending.partition(" ")
        cpu_s = rest.rpartition(" ")[2]
        if kind == "signal" and _number(cpu_s) >= settings.AGENT_PROCESS_CPU_S - 1:
            return RunLimitExceeded(f"The run used more than {settings.AGENT_PROCESS_CPU_S} s of CPU time.")
        return _failed(f"ended before the run: {ending}")

    async def _close(self, child: Child) -> None:
        """End what is under way, then the process and all that it started."""
        open_calls = list(self._open.values())
        for task in open_calls:
            task.cancel()
        printed = self._link.close()
        child.close()
        if printed:
            logger.info("agent.output", extra={**self._who, "output": printed})
        await asyncio.gather(*open_calls, return_exceptions=True)

    def _note_end(self, ending: str, seconds: float) -> None:
        fields = {**self._who, "ending": ending[:200], "duration_ms": round(seconds * 1000)}
        logger.info("agent.process.ended", extra=fields)


def _failed(what: str) -> AgentFailed:
    """For the log more than for clients, who learn nothing of what runs where."""
    error = AgentFailed("The agent failed; the log has the details.")
    error.__cause__ = RuntimeError(f"The agent's process {what}")
    return error


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 0.0
