"""The methods that ask somebody: tools, prompts, resources, completions. Each is a request of the key."""

from __future__ import annotations

from time import perf_counter
from typing import Any

from security_app.registry.authorizers import ABOUT_TOOLS
from security_app.services.authorizing import ask_for_use, is_asked
from tools_app.entry import ToolEntry, ToolResult
from tools_app.errors import DENIED, INVALID, NOT_FOUND, ToolError
from tools_app.mcp_entry import McpTarget
from tools_app.services.call import call
from tools_app.services.client_calls import Work, accounted, work_of
from tools_app.services.mcp_client.failures import McpFailure, McpRefusal
from tools_app.services.mcp_gateway import upstream_requests
from tools_app.services.mcp_gateway.asked import Asked
from tools_app.services.mcp_gateway.envelope import check_parameter_headers
from tools_app.services.mcp_gateway.offer import Place
from tools_app.services.mcp_gateway.protocol import (
    INVALID_PARAMS,
    METHOD_NOT_FOUND,
    MODERN,
    REFUSED,
    RESOURCE_NOT_FOUND,
    TELLS_MODELS,
    RpcError,
)
from tools_app.services.observation import GATEWAY, observe_tool

_MAX_SHOWN_CHARS = 200


class Denied(RpcError):
    """What a key asked for and may not have; the audit keeps it, the client is told that there is no such."""

    def __init__(self, code: int, message: str, *, what: str, data: Any = None) -> None:
        super().__init__(code, message, data=data)
        self.what = what


async def call_tool(asked: Asked) -> dict[str, Any]:
    """A tool's result, whole; its own failures, and what models can do something about, are results."""
    name, arguments = asked.text("name"), asked.object("arguments")
    entry = asked.offer.find_tool(name)
    if entry is None:
        _observe(asked, name, None, NOT_FOUND)
        raise _unknown_tool(name)
    if not asked.offer.may_use(entry):
        _observe(asked, entry.name, entry, DENIED)
        raise Denied(INVALID_PARAMS, _unknown_tool(name).message, what=entry.name)
    if asked.version == MODERN:
        check_parameter_headers(entry.parameters, arguments, asked.headers)

    async def do() -> ToolResult:
        return await call(entry, arguments, asked.context, on_progress=asked.on_progress)

    try:
        result = await accounted(asked.context, work_of(entry), do, on_ticket=asked.on_ticket)
    except ToolError as error:
        return _of_error(asked, entry, error)
    return _of_result(asked, entry, result)


def _of_error(asked: Asked, entry: ToolEntry, error: ToolError) -> dict[str, Any]:
    """A call that came to nothing, as a result for the model; RpcError for what no model can mend."""
    if error.status == DENIED:
        detail = {"type": "permission_error", "code": "insufficient_permissions"}
        raise Denied(REFUSED, _sentence(error.message), what=entry.name, data=detail)
    if error.status == INVALID and not _tells_models(asked.version):
        raise RpcError(INVALID_PARAMS, f"Invalid arguments of the tool '{entry.name}': {error.message}")
    return {"content": [{"type": "text", "text": error.message}], "isError": True}


def _of_result(asked: Asked, entry: ToolEntry, result: ToolResult) -> dict[str, Any]:
    target = entry.prepared
    blocks = list(result.content)
    if isinstance(target, McpTarget):
        blocks = [asked.offer.shown_block(target.server, block) for block in blocks]
    shown: dict[str, Any] = {"content": blocks, "isError": result.is_error}
    # Any JSON since 2026-07-28; before it must be an object.
    if result.structured is not None and (asked.version == MODERN or isinstance(result.structured, dict)):
        shown["structuredContent"] = result.structured
    return shown


async def get_prompt(asked: Asked) -> dict[str, Any]:
    """A prompt of a server, with arguments filled in."""
    name, arguments = asked.text("name"), _texts(asked.object("arguments"), "arguments")
    place = asked.offer.find_prompt(name)
    place = _allowed(asked, place, RpcError(INVALID_PARAMS, f"Unknown prompt: {name[:_MAX_SHOWN_CHARS]}"))

    async def do() -> dict[str, Any]:
        return await upstream_requests.get_prompt(place.server, place.name, arguments or None)

    found = await _of_server(asked, Work("prompts/get", place.object, place.server.name), place, do)
    for message in found.get("messages", ()):
        if isinstance(message, dict) and isinstance(message.get("content"), dict):
            message["content"] = asked.offer.shown_block(place.server, message["content"])
    return found


