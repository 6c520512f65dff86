"""Strategies: in which order the targets of one priority are tried. Trained routers implement the same."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, Protocol
from uuid import UUID

from upstreams_app.registry import Target
from upstreams_app.route_policy import COST, LATENCY, LEAST_BUSY, USAGE, WEIGHTED
from upstreams_app.routing.facts import TargetFacts


class Candidate(NamedTuple):
    """A target, and what is known of it."""

    target: Target
    facts: TargetFacts


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
    """The order, and the scores that made it: lower is better, () where there are none."""

    order: list[Candidate]
    scores: Sequence[tuple[str, float]] = ()


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
        keyed = [
            (-(draw() ** (1 / weight)) if (weight := candidate.target.weight) else 1.0, index)
            for index, candidate in enumerate(candidates)
        ]
        keyed.sort()
        return Ranking([candidates[index] for _, index in keyed])


def _ranked(candidates: Sequence[Candidate], scores: Sequence[float], query: Query) -> Ranking:
    """By score; equals by weight, at random."""
    draw = query.draw
    keyed = [
        (0 if candidate.target.weight else 1, score, draw() / (candidate.target.weight or 1), index)
        for index, (candidate, score) in enumerate(zip(candidates, scores, strict=True))
    ]
    keyed.sort()
    order = [candidates[item[3]] for item in keyed]
    return Ranking(order, [(candidates[item[3]].target.model_id, item[1]) for item in keyed])


class LeastBusy:
    """The fewest calls under way, for its weight."""

    def rank(self, candidates: Sequence[Candidate], query: Query) -> Ranking:
        """By calls under way in all processes."""
        busy = query.busy
        scores = [
            (busy(target.upstream.id) + facts.remote_busy) / (target.weight or 1)
            for target, facts in candidates
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
        pairs = zip((first, second), scores, strict=True)
        return Ranking(order, [(candidate.target.model_id, score) for candidate, score in pairs])

    @staticmethod
    def _score(candidate: Candidate, query: Query) -> float:
        """Milliseconds that a call would take if those under way are served first."""
        target, facts = candidate
        latency_ms = (facts.stream if query.is_stream else facts.plain).read(query.now)
        busy = query.busy(target.upstream.id) + facts.remote_busy
        # One that nobody asked yet is tried, but not by everybody at once.
        return latency_ms * (busy + 1) if latency_ms else 1000.0 * busy


class Cost:
    """The cheapest first; those without a price last."""

    def rank(self, candidates: Sequence[Candidate], query: Query) -> Ranking:
        """By price."""
        cost = query.cost
        scores = [float(cost.get(target.model_id, 2**62)) for target, _ in candidates]
        return _ranked(candidates, scores, query)


class Usage:
    """The fewest tokens lately, for its weight."""

    def rank(self, candidates: Sequence[Candidate], query: Query) -> Ranking:
        """By tokens of about the last minute, in all processes."""
        now = query.now
        scores = [facts.use(now) / (target.weight or 1) for target, facts in candidates]
        return _ranked(candidates, scores, query)


STRATEGIES: Mapping[str, Strategy] = {
    WEIGHTED: Weighted(),
    LEAST_BUSY: LeastBusy(),
    LATENCY: Latency(),
    COST: Cost(),
    USAGE: Usage(),
}
