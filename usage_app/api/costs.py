"""`/cost/estimate` and `/spend/calculate`: what something would cost, for the models that a key may use."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from django.http import HttpRequest
from ninja import Router

from gateway_project.core.clock import utc_now
from gateway_project.core.codec import dumps
from gateway_project.core.errors import InvalidRequest
from gateway_project.core.ids import public_id
from gateway_project.core.money import from_nano, usd_text
from security_app.api.auth import any_key, principal_of
from security_app.services.permissions import decide_scope
from usage_app.entry import TokenUsage
from usage_app.price_schemas import Calculation, CostAnswer, CostOfPart, CostQuestion
from usage_app.services.calculation import Estimate, calculated_cost, estimate_cost, tokens_of
from usage_app.services.extraction import token_usage
from usage_app.services.pictures import picture_of

router = Router(tags=["Spend"])
_TOKENS_PER_RATE = 1_000_000


@router.post("/cost/estimate", auth=any_key, response=CostAnswer, summary="What a request would cost")
def cost_estimate(request: HttpRequest, body: CostQuestion) -> CostAnswer:
    """Of a model that may be served in several places, where it costs most; by rate, by day and by month."""
    tokens = body.usage()
    if body.max_tokens is not None:
        tokens.output = body.max_tokens
    if body.messages is not None:
        tokens = tokens_of(body.messages, tokens)
    principal = principal_of(request)
    found = estimate_cost(
        principal,
        body.model,
        tokens,
        at=body.at or utc_now(),
        service_tier=body.service_tier,
        picture=picture_of(body.image_size, body.image_quality) if tokens.images else "",
    )
    # Who may only call a model need not learn where it is served.
    is_shown = decide_scope(principal, "admin").is_allowed
    return _answer(body, found, is_shown=is_shown)


def _answer(body: CostQuestion, found: Estimate, *, is_shown: bool) -> CostAnswer:
    cost, output = found.cost_nano, found.output_nano
    card = found.card
    sums: dict[str, Any] = {}
    for span, times in (("daily", body.num_requests_per_day), ("monthly", body.num_requests_per_month)):
        for kind, nano in (("", cost), ("input_", cost - output), ("output_", output), ("margin_", 0)):
            sums[f"{span}_{kind}cost"] = None if times is None else _dollars(nano * times)
    return CostAnswer(
        model=body.model,
        priced_as=found.model if is_shown else body.model,
        provider=found.model.partition("/")[0] if is_shown else "",
        price_id=public_id("price", card.price_id) if card.price_id is not None else None,
        service_tier=body.service_tier,
        cost=usd_text(cost),
        input_tokens=found.tokens.input,
        output_tokens=found.tokens.output,
        is_estimated=body.messages is not None,
        num_requests_per_day=body.num_requests_per_day,
        num_requests_per_month=body.num_requests_per_month,
        cost_per_request=_dollars(cost),
        input_cost_per_request=_dollars(cost - output),
        output_cost_per_request=_dollars(output),
        input_cost_per_token=_dollars(card.input) / _TOKENS_PER_RATE,
        output_cost_per_token=_dollars(card.output) / _TOKENS_PER_RATE,
        breakdown=[
            CostOfPart(
                name=part.name,
                quantity=part.quantity,
                rate=_dollars(part.rate),
                per=part.per,
                cost=usd_text(part.cost_nano),
            )
            for part in found.parts
        ],
        models={
            name: None if nano is None else usd_text(nano)
            for name, nano in (found.costs.items() if is_shown else ())
        },
        **sums,
    )


def _dollars(nano: int) -> Decimal:
    """Without zeros at the end."""
    return from_nano(nano).normalize() if nano else Decimal(0)


@router.post(
    "/spend/calculate", auth=any_key, operation_id="spend_calculate", summary="What tokens of a model cost"
)
def spend_calculate(request: HttpRequest, body: Calculation) -> dict[str, Decimal]:
    """By the prices of now, in US dollars."""
    tokens, model = _calculated(body)
    return {"cost": calculated_cost(principal_of(request), model, tokens, at=utc_now())}


def _calculated(body: Calculation) -> tuple[TokenUsage, str]:
    counts = (body.prompt_tokens, body.completion_tokens, body.cached_tokens, body.reasoning_tokens)
    model = body.model
    tokens = TokenUsage(
        input=body.prompt_tokens,
        output=body.completion_tokens,
        cached_input=body.cached_tokens,
        reasoning=body.reasoning_tokens,
    )
    if body.messages is not None and (body.completion_response is not None or body.prompt_tokens):
        raise InvalidRequest("Give 'messages' or counts, not both.", param="messages")
    if body.messages is not None:
        tokens = tokens_of(body.messages, tokens)
    elif body.completion_response is not None:
        if any(counts):
            raise InvalidRequest(
                "Give 'completion_response' or counts, not both.", param="completion_response"
            )
        model = model or _text(body.completion_response.get("model"))
        found = token_usage(dumps(body.completion_response.get("usage")))
        if found is None:
            raise InvalidRequest("The answer has no usage.", param="completion_response.usage")
        tokens = found
    if not model:
        raise InvalidRequest("'model' is missing.", param="model")
    return tokens, model


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
