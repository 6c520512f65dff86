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

from django.db.models import BigIntegerField, Count, F, Q, QuerySet, Sum
from django.db.models.functions import Coalesce

from gateway_project.core.clock import utc_now
from gateway_project.core.money import MoneyField, to_nano
from security_app.services.spend import UseQuestion
from usage_app.models import RollupWindow, UsageRecord
from usage_app.services import rollups
from usage_app.services.ledger import ledger
from usage_app.services.usage_sums import UsageQuery, UsageRow, usage_sums

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# Before all records: what a range of rollups for ever begins with.
_FIRST_DAY = datetime(2020, 1, 1, tzinfo=UTC)
# Sums of longer ranges are refused to everybody.
_LONGEST_RANGE = timedelta(days=1000)
_TICK = timedelta(milliseconds=1)
# End users and tags are rolled up by whole days only.
_ROLLED_UP = ("key", "team", "organization", "user", "member", "agent", "model")
_OF_ROW: dict[str, Callable[[UsageRow], int]] = {
    "cost": lambda row: row.cost_nano,
    "input_tokens": lambda row: row.input_tokens,
    "output_tokens": lambda row: row.output_tokens,
    "tokens": lambda row: row.input_tokens + row.output_tokens,
}
_COLUMNS = {
    "key": "key_id",
    "team": "team_id",
    "organization": "organization_id",
    "user": "user_id",
    "end_user": "end_user",
    "agent": "agent",
    "model": "model",
}
# What the pattern of a rule may mean.
_CALLED = ("model", "agent")
_BY_UUID = ("key", "team", "organization")
_TOKENS = {
    "input_tokens": F("input_tokens"),
    "output_tokens": F("output_tokens"),
    "tokens": F("input_tokens") + F("output_tokens"),
}


def used_since(questions: Sequence[UseQuestion]) -> list[int]:
    """The answers in their order; in nano-dollars for `cost`. Raises if the database is away."""
    ledger.flush_now()
    now = utc_now()
    return [_answer(question, now) for question in questions]


def _answer(question: UseQuestion, now: datetime) -> int:
    if question.kind == "tool":
        # Calls of tools are no records.
        return 0
    start, end = _span(question, now)
    if question.kind not in _ROLLED_UP or question.metric == "requests":
        return _from_records(question, start, end)
    first = _FIRST_DAY if start is None else rollups.floor(start + rollups.WINDOW - _TICK, rollups.WINDOW)
    # From the first window on whose rollup lacks records, and in the present one, records are counted.
    notes = RollupWindow.objects.filter(window_start__gte=first).order_by("window_start")
    noted = notes.values_list("window_start", flat=True).first()
    cut = min(rollups.window_of(min(end, now)), noted or now)
    if cut <= first:
        return _from_records(question, start, end)
    total = _from_rollups(question, first, cut) + _from_records(question, cut, end)
    return total if start is None or start == first else total + _from_records(question, start, first)


def _from_rollups(question: UseQuestion, start: datetime, end: datetime) -> int:
    measure, matches = _OF_ROW[question.metric], model_matcher(question.model)
    filters = {question.kind: (question.subject,)}
    if question.kind == "member":
        team, _, user_id = question.subject.partition(":")
        filters = {"team": (team,), "user": (user_id,)}
    total = 0
    while start < end:
        following = min(start + _LONGEST_RANGE, end)
        query = UsageQuery(start, following, group_by=_CALLED, filters=filters)
        total += sum(measure(row) for row in usage_sums(query) if matches(*row.group))
        start = following
    return total


def _from_records(question: UseQuestion, start: datetime | None, end: datetime) -> int:
    records = _of_subject(question).filter(at__lt=end)
    if start is not None:
        records = records.filter(at__gte=start)
    by_tag = question.kind == "tag"
    columns = (*_CALLED, "tags") if by_tag else _CALLED
    groups: QuerySet[UsageRecord, dict[str, Any]] = records.values(*columns)
    matches = model_matcher(question.model)
    total = 0
    for group in groups.annotate(used=_measure(question)).order_by():
        if not matches(group["model"], group["agent"]) or (by_tag and question.subject not in group["tags"]):
            continue
        total += to_nano(group["used"]) if question.metric == "cost" else group["used"]
    return total


def model_matcher(pattern: str) -> Callable[[str, str], bool]:
    """Whether a call of a model, in a run of an agent or of none (""), is one that the pattern means."""
    if not pattern:
        return lambda _model, _agent: True
    compiled = re.compile(fnmatch.translate(pattern))

    def is_meant(name: str) -> bool:
        return bool(name) and (name == pattern or compiled.match(name) is not None)

    return lambda model, agent: is_meant(model) or is_meant(agent)


def _span(question: UseQuestion, now: datetime) -> tuple[datetime | None, datetime]:
    start_ms, end_ms = question.start_ms, question.end_ms
    # What was made in this very millisecond counts.
    end = now + _TICK if end_ms is None else _moment(end_ms)
    if start_ms is None:
        return None, end
    return (_moment(start_ms) if start_ms >= 0 else now + timedelta(milliseconds=start_ms)), end


def _moment(since_1970_ms: int) -> datetime:
    return _EPOCH + timedelta(milliseconds=since_1970_ms)


def _of_subject(question: UseQuestion) -> QuerySet[UsageRecord]:
    records = UsageRecord.objects.all()
    if question.kind == "tag":
        return records.exclude(tags=[])
    if question.kind == "member":
        team, _, user_id = question.subject.partition(":")
        return records.filter(team_id=UUID(team), user_id=user_id)
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
    reached = Q(attempts__gt=0) | Q(status__lt=400)
    if kind == "agent":
        return reached & Q(kind="agent")
    return reached & Q(kind="llm") if kind == "model" else reached & Q(parent_id=None)
