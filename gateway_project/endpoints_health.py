"""The health of models in the form of LiteLLM's `GET /health`: by states of upstreams, without a call."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from gateway_project.registries import store
from upstreams_app.registry import UpstreamsConfig
from upstreams_app.services.health import UpstreamHealth
from upstreams_app.services.states import DEGRADED, HEALTHY, UNKNOWN

MAX_SHOWN = 1000
_LISTS = ("healthy_endpoints", "unhealthy_endpoints", "unknown_endpoints")


def endpoints(upstreams: Iterable[UpstreamHealth] | None) -> dict[str, Any]:
    """Each model that an upstream serves, in one of three lists of at most 1000, and how many there are.

    What is degraded works; down and maintenance are unhealthy.
    """
    if upstreams is None:
        return dict.fromkeys([*_LISTS, *map(_count, _LISTS)])
    states = {one["name"]: one for one in upstreams}
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in _LISTS}
    config: UpstreamsConfig = store.current.sections["upstreams"].value
    for entry in config.models.values():
        known = states.get(entry.lead.upstream.name)
        if entry.is_route:
            continue
        state = known["state"] if known is not None else UNKNOWN
        shown: dict[str, Any] = {"model": entry.id, "upstream": entry.lead.upstream.name, "state": state}
        if known is not None and known["reason"]:
            shown["error"] = known["reason"]
        found[_list_of(state)].append(shown)
    return {
        **{name: shown[:MAX_SHOWN] for name, shown in found.items()},
        **{_count(name): len(shown) for name, shown in found.items()},
    }


def _list_of(state: str) -> str:
    if state in (HEALTHY, DEGRADED):
        return "healthy_endpoints"
    return "unknown_endpoints" if state == UNKNOWN else "unhealthy_endpoints"


def _count(name: str) -> str:
    return name.replace("endpoints", "count")
