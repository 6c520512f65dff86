"""Bodies, queries and answers of `/usage/sinks` and `/usage/buckets`."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import BaseModel, Field, StringConstraints

from security_app.schemas.base import QueryModel, StrictModel
from usage_app.models.sink import MAX_BATCH
from usage_app.services.sinks.checks import MAX_SECRET, MAX_URL

Name = Annotated[str, StringConstraints(min_length=1, max_length=100)]
Reference = Annotated[str, StringConstraints(max_length=200)]
Kind = Literal["webhook", "s3", "otlp"]
Secret = Annotated[str, StringConstraints(max_length=MAX_SECRET)]


class SinkListQuery(QueryModel):
    """Which page of a list."""

    page: int = Field(default=1, ge=1, le=100_000)
    size: int = Field(default=50, ge=1, le=100)


class SinkFields(StrictModel):
    """What may be said of a sink."""

    url: Annotated[str, StringConstraints(max_length=MAX_URL)] | None = Field(
        default=None, description="Of a webhook or a collector; never shown again."
    )
    secret: Secret | None = Field(
        default=None,
        description="What a webhook's batches are signed with (`whsec_…`), or a collector's headers "
        "(`name=value,name=value`); never shown again. Empty takes it away.",
    )
    bucket: Reference | None = Field(default=None, description="For the kind s3, by id or by name.")
    team: Reference | None = Field(default=None, description="Only what its keys used; empty for everything.")
    models: Annotated[str, StringConstraints(max_length=264)] | None = Field(
        default=None, description="A pattern such as openai/*; empty for everything."
    )
    batch_size: Annotated[int, Field(ge=1, le=MAX_BATCH)] | None = None
    enabled: bool | None = Field(default=None, description="Off: it rests, and goes on where it was.")


class NewSink(SinkFields):
    """`POST /usage/sinks`."""

    name: Name
    kind: Kind


class SinkPatch(SinkFields):
    """`PATCH /usage/sinks/{sink}`; what is left out, or null, stays."""

    name: Name | None = None
    kind: Kind | None = None


class ShownSink(BaseModel):
    """One sink, without its URL and its secret, and how far it is."""

    id: str
    object: Literal["usage_sink"] = "usage_sink"
    name: str
    kind: Kind
    has_url: bool
    has_secret: bool
    bucket: str | None
    team: str | None
    models: str
    batch_size: int
    enabled: bool
    lag_seconds: float = Field(description="For how long the oldest event waits that it has not got.")
    sent_events: int
    sent_batches: int
    lost_events: int
    sent_at: datetime | None
    error: str = Field(description="Why the pending batch was not taken; empty if it was.")
    attempts: int
    managed_by: str
    created_at: datetime
    updated_at: datetime


class SinkList(BaseModel):
    """A page of sinks by name."""

    data: list[ShownSink]
    total_count: int
    current_page: int
    total_pages: int


class BucketFields(StrictModel):
    """What may be said of a bucket."""

    region: Annotated[str, StringConstraints(max_length=40)] | None = None
    endpoint: Annotated[str, StringConstraints(max_length=300)] | None = Field(
        default=None, description="Of a store that is not AWS's; empty for AWS."
    )
    prefix: Annotated[str, StringConstraints(max_length=200)] | None = None
    credential: Secret | None = Field(
        default=None,
        description="`ACCESS_KEY_ID:SECRET`; never shown again. Empty for the machine's AWS identity.",
    )
    enabled: bool | None = None


class NewBucket(BucketFields):
    """`POST /usage/buckets`."""

    name: Name
    bucket: Annotated[str, StringConstraints(max_length=63)]


class BucketPatch(BucketFields):
    """`PATCH /usage/buckets/{bucket}`; what is left out, or null, stays."""

    name: Name | None = None
    bucket: Annotated[str, StringConstraints(max_length=63)] | None = None


class ShownBucket(BaseModel):
    """One bucket, without its credential."""

    id: str
    object: Literal["bucket"] = "bucket"
    name: str
    bucket: str
    region: str
    endpoint: str
    prefix: str
    has_credential: bool
    enabled: bool
    managed_by: str
    created_at: datetime
    updated_at: datetime


class BucketList(BaseModel):
    """A page of buckets by name."""

    data: list[ShownBucket]
    total_count: int
    current_page: int
    total_pages: int


class DeletedSinkSetting(BaseModel):
    """What is gone."""

    id: str
    name: str
    deleted: Literal[True] = True
