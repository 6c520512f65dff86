"""How many requests of each model id were answered again, by day: what people are shown of the cache.

Of this process, since its start: metrics and the ledger are for exact reports.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

_DAY_S: Final = 86_400
_DAYS: Final = 7
_MAX_MODELS: Final = 1000


class ModelCounts(NamedTuple):
    """Requests of one model id under a policy: given again, and asked."""

    model: str
    hits: int
    misses: int

    @property
    def hit_rate(self) -> float:
        """The part that was given again."""
        return self.hits / (self.hits + self.misses)


class Counts:
    """Written on the event loop, read from any thread."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._days: dict[int, dict[str, tuple[int, int]]] = {}

    def add(self, model_id: str, *, is_hit: bool) -> None:
        """Count one request."""
        today = int(self._clock() // _DAY_S)
        models = self._days.get(today)
        if models is None:
            models = self._days[today] = {}
            for day in [day for day in self._days if day <= today - _DAYS]:
                del self._days[day]
        if model_id in models or len(models) < _MAX_MODELS:
            hits, misses = models.get(model_id, (0, 0))
            models[model_id] = (hits + is_hit, misses + (not is_hit))

    def by_model(self) -> list[ModelCounts]:
        """The last seven days, by model id."""
        first = int(self._clock() // _DAY_S) - _DAYS + 1
        sums: dict[str, tuple[int, int]] = {}
        for day, models in self._days.copy().items():
            if day < first:
                continue
            for model_id, (hits, misses) in models.copy().items():
                before = sums.get(model_id, (0, 0))
                sums[model_id] = (before[0] + hits, before[1] + misses)
        return [ModelCounts(model_id, *counted) for model_id, counted in sorted(sums.items())]
