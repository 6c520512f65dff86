"""Bringing the catalogue's prices up to date: what differs is proposed, and holds once it is approved."""

from __future__ import annotations

import logging
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, NamedTuple
from uuid import UUID

from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import F

from gateway_project.core import acting
from gateway_project.core.clock import utc_now
from security_app.models import ConfigVersion
from security_app.services import audit
from security_app.services.configuration import refresh_after_commit
from usage_app.models import Price, PriceChange
from usage_app.models.rates import ALL_RATES, STRUCTURED_RATES
from usage_app.services.catalogue import PricedModel, holding_from, installed_catalogue, offers
from usage_app.services.configured_models import configured_models
from usage_app.services.overrides import rates_of
from usage_app.services.published_catalogue import CatalogueUnavailable, published_catalogue

if TYPE_CHECKING:
    from genai_prices.data_snapshot import DataSnapshot

logger = logging.getLogger(__name__)
_DECIDED_ARE_KEPT = timedelta(days=400)
# Of many changes the audit names the first models.
_MAX_TOLD = 20
_MAX_PERCENT = Decimal(10) ** 9


class Refresh(NamedTuple):
    """How many prices differ, by kind, and how many offers were unusable."""

    new: int
    changed: int
    removed: int
    unusable: int

    @property
    def total(self) -> int:
        """All that is to be decided."""
        return self.new + self.changed + self.removed


def refresh_prices(*, is_published: bool = False, url: str = "") -> Refresh:
    """Compare with the installed catalogue, or the published one; CatalogueUnavailable if that can't be had.

    What was to be decided before is replaced. What was dismissed is not proposed again as long as it is so.
    """
    if is_published or url:
        catalogue, name = published_catalogue(url), "published"
    else:
        catalogue, name = installed_catalogue(), f"genai-prices {version('genai-prices')}"
    return propose(catalogue, name)


def propose(catalogue: DataSnapshot, name: str) -> Refresh:
    """Write down what a catalogue would change; CatalogueUnavailable if its patterns can't be used."""
    try:
        return _propose(catalogue, name)
    except re.error as error:
        raise CatalogueUnavailable("One of its patterns is damaged.") from error


def _propose(catalogue: DataSnapshot, name: str) -> Refresh:
    now = utc_now()
    with transaction.atomic():
        ConfigVersion.lock()
        known = _known_rows()
        counts = dict.fromkeys(PriceChange.Kind, 0)
        dismissed = {_content(row) for row in PriceChange.objects.filter(state=PriceChange.State.DISMISSED)}
        changes, unusable = [], 0
        for model in configured_models():
            if model.listed is None:
                continue
            try:
                differences = list(_differences(model.listed, known[model.model_id], catalogue, now))
            except (ValueError, ArithmeticError):
                # One of its amounts is beyond what can be held; the other models are compared all the same.
                unusable += 1
                continue
            for change in differences:
                if not _is_usable(change):
                    unusable += 1
                elif _content(change) not in dismissed:
                    change.catalogue, change.found_at = name[:100], now
                    counts[PriceChange.Kind(change.kind)] += 1
                    changes.append(change)
        PriceChange.objects.filter(state=PriceChange.State.OPEN).delete()
        PriceChange.objects.filter(decided_at__lt=now - _DECIDED_ARE_KEPT).exclude(
            state=PriceChange.State.DISMISSED
        ).delete()
        PriceChange.objects.bulk_create(changes, batch_size=500)
    kinds = PriceChange.Kind
    found = Refresh(counts[kinds.NEW], counts[kinds.CHANGED], counts[kinds.REMOVED], unusable)
    logger.info("prices.compared", extra={"catalogue": name, **found._asdict()})
    return found


def approve(ids: Iterable[UUID] | None = None) -> list[PriceChange]:
    """Let changes hold, all open ones if none are named: rows of the catalogue's are added, none is changed.

    Those that are decided already, or gone, are left alone; what is returned holds now.
    """
    now = utc_now()
    with transaction.atomic():
        ConfigVersion.lock()
        changes = _open(ids)
        # Of those of a model whose day has come meanwhile, the last one holds.
        prices = [_price(change, now) for change in changes]
        rows = {(price.model, price.valid_from): price for price in prices}
        if rows:
            Price.objects.bulk_create(rows.values())
        _decide(changes, PriceChange.State.APPROVED, now)
        refresh_after_commit()
    return changes


def dismiss(ids: Iterable[UUID] | None = None) -> list[PriceChange]:
    """Leave the prices as they are; the same is not proposed again."""
    with transaction.atomic():
        ConfigVersion.lock()
        changes = _open(ids)
        _decide(changes, PriceChange.State.DISMISSED, utc_now())
        if changes:
            # What is approved makes prices, which have events of their own; this leaves nothing else behind.
            models = [change.model for change in changes]
            audit.record(
                "prices.dismissed",
                object_type="price_change",
                object_id=models[0] if len(models) == 1 else f"{len(models)} changes",
                detail={"changes": len(models), "models": models[:_MAX_TOLD]},
            )
    return changes


