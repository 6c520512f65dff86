"""The kind of tools that MCP servers have: a call goes to the pool, its answer comes back whole."""

from __future__ import annotations

import functools
import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from tools_app.entry import ToolCall, ToolResult
from tools_app.errors import LIMITED, TIMEOUT, ConfigProblem, ToolError
from tools_app.kinds import ANY_OBJECT
from tools_app.mcp_catalogue import KIND
from tools_app.mcp_entry import McpTarget
from tools_app.services.mcp_client.failures import McpBusy, McpFailure, McpRefusal, McpTimeout
from tools_app.services.mcp_client.pool import mcp_pool
from tools_app.services.mcp_client.results import tool_result

if TYPE_CHECKING:
    from mcp import Client

logger = logging.getLogger(__name__)


class McpKind:
    """Tools that were found at MCP servers. They are pinned rows of their own, and never made by hand."""

    id = KIND
    default_parameters = ANY_OBJECT

    def default_description(self, config: Mapping[str, Any]) -> str:
        """None: the server describes its tools."""
        return ""

    def prepare(self, config: Mapping[str, Any], parameters: Mapping[str, Any]) -> McpTarget:
        """ConfigProblem: the catalogue makes these."""
        raise ConfigProblem("kind", "Tools of MCP servers come from their servers.")

    def check(self, prepared: McpTarget) -> None:
        """Nothing more."""

    async def invoke(self, call: ToolCall) -> ToolResult:
        """What the server answers, within the tool's limit."""
        target: McpTarget = call.tool.prepared
        name = target.server.name

        async def ask(client: Client) -> dict[str, Any]:
            return await call_tool(client, target.tool, call)

        try:
            answer = await mcp_pool.request(target.server, ask)
        except McpTimeout as error:
            raise ToolError(f"the MCP server '{name}': {error.message}", status=TIMEOUT) from error
        except McpBusy as error:
            raise ToolError(f"the MCP server '{name}': {error.message}", status=LIMITED) from error
        except McpRefusal as error:
            raise ToolError(f"the MCP server '{name}' refused the call: {error.message}") from error
        except McpFailure as error:
            logger.warning("mcp.call_failed", extra={"server": name, "reason": error.reason})
            raise ToolError(f"the MCP server '{name}' can't be asked: {error.message}") from error
        return tool_result(answer, limit=call.tool.max_result_bytes)


async def call_tool(client: Client, name: str, call: ToolCall) -> dict[str, Any]:
    """A `CallToolResult` as JSON. The SDK's own method would check results by schemas of strangers."""
    from mcp.shared.exceptions import MCPError
    from mcp_types import (
        HEADER_MISMATCH,
        CallToolRequest,
        CallToolRequestParams,
        InputRequiredResult,
    )

    request = CallToolRequest(params=CallToolRequestParams(name=name, arguments=call.arguments))
    send = client.session.send_request
    try:
        result = await send(request, _answers(), progress_callback=call.on_progress)
    except MCPError as error:
        if error.error.code != HEADER_MISMATCH:
            raise
        # It wants arguments in headers, which the SDK knows from its list; it did nothing yet.
        await client.session.list_tools()
        result = await send(request, _answers(), progress_callback=call.on_progress)
    if isinstance(result, InputRequiredResult):
        raise McpRefusal(0, "it asks for input from a person, which can't be given here")
    found: dict[str, Any] = result.model_dump(by_alias=True, mode="json", exclude_none=True)
    return found


@functools.cache
def _answers() -> Any:
    """Reads what a call is answered with; making this takes longer than a call."""
    from mcp_types import CallToolResult, InputRequiredResult
    from pydantic import TypeAdapter

    return TypeAdapter(CallToolResult | InputRequiredResult)
