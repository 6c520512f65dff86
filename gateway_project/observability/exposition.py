"""The numbers of all processes added up, as Prometheus' text or as JSON. Reads files: call it in a thread."""

from __future__ import annotations

import math
import operator
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from gateway_project.core.codec import dumps, loads
from gateway_project.observability import metrics
from gateway_project.observability.metric_families import COUNTERS, GAUGES, HISTOGRAMS

# A process writes each second: one that has been silent for so long is dead, and only its counters stand.
_ALIVE_S = 5.0
Key = tuple[str, tuple[str, ...]]
_ACROSS: dict[str, Callable[[float, float], float]] = {"sum": operator.add, "max": max, "min": min}


def render_text(more: Iterable[metrics.Gauge] = ()) -> bytes:
    """Prometheus' text form; `more` are gauges that are the same for all processes."""
    registry = CollectorRegistry()
    registry.register(_Sums(more))
    return generate_latest(registry)


def render_json(more: Iterable[metrics.Gauge] = ()) -> bytes:
    """The same as JSON: families with their samples; what is infinite or no number is null."""
    families = [
        {
            "name": family.name + ("_total" if family.type == "counter" else ""),
            "type": family.type,
            "help": family.documentation,
            "samples": [
                {"name": sample.name, "labels": sample.labels, "value": _number(sample.value)}
                for sample in family.samples
            ],
        }
        for family in _Sums(more).collect()
    ]
    return dumps({"metrics": families})


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None


class _Sums(Collector):
    """What all processes counted, as Prometheus' metric families."""

    def __init__(self, more: Iterable[metrics.Gauge]) -> None:
        self._sums: dict[str, dict[tuple[str, ...], list[float]]] = {}
        self._gauges: dict[str, dict[tuple[str, ...], float]] = {}
        for values, is_alive in _dumped():
            for metric, labels, numbers in values["rows"]:
                self._add(metric, tuple(labels), numbers)
            if is_alive:
                self._merge(values["gauges"])
                self._merge([("workers", [], 1)])
        self._merge(more)

    def collect(self) -> Iterator[Metric]:
        """One family per metric, with or without samples."""
        for metric, known in COUNTERS.items():
            counter = CounterMetricFamily(known.name, known.text, labels=known.labels)
            for labels, (count,) in self._sums.get(metric, {}).items():
                counter.add_metric(labels, count * known.scale)
            yield counter
        for metric, family in HISTOGRAMS.items():
            histogram = HistogramMetricFamily(family.name, family.text, labels=family.labels)
            bounds = [*(_bound(bound * family.scale) for bound in family.bounds), "+Inf"]
            for labels, (*counts, total) in self._sums.get(metric, {}).items():
                histogram.add_metric(labels, _cumulative(bounds, counts), total * family.scale)
            yield histogram
        for metric, gauge in GAUGES.items():
            kind = CounterMetricFamily if gauge.is_counter else GaugeMetricFamily
            shown = kind(gauge.name, gauge.text, labels=gauge.labels)
            for labels, value in self._gauges.get(metric, {}).items():
                shown.add_metric(labels, value)
            yield shown

    def _add(self, metric: str, labels: tuple[str, ...], numbers: list[float]) -> None:
        series = self._sums.setdefault(metric, {})
        known = series.get(labels)
        if known is not None:
            numbers = [old + more for old, more in zip(known, numbers, strict=True)]
        series[labels] = numbers

    def _merge(self, gauges: Iterable[Any]) -> None:
        for metric, labels, value in gauges:
            series, key = self._gauges.setdefault(metric, {}), tuple(labels)
            merge = _ACROSS[GAUGES[metric].across]
            series[key] = merge(series[key], value) if key in series else value


def _dumped() -> Iterator[tuple[dict[str, Any], bool]]:
    """What each process left, and whether it is alive; this one's numbers are those of this moment."""
    yield metrics.own_values(), True
    place = metrics.folder()
    if place is None:
        return
    own, now = metrics.own_name(), time.time()
    for path in place.glob("[0-9]*.json"):
        if path.name != own:
            values = loads(path.read_bytes())
            yield values, now - values["at"] < _ALIVE_S


def _bound(value: float) -> str:
    return str(float(f"{value:.6g}"))


def _cumulative(bounds: list[str], counts: list[float]) -> list[tuple[str, float]]:
    reached = 0.0
    result = []
    for bound, count in zip(bounds, counts, strict=True):
        reached += count
        result.append((bound, reached))
    return result
