"""OpenAI's chat request as Converse's.

Source: the Converse API's reference, and Anthropic's for what goes to Claude itself
(`additionalModelRequestFields`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from gateway_project.core.codec import dumps
from gateway_project.core.errors import InvalidRequest
from upstreams_app.providers.bedrock.families import Family, family_of
from upstreams_app.providers.bedrock.messages import converse_messages, has_tool_blocks, system_blocks
from upstreams_app.providers.bedrock.sampling import inference_config
from upstreams_app.providers.bedrock.thinking import thinking_fields
from upstreams_app.providers.bedrock.tools import Tools, converse_tools
from upstreams_app.providers.chat_parts import Json, wrong
from upstreams_app.providers.chat_request import ChatRequest, refuse

VENDOR: Final = "Bedrock"
# Nothing there does what these do. `seed` is left out without a word: OpenAI, too, only tries to honour it.
_REFUSED = frozenset(
    {"audio", "frequency_penalty", "logit_bias", "logprobs", "prediction", "presence_penalty"}
    | {"top_logprobs", "web_search_options", "moderation"}
)
# Members of Converse's own that a client may add; they go as they are.
_PASSED = ("guardrailConfig", "performanceConfig", "requestMetadata")
# OpenAI has two words for the last.
_TIERS = {"default": "default", "flex": "flex", "priority": "priority", "fast": "priority"}
_ANY_JSON: Final = "Answer with one JSON object and nothing else: no other text, no code fences."


class Translation(NamedTuple):
    """Converse's body, and the tool by which the model gives its answer as JSON, "" where it writes text."""

    body: Json
    answer_tool: str


def converse_request(request: ChatRequest, *, model: str, options: Mapping[str, Any]) -> Translation:
    """The body for a model; InvalidRequest names what Bedrock has nothing for."""
    _check(request)
    family = family_of(model)
    messages = converse_messages(request.turns)
    tools = converse_tools(
        request,
        family,
        has_history=has_tool_blocks(messages),
        is_native=options.get("structured_outputs", family.has_native_schemas),
    )
    thinking = thinking_fields(request, family, messages, tools=tools)
    body: Json = {"messages": messages}
    if system := _system(request):
        body["system"] = system
    if limits := inference_config(request, family.claude, is_thinking=thinking.is_on):
        body["inferenceConfig"] = limits
    if tools.config is not None:
        body["toolConfig"] = tools.config
    if output := _output(request, tools, thinking.effort):
        body["outputConfig"] = output
    if more := {**thinking.fields, **tools.fields, **_added(request, family)}:
        body["additionalModelRequestFields"] = more
    for name in _PASSED:
        if name in request.more:
            body[name] = _object(request.more, name)
    if tier := _tier(request.more.get("service_tier")):
        body["serviceTier"] = {"type": tier}
    return Translation(body, tools.answer_tool)


def _check(request: ChatRequest) -> None:
    refuse(request, _REFUSED, VENDOR)
    if request.choices > 1:
        raise _unsupported("n", "Bedrock gives one answer to a request.")
    if request.more.get("modalities") not in (None, ["text"]):
        raise _unsupported("modalities", "Bedrock answers with text alone.")
    if request.more.get("verbosity") not in (None, "medium"):
        raise _unsupported("verbosity", "Bedrock has nothing for 'verbosity'.")


def _system(request: ChatRequest) -> list[Json]:
    """The system's messages; an answer that may be any JSON is asked for in words."""
    system = system_blocks(request.system)
    if request.format is not None and request.format.schema is None:
        system.append({"text": _ANY_JSON})
    return system


def _output(request: ChatRequest, tools: Tools, effort: str) -> Json:
    output: Json = {"effort": effort} if effort else {}
    if request.format is not None and tools.native_schema is not None:
        definition = {"schema": dumps(tools.native_schema).decode(), "name": request.format.name}
        if request.format.description:
            definition["description"] = request.format.description
        output["textFormat"] = {"type": "json_schema", "structure": {"jsonSchema": definition}}
    return output


def _added(request: ChatRequest, family: Family) -> Json:
    """What the client adds for the model itself: all of a member's fields, and Anthropic's `top_k`."""
    fields = dict(_object(request.more, "additionalModelRequestFields"))
    top_k = request.more.get("top_k")
    if top_k is not None:
        if family.claude is None or not family.claude.takes_sampling:
            raise _unsupported(
                "top_k", "This model takes no 'top_k' here; some have it in 'additionalModelRequestFields'."
            )
        fields["top_k"] = top_k
    return fields


def _object(more: Mapping[str, Any], name: str) -> Json:
    value = more.get(name, {})
    if not isinstance(value, dict):
        raise wrong(name, "an object")
    return value


def _tier(value: Any) -> str:
    """OpenAI's tier as Bedrock's; "" where the upstream is to choose."""
    if value in (None, "auto"):
        return ""
    if not isinstance(value, str) or value not in _TIERS:
        raise _unsupported("service_tier", "Bedrock's tiers are default, flex and priority.")
    return _TIERS[value]


def _unsupported(param: str, message: str) -> InvalidRequest:
    return InvalidRequest(message, param=param, code="unsupported_parameter")
