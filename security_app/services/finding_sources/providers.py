"""Identity providers whose keys could not be fetched for so long that somebody should look."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

from security_app.models import Finding, IdentityKeySet, IdentityProvider
from security_app.services.findings import Found

_LONG = timedelta(hours=1)


def unreached(now: datetime) -> Iterator[Found]:
    """Enabled providers whose last keys are old, with the moment from which their tokens are refused."""
    key_sets = IdentityKeySet.objects.exclude(failure="").select_related("provider").order_by("pk")
    for key_set in key_sets.filter(provider__is_enabled=True, provider__jwks_text=""):
        provider, fetched_at = key_set.provider, key_set.fetched_at
        if fetched_at is None:
            told = "Its keys were never fetched"
        elif fetched_at > now - _LONG:
            continue
        else:
            ends = fetched_at + timedelta(hours=provider.stale_hours)
            told = f"Its keys serve until {ends:%Y-%m-%d %H:%M} UTC"
        yield Found(
            "identity_provider_unreached",
            Finding.Severity.WARNING,
            f"{told}; the last try failed: {key_set.failure}",
            IdentityProvider._meta.label_lower,
            provider.pk.hex,
            provider.name,
        )
