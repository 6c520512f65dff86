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
from upstreams_app.providers.bedrock.thinking import thinking_fields
from upstreams_app.providers.bedrock.tools import Tools, converse_tools
from upstreams_app.providers.chat_parts import Json, wrong
from upstreams_app.providers.chat_request import ChatRequest, refuse

VENDOR: Final = "Bedrock"
MAX_STOPS: Final = 2500
# What would change the answer, and Converse has no word for.
_REFUSED = frozenset(
    {
        "audio", "frequency_penalty", "logit_bias", "logprobs", "prediction", "presence_penalty",
        "top_logprobs", "verbosity", "web_search_options",
    }
)  # fmt: skip
# Members of Converse's own that a client may add; they go as they are.
_PASSED = ("guardrailConfig", "performanceConfig", "requestMetadata")
_TIERS = {"default": "default", "flex": "flex", "priority": "priority"}


class Translation(NamedTuple):
    """Converse's body, and the tool by which the model gives its answer as JSON, "" where it writes text."""

    body: Json
    answer_tool: str


def converse_request(request: ChatRequest, *, model: str, options: Mapping[str, Any]) -> Translation:
    """The body for a model; InvalidRequest names what Bedrock has nothing for."""
    _check(request)
    family = family_of(model)
    is_native = options.get("structured_outputs", family.has_native_schemas)
    messages = converse_messages(request.turns)
    thinking = thinking_fields(request, family)
    tools = converse_tools(
        request,
        family,
        has_history=has_tool_blocks(messages),
        is_native=is_native,
        is_thinking=thinking.is_on,
    )
    body: Json = {"messages": messages}
    if system := system_blocks(request.system):
        body["system"] = system
    if limits := _inference(request):
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
        raise InvalidRequest("Bedrock gives one answer.", param="n", code="unsupported_parameter")
    if request.seed is not None:
        raise InvalidRequest("Bedrock has nothing for 'seed'.", param="seed", code="unsupported_parameter")
    modalities = request.more.get("modalities")
    if modalities is not None and modalities != ["text"]:
        raise InvalidRequest("Bedrock answers in text.", param="modalities", code="unsupported_parameter")
    if request.temperature is not None and request.temperature > 1:
        raise InvalidRequest(
            "Bedrock takes temperatures from 0 to 1.", param="temperature", code="unsupported_parameter"
        )
    if len(request.stop) > MAX_STOPS:
        raise InvalidRequest(
            f"Bedrock takes {MAX_STOPS} stop sequences.", param="stop", code="unsupported_parameter"
        )


def _inference(request: ChatRequest) -> Json:
    values = {
        "maxTokens": request.max_tokens,
        "temperature": request.temperature,
        "topP": request.top_p,
        "stopSequences": list(request.stop) or None,
    }
    return {name: value for name, value in values.items() if value is not None}


def _output(request: ChatRequest, tools: Tools, effort: str) -> Json:
    output: Json = {"effort": effort} if effort else {}
    schema = request.format
    if schema is not None and schema.schema is not None and tools.has_native_schema:
        definition = {"schema": dumps(schema.schema).decode(), "name": schema.name}
        if schema.description:
            definition["description"] = schema.description
        output["textFormat"] = {"type": "json_schema", "structure": {"jsonSchema": definition}}
    return output


def _added(request: ChatRequest, family: Family) -> Json:
    """What the client adds for the model itself: all of a member's fields, and Anthropic's `top_k`."""
    fields = dict(_object(request.more, "additionalModelRequestFields"))
    top_k = request.more.get("top_k")
    if top_k is not None:
        if family.kind != "claude":
            raise InvalidRequest(
                "Only Claude takes 'top_k' here; others have it in 'additionalModelRequestFields'.",
                param="top_k",
                code="unsupported_parameter",
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
    if value not in _TIERS:
        raise InvalidRequest(
            "Bedrock's tiers are default, flex and priority.",
            param="service_tier",
            code="unsupported_parameter",
        )
    return _TIERS[value]
