"""When a route asks a second target beside one that takes long: what its row says, for the request path."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from gateway_project.core.expressions import Expression
from upstreams_app.route_conditions import compile_condition

MIN_AFTER_MS: Final = 10
MAX_AFTER_MS: Final = 600_000
DEFAULT_PERCENT: Final = 5
# With more of them an overload would be as good as doubled.
MAX_PERCENT: Final = 50


@dataclass(frozen=True, slots=True)
class HedgePolicy:
    """How long a first byte may take before a second target is asked, and for how many requests.

    With `at_p95` it is the time that one request in twenty of the route takes longer than, and `after_s` at
    least. `share` is the part of all requests that a second call may be made for.
    """

    after_s: float
    at_p95: bool
    share: float
    # Only requests that it holds for; None: all.
    condition: Expression | None = None


def read_hedging(
    after_ms: int | None, *, at_p95: bool, percent: int, condition: str = ""
) -> HedgePolicy | None:
    """The policy of a row, None for a route that makes no second calls; ValueError for nonsense."""
    if after_ms is None:
        return None
    if not MIN_AFTER_MS <= after_ms <= MAX_AFTER_MS or not 1 <= percent <= MAX_PERCENT:
        raise ValueError("the time or the share of its hedged requests is out of bounds")
    return HedgePolicy(
        after_ms / 1000, at_p95, percent / 100, compile_condition(condition) if condition else None
    )