def columns_json(price: Price) -> dict[str, Any]:
    """What a row says, as the JSON of a change: rates that it has, as decimal text."""
    rates = {name: format(rate, "f") for name, rate in rates_of(price).items() if rate is not None}
    more = {name: getattr(price, name) for name in STRUCTURED_RATES}
    return {**rates, **{name: value for name, value in more.items() if value}}


def _known_rows() -> dict[str, list[Price]]:
    rows: dict[str, list[Price]] = defaultdict(list)
    for row in Price.objects.filter(source=Price.Source.CATALOGUE).order_by("valid_from").iterator(2000):
        rows[row.model].append(row)
    return rows


def _differences(
    model: PricedModel, known: Sequence[Price], catalogue: DataSnapshot, now: datetime
) -> Iterator[PriceChange]:
    """What a catalogue says of a model from now on, and we don't."""
    begun = [row for row in known if row.valid_from <= now]
    current = begun[-1] if begun and not begun[-1].is_withdrawn else None
    if begun and begun[-1].listed_as:
        # By the name that it was found by, which somebody may have given for this one.
        model = model.renamed(begun[-1].listed_as)
    offered = holding_from(offers(model, catalogue), now)
    before = columns_json(current) if current is not None else {}
    if not offered and current is not None and current.listed_as:
        yield _change(model, PriceChange.Kind.REMOVED, {}, before)
    for row in offered:
        rates = columns_json(row)
        is_later = row.valid_from > now
        if rates == before or (is_later and _is_known(row, known)):
            before = rates
            continue
        kind = PriceChange.Kind.CHANGED if before else PriceChange.Kind.NEW
        change = _change(model, kind, rates, before)
        change.valid_from = row.valid_from if is_later else None
        change.listed_as = row.listed_as
        yield change
        before = rates


def _is_known(row: Price, known: Iterable[Price]) -> bool:
    return any(one.valid_from == row.valid_from for one in known)


def _change(
    model: PricedModel, kind: PriceChange.Kind, rates: dict[str, Any], before: dict[str, Any]
) -> PriceChange:
    return PriceChange(
        model=model.model_id,
        kind=kind,
        rates=rates,
        before=before,
        largest_change=largest_change(before, rates),
        listed_as=model.listed_as,
    )


def largest_change(before: Mapping[str, Any], rates: Mapping[str, Any]) -> Decimal | None:
    """In percent, of the plain rates that both have; None if none of them differs."""
    changes = []
    for name in ALL_RATES:
        old, new = Decimal(before.get(name, 0)), Decimal(rates.get(name, 0))
        if old and name in rates and old != new:
            changes.append(min((new - old) / old * 100, _MAX_PERCENT))
    return max(changes, key=abs).quantize(Decimal("0.1")) if changes else None


def _is_usable(change: PriceChange) -> bool:
    """Whether the rates could stand in a row: data from elsewhere may say anything."""
    try:
        _price(change, utc_now()).clean_fields()
    except (ValidationError, ValueError, ArithmeticError):
        return False
    return True


def _price(change: PriceChange, now: datetime) -> Price:
    rates = {
        name: value if name in STRUCTURED_RATES else Decimal(value) for name, value in change.rates.items()
    }
    return Price(
        model=change.model,
        valid_from=now if change.valid_from is None else max(change.valid_from, now),
        source=Price.Source.CATALOGUE,
        managed_by="catalogue",
        listed_as=change.listed_as,
        is_withdrawn=change.kind == PriceChange.Kind.REMOVED,
        **{"input": Decimal(0), "output": Decimal(0), **rates},
    )


def _content(change: PriceChange) -> tuple[Any, ...]:
    return change.model, change.kind, change.valid_from, repr(sorted(change.rates.items()))


def _open(ids: Iterable[UUID] | None) -> list[PriceChange]:
    rows = PriceChange.objects.filter(state=PriceChange.State.OPEN)
    if ids is not None:
        rows = rows.filter(pk__in=list(ids))
    # What holds at once before what holds later, on each database.
    return list(rows.order_by("model", F("valid_from").asc(nulls_first=True)))


def _decide(changes: Sequence[PriceChange], state: PriceChange.State, now: datetime) -> None:
    actor = acting.current().name
    for change in changes:
        change.state, change.decided_at, change.decided_by = state, now, actor[:200]
    PriceChange.objects.bulk_update(changes, ["state", "decided_at", "decided_by"], batch_size=500)
    logger.info("prices.decided", extra={"state": state.value, "changes": len(changes), "actor": actor})
