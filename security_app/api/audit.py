"""`GET /audit`: events of the audit, newest first, in pages; rows have the names of LiteLLM's audit logs."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, TypedDict
from uuid import UUID

from django.http import HttpRequest
from ninja import Query, Router

from gateway_project.core.errors import InvalidRequest, NotFound
from security_app.api.auth import admin_key
from security_app.api.queries import refuse_unknown_parameters
from security_app.models import AuditEvent
from security_app.schemas.audit import AuditQuery
from security_app.services.audit_list import EventFilter, exact, image, list_events

router = Router(tags=["Audit"], auth=admin_key)


class AuditLogs(TypedDict):
    """A page of the audit."""

    audit_logs: list[dict[str, Any]]
    next_cursor: str | None
    has_more: bool


@router.get("/audit", summary="Events of the audit, newest first")
def audit_logs(request: HttpRequest, query: Query[AuditQuery]) -> AuditLogs:
    """What was done or refused, by whom, with images of rows before and after; secrets are digests."""
    refuse_unknown_parameters(request, AuditQuery)
    wanted = EventFilter(
        actor=query.changed_by,
        action=query.action,
        object_type=query.table_name,
        object_id=query.object_id,
        request_id=query.request_id,
        start=_moment("start_date", query.start_date, is_end=False),
        end=_moment("end_date", query.end_date, is_end=True),
    )
    page = list_events(wanted, limit=query.page_size, before=query.cursor)
    cursor = None if page.next_seq is None else str(page.next_seq)
    return {
        "audit_logs": [_row(event) for event in page.events],
        "next_cursor": cursor,
        "has_more": cursor is not None,
    }


@router.get("/audit/{event_id}", summary="One event of the audit")
def audit_log(request: HttpRequest, event_id: str) -> dict[str, Any]:
    """By its `id` or by its `seq`."""
    refuse_unknown_parameters(request)
    event = AuditEvent.objects.filter(**_identity(event_id)).first()
    if event is None:
        raise NotFound("There is no such event.", param="event_id")
    return _row(event)


def _identity(text: str) -> dict[str, Any]:
    if text.isascii() and text.isdecimal() and len(text) < 19:
        return {"seq": int(text)}
    try:
        return {"event_id": UUID(text)}
    except ValueError:
        raise NotFound("There is no such event.", param="event_id") from None


def _moment(name: str, text: str | None, *, is_end: bool) -> datetime | None:
    """A date or a moment, UTC; a date at the end of a range includes that day."""
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
        moment = moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
        return moment + timedelta(days=1) if is_end and len(text) == 10 else moment
    except (ValueError, OverflowError):
        message = f"'{name}' must be an ISO 8601 date or time such as 2026-11-21 or 2026-11-21T15:00:00Z."
        raise InvalidRequest(message, param=name) from None


def _row(event: AuditEvent) -> dict[str, Any]:
    is_key = event.actor_kind == "key"
    return {
        "id": event.event_id.hex,
        "seq": event.seq,
        "updated_at": exact(event.at),
        "changed_by": event.actor,
        "changed_by_kind": event.actor_kind,
        "changed_by_api_key": event.actor if is_key else "",
        "action": event.action,
        "table_name": event.object_type,
        "object_id": event.object_id,
        "object_name": event.object_name,
        "before_value": image(event.before),
        "updated_values": image(event.after),
        "detail": image(event.detail),
        "request_id": event.request_id,
        "ip_address": event.ip,
        "prev_hash": event.prev_hash,
        "hash": event.hash,
    }
