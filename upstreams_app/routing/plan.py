"""The plan of a call: which targets to try, in which order, and why."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import islice
from math import inf
from typing import Any

from upstreams_app.registry import ModelEntry
from upstreams_app.routing.affinity import by_rendezvous
from upstreams_app.routing.strategies import SHOWN, STRATEGIES, Candidate, Query, Ranking
from upstreams_app.routing.tracker import Groups

AFFINITY = "affinity"


class Plan:
    """Targets to try, the best first. The last ones may be barred: they are tried where all others failed."""

    __slots__ = ("barred", "entry", "order", "passed", "scores", "strategy")

    def __init__(self, entry: ModelEntry, strategy: str) -> None:
        self.entry = entry
        self.strategy = strategy
        self.order: list[Candidate] = []
        self.scores: Sequence[float] = ()
        self.barred: list[Candidate] = []
        # Targets that are not for this request, and why.
        self.passed: Mapping[str, str] = {}

    def record(self) -> dict[str, Any]:
        """Why this order, for the decision record: bounded, and without anything of the request."""
        record: dict[str, Any] = {
            "route": self.entry.id,
            "strategy": self.strategy,
            "candidates": [candidate.target.model_id for candidate in self.order[:SHOWN]],
        }
        if self.scores:
            # Of the first candidates, in their order.
            record["scores"] = [round(score, 3) for score in self.scores if score != inf]
        if self.barred:
            record["barred"] = {
                facts.model_id: facts.why_barred or "silent" for _, facts, _ in self.barred[:SHOWN]
            }
        if self.passed:
            record["passed_over"] = dict(islice(self.passed.items(), SHOWN))
        return record


def make_plan(
    entry: ModelEntry, groups: Groups, query: Query, *, affinity_key: str = "", only_model: str = ""
) -> Plan:
    """The order for one call. Targets that are in trouble come last, whatever their priority is.

    Where nothing else is left even those whose breaker is open are tried: a route never ejects all.
    """
    policy = entry.policy
    plan = Plan(entry, AFFINITY if affinity_key else policy.strategy)
    now, full = query.now, []
    for group in groups:
        ready = []
        for candidate in group:
            target, facts, _ = candidate
            upstream = target.upstream
            if only_model and target.model != only_model:
                continue
            # Most have no trouble and nobody who waits: a call for each would cost more than the choice.
            if (facts.barred_until or facts.waiting) and not facts.is_ready(now, upstream):
                plan.barred.append(candidate)
            elif upstream.max_concurrency is not None and query.busy(upstream.id) >= upstream.max_concurrency:
                full.append(candidate)
            else:
                ready.append(candidate)
        if len(ready) > 1 and len(plan.order) < policy.max_attempts:
            ranking = _rank(ready, policy.strategy, query, affinity_key)
            if not plan.order:
                plan.scores = ranking.scores
            plan.order += ranking.order
        else:
            plan.order += ready
    plan.order += full
    if plan.barred:
        # The least in trouble first; those last that give no sign of life, or gave none a moment ago.
        plan.order += sorted(
            plan.barred,
            key=lambda each: (
                int(each.facts.dread(now, each.target.upstream) * 10),
                each.facts.is_open,
                each.facts.barred_until,
            ),
        )
    return plan


def _rank(ready: list[Candidate], strategy: str, query: Query, affinity_key: str) -> Ranking:
    if affinity_key:
        return by_rendezvous(ready, affinity_key)
    return STRATEGIES[strategy].rank(ready, query)