async def read_resource(asked: Asked) -> dict[str, Any]:
    """What a resource of a server holds."""
    uri = asked.text("uri")
    # The modern revision has no code of its own for it.
    code = INVALID_PARAMS if asked.version == MODERN else RESOURCE_NOT_FOUND
    unknown = RpcError(code, "Resource not found", data={"uri": uri[:_MAX_SHOWN_CHARS]})
    place = _allowed(asked, asked.offer.find_resource(uri), unknown)

    async def do() -> dict[str, Any]:
        return await upstream_requests.read_resource(place.server, place.name)

    # An address may be content: the ledger has none.
    found = await _of_server(
        asked, Work("resources/read", f"{place.server.name}__resource", place.server.name), place, do
    )
    for part in found.get("contents", ()):
        if isinstance(part, dict) and isinstance(part.get("uri"), str):
            part["uri"] = asked.offer.shown_uri(place.server, part["uri"])
    return found


async def complete(asked: Asked) -> dict[str, Any]:
    """How an argument of a prompt, or of a template, may go on."""
    reference, argument = asked.object("ref"), _texts(asked.object("argument"), "argument")
    known = _texts(asked.object("context").get("arguments") or {}, "context.arguments")
    if set(argument) != {"name", "value"}:
        raise RpcError(INVALID_PARAMS, "'argument' must have a name and a value.")
    place, own = _referred(asked, reference)
    if "completions" not in place.server.capabilities:
        return {"completion": {"values": []}}

    async def do() -> dict[str, Any]:
        return await upstream_requests.complete(place.server, own, argument, known)

    name = f"{place.server.name}__completion"
    return await _of_server(asked, Work("completion/complete", name, place.server.name), place, do)


def _referred(asked: Asked, reference: dict[str, Any]) -> tuple[Place, dict[str, str]]:
    kind, name, uri = reference.get("type"), reference.get("name"), reference.get("uri")
    place = None
    if kind == "ref/prompt" and isinstance(name, str):
        place = asked.offer.find_prompt(name)
    elif kind == "ref/resource" and isinstance(uri, str):
        place = asked.offer.find_resource(uri)
    unknown = RpcError(INVALID_PARAMS, "'ref' is no prompt and no resource of this door.")
    place = _allowed(asked, place, unknown)
    return place, {"type": str(kind), ("name" if kind == "ref/prompt" else "uri"): place.name}


def _allowed(asked: Asked, place: Place | None, unknown: RpcError) -> Place:
    """The place, if the key may have it; else it is told the same as of one that is not there."""
    if place is None:
        raise unknown
    if not asked.offer.may_have(place):
        raise Denied(unknown.code, unknown.message, what=place.object[:_MAX_SHOWN_CHARS], data=unknown.data)
    return place


async def _of_server(asked: Asked, work: Work, place: Place, do: Any) -> dict[str, Any]:
    if is_asked(ABOUT_TOOLS):
        await ask_for_use(asked.context, ABOUT_TOOLS, "tool", place.object)
    try:
        found: dict[str, Any] = await accounted(asked.context, work, do, on_ticket=asked.on_ticket)
    except McpRefusal as error:
        # Its own code, as far as it is one of the protocol's.
        code = error.code if -32768 <= error.code <= -32000 else REFUSED
        if code == METHOD_NOT_FOUND:
            code = INVALID_PARAMS
        raise RpcError(code, error.message) from error
    except McpFailure as error:
        message = f"The MCP server '{place.server.name}': {error.message}"
        raise RpcError(
            REFUSED, message, data={"type": "upstream_error", "code": "upstream_failed"}
        ) from error
    # What this revision of ours says of itself, the server said of its own.
    for member in ("resultType", "ttlMs", "cacheScope", "_meta"):
        found.pop(member, None)
    return found


def _texts(given: Any, member: str) -> dict[str, str]:
    if not isinstance(given, dict) or not all(isinstance(value, str) for value in given.values()):
        raise RpcError(INVALID_PARAMS, f"'{member}' must be an object of texts.")
    return given


def _tells_models(version: str) -> bool:
    # Revisions are named by days, so they compare as texts.
    return version >= TELLS_MODELS


def _unknown_tool(name: str) -> RpcError:
    return RpcError(INVALID_PARAMS, f"Unknown tool: {name[:_MAX_SHOWN_CHARS]}")


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}."


def _observe(asked: Asked, name: str, entry: ToolEntry | None, status: str) -> None:
    observe_tool(
        name,
        kind=entry.kind if entry is not None else "",
        source=GATEWAY,
        status=status,
        latency_ms=(perf_counter() - asked.context.started) * 1000,
        request_id=asked.context.request_id,
    )
