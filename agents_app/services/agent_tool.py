"""The kind of tools that are agents: a call is a run of its own, below the run that calls."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from agents_app.services.tool_door import calling_run
from gateway_project.core.context import RequestContext
from gateway_project.core.deadline import CallScope, Ticker
from gateway_project.core.errors import GatewayError
from tools_app.entry import ToolCall
from tools_app.errors import ConfigProblem, ToolError
from tools_app.kinds import refuse_unknown_members
from tools_app.services.client_calls import client_ticket

if TYPE_CHECKING:
    from agents_app.entry import AgentEntry
    from agents_app.services.runs import AgentRun
    from security_app.services.reservation import Ticket
    from upstreams_app.services.client import ClientPool

_MEMBER = "agent"
INPUT = "input"
# An agent may call one that calls it: runs below runs end somewhere.
MAX_DEPTH = 4
_LATE_WORK_S = 5.0


class Connections(NamedTuple):
    """What runs of a server process share."""

    clients: ClientPool
    ticker: Ticker


_server: Connections | None = None


def serve_with(clients: ClientPool, ticker: Ticker) -> None:
    """Runs that clients cause by calling a tool are the server's from now on."""
    global _server
    _server = Connections(clients, ticker)


class AgentKind:
    """`{"agent": "default/helper"}`; the argument `input` is what the agent is asked."""

    id = "agent"
    default_parameters: dict[str, Any] = {
        "type": "object",
        "properties": {INPUT: {"type": "string", "description": "What the agent is to do, in full."}},
        "required": [INPUT],
        "additionalProperties": False,
    }

    def default_description(self, config: Mapping[str, Any]) -> str:
        """Enough for a model that knows what the agent's name means."""
        return f"Asks the agent {config.get(_MEMBER, '')} and returns its answer."

    def prepare(self, config: Mapping[str, Any], parameters: Mapping[str, Any]) -> str:
        """The agent's id."""
        refuse_unknown_members(config, (_MEMBER,))
        agent_id = config.get(_MEMBER)
        if not isinstance(agent_id, str) or not agent_id.strip():
            raise ConfigProblem(_MEMBER, "Give the id of an agent, such as default/weatheragent.")
        properties, required = parameters.get("properties", {}), parameters.get("required", [])
        if INPUT not in properties or INPUT not in required:
            raise ConfigProblem(
                "parameters", f"The schema must require an argument '{INPUT}': the agent's task."
            )
        return agent_id

    def check(self, prepared: str) -> None:
        """An agent may come and go later, but one that nobody ever saw is a slip."""
        from agents_app.models import Agent

        if not Agent.objects.filter(slug=prepared).exists():
            raise ConfigProblem(_MEMBER, f"There is no agent '{prepared}'.")

    async def invoke(self, call: ToolCall) -> object:
        """The agent's answer."""
        agents: dict[str, AgentEntry] = call.context.snapshot.sections["agents"].value.agents
        entry = agents.get(call.tool.prepared)
        if entry is None:
            raise ToolError("the agent behind the tool is not served")
        async with _run_below(call, entry) as run:
            fields = {"messages": [{"role": "user", "content": _task(call.arguments[INPUT])}]}
            try:
                return await run.answer(run.prepare(fields))
            except GatewayError as error:
                # What clients of the agent would read; it is the calling model that does.
                raise ToolError(f"the agent failed ({error.code or error.type})") from error


def _task(value: object) -> str:
    if not isinstance(value, str) or not value.strip():
        raise ToolError(f"{INPUT}: must be a text that is not empty", status="invalid")
    return value


@asynccontextmanager
async def _run_below(call: ToolCall, entry: AgentEntry) -> AsyncIterator[AgentRun]:
    """A run for the call: below the one that calls, for a client, or on own connections for a trial."""
    from agents_app.services.runs import AgentRun
    from security_app.services.reservation import Ticket
    from upstreams_app.services import background
    from upstreams_app.services.client import ClientPool

    context, caller, client = _context_below(call.context), calling_run.get(), client_ticket.get()
    if caller is None and client is not None and _server is not None:
        async with _leave(client, entry.id) as ticket:
            run = AgentRun(
                context, ticket, entry, clients=_server.clients, ticker=_server.ticker, is_stream=False
            )
            run.end_user = call.context.end_user
            yield run
        return
    if caller is not None:
        if caller.depth >= MAX_DEPTH:
            raise ToolError(f"agents may call agents {MAX_DEPTH} times over, and no more")
        door = caller.door
        async with _leave(door.ticket, entry.id) as ticket:
            run = AgentRun(context, ticket, entry, clients=door.clients, ticker=door.ticker, is_stream=False)
            run.depth, run.end_user, run.door.outer = caller.depth + 1, caller.end_user, door
            yield run
        return
    clients, ticker = ClientPool(), Ticker()
    try:
        ticket = Ticket(context.principal, entry.id)
        yield AgentRun(context, ticket, entry, clients=clients, ticker=ticker, is_stream=False)
    finally:
        await background.finish(_LATE_WORK_S)
        await clients.close()


@asynccontextmanager
async def _leave(above: Ticket, agent_id: str) -> AsyncIterator[Ticket]:
    """A ticket of the run's own: what it spends counts for whoever had the one above."""
    from security_app.services.reservation import reserve_child

    try:
        ticket = await reserve_child(above, agent_id, is_agent=True)
    except GatewayError as error:
        raise ToolError(f"the agent can't be asked now ({error.code or error.type})") from error
    try:
        yield ticket
    finally:
        # The run has settled it, unless it never began.
        ticket.release()


def _context_below(parent: RequestContext) -> RequestContext:
    scope = CallScope(cast("asyncio.Task[object]", asyncio.current_task()), parent=parent.scope)
    context = RequestContext(parent.snapshot, scope, principal=parent.principal)
    context.parent_id = parent.request_id
    context.correlation_id, context.tags = parent.correlation_id, parent.tags
    context.client_api_key = parent.client_api_key
    # The request has its line in the log already.
    context.is_answered = True
    return context
