"""Bodies, queries and answers of the key routes: LiteLLM's names over the fields of ApiKey."""

from __future__ import annotations

import json
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, field_validator

MAX_METADATA_BYTES = 16_384
MAX_KEYS_PER_CALL = 1000
Scope = Literal["inference", "admin", "metrics"]
KeyType = Literal["llm_api", "management", "read_only", "default"]
Reference = Annotated[str, StringConstraints(min_length=1, max_length=512)]
ShortText = Annotated[str, StringConstraints(max_length=200)]


class StrictModel(BaseModel):
    """A body or query whose unknown fields are errors."""

    model_config = ConfigDict(extra="forbid", strict=True)


class KeyFields(StrictModel):
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
    agent_versions: dict[str, int] | None = Field(
        default=None,
        description="Versions that declared agents have for it, by their ids; others are as they are now.",
    )
    metadata: dict[str, Any] | None = None
    user_id: ShortText | None = Field(default=None, description="Your own id of the key's owner.")
    blocked: bool | None = None
    key_type: KeyType | None = Field(
        default=None, description="A shorthand for scopes; llm_api unless scopes are given."
    )
    scopes: list[Scope] | None = Field(
        default=None, description="What the key is for: inference, admin, metrics."
    )

    @field_validator("metadata")
    @classmethod
    def _is_small(cls, value: dict[str, Any] | None) -> dict[str, Any] | None:
        if value is None:
            return None
        text = json.dumps(value, ensure_ascii=False)
        if len(text.encode()) > MAX_METADATA_BYTES:
            raise ValueError(f"it has more than {MAX_METADATA_BYTES} bytes")
        # Read back, numbers are plain floats again.
        plain: dict[str, Any] = json.loads(text)
        return plain


class KeyGenerate(KeyFields):
    """`POST /key/generate`; every field may be left out."""

    key: str | None = Field(
        default=None, description="A key of your own, at least 16 characters; else one is made."
    )


class KeyUpdate(KeyFields):
    """`POST /key/update`; what is left out stays as it is."""

    key: Reference = Field(description="The key, or its id.")


class KeyReference(StrictModel):
    """A key by itself or by its id."""

    key: Reference


class KeyDelete(StrictModel):
    """`POST /key/delete`; one of the two lists."""

    keys: list[Reference] | None = Field(default=None, max_length=MAX_KEYS_PER_CALL)
    key_aliases: list[Reference] | None = Field(default=None, max_length=MAX_KEYS_PER_CALL)


class KeyInfoQuery(BaseModel):
    """`GET /key/info`."""

    model_config = ConfigDict(extra="forbid")

    key: Reference | None = Field(
        default=None, description="The key, or its id; by default the caller's own."
    )


class KeyListQuery(BaseModel):
    """`GET /key/list`."""

    model_config = ConfigDict(extra="forbid")

    page: int = Field(default=1, ge=1, le=100_000)
    size: int = Field(default=10, ge=1, le=100)
    user_id: ShortText | None = None
    key_alias: ShortText | None = None
    status: Literal["active", "blocked", "expired", "deleted"] | None = Field(
        default=None, description="By default all but deleted keys."
    )
    sort_by: Literal["created_at", "updated_at", "expires", "key_alias", "user_id"] = "created_at"
    sort_order: Literal["asc", "desc"] = "desc"
    return_full_object: bool = Field(default=False, description="Rows instead of ids.")


class KeyRow(BaseModel):
    """A key as lists show it; never the key itself."""

    key_id: str
    token: str = Field(description="The same as key_id: ours is no digest.")
    token_id: str
    key_name: str = Field(description="First and last characters of the key.")
    key_alias: str | None
    status: Literal["active", "blocked", "expired", "deleted"]
    models: list[str]
    allowed_tools: list[str]
    agent_versions: dict[str, int]
    scopes: list[str]
    user_id: str | None
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


class DeletedKeys(BaseModel):
    """The ids of the keys that are gone."""

    deleted_keys: list[str]


class KeyList(BaseModel):
    """One page of keys: ids, or rows if they were asked for."""

    keys: list[str] | list[UsedKeyRow]
    total_count: int
    current_page: int
    total_pages: int
