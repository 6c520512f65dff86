"""What keys have used, as far as this layer may know: the ledger above registers where that is written."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import NamedTuple, Protocol
from uuid import UUID


class KeyUsage(NamedTuple):
    """What a key has used in its life."""

    spend_usd: Decimal
    requests: int
    last_used_at: datetime | None


class UseQuestion(NamedTuple):
    """How much of a metric the calls of a subject used, of models that `model` is a pattern of ("": all).

    From `start_ms` (since 1970; negative: so long before now; None: ever) to before `end_ms` (None: now).
    """

    kind: str
    subject: str
    model: str
    metric: str
    start_ms: int | None
    end_ms: int | None


NOTHING_USED = KeyUsage(Decimal(0), 0, None)


class SpendSource(Protocol):
    """Whoever keeps the ledger."""

    def key_usage(self, key_ids: Collection[UUID]) -> Mapping[UUID, KeyUsage]:
        """The use of these keys in one query; keys that were never used may be missing."""
        ...

    def used_since(self, questions: Sequence[UseQuestion]) -> Sequence[int]:
        """The answers, in nano-dollars for `cost`, with all that this machine has not stored yet."""
        ...


class _NoLedger:
    def key_usage(self, key_ids: Collection[UUID]) -> Mapping[UUID, KeyUsage]:
        return {}

    def used_since(self, questions: Sequence[UseQuestion]) -> Sequence[int]:
        return [0] * len(questions)


_sources: list[SpendSource] = [_NoLedger()]


def register_spend_source(source: SpendSource) -> None:
    """Say where the use of keys is written; the last one registered counts."""
    _sources.append(source)


def key_usage(key_ids: Collection[UUID]) -> Mapping[UUID, KeyUsage]:
    """The use of these keys, by id."""
    return _sources[-1].key_usage(key_ids) if key_ids else {}


def used_since(questions: Sequence[UseQuestion]) -> Sequence[int]:
    """What was used, question by question. Asks the database; raises if it is away."""
    return _sources[-1].used_since(questions) if questions else []
