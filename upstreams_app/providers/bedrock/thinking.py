"""How much a model is to reason before it answers.

Sources: Anthropic's guides of extended thinking (a budget of tokens, up to Claude 4.5) and of adaptive
thinking (an effort, from 4.6 on); Amazon Bedrock User Guide for Nova 2 and gpt-oss.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from gateway_project.core.errors import InvalidRequest
from upstreams_app.providers.bedrock.families import Family
from upstreams_app.providers.chat_parts import Json, wrong
from upstreams_app.providers.chat_request import ChatRequest

MIN_BUDGET: Final = 1024
_BUDGETS: Final = {"minimal": 1024, "low": 2048, "medium": 8192, "high": 16_384, "xhigh": 32_768}
_THREE_STEPS: Final = {"minimal": "low", "low": "low", "medium": "medium", "high": "high", "xhigh": "high"}


class Thinking(NamedTuple):
    """`fields` go to the model itself, `effort` into `outputConfig`."""

    fields: Json
    effort: str = ""
    is_on: bool = False


def thinking_fields(request: ChatRequest, family: Family) -> Thinking:
    """What `reasoning_effort`, or Anthropic's own `thinking`, becomes; InvalidRequest if it can't."""
    own = request.more.get("thinking")
    if own is not None:
        return _own(own)
    effort = request.effort
    if effort is None:
        return Thinking({})
    if family.kind == "gpt-oss" and effort != "none":
        return Thinking({"reasoning_effort": _THREE_STEPS[effort]}, is_on=True)
    if family.kind == "nova" and family.version >= (2, 0):
        if effort == "none":
            return Thinking({})
        level = _THREE_STEPS[effort]
        return Thinking({"reasoningConfig": {"type": "enabled", "maxReasoningEffort": level}}, is_on=True)
    if effort == "none":
        return Thinking({"thinking": {"type": "disabled"}} if family.can_think else {})
    if not family.can_think:
        raise InvalidRequest(
            "This model has no effort of reasoning, or its id doesn't tell what model it is; "
            "'additionalModelRequestFields' goes to the model as it is.",
            param="reasoning_effort",
            code="unsupported_parameter",
        )
    if family.thinks_by_effort:
        effort = "low" if effort == "minimal" else effort
        return Thinking({"thinking": {"type": "adaptive"}}, effort, is_on=True)
    return Thinking({"thinking": {"type": "enabled", "budget_tokens": _budget(request, effort)}}, is_on=True)


def _own(own: Any) -> Thinking:
    if not isinstance(own, dict):
        raise wrong("thinking", "an object")
    return Thinking({"thinking": own}, is_on=own.get("type") != "disabled")


def _budget(request: ChatRequest, effort: str) -> int:
    """Tokens to think with; they are part of `max_tokens`, and must leave something of it for the answer."""
    budget = _BUDGETS[effort]
    if request.max_tokens is None:
        return budget
    if request.max_tokens <= MIN_BUDGET:
        raise InvalidRequest(
            f"This model reasons with {MIN_BUDGET} tokens or more, which 'max_tokens' must exceed.",
            param="max_tokens",
        )
    return min(budget, max(MIN_BUDGET, request.max_tokens // 2))
