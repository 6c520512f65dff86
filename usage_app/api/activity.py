"""`/{team,user,key,…}/daily/activity` and its export: what was used, day by day."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from functools import partial
from typing import Any

from django.http import HttpRequest, StreamingHttpResponse
from ninja import Router

from gateway_project.core.db import in_thread
from security_app.api.auth import any_key, principal_of
from usage_app.parameters import Parser, integer
from usage_app.services import activity
from usage_app.services.exports.names import RowNames
from usage_app.services.visibility import visible
from usage_app.usage_parameters import choice, described, parse_usage

router = Router(tags=["Spend"])

# By the word in the path: the dimension, and LiteLLM's name of its filter.
ENTITIES = {
    "user": ("user", "user_id"),
    "team": ("team", "team_ids"),
    "organization": ("organization", "organization_ids"),
    "customer": ("end_user", "end_user_ids"),
    "end_user": ("end_user", "end_user_ids"),
    "tag": ("tag", "tags"),
    "agent": ("agent", "agent_ids"),
    "model": ("model", "models"),
    "key": ("key", "api_keys"),
}
_FILTERS = {"model": "model", "api_key": "key", "team_id": "team"}
_PAGE_SIZE = 31
_PAGES: dict[str, Parser] = {"page": integer(1, 10_000), "page_size": integer(1, 366)}
_EXPORTS: dict[str, Parser] = {"export_type": choice(*activity.EXPORTS), "format": choice("csv", "json")}
_PAGE_TEXTS = {
    "page": "Page of days, the newest first.",
    "page_size": f"Days a page; {_PAGE_SIZE} by default.",
}
_EXPORT_TEXTS = {
    "export_type": f"One of: {', '.join(activity.EXPORTS)}.",
    "format": "csv or json; csv by default.",
}


def _filters(entity: str) -> dict[str, str]:
    """Parameters and the dimensions that they narrow."""
    dimension, name = ENTITIES[entity]
    return {**_FILTERS, name: dimension}


def _asked(
    request: HttpRequest, entity: str, others: dict[str, Parser]
) -> tuple[activity.Asked, dict[str, Any]]:
    given = parse_usage(request.GET, _filters(entity), others)
    filters = visible(principal_of(request), given.filters)
    return activity.Asked(given.days, ENTITIES[entity][0], filters), dict(given.rest)


def _daily(entity: str) -> Callable[[HttpRequest], dict[str, Any]]:
    def daily_activity(request: HttpRequest) -> dict[str, Any]:
        """Totals are those of all days, whatever page is asked for; money in US dollars."""
        asked, rest = _asked(request, entity, _PAGES)
        return activity.activity(asked, page=rest.get("page", 1), page_size=rest.get("page_size", _PAGE_SIZE))

    return daily_activity


def _export(entity: str) -> Callable[[HttpRequest], StreamingHttpResponse]:
    def export_activity(request: HttpRequest) -> StreamingHttpResponse:
        """One row a day and value; day after day as it is read, however long the range."""
        asked, rest = _asked(request, entity, _EXPORTS)
        export_type, form = rest.get("export_type", "daily"), rest.get("format", "csv")
        activity.check(asked, export_type)
        content_type = "text/csv; charset=utf-8" if form == "csv" else "application/json"
        name = f"{entity}-activity-{asked.days.first}-{asked.days.last}.{form}"
        pieces = _csv(asked, export_type) if form == "csv" else _json(asked, export_type)
        headers = {"content-disposition": f'attachment; filename="{name}"'}
        return StreamingHttpResponse(pieces, content_type=content_type, headers=headers)

    return export_activity


async def _csv(asked: activity.Asked, export_type: str) -> AsyncIterator[str]:
    yield activity.csv_text([activity.export_columns(asked.dimension, export_type)])
    names = RowNames()
    for day in asked.days.days():
        yield activity.csv_text(await in_thread(partial(activity.export_day, asked, export_type, day, names)))


async def _json(asked: activity.Asked, export_type: str) -> AsyncIterator[str]:
    columns = activity.export_columns(asked.dimension, export_type)
    names = RowNames()
    comma = "[\n"
    for day in asked.days.days():
        rows = await in_thread(partial(activity.export_day, asked, export_type, day, names))
        if rows:
            yield comma + ",\n".join(activity.json_texts(columns, rows))
            comma = ",\n"
    yield "\n]\n" if comma == ",\n" else "[]\n"


for _entity in ENTITIES:
    router.get(
        f"/{_entity}/daily/activity",
        auth=any_key,
        operation_id=f"{_entity}_daily_activity",
        summary=f"Usage by day and {_entity.replace('_', ' ')}",
        openapi_extra={"parameters": described(_filters(_entity), _PAGE_TEXTS)},
    )(_daily(_entity))
    router.get(
        f"/{_entity}/daily/activity/export",
        auth=any_key,
        operation_id=f"{_entity}_daily_activity_export",
        summary=f"Usage by day and {_entity.replace('_', ' ')} as a file",
        openapi_extra={"parameters": described(_filters(_entity), _EXPORT_TEXTS)},
    )(_export(_entity))
