"""What conditions of limits may read of a call; security_app/models/conditions.py has the names.

And which limits would count a call: for those who ask before there is one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from gateway_project.core.clock import utc_now
from gateway_project.core.context import RequestContext
from security_app.registry import Principal
from security_app.registry.counters import Meter
from security_app.registry.limits import CALL, NOBODY, RUN, TOOL, LimitsConfig
from security_app.services.permissions import principal_values

_VARIANTS = {"model": CALL, "agent": RUN, "tool": TOOL}


class Tried(NamedTuple):
    """A counter that a call may take from, and whether it would: not where its condition is false."""

    meter: Meter
    counts: bool


def call_values(
    context: RequestContext | None, principal: Principal, model_id: str, *, agent: str = ""
) -> dict[str, Any]:
    """The values of a call of a model, an agent or a tool; `agent` is whose run it is in."""
    if context is None:
        return _values(principal, model_id, agent=agent)
    return _values(
        principal, model_id, route=context.route, ip=context.client_ip, tags=context.tags, agent=agent
    )


def try_limits(
    limits: LimitsConfig,
    principal: Principal,
    kind: str,
    object_id: str,
    *,
    route: str = "",
    ip: str = "",
    tags: Sequence[str] = (),
) -> list[Tried]:
    """All limits and budgets that a principal's call of a model, an agent or a tool may take from."""
    who = NOBODY
    if kind != "tool":
        who = limits.who(principal)._replace(end_user=principal.end_user, tags=tuple(dict.fromkeys(tags)))
    plan = limits.plan(_VARIANTS[kind], who, object_id)
    values = _values(principal, object_id, route=route, ip=ip, tags=tags)
    out = {index for index, condition in plan.conditions if condition.is_false(values)}
    return [Tried(meter, index not in out) for index, meter in enumerate(plan.meters)]


def _values(
    principal: Principal,
    model_id: str,
    *,
    route: str = "",
    ip: str = "",
    tags: Sequence[str] = (),
    agent: str = "",
) -> dict[str, Any]:
    return {
        "model": model_id,
        "route": route,
        "ip": ip,
        "agent": agent,
        "tags": list(tags),
        "now": utc_now(),
        "principal": principal_values(principal),
        "claims": principal.claims or {},
    }
