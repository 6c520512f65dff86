"""Handing out files: which there are, and that each time is written into the audit."""

from __future__ import annotations

from pathlib import Path

from gateway_project.core.errors import Conflict, NotFound
from security_app.services.audit import record
from usage_app.models import ReportExport
from usage_app.services.exports.storage import file_path


def ready_file(row: ReportExport) -> Path:
    """The file of an export; Conflict or NotFound says why there is none."""
    if row.state == ReportExport.State.EXPIRED:
        raise NotFound("The file is beyond its retention and was deleted; its manifest is still here.")
    if row.state != ReportExport.State.DONE:
        raise Conflict(f"The file is not ready: it is {row.get_state_display().lower()}.")
    path = file_path(row)
    if not path.is_file():
        raise NotFound("The file is not in this server's GATEWAY_REPORTS_DIR, which workers share.")
    return path


def note_download(row: ReportExport, what: str = "file") -> None:
    """Write into the audit that the file, or its manifest, is handed out."""
    record(
        "report.downloaded",
        object_type="usage_app.reportexport",
        object_id=row.public_id,
        object_name=str(row),
        detail={"what": what, "sha256": row.sha256},
    )
