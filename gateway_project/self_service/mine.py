"""The facts of the own page: everything is asked for by the account's own user id and keys."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID

from gateway_project.core.clock import utc_now
from gateway_project.core.errors import AuthenticationFailed
from gateway_project.core.money import from_nano
from security_app.models import ApiKey, GatewayUser
from security_app.registry import PeopleConfig, Principal, SecurityConfig
from security_app.services.authentication import with_people
from security_app.services.configuration import store
from security_app.services.permissions import decide_model
from usage_app.services.usage_sums import UsageQuery, UsageRow, usage_sums

DAYS_SHOWN = 30
MAX_KEYS_SHOWN = 50
MAX_MODELS_SHOWN = 200
_QUARTER = timedelta(minutes=15)


class OwnKey(NamedTuple):
    """A key without its secret, and the models that it may use; `more_models` are left out of the list."""

    name: str
    hint: str
    status: str
    team: str
    expires_at: datetime | None
    models: tuple[str, ...]
    more_models: int


class Day(NamedTuple):
    """What was used on a day (UTC)."""

    day: str
    requests: int
    errors: int
    tokens: int
    cost: str


def own_keys(user: GatewayUser) -> list[OwnKey]:
    """The user's keys, the newest first."""
    rows = ApiKey.objects.filter(user_id=user.user_id, deleted_at=None, is_service_account=False)
    shown = list(rows.select_related("team").defer("digest").order_by("-id")[:MAX_KEYS_SHOWN])
    return [_own_key(row) for row in shown]


def _own_key(row: ApiKey) -> OwnKey:
    models = models_of(principal_of_key(row.pk))
    return OwnKey(
        row.name or "(no name)",
        row.hint,
        row.status(),
        row.team.name if row.team else "",
        row.expires_at,
        tuple(models[:MAX_MODELS_SHOWN]),
        max(0, len(models) - MAX_MODELS_SHOWN),
    )


def principal_of_key(key_id: UUID) -> Principal | None:
    """Who calls by the key as things are now; None if it is refused at the door."""
    if not store.is_loaded:
        return None
    sections = store.current.sections
    keys: SecurityConfig = sections["security"].value
    people: PeopleConfig = sections["people"].value
    principal = keys.find(key_id)
    if principal is None or principal.is_blocked:
        return None
    try:
        return with_people(people, principal)
    except AuthenticationFailed:
        return None


def models_of(principal: Principal | None, *, ip: str = "") -> list[str]:
    """The ids that it may call now, models first."""
    if principal is None:
        return []
    sections = store.current.sections
    names = [
        name for name in sections["upstreams"].value.models if decide_model(principal, name, ip=ip).is_allowed
    ]
    agents = sections["agents"].value.agents.values()
    return names + [
        one.id for one in agents if decide_model(principal, one.id, is_agent=True, ip=ip).is_allowed
    ]


def span_shown() -> tuple[datetime, datetime]:
    """The last days, up to the end of the present quarter-hour."""
    moment = utc_now()
    midnight = moment.replace(hour=0, minute=0, second=0, microsecond=0)
    end = moment.replace(minute=moment.minute // 15 * 15, second=0, microsecond=0) + _QUARTER
    return midnight - timedelta(days=DAYS_SHOWN - 1), end


def used_by_day(filters: dict[str, tuple[str, ...]]) -> list[Day]:
    """The last days on which something was used, the newest first."""
    rows = usage_sums(UsageQuery(*span_shown(), group_by=("day",), filters=filters))
    return [_day(row) for row in rows][::-1]


def _day(row: UsageRow) -> Day:
    tokens = row.input_tokens + row.output_tokens
    return Day(row.group[0], row.requests, row.errors, tokens, f"${from_nano(row.cost_nano):,.4f}")
