"""What tokens of a model would cost now, for those who may use the model."""

from __future__ import annotations

from decimal import Decimal

from gateway_project.core.clock import utc_now
from gateway_project.core.errors import InvalidRequest
from gateway_project.core.money import from_nano
from security_app.registry import Principal
from security_app.services.configuration import store
from security_app.services.permissions import decide_scope, require_model
from usage_app.entry import TokenUsage
from usage_app.registry import SECTION, UsageConfig
from usage_app.services.pricing import cost_nano


def calculated_cost(
    principal: Principal, model: str, prompt: int, completion: int, cached: int, reasoning: int
) -> Decimal:
    """US dollars, exact; InvalidRequest without a price, PermissionDenied if the model is not the key's."""
    if not decide_scope(principal, "admin").is_allowed:
        require_model(principal, model)
    prices: UsageConfig = store.current.sections[SECTION].value
    card = prices.price(model, utc_now())
    if card is None:
        raise InvalidRequest(f"The model '{model}' has no price.", param="model", code="model_unpriced")
    tokens = TokenUsage(input=prompt, output=completion, cached_input=cached, reasoning=reasoning)
    return from_nano(cost_nano(tokens, card))
