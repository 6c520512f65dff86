"""`/runs`: what agents did, newest first, and each run with its steps."""

from __future__ import annotations

from typing import Any, TypedDict

from django.http import HttpRequest
from ninja import Router

from agents_app.run_parameters import RUNS_PARAMETERS, parse_runs
from agents_app.services.run_list import find_run, list_runs
from gateway_project.core.errors import NotFound
from gateway_project.core.ids import parse_public_id
from security_app.api.auth import admin_key
from security_app.api.queries import refuse_unknown_parameters

router = Router(tags=["Runs"])


class RunList(TypedDict):
    """A page of runs."""

    object: str
    data: list[dict[str, Any]]
    next_cursor: str | None
    has_more: bool


@router.get(
    "/runs",
    auth=admin_key,
    operation_id="list_runs",
    summary="Runs of agents, newest first",
    openapi_extra={"parameters": RUNS_PARAMETERS},
)
def runs(request: HttpRequest) -> RunList:
    """Without their steps. `request_id` is the `x-request-id` of the answer; costs are US dollars."""
    query = parse_runs(request.GET)
    page = list_runs(query.filter, limit=query.limit, after=query.after)
    return {
        "object": "list",
        "data": page.rows,
        "next_cursor": page.next_cursor,
        "has_more": page.next_cursor is not None,
    }


@router.get("/runs/{run_id}", auth=admin_key, operation_id="get_run", summary="A run with its steps")
def run(request: HttpRequest, run_id: str) -> dict[str, Any]:
    """By its id, or by that of its request. A step's `parent` is the number of the step that it is in."""
    refuse_unknown_parameters(request)
    identifier = parse_public_id("run", run_id) or parse_public_id("req", run_id)
    found = find_run(identifier) if identifier is not None else None
    if found is None:
        raise NotFound(f"There is no run '{run_id[:100]}', or none any more.", param="id")
    return found
