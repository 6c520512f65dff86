"""The messages of a chat request: checked as OpenAI checks them, then asked for what the demo needs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from gateway_project.core.errors import InvalidRequest
from upstreams_app.demo.fields import JsonObject, wrong_type, wrong_value
from upstreams_app.demo.tokens import PER_ANSWER, PER_IMAGE, PER_MESSAGE, count_tokens

MAX_MESSAGES: Final = 2048
MAX_CALLS: Final = 128
ROLES: Final = ("system", "developer", "user", "assistant", "tool", "function")
_PARTS: Final = {"text": "text", "refusal": "refusal", "image_url": "", "input_audio": "", "file": ""}


@dataclass(frozen=True, slots=True)
class PastCall:
    """A tool call that the assistant made earlier."""

    id: str
    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class Message:
    """One message, its content parts joined to one text."""

    role: str
    text: str
    images: int
    calls: tuple[PastCall, ...]
    tool_call_id: str
    name: str


@dataclass(frozen=True, slots=True)
class Conversation:
    """All messages of a request, oldest first."""

    messages: tuple[Message, ...]

    @property
    def last_user_index(self) -> int:
        """Where the last user message stands; -1 without one."""
        return max(
            (index for index, message in enumerate(self.messages) if message.role == "user"), default=-1
        )

    @property
    def question(self) -> Message:
        """The last user message; an empty one where there is none."""
        index = self.last_user_index
        return self.messages[index] if index >= 0 else Message("user", "", 0, (), "", "")

    def calls_of_turn(self) -> list[PastCall]:
        """Tool calls made since the last user message."""
        return [call for message in self.messages[self.last_user_index + 1 :] for call in message.calls]

    def results_of_turn(self) -> list[tuple[str, str]]:
        """(tool name, text) of each tool message since the last user message."""
        names = {call.id: call.name for call in self.calls_of_turn()}
        return [
            (names.get(message.tool_call_id) or message.name or "the tool", message.text)
            for message in self.messages[self.last_user_index + 1 :]
            if message.role in ("tool", "function")
        ]

    def count_tokens(self) -> int:
        """The prompt's tokens, without those of tools."""
        texts: list[str] = []
        images = 0
        for message in self.messages:
            texts += message.text, message.name
            for call in message.calls:
                texts += call.name, call.arguments
            images += message.images
        return PER_ANSWER + PER_MESSAGE * len(self.messages) + PER_IMAGE * images + count_tokens(*texts)


def read_conversation(fields: JsonObject) -> Conversation:
    """The `messages` of a request; raises InvalidRequest."""
    value = fields.get("messages")
    if value is None:
        raise InvalidRequest("Missing required parameter: 'messages'.", param="messages")
    if not isinstance(value, list):
        raise wrong_type("messages", "an array of objects", value)
    if not value:
        raise wrong_value("messages", "expected at least one message.")
    if len(value) > MAX_MESSAGES:
        raise wrong_value("messages", f"expected at most {MAX_MESSAGES} messages.")
    messages = tuple(_read_message(item, f"messages[{index}]") for index, item in enumerate(value))
    _check_tool_answers(messages)
    return Conversation(messages)


def _read_message(item: Any, param: str) -> Message:
    if not isinstance(item, dict):
        raise wrong_type(param, "an object", item)
    role = item.get("role")
    if role not in ROLES:
        raise wrong_value(f"{param}.role", f"expected one of {', '.join(ROLES)}.")
    calls = tuple(_read_calls(item.get("tool_calls"), f"{param}.tool_calls")) if role == "assistant" else ()
    text, images = _read_content(item.get("content"), f"{param}.content", may_be_empty=role == "assistant")
    name = item.get("name")
    return Message(
        role=role,
        text=text,
        images=images,
        calls=calls,
        tool_call_id=_read_call_id(item, f"{param}.tool_call_id") if role == "tool" else "",
        name=name if isinstance(name, str) else "",
    )


def _read_call_id(item: JsonObject, param: str) -> str:
    value = item.get("tool_call_id")
    if not isinstance(value, str):
        raise InvalidRequest(f"Missing required parameter: '{param}'.", param=param)
    return value


def _read_content(content: Any, param: str, *, may_be_empty: bool) -> tuple[str, int]:
    """The content's text and its number of images."""
    if content is None and may_be_empty:
        return "", 0
    if isinstance(content, str):
        return content, 0
    if not isinstance(content, list):
        raise wrong_type(param, "a string or an array of objects", content)
    texts, images = [], 0
    for index, part in enumerate(content):
        kind = part.get("type") if isinstance(part, dict) else None
        if not isinstance(kind, str) or kind not in _PARTS:
            raise wrong_value(f"{param}[{index}].type", f"expected one of {', '.join(_PARTS)}.")
        images += kind == "image_url"
        if kind == "image_url" and not _has_url(part.get("image_url")):
            raise wrong_type(f"{param}[{index}].image_url", "an object with a url", part.get("image_url"))
        if field := _PARTS[kind]:
            if not isinstance(part.get(field), str):
                raise wrong_type(f"{param}[{index}].{field}", "a string", part.get(field))
            texts.append(part[field])
    return "\n".join(texts), images


def _has_url(image: Any) -> bool:
    return isinstance(image, dict) and isinstance(image.get("url"), str)


def _read_calls(value: Any, param: str) -> Iterator[PastCall]:
    if value is None:
        return
    if not isinstance(value, list):
        raise wrong_type(param, "an array of objects", value)
    if len(value) > MAX_CALLS:
        raise wrong_value(param, f"expected at most {MAX_CALLS} calls.")
    for index, call in enumerate(value):
        function = call.get("function") if isinstance(call, dict) else None
        if not isinstance(function, dict):
            raise wrong_type(f"{param}[{index}].function", "an object", function)
        texts = (call.get("id"), function.get("name"), function.get("arguments"))
        for field, text in zip(("id", "function.name", "function.arguments"), texts, strict=True):
            if not isinstance(text, str):
                raise wrong_type(f"{param}[{index}].{field}", "a string", text)
        yield PastCall(call["id"], function["name"], function["arguments"])


def _check_tool_answers(messages: tuple[Message, ...]) -> None:
    """Each tool message answers a call just before it, and each call is answered before anything else."""
    open_ids: set[str] = set()
    for index, message in enumerate(messages):
        if message.role == "tool":
            if message.tool_call_id not in open_ids:
                text = (
                    "messages with role 'tool' must be a response to a preceding message with 'tool_calls'."
                )
                raise wrong_value(f"messages[{index}].role", text)
            open_ids.remove(message.tool_call_id)
        else:
            _require_answered(open_ids, index)
            open_ids = {call.id for call in message.calls}
    _require_answered(open_ids, len(messages))


def _require_answered(open_ids: set[str], index: int) -> None:
    if open_ids:
        raise InvalidRequest(
            "An assistant message with 'tool_calls' must be followed by tool messages responding to each "
            "'tool_call_id'. The following tool_call_ids did not have response messages: "
            f"{', '.join(sorted(open_ids))}",
            param=f"messages[{index - 1}]",
        )
