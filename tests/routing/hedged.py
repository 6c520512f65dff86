"""Routes that ask a second target, and what the ledger says of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tests.limits.door import CARD, Answer
from tests.routing.candidates import route, target
from tests.routing.routed import record_of
from tests.routing.shaky import ShakyVendor
from upstreams_app.hedge_policy import HedgePolicy
from upstreams_app.registry import ModelEntry
from upstreams_app.route_conditions import compile_condition
from usage_app.models import UsageRecord

PRICES = {f"u{index}/m": CARD for index in range(3)}


def hedged(
    vendors: Sequence[ShakyVendor],
    *,
    after_s: float = 0.03,
    share: float = 0.5,
    condition: str = "",
    breaker_failures: int = 3,
    upstream: dict[str, Any] | None = None,
    **policy: Any,
) -> ModelEntry:
    """A route whose targets are asked in the order of the vendors; `upstream` is of the first."""
    targets = [
        target(
            f"u{index}/m",
            vendor.url,
            priority=index + 1,
            breaker_failures=breaker_failures,
            **((not index and upstream) or {}),
        )
        for index, vendor in enumerate(vendors)
    ]
    compiled = compile_condition(condition) if condition else None
    return route(
        *targets, hedge=HedgePolicy(after_s, at_p95=False, share=share, condition=compiled), **policy
    )


def decision(record: UsageRecord) -> dict[str, Any]:
    """The decision record."""
    found: dict[str, Any] = record.decision or {}
    return found


def below(answer: Answer) -> list[UsageRecord]:
    """The records below a request's."""
    parent = record_of(answer)
    return list(UsageRecord.objects.filter(parent_id=parent.pk))
