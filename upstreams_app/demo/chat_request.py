"""The fields of a chat request, checked; unknown ones are ignored, as most vendors do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from gateway_project.core.errors import InvalidRequest
from upstreams_app.demo.catalogue import DemoModel, find_model
from upstreams_app.demo.conversation import Conversation, read_conversation
from upstreams_app.demo.fields import (
    JsonObject,
    check_number,
    read_boolean,
    read_include_usage,
    read_integer,
    read_stop,
    wrong_type,
    wrong_value,
)
from upstreams_app.demo.tools import ToolPlan, read_tools

MAX_CHOICES: Final = 16
MAX_TOKENS: Final = 10_000_000
EFFORTS: Final = ("none", "minimal", "low", "medium", "high", "xhigh", "max")


@dataclass(frozen=True, slots=True)
class ResponseFormat:
    """`text`, `json_object` or `json_schema`; `schema` counts for the last only."""

    kind: str
    schema: Any = None


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """A checked request; `top_logprobs` is None where no log probabilities are wanted."""

    model: DemoModel
    conversation: Conversation
    plan: ToolPlan
    format: ResponseFormat
    choices: int
    stop: tuple[str, ...]
    max_tokens: int | None
    top_logprobs: int | None
    effort: str | None
    is_stream: bool
    has_usage_chunk: bool


def read_chat_request(fields: JsonObject) -> ChatRequest:
    """Read a request; raises GatewayError that names the wrong field."""
    model = find_model(fields.get("model"), "chat")
    is_stream = read_boolean(fields, "stream", default=False)
    check_sampling(fields)
    return ChatRequest(
        model=model,
        conversation=read_conversation(fields),
        plan=read_tools(fields),
        format=_read_format(fields.get("response_format")),
        choices=read_integer(fields, "n", low=1, high=MAX_CHOICES) or 1,
        stop=read_stop(fields),
        max_tokens=_read_max_tokens(fields),
        top_logprobs=_read_logprobs(fields),
        effort=_read_effort(fields),
        is_stream=is_stream,
        has_usage_chunk=read_include_usage(fields, is_stream=is_stream),
    )


def check_sampling(fields: JsonObject) -> None:
    """Check what would steer a real model's sampling; the demo has no use for it."""
    check_number(fields, "temperature", low=0, high=2)
    check_number(fields, "top_p", low=0, high=1)
    check_number(fields, "presence_penalty", low=-2, high=2)
    check_number(fields, "frequency_penalty", low=-2, high=2)
    read_integer(fields, "seed", low=-(2**63), high=2**63 - 1)


def _read_max_tokens(fields: JsonObject) -> int | None:
    newer = read_integer(fields, "max_completion_tokens", low=1, high=MAX_TOKENS)
    older = read_integer(fields, "max_tokens", low=1, high=MAX_TOKENS)
    if newer is not None and older is not None:
        raise InvalidRequest(
            "Setting 'max_tokens' and 'max_completion_tokens' at the same time is not supported.",
            param="max_tokens",
        )
    return older if newer is None else newer


def _read_logprobs(fields: JsonObject) -> int | None:
    is_wanted = read_boolean(fields, "logprobs", default=False)
    count = read_integer(fields, "top_logprobs", low=0, high=20)
    if count and not is_wanted:
        raise wrong_value("top_logprobs", "it needs 'logprobs' to be true.")
    return (count or 0) if is_wanted else None


def _read_effort(fields: JsonObject) -> str | None:
    effort = fields.get("reasoning_effort")
    if effort is not None and effort not in EFFORTS:
        raise wrong_value("reasoning_effort", f"expected one of {', '.join(EFFORTS)}.")
    return effort


def _read_format(value: Any) -> ResponseFormat:
    if value is None:
        return ResponseFormat("text")
    if not isinstance(value, dict):
        raise wrong_type("response_format", "an object", value)
    kind = value.get("type")
    if kind in ("text", "json_object"):
        return ResponseFormat(kind)
    if kind != "json_schema":
        raise wrong_value("response_format.type", "expected 'text', 'json_object' or 'json_schema'.")
    wrapper = value.get("json_schema")
    if not isinstance(wrapper, dict):
        raise wrong_type("response_format.json_schema", "an object", wrapper)
    if not isinstance(wrapper.get("name"), str):
        raise wrong_type("response_format.json_schema.name", "a string", wrapper.get("name"))
    schema = wrapper.get("schema", {})
    if not isinstance(schema, dict):
        raise wrong_type("response_format.json_schema.schema", "an object", schema)
    return ResponseFormat(kind, schema)
