"""Spend by team, key, customer and so on in the shapes of LiteLLM's reports; and beside a provider's bill."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date
from decimal import Decimal
from typing import Any

from gateway_project.core.money import from_nano, to_nano
from usage_app.services.activity import shown
from usage_app.services.exports.names import RowNames
from usage_app.services.periods import DayRange
from usage_app.services.usage_sums import UsageQuery, usage_sums, usage_values

Filters = Mapping[str, tuple[str, ...]]
# What a report may be grouped by: our dimension, the list's name, and the name's.
REPORTS = {
    "team": ("team", "teams", "team_name"),
    "customer": ("end_user", "customers", "customer"),
    "organization": ("organization", "organizations", "organization_name"),
    "user": ("user", "users", "user_id"),
    "tag": ("tag", "tags", "tag"),
    "model": ("model", "models", "model"),
    "agent": ("agent", "agents", "agent"),
    "api_key": ("key", "", ""),
}
_NAMED = ("team", "organization")
_SPENT = ("requests", "input_tokens", "output_tokens", "cost_nano")


def report_by_day(group_by: str, days: DayRange, filters: Filters) -> list[dict[str, Any]]:
    """For each day that has usage who spent how much, and with which models and keys."""
    dimension, title, name_field = REPORTS[group_by]
    names = RowNames()
    parts = tuple(dict.fromkeys((dimension, "model", "key")))
    model_at, key_at, sums_at = 1 + parts.index("model"), 1 + parts.index("key"), 1 + len(parts)
    # There may be tens of thousands of rows: as little as can be is done for each.
    found: dict[str, dict[str, list[tuple[str, str, int, int]]]] = {}
    by = ("day", *parts)
    query = UsageQuery(days.start, days.end, days.zone_name, by, filters, sums=_SPENT, is_sorted=False)
    for values in usage_values(query):
        _, input_tokens, output_tokens, cost_nano = values[sums_at:]
        row = (values[model_at], values[key_at], cost_nano, input_tokens + output_tokens)
        found.setdefault(values[0], {}).setdefault(values[1], []).append(row)
    report = []
    for day, spenders in sorted(found.items()):
        entries = [
            _entry(dimension, name_field, who, names)
            | {"total_spend": from_nano(sum([row[2] for row in rows])), "metadata": _spent_on(rows)}
            for who, rows in sorted(spenders.items())
        ]
        report.append({"group_by_day": day, title: entries})
    return report


def _spent_on(rows: list[tuple[str, str, int, int]]) -> list[dict[str, Any]]:
    rows.sort()
    return [
        {
            "model": model,
            "api_key": shown("key", key),
            "spend": from_nano(cost_nano),
            "total_tokens": tokens,
        }
        for model, key, cost_nano, tokens in rows
    ]


def report_by_key(days: DayRange, filters: Filters) -> list[dict[str, Any]]:
    """For each key what it cost in all, and with which models."""
    found: dict[str, dict[str, Any]] = {}
    names = RowNames()
    query = UsageQuery(days.start, days.end, days.zone_name, ("key", "model"), filters, sums=_SPENT)
    for row in usage_sums(query):
        key, model = row.group
        entry = found.setdefault(
            key,
            {
                "api_key": shown("key", key),
                "key_alias": names.name("key", key),
                "total_cost": Decimal(0),
                "total_input_tokens": 0,
                "total_output_tokens": 0,
                "model_details": [],
            },
        )
        sums = {
            "total_cost": from_nano(row.cost_nano),
            "total_input_tokens": row.input_tokens,
            "total_output_tokens": row.output_tokens,
        }
        for name, value in sums.items():
            entry[name] += value
        entry["model_details"].append({"model": model, **sums})
    return list(found.values())


def global_activity(days: DayRange, filters: Filters) -> dict[str, Any]:
    """Requests and tokens by day."""
    daily = [
        {
            "date": row.group[0],
            "api_requests": row.requests,
            "total_tokens": row.input_tokens + row.output_tokens,
        }
        for row in usage_sums(
            UsageQuery(days.start, days.end, days.zone_name, ("day",), filters, sums=_SPENT)
        )
    ]
    return {
        "daily_data": daily,
        "sum_api_requests": sum(one["api_requests"] for one in daily),
        "sum_total_tokens": sum(one["total_tokens"] for one in daily),
    }


def spend_by_day(days: DayRange, filters: Filters) -> list[dict[str, Any]]:
    """LiteLLM's summary of its log: for each day the spend, by user and by model."""
    found: dict[str, dict[str, Any]] = {}
    group_by = ("day", "user", "model")
    query = UsageQuery(days.start, days.end, days.zone_name, group_by, filters, sums=_SPENT)
    for row in usage_sums(query):
        day, user, model = row.group
        entry = found.setdefault(day, {"startTime": day, "spend": Decimal(0), "users": {}, "models": {}})
        spend = from_nano(row.cost_nano)
        entry["spend"] += spend
        for place, name in (("users", user), ("models", model)):
            entry[place][name] = entry[place].get(name, Decimal(0)) + spend
    return list(found.values())


def capture_rate(
    upstream: str, days: DayRange, bill: Mapping[date, Decimal], threshold: Decimal
) -> dict[str, Any]:
    """How much of a provider's bill the ledger has, by UTC day; a day that the bill lacks costs nothing."""
    query = UsageQuery(days.start, days.end, "UTC", ("day",), {"upstream": (upstream,)})
    captured = {row.group[0]: row.cost_nano for row in usage_sums(query)}
    billed = {day.isoformat(): to_nano(amount) for day, amount in bill.items()}
    rows = [
        {"date": name, **_captured(captured.get(name, 0), billed.get(name, 0), threshold)}
        for name in (day.isoformat() for day in days.days())
    ]
    total = _captured(sum(captured.values()), sum(billed.values()), threshold)
    return {"provider": upstream, "threshold": threshold, **total, "days": rows}


def _captured(ours: int, theirs: int, threshold: Decimal) -> dict[str, Any]:
    """`capture_rate` is null where nothing was billed; it may be above one."""
    rate = (Decimal(ours) / Decimal(theirs)).quantize(Decimal("0.000001")) if theirs else None
    return {
        "captured_spend": from_nano(ours),
        "provider_spend": from_nano(theirs),
        "difference": from_nano(theirs) - from_nano(ours),
        "capture_rate": rate,
        "is_below_threshold": rate is not None and rate < threshold,
    }


def _entry(dimension: str, name_field: str, who: str, names: RowNames) -> dict[str, Any]:
    if dimension in _NAMED:
        return {f"{dimension}_id": shown(dimension, who), name_field: names.name(dimension, who)}
    return {name_field: who}


def bill_of(rows: Iterable[tuple[date, Decimal]]) -> dict[date, Decimal]:
    """A bill by day; several rows of a day are added up."""
    found: dict[date, Decimal] = {}
    for day, amount in rows:
        found[day] = found.get(day, Decimal(0)) + amount
    return found
