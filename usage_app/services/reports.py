"""Saved reports, and asking for files: what may be said of them, and who did what.

InvalidRequest names the field that is wrong, by the names of the management API.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import date, datetime
from typing import Any

from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db import transaction

from gateway_project.core.clock import utc_now
from gateway_project.core.errors import Conflict, InvalidRequest
from security_app.services.audit import record
from usage_app.models import Report, ReportExport
from usage_app.services.exports.formats import format_named
from usage_app.services.exports.periods import FIXED, PERIODS, SCHEDULES, fixed_bounds, period_bounds
from usage_app.services.exports.query import (
    ReportQuery,
    check_filters,
    check_group_by,
    check_time_zone,
    check_together,
    query_from_json,
    zone,
)
from usage_app.services.exports.sources import sums_of

logger = logging.getLogger(__name__)
MAX_RECIPIENTS = 20
MAX_WAITING = 100
FIELDS = (
    "name",
    "period",
    "first_day",
    "last_day",
    "time_zone",
    "group_by",
    "filters",
    "format",
    "schedule",
    "hour",
    "recipients",
    "bucket",
    "is_enabled",
)


def create_report(actor: str, values: Mapping[str, Any]) -> Report:
    """Save a new report."""
    row = Report(owner=actor)
    with transaction.atomic():
        _set(row, values)
        row.save(force_insert=True)
        _note("report.created", row, after=_image(row))
    return row


def update_report(row: Report, values: Mapping[str, Any]) -> Report:
    """Change what is given; the rest stays."""
    with transaction.atomic():
        before = _image(row)
        _set(row, values)
        row.save()
        _note("report.updated", row, before=before, after=_image(row))
    return row


def delete_report(row: Report) -> None:
    """Delete a report; the files that were made of it stay."""
    with transaction.atomic():
        _note("report.deleted", row, before=_image(row))
        row.delete()


def check_report(row: Report) -> ReportQuery:
    """What a report asks for now; InvalidRequest names the field that is wrong."""
    if not row.name.strip() or len(row.name) > 200:
        raise InvalidRequest("'name' must have 1 to 200 characters.", param="name")
    form = format_named(row.format)
    check_time_zone(row.time_zone)
    row.group_by = list(check_group_by(row.group_by))
    filters = check_filters(row.filters)
    row.filters = {name: list(values) for name, values in filters.items()}
    check_together(row.group_by, row.filters)
    _check_schedule(row)
    row.recipients = _checked_recipients(row.recipients)
    start, end = bounds(row, now=utc_now())
    asked = ReportQuery(start, end, row.time_zone, tuple(row.group_by), filters)
    # Read back as a manifest's query will be, and asked, though not answered.
    query = query_from_json(form.query(asked).as_json())
    sums_of(query)
    return query


def bounds(row: Report, *, now: datetime) -> tuple[datetime, datetime]:
    """The report's period as seen from `now`, in UTC."""
    here = zone(row.time_zone)
    if row.period == FIXED:
        if not isinstance(row.first_day, date) or not isinstance(row.last_day, date):
            raise InvalidRequest("Give the first and the last day.", param="first_day")
        if row.first_day > row.last_day:
            raise InvalidRequest("The last day must not be before the first.", param="last_day")
        if not 2000 <= row.first_day.year <= row.last_day.year < 2200:
            raise InvalidRequest("The days must be from 2000 to 2199.", param="first_day")
        return fixed_bounds(row.first_day, row.last_day, here)
    if row.period not in PERIODS:
        message = f"'period' must be one of: {FIXED}, {', '.join(PERIODS)}."
        raise InvalidRequest(message, param="period")
    if row.first_day or row.last_day:
        raise InvalidRequest(f"Days belong to the period '{FIXED}' only.", param="first_day")
    return period_bounds(row.period, now=now, zone=here)


def queue_export(
    row: Report, *, requested_by: str, now: datetime | None = None, period_key: str | None = None
) -> ReportExport:
    """Ask for a file of a report, saved or not; a worker makes it.

    With a `period_key` it is the file of an occurrence of the schedule, and goes where the report says.
    """
    check_report(row)
    if period_key is None and ReportExport.objects.filter(state="queued").count() >= MAX_WAITING:
        raise Conflict(f"{MAX_WAITING} files wait to be made; is a Celery worker running?")
    form = format_named(row.format)
    start, end = bounds(row, now=now or utc_now())
    asked = ReportQuery(start, end, row.time_zone, tuple(row.group_by), row.filters)
    with transaction.atomic():
        export = ReportExport.objects.create(
            report=None if row._state.adding else row,
            title=row.name,
            period=period_title(row),
            format=form.name,
            query=form.query(asked).as_json(),
            requested_by=requested_by,
            period_key=period_key,
            recipients=row.recipients if period_key is not None else [],
            bucket=row.bucket if period_key is not None else None,
        )
        record(
            "report.requested",
            object_type="usage_app.reportexport",
            object_id=export.public_id,
            object_name=str(export),
            detail={"query": export.query, "format": export.format, "period_key": period_key},
        )
    return export


def period_title(row: Report) -> str:
    """The period in words."""
    if row.period == FIXED:
        return f"{row.first_day} to {row.last_day}"
    return PERIODS[row.period][0]


def _set(row: Report, values: Mapping[str, Any]) -> None:
    was_scheduled = (row.schedule, row.hour, row.time_zone, row.is_enabled)
    for name, value in values.items():
        if name not in FIELDS:
            raise InvalidRequest(f"Unknown field: '{name[:100]}'.", param=name[:100])
        setattr(row, name, value)
    check_report(row)
    taken = Report.objects.filter(name=row.name).exclude(pk=row.pk).exists()
    if taken:
        raise Conflict("There is a report of this name.", param="name")
    if row.schedule and (row._state.adding or was_scheduled != _schedule_of(row)):
        row.scheduled_since = utc_now()


def _schedule_of(row: Report) -> tuple[str, int, str, bool]:
    return (row.schedule, row.hour, row.time_zone, row.is_enabled)


def _check_schedule(row: Report) -> None:
    if row.schedule and row.schedule not in SCHEDULES:
        raise InvalidRequest(f"'schedule' must be one of: {', '.join(SCHEDULES)}.", param="schedule")
    if row.schedule and row.period == FIXED:
        raise InvalidRequest("Fixed days never change: a schedule needs another period.", param="schedule")
    if isinstance(row.hour, bool) or not isinstance(row.hour, int) or not 0 <= row.hour <= 23:
        raise InvalidRequest("'hour' must be a whole number from 0 to 23.", param="hour")


def _checked_recipients(values: Any) -> list[str]:
    if not isinstance(values, list) or len(values) > MAX_RECIPIENTS:
        message = f"'recipients' must be a list of at most {MAX_RECIPIENTS} addresses."
        raise InvalidRequest(message, param="recipients")
    for value in values:
        try:
            validate_email(value)
        except ValidationError as error:
            message = f"'{str(value)[:100]}' is not an e-mail address."
            raise InvalidRequest(message, param="recipients") from error
    return list(dict.fromkeys(values))


def _image(row: Report) -> dict[str, Any]:
    image = {name: getattr(row, name) for name in FIELDS}
    image["bucket"] = None if row.bucket is None else row.bucket.name
    for name in ("first_day", "last_day"):
        image[name] = None if image[name] is None else image[name].isoformat()
    return image


def _note(action: str, row: Report, **images: Any) -> None:
    record(action, object_type="usage_app.report", object_id=row.public_id, object_name=row.name, **images)
    logger.info("report.changed", extra={"report": row.name, "report_id": row.public_id, "action": action})
