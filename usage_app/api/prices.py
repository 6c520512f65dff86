"""`/prices`: what models cost, what the catalogue would change, and what has no price."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from uuid import UUID

from django.http import HttpRequest
from ninja import Query, Router, Status

from gateway_project.core.clock import utc_now
from gateway_project.core.errors import InvalidRequest, UpstreamFailed
from gateway_project.core.ids import parse_public_id, public_id
from security_app.api.queries import page_count, refuse_unknown_parameters
from usage_app.models import Price, PriceChange
from usage_app.models.rates import ALL_RATES
from usage_app.price_schemas import (
    ChangeList,
    ChangeQuery,
    Decision,
    DecisionAnswer,
    NewPrice,
    PriceList,
    PriceQuery,
    RefreshAnswer,
    RefreshOrder,
    ShownChange,
    ShownPrice,
    UnpricedList,
)
from usage_app.price_schemas import UnpricedModel as ShownUnpriced
from usage_app.services import price_changes
from usage_app.services.prices import add_price, drop_price, find_price, prices_for_display, state_of
from usage_app.services.published_catalogue import CatalogueUnavailable
from usage_app.services.unpriced import unpriced_models

router = Router(tags=["Prices"])


@router.get("/prices", response=PriceList, operation_id="list_prices", summary="List prices")
def list_prices(request: HttpRequest, query: Query[PriceQuery]) -> PriceList:
    """By model, the latest first; `state` says which one holds."""
    refuse_unknown_parameters(request, PriceQuery)
    now = utc_now()
    rows = prices_for_display(now).order_by("model", "-valid_from")
    if query.model is not None:
        rows = rows.filter(model=query.model)
    if query.source is not None:
        rows = rows.filter(source=query.source)
    total = rows.count()
    first = (query.page - 1) * query.page_size
    return PriceList(
        data=[_shown(row, state_of(row, now)) for row in rows[first : first + query.page_size]],
        total_count=total,
        current_page=query.page,
        total_pages=page_count(total, query.page_size),
    )


@router.post("/prices", response={201: ShownPrice}, operation_id="add_price", summary="Add a price")
def new_price(request: HttpRequest, body: NewPrice) -> Status[ShownPrice]:
    """An override: it holds from its moment on, whatever the catalogue says."""
    row = add_price(body.model_dump())
    now = utc_now()
    return Status(201, _shown(row, "later" if row.valid_from > now else "holds"))


@router.get("/prices/unpriced", response=UnpricedList, operation_id="list_unpriced_models")
def list_unpriced(request: HttpRequest) -> UnpricedList:
    """Models without a price: those that were called in the last 30 days, and those that can be."""
    refuse_unknown_parameters(request)
    found = unpriced_models(utc_now())
    return UnpricedList(
        data=[
            ShownUnpriced(
                model=row.model, is_configured=row.is_configured, requests=row.requests, tokens=row.tokens
            )
            for row in found
        ]
    )


@router.post("/prices/refresh", response=RefreshAnswer, operation_id="refresh_prices")
def refresh(request: HttpRequest, body: RefreshOrder) -> RefreshAnswer:
    """Compare with the catalogue; what differs waits in `/prices/changes`."""
    try:
        found = price_changes.refresh_prices(is_published=body.published)
    except CatalogueUnavailable as error:
        raise UpstreamFailed(f"The published catalogue can't be used. {error}") from error
    return RefreshAnswer(new=found.new, changed=found.changed, removed=found.removed, unusable=found.unusable)


@router.get("/prices/changes", response=ChangeList, operation_id="list_price_changes")
def list_changes(request: HttpRequest, query: Query[ChangeQuery]) -> ChangeList:
    """What the catalogue would change, or what became of that."""
    refuse_unknown_parameters(request, ChangeQuery)
    rows = PriceChange.objects.filter(state=query.state).order_by("model", "valid_from", "-id")
    total = rows.count()
    first = (query.page - 1) * query.page_size
    return ChangeList(
        data=[_shown_change(row) for row in rows[first : first + query.page_size]],
        total_count=total,
        current_page=query.page,
        total_pages=page_count(total, query.page_size),
    )


@router.post("/prices/changes/approve", response=DecisionAnswer, operation_id="approve_price_changes")
def approve_changes(request: HttpRequest, body: Decision) -> DecisionAnswer:
    """Let them hold from now on, or from their day; those that are decided already are left alone."""
    return _decided(price_changes.approve(_ids(body)))


@router.post("/prices/changes/dismiss", response=DecisionAnswer, operation_id="dismiss_price_changes")
def dismiss_changes(request: HttpRequest, body: Decision) -> DecisionAnswer:
    """Leave the prices as they are; the same is not proposed again."""
    return _decided(price_changes.dismiss(_ids(body)))


@router.get("/prices/{price}", response=ShownPrice, operation_id="get_price", summary="Show a price")
def get_price(request: HttpRequest, price: str) -> ShownPrice:
    """By its id, which records have as `price_id`."""
    refuse_unknown_parameters(request)
    now = utc_now()
    row = find_price(price, now)
    return _shown(row, state_of(row, now))


@router.delete("/prices/{price}", response=ShownPrice, operation_id="delete_price")
def delete_price(request: HttpRequest, price: str) -> ShownPrice:
    """Take back an override that does not hold yet."""
    refuse_unknown_parameters(request)
    return _shown(drop_price(price), "later")


def _ids(body: Decision) -> list[UUID] | None:
    if body.ids is None:
        return None
    ids = [parse_public_id("price_change", text) for text in body.ids]
    if None in ids:
        raise InvalidRequest("'ids' must be ids such as price_change_<32 hex digits>.", param="ids")
    return [one for one in ids if one is not None]


def _decided(rows: Iterable[PriceChange]) -> DecisionAnswer:
    return DecisionAnswer(data=[_shown_change(row) for row in rows])


def _shown(row: Price, state: Any) -> ShownPrice:
    return ShownPrice(
        id=public_id("price", row.pk),
        model=row.model,
        source="override" if row.source == Price.Source.OVERRIDE else "catalogue",
        valid_from=row.valid_from,
        is_withdrawn=row.is_withdrawn,
        state=state,
        tiers=row.tiers,
        service_tiers=row.service_tiers,
        picture_prices=row.picture_prices,
        **{name: getattr(row, name) for name in ALL_RATES},
    )


def _shown_change(row: PriceChange) -> ShownChange:
    return ShownChange(
        id=row.public_id,
        model=row.model,
        kind=row.kind,  # type: ignore[arg-type]
        state=row.state,  # type: ignore[arg-type]
        valid_from=row.valid_from,
        before=row.before,
        rates=row.rates,
        largest_change_percent=row.largest_change,
        listed_as=row.listed_as,
        catalogue=row.catalogue,
        found_at=row.found_at,
        decided_at=row.decided_at,
        decided_by=row.decided_by,
    )
