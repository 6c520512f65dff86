"""Reading the audit: pages of events by what a person filters for, what changed in one, and exports."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from difflib import unified_diff
from typing import Any, NamedTuple

from django.db.models import QuerySet

from gateway_project.core.codec import dumps, loads
from gateway_project.core.db import in_thread
from security_app.models import AuditEvent
from security_app.models.images import changed_names, is_mask

MAX_PAGE = 1000
FORMATS = ("jsonl", "csv")
_EXPORT_PAGE = 500
_MAX_DIFF_LINES = 2000
COLUMNS = (
    "seq",
    "event_id",
    "at",
    "actor",
    "actor_kind",
    "action",
    "object_type",
    "object_id",
    "object_name",
    "before",
    "after",
    "detail",
    "request_id",
    "ip",
    "prev_hash",
    "hash",
    "key_id",
    "mac",
)


@dataclass(frozen=True, slots=True)
class EventFilter:
    """What to look for; None means anything. `start` is inclusive, `end` is not."""

    actor: str | None = None
    actor_kind: str | None = None
    action: str | None = None
    object_type: str | None = None
    object_id: str | None = None
    request_id: str | None = None
    start: datetime | None = None
    end: datetime | None = None

    def told(self) -> dict[str, Any]:
        """What was asked for, as the event of an export says it."""
        return {name: value for name in self.__slots__ if (value := getattr(self, name)) is not None}


class EventPage(NamedTuple):
    """Events, the newest first; `next_seq` leads to the next page if there is one."""

    events: list[AuditEvent]
    next_seq: int | None


class FieldChange(NamedTuple):
    """What became of a field: lines of a diff, each with its sign (added, removed, place, same)."""

    name: str
    lines: tuple[tuple[str, str], ...]


def list_events(wanted: EventFilter, *, limit: int, before: int | None = None) -> EventPage:
    """One page of events in one query; `before` is the `next_seq` of the last page."""
    events = filtered(wanted)
    if before is not None:
        events = events.filter(seq__lt=before)
    found = list(events.order_by("-seq")[: limit + 1])
    return EventPage(found[:limit], found[limit - 1].seq if len(found) > limit else None)


def filtered(wanted: EventFilter) -> QuerySet[AuditEvent]:
    """The events that match."""
    names = {"start": "at__gte", "end": "at__lt"}
    return AuditEvent.objects.filter(
        **{names.get(name, name): value for name, value in wanted.told().items()}
    )


def image(text: str | None) -> dict[str, Any] | None:
    """An image, or the detail, of an event as values."""
    found: dict[str, Any] | None = loads(text) if text else None
    return found


def event_changes(event: AuditEvent) -> dict[str, Any]:
    """What an event changed, and what it tells besides, as pages show it."""
    return {"changes": changes(image(event.before), image(event.after)), "detail": image(event.detail)}


def changes(before: Mapping[str, Any] | None, after: Mapping[str, Any] | None) -> list[FieldChange]:
    """What differs between two images, a field at a time; secrets say only that they changed."""
    old, new = before or {}, after or {}
    return [
        FieldChange(name, _diff(old.get(name), new.get(name)))
        for name in changed_names(old, new)
        if not (_is_empty(old.get(name)) and _is_empty(new.get(name)))
    ]


def _is_empty(value: Any) -> bool:
    return value is None or value == "" or value == [] or value == {}


def _diff(old: Any, new: Any) -> tuple[tuple[str, str], ...]:
    before, after = _lines(old), _lines(new)
    if not 1 < max(len(before), len(after)) <= _MAX_DIFF_LINES:
        return (*(("removed", f"-{line}") for line in before), *(("added", f"+{line}") for line in after))
    signs = {"+": "added", "-": "removed", "@": "place"}
    # Without the two lines that name files.
    found = list(unified_diff(before, after, n=3, lineterm=""))[2:]
    return tuple((signs.get(line[:1], "same"), line) for line in found)


def _lines(value: Any) -> list[str]:
    if _is_empty(value):
        return []
    if is_mask(value):
        return ["(secret)"]
    if isinstance(value, str):
        return value.splitlines()
    return json.dumps(_shown(value), indent=2, ensure_ascii=False).splitlines()


def _shown(value: Any) -> Any:
    if is_mask(value):
        return "(secret)"
    if isinstance(value, dict):
        return {name: _shown(item) for name, item in value.items()}
    return [_shown(item) for item in value] if isinstance(value, list) else value


async def export_events(wanted: EventFilter, *, kind: str, through: int) -> AsyncIterator[bytes]:
    """All matching events up to number `through`, the oldest first, as `jsonl` or `csv`, a page at a time."""
    last = 0
    if kind == "csv":
        yield _csv_lines([COLUMNS])
    while rows := await in_thread(_export_page, wanted, last, through):
        last = rows[-1][0]
        yield _csv_lines(rows) if kind == "csv" else b"".join(_json_lines(rows))


def _export_page(wanted: EventFilter, after: int, through: int) -> list[tuple[Any, ...]]:
    events = filtered(wanted).filter(seq__gt=after, seq__lte=through).order_by("seq")
    return list(events.values_list(*COLUMNS)[:_EXPORT_PAGE])


def _json_lines(rows: Sequence[tuple[Any, ...]]) -> Iterator[bytes]:
    for row in rows:
        yield dumps({**dict(zip(COLUMNS, row, strict=True)), "at": exact(row[2])}) + b"\n"


def _csv_lines(rows: Sequence[Sequence[Any]]) -> bytes:
    text = io.StringIO()
    csv.writer(text).writerows([_cell(value) for value in row] for row in rows)
    return text.getvalue().encode()


def _cell(value: Any) -> str:
    """A value for a spreadsheet, which must not take it for a formula."""
    if isinstance(value, datetime):
        return exact(value)
    text = "" if value is None else str(value)
    return f"'{text}" if text[:1] in ("=", "+", "-", "@", "\t", "\r") else text


def exact(moment: datetime) -> str:
    """A moment as it was hashed: UTC with six places."""
    return f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%S.%f}Z"
