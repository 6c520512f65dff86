"""Files of scheduled reports into buckets, each with its manifest, at least once.

A file has its own place, so storing it again changes nothing. The manifest comes last: who finds it finds the
file that it speaks of.
"""

from __future__ import annotations

import logging
from datetime import datetime, timedelta

from django.db import transaction

from gateway_project.core.clock import utc_now
from security_app.services.audit import record
from usage_app.models import Bucket, ReportExport
from usage_app.services.exports.formats import format_named
from usage_app.services.exports.manifest import manifest_text
from usage_app.services.exports.storage import file_path
from usage_app.services.object_store import NotStored, put_object

logger = logging.getLogger(__name__)
MAX_ATTEMPTS = 10
MANIFEST_ENDING = ".manifest.json"
_PER_RUN = 10
# While one uploads it, nobody else does.
_LEASE = timedelta(minutes=15)
_FIRST_PAUSE = timedelta(minutes=1)
_LONGEST_PAUSE = timedelta(hours=1)
_UPLOAD = ReportExport.Upload


def upload_due_files(*, now: datetime | None = None) -> int:
    """Store what is due, the oldest first; how many files were stored."""
    moment = now or utc_now()
    due = ReportExport.objects.filter(upload_state=_UPLOAD.DUE, upload_due_at__lte=moment)
    stored = 0
    for row in due.order_by("upload_due_at").select_related("bucket")[:_PER_RUN]:
        claimed = ReportExport.objects.filter(
            pk=row.pk, upload_state=_UPLOAD.DUE, upload_due_at=row.upload_due_at
        )
        row.upload_attempts += 1
        if claimed.update(upload_due_at=moment + _LEASE, upload_attempts=row.upload_attempts):
            stored += _upload(row, moment)
    return stored


def object_key(row: ReportExport) -> str:
    """Where a file is below the bucket's prefix; its manifest has `.manifest.json` behind the name."""
    return f"reports/{row.created_at:%Y/%m/%d}/{row.public_id}/{row.file_name}"


def _upload(row: ReportExport, now: datetime) -> int:
    bucket = row.bucket
    rows = ReportExport.objects.filter(pk=row.pk, upload_state=_UPLOAD.DUE)
    try:
        if bucket is None or not bucket.is_enabled:
            raise NotStored("the bucket is gone or off")
        _put(row, bucket)
    except NotStored as error:
        is_last = row.upload_attempts >= MAX_ATTEMPTS
        pause = min(_FIRST_PAUSE * 2 ** (row.upload_attempts - 1), _LONGEST_PAUSE)
        state = _UPLOAD.FAILED if is_last else _UPLOAD.DUE
        rows.update(upload_state=state, upload_error=str(error)[:200], upload_due_at=now + pause)
        logger.warning(
            "report.not_uploaded",
            extra={"export_id": row.public_id, "reason": str(error), "attempt": row.upload_attempts},
        )
        return 0
    _note_stored(row, bucket)
    return 1


def _note_stored(row: ReportExport, bucket: Bucket) -> None:
    place = f"s3://{bucket.bucket}/{bucket.prefix}{object_key(row)}"
    with transaction.atomic():
        rows = ReportExport.objects.filter(pk=row.pk, upload_state=_UPLOAD.DUE)
        values = {"upload_error": "", "uploaded_as": place, "upload_due_at": None}
        if not rows.update(upload_state=_UPLOAD.STORED, **values):
            return
        record(
            "report.uploaded",
            object_type="usage_app.reportexport",
            object_id=row.public_id,
            object_name=str(row),
            detail={"bucket": bucket.name, "object": place, "sha256": row.sha256},
        )
    logger.info("report.uploaded", extra={"export_id": row.public_id, "bucket": bucket.name})


def _put(row: ReportExport, bucket: Bucket) -> None:
    key, content_type = object_key(row), format_named(row.format).content_type
    try:
        with file_path(row).open("rb") as file:
            put_object(bucket, key, file, content_type=content_type)
    except FileNotFoundError as error:
        raise NotStored("the file is gone") from error
    manifest = manifest_text(row.manifest or {}).encode()
    put_object(bucket, f"{key}{MANIFEST_ENDING}", manifest, content_type="application/json")
