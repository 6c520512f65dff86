"""`GET /spend/logs`: the ledger, newest first, in pages."""

from __future__ import annotations

from typing import Any, TypedDict

from django.http import HttpRequest
from ninja import Router

from usage_app.schemas import SPEND_LOGS_PARAMETERS, parse_spend_logs
from usage_app.services.spend import list_records

router = Router(tags=["Spend"])


class SpendLogs(TypedDict):
    """A page of the ledger."""

    data: list[dict[str, Any]]
    next_cursor: str | None
    has_more: bool


@router.get(
    "/spend/logs",
    summary="Requests in the ledger, newest first",
    openapi_extra={"parameters": SPEND_LOGS_PARAMETERS},
)
def spend_logs(request: HttpRequest) -> SpendLogs:
    """Each row's `request_id` is the `x-request-id` of that answer; `spend` and `cost` are US dollars."""
    query = parse_spend_logs(request.GET)
    page = list_records(query.filter, limit=query.limit, after=query.after)
    return {"data": page.rows, "next_cursor": page.next_cursor, "has_more": page.has_more}
