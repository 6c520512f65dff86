"""Between the bodies of key routes and the fields of ApiKey, in both directions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, cast

from gateway_project.core.clock import parse_duration, utc_now
from gateway_project.core.errors import InvalidRequest
from gateway_project.core.ids import public_id
from security_app.models import ApiKey, Team
from security_app.schemas.keys import KeyFields, UsedKeyRow
from security_app.schemas.people import TeamFields
from security_app.services import rotation
from security_app.services.issuers import find_issuer
from security_app.services.limit_fields import limit_rows
from security_app.services.object_permissions import Permission, shown_permission, tools_with_permission
from security_app.services.spend import NOTHING_USED, KeyUsage, key_usage
from security_app.services.teams import find_team

_SCOPES_BY_TYPE = {
    "llm_api": ["inference"],
    "default": ["inference"],
    "management": ["admin"],
    "read_only": ["metrics"],
}
# Fields whose null says nothing: else `models: null` would allow every model, and `blocked: null` unblock.
_PLAIN = {
    "metadata": "metadata",
    "blocked": "is_blocked",
    "allowed_tools": "allowed_tools",
    "agent_versions": "agent_versions",
    "aliases": "model_aliases",
    "allowed_routes": "allowed_routes",
    "allowed_ips": "allowed_ips",
    "trusts_end_user": "trusts_end_user",
}
# LiteLLM's words for sets of models.
_ALL_MODELS = "all-proxy-models"
_TEAM_MODELS = "all-team-models"
_UNITS = ((86_400, "d"), (3600, "h"), (60, "m"), (1, "s"))


def key_values(body: KeyFields, row: ApiKey | None = None) -> dict[str, Any]:
    """The fields of ApiKey that a body sets, of a new key or this row. Null empties texts and references."""
    given = body.model_fields_set
    values = {ours: getattr(body, name) for name, ours in _PLAIN.items() if getattr(body, name) is not None}
    if "key_alias" in given:
        values["name"] = (body.key_alias or "").strip()
    if "user_id" in given:
        values["user_id"] = body.user_id or ""
    if "team_id" in given:
        values["team"] = None if body.team_id is None else find_team(body.team_id)
    if "token_issuer" in given:
        values["token_issuer"] = None if body.token_issuer is None else find_issuer(body.token_issuer)
    if body.models is not None:
        team = values.get("team", row and row.team)
        values["allowed_models"] = model_patterns(body.models, has_team=team is not None)
    values |= tool_values(body, row)
    if "duration" in given:
        values["expires_at"] = _expiry(body.duration)
    return values | _scopes(body) | _schedule(body, row)


def model_patterns(models: list[str], *, has_team: bool) -> list[str]:
    """Patterns of models from LiteLLM's list; `no-default-models` stays, and is no model's id."""
    if _TEAM_MODELS in models and not has_team:
        raise InvalidRequest(f"'{_TEAM_MODELS}' needs a key with a team.", param="models")
    return ["*" if model in (_ALL_MODELS, _TEAM_MODELS) else model for model in models]


def tool_values(body: KeyFields | TeamFields, row: ApiKey | Team | None) -> dict[str, Any]:
    """The list of tools that `object_permission` asks for; nothing where a body has none."""
    if body.object_permission is None:
        return {}
    given = body.object_permission.model_dump(exclude_none=True)
    stored = [] if row is None else row.allowed_tools
    tools = tools_with_permission(cast(Permission, given), stored=stored, allowed_tools=body.allowed_tools)
    return {"allowed_tools": tools}


def duration_of(text: str, *, param: str) -> timedelta:
    """A duration of a body; InvalidRequest names the field."""
    try:
        return parse_duration(text)
    except ValueError as error:
        raise InvalidRequest(f"{error}.", param=param) from error


def key_row(row: ApiKey, limits: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """A key as lists show it; its limits and budgets are asked for if they are not given."""
    if limits is None:
        limits = limit_rows("key", [row.id.hex])[row.id.hex]
    team = row.team
    return {
        "key_id": row.public_id,
        "token": row.public_id,
        "token_id": row.public_id,
        "key_name": row.hint,
        "key_alias": row.name or None,
        "status": row.status(),
        "models": row.allowed_models,
        "allowed_tools": row.allowed_tools,
        "object_permission": shown_permission(row.allowed_tools),
        "agent_versions": row.agent_versions,
        "aliases": row.model_aliases,
        "scopes": row.scopes,
        "user_id": row.user_id or None,
        "team_id": None if team is None else team.public_id,
        "organization_id": _organization(row),
        "service_account": row.is_service_account,
        "allowed_routes": row.allowed_routes,
        "allowed_ips": row.allowed_ips,
        "trusts_end_user": row.trusts_end_user,
        "token_issuer": None if row.token_issuer_id is None else public_id("issuer", row.token_issuer_id),
        **_rotation_row(row),
        "metadata": row.metadata,
        "blocked": row.is_blocked,
        "expires": row.expires_at,
        "created_by": row.created_by,
        "created_at": row.created_at,
        "updated_at": row.updated_at,
        "deleted_at": row.deleted_at,
        **limits,
    }


def used_key_rows(rows: Sequence[ApiKey]) -> list[UsedKeyRow]:
    """Keys and what they have used; as many queries for a thousand as for one."""
    usage = key_usage([row.id for row in rows])
    limits = limit_rows("key", [row.id.hex for row in rows])
    return [used_key_row(row, usage.get(row.id, NOTHING_USED), limits[row.id.hex]) for row in rows]


def used_key_row(row: ApiKey, usage: KeyUsage, limits: Mapping[str, Any] | None = None) -> UsedKeyRow:
    """A key and what it has used."""
    return UsedKeyRow(
        **key_row(row, limits),
        spend=usage.spend_usd,
        spend_usd=format(usage.spend_usd, "f"),
        requests=usage.requests,
        last_active=usage.last_used_at,
    )


def _organization(row: ApiKey) -> str | None:
    team = row.team
    return None if team is None or team.organization_id is None else public_id("org", team.organization_id)


def _rotation_row(row: ApiKey) -> dict[str, Any]:
    is_retiring = row.previous_until is not None and row.previous_until > utc_now()
    return {
        "auto_rotate": row.next_rotation_at is not None,
        "rotation_interval": _duration_text(row.rotation_interval_s),
        "key_rotation_at": row.next_rotation_at,
        "last_rotation_at": row.rotated_at,
        "previous_key_expires": row.previous_until if is_retiring else None,
        "has_new_key": bool(row.new_secret_sealed),
    }


def _duration_text(seconds: int | None) -> str | None:
    if seconds is None:
        return None
    size, unit = next((size, unit) for size, unit in _UNITS if seconds % size == 0)
    return f"{seconds // size}{unit}"


def _expiry(duration: str | None) -> datetime | None:
    if duration is None or duration == "-1":
        return None
    return utc_now() + duration_of(duration, param="duration")


def _scopes(body: KeyFields) -> dict[str, Any]:
    if body.scopes is not None and body.key_type is not None:
        raise InvalidRequest("Give either 'scopes' or 'key_type'.", param="key_type")
    if body.scopes is not None:
        return {"scopes": list(body.scopes)}
    return {} if body.key_type is None else {"scopes": _SCOPES_BY_TYPE[body.key_type]}


def _schedule(body: KeyFields, row: ApiKey | None) -> dict[str, Any]:
    if body.auto_rotate is None and "rotation_interval" not in body.model_fields_set:
        return {}
    interval = None
    if "rotation_interval" in body.model_fields_set:
        if body.rotation_interval is not None:
            interval = duration_of(body.rotation_interval, param="rotation_interval")
    elif row is not None and row.rotation_interval_s is not None:
        interval = timedelta(seconds=row.rotation_interval_s)
    is_on = body.auto_rotate
    if is_on is None:
        is_on = interval is not None and row is not None and row.next_rotation_at is not None
    return rotation.schedule(interval, is_on=is_on)
