"""The tools of the registry for one run: what its key may use, called through the one door to tools."""

from __future__ import annotations

from collections.abc import Collection
from contextlib import AbstractContextManager
from contextvars import ContextVar
from typing import TYPE_CHECKING

from agents_app.trace import MAX_NAME
from tools_app.errors import ToolError
from tools_app.services.call import call_tool, usable_tool, usable_tools

if TYPE_CHECKING:
    from agents_app.sdk.gateway_tools import ToolSpec
    from agents_app.services.runs import AgentRun

# Of one run. Models can't come near, but code in a process of its own might call without end.
MAX_CALLS = 1000
# The run that a call of a tool is made for, where it is made for one.
calling_run: ContextVar[AgentRun | None] = ContextVar("agents_app_calling_run", default=None)


class RunTools:
    """An `agents_app.sdk.gateway_tools.ToolDoor` in the server's own process."""

    def __init__(self, run: AgentRun) -> None:
        self._run = run
        self._calls = 0

    def names(self) -> Collection[str]:
        """The tools that the run's key may use, by the snapshot that the request began with."""
        return usable_tools(self._run.door.context, agent=self._run.agent_id)

    def spec(self, name: str) -> ToolSpec | None:
        """What models are told of one."""
        from agents_app.sdk.gateway_tools import ToolSpec

        entry = usable_tool(self._run.door.context, name, agent=self._run.agent_id)
        return None if entry is None else ToolSpec(entry.description, entry.parameters)

    def plain(self) -> dict[str, dict[str, object]]:
        """All of them by name, for a process of its own."""
        context, agent = self._run.door.context, self._run.agent_id
        return {
            name: {"description": entry.description, "parameters": entry.parameters}
            for name in usable_tools(context, agent=agent)
            if (entry := usable_tool(context, name, agent=agent)) is not None
        }

    async def invoke(self, name: str, arguments_json: str, call_id: str) -> str:
        """Call one; what went wrong is a short text for the model."""
        run = self._run
        if run.door.is_over:
            # What the agent's code left behind acts for nobody any more.
            return "Tool error: the run is over."
        self._calls += 1
        if self._calls > MAX_CALLS:
            return f"Tool error: a run may call tools {MAX_CALLS} times."
        run.door.trace.gateway_tools.add(name[:MAX_NAME])
        token = calling_run.set(run)
        try:
            return await call_tool(
                run.door.context, name, arguments_json, call_id=call_id, agent=run.agent_id
            )
        except ToolError as error:
            return f"Tool error: {error.message}."
        finally:
            calling_run.reset(token)


def tools_of_run(run: AgentRun) -> AbstractContextManager[None]:
    """While the block runs, the run's agents have these tools."""
    from agents_app.sdk.gateway_tools import tools_from

    return tools_from(RunTools(run))
