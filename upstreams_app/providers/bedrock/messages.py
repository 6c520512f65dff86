"""The turns of a chat as Converse's messages: user and assistant in turn, results of tools before all else.

Source: the Converse API's reference (Message, ToolUseBlock, ToolResultBlock).
"""

from __future__ import annotations

import hashlib
import re
from typing import Final

from gateway_project.core.errors import InvalidRequest
from upstreams_app.providers.bedrock.blocks import Blocks, cache_point, thinking_blocks
from upstreams_app.providers.chat_parts import Json, Media, Text
from upstreams_app.providers.chat_request import Turn

_CALL_ID = re.compile(r"[a-zA-Z0-9_.:-]{1,64}")
# Converse wants a user's message first; OpenAI's API does not.
_OPENING: Final = "(The conversation begins here.)"


def system_blocks(system: tuple[Text, ...]) -> list[Json]:
    """Converse's `system`."""
    return Blocks().of(system)


def converse_messages(turns: tuple[Turn, ...]) -> list[Json]:
    """Converse's `messages`: neighbours of one role are one. InvalidRequest names what it would refuse."""
    made = _Messages()
    for turn in turns:
        if turn.role == "assistant":
            made.add_assistant(turn)
        elif turn.role == "tool":
            made.add_result(turn)
        else:
            made.add_user(turn)
    return made.finish()


def has_tool_blocks(messages: list[Json]) -> bool:
    """Whether tools were called before: then Bedrock wants to know what tools there are."""
    return any("toolUse" in block for message in messages for block in message["content"])


def lacks_thoughts(messages: list[Json]) -> bool:
    """Whether results answer calls that came without what was thought before them, as most clients do it."""
    last = next((message for message in reversed(messages) if message["role"] == "assistant"), None)
    is_loop = messages[-1]["role"] == "user" and "toolResult" in messages[-1]["content"][0]
    return is_loop and last is not None and "reasoningContent" not in last["content"][0]


class _Messages:
    """Messages as they grow. `_waiting` are calls without a result as yet."""

    def __init__(self) -> None:
        self._messages: list[Json] = []
        self._blocks = Blocks()
        self._results: list[Json] = []
        self._others: list[Json] = []
        self._waiting: set[str] = set()
        self._waits_at = ""

    def add_user(self, turn: Turn) -> None:
        self._others += self._blocks.of(turn.parts)

    def add_result(self, turn: Turn) -> None:
        if turn.call_id not in self._waiting:
            raise InvalidRequest(
                f"No call before this result has the id '{turn.call_id[:64]}'.",
                param=f"{turn.path}.tool_call_id",
            )
        self._waiting.discard(turn.call_id)
        content = self._blocks.of(turn.parts, has_cache=False)
        result: Json = {"toolUseId": _call_id(turn.call_id), "content": content}
        if turn.is_error:
            result["status"] = "error"
        self._results.append({"toolResult": result})
        marker = next((part.cache for part in reversed(turn.parts) if part.cache is not None), None)
        if marker is not None:
            self._results.append(cache_point(marker))

    def add_assistant(self, turn: Turn) -> None:
        media = next((part for part in turn.parts if isinstance(part, Media)), None)
        if media is not None:
            raise InvalidRequest(
                "Bedrock takes images and files from the user only.",
                param=media.path,
                code="unsupported_parameter",
            )
        content = thinking_blocks(turn.thinking) + self._blocks.of(turn.parts)
        if not content and not turn.calls:
            return
        self._close_user()
        for call in turn.calls:
            self._waiting.add(call.id)
            self._waits_at = turn.path
            use = {"toolUseId": _call_id(call.id), "name": call.name, "input": call.arguments}
            content.append({"toolUse": use})
        if self._messages and self._messages[-1]["role"] == "assistant":
            self._messages[-1]["content"] += content
        else:
            self._messages.append({"role": "assistant", "content": content})

    def finish(self) -> list[Json]:
        self._close_user()
        self._check_waiting()
        if not self._messages:
            raise InvalidRequest("Bedrock needs a message that says something.", param="messages")
        if self._messages[0]["role"] == "assistant":
            self._messages.insert(0, {"role": "user", "content": [{"text": _OPENING}]})
        return self._messages

    def _close_user(self) -> None:
        content = self._results + self._others
        if not content:
            return
        self._check_waiting()
        names = {name for block in content for name in block}
        if "document" in names and not names & {"text", "toolResult"}:
            raise InvalidRequest("Bedrock wants a text in a message with a file.", param="messages")
        self._messages.append({"role": "user", "content": content})
        self._results, self._others = [], []

    def _check_waiting(self) -> None:
        if self._waiting:
            missing = ", ".join(f"'{call_id[:64]}'" for call_id in sorted(self._waiting))
            raise InvalidRequest(f"The calls {missing} have no result.", param=f"{self._waits_at}.tool_calls")


def _call_id(call_id: str) -> str:
    """An id as Bedrock allows it: others, from other vendors' answers, stay the same within a request."""
    if _CALL_ID.fullmatch(call_id):
        return call_id
    return "call_" + hashlib.sha256(call_id.encode("utf-8", "replace")).hexdigest()[:32]
