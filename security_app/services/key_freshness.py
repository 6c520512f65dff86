"""When the public keys of identity providers were fetched last, as far as this process knows.

A fetch that finds the same keys changes no configuration; all that it tells is that they are still good.
"""

from __future__ import annotations

import time
from uuid import UUID

from security_app.registry import Provider

_fetched_at: dict[UUID, float] = {}


def note_fetched(provider_id: UUID, moment: float) -> None:
    """Its keys were fetched at this moment, in seconds since 1970."""
    _fetched_at[provider_id] = max(moment, _fetched_at.get(provider_id, 0.0))


def keep_only(provider_ids: set[UUID]) -> None:
    """Forget providers that are gone."""
    for provider_id in _fetched_at.keys() - provider_ids:
        _fetched_at.pop(provider_id, None)


def good_until(provider: Provider) -> float:
    """Until when its keys serve, in seconds since 1970."""
    if not provider.is_fetched:
        return float("inf")
    return max(provider.keys_fetched_at, _fetched_at.get(provider.id, 0.0)) + provider.stale_s


def are_stale(provider: Provider) -> bool:
    """Whether its keys serve no longer: it could not be reached for too long."""
    return good_until(provider) <= time.time()
