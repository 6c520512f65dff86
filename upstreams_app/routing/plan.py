"""The plan of a call: which targets to try, in which order, and why."""

from __future__ import annotations

from typing import Any

from upstreams_app.registry import ModelEntry
from upstreams_app.routing.affinity import by_rendezvous
from upstreams_app.routing.strategies import STRATEGIES, Candidate, Query, Ranking
from upstreams_app.routing.tracker import Groups

_MAX_SHOWN = 8
AFFINITY = "affinity"


class Plan:
    """Targets to try, the best first. The last ones may be barred: they are tried where all others failed."""

    __slots__ = ("barred", "entry", "order", "scores", "strategy")

    def __init__(self, entry: ModelEntry, strategy: str) -> None:
        self.entry = entry
        self.strategy = strategy
        self.order: list[Candidate] = []
        self.scores: list[tuple[str, float]] = []
        self.barred: list[Candidate] = []

    def record(self) -> dict[str, Any]:
        """Why this order, for the decision record: bounded, and without anything of the request."""
        record: dict[str, Any] = {
            "route": self.entry.id,
            "strategy": self.strategy,
            "candidates": [candidate.target.model_id for candidate in self.order[:_MAX_SHOWN]],
        }
        if self.scores:
            record["scores"] = {name: round(score, 3) for name, score in self.scores[:_MAX_SHOWN]}
        if self.barred:
            record["barred"] = {
                facts.model_id: facts.why_barred or "silent" for _, facts in self.barred[:_MAX_SHOWN]
            }
        return record


def make_plan(
    entry: ModelEntry, groups: Groups, query: Query, *, affinity_key: str = "", only_model: str = ""
) -> Plan:
    """The order for one call. Targets that are in trouble come last, whatever their priority is.

    Where nothing else is left one whose breaker is open is tried all the same: a route never ejects all. It
    does not wait for a model id with one target, of which its own breaker decides.
    """
    plan = Plan(entry, AFFINITY if affinity_key else entry.policy.strategy)
    now, full = query.now, []
    for group in groups:
        ready = []
        for candidate in group:
            target, facts = candidate
            upstream = target.upstream
            if only_model and target.model != only_model:
                continue
            if not facts.is_ready(now, upstream):
                plan.barred.append(candidate)
            elif upstream.max_concurrency is not None and query.busy(upstream.id) >= upstream.max_concurrency:
                full.append(candidate)
            else:
                ready.append(candidate)
        if len(ready) > 1 and len(plan.order) < entry.policy.max_attempts:
            ranking = _rank(ready, entry.policy.strategy, query, affinity_key)
            plan.order += ranking.order
            plan.scores += ranking.scores
        else:
            plan.order += ready
    plan.order += full
    if plan.barred:
        plan.order += _last_resort(plan)
    return plan


def _rank(ready: list[Candidate], strategy: str, query: Query, affinity_key: str) -> Ranking:
    if affinity_key:
        return by_rendezvous(ready, affinity_key)
    return STRATEGIES[strategy].rank(ready, query)


def _last_resort(plan: Plan) -> list[Candidate]:
    """Those in trouble, the least first. If all are open, one: a dead route costs a request one attempt."""
    barred = sorted(
        plan.barred, key=lambda candidate: (candidate.facts.is_open, candidate.facts.barred_until)
    )
    return barred[:1] if not plan.order and barred[0].facts.is_open else barred
