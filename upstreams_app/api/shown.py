"""Rows as answers show them; credentials and the values of headers are reduced to hints."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from typing import Any, Literal, cast

from django.db.models import QuerySet

from gateway_project.core.clock import utc_now
from gateway_project.core.crypto import DecryptionError
from gateway_project.core.money import from_nano
from security_app.services.configuration import store
from upstreams_app.models import RouteTarget, Upstream, UpstreamModel
from upstreams_app.schemas import (
    ShownCredential,
    ShownHealth,
    ShownInfo,
    ShownModel,
    ShownParams,
    ShownUpstream,
)
from upstreams_app.secret_hints import masked, masked_headers
from upstreams_app.services import aws_params, azure_params, vertex_params
from upstreams_app.services.deployments import deployment_id, vendor_model
from upstreams_app.services.overview import with_model_count
from upstreams_app.services.states import UpstreamWithState, state_reason, with_state
from usage_app.models.rates import UNITS_PER_RATE
from usage_app.registry import RateCard, UnitRates, UsageConfig

# LiteLLM's names of prices, and ours.
TOKEN_RATES = {
    "input_cost_per_token": "input",
    "output_cost_per_token": "output",
    "cache_read_input_token_cost": "cached_input",
    "cache_creation_input_token_cost": "cache_write",
    "output_cost_per_reasoning_token": "reasoning",
    "input_cost_per_audio_token": "input_audio",
    "output_cost_per_audio_token": "output_audio",
    "cache_creation_input_token_cost_above_1hr": "cache_write_1h",
    "input_cost_per_image_token": "input_image",
    "output_cost_per_image_token": "output_image",
}
# Those of what is not counted in tokens.
UNIT_RATES = {
    "output_cost_per_image": "per_image",
    "input_cost_per_character": "characters",
    "input_cost_per_second": "audio_hour",
    "input_cost_per_query": "per_search",
}
_Source = Literal["none", "stored", "reference", "client"]


def shown_models(targets: Iterable[RouteTarget]) -> list[ShownModel]:
    """Deployments with their prices of now, which are in memory."""
    return [shown_model(target) for target in targets]


def shown_model(target: RouteTarget) -> ShownModel:
    """One deployment."""
    model, upstream = target.model, target.model.upstream
    name = vendor_model(target)
    params = ShownParams(
        model=name,
        api_base=upstream.base_url + upstream.path_prefix if upstream.base_url else None,
        weight=target.weight,
        order=target.priority,
        timeout=upstream.total_timeout_s,
        stream_timeout=upstream.first_token_timeout_s,
        max_parallel_requests=upstream.max_concurrency,
        custom_llm_provider=name.removesuffix("/" + model.name),
        api_version=upstream.api_version or None,
        **_cloud_params(upstream),
    )
    return ShownModel(
        model_id=deployment_id(target),
        model_name=target.route.name,
        litellm_params=params,
        model_info=_info(target, model, upstream),
    )


def _cloud_params(upstream: Upstream) -> dict[str, Any]:
    """What LiteLLM calls the options of an upstream in a cloud."""
    if upstream.kind == aws_params.KIND:
        return aws_params.named(upstream.options)
    if upstream.kind == azure_params.KIND:
        return azure_params.named(upstream.options)
    return vertex_params.named(upstream.options) if upstream.kind == vertex_params.KIND else {}


def _info(target: RouteTarget, model: UpstreamModel, upstream: Upstream) -> ShownInfo:
    return ShownInfo(
        id=deployment_id(target),
        mode=model.mode,  # type: ignore[arg-type]
        description=model.description,
        upstream=upstream.name,
        upstream_model=str(model),
        max_tokens=model.max_output_tokens,
        max_input_tokens=model.context_window,
        max_output_tokens=model.max_output_tokens,
        is_enabled=target.is_enabled and target.route.is_enabled and model.is_enabled and upstream.is_enabled,
        created_at=target.created_at,
        updated_at=target.updated_at,
        **_costs(str(model)),
    )


def _costs(model_id: str) -> dict[str, Any]:
    prices: UsageConfig = store.current.sections["usage"].value
    card = prices.price(model_id, utc_now())
    units = None if card is None else card.units
    return {
        **{name: _per_token(card, rate) for name, rate in TOKEN_RATES.items()},
        "input_cost_per_request": None if card is None else _plain(from_nano(card.per_request)),
        **{name: _per_unit(units, rate) for name, rate in UNIT_RATES.items()},
    }


def _per_unit(units: UnitRates | None, rate: str) -> Decimal | None:
    if units is None:
        return None
    return _plain(from_nano(getattr(units, rate)) / UNITS_PER_RATE.get(rate, 1))


def _per_token(card: RateCard | None, rate: str) -> Decimal | None:
    return None if card is None else _plain(from_nano(getattr(card, rate)) / UNITS_PER_RATE[rate])


def _plain(amount: Decimal) -> Decimal:
    """Without zeros at the end, and written without an exponent where that is short."""
    return amount.normalize() if amount else Decimal(0)


def upstreams_for_display() -> QuerySet[UpstreamWithState]:
    """All upstreams with their state, last probe and the number of their models, in one query."""
    return with_state(with_model_count(Upstream.objects.order_by("name")))


def shown_upstream(row: UpstreamWithState) -> ShownUpstream:
    """An upstream out of `upstreams_for_display`."""
    return ShownUpstream(**upstream_values(row))


def upstream_values(row: UpstreamWithState) -> dict[str, Any]:
    """What is shown of an upstream out of `upstreams_for_display`."""
    names = set(ShownUpstream.model_fields) - {"id", "credential", "headers", "health"}
    values = {name: getattr(row, name) for name in names}
    return values | {
        "id": row.public_id,
        "credential": _credential(row),
        "headers": masked_headers(row.headers),
        "health": shown_health(row),
    }


def shown_health(row: UpstreamWithState) -> ShownHealth:
    """The state of now, of an upstream out of `upstreams_for_display`."""
    return ShownHealth(
        state=row.health_state,  # type: ignore[arg-type]
        reason=state_reason(row),
        latency_ms=row.last_latency_ms,
        status_code=row.last_status_code,
        error=row.last_error or "",
        checked_at=row.last_at,
    )


def _credential(row: Upstream) -> ShownCredential:
    source = Upstream.CredentialSource(row.credential_source)
    hint = ""
    if source == Upstream.CredentialSource.STORED:
        hint = _stored_hint(row)
    elif source == Upstream.CredentialSource.REFERENCE:
        hint = row.credential_reference
    elif source == Upstream.CredentialSource.CLIENT:
        hint = "x-upstream-api-key"
    return ShownCredential(source=cast(_Source, source.value), hint=hint)


def _stored_hint(row: Upstream) -> str:
    try:
        return masked(row.get_api_key())
    except DecryptionError:
        return "unreadable under the current encryption keys"
