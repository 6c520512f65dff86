"""Step 6 of a request's path for agents: run one on a chat request, under its limits, and settle it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator
from contextlib import aclosing, contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any
from uuid import UUID

from django.conf import settings

from agents_app.entry import PROCESS, AgentEntry
from agents_app.errors import AgentFailed, RunLimitExceeded
from agents_app.pieces import Piece
from agents_app.services.door import RunDoor
from agents_app.services.isolated_runs import IsolatedRun
from agents_app.services.native_tools import observe_native_tools
from agents_app.services.pending_runs import Asker, Found, find_state, keep_state
from agents_app.services.run_lines import RunFacts, encode_run
from agents_app.services.tool_door import RunTools, tools_of_run
from agents_app.trace import Recorder
from gateway_project.core.context import RequestContext
from gateway_project.core.deadline import DISCONNECTED, RUN_ENDED, SHUTDOWN, Ticker
from gateway_project.core.errors import GatewayError, InternalError
from gateway_project.core.ids import public_id
from gateway_project.core.limits import limits
from gateway_project.core.snapshot import Snapshot
from gateway_project.observability import metrics
from security_app.registry.content import NOTHING_STORED
from security_app.services.content import content_rule, masked
from security_app.services.reservation import Ticket
from upstreams_app.registry import ModelEntry, UpstreamsConfig
from upstreams_app.services.client import ClientPool
from usage_app.errors import JournalFull
from usage_app.services.ledger import ledger
from usage_app.services.settlement import CLIENT_LEFT, settle_run

if TYPE_CHECKING:
    from agents_app.sdk.runner import Run

logger = logging.getLogger(__name__)
_DEFAULT_MODEL = "agents.default_model"


class AgentRun:
    """One run. Either `answer` or `stream`, once; it is in the ledger when that returns or raises."""

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
        self._context = context
        self._ticket = ticket
        self._entry = entry
        self._is_stream = is_stream
        self._first_token_ms: float | None = None
        self._is_settled = False
        self._is_sending = False
        self._wall_clock = asyncio.timeout(entry.wall_clock_s)
        self._fields: dict[str, Any] = {}
        self._state: Found | None = None
        # Without a policy for the caller nothing is kept, whatever the agent's own setting says.
        self._content = content_rule(context) if entry.records_content else NOTHING_STORED
        # How many runs are above this one, each calling the next as a tool.
        self.depth = 0
        self.door = RunDoor(
            context,
            ticket,
            clients,
            ticker,
            default_model=entry.model or default_model(context.snapshot),
            max_llm_calls=entry.max_llm_calls,
            max_tokens=entry.max_tokens,
            max_cost_nano=entry.max_cost_nano,
            trace=Recorder(
                context.started,
                keeps_content=self._content.stores_texts,
                mask=partial(masked, rule=self._content),
            ),
        )

    @property
    def agent_id(self) -> str:
        """Whose run it is."""
        return self._entry.id

    @property
    def end_user(self) -> str:
        """Whom the client asks for; the run's calls are for the same."""
        return self.door.end_user

    @end_user.setter
    def end_user(self, value: str) -> None:
        self.door.end_user = value

    def prepare(self, fields: dict[str, Any]) -> Run | IsolatedRun:
        """The run of a request's fields; InvalidRequest names the field that an agent can't take.

        Of an agent in a process of its own that is raised later, by `answer` or before the first piece.
        """
        self._fields = fields
        if self._entry.isolation == PROCESS:
            return IsolatedRun(self._entry, fields, self.door, RunTools(self))
        from agents_app.sdk.runner import Run

        return Run.of(self._entry, fields, self.door)

    async def answer(self, run: Run | IsolatedRun) -> str:
        """The final answer. Raises GatewayError."""
        with self._settling(), self._surrounding(run):
            async with self._wall_clock:
                await self._go_on(run)
                text = await run.answer()
            self._raise_if_cut()
            await self._keep(run)
        return text

    async def stream(self, run: Run | IsolatedRun, send: Callable[[Piece], Awaitable[None]]) -> None:
        """Send the answer as it comes; raises GatewayError, also after pieces.

        `send` returns when the client has taken its piece; until then no upstream is read from.
        """
        with self._settling(), self._surrounding(run):
            async with self._wall_clock:
                await self._go_on(run)
                async with aclosing(run.pieces()) as pieces:
                    async for piece in pieces:
                        if self._first_token_ms is None:
                            self._first_token_ms = round(self._context.elapsed_ms(), 3)
                        await self._pass_on(piece, send)
            self._raise_if_cut()
            await self._keep(run)

    async def _go_on(self, run: Run | IsolatedRun) -> None:
        """Where the client's tools ended the run before, if that is known still."""
        found = await find_state(self._asker, self._fields)
        if found is not None and await run.go_on_from(found.state):
            self._state = found

    async def _keep(self, run: Run | IsolatedRun) -> None:
        """Before the client learns that the run is over, as its next request may come at once."""
        outcome = run.outcome
        if outcome.state is not None:
            await keep_state(self._asker, self._fields, outcome.tool_calls, outcome.state, self._state)

    @property
    def _asker(self) -> Asker:
        return Asker(self._context.principal, self.door.end_user, self._entry)

    async def _pass_on(self, piece: Piece, send: Callable[[Piece], Awaitable[None]]) -> None:
        scope, client_follows = self._context.scope, self.door.client_follows
        scope.enter_phase("client", limits.client_stall_s)
        client_follows.clear()
        self._is_sending = True
        try:
            await send(piece)
            self._is_sending = False
        finally:
            client_follows.set()
            scope.leave_phase()

    @contextmanager
    def _surrounding(self, run: Run | IsolatedRun) -> Iterator[None]:
        """Runs that the agents' code starts have this one's models and tools, and are steps of it."""
        if isinstance(run, IsolatedRun):
            # That is so in the process where the code is.
            self.door.trace.client_tools = _names_of_tools(self._fields)
            yield
            return
        from agents_app.sdk.nested import models_from
        from agents_app.sdk.tracing import recording

        self.door.trace.client_tools = run.tools.names
        with models_from(run.config.model_provider), recording(self.door.trace), tools_of_run(self):
            yield

    def _raise_if_cut(self) -> None:
        """An agent that called another one may have made an answer of that one's hitting the limit."""
        if self.door.limit_error is not None:
            raise self.door.limit_error

    @contextmanager
    def _settling(self) -> Iterator[None]:
        """Settle the run when the block ends, however it ends; what leaves it is fit for the client."""
        try:
            yield
        except (asyncio.CancelledError, GeneratorExit):
            self._settle_cancelled()
            raise
        except TimeoutError as error:
            if self._wall_clock.expired():
                message = f"The run did not end within {self._entry.wall_clock_s} s."
                raise self._failed(RunLimitExceeded(message)) from error
            raise self._failed(self._blamed_on_agent()) from error
        except AgentFailed as error:
            self._failed(error)
            self._blamed_on_agent()
            raise
        except GatewayError as error:
            self._failed(error)
            raise
        except Exception as error:
            if self._is_sending:
                # No code of the agent's: a fault of ours.
                self._settle(InternalError.status, InternalError.code or "")
                raise
            raise self._failed(self._blamed_on_agent()) from error
        else:
            self._settle(200, "")
        finally:
            self.door.end()
            # The loop keeps timers that were cancelled for a while, with the context that they were set in,
            # and so this run: not with its conversation.
            self._fields, self._state = {}, None

    def _blamed_on_agent(self) -> AgentFailed:
        """Inside of `except`. Code of the agent's author: what it says is for the log alone."""
        fields = {"agent": self._entry.id, "request_id": f"req_{self._context.request_id.hex}"}
        logger.exception("agent.failed", extra=fields)
        return AgentFailed("The agent failed; the log has the details.")

    def _settle_cancelled(self) -> None:
        scope = self._context.scope
        if scope.cause == DISCONNECTED:
            self._settle(CLIENT_LEFT, DISCONNECTED)
        elif scope.expired_phase is not None:
            self._settle(CLIENT_LEFT, "client_stalled")
        elif scope.cause != SHUTDOWN and self._context.parent_id is not None:
            # The run that called this one as a tool does not want its answer any more.
            self._settle(CLIENT_LEFT, RUN_ENDED)
        else:
            self._settle(503, "cancelled")

    def _failed(self, error: GatewayError) -> GatewayError:
        self._discourage(error)
        self._settle(error.status, error.code or "")
        return error

    def _discourage(self, error: GatewayError) -> None:
        trace = self.door.trace
        # Models of the agent's own are no calls here, and code in another process may call tools at once.
        has_called = self.door.llm_calls or trace.tool_calls or trace.gateway_tools
        if has_called or self._state is not None:
            # Tools may have acted: a client that tries again would make them act again.
            error.headers = {**error.headers, "x-should-retry": "false"}

    def _settle(self, status: int, error_code: str) -> None:
        if self._is_settled:
            return
        self._is_settled = True
        trace, duration_ms = self.door.trace, round(self._context.elapsed_ms(), 3)
        line = partial(self._line, status, error_code, duration_ms=duration_ms)
        metrics.observe_run(self._entry.id, status, duration_ms, trace.turns)
        observe_native_tools(trace, request_id=self._context.request_id, agent=self._entry.id)
        try:
            settle_run(
                self._context,
                self._ticket,
                status=status,
                error_code=error_code,
                is_stream=self._is_stream,
                end_user=self.door.end_user,
                first_token_ms=self._first_token_ms,
                total_ms=duration_ms,
                llm_calls=self.door.llm_calls,
                attached=line() if trace.is_calm else b"",
            )
            # Calls that still run are settled after the run; it is told with what they came to.
            trace.close(None if trace.is_calm else partial(_append_late, line, self._context.request_id))
        except JournalFull as error:
            if status < 400:
                self._discourage(error)
                raise
            logger.exception("ledger.line_lost", extra={"request_id": f"req_{self._context.request_id.hex}"})

    def _line(self, status: int, error_code: str, *, duration_ms: float) -> bytes:
        context, principal = self._context, self._ticket.principal
        facts = RunFacts(
            id=context.request_id,
            agent=self._entry.id,
            version=self._entry.digest or str(self._entry.version or ""),
            key_id=principal.key_id,
            key_name=principal.name,
            end_user=self.door.end_user,
            parent_id=context.parent_id,
            status=status,
            error_code=error_code,
            is_stream=self._is_stream,
            duration_ms=duration_ms,
            first_token_ms=self._first_token_ms,
            content_days=self._content.retention_days,
        )
        return encode_run(facts, self.door.trace)


