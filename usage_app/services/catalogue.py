"""Prices out of the genai-prices catalogue, as columns of our price rows.

Works offline with the data of the package; loading them takes about 0.3 s, so never on the request path.
What becomes of an offer that differs from what we have is decided elsewhere (`price_changes`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from django.db import transaction

from gateway_project.core.clock import utc_now
from usage_app.models import Price
from usage_app.services.overrides import exact
from usage_app.services.pictures import picture_columns

if TYPE_CHECKING:
    from genai_prices.data_snapshot import DataSnapshot
    from genai_prices.types import ModelInfo, ModelPrice

BEGINNING = datetime(2020, 1, 1, tzinfo=UTC)
_TOKEN_PRICES = {
    "input": "input_mtok",
    "output": "output_mtok",
    "cached_input": "cache_read_mtok",
    "cache_write": "cache_write_mtok",
    "cache_write_1h": "cache_write_1h_mtok",
    "reasoning": "output_reasoning_mtok",
    "input_audio": "input_audio_mtok",
    "output_audio": "output_audio_mtok",
    "input_image": "input_image_mtok",
    "output_image": "output_image_mtok",
}
# Each with what it is divided by to be ours.
_UNIT_PRICES = {
    "characters": ("input_mchars", 1),
    "audio_hour": ("audio_hours", 1),
    "per_search": ("rerank_searches_kcount", 1000),
    "per_request": ("requests_kcount", 1000),
}
# What a vendor's request says, and the way of service that this is to us.
_SERVICES = {
    ("processing", "batch"): "batch",
    ("service_tier", "flex"): "flex",
    ("service_tier", "priority"): "priority",
    ("service_tier", "fast"): "fast",
    ("speed", "fast"): "fast",
}


@dataclass(frozen=True, slots=True)
class PricedModel:
    """A model to look up: our id, and what the catalogue calls its provider and itself.

    `provider` is a provider's id in the catalogue, or the base URL of its API. `plain_model` is the name to
    look for where the catalogue has no such `vendor_model`; "" for none.
    """

    model_id: str
    provider: str
    vendor_model: str
    plain_model: str = ""

    @property
    def listed_as(self) -> str:
        """Provider and model as one text, for `Price.listed_as`."""
        return f"{self.provider} {self.vendor_model}"[:300]

    def renamed(self, listed_as: str) -> PricedModel:
        """As it was found before, if that was at the same provider."""
        provider, _, name = listed_as.partition(" ")
        return PricedModel(self.model_id, provider, name) if name and provider == self.provider else self


def add_missing(models: Iterable[PricedModel]) -> int:
    """Take the catalogue's prices of those models that never had any of it; how many rows were added."""
    with transaction.atomic():
        rows = [row for model in models for row in _first_rows(model)]
        if rows:
            Price.objects.bulk_create(rows)
    return len(rows)


def _first_rows(model: PricedModel) -> list[Price]:
    if Price.objects.filter(model=model.model_id, source=Price.Source.CATALOGUE).exists():
        return []
    return holding_from(offers(model, installed_catalogue()), utc_now())


def holding_from(rows: list[Price], moment: datetime) -> list[Price]:
    """Of rows in order those that hold then or later."""
    begun = sum(row.valid_from <= moment for row in rows)
    return rows[max(begun - 1, 0) :]


def installed_catalogue() -> DataSnapshot:
    """The prices that the installed package has."""
    # Half a second of import, and only for those who ask for prices.
    from genai_prices.data_snapshot import get_snapshot

    return get_snapshot()


def offers(model: PricedModel, catalogue: DataSnapshot) -> list[Price]:
    """The rows, unsaved, that a catalogue has for a model, from the first to the last."""
    info, listed_as = _find(catalogue, model.provider, model.vendor_model), model.listed_as
    if info is None and model.plain_model:
        info = _find(catalogue, model.provider, model.plain_model)
        listed_as = PricedModel(model.model_id, model.provider, model.plain_model).listed_as
    dated = _by_the_picture(model) if info is None else list(_dated_columns(info))
    return [
        Price(
            model=model.model_id,
            valid_from=valid_from,
            source=Price.Source.CATALOGUE,
            managed_by="catalogue",
            listed_as=listed_as,
            **columns,
        )
        for valid_from, columns in dated
    ]


def _by_the_picture(model: PricedModel) -> list[tuple[datetime, dict[str, Any]]]:
    """What the catalogue lacks: prices of models that are billed by the picture."""
    columns = picture_columns(model.provider, model.vendor_model)
    zero = Decimal(0)
    return [] if columns is None else [(BEGINNING, {"input": zero, "output": zero, **columns})]


