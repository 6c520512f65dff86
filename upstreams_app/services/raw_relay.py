"""Answers that pass through byte for byte: sound, pictures, transcripts, and whatever a pass-through brings.

As `relay` does for JSON and chats' streams: find a target, relay its answer as fast as the client takes it,
settle the call. Nothing is held but the piece under way, and what tells the usage.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping

from gateway_project.core.errors import GatewayError
from gateway_project.core.limits import limits
from upstreams_app.errors import UpstreamUnreachable
from upstreams_app.services import failures
from upstreams_app.services.attempts import note_use, try_targets
from upstreams_app.services.calls import Call, OpenAnswer, ask, raise_if_expired
from upstreams_app.services.client import ClientPool
from upstreams_app.services.decoding import BodyReader, decoded
from upstreams_app.services.relay import abort_cancelled
from upstreams_app.services.witness import Witness
from usage_app.entry import NOTHING
from usage_app.services.pictures import told_picture

UPSTREAM_REFUSED = "upstream_refused"


class RawRelay:
    """An answer on its way to a client: `open`, then `pump`; always call `close`.

    `open` waits for the first piece, so that until then another target may be tried.
    """

    def __init__(self, call: Call, clients: ClientPool) -> None:
        self._call = call
        self._clients = clients
        self._opened: OpenAnswer | None = None
        self._reader: BodyReader | None = None
        self._witness = Witness("")
        self._first = b""
        self._is_native = call.parcel is not None and call.parcel.takes_any_status
        self.status = 0
        self.headers: Mapping[str, str] = {}

    @property
    def content_type(self) -> str:
        """What the upstream says that its answer is."""
        return self.headers.get("Content-Type", "application/octet-stream")

    async def open(self) -> None:
        """Find a target and wait for the first piece; raises GatewayError before anything was sent."""
        await self._guarded(try_targets(self._call, self._clients, self._begin))

    async def open_only(self) -> None:
        """As `open`, at the one target that there is, whose answer is taken with any status."""
        await self._guarded(self._ask_only())

    async def _ask_only(self) -> None:
        (target,) = self._call.entry.targets
        total_s = target.upstream.total_timeout_s
        self._call.settlement.queue_ms = round(self._call.context.elapsed_ms(), 3)
        await self._begin(self._call, await ask(self._call, target, self._clients, total_s=total_s))

    async def _guarded(self, work: Awaitable[None]) -> None:
        try:
            await work
        except GatewayError as error:
            self._abort(error.status, error.code or "")
            raise
        except asyncio.CancelledError:
            self._cancelled()
            raise
        finally:
            self._call.context.scope.leave_phase()

    async def _begin(self, _call: Call, opened: OpenAnswer) -> None:
        self._opened = opened
        self.status, self.headers = opened.answer.status, opened.answer.headers
        self._witness = Witness(self.content_type)
        self._call.settlement.is_stream = "event-stream" in self.content_type
        try:
            # What is passed through may keep its encoding: its head goes with it.
            self._reader = opened.answer if self._is_native else decoded(opened.answer)
            self._first = await self._next()
        except UpstreamUnreachable as error:
            self._release(is_complete=False)
            raise failures.unreachable(opened.target, str(error)) from error
        except BaseException:
            self._release(is_complete=False)
            raise
        if 200 <= self.status < 300:
            # From here on it is charged, also if it is not taken.
            self._call.settlement.received_bytes = max(len(self._first), 1)
        self._call.settlement.first_token_ms = round(self._call.context.elapsed_ms(), 3)

    async def pump(self, send: Callable[[bytes], Awaitable[None]]) -> None:
        """Send everything but the end, which is the caller's to send: the call is in the ledger then."""
        if self._opened is None:
            raise RuntimeError("no answer is open")
        scope, idle_s = self._call.context.scope, self._opened.phases.idle_s
        piece, self._first = self._first, b""
        try:
            while piece:
                scope.enter_phase("client", limits.client_stall_s)
                await send(piece)
                scope.enter_phase("idle", idle_s)
                piece = await self._next()
            scope.leave_phase()
            self._complete()
        except GatewayError as error:
            scope.leave_phase()
            self._abort(error.status, error.code or "")
            raise
        except asyncio.CancelledError:
            self._cancelled()
            raise

    async def _next(self) -> bytes:
        opened = self._opened
        if opened is None or self._reader is None:
            raise RuntimeError("no answer is open")
        try:
            piece = await self._reader.read_any()
        except UpstreamUnreachable as error:
            raise failures.unreachable(opened.target, str(error)) from error
        except asyncio.CancelledError:
            raise_if_expired(self._call, opened.target)
            raise
        self._witness.feed(piece)
        return piece

    def _note_usage(self) -> None:
        settlement = self._call.settlement
        tokens = self._witness.finish()
        if settlement.is_free:
            # An answer that was kept tells the usage of the call that made it.
            settlement.tokens = NOTHING
        elif tokens is not None:
            settlement.tokens = tokens
            settlement.service_tier = self._witness.service_tier
        if settlement.picture:
            witness = self._witness
            settlement.picture = told_picture(
                settlement.picture, size=witness.size_of_pictures, quality=witness.quality_of_pictures
            )
        if self._is_native:
            self._note_native()

    def _note_native(self) -> None:
        """Requests that say no model may have answers that do; where none tells its usage, texts do."""
        settlement, witness = self._call.settlement, self._witness
        if settlement.received_bytes:
            settlement.received_bytes = witness.size if witness.is_text else 0
        if not settlement.upstream_model and witness.model:
            settlement.upstream_model = witness.model
            settlement.price_model = f"{settlement.upstream}/{witness.model}"

    def _complete(self) -> None:
        settlement, opened = self._call.settlement, self._opened
        self._note_usage()
        if not 200 <= self.status < 300:
            settlement.abort(self.status, UPSTREAM_REFUSED)
        else:
            settlement.complete()
            if opened is not None and settlement.tokens is not None and not settlement.is_free:
                note_use(self._clients, opened.target, settlement.tokens)
        self._release(is_complete=True)

    def _abort(self, status: int, error_code: str) -> None:
        self._note_usage()
        self._call.settlement.abort(status, error_code)
        self._release(is_complete=False)

    def _cancelled(self) -> None:
        self._note_usage()
        abort_cancelled(self._call)
        self._release(is_complete=False)

    def _release(self, *, is_complete: bool) -> None:
        opened, self._opened = self._opened, None
        if opened is not None:
            opened.answer.release(is_complete=is_complete)

    def close(self) -> None:
        """The client takes no more: settle what is open. Safe to call at any time, any number of times."""
        if not self._call.settlement.is_settled:
            self._cancelled()
