"""Models without a price: those that were used, and those that can be."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from usage_app.models import HourlyUsageRollup
from usage_app.services.configured_models import configured_models
from usage_app.services.prices import priced_models
from usage_app.services.rollups import sums_of

SPAN = timedelta(days=30)
MAX_SHOWN = 1000


@dataclass(frozen=True, slots=True)
class UnpricedModel:
    """A model that has no price now, and what it was used for in the last 30 days without one."""

    model: str
    is_configured: bool
    requests: int = 0
    tokens: int = 0


def unpriced_models(now: datetime) -> list[UnpricedModel]:
    """The most used first, then by name; at most a thousand."""
    priced = priced_models(now)
    used = {model: counts for model, counts in _used(now).items() if model not in priced}
    known = {model.model_id for model in configured_models()}
    configured = known - priced
    found = [
        UnpricedModel(model, model in configured, *used.get(model, (0, 0)))
        for model in configured.union(used)
    ]
    return sorted(found, key=lambda row: (-row.requests, row.model))[:MAX_SHOWN]


def _used(now: datetime) -> dict[str, tuple[int, int]]:
    names = ("group__upstream", "group__upstream_model")
    sums = sums_of(("unpriced", "input_tokens", "output_tokens"))
    rows = (
        HourlyUsageRollup.objects.filter(window_start__gte=now - SPAN, unpriced__gt=0)
        .order_by()
        .values(*names)
        .annotate(**sums)
        .order_by("-sum_unpriced")[:MAX_SHOWN]
    )
    return {
        f"{row['group__upstream']}/{row['group__upstream_model']}": (
            row["sum_unpriced"],
            row["sum_input_tokens"] + row["sum_output_tokens"],
        )
        for row in rows
        # What never reached an upstream used nothing of a model.
        if row["group__upstream"]
    }
