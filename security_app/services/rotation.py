"""New secrets for keys, by hand or by schedule. The key stays the same: its id, its limits, its use.

The secret before may stay good for a grace period, so that clients can be changed one by one. A rotation by
schedule has nobody to show the new secret to: it waits, encrypted, until an administrator fetches it, once.
"""

from __future__ import annotations

import logging
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import IntegrityError, transaction

from gateway_project.core.clock import utc_now
from gateway_project.core.crypto import new_api_key
from gateway_project.core.errors import Conflict, InvalidRequest, NotFound
from security_app.models import ApiKey, ConfigVersion
from security_app.models.secret import seal, unseal
from security_app.services.configuration import refresh_after_commit
from security_app.services.keys import (
    CreatedKey,
    check_form,
    count_change_of_pins,
    record_reveal,
    require_unique_name,
    require_unused,
    set_secret,
    validated,
)

logger = logging.getLogger(__name__)
MAX_GRACE = timedelta(days=90)
MIN_INTERVAL = timedelta(days=1)
_SEALED_LABEL = "apikey.new_secret"
_MAX_PER_RUN = 100
_SECRET_FIELDS = ("digest", "pepper_id", "hint", "previous_digest", "previous_until", "rotated_at")
_ROTATION_FIELDS = (*_SECRET_FIELDS, "new_secret_sealed", "next_rotation_at")


def regenerate_key(
    row: ApiKey, *, actor: str, grace: timedelta = timedelta(0), plain: str | None = None, **values: Any
) -> CreatedKey:
    """Give a key a new secret, and other `values` with it. The old one ends after the grace, by default now.

    Of several rotations within a grace only the last secret before the new one stays good.
    """
    if grace > MAX_GRACE:
        raise InvalidRequest("The grace period has at most 90 days.", param="grace_period")
    if plain is not None:
        check_form(plain, param="new_key")
    secret = plain or new_api_key()
    try:
        with transaction.atomic():
            row = _locked(row)
            if plain is not None:
                require_unused(plain, param="new_key")
            for name, value in values.items():
                setattr(row, name, value)
            _replace_secret(row, secret, grace=grace)
            row.new_secret_sealed = ""
            validated(row)
            require_unique_name(row)
            row.save(update_fields={*_ROTATION_FIELDS, *values})
            record_reveal(row)
            if "agent_versions" in values:
                count_change_of_pins()
            refresh_after_commit()
    except IntegrityError as error:
        raise Conflict("This key exists already.", param="new_key") from error
    logger.info("key.rotated", extra={"key_id": row.public_id, "actor": actor})
    return CreatedKey(row, secret)


def rotate_due_keys() -> int:
    """Rotate the keys whose time has come; how many. Each in a transaction that finds it due still."""
    due = ApiKey.objects.filter(deleted_at=None, is_blocked=False, next_rotation_at__lte=utc_now())
    ids = list(due.order_by("next_rotation_at").values_list("pk", flat=True)[:_MAX_PER_RUN])
    return sum(map(_rotate_if_due, ids))


def reveal_new_secret(row: ApiKey, *, actor: str) -> CreatedKey:
    """The secret that a scheduled rotation made; NotFound if there is none or somebody has fetched it."""
    with transaction.atomic():
        row = _locked(row)
        secret = unseal(row.new_secret_sealed, label=_SEALED_LABEL, row_id=row.pk)
        if not secret:
            raise NotFound("No new secret of this key is waiting to be shown.", param="key")
        row.new_secret_sealed = ""
        row.save(update_fields={"new_secret_sealed"})
        record_reveal(row)
    logger.info("key.revealed", extra={"key_id": row.public_id, "actor": actor})
    return CreatedKey(row, secret)


def schedule(interval: timedelta | None, *, is_on: bool) -> dict[str, Any]:
    """The fields of a key that is to get a new secret each `interval`, or none any more."""
    if interval is None:
        if is_on:
            raise InvalidRequest("Automatic rotation needs an interval.", param="rotation_interval")
        return {"rotation_interval_s": None, "next_rotation_at": None}
    if interval < MIN_INTERVAL:
        raise InvalidRequest("The interval has at least one day.", param="rotation_interval")
    following = utc_now() + interval if is_on else None
    return {"rotation_interval_s": int(interval.total_seconds()), "next_rotation_at": following}


def scheduled_grace(interval: timedelta) -> timedelta:
    """How long the secret before a scheduled rotation stays good: never past half of the interval."""
    grace: timedelta = settings.KEY_ROTATION_GRACE
    return min(grace, interval / 2)


def _locked(row: ApiKey) -> ApiKey:
    """The key as it is now; no other writer of keys comes between until the transaction ends."""
    ConfigVersion.bump(ApiKey.config_section)
    found = ApiKey.objects.filter(pk=row.pk, deleted_at=None).first()
    if found is None:
        raise NotFound("There is no such key.", param="key")
    return found


def _replace_secret(row: ApiKey, secret: str, *, grace: timedelta) -> None:
    now: datetime = utc_now()
    row.previous_digest = bytes(row.digest) if grace else None
    row.previous_until = now + grace if grace else None
    row.rotated_at = now
    if row.next_rotation_at is not None and row.rotation_interval_s is not None:
        row.next_rotation_at = now + timedelta(seconds=row.rotation_interval_s)
    set_secret(row, secret)


def _rotate_if_due(key_id: Any) -> bool:
    with transaction.atomic():
        ConfigVersion.bump(ApiKey.config_section)
        row: ApiKey | None = ApiKey.objects.filter(
            pk=key_id, deleted_at=None, is_blocked=False, next_rotation_at__lte=utc_now()
        ).first()
        if row is None or row.rotation_interval_s is None:
            return False
        secret = new_api_key()
        _replace_secret(row, secret, grace=scheduled_grace(timedelta(seconds=row.rotation_interval_s)))
        row.new_secret_sealed = seal(secret, label=_SEALED_LABEL, row_id=row.pk)
        row.save(update_fields=set(_ROTATION_FIELDS))
        refresh_after_commit()
    logger.info("key.rotated", extra={"key_id": row.public_id, "actor": "schedule"})
    return True
