"""Targets and facts made by hand, for strategies and plans."""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from uuid import UUID

from gateway_project.core.codec import dumps
from tests.agents.inprocess import model
from upstreams_app.registry import ModelEntry, Target
from upstreams_app.route_policy import RoutePolicy
from upstreams_app.routing.facts import TargetFacts
from upstreams_app.routing.strategies import Candidate, Query

URL = "http://127.0.0.1:1"


def target(model_id: str, url: str = URL, *, weight: int = 1, priority: int = 1, **upstream: Any) -> Target:
    """One target; `upstream` are fields of its upstream, whose breaker is on."""
    given = {"breaker_failures": 3, "breaker_cooldown_s": 30.0} | upstream
    return replace(model(url, model_id, **given).lead, weight=weight, priority=priority)


def candidate(model_id: str, **fields: Any) -> Candidate:
    """A target of which nothing is known yet."""
    return Candidate.of(target(model_id, **fields), TargetFacts(model_id))


def route(*targets: Target, name: str = "fast", **policy: Any) -> ModelEntry:
    """A route over these, in order of priority."""
    return ModelEntry(
        id=name,
        targets=tuple(sorted(targets, key=lambda each: each.priority)),
        is_route=True,
        mode="chat",
        description="",
        created=1,
        context_window=None,
        max_output_tokens=None,
        id_json=dumps(name),
        policy=RoutePolicy(**policy),
        embedding_model=targets[0].model if len({each.model for each in targets}) > 1 else "",
    )


def query(
    now: float = 100.0, *, busy: dict[UUID, int] | None = None, cost: dict[str, int] | None = None
) -> Query:
    """A question at this moment."""
    known = busy or {}
    return Query(now, False, lambda upstream_id: known.get(upstream_id, 0), cost or {})
