"""FOCUS 1.2, the FinOps Open Cost and Usage Specification, as CSV: mandatory columns and those that apply.

One row for each day of a key's use of a model at an upstream. What the specification calls null is an empty
cell. Columns of our own begin with `x_`. Prices of units, commitments, capacity and regions are nothing that
the gateway has, so their columns are left out, as the specification says.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from gateway_project.core.errors import InvalidRequest
from gateway_project.core.money import usd_text
from usage_app.services.exports.csv_file import csv_pieces, read_csv
from usage_app.services.exports.periods import day_start
from usage_app.services.exports.query import ReportQuery, utc_text, zone
from usage_app.services.exports.table import Column, Document, Names, SumsRow
from usage_app.services.exports.texts import harmless

FOCUS_VERSION = "1.2"
GROUPS = ("day", "organization", "team", "user", "key", "model", "upstream")
GATEWAY = "Agent Gateway"
SERVICE = "Language model inference"
_MONEY = ("BilledCost", "ContractedCost", "EffectiveCost", "ListCost")
_QUANTITIES = (
    "x_Requests",
    "x_Errors",
    "x_InputTokens",
    "x_OutputTokens",
    "x_CachedInputTokens",
    "x_ReasoningTokens",
    "x_UnpricedRequests",
)
# In the order of the specification, which is that of the alphabet.
_NAMES = (
    "BilledCost",
    "BillingAccountId",
    "BillingAccountName",
    "BillingAccountType",
    "BillingCurrency",
    "BillingPeriodEnd",
    "BillingPeriodStart",
    "ChargeCategory",
    "ChargeClass",
    "ChargeDescription",
    "ChargeFrequency",
    "ChargePeriodEnd",
    "ChargePeriodStart",
    "ConsumedQuantity",
    "ConsumedUnit",
    "ContractedCost",
    "EffectiveCost",
    "InvoiceId",
    "InvoiceIssuerName",
    "ListCost",
    "PricingCategory",
    "PricingQuantity",
    "PricingUnit",
    "ProviderName",
    "PublisherName",
    "ResourceId",
    "ResourceName",
    "ResourceType",
    "ServiceCategory",
    "ServiceName",
    "ServiceSubcategory",
    "SkuId",
    "SubAccountId",
    "SubAccountName",
    "SubAccountType",
    "Tags",
    *_QUANTITIES,
)


def _kind(name: str) -> str:
    if name in _MONEY:
        return "money"
    return "count" if name in _QUANTITIES or name in ("ConsumedQuantity", "PricingQuantity") else "text"


COLUMNS = tuple(Column(name, _kind(name)) for name in _NAMES)


class FocusFormat:
    """The file that FinOps tools import; memory does not grow with the rows."""

    name = "focus"
    title = "FOCUS 1.2 (CSV)"
    extension = "focus.csv"
    content_type = "text/csv; charset=utf-8"
    max_rows: int | None = None
    has_rows = True

    def query(self, query: ReportQuery) -> ReportQuery:
        """The query with the groups that the format needs; InvalidRequest for what it can't say."""
        for name in ("tag", "end_user"):
            if name in query.filters:
                raise InvalidRequest(f"FOCUS has no '{name}' to filter by.", param=f"filters.{name}")
        return ReportQuery(query.start, query.end, query.time_zone, GROUPS, query.filters)

    def columns(self, query: ReportQuery) -> tuple[Column, ...]:
        """The same for every query."""
        return COLUMNS

    def cells(self, row: SumsRow, query: ReportQuery, names: Names) -> list[str]:
        """A row as the file holds it."""
        values = _charge(row, query, names)
        return [
            harmless(values[column.name]) if column.kind == "text" else values[column.name]
            for column in COLUMNS
        ]

    def write(self, document: Document) -> Iterator[bytes]:
        """The file in pieces."""
        yield from csv_pieces([column.name for column in document.columns], document.rows)

    def read(self, path: Path, columns: tuple[Column, ...]) -> Iterator[list[str]]:
        """The rows of a file; UnreadableFile if it is none of ours."""
        yield from read_csv(path, [column.name for column in columns])


def _charge(row: SumsRow, query: ReportQuery, names: Names) -> dict[str, str]:
    day, organization, team, user, key, model, upstream = row.group
    cost = usd_text(row.cost_nano)
    tokens = row.input_tokens + row.output_tokens
    # What used no tokens (a refused request, a price for each request) is counted by requests.
    quantity, unit = (tokens, "Tokens") if tokens else (row.requests, "Requests")
    vendor = upstream or GATEWAY
    return {
        **dict.fromkeys(_MONEY, cost),
        **_periods(day, query),
        "BillingAccountId": organization or "default",
        "BillingAccountName": names.name("organization", organization) if organization else GATEWAY,
        "BillingAccountType": "Organization" if organization else "Installation",
        "BillingCurrency": "USD",
        "ChargeCategory": "Usage",
        "ChargeClass": "",
        "ChargeDescription": f"{model or 'No model'} at {vendor}: {quantity} {unit.lower()}, {cost} USD",
        "ChargeFrequency": "Usage-Based",
        "ConsumedQuantity": str(quantity),
        "ConsumedUnit": unit,
        "InvoiceId": "",
        "InvoiceIssuerName": vendor,
        "PricingCategory": "Standard",
        "PricingQuantity": str(quantity),
        "PricingUnit": unit,
        "ProviderName": vendor,
        "PublisherName": vendor,
        "ResourceId": key,
        "ResourceName": names.name("key", key) if key else "",
        "ResourceType": "API key" if key else "",
        "ServiceCategory": "AI and Machine Learning",
        "ServiceName": SERVICE,
        "ServiceSubcategory": "Generative AI",
        "SkuId": model or "none",
        "SubAccountId": team,
        "SubAccountName": names.name("team", team) if team else "",
        "SubAccountType": "Team" if team else "",
        "Tags": json.dumps({"user": user}, ensure_ascii=False) if user else "",
        "x_Requests": str(row.requests),
        "x_Errors": str(row.errors),
        "x_InputTokens": str(row.input_tokens),
        "x_OutputTokens": str(row.output_tokens),
        "x_CachedInputTokens": str(row.cached_input_tokens),
        "x_ReasoningTokens": str(row.reasoning_tokens),
        "x_UnpricedRequests": str(row.unpriced),
    }


def _periods(text: str, query: ReportQuery) -> dict[str, str]:
    """A charge's day within the report, and its month, in UTC."""
    here = zone(query.time_zone)
    day = date.fromisoformat(text)
    first = day.replace(day=1)
    next_month = (first + timedelta(days=32)).replace(day=1)
    start: datetime = max(day_start(day, here), query.start.astimezone(UTC))
    end: datetime = min(day_start(day + timedelta(days=1), here), query.end.astimezone(UTC))
    return {
        "BillingPeriodStart": utc_text(day_start(first, here)),
        "BillingPeriodEnd": utc_text(day_start(next_month, here)),
        "ChargePeriodStart": utc_text(start),
        "ChargePeriodEnd": utc_text(end),
    }
