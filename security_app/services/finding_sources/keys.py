"""Keys that end soon or have ended, that nobody uses, or that may do too much."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from itertools import islice

from django.db.models import Q, QuerySet

from security_app.models import ApiKey, Budget, Finding, Limit
from security_app.services.findings import Found
from security_app.services.spend import NOTHING_USED, key_usage

EXPIRES_SOON = timedelta(days=7)
UNUSED = timedelta(days=90)
_Severity = Finding.Severity
_TYPE = ApiKey._meta.label_lower
_BATCH = 500
_TOO_MUCH = {"admin", "inference"}


def expiring(now: datetime) -> Iterator[Found]:
    """Keys that stop to work within a week."""
    for key in _living().filter(is_blocked=False, expires_at__gt=now, expires_at__lte=now + EXPIRES_SOON):
        yield _found(
            "key_expiring", _Severity.WARNING, key, f"It expires at {key.expires_at:%Y-%m-%d %H:%M} UTC."
        )


def expired(now: datetime) -> Iterator[Found]:
    """Keys that have ended and are still there."""
    for key in _living().filter(expires_at__lte=now):
        yield _found(
            "key_expired", _Severity.INFO, key, f"It expired at {key.expires_at:%Y-%m-%d %H:%M} UTC."
        )


def unused(now: datetime) -> Iterator[Found]:
    """Keys of some age that work and that nobody uses."""
    before = now - UNUSED
    keys = _usable(now).filter(created_at__lt=before)
    for batch in _batches(keys):
        use = key_usage([key.pk for key in batch])
        for key in batch:
            last = use.get(key.pk, NOTHING_USED).last_used_at
            if last is None or last < before:
                told = "never" if last is None else f"last at {last:%Y-%m-%d %H:%M} UTC"
                yield _found("key_unused", _Severity.INFO, key, f"It was used {told}.")


def over_permissive(now: datetime) -> Iterator[Found]:
    """Keys that manage the gateway and call any model, and that nothing of their own holds back."""
    keys = _usable(now).filter(team=None)
    for batch in _batches(keys):
        broad = [key for key in batch if not key.allowed_models and set(key.scopes) >= _TOO_MUCH]
        bound = _bound(broad)
        for key in broad:
            if key.pk.hex not in bound:
                detail = "It has the scopes admin and inference, all models, no team, no limit and no budget."
                yield _found("key_over_permissive", _Severity.WARNING, key, detail)


def _bound(keys: Sequence[ApiKey]) -> set[str]:
    """The ids of those that have a limit or a budget of their own."""
    if not keys:
        return set()
    own = Q(subject_kind="key", subject_id__in=[key.pk.hex for key in keys], is_enabled=True)
    limits, budgets = Limit.objects.filter(own), Budget.objects.filter(own)
    return {*limits.values_list("subject_id", flat=True), *budgets.values_list("subject_id", flat=True)}


def _batches(keys: QuerySet[ApiKey]) -> Iterator[list[ApiKey]]:
    rows = keys.iterator(_BATCH)
    while batch := list(islice(rows, _BATCH)):
        yield batch


def _living() -> QuerySet[ApiKey]:
    columns = ("id", "name", "hint", "scopes", "allowed_models", "expires_at")
    return ApiKey.objects.filter(deleted_at=None).only(*columns).order_by("id")


def _usable(now: datetime) -> QuerySet[ApiKey]:
    return _living().filter(Q(expires_at=None) | Q(expires_at__gt=now), is_blocked=False)


def _found(kind: str, severity: Finding.Severity, key: ApiKey, detail: str) -> Found:
    return Found(kind, severity, detail, _TYPE, key.pk.hex, str(key))
