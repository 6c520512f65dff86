"""Making, changing and ending sinks and buckets, for the API."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.db.models import ProtectedError

from gateway_project.core.errors import Conflict, InvalidRequest, NotFound
from gateway_project.core.ids import parse_public_id
from security_app.models import ConfigVersion
from security_app.services.teams import find_team
from usage_app.models import Bucket, SinkState, UsageSink
from usage_app.services.sinks.checks import Problems, bucket_problems, sink_problems

_PARAMS = {"is_enabled": "enabled", "model_pattern": "models"}
_Row = TypeVar("_Row", Bucket, UsageSink)


def create_sink(values: Mapping[str, Any]) -> UsageSink:
    """Make a sink; `values` are its fields, `url`, `secret`, `team` and `bucket` by reference."""
    with transaction.atomic():
        return _write_sink(UsageSink(), values)


def change_sink(reference: str, values: Mapping[str, Any]) -> UsageSink:
    """Change fields of a sink, and no others; an empty secret, team or bucket takes it away. NotFound."""
    with transaction.atomic():
        # So that a row which goes meanwhile does not come back.
        ConfigVersion.lock()
        return _write_sink(find_sink(reference), values)


def create_bucket(values: Mapping[str, Any]) -> Bucket:
    """Make a bucket; `values` are its fields and `credential`. InvalidRequest or Conflict."""
    with transaction.atomic():
        return _write_bucket(Bucket(), values)


def change_bucket(reference: str, values: Mapping[str, Any]) -> Bucket:
    """Change fields of a bucket, and no others; an empty credential takes it away. NotFound."""
    with transaction.atomic():
        ConfigVersion.lock()
        return _write_bucket(find_bucket(reference), values)


def delete(row: UsageSink | Bucket) -> None:
    """Delete a row; Conflict for a bucket that sinks or reports put something into."""
    try:
        row.delete()
    except ProtectedError as error:
        raise Conflict("Sinks or reports put something into this bucket.") from error


def try_again(row: UsageSink) -> None:
    """Have a sink that rests after a failure served with the next round."""
    SinkState.objects.filter(sink=row).update(due_at=row.created_at)


def find_sink(reference: str) -> UsageSink:
    """A sink by its name or its public id; NotFound otherwise."""
    row = _found(UsageSink, "sink", reference)
    if row is None:
        raise NotFound("There is no such sink.", param="sink")
    return row


def find_bucket(reference: str) -> Bucket:
    """A bucket by its name or its public id; NotFound otherwise."""
    row = _found(Bucket, "bucket", reference)
    if row is None:
        raise NotFound("There is no such bucket.", param="bucket")
    return row


def _found(model: type[_Row], prefix: str, reference: str) -> _Row | None:
    rows = model._default_manager
    row = rows.filter(name=reference).first()
    if row is None and (row_id := parse_public_id(prefix, reference)) is not None:
        row = rows.filter(pk=row_id).first()
    return row


def _write_sink(row: UsageSink, values: Mapping[str, Any]) -> UsageSink:
    given = dict(values)
    url, secret = given.pop("url", "").strip(), given.pop("secret", None)
    try:
        for name, find in (("team", find_team), ("bucket", find_bucket)):
            if name in given:
                reference = given.pop(name)
                setattr(row, name, find(reference) if reference else None)
    except NotFound as error:
        raise InvalidRequest(error.message, param=name) from error
    for name, value in given.items():
        setattr(row, name, value)
    _refuse(sink_problems(row, url=url, secret=secret))
    if url:
        row.set_url(url)
    if secret is not None:
        row.set_secret(secret)
    return _saved(row)


def _write_bucket(row: Bucket, values: Mapping[str, Any]) -> Bucket:
    given, endpoint = dict(values), row.endpoint
    credential = given.pop("credential", None)
    for name, value in given.items():
        setattr(row, name, value)
    _refuse(bucket_problems(row, credential=credential, stored_endpoint=endpoint))
    if credential is not None:
        row.set_credential(credential)
    return _saved(row)


def _refuse(problems: Problems) -> None:
    for name, text in problems.items():
        raise InvalidRequest(text, param=name)


def _saved(row: _Row) -> _Row:
    try:
        row.full_clean(validate_unique=False, validate_constraints=False)
        with transaction.atomic():
            row.save()
    except ValidationError as error:
        field, messages = next(iter(error.message_dict.items()))
        raise InvalidRequest(messages[0], param=_PARAMS.get(field, field)) from error
    except IntegrityError as error:
        raise Conflict("There is one of this name already.", param="name") from error
    row.refresh_from_db()
    return row
