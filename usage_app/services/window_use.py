"""What a limit or a budget has used in its window, by what was recorded: its counter begins with that.

What waits in the journals of this machine is stored first; what another one's processes have not stored yet
is missing, for as long as they take to store it: a second.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from django.db.models import BigIntegerField, Count, F, Q, QuerySet, Sum
from django.db.models.functions import Coalesce

from gateway_project.core.clock import utc_now
from gateway_project.core.money import MoneyField, to_nano
from security_app.services.spend import UseQuestion
from usage_app.models import UsageRecord
from usage_app.services.ledger import ledger

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_COLUMNS = {
    "key": "key_id",
    "team": "team_id",
    "organization": "organization_id",
    "user": "user_id",
    "end_user": "end_user",
    "agent": "agent",
    "model": "model",
}
_BY_UUID = ("key", "team", "organization")
_TOKENS = {
    "input_tokens": F("input_tokens"),
    "output_tokens": F("output_tokens"),
    "tokens": F("input_tokens") + F("output_tokens"),
}


def used_since(questions: Sequence[UseQuestion]) -> list[int]:
    """The answers in their order; in nano-dollars for `cost`. Raises if the database is away."""
    ledger.flush_now()
    return [_answer(question) for question in questions]


def _answer(question: UseQuestion) -> int:
    if question.kind == "tool":
        # Calls of tools are no records.
        return 0
    records = _within(question, _of_subject(question))
    by_tag = question.kind == "tag"
    groups = records.values("model", "tags") if by_tag else records.values("model")
    counted = groups.annotate(used=_measure(question)).order_by()
    matches = re.compile(fnmatch.translate(question.model)).match if question.model else None
    total = 0
    for group in counted:
        if matches is not None and group["model"] != question.model and not matches(group["model"]):
            continue
        if by_tag and question.subject not in group["tags"]:
            continue
        total += to_nano(group["used"]) if question.metric == "cost" else group["used"]
    return total


def _within(question: UseQuestion, records: QuerySet[UsageRecord]) -> QuerySet[UsageRecord]:
    start_ms, end_ms = question.start_ms, question.end_ms
    if start_ms is not None:
        start = _moment(start_ms) if start_ms >= 0 else utc_now() + timedelta(milliseconds=start_ms)
        records = records.filter(at__gte=start)
    return records if end_ms is None else records.filter(at__lt=_moment(end_ms))


def _moment(since_1970_ms: int) -> datetime:
    return _EPOCH + timedelta(milliseconds=since_1970_ms)


def _of_subject(question: UseQuestion) -> QuerySet[UsageRecord]:
    records = UsageRecord.objects.all()
    if question.kind == "tag":
        return records.exclude(tags=[])
    subject: Any = UUID(question.subject) if question.kind in _BY_UUID else question.subject
    return records.filter(**{_COLUMNS[question.kind]: subject})


def _measure(question: UseQuestion) -> Any:
    if question.metric == "cost":
        return Coalesce(Sum("cost"), 0, output_field=MoneyField())
    if question.metric == "requests":
        return Count("pk", filter=_is_request(question.kind))
    return Coalesce(Sum(_TOKENS[question.metric]), 0, output_field=BigIntegerField())


def _is_request(kind: str) -> Q:
    """What reached no upstream was given back; of an agent its runs count, of a model all of its calls."""
    reached = Q(attempts__gt=0)
    if kind == "agent":
        return reached & Q(kind="agent")
    return reached & Q(kind="llm") if kind == "model" else reached & Q(parent_id=None)