def _names_of_tools(fields: dict[str, Any]) -> frozenset[str]:
    """The client's, as far as they are well formed, which is checked elsewhere."""
    tools = fields.get("tools")
    if not isinstance(tools, list):
        return frozenset()
    functions = [tool.get("function") for tool in tools if isinstance(tool, dict)]
    return frozenset(str(function.get("name")) for function in functions if isinstance(function, dict))


def _append_late(line: Callable[[], bytes], request_id: UUID) -> None:
    try:
        ledger.append_line(line())
    except JournalFull:
        # Nobody waits for an answer any more; admission is closed by now.
        logger.exception("ledger.line_lost", extra={"request_id": public_id("req", request_id)})


def default_model(snapshot: Snapshot) -> str:
    """What agents get that name no model: GATEWAY_DEFAULT_MODEL, else the oldest chat model, demos last.

    "" if there is none. What is wrong with the setting is for the call to say.
    """
    if settings.DEFAULT_MODEL:
        return str(settings.DEFAULT_MODEL)
    found: str | None = snapshot.cache.get(_DEFAULT_MODEL)
    if found is None:
        upstreams: UpstreamsConfig = snapshot.sections["upstreams"].value
        chats = [entry for entry in upstreams.models.values() if entry.mode == "chat"]
        oldest = min(chats, key=_suitability, default=None)
        found = snapshot.cache[_DEFAULT_MODEL] = oldest.id if oldest is not None else ""
    return found


def _suitability(entry: ModelEntry) -> tuple[bool, bool, int]:
    return not entry.targets, entry.lead.upstream.kind == "demo", entry.created
