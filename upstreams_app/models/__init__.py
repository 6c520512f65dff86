"""LLM providers: upstreams, their models, routes over them, and what probes found."""

from upstreams_app.models.cache import CachePolicy
from upstreams_app.models.health import HealthSample, Heartbeat, StateChange, UpstreamState
from upstreams_app.models.route import Route, RouteTarget
from upstreams_app.models.upstream import Upstream, UpstreamModel

__all__ = [
    "CachePolicy",
    "HealthSample",
    "Heartbeat",
    "Route",
    "RouteTarget",
    "StateChange",
    "Upstream",
    "UpstreamModel",
    "UpstreamState",
]
