"""OpenAI's chat request as a call of Anthropic's Messages API.

Sources: Anthropic's API reference (messages, versions), its guides of tool use, structured outputs, thinking,
effort, prompt caching and service tiers.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, Final

from gateway_project.core.errors import InvalidRequest
from upstreams_app.providers.anthropic.messages import blocks, wire_messages
from upstreams_app.providers.anthropic.schemas import Inexpressible, native_schema
from upstreams_app.providers.anthropic.traits import SAMPLING_VERSION, Traits, traits_of
from upstreams_app.providers.chat_parts import Json, wrong
from upstreams_app.providers.chat_request import ChatRequest, Schema, Tool, read_chat_request, refuse

VENDOR: Final = "Anthropic"
# Nothing there does what these do. `seed` is left out without a word: OpenAI, too, only tries to honour it.
_REFUSED: Final = frozenset(
    {"logprobs", "top_logprobs", "logit_bias", "frequency_penalty", "presence_penalty", "audio"}
    | {"prediction", "web_search_options", "moderation"}
)
# Members of Anthropic's own that clients of LiteLLM send along.
_PASSED: Final = ("cache_control", "inference_geo", "speed")
_BUDGETS: Final = {
    "minimal": 1024,
    "low": 4096,
    "medium": 10_000,
    "high": 20_000,
    "xhigh": 24_000,
    "max": 24_000,
}
_LEAST_BUDGET: Final = 1024
_LEAST_ANSWER: Final = 8000
_BINDING_BETA: Final = "thinking-binding-controls-2026-08-01"
_ANY_JSON: Final = "Answer with one JSON object and nothing else: no other text, no code fences."
_EXPLAINED_TOOL: Final = "Give the final answer by calling this tool."


@dataclass(frozen=True, slots=True)
class Call:
    """A call as it is sent. `answer_tool` is the tool whose input is the answer's text, "" for none."""

    body: Json
    api_version: str
    betas: tuple[str, ...] = ()
    answer_tool: str = ""


def wire_call(fields: Json, *, model: str, options: Mapping[str, Any]) -> Call:
    """The call for a chat request; InvalidRequest names what Anthropic has nothing for."""
    request = read_chat_request(fields)
    traits = traits_of(model)
    if options.get("version"):
        takes = options["version"] == SAMPLING_VERSION and traits.takes_sampling
        traits = replace(traits, api_version=options["version"], takes_sampling=takes)
    _refuse(request)
    limit = request.max_tokens or options.get("max_tokens") or traits.default_max_tokens
    body: Json = {"model": model, "max_tokens": limit, "messages": wire_messages(request.turns)}
    _add_system(body, request)
    answer_tool = _add_format(body, request, traits)
    _add_tools(body, request, traits, answer_tool)
    _add_thinking(body, request, traits, answer_tool)
    budget = body.get("thinking", {}).get("budget_tokens")
    if request.max_tokens is None and isinstance(budget, int):
        body["max_tokens"] = max(limit, budget + _LEAST_ANSWER)
    betas = _bind_thoughts(body, own=request.more.get("thinking")) if traits.binds_thoughts else ()
    samples = _add_sampling(body, request, traits, ignores=options.get("sampling") == "ignore")
    _add_rest(body, request)
    return Call(body, SAMPLING_VERSION if samples else traits.api_version, betas, answer_tool)


def _refuse(request: ChatRequest) -> None:
    refuse(request, _REFUSED, VENDOR)
    if request.choices > 1:
        raise _unsupported("n", "Anthropic gives one answer to a request.")
    if request.more.get("modalities") not in (None, ["text"]):
        raise _unsupported("modalities", "Anthropic answers with text alone.")
    if request.more.get("verbosity") not in (None, "medium"):
        raise _unsupported("verbosity", "Anthropic has nothing for 'verbosity'.")
    if any(not text.strip() for text in request.stop):
        raise _unsupported("stop", "Anthropic takes no stop sequence of white space alone.")


def _add_system(body: Json, request: ChatRequest) -> None:
    if system := blocks(request.system):
        body["system"] = system


