"""What is left of the limits and budgets that bind a key holder, as the own page and `GET /me` show it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from django.db import DatabaseError

from gateway_project.core.money import from_nano, usd_text
from gateway_project.self_service.mine import MAX_KEYS_SHOWN, principal_of_key
from security_app.models import ApiKey, Budget, GatewayUser, Limit
from security_app.models.limits import budget_title
from security_app.registry import Principal
from security_app.registry.counters import BudgetRule, LimitRule
from security_app.registry.limits import Who
from security_app.services.configuration import store
from security_app.services.limit_answers import span_text
from security_app.services.own_limits import CounterState, binding_counters, who_is
from security_app.services.subject_names import subject_names

HEADS = ("Of", "What", "Used", "Left", "At most", "Free again (UTC)")


class Bound(NamedTuple):
    """A line of the page."""

    whose: str
    what: str
    used: str
    left: str
    limit: str
    resets: str


def own_bounds(user: GatewayUser) -> list[Bound] | None:
    """What binds the user and whoever calls by the user's keys; None if that can't be known now."""
    if not store.is_loaded:
        return None
    keys = ApiKey.objects.filter(user_id=user.user_id, deleted_at=None, is_service_account=False)
    principals = map(principal_of_key, keys.order_by("-id").values_list("pk", flat=True)[:MAX_KEYS_SHOWN])
    somebody = [Who(user=user.user_id), *(who_is(one) for one in principals if one is not None)]
    try:
        states = binding_counters(somebody)
        names = _names(states)
    except (DatabaseError, OSError):
        return None
    return [_bound(state, names[_subject(state)]) for state in states]


def bounds_of(principal: Principal) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The limits and the budgets that bind a key, for programs."""
    states = binding_counters([who_is(principal)])
    names = _names(states)
    rows = [(state, _common(state, names[_subject(state)])) for state in states]
    return [*_limits(rows)], [*_budgets(rows)]


def _limits(rows: Sequence[tuple[CounterState, dict[str, Any]]]) -> Iterator[dict[str, Any]]:
    for state, common in rows:
        rule = state.rule
        if isinstance(rule, LimitRule):
            is_at_once = rule.metric == Limit.Metric.CONCURRENCY
            yield {
                "limit_id": f"limit_{rule.id}",
                **common,
                "metric": rule.metric,
                "window_seconds": None if is_at_once else rule.window_ms // 1000,
                "limit": state.limit,
                "used": state.used,
                "remaining": state.remaining,
                "resets_at": state.resets_at,
            }


def _budgets(rows: Sequence[tuple[CounterState, dict[str, Any]]]) -> Iterator[dict[str, Any]]:
    for state, common in rows:
        rule = state.rule
        if isinstance(rule, BudgetRule):
            yield {
                "budget_id": rule.name,
                **common,
                "window": rule.window,
                "rolling_days": rule.days or None,
                "time_zone": rule.zone,
                "max_budget": from_nano(state.limit),
                "spend": from_nano(state.used or 0),
                "remaining": from_nano(state.remaining or 0),
                "resets_at": state.resets_at,
            }


def _common(state: CounterState, name: str) -> dict[str, Any]:
    return {"scope": state.rule.kind, "subject_name": name, "model": state.rule.model or None}


def _subject(state: CounterState) -> tuple[str, str]:
    return state.rule.kind, state.subject


def _names(states: Sequence[CounterState]) -> dict[tuple[str, str], str]:
    return subject_names(_subject(state) for state in states)


def _bound(state: CounterState, name: str) -> Bound:
    whose = "You" if state.rule.kind == "user" else f"{state.rule.kind.capitalize()} {name}"
    resets = "" if state.resets_at is None else f"{state.resets_at:%Y-%m-%d %H:%M}"
    if isinstance(state.rule, BudgetRule):
        used, left, limit = (f"${usd_text(nano or 0)}" for nano in (state.used, state.remaining, state.limit))
        return Bound(whose, _of_model(_budget_text(state.rule), state), used, left, limit, resets or "never")
    limit = f"{state.limit:,}"
    if state.used is None or state.remaining is None:
        return Bound(whose, _of_model("Requests at a time", state), "not counted here", "", limit, "")
    metric = Limit.Metric(state.rule.metric).label
    what = f"{metric} in any {span_text(state.rule.window_ms // 1000)}"
    return Bound(
        whose, _of_model(what, state), f"{state.used:,}", f"{state.remaining:,}", limit, f"by {resets}"
    )


def _budget_text(rule: BudgetRule) -> str:
    window = (
        f"the last {rule.days} days"
        if rule.window == Budget.Window.ROLLING
        else Budget.Window(rule.window).label.lower()
    )
    name = budget_title(rule.name, rule.kind, rule.subject)
    return f"{name}, {window}" + (f" ({rule.zone})" if rule.zone != "UTC" else "")


def _of_model(text: str, state: CounterState) -> str:
    return f"{text}, of {state.rule.model}" if state.rule.model else text
