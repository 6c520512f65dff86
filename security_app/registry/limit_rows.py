"""Rows of limits and budgets as rules: read with raw cursors, for each of 100 000 keys may have some."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from django.db import connection

from gateway_project.core.expressions import Expression, ExpressionError
from security_app.models.conditions import compile_limit_condition
from security_app.models.limits import TEAM_MADE
from security_app.registry.counters import BudgetRule, LimitRule, Rule

logger = logging.getLogger(__name__)
_LIMIT_COLUMNS = (
    "id, subject_kind, subject_id, model, metric, window_seconds, value, when_unavailable, managed_by, "
    "condition"
)
_BUDGET_COLUMNS = (
    "id, subject_kind, subject_id, model, budget_id, amount, {window}, rolling_days, time_zone, soft_amount, "
    "temporary_increase, temporary_until, when_unavailable, allows_unpriced, stops_streams, managed_by"
)


def stored_rules(since: int | None) -> Iterator[tuple[str, Rule | None]]:
    """All rules in force by their rows' ids; or what changed since a version, None for what is off now."""
    condition = "is_enabled" if since is None else "changed_version > %s"
    with connection.cursor() as cursor:
        quoted = connection.ops.quote_name
        for table, columns, rule_of in (
            ("security_app_limit", _LIMIT_COLUMNS, _limit),
            ("security_app_budget", _BUDGET_COLUMNS.format(window=quoted("window")), _budget),
        ):
            cursor.execute(
                f"SELECT is_enabled, {columns} FROM {table} WHERE {condition}",  # noqa: S608  (constants only)
                None if since is None else [since],
            )
            while rows := cursor.fetchmany(5000):
                for is_enabled, row_id, *row in rows:
                    rule_id = row_id.hex if isinstance(row_id, UUID) else str(row_id)
                    yield rule_id, rule_of(rule_id, *row) if is_enabled else None


def _limit(
    rule_id: str,
    kind: str,
    subject: str,
    model: str,
    metric: str,
    seconds: int,
    value: int,
    unavailable: str,
    managed_by: str,
    condition: str,
) -> LimitRule:
    intern = sys.intern
    return LimitRule(
        rule_id,
        intern(kind),
        subject,
        model,
        intern(metric),
        seconds * 1000,
        value,
        unavailable == "open",
        not managed_by.startswith(TEAM_MADE) and not condition,
        _compiled(condition, rule_id) if condition else None,
    )


def _compiled(condition: str, rule_id: str) -> Expression | None:
    """None for one that can't be used, though it could be saved: then every call counts."""
    try:
        return compile_limit_condition(condition)
    except ExpressionError as error:
        logger.error("limit.condition_unusable", extra={"limit_id": f"limit_{rule_id}", "reason": str(error)})
        return None


def _budget(rule_id: str, *row: Any) -> BudgetRule:
    (
        kind,
        subject,
        model,
        name,
        amount,
        window,
        days,
        zone,
        soft,
        increase,
        until,
        without,
        unpriced,
        stops_streams,
        managed_by,
    ) = row
    return BudgetRule(
        id=rule_id,
        kind=kind,
        subject=subject,
        model=model,
        name=name,
        amount=amount,
        window=window,
        days=days or 0,
        zone=zone,
        soft=soft or 0,
        increase=increase or 0,
        until_ms=_milliseconds(until),
        is_fail_open=without == "open",
        allows_unpriced=bool(unpriced),
        stops_streams=bool(stops_streams),
        stands_in=not managed_by.startswith(TEAM_MADE),
    )


def _milliseconds(value: datetime | str | None) -> int:
    if not value:
        return 0
    moment = datetime.fromisoformat(value) if isinstance(value, str) else value
    return round((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)