def _find(catalogue: DataSnapshot, provider: str, vendor_model: str) -> ModelInfo | None:
    is_url = provider.startswith(("http://", "https://"))
    try:
        return catalogue.find_provider_model(
            vendor_model, None, None if is_url else provider or None, provider if is_url else None
        )[1]
    except LookupError:
        return None


def _dated_columns(info: ModelInfo) -> Iterator[tuple[datetime, dict[str, Any]]]:
    """Each set of columns with its first day: a new one begins with a price or with one of a service."""
    prices = _dated_prices(info)
    days = {day for day, _ in prices}
    days |= {_start(variant) for variant in info.price_variants or () if _is_dated(variant)}
    for day in sorted(days):
        begun = [price for start, price in prices if start <= day]
        columns = _columns(begun[-1]) if begun else None
        if columns is not None:
            yield day, {**columns, "service_tiers": _services(info, day)}


def _dated_prices(info: ModelInfo) -> list[tuple[datetime, ModelPrice]]:
    """Each price with its first day. Discounts by the time of day are left out: the full price counts."""
    from genai_prices.types import ModelPrice, StartDateConstraint

    if isinstance(info.prices, ModelPrice):
        return [(BEGINNING, info.prices)]
    by_date = {
        _day(item.constraint.start_date): item.prices
        for item in info.prices
        if isinstance(item.constraint, StartDateConstraint)
    }
    unconditional = [item.prices for item in info.prices if item.constraint is None]
    if unconditional:
        by_date[BEGINNING] = unconditional[-1]
    return sorted(by_date.items(), key=lambda item: item[0])


def _services(info: ModelInfo, day: datetime) -> dict[str, Any]:
    """The rates of ways of service on a day; the first that names a rate has the say."""
    services: dict[str, Any] = {}
    for variant in info.price_variants or ():
        [condition, *others] = variant.when.items()
        name = _SERVICES.get(condition)
        if name is None or others or not _is_dated(variant) or _start(variant) > day:
            continue
        own = services.setdefault(name, {})
        services[name] = {**_service_rates(variant.prices), **own}
    return {name: own for name, own in services.items() if own}


def _is_dated(variant: Any) -> bool:
    """Whether it holds from some day on, and not by the time of day."""
    from genai_prices.types import StartDateConstraint

    return variant.constraint is None or isinstance(variant.constraint, StartDateConstraint)


def _start(variant: Any) -> datetime:
    return BEGINNING if variant.constraint is None else _day(variant.constraint.start_date)


def _day(day: date) -> datetime:
    return datetime.combine(day, datetime.min.time(), UTC)


def _service_rates(prices: ModelPrice) -> dict[str, Any]:
    """What a service has of its own, as JSON."""
    rates, tiers = _rates(prices)
    given: dict[str, Any] = {name: format(rate, "f") for name, rate in rates.items() if rate is not None}
    return {**given, "tiers": tiers} if tiers else given


def _columns(prices: ModelPrice) -> dict[str, Any] | None:
    """The catalogue's rates as our columns; None if it prices the model by nothing that we count."""
    rates, tiers = _rates(prices)
    if all(rate is None for rate in rates.values()):
        return None
    zero = Decimal(0)
    return {**rates, "input": rates["input"] or zero, "output": rates["output"] or zero, "tiers": tiers}


def _rates(prices: ModelPrice) -> tuple[dict[str, Decimal | None], list[dict[str, Any]]]:
    from genai_prices.types import TieredPrices

    values = {name: getattr(prices, key) for name, key in _TOKEN_PRICES.items()}
    rates = {
        name: exact(value.base if isinstance(value, TieredPrices) else value)
        for name, value in values.items()
    }
    for name, (key, divisor) in _UNIT_PRICES.items():
        value = getattr(prices, key, None)
        rates[name] = exact(value / divisor) if isinstance(value, Decimal) else None
    return rates, _tiers({name: value for name, value in values.items() if isinstance(value, TieredPrices)})


def _tiers(tiered: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Our tiers name every rate that depends on the tier, at each threshold that any rate has."""
    thresholds = sorted({tier.start for value in tiered.values() for tier in value.tiers})
    tiers = []
    for threshold in thresholds:
        tier: dict[str, Any] = {"above_input_tokens": threshold}
        for name, value in tiered.items():
            reached = [item.price for item in value.tiers if item.start <= threshold]
            tier[name] = format(exact(reached[-1] if reached else value.base) or Decimal(0), "f")
        tiers.append(tier)
    return tiers
