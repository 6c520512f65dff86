"""How much a model is to reason before it answers.

Sources: Anthropic's guides of thinking and effort, whose models take on Bedrock what they take there; Amazon
Bedrock User Guide for Nova 2 and gpt-oss.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from gateway_project.core.errors import InvalidRequest
from upstreams_app.providers.anthropic.traits import Traits
from upstreams_app.providers.bedrock.families import Family
from upstreams_app.providers.bedrock.messages import lacks_thoughts
from upstreams_app.providers.bedrock.tools import Tools
from upstreams_app.providers.chat_parts import Json, wrong
from upstreams_app.providers.chat_request import ChatRequest

MIN_BUDGET: Final = 1024
_BUDGETS: Final = {
    "minimal": 1024,
    "low": 4096,
    "medium": 10_000,
    "high": 20_000,
    "xhigh": 24_000,
    "max": 24_000,
}
_THREE_STEPS: Final = {"minimal": "low", "low": "low", "medium": "medium"} | dict.fromkeys(
    ("high", "xhigh", "max"), "high"
)


class Thinking(NamedTuple):
    """`fields` go to the model itself, `effort` into `outputConfig`."""

    fields: Json
    effort: str = ""
    is_on: bool = False


def thinking_fields(request: ChatRequest, family: Family, messages: list[Json], *, tools: Tools) -> Thinking:
    """What `reasoning_effort` and Anthropic's own `thinking` become; InvalidRequest if they can't."""
    own, effort = request.more.get("thinking"), request.effort
    if own is not None and not isinstance(own, dict):
        raise wrong("thinking", "an object")
    if effort is None or (own is not None and family.claude is None):
        # Of a model behind a profile only its caller knows what it takes.
        meant = Thinking({})
    else:
        meant = _meant(request, effort, family, messages, tools)
    if own is None or (effort == "none" and family.claude is not None):
        return meant
    return meant._replace(fields={**meant.fields, "thinking": own}, is_on=own.get("type") != "disabled")


def _meant(request: ChatRequest, effort: str, family: Family, messages: list[Json], tools: Tools) -> Thinking:
    """What the effort becomes by itself."""
    if family.claude is not None:
        return _claudes(request, effort, family.claude, messages, tools)
    if effort == "none":
        return Thinking({})
    if family.kind == "gpt-oss":
        return Thinking({"reasoning_effort": _THREE_STEPS[effort]}, is_on=True)
    if family.kind == "nova-2":
        level = _THREE_STEPS[effort]
        return Thinking({"reasoningConfig": {"type": "enabled", "maxReasoningEffort": level}}, is_on=True)
    raise _unsupported(
        "This model has no effort of reasoning, or its id doesn't tell what model it is; "
        "'additionalModelRequestFields' goes to the model as it is."
    )


def _claudes(
    request: ChatRequest, effort: str, traits: Traits, messages: list[Json], tools: Tools
) -> Thinking:
    if effort == "none":
        if not traits.off:
            raise _unsupported("This model always reasons; the least is 'low'.")
        return Thinking({} if traits.off == "omit" else {"thinking": {"type": traits.off}})
    if traits.thinking == "adaptive":
        wanted = "low" if effort == "minimal" else effort
        shown = {"display": "summarized"} if traits.omits_thoughts else {}
        # What lacks the step between has the last.
        step = wanted if wanted in traits.efforts else "max"
        if tools.is_forcing:
            return Thinking({}, step)
        return Thinking({"thinking": {"type": "adaptive", **shown}}, step, is_on=True)
    if traits.thinking != "budget":
        raise _unsupported("This model can't reason.")
    if tools.is_forcing:
        param = "reasoning_effort" if tools.answer_tool else "tool_choice"
        raise _unsupported("This model can't reason where a tool must be called.", param)
    budget = _budget(request, effort)
    if budget < MIN_BUDGET or lacks_thoughts(messages):
        return Thinking({})
    return Thinking({"thinking": {"type": "enabled", "budget_tokens": budget}}, is_on=True)


def _budget(request: ChatRequest, effort: str) -> int:
    """Tokens to think with; they are part of `max_tokens`, a quarter of which is left for the answer."""
    budget = _BUDGETS[effort]
    return budget if request.max_tokens is None else min(budget, request.max_tokens * 3 // 4)


def _unsupported(message: str, param: str = "reasoning_effort") -> InvalidRequest:
    return InvalidRequest(message, param=param, code="unsupported_parameter")
