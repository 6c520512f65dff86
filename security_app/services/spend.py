"""What keys have used, as far as this layer may know: the ledger above registers where that is written."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime
from decimal import Decimal
from typing import NamedTuple, Protocol
from uuid import UUID


class KeyUsage(NamedTuple):
    """What a key has used in its life."""

    spend_usd: Decimal
    requests: int
    last_used_at: datetime | None


NOTHING_USED = KeyUsage(Decimal(0), 0, None)


class SpendSource(Protocol):
    """Whoever keeps the ledger."""

    def key_usage(self, key_ids: Collection[UUID]) -> Mapping[UUID, KeyUsage]:
        """The use of these keys in one query; keys that were never used may be missing."""
        ...


class _NoLedger:
    def key_usage(self, key_ids: Collection[UUID]) -> Mapping[UUID, KeyUsage]:
        return {}


_sources: list[SpendSource] = [_NoLedger()]


def register_spend_source(source: SpendSource) -> None:
    """Say where the use of keys is written; the last one registered counts."""
    _sources.append(source)


def key_usage(key_ids: Collection[UUID]) -> Mapping[UUID, KeyUsage]:
    """The use of these keys, by id."""
    return _sources[-1].key_usage(key_ids) if key_ids else {}
