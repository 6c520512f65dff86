"""Messages of a chat request as the SDK's input items.

The SDK refuses members that it does not know, so items are made anew from what each role may hold
(https://platform.openai.com/docs/api-reference/chat/create).
"""

from __future__ import annotations

from itertools import takewhile
from typing import Any

from agents.run import CallModelData, ModelInputData

from gateway_project.core.errors import InvalidRequest

# As the wire has it; the SDK checks the shape itself.
Item = dict[str, Any]
_DETAILS = ("auto", "low", "high")


def items_of(messages: Any) -> list[Item]:
    """The conversation as input items; InvalidRequest names the message that can't be one."""
    if not isinstance(messages, list) or not messages:
        raise InvalidRequest("'messages' must be an array of messages.", param="messages")
    conversation = _Conversation()
    for number, message in enumerate(messages):
        conversation.add(message, f"messages[{number}]")
    conversation.close_calls()
    return conversation.items


def with_one_system_message(call: CallModelData[Any]) -> ModelInputData:
    """The input of an LLM call, with what the client says as the system at its start in the instructions.

    The templates of many local models know a system message only at the start, and only one.
    """
    given = call.model_data
    items: list[Any] = list(given.input)
    texts = [given.instructions] if given.instructions else []
    # Something must be left to answer.
    leading = [item["content"] for item in takewhile(_is_system_text, items[:-1])]
    return ModelInputData(input=items[len(leading) :], instructions="\n\n".join([*texts, *leading]) or None)


def _is_system_text(item: Any) -> bool:
    """An agent's code may have put in items of other shapes."""
    return item.get("role") in ("system", "developer") and isinstance(item.get("content"), str)


class _Conversation:
    """The items so far, and the tool calls that still want a result."""

    def __init__(self) -> None:
        self.items: list[Item] = []
        # The ids that messages use, and the ids that the items have.
        self._open_calls: dict[str, str] = {}
        self._calls_from = ""
        self._known_ids: set[str] = set()
        # The older form has no ids: a function's name stands for its one open call.
        self._open_functions: dict[str, str] = {}

    def add(self, message: Any, where: str) -> None:
        """One more message; `where` is its place, for errors."""
        if not isinstance(message, dict):
            raise _invalid(where, "must be an object")
        role = message.get("role")
        if role not in ("tool", "function"):
            self.close_calls()
        if role == "user":
            self._add_item(role, _content(message.get("content"), where))
        elif role in ("system", "developer"):
            self._add_item(role, _text(message.get("content"), where))
        elif role == "assistant":
            self._add_assistant(message, where)
        elif role == "tool":
            self._add_output(self._open_calls, message, "tool_call_id", where)
        elif role == "function":
            self._add_output(self._open_functions, message, "name", where)
        else:
            raise _invalid(f"{where}.role", "must be system, developer, user, assistant or tool")

    def close_calls(self) -> None:
        """Each call must have had its result; an upstream would refuse the conversation otherwise."""
        if self._open_calls or self._open_functions:
            raise _invalid(self._calls_from, "calls tools: a message with the result of each must follow")

    def _add_item(self, role: str, content: str | list[Item]) -> None:
        self.items.append({"role": role, "content": content})

    def _add_assistant(self, message: Item, where: str) -> None:
        text = _said(message, where)
        calls = message.get("tool_calls")
        if calls is not None and not isinstance(calls, list):
            raise _invalid(f"{where}.tool_calls", "must be an array")
        function = message.get("function_call")
        if not calls and function is None:
            self._add_item("assistant", text)
            return
        if text:
            # In this form the SDK sends the text and the calls as one message.
            part = {"type": "output_text", "text": text, "annotations": []}
            self.items.append(
                {
                    "type": "message",
                    "id": f"msg_{len(self.items)}",
                    "role": "assistant",
                    "status": "completed",
                    "content": [part],
                }
            )
        self._calls_from = where
        for number, call in enumerate(calls or ()):
            self._add_call(call, f"{where}.tool_calls[{number}]")
        if function is not None:
            name, arguments = _function(function, f"{where}.function_call")
            self._open_functions[name] = self._add_call_item("call_function", name, arguments)

    def _add_call(self, call: Any, where: str) -> None:
        if not isinstance(call, dict) or call.get("type") not in (None, "function"):
            raise _invalid(where, "must be the call of a function")
        call_id = call.get("id")
        if not isinstance(call_id, str) or not call_id:
            raise _invalid(f"{where}.id", "must be a text")
        if call_id in self._open_calls:
            raise _invalid(f"{where}.id", "is the id of another call")
        name, arguments = _function(call.get("function"), f"{where}.function")
        self._open_calls[call_id] = self._add_call_item(call_id, name, arguments)

    def _add_call_item(self, call_id: str, name: str, arguments: str) -> str:
        """Some upstreams count their calls anew each turn; the SDK drops all but one item of an id."""
        unique_id = call_id
        while unique_id in self._known_ids:
            unique_id = f"{call_id}_{len(self.items)}"
            call_id += "_"
        self._known_ids.add(unique_id)
        self.items.append(
            {"type": "function_call", "call_id": unique_id, "name": name, "arguments": arguments}
        )
        return unique_id

    def _add_output(self, open_calls: dict[str, str], message: Item, member: str, where: str) -> None:
        name = message.get(member)
        call_id = open_calls.pop(name, None) if isinstance(name, str) else None
        if call_id is None:
            raise _invalid(f"{where}.{member}", "belongs to no open tool call of the message before")
        output = _text(message.get("content"), where)
        self.items.append({"type": "function_call_output", "call_id": call_id, "output": output})


