"""Requests to one MCP server that are not calls of tools: prompts, resources, completions.

The SDK is imported where there is something to ask. Answers are handed on as the server gave them, but for
what no person sees in them.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

from gateway_project.core.codec import dumps_loosely
from tools_app.mcp_entry import McpServerEntry
from tools_app.services.mcp_client.failures import McpFailure, McpRefusal
from tools_app.services.mcp_client.pool import mcp_pool
from tools_app.services.mcp_client.results import without_unseen

if TYPE_CHECKING:
    from mcp import Client

MAX_ANSWER_BYTES = 4 * 1024 * 1024


async def get_prompt(server: McpServerEntry, name: str, arguments: dict[str, str] | None) -> dict[str, Any]:
    """A prompt with its arguments filled in. Raises McpFailure, as all of these."""
    from mcp_types import GetPromptRequest, GetPromptRequestParams

    return await _asked(
        server, "prompts/get", GetPromptRequest(params=GetPromptRequestParams(name=name, arguments=arguments))
    )


async def read_resource(server: McpServerEntry, uri: str) -> dict[str, Any]:
    """What a resource holds."""
    from mcp_types import ReadResourceRequest, ReadResourceRequestParams

    return await _asked(
        server, "resources/read", ReadResourceRequest(params=ReadResourceRequestParams(uri=uri))
    )


async def complete(
    server: McpServerEntry, reference: dict[str, str], argument: dict[str, str], known: dict[str, str] | None
) -> dict[str, Any]:
    """What an argument of a prompt or of a template may go on as."""
    from mcp_types import CompleteRequest, CompleteRequestParams

    given: dict[str, Any] = {"ref": reference, "argument": argument}
    if known:
        given["context"] = {"arguments": known}
    request = CompleteRequest(params=CompleteRequestParams.model_validate(given))
    return await _asked(server, "completion/complete", request)


async def _asked(server: McpServerEntry, method: str, request: Any) -> dict[str, Any]:
    async def ask(client: Client) -> Any:
        return await client.session.send_request(request, _answers(method))

    answer = await mcp_pool.request(server, ask)
    if getattr(answer, "result_type", "complete") == "input_required":
        raise McpRefusal(0, "it asks for input from a person, which can't be given here")
    found: dict[str, Any] = answer.model_dump(by_alias=True, mode="json", exclude_none=True)
    if len(dumps_loosely(found)) > max(MAX_ANSWER_BYTES, server.max_result_bytes):
        raise McpFailure("its answer is too large")
    cleaned: dict[str, Any] = without_unseen(found)
    return cleaned


@functools.cache
def _answers(method: str) -> Any:
    """Reads what a method is answered with."""
    from mcp_types import CompleteResult, GetPromptResult, InputRequiredResult, ReadResourceResult
    from pydantic import TypeAdapter

    if method == "completion/complete":
        return TypeAdapter(CompleteResult)
    if method == "prompts/get":
        return TypeAdapter(GetPromptResult | InputRequiredResult)
    return TypeAdapter(ReadResourceResult | InputRequiredResult)
