"""A chat request of OpenAI's, read once for all providers that have another wire format.

Sources: OpenAI's API reference (chat completions), and what chat clients really send. What is wrong is an
InvalidRequest that names the field; members that no provider knows are left in `more`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

from gateway_project.core.codec import loads
from gateway_project.core.errors import InvalidRequest
from upstreams_app.providers.call_ids import split_id
from upstreams_app.providers.chat_parts import Json, Part, Text, read_parts, wrong

EFFORTS: Final = ("none", "minimal", "low", "medium", "high", "xhigh", "max")
MAX_CHOICES: Final = 128


@dataclass(frozen=True, slots=True)
class Call:
    """A call of a tool; `signature` is what its id carried (`call_ids`), `cache` is as in `Text`."""

    id: str
    name: str
    arguments: Json
    signature: str = ""
    cache: Json | None = None


@dataclass(frozen=True, slots=True)
class Turn:
    """One message: of the `user` or `assistant`, or a `tool`'s result.

    `thinking` are the blocks of reasoning that an earlier answer brought (`thinking_blocks`), as they came.
    `is_error` says of a result that the tool failed: Anthropic's clients tell that apart.
    """

    role: str
    path: str
    parts: tuple[Part, ...] = ()
    calls: tuple[Call, ...] = ()
    call_id: str = ""
    thinking: tuple[Json, ...] = ()
    name: str = ""
    is_error: bool = False


@dataclass(frozen=True, slots=True)
class Tool:
    """A function that the model may call; `parameters` is a JSON schema."""

    name: str
    description: str
    parameters: Json
    is_strict: bool = False
    cache: Json | None = None


@dataclass(frozen=True, slots=True)
class Schema:
    """The answer is to be JSON: of this schema, or any object where `schema` is None."""

    schema: Json | None
    name: str = "answer"
    description: str = ""
    is_strict: bool = False


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """What is asked. `choice` is auto, none, required or `tool:<name>`; "" if it was not given."""

    system: tuple[Text, ...]
    turns: tuple[Turn, ...]
    tools: tuple[Tool, ...] = ()
    choice: str = ""
    is_parallel: bool | None = None
    format: Schema | None = None
    max_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    stop: tuple[str, ...] = ()
    seed: int | None = None
    effort: str | None = None
    choices: int = 1
    user: str = ""
    is_stream: bool = False
    more: Json = field(default_factory=dict)


_READ = frozenset(
    {
        "model", "messages", "tools", "tool_choice", "parallel_tool_calls", "response_format", "max_tokens",
        "max_completion_tokens", "temperature", "top_p", "stop", "seed", "reasoning_effort", "n", "user",
        "stream", "stream_options", "functions", "function_call",
    }
)  # fmt: skip


def read_chat_request(fields: Json) -> ChatRequest:
    """A request in parts; InvalidRequest names the wrong field."""
    for name in ("functions", "function_call"):
        if fields.get(name) is not None:
            raise InvalidRequest(f"'{name}' is not supported by this provider; use 'tools'.", param=name)
    system, turns = _read_messages(fields.get("messages"))
    choice = fields.get("tool_choice")
    tools, choice = _allowed(_read_tools(fields.get("tools")), choice)
    return ChatRequest(
        system=system,
        turns=turns,
        tools=tools,
        choice=_read_choice(choice, tools),
        is_parallel=_typed(fields, "parallel_tool_calls", bool, "a boolean"),
        format=_read_format(fields.get("response_format")),
        max_tokens=_read_integer(fields, "max_completion_tokens", 1)
        or _read_integer(fields, "max_tokens", 1),
        temperature=_read_number(fields, "temperature", 0, 2),
        top_p=_read_number(fields, "top_p", 0, 1),
        stop=_read_stop(fields.get("stop")),
        seed=_read_integer(fields, "seed", -(2**63)),
        effort=_read_effort(fields),
        choices=_read_integer(fields, "n", 1, MAX_CHOICES) or 1,
        user=_typed(fields, "user", str, "a string") or "",
        is_stream=_typed(fields, "stream", bool, "a boolean") or False,
        more={name: value for name, value in fields.items() if name not in _READ and value is not None},
    )


def refuse(request: ChatRequest, names: frozenset[str], vendor: str) -> None:
    """InvalidRequest for the first of these fields that was given and would do something."""
    for name in names & request.more.keys():
        # An empty object asks for a search with all as usual.
        if request.more[name] not in (False, 0, {}, []) or name == "web_search_options":
            raise InvalidRequest(
                f"{vendor} has nothing for '{name}'.", param=name, code="unsupported_parameter"
            )


def _typed(fields: Json, name: str, kind: type, expected: str) -> Any:
    value = fields.get(name)
    if value is not None and not isinstance(value, kind):
        raise wrong(name, expected)
    return value


def _read_integer(fields: Json, name: str, low: int, high: int = 2**63 - 1) -> int | None:
    value = fields.get(name)
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise wrong(name, f"an integer from {low} to {high}")
    return value


def _read_number(fields: Json, name: str, low: float, high: float) -> float | None:
    value = fields.get(name)
    if value is None:
        return None
    if not isinstance(value, int | float) or isinstance(value, bool) or not low <= value <= high:
        raise wrong(name, f"a number from {low:g} to {high:g}")
    return value


def _read_stop(value: Any) -> tuple[str, ...]:
    texts = [value] if isinstance(value, str) else value if value is not None else []
    if not isinstance(texts, list) or not all(isinstance(text, str) and text for text in texts):
        raise wrong("stop", "a text or a list of texts")
    return tuple(texts)


def _read_effort(fields: Json) -> str | None:
    effort = fields.get("reasoning_effort")
    if effort is not None and effort not in EFFORTS:
        raise wrong("reasoning_effort", "one of " + ", ".join(EFFORTS))
    return effort


def _read_messages(value: Any) -> tuple[tuple[Text, ...], tuple[Turn, ...]]:
    if not isinstance(value, list) or not value:
        raise wrong("messages", "a list of messages")
    system: list[Text] = []
    turns: list[Turn] = []
    for index, message in enumerate(value):
        path = f"messages[{index}]"
        if not isinstance(message, dict):
            raise wrong(path, "an object")
        role = message.get("role")
        if role in ("system", "developer"):
            for part in read_parts(message.get("content"), f"{path}.content"):
                if not isinstance(part, Text):
                    raise wrong(f"{path}.content", "text")
                system.append(part)
        elif role in ("user", "assistant", "tool"):
            turns.append(_read_turn(message, role, path))
        else:
            raise wrong(f"{path}.role", "system, developer, user, assistant or tool")
    if not turns:
        raise wrong("messages", "at least one message that is not a system's")
    return tuple(system), tuple(turns)


def _read_turn(message: Json, role: str, path: str) -> Turn:
    content = message.get("content")
    if role == "assistant":
        content = _said_before(message, path)
    parts = read_parts(content, f"{path}.content") if content is not None else ()
    if role == "user" and content is None:
        raise wrong(f"{path}.content", "a text or a list of parts")
    call_id = message.get("tool_call_id") if role == "tool" else ""
    if not isinstance(call_id, str) or (role == "tool" and not call_id):
        raise wrong(f"{path}.tool_call_id", "the id of a call")
    thinking = message.get("thinking_blocks") if role == "assistant" else None
    if thinking is not None and not (
        isinstance(thinking, list) and all(isinstance(block, dict) for block in thinking)
    ):
        raise wrong(f"{path}.thinking_blocks", "a list of objects")
    name = message.get("name")
    return Turn(
        role=role,
        path=path,
        parts=parts,
        calls=_read_calls(message.get("tool_calls"), f"{path}.tool_calls") if role == "assistant" else (),
        call_id=split_id(call_id).id,
        thinking=tuple(thinking or ()),
        name=name if isinstance(name, str) else "",
        is_error=role == "tool" and message.get("is_error") is True,
    )


def _said_before(message: Json, path: str) -> Any:
    """What an assistant said: a refusal is what it said, too. What only OpenAI keeps is not known here."""
    for name in ("audio", "function_call"):
        if message.get(name) is not None:
            raise InvalidRequest(
                f"An earlier answer's '{name}' is not known to this provider.",
                param=f"{path}.{name}",
                code="unsupported_parameter",
            )
    content, refusal = message.get("content"), message.get("refusal")
    return refusal if content in (None, "", []) and isinstance(refusal, str) else content


def _read_calls(value: Any, path: str) -> tuple[Call, ...]:
    if value is None:
        return ()
    if not isinstance(value, list):
        raise wrong(path, "a list of calls")
    calls = []
    for index, call in enumerate(value):
        function = call.get("function") if isinstance(call, dict) else None
        at = f"{path}[{index}]"
        if not isinstance(function, dict) or not _is_name(function.get("name")):
            raise wrong(f"{at}.function", "an object with a name")
        if not isinstance(call.get("id"), str):
            raise wrong(f"{at}.id", "a string")
        own, signature = split_id(call["id"])
        arguments = _read_arguments(function.get("arguments"), at)
        cache = call.get("cache_control")
        marker = cache if isinstance(cache, dict) else None
        calls.append(Call(own, function["name"], arguments, signature, marker))
    return tuple(calls)


def _is_name(value: Any) -> bool:
    return isinstance(value, str) and bool(value)


def _read_arguments(value: Any, path: str) -> Json:
    if isinstance(value, str):
        try:
            value = loads(value or "{}")
        except ValueError:
            raise wrong(f"{path}.function.arguments", "a JSON object as text") from None
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise wrong(f"{path}.function.arguments", "a JSON object as text")
    return value


def _read_tools(value: Any) -> tuple[Tool, ...]:
    if value is None:
        return ()
    if not isinstance(value, list):
        raise wrong("tools", "a list of tools")
    tools = []
    for index, tool in enumerate(value):
        function = tool.get("function") if isinstance(tool, dict) else None
        path = f"tools[{index}]"
        if not isinstance(tool, dict) or tool.get("type") != "function":
            raise wrong(f"{path}.type", "function")
        if not isinstance(function, dict) or not _is_name(function.get("name")):
            raise wrong(f"{path}.function", "an object with a name")
        parameters = function.get("parameters")
        if parameters is not None and not isinstance(parameters, dict):
            raise wrong(f"{path}.function.parameters", "a JSON schema")
        description, cache = function.get("description"), tool.get("cache_control")
        tools.append(
            Tool(
                function["name"],
                description if isinstance(description, str) else "",
                parameters or {"type": "object", "properties": {}},
                is_strict=function.get("strict") is True,
                cache=cache if isinstance(cache, dict) else None,
            )
        )
    return tuple(tools)


def _allowed(tools: tuple[Tool, ...], choice: Any) -> tuple[tuple[Tool, ...], Any]:
    """The tools that may be called, where a choice names several, and what is left of the choice."""
    if not isinstance(choice, dict) or choice.get("type") != "allowed_tools":
        return tools, choice
    allowed = choice.get("allowed_tools")
    named = allowed.get("tools") if isinstance(allowed, dict) else None
    if (
        not isinstance(allowed, dict)
        or not isinstance(named, list)
        or allowed.get("mode")
        not in (
            "auto",
            "required",
        )
    ):
        raise wrong("tool_choice.allowed_tools", "an object with mode (auto or required) and tools")
    names = set()
    for item in named:
        function = item.get("function") if isinstance(item, dict) else None
        name = function.get("name") if isinstance(function, dict) else None
        if name not in {tool.name for tool in tools}:
            raise wrong("tool_choice.allowed_tools.tools", "functions that are among the 'tools'")
        names.add(name)
    return tuple(tool for tool in tools if tool.name in names), allowed["mode"]


def _read_choice(value: Any, tools: tuple[Tool, ...]) -> str:
    if value is None:
        return ""
    if value in ("auto", "none", "required"):
        if value == "required" and not tools:
            raise InvalidRequest("'tool_choice' needs 'tools'.", param="tool_choice")
        return str(value)
    function = value.get("function") if isinstance(value, dict) else None
    name = function.get("name") if isinstance(function, dict) else None
    if not isinstance(name, str):
        raise wrong("tool_choice", "none, auto, required or a function")
    if name not in {tool.name for tool in tools}:
        raise InvalidRequest(f"'tools' has no function '{name}'.", param="tool_choice")
    return f"tool:{name}"


def _read_format(value: Any) -> Schema | None:
    if value is None:
        return None
    kind = value.get("type") if isinstance(value, dict) else None
    if kind == "text":
        return None
    if kind == "json_object":
        return Schema(None)
    wrapper = value.get("json_schema") if kind == "json_schema" else None
    if not isinstance(wrapper, dict):
        raise wrong("response_format", "text, json_object or json_schema")
    schema, name = wrapper.get("schema", {}), wrapper.get("name")
    if not isinstance(schema, dict):
        raise wrong("response_format.json_schema.schema", "a JSON schema")
    if not isinstance(name, str) or not name:
        raise wrong("response_format.json_schema.name", "a string")
    description = wrapper.get("description")
    return Schema(
        schema,
        name,
        description if isinstance(description, str) else "",
        is_strict=wrapper.get("strict") is True,
    )
