"""`GET /findings`: what the nightly audit found, newest first, in pages."""

from __future__ import annotations

from typing import Any, TypedDict
from uuid import UUID

from django.http import HttpRequest
from ninja import Query, Router

from gateway_project.core.errors import InvalidRequest
from gateway_project.core.ids import parse_public_id, public_id
from security_app.api.auth import admin_key
from security_app.api.queries import refuse_unknown_parameters
from security_app.schemas.findings import FindingsQuery
from security_app.services.finding_list import FindingFilter, finding_row, list_findings

router = Router(tags=["Audit"], auth=admin_key)


class Findings(TypedDict):
    """A page of findings."""

    findings: list[dict[str, Any]]
    next_cursor: str | None
    has_more: bool


@router.get("/findings", summary="Findings of the nightly audit, newest first")
def findings(request: HttpRequest, query: Query[FindingsQuery]) -> Findings:
    """What is not as it should be, of which object, since when; by default what is still so."""
    refuse_unknown_parameters(request, FindingsQuery)
    wanted = FindingFilter(
        state=None if query.state == "all" else query.state,
        severity=query.severity,
        kind=query.kind,
        object_type=query.object_type,
        object_id=query.object_id,
    )
    page = list_findings(wanted, limit=query.page_size, before=_cursor(query.cursor))
    cursor = None if page.next_id is None else public_id("finding", page.next_id)
    return {
        "findings": [finding_row(row) for row in page.findings],
        "next_cursor": cursor,
        "has_more": cursor is not None,
    }


def _cursor(text: str | None) -> UUID | None:
    found = None if text is None else parse_public_id("finding", text)
    if text is not None and found is None:
        raise InvalidRequest("'cursor' must be the 'next_cursor' of another page.", param="cursor")
    return found
