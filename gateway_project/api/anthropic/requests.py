"""A request for a message, read into OpenAI's chat request.

Sources: Anthropic's API reference (messages, count tokens), and what its SDKs and Claude Code send.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Final

from gateway_project.api.anthropic.checks import (
    Json,
    cache_marker,
    filled_text,
    flag,
    integer,
    items,
    json_object,
    number,
    only,
    optional_text,
    text,
    unsupported,
    wrong,
)
from gateway_project.api.anthropic.content import read_messages, read_system
from gateway_project.api.anthropic.tools import read_choice, read_tools
from gateway_project.core.codec import loads
from gateway_project.core.errors import InvalidRequest

_COUNTED: Final = (
    "model", "messages", "system", "tools", "tool_choice", "thinking", "output_config", "output_format",
    "cache_control", "speed", "context_management", "mcp_servers",
)  # fmt: skip
_KNOWN: Final = (
    *_COUNTED, "max_tokens", "metadata", "stop_sequences", "stream", "temperature", "top_p", "top_k",
    "service_tier", "inference_geo", "container", "diagnostics",
)  # fmt: skip
_MAX_MODEL_CHARS: Final = 264
_EFFORTS: Final = ("low", "medium", "high", "xhigh", "max")
_THINKING: Final = ("enabled", "adaptive", "disabled", "between_tools")
# Claude Code tells who and which of its sessions, in one of these forms; a session is nobody's end user.
_CLAUDE_CODE_USER: Final = re.compile(r"(user_[0-9a-f]+)_account_([0-9a-f-]*)_session_[0-9a-f-]+")


@dataclass(frozen=True, slots=True)
class MessageRequest:
    """What is asked. `fields` is OpenAI's request with Anthropic's own members beside (see `targets`).

    `shows_thinking`: whether thoughts that nobody signed belong into the answer.
    """

    model: str
    fields: Json
    is_stream: bool
    shows_thinking: bool
    stop: tuple[str, ...]


def read_request(body: Json, *, is_count: bool = False) -> MessageRequest:
    """The request; InvalidRequest names the field that is wrong. To be counted it needs no `max_tokens`."""
    only(body, _COUNTED if is_count else _KNOWN, "")
    model = _required(body, "model")
    _refuse_served_at_anthropic(body)
    messages = read_messages(_required(body, "messages"))
    if body.get("system") is not None:
        messages = [read_system(body["system"], "system"), *messages]
    fields: Json = {"model": _model(model), "messages": messages}
    if not is_count:
        fields["max_tokens"] = integer(_required(body, "max_tokens"), "max_tokens")
    if body.get("tools"):
        fields["tools"] = read_tools(body["tools"])
    if body.get("tool_choice") is not None:
        fields |= read_choice(body["tool_choice"], fields.get("tools", []))
    stop = tuple(
        filled_text(item, at) for at, item in items(body.get("stop_sequences") or [], "stop_sequences")
    )
    if stop:
        fields["stop"] = list(stop)
    fields |= _sampling(body) | _output(body) | _rest(body)
    thinking = _thinking(body)
    if thinking:
        fields["thinking"] = thinking
    is_stream = flag(body.get("stream"), "stream")
    if is_stream:
        fields["stream"] = True
    shows = thinking.get("type") in ("enabled", "adaptive") and thinking.get("display") != "omitted"
    return MessageRequest(fields["model"], fields, is_stream, shows, stop)


def _model(value: Any) -> str:
    model = filled_text(value, "model")
    if len(model) > _MAX_MODEL_CHARS:
        raise wrong("model", f"at most {_MAX_MODEL_CHARS} characters")
    return model


def _required(body: Json, name: str) -> Any:
    value = body.get(name)
    if value is None:
        raise InvalidRequest(f"{name}: this field is required.", param=name)
    return value


def _refuse_served_at_anthropic(body: Json) -> None:
    for name in ("mcp_servers", "container"):
        if body.get(name):
            raise unsupported(name, "this runs at Anthropic, and is not served here.")
    management = body.get("context_management")
    if management is None:
        return
    edits = json_object(management, "context_management").get("edits") or []
    for path, edit in items(edits, "context_management.edits"):
        kind = json_object(edit, path).get("type")
        # Which thoughts of earlier turns are kept is each model's own affair; all else changes the request.
        if not isinstance(kind, str) or not kind.startswith("clear_thinking_"):
            raise unsupported(path, f"'{str(kind)[:64]}' happens at Anthropic, and is not served here.")


def _sampling(body: Json) -> Json:
    made: Json = {
        name: number(body[name], name) for name in ("temperature", "top_p") if body.get(name) is not None
    }
    if body.get("top_k") is not None:
        made["top_k"] = integer(body["top_k"], "top_k", low=0)
    return made


def _thinking(body: Json) -> Json:
    value = body.get("thinking")
    if value is None:
        return {}
    thinking = json_object(value, "thinking")
    only(thinking, ("type", "budget_tokens", "display"), "thinking")
    if thinking.get("type") not in _THINKING:
        raise wrong("thinking.type", ", ".join(_THINKING))
    if thinking["type"] == "enabled":
        integer(thinking.get("budget_tokens"), "thinking.budget_tokens", low=1024)
    if thinking.get("display") not in (None, "summarized", "omitted"):
        raise wrong("thinking.display", "summarized or omitted")
    return thinking


def _output(body: Json) -> Json:
    """The effort and the form of the answer; `output_format` is the older name of a part of it."""
    config = json_object(body.get("output_config") or {}, "output_config")
    only(config, ("effort", "format"), "output_config")
    made: Json = {}
    effort = config.get("effort")
    if effort is not None:
        if effort not in _EFFORTS:
            raise wrong("output_config.effort", ", ".join(_EFFORTS))
        made["reasoning_effort"] = effort
    path, form = "output_config.format", config.get("format")
    if form is None:
        path, form = "output_format", body.get("output_format")
    if form is not None:
        if json_object(form, path).get("type") != "json_schema":
            raise wrong(f"{path}.type", "json_schema")
        schema = json_object(form.get("schema"), f"{path}.schema")
        named = {"name": "answer", "schema": schema, "strict": True}
        made["response_format"] = {"type": "json_schema", "json_schema": named}
    return made


def _rest(body: Json) -> Json:
    made: Json = cache_marker(body, "")
    tier = body.get("service_tier")
    if tier not in (None, "auto", "standard_only"):
        raise wrong("service_tier", "auto or standard_only")
    if tier == "standard_only":
        made["service_tier"] = "default"
    if body.get("speed") not in (None, "standard", "fast"):
        raise wrong("speed", "standard or fast")
    made |= {name: body[name] for name in ("inference_geo", "speed") if body.get(name) is not None}
    if "inference_geo" in made:
        text(made["inference_geo"], "inference_geo")
    metadata = body.get("metadata")
    if metadata is not None:
        user_id = json_object(metadata, "metadata").get("user_id")
        if user := _end_user(optional_text(user_id, "metadata.user_id")):
            made["user"] = user
    return made


def _end_user(user_id: str) -> str:
    """Who it is: of Claude Code's ids without the session, which would make many end users of one."""
    found = _CLAUDE_CODE_USER.fullmatch(user_id)
    if found is not None:
        return found[2] or found[1]
    if user_id.startswith("{"):
        try:
            told = loads(user_id)
        except ValueError:
            return user_id
        who = told.get("account_uuid") or told.get("device_id")
        return who if isinstance(who, str) else user_id
    return user_id