def _add_format(body: Json, request: ChatRequest, traits: Traits) -> str:
    """Ask for JSON where that is wanted; the name of the tool whose input it will be, if it needs one."""
    wanted = request.format
    if wanted is None:
        return ""
    if wanted.schema is None:
        body["system"] = [*body.get("system", []), {"type": "text", "text": _ANY_JSON}]
        return ""
    if traits.is_schema_native:
        try:
            schema = native_schema(wanted.schema)
        except Inexpressible:
            pass
        else:
            body["output_config"] = {"format": {"type": "json_schema", "schema": schema}}
            return ""
    if not traits.can_force_tools:
        message = "This model can't be held to this schema: its objects must name their members."
        raise _unsupported("response_format", message)
    if request.choice == "required" or request.choice.startswith("tool:"):
        # A call is asked for, no answer.
        return ""
    if wanted.schema.get("type") != "object":
        raise _unsupported("response_format", "With this model the schema must be of the type object.")
    return _tool_name(wanted, request.tools)


def _tool_name(wanted: Schema, tools: tuple[Tool, ...]) -> str:
    known = {tool.name for tool in tools}
    name = "".join(
        sign if sign.isascii() and (sign.isalnum() or sign in "_-") else "_" for sign in wanted.name
    )
    name = name[:100]
    while name in known:
        name += "_"
    return name


def _add_tools(body: Json, request: ChatRequest, traits: Traits, answer_tool: str) -> None:
    tools = [_tool(tool, traits) for tool in request.tools]
    if not tools and (named := dict.fromkeys(call.name for turn in request.turns for call in turn.calls)):
        # Calls in the history need their tools, and none is to be called.
        tools = [{"name": name, "input_schema": {"type": "object", "properties": {}}} for name in named]
        body["tool_choice"] = {"type": "none"}
    elif tools:
        _add_choice(body, request, traits)
    if answer_tool and request.format is not None:
        description = request.format.description or _EXPLAINED_TOOL
        tools.append({"name": answer_tool, "description": description, "input_schema": request.format.schema})
        may_call = request.tools and request.choice != "none"
        body["tool_choice"] = {"type": "any"} if may_call else {"type": "tool", "name": answer_tool}
        body["tool_choice"]["disable_parallel_tool_use"] = request.is_parallel is False or not may_call
    if tools:
        body["tools"] = tools


def _tool(tool: Tool, traits: Traits) -> Json:
    wire: Json = {"name": tool.name, "input_schema": {"type": "object", **tool.parameters}}
    if tool.description:
        wire["description"] = tool.description
    if tool.cache is not None:
        wire["cache_control"] = tool.cache
    if tool.is_strict and traits.is_schema_native:
        # What can't be expressed goes without the guarantee, as with models that have none.
        with suppress(Inexpressible):
            wire |= {"input_schema": native_schema(wire["input_schema"]), "strict": True}
    return wire


def _add_choice(body: Json, request: ChatRequest, traits: Traits) -> None:
    choice: Json = {"type": "auto"}
    if request.choice == "none":
        choice = {"type": "none"}
    elif request.choice in ("", "auto"):
        if not request.choice and request.is_parallel is not False:
            return
    elif not traits.can_force_tools:
        raise _unsupported("tool_choice", "This model decides for itself whether to call a tool; use 'auto'.")
    elif request.choice == "required":
        choice = {"type": "any"}
    else:
        choice = {"type": "tool", "name": request.choice.removeprefix("tool:")}
    if request.is_parallel is False and choice["type"] != "none":
        choice["disable_parallel_tool_use"] = True
    body["tool_choice"] = choice


def _add_thinking(body: Json, request: ChatRequest, traits: Traits, answer_tool: str) -> None:
    """Thinking as the model has it: adaptive with an effort, or a budget of tokens."""
    own = request.more.get("thinking")
    if own is not None:
        if not isinstance(own, dict):
            raise wrong("thinking", "an object")
        body["thinking"] = own
    effort = request.effort
    if effort is None:
        return
    if effort == "none":
        _turn_off(body, traits)
        return
    is_forced = body.get("tool_choice", {}).get("type") in ("any", "tool")
    if traits.thinking == "adaptive":
        body.setdefault("output_config", {})["effort"] = _effort(effort, traits)
        if own is None and not is_forced:
            shown = {"display": "summarized"} if traits.omits_thoughts else {}
            body["thinking"] = {"type": "adaptive", **shown}
    elif traits.thinking == "budget":
        if is_forced:
            param = "reasoning_effort" if answer_tool else "tool_choice"
            raise _unsupported(param, "This model can't reason where a tool must be called.")
        _add_budget(body, request, effort)
    else:
        raise _unsupported("reasoning_effort", "This model can't reason.")


def _turn_off(body: Json, traits: Traits) -> None:
    if not traits.off:
        raise _unsupported("reasoning_effort", "This model always reasons; the least is 'low'.")
    if traits.off != "omit":
        body["thinking"] = {"type": traits.off}


