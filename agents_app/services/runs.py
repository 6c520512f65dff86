"""Step 6 of a request's path for agents: run one on a chat request, under its limits, and settle it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing, contextmanager
from typing import TYPE_CHECKING, Any

from django.conf import settings

from agents_app.entry import AgentEntry
from agents_app.errors import AgentFailed, RunLimitExceeded
from gateway_project.core.context import RequestContext
from gateway_project.core.deadline import DISCONNECTED, Ticker
from gateway_project.core.errors import GatewayError
from security_app.services.reservation import Ticket
from upstreams_app.registry import UpstreamsConfig
from upstreams_app.services.client import ClientPool
from usage_app.errors import JournalFull
from usage_app.services.settlement import CLIENT_LEFT, settle_run

if TYPE_CHECKING:
    from agents_app.sdk.provider import RunDoor
    from agents_app.sdk.runner import Piece, Run

logger = logging.getLogger(__name__)


class AgentRun:
    """One run. Either `answer` or `pieces`, once; it is in the ledger when that returns or raises."""

    def __init__(
        self,
        context: RequestContext,
        ticket: Ticket,
        entry: AgentEntry,
        *,
        clients: ClientPool,
        ticker: Ticker,
        is_stream: bool,
    ) -> None:
        from agents_app.sdk.provider import RunDoor

        self._context = context
        self._ticket = ticket
        self._entry = entry
        self._is_stream = is_stream
        self._first_token_ms: float | None = None
        self._is_settled = False
        self.end_user = ""
        self.door: RunDoor = RunDoor(
            context,
            ticket,
            clients,
            ticker,
            default_model=entry.model or default_model(context.snapshot.sections["upstreams"].value),
            max_llm_calls=entry.max_llm_calls,
        )

    def prepare(self, fields: dict[str, Any]) -> Run:
        """The run of a request's fields; InvalidRequest names the field that an agent can't take."""
        from agents_app.sdk.runner import Run

        return Run.of(self._entry, fields, self.door)

    async def answer(self, run: Run) -> str:
        """The final answer. Raises GatewayError."""
        with self._settling():
            async with asyncio.timeout(self._entry.wall_clock_s):
                return await run.answer()

    async def pieces(self, run: Run) -> AsyncIterator[Piece]:
        """The answer as it comes. Raises GatewayError, also after pieces."""
        with self._settling():
            async with asyncio.timeout(self._entry.wall_clock_s), aclosing(run.pieces()) as pieces:
                async for piece in pieces:
                    if self._first_token_ms is None:
                        self._first_token_ms = round(self._context.elapsed_ms(), 3)
                    yield piece

    @contextmanager
    def _settling(self) -> Iterator[None]:
        """Settle the run when the block ends, however it ends; what leaves it is fit for the client."""
        try:
            yield
        except (asyncio.CancelledError, GeneratorExit):
            is_left = self._context.scope.cause == DISCONNECTED
            self._settle(CLIENT_LEFT if is_left else 503, DISCONNECTED if is_left else "cancelled")
            raise
        except TimeoutError as error:
            message = f"The run did not end within {self._entry.wall_clock_s} s."
            raise self._failed(RunLimitExceeded(message)) from error
        except GatewayError as error:
            self._failed(error)
            raise
        except Exception as error:
            # Code of the agent's author: what it says is for the log alone.
            logger.exception("agent.failed", extra={"agent": self._entry.id})
            raise self._failed(AgentFailed("The agent failed; the log has the details.")) from error
        else:
            self._settle(200, "")

    def _failed(self, error: GatewayError) -> GatewayError:
        if self.door.llm_calls:
            # Tools may have acted: a client that tries again would make them act again.
            error.headers = {**error.headers, "x-should-retry": "false"}
        self._settle(error.status, error.code or "")
        return error

    def _settle(self, status: int, error_code: str) -> None:
        if self._is_settled:
            return
        self._is_settled = True
        try:
            settle_run(
                self._context,
                self._ticket,
                status=status,
                error_code=error_code,
                is_stream=self._is_stream,
                end_user=self.end_user,
                first_token_ms=self._first_token_ms,
                llm_calls=self.door.llm_calls,
            )
        except JournalFull:
            if status < 400:
                raise
            logger.exception("ledger.line_lost", extra={"request_id": f"req_{self._context.request_id.hex}"})


def default_model(upstreams: UpstreamsConfig) -> str:
    """What agents get that name no model: GATEWAY_DEFAULT_MODEL, else the first chat model, demos last."""
    if settings.DEFAULT_MODEL:
        return str(settings.DEFAULT_MODEL)
    chats = [entry for entry in upstreams.models.values() if entry.mode == "chat" and entry.targets]
    real = [entry for entry in chats if entry.lead.upstream.kind != "demo"]
    oldest = min(real or chats, key=lambda entry: entry.created, default=None)
    return oldest.id if oldest is not None else ""
