"""Step 6 of a request's path: execute a call on an upstream, plain or as a stream, and settle it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from functools import partial

import msgspec

from gateway_project.core import sse
from gateway_project.core.codec import NotAnObject, dumps, join_object, split_object
from gateway_project.core.deadline import DISCONNECTED, RUN_ENDED, SHUTDOWN
from gateway_project.core.errors import GatewayError, InternalError, UpstreamFailed
from gateway_project.core.limits import limits
from upstreams_app.errors import UpstreamUnreachable
from upstreams_app.providers.wire import TellsUsage
from upstreams_app.services import failures
from upstreams_app.services.attempts import note_use, try_targets
from upstreams_app.services.background import spawn
from upstreams_app.services.calls import Call, OpenAnswer, raise_if_expired
from upstreams_app.services.client import ClientPool
from upstreams_app.services.decoding import BodyReader, decoded
from upstreams_app.services.plain_stream import as_events
from upstreams_app.services.reasoning_names import with_one_name
from upstreams_app.services.stream_filter import BrokenStream, StreamFilter, UpstreamErrorEvent
from usage_app.errors import JournalFull
from usage_app.services.extraction import service_tier, token_usage
from usage_app.services.settlement import CLIENT_LEFT

logger = logging.getLogger(__name__)
MAX_ANSWER_BYTES = 256 * 1024 * 1024
_LATE_USAGE_S = 2.0
_TAIL_S = 1.0


async def complete(call: Call, clients: ClientPool) -> bytes:
    """The whole answer, with the model id that was asked for; settled when this returns or raises."""
    settlement = call.settlement
    try:
        answer = await try_targets(call, clients, partial(_read_noted, clients))
    except GatewayError as error:
        settlement.abort(error.status, error.code or "")
        raise
    except asyncio.CancelledError:
        abort_cancelled(call)
        raise
    except Exception:
        settlement.abort(InternalError.status, InternalError.code or "")
        raise
    settlement.complete()
    return answer


async def _read_plain(call: Call, opened: OpenAnswer) -> bytes:
    return _finish_plain(call, opened, await _read_all(call, opened))


async def _read_noted(clients: ClientPool, call: Call, opened: OpenAnswer) -> bytes:
    answer = await _read_plain(call, opened)
    if call.settlement.tokens is not None:
        note_use(clients, opened.target, call.settlement.tokens)
    return answer


def abort_cancelled(call: Call) -> None:
    """Settle a call whose task was cancelled, by why that was."""
    scope = call.context.scope
    if scope.cause == DISCONNECTED:
        call.settlement.abort(CLIENT_LEFT, DISCONNECTED)
    elif scope.expired_phase is not None:
        # The client stays, but takes nothing, while an upstream waits for it.
        call.settlement.abort(CLIENT_LEFT, "client_stalled")
    elif scope.cause != SHUTDOWN and call.context.parent_id is not None:
        # The run that wanted the answer is over: no fault of the upstream.
        call.settlement.abort(CLIENT_LEFT, RUN_ENDED)
    else:
        call.settlement.abort(503, "cancelled")


def _finish_plain(call: Call, opened: OpenAnswer, body: bytes) -> bytes:
    settlement, target = call.settlement, opened.target
    try:
        fields = split_object(body, is_lenient=True)
    except NotAnObject as error:
        raise failures.unreachable(target, "the answer is not a JSON object") from error
    if (
        "error" in fields
        and bytes(fields["error"]) != b"null"
        and "choices" not in fields
        and "data" not in fields
    ):
        raise failures.from_success(bytes(fields["error"]), target, secrets=(call.client_secret,))
    usage = fields.get("usage")
    if usage is not None:
        settlement.tokens = token_usage(bytes(usage))
    if "service_tier" in fields:
        settlement.service_tier = service_tier(fields["service_tier"])
    choices = bytes(fields.get("choices", b""))
    settlement.received_bytes = len(choices)
    named = with_one_name(choices)
    if named is not choices:
        fields["choices"] = msgspec.Raw(named)
    elif "model" in fields and bytes(fields["model"]) == call.entry.id_json:
        return body
    fields["model"] = msgspec.Raw(call.entry.id_json)
    return join_object(fields)


async def _read_all(call: Call, opened: OpenAnswer) -> bytes:
    """The body of a successful answer; UpstreamFailed or UpstreamTimeout if it does not come whole."""
    scope, idle_s = call.context.scope, opened.phases.idle_s
    pieces: list[bytes] = []
    size = 0
    is_complete = False
    scope.enter_phase("idle", idle_s)
    try:
        reader = decoded(opened.answer)
        while piece := await reader.read_any():
            if not pieces:
                call.settlement.first_token_ms = round(call.context.elapsed_ms(), 3)
            pieces.append(piece)
            size += len(piece)
            scope.enter_phase("idle", idle_s)
            if size > MAX_ANSWER_BYTES:
                raise failures.unreachable(opened.target, "the answer is too large")
            if reader.is_at_end:
                break
        is_complete = True
    except UpstreamUnreachable as error:
        raise failures.unreachable(opened.target, str(error)) from error
    except asyncio.CancelledError:
        raise_if_expired(call, opened.target)
        raise
    finally:
        scope.leave_phase()
        opened.answer.release(is_complete=is_complete)
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)


class StreamRelay:
    """A stream on its way to a client: `open`, then `pump`; always call `close`.

    `open` waits for the first event, so that an upstream's error still becomes a status. Who would rather
    take than be sent calls `next_block` instead of `pump`.
    """

    def __init__(self, call: Call, clients: ClientPool) -> None:
        self._call = call
        self._clients = clients
        self._filter = StreamFilter(call.entry.id_json, keeps_usage=call.wants_usage)
        self._opened: OpenAnswer | None = None
        self._reader: BodyReader | None = None
        self._first = b""
        self._is_exhausted = False
        self._awaits_usage = False

    async def open(self) -> None:
        """Find a target and wait for the first data event; raises GatewayError before anything was sent."""
        try:
            relay = await try_targets(self._call, self._clients, self._begin, discard=_drop)
        except GatewayError as error:
            self._abort(error.status, error.code or "")
            raise
        except asyncio.CancelledError:
            self._cancelled()
            raise
        if relay is not self:
            self._filter, self._first, self._is_exhausted = relay._filter, relay._first, relay._is_exhausted
            self._opened, self._reader = relay._opened, relay._reader

    def _begin(self, call: Call, opened: OpenAnswer) -> Awaitable[StreamRelay]:
        """A copy of the call has a relay of its own, whose answer becomes this one's if it is the first."""
        relay = self if call is self._call else StreamRelay(call, self._clients)
        return relay._await_data(opened)

    async def _await_data(self, opened: OpenAnswer) -> StreamRelay:
        """One target's answer up to the first data event, within the time for the first token."""
        call, scope = self._call, self._call.context.scope
        if call.settlement.attempts > 1:
            self._filter = StreamFilter(call.entry.id_json, keeps_usage=call.wants_usage)
            self._first, self._is_exhausted = b"", False
        content_type = opened.answer.headers.get("Content-Type", "")
        if "text/event-stream" not in content_type and "json" in content_type:
            answer = await _read_plain(call, opened)
            self._first = as_events(answer, opened.target, wants_usage=call.wants_usage)
            self._filter.is_finished = self._is_exhausted = True
            return self
        self._opened = opened
        try:
            self._reader = decoded(opened.answer)
            while not self._filter.has_data and not self._is_exhausted:
                self._first += await self._next_block()
            if not self._filter.has_data:
                raise failures.unreachable(opened.target, "the stream ended before its first event")
        except UpstreamUnreachable as error:
            self._release(is_complete=False)
            raise failures.unreachable(opened.target, str(error)) from error
        except GatewayError:
            self._release(is_complete=False)
            raise
        except asyncio.CancelledError:
            _drop(self)
            raise
        finally:
            scope.leave_phase()
        return self

    async def pump(self, send: Callable[[bytes], Awaitable[None]]) -> None:
        """Send everything up to `[DONE]`, which is the caller's to send: the call is in the ledger then.

        Raises the error that must become the last event.
        """
        scope = self._call.context.scope
        idle_s = self._opened.phases.idle_s if self._opened is not None else 0.0
        stall_s = limits.client_stall_s
        try:
            if first := self._first:
                self._first = b""
                scope.enter_phase("client", stall_s)
                await send(first)
            while not self._is_exhausted:
                scope.enter_phase("idle", idle_s)
                if block := await self._next_block():
                    scope.enter_phase("client", stall_s)
                    await send(block)
            self._finish()
        except GatewayError as error:
            scope.leave_phase()
            if rest := self._filter.take_pending():
                await send(rest)
            self._abort(error.status, error.code or "")
            raise
        except asyncio.CancelledError:
            self._cancelled()
            raise

    async def next_block(self) -> bytes:
        """The next events; b"" at the end: the call is in the ledger then. Raises GatewayError."""
        scope = self._call.context.scope
        idle_s = self._opened.phases.idle_s if self._opened is not None else 0.0
        block, self._first = self._first, b""
        try:
            while not block and not self._is_exhausted:
                scope.enter_phase("idle", idle_s)
                block = await self._next_block()
            scope.leave_phase()
            if not block:
                self._finish()
        except GatewayError as error:
            scope.leave_phase()
            self._abort(error.status, error.code or "")
            raise
        except asyncio.CancelledError:
            self._cancelled()
            raise
        return block

    def _finish(self) -> None:
        self._call.context.scope.leave_phase()
        if not self._filter.is_finished and not self._filter.is_done:
            raise UpstreamFailed("The upstream's stream ended before the answer was complete.")
        self._complete()

    async def _next_block(self) -> bytes:
        """What the next piece from the upstream gives; sets `_is_exhausted` at the end."""
        opened, settlement = self._opened, self._call.settlement
        if opened is None or self._reader is None:
            raise RuntimeError("no answer is open")
        try:
            piece = await self._reader.read_any()
            if not piece:
                self._is_exhausted = True
                return self._filter.flush()
            if settlement.first_token_ms is None:
                settlement.first_token_ms = round(self._call.context.elapsed_ms(), 3)
            block = self._filter.feed(piece)
            if self._filter.is_done:
                self._is_exhausted = True
            return block
        except UpstreamUnreachable as error:
            raise failures.unreachable(opened.target, str(error)) from error
        except (BrokenStream, sse.EventTooLarge) as error:
            raise failures.unreachable(opened.target, "the stream holds an unusable event") from error
        except UpstreamErrorEvent as error:
            secrets = (self._call.client_secret,)
            raise failures.from_event(error.body, opened.target, secrets=secrets) from error
        except asyncio.CancelledError:
            raise_if_expired(self._call, opened.target)
            raise

    def _note_usage(self) -> None:
        settlement = self._call.settlement
        if self._filter.usage is not None:
            settlement.tokens = self._filter.usage
            settlement.service_tier = self._filter.service_tier
        elif self._opened is not None and isinstance(self._opened.answer, TellsUsage):
            told = self._opened.answer.usage_so_far
            settlement.told = token_usage(dumps(told)) if told is not None else None
        if self._filter.has_data:
            settlement.received_bytes = self._filter.text_bytes

    def _complete(self) -> None:
        self._note_usage()
        settlement = self._call.settlement
        settlement.complete()
        if self._opened is not None and settlement.tokens is not None:
            note_use(self._clients, self._opened.target, settlement.tokens)
        if self._opened is None or self._opened.answer.is_at_end:
            self._release(is_complete=True)
        else:
            # The client may begin its next call when it has seen the end, before the tail is read.
            self._opened.answer.end_call()
            spawn(self._read_tail())

    async def _read_tail(self) -> None:
        """Read the few bytes after `[DONE]`, so that the connection can be used again."""
        is_complete = False
        try:
            if self._opened is not None:
                async with asyncio.timeout(_TAIL_S):
                    while await self._opened.answer.read_any():
                        pass
                is_complete = True
        except (TimeoutError, UpstreamUnreachable):
            # The connection is closed instead.
            pass
        finally:
            self._release(is_complete=is_complete)

    def _abort(self, status: int, error_code: str) -> None:
        self._note_usage()
        self._call.settlement.abort(status, error_code)
        self._release(is_complete=False)

    def _cancelled(self) -> None:
        """The client left, or the server stops. After the finish reason the usage is worth a short wait."""
        if self._filter.is_finished and not self._call.settlement.is_settled and self._opened is not None:
            if self._filter.usage is not None or self._is_exhausted:
                self._complete()
                return
            self._awaits_usage = True
            spawn(self._await_late_usage())
            return
        self._note_usage()
        abort_cancelled(self._call)
        self._release(is_complete=False)

    async def _await_late_usage(self) -> None:
        reader, is_over = self._reader, False
        try:
            async with asyncio.timeout(_LATE_USAGE_S):
                while reader is not None and self._filter.usage is None and not self._filter.is_done:
                    if not (piece := await reader.read_any()):
                        break
                    self._filter.feed(piece)
            is_over = True
        except (TimeoutError, UpstreamUnreachable, BrokenStream, UpstreamErrorEvent, sse.EventTooLarge):
            # Nothing more to learn; the call is settled with what is known.
            pass
        finally:
            self._settle_late()
            if not is_over:
                self._release(is_complete=False)
        await self._read_tail()

    def _settle_late(self) -> None:
        self._note_usage()
        try:
            self._call.settlement.complete()
        except JournalFull:
            # Nobody waits for an answer any more; admission is closed by now.
            request_id = "req_" + self._call.context.request_id.hex
            logger.exception("ledger.line_lost", extra={"request_id": request_id})

    def _release(self, *, is_complete: bool) -> None:
        opened, self._opened = self._opened, None
        if opened is not None:
            opened.answer.release(is_complete=is_complete)

    def close(self) -> None:
        """The client takes no more: settle what is open. Safe to call at any time, any number of times."""
        if not self._call.settlement.is_settled and not self._awaits_usage:
            self._cancelled()


def _drop(relay: StreamRelay) -> None:
    """Nobody wants its answer any more; what it told of its usage counts."""
    relay._note_usage()
    relay._release(is_complete=False)


def error_event(error: GatewayError) -> bytes:
    """The last event of a stream that failed: an error, and no choices (clients look for both)."""
    return sse.event(dumps({**error.body(), "choices": []}))
