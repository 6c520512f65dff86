"""Bodies, queries and answers of the key routes: LiteLLM's names over the fields of ApiKey."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any, Literal

from pydantic import BaseModel, Field

from security_app.schemas.base import (
    MAX_PER_CALL,
    Metadata,
    QueryModel,
    Reference,
    References,
    ShortText,
    SortOrder,
    StrictModel,
)
from security_app.schemas.limits import LimitFields, LimitRow
from security_app.schemas.object_permission import ObjectPermission, ShownPermission

Scope = Literal["inference", "admin", "metrics", "team"]
KeyType = Literal["llm_api", "management", "read_only", "default"]
Status = Literal["active", "blocked", "expired", "deleted"]


class KeyFields(LimitFields):
    """What may be said of a key when it is made and when it is changed."""

    key_alias: ShortText | None = Field(
        default=None, description="What or whom the key is for; unique among living keys."
    )
    duration: str | None = Field(
        default=None, description="30s, 15m, 24h, 30d, 2w, 1mo from now; null or -1: forever."
    )
    models: list[str] | None = Field(
        default=None, description="Model ids or patterns such as openai/*; empty: all."
    )
    allowed_tools: list[str] | None = Field(
        default=None, description="Tools that agents may use for it, or patterns such as crm_*; empty: all."
    )
    object_permission: ObjectPermission | None = Field(
        default=None, description="MCP servers, groups and tools: another way to say allowed_tools."
    )
    agent_versions: dict[str, int] | None = Field(
        default=None,
        description="Versions that declared agents have for it, by their ids; others are as they are now.",
    )
    aliases: dict[str, str] | None = Field(
        default=None, description="Models by the names that its requests give them."
    )
    metadata: Metadata | None = Field(
        default=None, description="Yours; conditions of routes may ask for its plain members."
    )
    team_id: Reference | None = Field(
        default=None, description="The team that the key is of; null takes it out of its team."
    )
    allowed_routes: list[str] | None = Field(
        default=None,
        description="Paths, paths that end in *, or llm_api_routes, management_routes, info_routes; empty: "
        "all.",
    )
    allowed_ips: list[str] | None = Field(
        default=None, description="Addresses or networks that it may be used from; empty: anywhere."
    )
    trusts_end_user: Literal["off", "header", "jwt"] | None = Field(
        default=None, description="Whether to believe what a request says of its end user."
    )
    token_issuer: Reference | None = Field(
        default=None, description="Who signs end users' tokens: the issuer's id or name."
    )
    auto_rotate: bool | None = Field(default=None, description="Whether it gets a new secret by itself.")
    rotation_interval: str | None = Field(default=None, description="How often: 30d, at least 1d.")
    user_id: ShortText | None = Field(default=None, description="Your own id of the key's owner.")
    blocked: bool | None = None
    key_type: KeyType | None = Field(
        default=None, description="A shorthand for scopes; llm_api unless scopes are given."
    )
    scopes: list[Scope] | None = Field(
        default=None, description="What the key is for: inference, admin, metrics, team."
    )


class KeyGenerate(KeyFields):
    """`POST /key/generate`; every field may be left out."""

    key: str | None = Field(
        default=None, description="A key of your own, at least 16 characters; else one is made."
    )


class KeyUpdate(KeyFields):
    """`POST /key/update`; what is left out stays as it is."""

    key: Reference = Field(description="The key, or its id.")


class ServiceAccountGenerate(KeyGenerate):
    """`POST /key/service-account/generate`; the key is of the team, and of no user."""

    team_id: Reference = Field(description="The team that the key is of.")


class KeyRegenerate(KeyFields):
    """`POST /key/{key}/regenerate`; what is left out stays as it is."""

    new_key: str | None = Field(
        default=None, description="A secret of your own, at least 16 characters; else one is made."
    )
    grace_period: str | None = Field(
        default=None, description="How long the secret before stays good: 24h; by default it ends now."
    )


class NamedKeyRegenerate(KeyRegenerate):
    """`POST /key/regenerate`."""

    key: Reference = Field(description="The key, or its id.")


class KeyBulkUpdate(StrictModel):
    """`POST /key/bulk_update`: each item as in `/key/update`."""

    keys: list[KeyUpdate] = Field(min_length=1, max_length=100)


class KeyReferences(StrictModel):
    """`POST /v2/key/info`."""

    keys: References = Field(max_length=100)


class KeyReference(StrictModel):
    """A key by itself or by its id."""

    key: Reference


class KeyDelete(StrictModel):
    """`POST /key/delete`; one of the two lists."""

    keys: list[Reference] | None = Field(default=None, max_length=MAX_PER_CALL)
    key_aliases: list[Reference] | None = Field(default=None, max_length=MAX_PER_CALL)


class KeyInfoQuery(QueryModel):
    """`GET /key/info`."""

    key: Reference | None = Field(
        default=None, description="The key, or its id; by default the caller's own."
    )


class KeyAliasQuery(QueryModel):
    """`GET /key/aliases`."""

    page: int = Field(default=1, ge=1, le=100_000)
    size: int = Field(default=50, ge=1, le=100)
    search: ShortText | None = Field(default=None, description="What an alias holds, in either case.")


class KeyListQuery(QueryModel):
    """`GET /key/list`."""

    page: int = Field(default=1, ge=1, le=100_000)
    size: int = Field(default=10, ge=1, le=100)
    user_id: ShortText | None = None
    key_alias: ShortText | None = None
    team_id: Reference | None = None
    organization_id: Reference | None = None
    status: Status | None = Field(default=None, description="By default all but deleted keys.")
    sort_by: Literal["created_at", "updated_at", "expires", "key_alias", "user_id"] = "created_at"
    sort_order: SortOrder = "desc"
    return_full_object: bool = Field(default=False, description="Rows instead of ids.")


class KeyRow(LimitRow):
    """A key as lists show it; never the key itself."""

    key_id: str
    token: str = Field(description="The same as key_id: ours is no digest.")
    token_id: str
    key_name: str = Field(description="First and last characters of the key.")
    key_alias: str | None
    status: Status
    models: list[str]
    allowed_tools: list[str]
    object_permission: ShownPermission
    agent_versions: dict[str, int]
    aliases: dict[str, str]
    scopes: list[str]
    user_id: str | None
    team_id: str | None
    organization_id: str | None
    service_account: bool
    allowed_routes: list[str]
    allowed_ips: list[str]
    trusts_end_user: Literal["off", "header", "jwt"]
    token_issuer: str | None
    auto_rotate: bool
    rotation_interval: str | None
    key_rotation_at: datetime | None = Field(description="When it gets a new secret by itself.")
    last_rotation_at: datetime | None
    previous_key_expires: datetime | None = Field(description="Until when the secret before is good.")
    has_new_key: bool = Field(description="Whether a new secret waits for `POST /key/reveal`.")
    metadata: dict[str, Any]
    blocked: bool
    expires: datetime | None
    created_by: str
    created_at: datetime
    updated_at: datetime
    deleted_at: datetime | None


class UsedKeyRow(KeyRow):
    """A key and what it has used."""

    spend: Decimal = Field(description="US dollars, an exact JSON number.")
    spend_usd: str = Field(description="The same as decimal text.")
    requests: int
    last_active: datetime | None


class GeneratedKey(KeyRow):
    """The one answer that holds the key itself."""

    key: str = Field(description="The key; it is shown this once.")


class KeyInfo(BaseModel):
    """A key's id and what is known of it."""

    key: str
    info: UsedKeyRow


class KeyInfos(BaseModel):
    """Rows of several keys, in the order in which they were asked for."""

    key: list[str]
    info: list[UsedKeyRow]


class UpdatedKey(BaseModel):
    """A key of a bulk update that was changed."""

    key: str
    key_info: KeyRow


class FailedKey(BaseModel):
    """A key of a bulk update that was left as it was."""

    position: int = Field(description="Its place in the list, from 0.")
    failed_reason: str
    param: str | None


class BulkUpdatedKeys(BaseModel):
    """What came of each item."""

    total_requested: int
    successful_updates: list[UpdatedKey]
    failed_updates: list[FailedKey]


class KeyAliases(BaseModel):
    """One page of the aliases of living keys."""

    aliases: list[str]
    total_count: int
    current_page: int
    total_pages: int
    size: int


class KeyHealth(BaseModel):
    """That the key which asks is good."""

    key: Literal["healthy"] = "healthy"
    key_id: str | None


class DeletedKeys(BaseModel):
    """The ids of the keys that are gone."""

    deleted_keys: list[str]


class KeyList(BaseModel):
    """One page of keys: ids, or rows if they were asked for."""

    keys: list[str] | list[UsedKeyRow]
    total_count: int
    current_page: int
    total_pages: int
