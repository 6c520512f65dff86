"""`/usage/sinks` and `/usage/buckets`: who gets usage events, and where files are put."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest
from ninja import Query, Router, Status

from gateway_project.core.clock import utc_now
from security_app.api.queries import page_count, refuse_unknown_parameters
from usage_app.models import Bucket, UsageSink
from usage_app.services.sinks import management
from usage_app.services.sinks.lag import lag_of, with_oldest
from usage_app.sink_schemas import (
    BucketFields,
    BucketList,
    BucketPatch,
    DeletedSinkSetting,
    NewBucket,
    NewSink,
    ShownBucket,
    ShownSink,
    SinkFields,
    SinkList,
    SinkListQuery,
    SinkPatch,
)

router = Router(tags=["Usage sinks"])
_COLUMNS = {"enabled": "is_enabled", "models": "model_pattern"}


@router.get("/usage/sinks", response=SinkList, operation_id="list_usage_sinks", summary="List usage sinks")
def list_sinks(request: HttpRequest, query: Query[SinkListQuery]) -> SinkList:
    """By name, with how far each is."""
    refuse_unknown_parameters(request, SinkListQuery)
    rows, total = UsageSink.objects.order_by("name"), UsageSink.objects.count()
    first = (query.page - 1) * query.size
    return SinkList(
        data=[_shown_sink(row) for row in _complete(rows)[first : first + query.size]],
        total_count=total,
        current_page=query.page,
        total_pages=page_count(total, query.size),
    )


@router.post(
    "/usage/sinks", response={201: ShownSink}, operation_id="create_usage_sink", summary="Add a usage sink"
)
def add_sink(request: HttpRequest, body: NewSink) -> Status[ShownSink]:
    """It gets what is stored from now on."""
    return Status(201, _shown(management.create_sink(_values(body))))


@router.get(
    "/usage/sinks/{sink}", response=ShownSink, operation_id="get_usage_sink", summary="Show a usage sink"
)
def get_sink(request: HttpRequest, sink: str) -> ShownSink:
    """By name or by id."""
    refuse_unknown_parameters(request)
    return _shown(management.find_sink(sink))


@router.patch(
    "/usage/sinks/{sink}",
    response=ShownSink,
    operation_id="update_usage_sink",
    summary="Change a usage sink",
)
def patch_sink(request: HttpRequest, sink: str, body: SinkPatch) -> ShownSink:
    """What is left out, or null, stays. Another URL asks for the secret again, if there is one."""
    return _shown(management.change_sink(sink, _values(body)))


@router.delete(
    "/usage/sinks/{sink}",
    response=DeletedSinkSetting,
    operation_id="delete_usage_sink",
    summary="Delete a usage sink",
)
def remove_sink(request: HttpRequest, sink: str) -> DeletedSinkSetting:
    """What it has not got yet it never gets."""
    refuse_unknown_parameters(request)
    return _deleted(management.find_sink(sink))


@router.post(
    "/usage/sinks/{sink}/retry",
    response=ShownSink,
    operation_id="retry_usage_sink",
    summary="Send to a usage sink again",
)
def retry_sink(request: HttpRequest, sink: str) -> ShownSink:
    """One that rests after a failure is served with the next round."""
    refuse_unknown_parameters(request)
    row = management.find_sink(sink)
    management.try_again(row)
    return _shown(row)


@router.get("/usage/buckets", response=BucketList, operation_id="list_buckets", summary="List buckets")
def list_buckets(request: HttpRequest, query: Query[SinkListQuery]) -> BucketList:
    """By name; never a credential."""
    refuse_unknown_parameters(request, SinkListQuery)
    total = Bucket.objects.count()
    first = (query.page - 1) * query.size
    rows = Bucket.objects.order_by("name")[first : first + query.size]
    return BucketList(
        data=[_shown_bucket(row) for row in rows],
        total_count=total,
        current_page=query.page,
        total_pages=page_count(total, query.size),
    )


@router.post(
    "/usage/buckets", response={201: ShownBucket}, operation_id="create_bucket", summary="Add a bucket"
)
def add_bucket(request: HttpRequest, body: NewBucket) -> Status[ShownBucket]:
    """Of AWS, or of a store with an endpoint of its own."""
    return Status(201, _shown_bucket(management.create_bucket(_values(body))))


@router.get(
    "/usage/buckets/{bucket}", response=ShownBucket, operation_id="get_bucket", summary="Show a bucket"
)
def get_bucket(request: HttpRequest, bucket: str) -> ShownBucket:
    """By name or by id."""
    refuse_unknown_parameters(request)
    return _shown_bucket(management.find_bucket(bucket))


@router.patch(
    "/usage/buckets/{bucket}",
    response=ShownBucket,
    operation_id="update_bucket",
    summary="Change a bucket",
)
def patch_bucket(request: HttpRequest, bucket: str, body: BucketPatch) -> ShownBucket:
    """What is left out, or null, stays. Another endpoint asks for the credential again, if there is one."""
    return _shown_bucket(management.change_bucket(bucket, _values(body)))


@router.delete(
    "/usage/buckets/{bucket}",
    response=DeletedSinkSetting,
    operation_id="delete_bucket",
    summary="Delete a bucket",
)
def remove_bucket(request: HttpRequest, bucket: str) -> DeletedSinkSetting:
    """Not while something is put into it; what is in it stays."""
    refuse_unknown_parameters(request)
    return _deleted(management.find_bucket(bucket))


def _values(body: SinkFields | BucketFields) -> dict[str, Any]:
    given = body.model_dump(exclude_unset=True)
    return {_COLUMNS.get(name, name): value for name, value in given.items() if value is not None}


def _deleted(row: UsageSink | Bucket) -> DeletedSinkSetting:
    gone = DeletedSinkSetting(id=row.public_id, name=row.name)
    management.delete(row)
    return gone


def _complete(rows: Any) -> Any:
    return with_oldest(rows).select_related("state", "bucket", "team")


def _shown(row: UsageSink) -> ShownSink:
    return _shown_sink(_complete(UsageSink.objects.filter(pk=row.pk)).get())


def _shown_sink(row: UsageSink) -> ShownSink:
    facts = ("sent_events", "sent_batches", "lost_events", "sent_at", "error", "attempts")
    return ShownSink(
        id=row.public_id,
        name=row.name,
        kind=row.kind,  # type: ignore[arg-type]
        has_url=bool(row.url_sealed),
        has_secret=bool(row.secret_sealed),
        bucket=None if row.bucket is None else row.bucket.name,
        team=None if row.team is None else row.team.public_id,
        models=row.model_pattern,
        batch_size=row.batch_size,
        enabled=row.is_enabled,
        lag_seconds=lag_of(row, utc_now()).total_seconds(),
        managed_by=row.managed_by,
        created_at=row.created_at,
        updated_at=row.updated_at,
        **{name: getattr(row.state, name) for name in facts},
    )


def _shown_bucket(row: Bucket) -> ShownBucket:
    return ShownBucket(
        id=row.public_id,
        name=row.name,
        bucket=row.bucket,
        region=row.region,
        endpoint=row.endpoint,
        prefix=row.prefix,
        has_credential=bool(row.credential_sealed),
        enabled=row.is_enabled,
        managed_by=row.managed_by,
        created_at=row.created_at,
        updated_at=row.updated_at,
    )
