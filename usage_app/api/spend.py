"""`/spend/logs`, the ledger in pages, and reports of spend over all of it, from rollups."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Annotated, Any, TypedDict

from django.http import HttpRequest
from ninja import Router
from pydantic import Field

from gateway_project.core.errors import InvalidRequest
from security_app.api.auth import admin_key, any_key, principal_of
from security_app.schemas.base import StrictModel
from usage_app.schemas import SPEND_LOGS_PARAMETERS, parse_spend_logs, parse_summary
from usage_app.services import spend_report
from usage_app.services.spend import list_records
from usage_app.services.visibility import visible, visible_records
from usage_app.usage_parameters import choice, day, day_range, described, parse_usage

router = Router(tags=["Spend"])


class SpendLogs(TypedDict):
    """A page of the ledger."""

    data: list[dict[str, Any]]
    next_cursor: str | None
    has_more: bool


@router.get(
    "/spend/logs",
    auth=any_key,
    summary="Requests in the ledger, newest first",
    openapi_extra={"parameters": SPEND_LOGS_PARAMETERS},
)
def spend_logs(request: HttpRequest) -> SpendLogs | list[dict[str, Any]]:
    """Each row's `request_id` is the `x-request-id` of that answer; `spend` and `cost` are US dollars."""
    principal = principal_of(request)
    if (summary := parse_summary(request.GET)) is not None:
        return spend_report.spend_by_day(summary.days, visible(principal, summary.filters))
    query = parse_spend_logs(request.GET)
    page = list_records(visible_records(principal, query.filter), limit=query.limit, after=query.after)
    return {"data": page.rows, "next_cursor": page.next_cursor, "has_more": page.has_more}


_REPORT_FILTERS = {
    "api_key": "key",
    "team_id": "team",
    "organization_id": "organization",
    "internal_user_id": "user",
    "customer_id": "end_user",
    "tag": "tag",
    "model": "model",
    "agent": "agent",
}
_GROUP_TEXT = {"group_by": f"One of: {', '.join(spend_report.REPORTS)}; team by default."}


@router.get(
    "/global/spend/report",
    auth=admin_key,
    operation_id="global_spend_report",
    summary="Spend by team, customer, key and so on",
    openapi_extra={"parameters": described(_REPORT_FILTERS, _GROUP_TEXT)},
)
def global_spend_report(request: HttpRequest) -> list[dict[str, Any]]:
    """By day, but keys in all. Sums of different tags must not be added: a request may have several."""
    given = parse_usage(request.GET, _REPORT_FILTERS, {"group_by": choice(*spend_report.REPORTS)})
    group_by = given.rest.get("group_by", "team")
    if group_by == "api_key":
        return spend_report.report_by_key(given.days, given.filters)
    return spend_report.report_by_day(group_by, given.days, given.filters)


_ACTIVITY_FILTERS = {"model": "model", "api_key": "key", "team_id": "team"}


@router.get(
    "/global/activity",
    auth=admin_key,
    operation_id="global_activity",
    summary="Requests and tokens by day",
    openapi_extra={"parameters": described(_ACTIVITY_FILTERS, {})},
)
def global_activity(request: HttpRequest) -> dict[str, Any]:
    """Of everybody."""
    given = parse_usage(request.GET, _ACTIVITY_FILTERS)
    return spend_report.global_activity(given.days, given.filters)


class BilledDay(StrictModel):
    """What a provider charged for a UTC day."""

    date: str = Field(description="Such as 2026-01-31.")
    cost: Annotated[Decimal, Field(strict=False, ge=0, le=1_000_000_000, max_digits=19, decimal_places=9)] = (
        Field(description="US dollars.")
    )


class Bill(StrictModel):
    """A provider's bill, to be compared with the ledger."""

    provider: str = Field(min_length=1, max_length=63, description="Name of the upstream.")
    start_date: str = Field(description="First UTC day.")
    end_date: str = Field(description="Last UTC day, included.")
    threshold: Annotated[Decimal, Field(strict=False, ge=0, le=1)] = Field(
        default=Decimal("0.9"), description="The share of the bill below which a day is marked."
    )
    bill: list[BilledDay] = Field(max_length=1100, description="The provider's figures by UTC day.")


@router.post(
    "/spend/capture_rate",
    auth=admin_key,
    operation_id="spend_capture_rate",
    summary="Compare the ledger with a provider's bill",
)
def spend_capture_rate(request: HttpRequest, body: Bill) -> dict[str, Any]:
    """By UTC day. The gateway does not ask providers for bills: give the figures of theirs."""
    days = day_range(day("start_date", body.start_date), day("end_date", body.end_date))
    rows: list[tuple[date, Decimal]] = [(day("date", row.date), row.cost) for row in body.bill]
    if any(not days.first <= one <= days.last for one, _ in rows):
        raise InvalidRequest("'bill' has a day outside of start_date to end_date.", param="bill")
    return spend_report.capture_rate(body.provider, days, spend_report.bill_of(rows), body.threshold)
