"""Bodies and answers of identity providers, whose tokens are let in in the place of keys."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, Field

from security_app.schemas.base import Metadata, Reference, ShortText, StrictModel, SubjectId

Mode = Literal["off", "optional", "permissive", "strict"]
_MAX_JWKS_KEYS = 50


class ProviderFields(StrictModel):
    """What may be said of a provider; null changes nothing."""

    enabled: bool | None = None
    algorithms: list[str] | None = Field(default=None, description="RS256 and ES256 if left out.")
    leeway_s: int | None = Field(default=None, ge=0, le=300, description="Seconds that clocks may differ by.")
    jwks_url: str | None = Field(
        default=None,
        max_length=500,
        description="Where its public keys are; without it and `jwks`, where its discovery document says.",
    )
    jwks: dict[str, Any] | None = Field(
        default=None, description="Its public keys, if they are not to be fetched; {} goes back to fetching."
    )
    stale_hours: int | None = Field(
        default=None, ge=0, le=720, description="How long its last keys serve on while it can't be reached."
    )
    inference_mode: Mode | None = Field(default=None, description="At the doors for models and agents.")
    management_mode: Mode | None = Field(default=None, description="At the management API.")
    user_claim: SubjectId | None = Field(default=None, description="The claim that is the user's id: `sub`.")
    user_prefix: str | None = Field(default=None, max_length=50, description="Before each user's id.")
    makes_users: bool | None = Field(default=None, description="Make users that are not known; else refuse.")
    max_users: int | None = Field(default=None, ge=0, le=10_000_000)
    team_claim: ShortText | None = Field(default=None, description='Names the team; "" for none.')
    default_team_id: str | None = Field(
        default=None, max_length=200, description='The team of tokens that name none; "" for none.'
    )
    organization_claim: ShortText | None = None
    groups_claim: ShortText | None = Field(default=None, description="Names access groups.")
    scope_claim: ShortText | None = None
    scope_map: Metadata | None = Field(default=None, description="From a scope of tokens to one of ours.")
    scopes: list[str] | None = Field(default=None, description="What every good token may do.")
    models: list[str] | None = None
    allowed_tools: list[str] | None = None


class ProviderNew(ProviderFields):
    """`POST /identity_provider/new`."""

    name: SubjectId
    issuer: Reference = Field(description="What `iss` must be, to the letter.")
    audiences: list[str] = Field(description="One of them must be in `aud`.")


class ProviderUpdate(ProviderFields):
    """`POST /identity_provider/update`; what is left out stays as it is."""

    identity_provider: Reference = Field(description="Its id or name.")
    name: SubjectId | None = None
    issuer: Reference | None = None
    audiences: list[str] | None = None


class ProviderReference(StrictModel):
    """A provider by its id or name."""

    identity_provider: Reference


class ProviderRow(BaseModel):
    """A provider as lists show it."""

    identity_provider: str
    name: str
    enabled: bool
    issuer: str
    audiences: list[str]
    algorithms: list[str]
    leeway_s: int
    jwks_url: str | None
    stale_hours: int
    inference_mode: str
    management_mode: str
    user_claim: str
    user_prefix: str
    makes_users: bool
    max_users: int
    team_claim: str
    default_team_id: str | None
    organization_claim: str
    groups_claim: str
    scope_claim: str
    scope_map: dict[str, str]
    scopes: list[str]
    models: list[str]
    allowed_tools: list[str]
    keys: int = Field(description="How many usable public keys it has.")
    keys_source: str | None = Field(description="Where they were fetched; null for those of its row.")
    keys_fetched_at: datetime | None
    keys_failure: str | None = Field(description="Why the last fetch failed; null if it did not.")
    created_at: datetime
    updated_at: datetime


class TokenTrial(StrictModel):
    """`POST /identity_provider/preview`: a token, and the door that it would be shown at."""

    token: str = Field(min_length=1, max_length=20_000)
    door: Literal["inference", "management"] = "inference"


class TokenVerdict(BaseModel):
    """Whether a token would be let in, and whom it is for."""

    allowed: bool
    reason: str | None = Field(description="Why not, in one of a few words.")
    message: str | None
    user_id: str | None = None
    team_id: str | None = None
    organization_id: str | None = None
    scopes: list[str] = []
    models: list[str] = []
    allowed_tools: list[str] = []
    claims: dict[str, Any] = {}


class DeletedProvider(BaseModel):
    """The id of the provider that is gone."""

    deleted: str
