"""The public keys of identity providers: fetched in the background, shared by all processes by the database.

One process fetches for all. Keys that are the same as before change no configuration; others make the
section "doors" anew everywhere. A provider that can't be reached keeps its last keys for the hours that its
row says.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import DatabaseError, transaction

from gateway_project.core.clock import utc_now
from gateway_project.core.codec import loads
from gateway_project.core.errors import InvalidRequest
from security_app.models import ConfigVersion, IdentityKeySet, IdentityProvider
from security_app.registry import DOORS
from security_app.services import key_freshness
from security_app.services.configuration import refresh_after_commit
from security_app.services.jwks import (
    check_keys_url,
    discovered_jwks_url,
    fetch_jwks,
    usable_keys,
)

logger = logging.getLogger(__name__)
REFRESH_S = 300.0
RETRY_S = 60.0
_NEVER = datetime(1970, 1, 1, tzinfo=UTC)
# What a fetch depends on: with another value, what was fetched is of another provider.
DECISIVE = ("issuer", "jwks_url", "jwks_text", "algorithms")


def fetched_keys(row: IdentityProvider) -> tuple[dict[str, Any], str]:
    """A provider's keys as they are now, and where they are; InvalidRequest if there are none."""
    if row.jwks_text:
        return _pasted(row), ""
    url = row.jwks_url
    if not url:
        url = discovered_jwks_url(row.issuer)
        check_keys_url(url, param="issuer")
    param = "jwks_url" if row.jwks_url else "issuer"
    return fetch_jwks(url, algorithms=row.algorithms, param=param), url


def _pasted(row: IdentityProvider) -> dict[str, Any]:
    try:
        found = loads(row.jwks_text)
    except ValueError as error:
        raise InvalidRequest("This is not JSON.", param="jwks") from error
    return usable_keys(found, algorithms=row.algorithms, param="jwks")


def store_keys(row: IdentityProvider, jwks: Mapping[str, Any], source: str) -> bool:
    """Keep what was fetched for a provider; whether it differs from what was there."""
    now = utc_now()
    known = IdentityKeySet.objects.filter(pk=row.pk).first()
    is_new = known is None or known.jwks != jwks or known.source != source
    if is_new and not _replace_keys(row, jwks, source):
        return False
    IdentityKeySet.objects.filter(pk=row.pk).update(fetched_at=now, tried_at=now, failure="")
    key_freshness.note_fetched(row.pk, now.timestamp())
    return is_new


def _replace_keys(row: IdentityProvider, jwks: Mapping[str, Any], source: str) -> bool:
    """Change the configuration; False if the row says meanwhile that its keys are elsewhere."""
    now = utc_now()
    with transaction.atomic():
        ConfigVersion.bump(DOORS)
        if not _is_as_it_was(row):
            return False
        IdentityKeySet.objects.update_or_create(
            provider_id=row.pk,
            defaults={"jwks": jwks, "source": source, "fetched_at": now, "tried_at": now},
        )
        refresh_after_commit()
    return True


def _is_as_it_was(row: IdentityProvider) -> bool:
    now = IdentityProvider.objects.filter(pk=row.pk).values_list(*DECISIVE).first()
    return now == tuple(getattr(row, name) for name in DECISIVE)


def refresh_keys(provider_id: UUID, *, not_sooner_s: float) -> bool:
    """Fetch a provider's keys, unless some process did so a moment ago; whether they are others now."""
    row = IdentityProvider.objects.filter(pk=provider_id, is_enabled=True, jwks_text="").first()
    if row is None or not _is_ours_to_fetch(row, not_sooner_s):
        return False
    try:
        jwks, source = fetched_keys(row)
    except InvalidRequest as error:
        IdentityKeySet.objects.filter(pk=row.pk).update(failure=error.message[:300])
        logger.warning("identity.keys_not_fetched", extra={"provider": row.name, "reason": error.message})
        return False
    is_new = store_keys(row, jwks, source)
    if is_new:
        logger.info("identity.keys_changed", extra={"provider": row.name, "keys": len(jwks["keys"])})
    return is_new


def _is_ours_to_fetch(row: IdentityProvider, not_sooner_s: float) -> bool:
    """Of all processes that ask at once, one is told to."""
    now = utc_now()
    IdentityKeySet.objects.get_or_create(provider_id=row.pk, defaults={"tried_at": _NEVER})
    due = IdentityKeySet.objects.filter(pk=row.pk, tried_at__lte=now - timedelta(seconds=not_sooner_s))
    return due.update(tried_at=now) == 1


def refresh_due_keys(provider_ids: set[UUID]) -> int:
    """Fetch the keys that are due, and learn when those of others were fetched; how many changed."""
    key_freshness.keep_only(provider_ids)
    now = utc_now()
    changed = 0
    known = {one.pk: one for one in IdentityKeySet.objects.filter(pk__in=provider_ids).defer("jwks")}
    for provider_id in provider_ids:
        key_set = known.get(provider_id)
        if key_set is not None and key_set.fetched_at is not None:
            key_freshness.note_fetched(provider_id, key_set.fetched_at.timestamp())
        wait_s = RETRY_S if key_set is not None and key_set.failure else REFRESH_S
        if key_set is None or key_set.tried_at <= now - timedelta(seconds=wait_s):
            changed += _refreshed(provider_id, wait_s)
    return changed


def _refreshed(provider_id: UUID, wait_s: float) -> bool:
    try:
        return refresh_keys(provider_id, not_sooner_s=wait_s)
    except DatabaseError:
        raise
    except Exception:
        # Whatever is wrong with one provider, the others have their keys.
        logger.exception("identity.keys_not_fetched", extra={"provider": str(provider_id)})
        return False
