"""Strategies: in which order the targets of one priority are tried. Trained routers implement the same."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from math import inf
from typing import NamedTuple, Protocol
from uuid import UUID

from upstreams_app.registry import Target
from upstreams_app.route_policy import COST, LATENCY, LEAST_BUSY, USAGE, WEIGHTED
from upstreams_app.routing.facts import TargetFacts

# So many scores are kept for the decision record.
SHOWN = 8
# So little makes no order but between equals, and keeps 0 · ∞ away.
_TINY = 1e-9
_UNPRICED = 1e18


class Candidate(NamedTuple):
    """A target, what is known of it, and 1 ÷ its weight: infinite for a weight of 0."""

    target: Target
    facts: TargetFacts
    share: float

    @classmethod
    def of(cls, target: Target, facts: TargetFacts) -> Candidate:
        """A target that nothing was computed for yet."""
        return cls(target, facts, 1 / target.weight if target.weight else inf)


class Query(NamedTuple):
    """What a strategy may ask.

    `busy` tells the calls under way of an upstream, by its id; `cost` has the price of a target in
    nano-dollars per million tokens, by its model id; `draw` is uniform in [0, 1).
    """

    now: float
    is_stream: bool
    busy: Callable[[UUID], int]
    cost: Mapping[str, int]
    draw: Callable[[], float] = random.random


class Ranking(NamedTuple):
    """The order, and the scores of its first ones: lower is better, () where there are none."""

    order: list[Candidate]
    scores: Sequence[float] = ()


class Strategy(Protocol):
    """An order of targets by facts. It is asked on the request path: no I/O, a few microseconds."""

    def rank(self, candidates: Sequence[Candidate], query: Query) -> Ranking:
        """All candidates, of which there are at least two, in the order in which to try them."""
        ...


class Weighted:
    """At random by weight; a weight of 0 only after all others."""

    def rank(self, candidates: Sequence[Candidate], query: Query) -> Ranking:
        """Efraimidis & Spirakis (2006): sorting by u^(1/w) draws without replacement by weight."""
        draw = query.draw
        keys = [draw() ** share for _, _, share in candidates]
        indexes = sorted(range(len(keys)), key=keys.__getitem__, reverse=True)
        return Ranking([candidates[index] for index in indexes])


def _ranked(candidates: Sequence[Candidate], scores: Sequence[float], query: Query) -> Ranking:
    """By score, equals at random; those of weight 0, whose score is infinite, last."""
    draw = query.draw
    keys = [(score + _TINY) * (1.0 + draw() * _TINY) for score in scores]
    indexes = sorted(range(len(keys)), key=keys.__getitem__)
    order = [candidates[index] for index in indexes]
    return Ranking(order, [scores[index] for index in indexes[:SHOWN]])


class LeastBusy:
    """The fewest calls under way, for its weight."""

    def rank(self, candidates: Sequence[Candidate], query: Query) -> Ranking:
        """By calls under way in all processes."""
        busy = query.busy
        scores = [
            (busy(target.upstream.id) + facts.remote_busy + _TINY) * share
            for target, facts, share in candidates
        ]
        return _ranked(candidates, scores, query)


class Latency:
    """Power of two choices over a peak-sensitive average: of two drawn by chance, the quicker one.

    Mitzenmacher (2001) has why two are enough: whoever always takes the best sends everybody to the same.
    """

    def rank(self, candidates: Sequence[Candidate], query: Query) -> Ranking:
        """The better of two first, then the other one, then the rest by chance."""
        order = Weighted().rank(candidates, query).order
        first, second = order[0], order[1]
        scores = self._score(first, query), self._score(second, query)
        if scores[1] < scores[0] and second.target.weight:
            order[0], order[1] = second, first
            scores = scores[1], scores[0]
        return Ranking(order, scores)

    @staticmethod
    def _score(candidate: Candidate, query: Query) -> float:
        """Milliseconds that a call would take if those under way are served first."""
        target, facts, _ = candidate
        latency_ms = (facts.stream if query.is_stream else facts.plain).read(query.now)
        busy = query.busy(target.upstream.id) + facts.remote_busy
        # One that nobody asked yet is tried, but not by everybody at once.
        return latency_ms * (busy + 1) if latency_ms else 1000.0 * busy


class Cost:
    """The cheapest first; those without a price last."""

    def rank(self, candidates: Sequence[Candidate], query: Query) -> Ranking:
        """By price."""
        cost = query.cost
        scores = [
            cost.get(target.model_id, _UNPRICED) if share != inf else inf for target, _, share in candidates
        ]
        return _ranked(candidates, scores, query)


class Usage:
    """The fewest tokens lately, for its weight."""

    def rank(self, candidates: Sequence[Candidate], query: Query) -> Ranking:
        """By tokens of about the last minute, in all processes."""
        now = query.now
        scores = [(facts.use(now) + _TINY) * share for _, facts, share in candidates]
        return _ranked(candidates, scores, query)


STRATEGIES: Mapping[str, Strategy] = {
    WEIGHTED: Weighted(),
    LEAST_BUSY: LeastBusy(),
    LATENCY: Latency(),
    COST: Cost(),
    USAGE: Usage(),
}
