"""What something would cost, or has cost, by the prices of a moment: for those who may use the model."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from msgspec.structs import replace

from gateway_project.core.codec import dumps
from gateway_project.core.errors import InvalidRequest
from gateway_project.core.money import from_nano
from security_app.registry import Principal
from security_app.services.configuration import store
from security_app.services.permissions import decide_scope, require_model
from usage_app.entry import TokenUsage
from usage_app.registry import SECTION, RateCard, UsageConfig
from usage_app.services.configured_models import served_by
from usage_app.services.estimate import input_tokens
from usage_app.services.pricing import CostPart, cost_nano, cost_parts

# Parts of a cost that are for what the model makes; all others are for what it is given.
_OUTPUT_PARTS = frozenset({"output", "reasoning", "output_audio", "output_image", "per_image"})


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a request costs where it costs most.

    `costs` has each model that may serve it; None for those without a price.
    """

    model: str
    tokens: TokenUsage
    card: RateCard
    parts: list[CostPart]
    costs: dict[str, int | None]

    @property
    def cost_nano(self) -> int:
        """In nano-dollars, the sum of its parts."""
        return sum(part.cost_nano for part in self.parts)

    @property
    def output_nano(self) -> int:
        """Of it, what is for the answer."""
        return sum(part.cost_nano for part in self.parts if part.name in _OUTPUT_PARTS)


def estimate_cost(
    principal: Principal,
    model: str,
    tokens: TokenUsage,
    *,
    at: datetime,
    service_tier: str = "",
    picture: str = "",
) -> Estimate:
    """What the dearest model that may serve this would charge.

    InvalidRequest if none has a price then, PermissionDenied if the model is not the key's.
    """
    _require(principal, model)
    prices: UsageConfig = store.current.sections[SECTION].value
    cards = {name: _card(prices, name, at, service_tier, picture) for name in served_by(model)}
    costs = {name: None if card is None else cost_nano(tokens, card) for name, card in cards.items()}
    priced = [(cost, name) for name, cost in costs.items() if cost is not None]
    if not priced:
        raise InvalidRequest(f"The model '{model}' has no price.", param="model", code="model_unpriced")
    dearest = max(priced)[1]
    card = cards[dearest]
    if card is None:
        raise AssertionError("what has a cost has a card")
    return Estimate(dearest, tokens, card, cost_parts(tokens, card), costs)


def calculated_cost(principal: Principal, model: str, tokens: TokenUsage, *, at: datetime) -> Decimal:
    """US dollars, exact; errors as those of `estimate_cost`."""
    return from_nano(estimate_cost(principal, model, tokens, at=at).cost_nano)


def tokens_of(messages: list[Any], tokens: TokenUsage) -> TokenUsage:
    """With the input that these messages have, estimated as for a reservation."""
    return replace(tokens, input=input_tokens(dumps(messages)))


def _require(principal: Principal, model: str) -> None:
    if not decide_scope(principal, "admin").is_allowed:
        require_model(principal, model)


def _card(prices: UsageConfig, model: str, at: datetime, service_tier: str, picture: str) -> RateCard | None:
    card = prices.price(model, at)
    return card if card is None else card.service_tiers.get(service_tier, card).for_picture(picture)
