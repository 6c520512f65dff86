"""The turns of a conversation as Anthropic's messages: roles in turn, results before anything else.

Sources: Anthropic's API reference (messages), its guides of tool use, vision, PDF support and thinking.
"""

from __future__ import annotations

import re
from base64 import b64decode
from typing import Any, Final

from gateway_project.core.errors import InvalidRequest
from upstreams_app.providers.anthropic.answers import AFTER_CALLS
from upstreams_app.providers.chat_parts import Json, Media, Part, Text
from upstreams_app.providers.chat_request import Turn

_IMAGES: Final = frozenset({"image/jpeg", "image/png", "image/gif", "image/webp"})
_ID: Final = re.compile(r"[^a-zA-Z0-9_-]")
# The API wants a user's message first; OpenAI's does not.
_OPENING: Final = "(The conversation begins here.)"


def wire_messages(turns: tuple[Turn, ...]) -> list[Json]:
    """The messages; InvalidRequest for what the API would refuse or has no block for."""
    made = _Messages()
    for turn in turns:
        if turn.role == "assistant":
            made.add_assistant(turn)
        elif turn.role == "tool":
            made.add_result(turn)
        else:
            made.add_user(turn)
    return made.finish()


class _Messages:
    """Messages as they grow. `_waiting` are the calls without a result as yet: ours by the client's id."""

    def __init__(self) -> None:
        self._messages: list[Json] = []
        self._results: list[Json] = []
        self._others: list[Json] = []
        self._waiting: dict[str, str] = {}
        self._waits_at = ""
        self._used: set[str] = set()

    def add_user(self, turn: Turn) -> None:
        self._others += blocks(turn.parts)

    def add_result(self, turn: Turn) -> None:
        call_id = self._waiting.pop(turn.call_id, None)
        if call_id is None:
            raise InvalidRequest(
                f"No call before this result has the id '{turn.call_id}'.",
                param=f"{turn.path}.tool_call_id",
            )
        block: Json = {"type": "tool_result", "tool_use_id": call_id}
        if turn.is_error:
            block["is_error"] = True
        content = blocks(turn.parts)
        if marked := next((part["cache_control"] for part in content if "cache_control" in part), None):
            block["cache_control"] = marked
        content = [{name: part[name] for name in part if name != "cache_control"} for part in content]
        if content:
            is_text = len(content) == 1 and content[0]["type"] == "text"
            block["content"] = content[0]["text"] if is_text else content
        self._results.append(block)

    def add_assistant(self, turn: Turn) -> None:
        thoughts = [block for block in turn.thinking if _is_thinking(block)]
        content = _thoughts_after(thoughts, 0)
        for part in turn.parts:
            if not isinstance(part, Text):
                raise InvalidRequest(
                    "Anthropic takes only text in an assistant's message.",
                    param=part.path,
                    code="unsupported_parameter",
                )
        content += blocks(turn.parts)
        if not content and not turn.calls:
            return
        self._close_user()
        for number, call in enumerate(turn.calls, start=1):
            call_id = self._new_id(call.id)
            self._waiting[call.id] = call_id
            self._waits_at = turn.path
            block = {"type": "tool_use", "id": call_id, "name": call.name, "input": call.arguments}
            content.append(block if call.cache is None else {**block, "cache_control": call.cache})
            content += _thoughts_after(thoughts, number, is_last=number == len(turn.calls))
        if self._messages and self._messages[-1]["role"] == "assistant":
            self._messages[-1]["content"] += content
        else:
            self._messages.append({"role": "assistant", "content": content})

    def finish(self) -> list[Json]:
        self._close_user()
        self._check_waiting()
        if not self._messages:
            raise InvalidRequest("Anthropic needs a message that says something.", param="messages")
        if self._messages[0]["role"] == "assistant":
            self._messages.insert(0, {"role": "user", "content": [{"type": "text", "text": _OPENING}]})
        last = self._messages[-1]
        if last["role"] == "assistant" and last["content"][-1]["type"] == "text":
            # The API refuses white space at the end of what the model is to go on with.
            last["content"][-1]["text"] = last["content"][-1]["text"].rstrip()
        return self._messages

    def _close_user(self) -> None:
        content = self._results + self._others
        if not content:
            return
        self._check_waiting()
        self._messages.append({"role": "user", "content": content})
        self._results, self._others = [], []

    def _check_waiting(self) -> None:
        if self._waiting:
            missing = ", ".join(f"'{call_id}'" for call_id in self._waiting)
            raise InvalidRequest(f"The calls {missing} have no result.", param=f"{self._waits_at}.tool_calls")

    def _new_id(self, call_id: str) -> str:
        """An id that the API takes: of few characters, and never twice in a conversation."""
        base = _ID.sub("_", call_id) or "call"
        made, number = base, 1
        while made in self._used:
            number += 1
            made = f"{base}-{number}"
        self._used.add(made)
        return made


def _is_thinking(block: Json) -> bool:
    """Whether this is a block that the API signed; those of other vendors mean nothing to it."""
    if block.get("type") == "redacted_thinking":
        return isinstance(block.get("data"), str)
    is_signed = isinstance(block.get("signature"), str) and bool(block["signature"])
    return block.get("type") == "thinking" and is_signed and isinstance(block.get("thinking"), str)


def _thoughts_after(thoughts: list[Json], calls: int, *, is_last: bool = False) -> list[Json]:
    """The thoughts whose place is behind so many calls (or more than there are), as the API sent them."""
    made = []
    for block in thoughts:
        place = block.get(AFTER_CALLS, 0)
        if place == calls or (is_last and isinstance(place, int) and place > calls):
            made.append({name: value for name, value in block.items() if name != AFTER_CALLS})
    return made


def blocks(parts: tuple[Part, ...]) -> list[Json]:
    """Content blocks, without texts that say nothing: the API refuses those."""
    made = []
    for part in parts:
        if isinstance(part, Text):
            if not part.text.strip():
                continue
            block: Json = {"type": "text", "text": part.text}
        else:
            block = _media(part)
        if part.cache is not None:
            block["cache_control"] = part.cache
        made.append(block)
    return made


def _media(part: Media) -> Json:
    if part.kind == "image":
        return {"type": "image", "source": _image_source(part)}
    if part.kind == "file":
        block: Json = {"type": "document", "source": _document_source(part)}
        if part.name:
            block["title"] = part.name
        return block
    raise _unsupported(part, "sound")


def _image_source(part: Media) -> Json:
    if part.url:
        return {"type": "url", "url": part.url}
    if part.media_type not in _IMAGES:
        raise _unsupported(part, f"images of the type {part.media_type}")
    return {"type": "base64", "media_type": part.media_type, "data": part.data}


def _document_source(part: Media) -> dict[str, Any]:
    if part.url:
        return {"type": "url", "url": part.url}
    if part.media_type == "application/pdf":
        return {"type": "base64", "media_type": "application/pdf", "data": part.data}
    if part.media_type.startswith("text/") or part.media_type == "application/json":
        try:
            text = b64decode(part.data).decode()
        except UnicodeDecodeError:
            raise InvalidRequest("The file is no text in UTF-8.", param=part.path) from None
        return {"type": "text", "media_type": "text/plain", "data": text}
    raise _unsupported(part, f"files of the type {part.media_type}")


def _unsupported(part: Media, what: str) -> InvalidRequest:
    return InvalidRequest(f"Anthropic has nothing for {what}.", param=part.path, code="unsupported_parameter")
