"""Reading the ledger: pages of records by what a person filters for."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db.models import Q, QuerySet

from gateway_project.core.ids import parse_public_id, public_id, uuid7_time
from usage_app.models import UsageRecord
from usage_app.services.record_store import COLUMNS

MAX_PAGE = 1000
_OWNERS = ("user_id", "end_user", "agent")


class BadCursor(ValueError):
    """The text is no cursor of ours."""


@dataclass(frozen=True, slots=True)
class RecordFilter:
    """What to look for; None means anything. `start` is inclusive, `end` is not."""

    id: UUID | None = None
    parent_id: UUID | None = None
    key_id: UUID | None = None
    user_id: str | None = None
    team_id: UUID | None = None
    organization_id: UUID | None = None
    end_user: str | None = None
    agent: str | None = None
    model: str | None = None
    upstream: str | None = None
    status: int | None = None
    state: str | None = None
    start: datetime | None = None
    end: datetime | None = None


@dataclass(frozen=True, slots=True)
class RecordPage:
    """Records, the newest first, as plain values; the cursor leads to the next page if there is one."""

    rows: list[dict[str, Any]]
    next_cursor: str | None

    @property
    def has_more(self) -> bool:
        """Whether older records match too."""
        return self.next_cursor is not None


def list_records(wanted: RecordFilter, *, limit: int, after: UUID | None = None) -> RecordPage:
    """One page of records in one query; `after` is what `parse_cursor` made of the last page's cursor."""
    records = _filtered(wanted)
    if after is not None:
        moment = uuid7_time(after)
        # The first condition is implied by the second, but is the one that an index serves.
        records = records.filter(at__lte=moment).filter(Q(at__lt=moment) | Q(id__lt=after))
    # The same order; the calls of a run are few, and their index has no moments.
    order = ("-at", "-id") if wanted.parent_id is None else ("-id",)
    found = list(records.order_by(*order).values(*COLUMNS)[: limit + 1])
    page = found[:limit]
    next_cursor = make_cursor(page[-1]["id"]) if len(found) > limit else None
    return RecordPage([plain_record(row) for row in page], next_cursor)


def find_record(request_id: str, records: QuerySet[UsageRecord]) -> UsageRecord | None:
    """One of these records by the id that the client got; None if it is not among them."""
    record_id = parse_public_id("req", request_id)
    return None if record_id is None else records.filter(**_place(record_id)).first()


def make_cursor(last: UUID) -> str:
    """An opaque place in the ledger: after this record. Its moment follows from its id."""
    return base64.urlsafe_b64encode(last.bytes).decode().rstrip("=")


def parse_cursor(text: str) -> UUID:
    """The inverse of `make_cursor`; BadCursor for any other text."""
    try:
        last = UUID(bytes=base64.b64decode(text + "==", altchars=b"-_", validate=True))
        uuid7_time(last)
    except (binascii.Error, ValueError, OverflowError) as error:
        raise BadCursor("not a cursor") from error
    return last


def _filtered(wanted: RecordFilter) -> QuerySet[UsageRecord]:
    records = UsageRecord.objects.all()
    given = {field.name: getattr(wanted, field.name) for field in fields(wanted)}
    for name, value in given.items():
        if value is None:
            continue
        if name == "start":
            records = records.filter(at__gte=value)
        elif name == "end":
            records = records.filter(at__lt=value)
        elif name == "parent_id":
            records = records.filter(parent_id=value, **_since(value))
        elif name == "id":
            records = records.filter(**_place(value))
        elif name in _OWNERS:
            # The second condition is that of the index.
            records = records.filter(**{name: value, f"{name}__gt": ""})
        else:
            records = records.filter(**{name: value})
    return records


def _place(record_id: UUID) -> dict[str, Any]:
    """The record's id with its moment, which leads PostgreSQL to one partition."""
    try:
        return {"id": record_id, "at": uuid7_time(record_id)}
    except (ValueError, OverflowError):
        return {"id": record_id}


def _since(parent_id: UUID) -> dict[str, Any]:
    """No part of a request is older than it, which keeps PostgreSQL out of older partitions."""
    try:
        return {"at__gte": uuid7_time(parent_id)}
    except (ValueError, OverflowError):
        return {}


def plain_record(row: dict[str, Any]) -> dict[str, Any]:
    """A record as JSON: public ids, money as decimal text, times in UTC."""
    request_id = public_id("req", row.pop("id"))
    cost = row.pop("cost")
    text = None if cost is None else format(cost, "f")
    return {
        "request_id": request_id,
        "id": request_id,
        **row,
        "at": row["at"].isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "parent_id": _public("req", row["parent_id"]),
        "key_id": _public("key", row["key_id"]),
        "price_id": _public("price", row["price_id"]),
        "team_id": _public("team", row["team_id"]),
        "organization_id": _public("org", row["organization_id"]),
        "total_tokens": row["input_tokens"] + row["output_tokens"],
        "cost": text,
        "spend": text or "0",
    }


def _public(prefix: str, value: UUID | None) -> str | None:
    return None if value is None else public_id(prefix, value)
