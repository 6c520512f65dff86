"""Where the files of reports are, what they are called, and when they go.

Servers and workers share one folder, GATEWAY_REPORTS_DIR. A file and its manifest are named by the export's
id; what people download has a speaking name of safe characters.
"""

from __future__ import annotations

import logging
import re
import time
import unicodedata
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from uuid import UUID

from django.conf import settings

from gateway_project.core.clock import utc_now
from usage_app.models import ReportExport
from usage_app.services.exports.formats import FORMATS
from usage_app.services.exports.query import ReportQuery, zone

logger = logging.getLogger(__name__)
_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")
_MAX_TITLE_CHARS = 80
_PART_AGE_S = 86_400.0
_PULSE = "worker"
_PULSE_AGE_S = 60.0
_BATCH = 500


def folder() -> Path:
    """The folder of all files, made if it is not there; for the gateway's own user only."""
    path: Path = settings.REPORTS_DIR
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    return path


def file_path(row: ReportExport) -> Path:
    """Where a row's file is, or would be."""
    return folder() / f"{row.pk.hex}.{FORMATS[row.format].extension}"


def manifest_path(row: ReportExport) -> Path:
    """Where the file's manifest is."""
    return folder() / f"{row.pk.hex}.manifest.json"


def part_path(row_id: UUID, token: UUID) -> Path:
    """Where a worker writes a file that is not complete; nobody else has its token."""
    return folder() / f"{row_id.hex}.{token.hex}.part"


def download_name(title: str, query: ReportQuery, extension: str) -> str:
    """`usage-by-team_2026-02-01_2026-02-28.csv`: nothing that a shell, a header or a system would mistake."""
    plain = unicodedata.normalize("NFKD", title).encode("ascii", "ignore").decode()
    stem = _UNSAFE.sub("-", plain).strip("-._")[:_MAX_TITLE_CHARS].strip("-._").lower() or "report"
    here = zone(query.time_zone)
    first = query.start.astimezone(here).date()
    last = (query.end - timedelta(microseconds=1)).astimezone(here).date()
    return f"{stem}_{first.isoformat()}_{last.isoformat()}.{extension}"


def purge_exports() -> int:
    """Delete files beyond their retention, what dead workers left, and rows as old as usage; rows changed."""
    now = utc_now()
    old = ReportExport.objects.filter(
        created_at__lt=now - timedelta(days=settings.REPORT_RETENTION_DAYS), state=ReportExport.State.DONE
    )
    count = 0
    for row in old.order_by("created_at")[:_BATCH]:
        _unlink(file_path(row), manifest_path(row))
        count += ReportExport.objects.filter(pk=row.pk).update(state=ReportExport.State.EXPIRED)
    ended = (ReportExport.State.EXPIRED, ReportExport.State.FAILED)
    keep = max(settings.USAGE_RETENTION_DAYS, settings.REPORT_RETENTION_DAYS)
    gone = ReportExport.objects.filter(state__in=ended, created_at__lt=now - timedelta(days=keep))
    keys = list(gone.order_by("created_at").values_list("pk", flat=True)[:_BATCH])
    count += ReportExport.objects.filter(pk__in=keys).delete()[0]
    for part in folder().glob("*.part"):
        with suppress(FileNotFoundError):
            if time.time() - part.stat().st_mtime > _PART_AGE_S:
                part.unlink()
    if count:
        logger.info("report.purged", extra={"rows": count})
    return count


def _unlink(*paths: Path) -> None:
    for path in paths:
        path.unlink(missing_ok=True)


def show_pulse() -> None:
    """A worker has looked for what is to do."""
    (folder() / _PULSE).touch()


def has_worker() -> bool:
    """Whether a worker looked for what is to do within a minute."""
    try:
        age = time.time() - (folder() / _PULSE).stat().st_mtime
    except OSError:
        return False
    return age < _PULSE_AGE_S
