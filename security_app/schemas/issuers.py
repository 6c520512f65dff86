"""Bodies and answers of issuers of end users' tokens."""

from __future__ import annotations

from datetime import datetime

from pydantic import BaseModel, Field

from security_app.schemas.base import Reference, ShortText, StrictModel, SubjectId


class IssuerFields(StrictModel):
    """What may be said of an issuer; null changes nothing."""

    issuer: ShortText | None = Field(default=None, description="What `iss` must be; empty: not looked at.")
    audience: ShortText | None = Field(
        default=None, description="What `aud` must hold; empty: a token must have none."
    )
    header: SubjectId | None = Field(default=None, description="The request header with the token.")
    claim: SubjectId | None = Field(default=None, description="The claim that is the end user's id.")
    secret: str | None = Field(
        default=None, max_length=1000, description="A shared secret for HS256, 32 characters or more."
    )
    jwks_url: str | None = Field(
        default=None, max_length=500, description="Where the public keys for RS256 or ES256 are."
    )


class IssuerNew(IssuerFields):
    """`POST /token_issuer/new`; one of `secret` and `jwks_url` is needed."""

    name: SubjectId


class IssuerUpdate(IssuerFields):
    """`POST /token_issuer/update`; what is left out stays as it is."""

    token_issuer: Reference = Field(description="Its id or name.")
    name: SubjectId | None = None


class IssuerReference(StrictModel):
    """An issuer by its id or name."""

    token_issuer: Reference


class IssuerRow(BaseModel):
    """An issuer as lists show it; never its secret."""

    token_issuer: str
    name: str
    issuer: str
    audience: str
    header: str
    claim: str
    has_secret: bool
    jwks_url: str | None
    keys: int = Field(description="How many usable public keys it has.")
    keys_changed_at: datetime | None
    created_at: datetime
    updated_at: datetime


class DeletedIssuer(BaseModel):
    """The id of the issuer that is gone."""

    deleted: str