def _effort(effort: str, traits: Traits) -> str:
    wanted = "low" if effort == "minimal" else effort
    # What lacks the step between has the last.
    return wanted if wanted in traits.efforts else "max"


def _add_budget(body: Json, request: ChatRequest, effort: str) -> None:
    """A budget that leaves a quarter of the limit for the answer, unless the API would refuse it.

    In the middle of calling tools it wants the thoughts before them; most clients don't send them back.
    """
    budget = _BUDGETS[effort]
    if request.max_tokens is not None:
        budget = min(budget, request.max_tokens * 3 // 4)
    if "thinking" not in body and budget >= _LEAST_BUDGET and not _lacks_thoughts(body["messages"]):
        body["thinking"] = {"type": "enabled", "budget_tokens": budget}


def _lacks_thoughts(messages: list[Json]) -> bool:
    last = next((message for message in reversed(messages) if message["role"] == "assistant"), None)
    is_loop = messages[-1]["role"] == "user" and messages[-1]["content"][0]["type"] == "tool_result"
    return is_loop and last is not None and "thinking" not in last["content"][0]["type"]


def _bind_thoughts(body: Json, *, own: object) -> tuple[str, ...]:
    """Let thoughts be dropped whose conversation has changed before them, where the API would refuse them.

    Clients change it all the time: a date in the system prompt, one more tool. Returns the betas for it.
    """
    has_thoughts = any("thinking" in block["type"] for turn in body["messages"] for block in turn["content"])
    kind = body.setdefault("thinking", {"type": "adaptive"})["type"] if has_thoughts and own is None else ""
    if kind == "disabled":
        for turn in body["messages"]:
            turn["content"] = [block for block in turn["content"] if "thinking" not in block["type"]]
        body["messages"] = [turn for turn in body["messages"] if turn["content"]]
    if kind != "adaptive":
        return ()
    body["thinking"]["block_binding"] = {"prefix_mismatch_behavior": "drop_block"}
    return (_BINDING_BETA,)


def _add_sampling(body: Json, request: ChatRequest, traits: Traits, *, ignores: bool) -> bool:
    """Temperature and its like, where they differ from the default; whether there are any."""
    top_k = request.more.get("top_k")
    if top_k is not None and not isinstance(top_k, int):
        raise wrong("top_k", "an integer")
    asked: Json = {"temperature": request.temperature, "top_p": request.top_p, "top_k": top_k}
    asked = {name: value for name, value in asked.items() if value is not None}
    for name in ("temperature", "top_p"):
        if asked.get(name) == 1:
            # The default: naming it is refused by newer models.
            del asked[name]
    if not asked or (ignores and not traits.takes_sampling):
        return False
    name = next(iter(asked))
    if not traits.takes_sampling:
        raise _unsupported(name, f"This model takes no '{name}'.")
    if "thinking" in body and body["thinking"].get("type") != "disabled":
        if ignores:
            return False
        raise _unsupported(name, f"This model takes no '{name}' while it reasons.")
    if asked.get("temperature", 0) > 1:
        raise _unsupported("temperature", "Anthropic takes temperatures from 0 to 1.")
    if "temperature" in asked and "top_p" in asked and not traits.takes_both_samplings:
        raise _unsupported("top_p", "This model takes 'temperature' or 'top_p', not both.")
    body |= asked
    return True


def _add_rest(body: Json, request: ChatRequest) -> None:
    if request.stop:
        body["stop_sequences"] = list(request.stop)
    if request.is_stream:
        body["stream"] = True
    metadata = request.more.get("metadata")
    own = metadata.get("user_id") if isinstance(metadata, dict) else None
    user = request.user or request.more.get("safety_identifier") or own
    if isinstance(user, str):
        body["metadata"] = {"user_id": user}
    _add_tier(body, request.more.get("service_tier"))
    body |= {name: request.more[name] for name in _PASSED if name in request.more}


def _add_tier(body: Json, tier: object) -> None:
    if tier is None:
        return
    names = {"auto": "auto", "default": "standard_only", "standard_only": "standard_only"}
    if not isinstance(tier, str) or tier not in names:
        raise _unsupported("service_tier", "Anthropic has the service tiers 'auto' and 'default'.")
    body["service_tier"] = names[tier]


def _unsupported(param: str, message: str) -> InvalidRequest:
    return InvalidRequest(message, param=param, code="unsupported_parameter")
