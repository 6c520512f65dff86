"""Prices out of the genai-prices catalogue that is installed with us, and prices that somebody sets.

Works offline with the data of the package; loading them takes about 0.3 s, so never on the request path.
A price row is never changed: when the catalogue knows better, a new row begins now, so each record's
`price_id` keeps leading to the rates that made its cost.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from django.db import transaction

from gateway_project.core.clock import utc_now
from gateway_project.core.money import from_nano, to_nano
from usage_app.models import Price
from usage_app.models.price import TIER_RATES

if TYPE_CHECKING:
    from genai_prices.types import ModelInfo, ModelPrice

_BEGINNING = datetime(2020, 1, 1, tzinfo=UTC)
_TOKENS_PER_RATE = 1_000_000
_CATALOGUE_RATES = {
    "input": "input_mtok",
    "output": "output_mtok",
    "cached_input": "cache_read_mtok",
    "cache_write": "cache_write_mtok",
    "reasoning": "output_reasoning_mtok",
    "input_audio": "input_audio_mtok",
    "output_audio": "output_audio_mtok",
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


@dataclass(frozen=True, slots=True)
class TokenPrices:
    """What an administrator says a model costs, in dollars per single token; None: not said."""

    input: Decimal
    output: Decimal
    cached_input: Decimal | None = None
    cache_write: Decimal | None = None
    reasoning: Decimal | None = None
    input_audio: Decimal | None = None
    output_audio: Decimal | None = None
    per_request: Decimal | None = None


def refresh_catalogue(models: Iterable[PricedModel]) -> int:
    """Bring the catalogue prices of these models up to date; how many rows were added."""
    now = utc_now()
    with transaction.atomic():
        rows = [row for model in models for row in _news(model, now)]
        if rows:
            Price.objects.bulk_create(rows)
    return len(rows)


def set_override(model_id: str, prices: TokenPrices, *, managed_by: str = "admin") -> Price:
    """Say what a model costs from now on, whatever the catalogue says; zeros make it free.

    ValueError names the rate that is negative, not finite or too large. Saying the same again adds no row.
    """
    wanted = {name: _per_million(name, getattr(prices, name)) for name in TIER_RATES}
    wanted["per_request"] = _checked("per_request", prices.per_request)
    with transaction.atomic():
        current = _price_now(model_id, Price.Source.OVERRIDE)
        if current is not None and not current.tiers and _rates(current) == wanted:
            return current
        return Price.objects.create(
            model=model_id,
            valid_from=utc_now(),
            source=Price.Source.OVERRIDE,
            managed_by=managed_by,
            **wanted,
        )


def _news(model: PricedModel, now: datetime) -> Iterator[Price]:
    """The rows that the catalogue has and we lack: all of them at first, later what changed."""
    known = list(
        Price.objects.filter(model=model.model_id, source=Price.Source.CATALOGUE).order_by("valid_from")
    )
    dates = {row.valid_from for row in known}
    offers = list(_catalogue_rows(model))
    if not known:
        yield from offers
        return
    valid = [row for row in offers if row.valid_from <= now]
    current = [row for row in known if row.valid_from <= now]
    if valid and (not current or _content(current[-1]) != _content(valid[-1])):
        valid[-1].valid_from = now
        yield valid[-1]
    yield from (row for row in offers if row.valid_from > now and row.valid_from not in dates)


def _catalogue_rows(model: PricedModel) -> Iterator[Price]:
    info = _find(model.provider, model.vendor_model)
    if info is None and model.plain_model:
        info = _find(model.provider, model.plain_model)
    if info is None:
        return
    for valid_from, prices in _dated_prices(info):
        columns = _columns(prices)
        if columns is not None:
            yield Price(
                model=model.model_id,
                valid_from=valid_from,
                source=Price.Source.CATALOGUE,
                managed_by="catalogue",
                **columns,
            )


def _find(provider: str, vendor_model: str) -> ModelInfo | None:
    # Half a second of import, and only for those who ask for prices.
    from genai_prices.data_snapshot import get_snapshot

    is_url = provider.startswith(("http://", "https://"))
    snapshot = get_snapshot()
    try:
        return snapshot.find_provider_model(
            vendor_model, None, None if is_url else provider or None, provider if is_url else None
        )[1]
    except LookupError:
        return None


def _dated_prices(info: ModelInfo) -> Iterator[tuple[datetime, ModelPrice]]:
    """Each price with its first day. Discounts by the time of day are left out: the full price counts."""
    from genai_prices.types import ModelPrice, StartDateConstraint

    if isinstance(info.prices, ModelPrice):
        yield _BEGINNING, info.prices
        return
    by_date = {
        datetime.combine(item.constraint.start_date, datetime.min.time(), UTC): item.prices
        for item in info.prices
        if isinstance(item.constraint, StartDateConstraint)
    }
    unconditional = [item.prices for item in info.prices if item.constraint is None]
    if unconditional:
        by_date[_BEGINNING] = unconditional[-1]
    yield from sorted(by_date.items(), key=lambda item: item[0])


def _columns(prices: ModelPrice) -> dict[str, Any] | None:
    """The catalogue's rates as our columns; None if the model is not priced by tokens or requests."""
    from genai_prices.types import TieredPrices

    values = {name: getattr(prices, key) for name, key in _CATALOGUE_RATES.items()}
    per_thousand = getattr(prices, "requests_kcount", None)
    if values["input"] is None and values["output"] is None and per_thousand is None:
        return None
    columns: dict[str, Any] = {
        name: _exact(value.base if isinstance(value, TieredPrices) else value)
        for name, value in values.items()
    }
    for name in ("input", "output"):
        columns[name] = columns[name] or Decimal(0)
    if isinstance(per_thousand, Decimal):
        columns["per_request"] = _exact(per_thousand / 1000)
    columns["tiers"] = _tiers(
        {name: value for name, value in values.items() if isinstance(value, TieredPrices)}
    )
    return columns


def _tiers(tiered: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Our tiers name every rate that depends on the tier, at each threshold that any rate has."""
    thresholds = sorted({tier.start for value in tiered.values() for tier in value.tiers})
    tiers = []
    for threshold in thresholds:
        tier: dict[str, Any] = {"above_input_tokens": threshold}
        for name, value in tiered.items():
            reached = [item.price for item in value.tiers if item.start <= threshold]
            tier[name] = format(_exact(reached[-1] if reached else value.base), "f")
        tiers.append(tier)
    return tiers


def _price_now(model_id: str, source: Price.Source) -> Price | None:
    rows = Price.objects.filter(model=model_id, source=source, valid_from__lte=utc_now())
    return rows.order_by("-valid_from").first()


def _content(price: Price) -> tuple[dict[str, Decimal | None], Any]:
    return _rates(price), price.tiers


def _rates(price: Price) -> dict[str, Decimal | None]:
    return {name: _exact(getattr(price, name)) for name in (*TIER_RATES, "per_request")}


def _exact(amount: Decimal | None) -> Decimal | None:
    """As the database gives it back."""
    return None if amount is None else from_nano(to_nano(amount))


def _per_million(name: str, per_token: Decimal | None) -> Decimal | None:
    return _checked(name, None if per_token is None else per_token * _TOKENS_PER_RATE)


def _checked(name: str, amount: Decimal | None) -> Decimal | None:
    if amount is None:
        return None
    try:
        if amount < 0:
            raise ValueError("it is negative")
        return _exact(amount)
    except (ValueError, ArithmeticError) as error:
        raise ValueError(f"{name}: {error}") from error
