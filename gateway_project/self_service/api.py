"""`GET /me`: what the own page shows, for the key that asks."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any, Literal

from django.http import HttpRequest
from ninja import Router, Schema

from gateway_project.core.acting import current
from gateway_project.core.ids import public_id
from gateway_project.core.money import from_nano
from gateway_project.self_service.bounds import bounds_of
from gateway_project.self_service.mine import MAX_MODELS_SHOWN, models_of, span_shown
from security_app.api.auth import any_key, principal_of
from security_app.api.queries import refuse_unknown_parameters
from security_app.models import ApiKey
from security_app.registry import Principal
from usage_app.services.usage_sums import UsageQuery, usage_sums

router = Router(tags=["Keys"])
Scope = Literal["key", "team", "organization", "user"]


class OwnKey(Schema):
    """The key that asks; all is null but the name and the scopes for the master key, which is no row."""

    key_id: str | None
    key_name: str | None
    key_alias: str
    user_id: str | None
    team_id: str | None
    team_alias: str | None
    organization_id: str | None
    scopes: list[str]
    expires: datetime | None


class OwnUsage(Schema):
    """What the key used in the last 30 days, today included; UTC."""

    since: datetime
    requests: int
    errors: int
    input_tokens: int
    output_tokens: int
    spend: Decimal


class OwnLimit(Schema):
    """A limit that binds the key. What a team shares is used by all of it.

    `used` is what has been recorded of the window that ends now, null for requests at a time. At `resets_at`
    at the latest all of it is free again.
    """

    limit_id: str
    scope: Scope
    subject_name: str
    model: str | None
    metric: str
    window_seconds: int | None
    limit: int
    used: int | None
    remaining: int | None
    resets_at: datetime | None


class OwnBudget(Schema):
    """A budget that binds the key, in US dollars; `resets_at` is null where it never does by itself."""

    budget_id: str
    scope: Scope
    subject_name: str
    model: str | None
    window: str
    rolling_days: int | None
    time_zone: str
    max_budget: Decimal
    spend: Decimal
    remaining: Decimal
    resets_at: datetime | None


class Me(Schema):
    """Own key, use, limits, budgets and models; `more_models` are left out of the list."""

    key: OwnKey
    usage: OwnUsage
    limits: list[OwnLimit]
    budgets: list[OwnBudget]
    models: list[str]
    more_models: int


@router.get("/me", auth=any_key, response=Me, operation_id="get_me", summary="Show what is one's own")
def get_me(request: HttpRequest) -> dict[str, Any]:
    """The key that asks: what it used, what is left of what binds it, and what it may call from here."""
    refuse_unknown_parameters(request)
    principal = principal_of(request)
    limits, budgets = bounds_of(principal)
    models = models_of(principal, ip=current().ip)
    return {
        "key": _key(principal),
        "usage": _usage(principal),
        "limits": limits,
        "budgets": budgets,
        "models": models[:MAX_MODELS_SHOWN],
        "more_models": max(0, len(models) - MAX_MODELS_SHOWN),
    }


def _key(principal: Principal) -> dict[str, Any]:
    row = None
    if principal.key_id is not None:
        row = ApiKey.objects.select_related("team").defer("digest").filter(pk=principal.key_id).first()
    organization_id = principal.organization_id
    return {
        "key_id": None if row is None else row.public_id,
        "key_name": None if row is None else row.hint,
        "key_alias": principal.name,
        "user_id": principal.user_id or None,
        "team_id": None if row is None or row.team is None else row.team.public_id,
        "team_alias": None if row is None or row.team is None else row.team.name,
        "organization_id": None if organization_id is None else public_id("org", organization_id),
        "scopes": sorted(principal.policy.scopes),
        "expires": None if row is None else row.expires_at,
    }


def _usage(principal: Principal) -> dict[str, Any]:
    start, end = span_shown()
    key_id = "" if principal.key_id is None else principal.key_id.hex
    (row,) = usage_sums(UsageQuery(start, end, filters={"key": (key_id,)}))
    return {
        "since": start,
        "requests": row.requests,
        "errors": row.errors,
        "input_tokens": row.input_tokens,
        "output_tokens": row.output_tokens,
        "spend": from_nano(row.cost_nano),
    }