def _function(function: Any, where: str) -> tuple[str, str]:
    """A call's name and arguments."""
    if not isinstance(function, dict):
        raise _invalid(where, "must be an object")
    name, arguments = function.get("name"), function.get("arguments")
    if not isinstance(name, str) or not name:
        raise _invalid(f"{where}.name", "must be a text")
    if arguments is not None and not isinstance(arguments, str):
        raise _invalid(f"{where}.arguments", "must be a text")
    return name, arguments or "{}"


def _said(message: Item, where: str) -> str:
    """What the assistant said; a refusal is what it said too."""
    content, refusal = message.get("content"), message.get("refusal")
    if refusal is not None and not isinstance(refusal, str):
        raise _invalid(f"{where}.refusal", "must be a text")
    if content is None or content == []:
        return refusal or ""
    return _text(content, where, kinds=("text", "refusal"))


def _text(content: Any, where: str, kinds: tuple[str, ...] = ("text",)) -> str:
    """The content of a message that may have texts only."""
    if isinstance(content, str):
        return content
    texts = []
    for place, kind, part in _parts(content, where):
        if kind not in kinds:
            raise _invalid(place, "must be a part of type text")
        if not isinstance(text := part.get(kind), str):
            raise _invalid(f"{place}.{kind}", "must be a text")
        texts.append(text)
    return "".join(texts)


def _content(content: Any, where: str) -> str | list[Item]:
    """The content of a user's message."""
    if isinstance(content, str):
        return content
    return [_part(kind, part.get(kind), place) for place, kind, part in _parts(content, where)]


def _parts(content: Any, where: str) -> list[tuple[str, str, Item]]:
    """The place, type and object of each part."""
    if not isinstance(content, list) or not content:
        raise _invalid(f"{where}.content", "must be a text or an array of parts")
    found = []
    for number, part in enumerate(content):
        place = f"{where}.content[{number}]"
        if not isinstance(part, dict) or not isinstance(kind := part.get("type"), str):
            raise _invalid(place, "must be an object with a type")
        found.append((place, kind, part))
    return found


def _part(kind: str, value: Any, where: str) -> Item:
    if kind == "text":
        if not isinstance(value, str):
            raise _invalid(f"{where}.text", "must be a text")
        return {"type": "input_text", "text": value}
    if kind not in ("image_url", "input_audio", "file"):
        raise _invalid(f"{where}.type", "must be text, image_url, input_audio or file")
    if not isinstance(value, dict):
        raise _invalid(f"{where}.{kind}", "must be an object")
    if kind == "image_url":
        detail = value.get("detail") or "auto"
        if value.get("detail") not in (None, *_DETAILS):
            raise _invalid(f"{where}.image_url.detail", f"must be one of {', '.join(_DETAILS)}")
        url = _member(value, "url", f"{where}.image_url")
        return {"type": "input_image", "image_url": url, "detail": detail}
    if kind == "input_audio":
        audio = {name: _member(value, name, f"{where}.input_audio") for name in ("data", "format")}
        return {"type": "input_audio", "input_audio": audio}
    names = [name for name in ("file_data", "file_id", "filename") if value.get(name) is not None]
    if "file_data" not in names and "file_id" not in names:
        raise _invalid(f"{where}.file", "must have file_data or file_id")
    return {"type": "input_file"} | {name: _member(value, name, f"{where}.file") for name in names}


def _member(value: Item, name: str, where: str) -> str:
    text = value.get(name)
    if not isinstance(text, str) or not text:
        raise _invalid(f"{where}.{name}", "must be a text")
    return text


def _invalid(where: str, what: str) -> InvalidRequest:
    return InvalidRequest(f"'{where}' {what}.", param=where)
