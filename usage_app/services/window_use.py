"""What a limit or a budget has used in its window, by what was recorded: its counter begins with that.

Rollups say it of quarter-hours whose records are all summed up, records of the others. What waits in the
journals of this machine is stored first; what another one's processes have not stored yet is missing, for as
long as they take to store it: a second.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from django.db.models import BigIntegerField, Count, F, Min, Q, QuerySet, Sum
from django.db.models.functions import Coalesce

from gateway_project.core.clock import utc_now
from gateway_project.core.money import MoneyField, to_nano
from security_app.services.spend import UseQuestion
from usage_app.models import RollupWindow, UsageRecord
from usage_app.services.ledger import ledger
from usage_app.services.rollups import WINDOW, floor, window_of
from usage_app.services.usage_sums import UsageQuery, UsageRow, usage_sums

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
_IN_ROLLUPS = ("key", "team", "organization", "user", "agent", "model")
_SUMMED_UP = ("cost", "tokens", "input_tokens", "output_tokens")
# As far back as one question to the rollups may reach.
_OLDEST = timedelta(days=1000)
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
    if question.metric in _SUMMED_UP and question.kind in _IN_ROLLUPS:
        return _answer_with_rollups(question)
    return _answer_from_records(question)


def _answer_with_rollups(question: UseQuestion) -> int:
    """From rollups as far as they are complete, from records before and after: a month may have millions."""
    now = utc_now()
    start, end = _bounds(question)
    first = floor((start or now - _OLDEST) + WINDOW - timedelta.resolution, WINDOW)
    # Records that are stored while this runs leave a note before they are in any rollup, or are newer.
    due = RollupWindow.objects.filter(window_start__gte=first).aggregate(first=Min("window_start"))["first"]
    last = window_of(min(one for one in (now, end, due) if one is not None))
    if first >= last:
        return _answer_from_records(question)
    filters = {question.kind: (question.subject,)}
    sums = usage_sums(UsageQuery(first, last, group_by=("model",), filters=filters))
    matches = _matcher(question.model)
    total = sum(_of_row(row, question.metric) for row in sums if matches(row.group[0]))
    records = _of_subject(question)
    before, after = records.filter(at__lt=first), records.filter(at__gte=last)
    total += _counted(question, before if start is None else before.filter(at__gte=start))
    return total + _counted(question, after if end is None else after.filter(at__lt=end))


def _of_row(row: UsageRow, metric: str) -> int:
    if metric == "tokens":
        return row.input_tokens + row.output_tokens
    return row.cost_nano if metric == "cost" else int(getattr(row, metric))


def _answer_from_records(question: UseQuestion) -> int:
    start, end = _bounds(question)
    records = _of_subject(question)
    if start is not None:
        records = records.filter(at__gte=start)
    return _counted(question, records if end is None else records.filter(at__lt=end))


def _counted(question: UseQuestion, records: QuerySet[UsageRecord]) -> int:
    by_tag = question.kind == "tag"
    groups = records.values("model", "tags") if by_tag else records.values("model")
    counted = groups.annotate(used=_measure(question)).order_by()
    matches = _matcher(question.model)
    total = 0
    for group in counted:
        if not matches(group["model"]):
            continue
        if by_tag and question.subject not in group["tags"]:
            continue
        total += to_nano(group["used"]) if question.metric == "cost" else group["used"]
    return total


def _matcher(pattern: str) -> Callable[[str], bool]:
    if not pattern:
        return lambda model: True
    match = re.compile(fnmatch.translate(pattern)).match
    return lambda model: model == pattern or match(model) is not None


def _bounds(question: UseQuestion) -> tuple[datetime | None, datetime | None]:
    start_ms, end_ms = question.start_ms, question.end_ms
    start = None
    if start_ms is not None:
        start = _moment(start_ms) if start_ms >= 0 else utc_now() + timedelta(milliseconds=start_ms)
    return start, None if end_ms is None else _moment(end_ms)


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
