"""The turns of a chat as Converse's messages: user and assistant in turn, tools' results from the user.

Source: the Converse API's reference (Message, ToolUseBlock, ToolResultBlock).
"""

from __future__ import annotations

import hashlib
import re

from gateway_project.core.errors import InvalidRequest
from upstreams_app.providers.bedrock.blocks import Blocks, cache_point, thinking_blocks
from upstreams_app.providers.chat_parts import Json, Media, Text
from upstreams_app.providers.chat_request import Turn

_CALL_ID = re.compile(r"[a-zA-Z0-9_.:-]{1,64}")


def system_blocks(system: tuple[Text, ...]) -> list[Json]:
    """Converse's `system`."""
    return Blocks().of(system)


def converse_messages(turns: tuple[Turn, ...]) -> list[Json]:
    """Converse's `messages`: neighbours of one role are one message. InvalidRequest names the wrong turn."""
    made: list[Json] = []
    blocks = Blocks()
    open_calls: set[str] = set()
    for turn in turns:
        if turn.role == "tool":
            if turn.call_id not in open_calls:
                raise InvalidRequest(
                    f"The message before '{turn.path}' has no call '{turn.call_id[:64]}'.",
                    param=f"{turn.path}.tool_call_id",
                )
            content = _result(turn, blocks)
        else:
            if turn.role == "assistant":
                open_calls = {call.id for call in turn.calls}
            content = _said(turn, blocks)
        role = "assistant" if turn.role == "assistant" else "user"
        if not content:
            if role == "user":
                raise InvalidRequest("Bedrock takes no empty message.", param=f"{turn.path}.content")
            continue
        if made and made[-1]["role"] == role:
            made[-1]["content"] += content
        else:
            made.append({"role": role, "content": content})
    if not made or made[0]["role"] != "user":
        raise InvalidRequest("For Bedrock the first message must be a user's.", param="messages")
    _check_documents(made)
    return made


def has_tool_blocks(messages: list[Json]) -> bool:
    """Whether tools were called before: then Bedrock wants to know what tools there are."""
    return any("toolUse" in block for message in messages for block in message["content"])


def _said(turn: Turn, blocks: Blocks) -> list[Json]:
    if turn.role == "user":
        return blocks.of(turn.parts)
    media = next((part for part in turn.parts if isinstance(part, Media)), None)
    if media is not None:
        raise InvalidRequest(
            "Bedrock takes images and files from the user only.",
            param=media.path,
            code="unsupported_parameter",
        )
    content = thinking_blocks(turn.thinking, turn.path) + blocks.of(turn.parts)
    for call in turn.calls:
        use = {"toolUseId": _call_id(call.id), "name": call.name, "input": call.arguments}
        content.append({"toolUse": use})
    return content


def _result(turn: Turn, blocks: Blocks) -> list[Json]:
    result: Json = {"toolUseId": _call_id(turn.call_id), "content": blocks.of(turn.parts, has_cache=False)}
    if turn.is_error:
        result["status"] = "error"
    marker = next((part.cache for part in reversed(turn.parts) if part.cache is not None), None)
    return [{"toolResult": result}, *([] if marker is None else [cache_point(marker)])]


def _call_id(call_id: str) -> str:
    """An id as Bedrock allows it: others, from other vendors' answers, stay the same within a request."""
    if _CALL_ID.fullmatch(call_id):
        return call_id
    return "call_" + hashlib.sha256(call_id.encode("utf-8", "replace")).hexdigest()[:32]


def _check_documents(messages: list[Json]) -> None:
    """Bedrock wants a text beside each document."""
    for message in messages:
        names = {name for block in message["content"] for name in block}
        if "document" in names and not names & {"text", "toolResult"}:
            raise InvalidRequest("Bedrock wants a text in a message with a file.", param="messages")
