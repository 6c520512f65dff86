"""Making the files that are asked for: one after the other, by whichever worker holds the row's lease.

Celery's messages are hints; the rows are the truth. `make_files` may run anywhere and at any time, twice too.
"""

from __future__ import annotations

import logging
import time
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import transaction

from gateway_project.core.clock import utc_now
from gateway_project.core.errors import GatewayError
from security_app.services.audit import audit_head, record
from usage_app.models import ReportExport, RollupWindow
from usage_app.services.exports.build import BuiltFile, Order, build, manifest_of
from usage_app.services.exports.errors import TooManyRows
from usage_app.services.exports.formats import format_named
from usage_app.services.exports.lease import Lease, LeaseLost, claim_next
from usage_app.services.exports.manifest import manifest_text, signed
from usage_app.services.exports.names import RowNames
from usage_app.services.exports.query import query_from_json
from usage_app.services.exports.sources import sums_of
from usage_app.services.exports.storage import download_name, file_path, manifest_path, part_path

logger = logging.getLogger(__name__)
_BUDGET_S = 30.0
_COUNTED_AT_ONCE = 1000
_STATE = ReportExport.State


def make_files(budget_s: float = _BUDGET_S) -> int:
    """Make what waits, the oldest first, and begin none after `budget_s`; how many were worked on."""
    until = time.monotonic() + budget_s
    done = 0
    while time.monotonic() < until and (row := claim_next()) is not None:
        make_file(row)
        done += 1
    return done


def make_file(row: ReportExport) -> None:
    """Make the file of a claimed row; whatever goes wrong is written into the row."""
    token = row.lease_token
    if token is None:
        raise ValueError("the row has no lease")
    part = part_path(row.pk, token)
    started = time.monotonic()
    try:
        with Lease(row.pk, token) as lease:
            order, built = _write(row, part, lease)
        _finish(row, order, built, part)
    except LeaseLost:
        logger.warning("report.lease_lost", extra={"export_id": row.public_id})
    except GatewayError as error:
        _fail(row, error.message)
    except Exception as error:
        logger.exception("report.failed", extra={"export_id": row.public_id})
        _fail(row, f"Something went wrong here ({type(error).__name__}); the log has the details.")
    else:
        logger.info(
            "report.made",
            extra={
                "export_id": row.public_id,
                "format": row.format,
                "rows": built.tally.rows,
                "size_bytes": built.size_bytes,
                "duration_ms": round((time.monotonic() - started) * 1000),
            },
        )
    finally:
        part.unlink(missing_ok=True)


def _write(row: ReportExport, part: Path, lease: Lease) -> tuple[Order, BuiltFile]:
    form = format_named(row.format)
    query = query_from_json(row.query)
    order = Order(row.title, row.period, form, query, utc_now(), settings.VERSION)
    total = 0
    for total, _ in enumerate(sums_of(query), 1):
        if total % _COUNTED_AT_ONCE == 0:
            lease.check(0)
        if form.max_rows is not None and total > form.max_rows:
            raise TooManyRows(
                f"A {form.title} file holds at most {form.max_rows:,} rows here; "
                "group by less, or choose CSV or JSON Lines."
            )
    lease.check(0, total)
    built = build(part, order, sums=sums_of(query), names=RowNames(), progress=lease.check)
    return order, built


def _finish(row: ReportExport, order: Order, built: BuiltFile, part: Path) -> None:
    name = download_name(row.title, order.query, order.form.extension)
    manifest = _manifest(row, order, built, name)
    with transaction.atomic():
        mine = ReportExport.objects.filter(pk=row.pk, lease_token=row.lease_token, state=_STATE.RUNNING)
        values: dict[str, Any] = {
            "state": _STATE.DONE,
            "progress_rows": built.tally.rows,
            "total_rows": built.tally.rows,
            "file_name": name,
            "size_bytes": built.size_bytes,
            "sha256": built.sha256,
            "manifest": manifest,
            "error": "",
            "finished_at": utc_now(),
            "lease_until": None,
            "lease_token": None,
        }
        if row.recipients:
            values["mail_state"] = ReportExport.Mail.DUE
        if row.bucket_id is not None:
            values |= {"upload_state": ReportExport.Upload.DUE, "upload_due_at": utc_now()}
        if not mine.update(**values):
            raise LeaseLost
        manifest_path(row).write_text(manifest_text(manifest), encoding="utf-8")
        part.replace(file_path(row))
        record(
            "report.made",
            object_type="usage_app.reportexport",
            object_id=row.public_id,
            object_name=str(row),
            detail={"sha256": built.sha256, "rows": built.tally.rows, "format": row.format},
        )
    row.refresh_from_db()


def _manifest(row: ReportExport, order: Order, built: BuiltFile, name: str) -> dict[str, Any]:
    head = audit_head()
    facts = {
        "export_id": row.public_id,
        "report_id": row.report.public_id if row.report is not None else None,
        "requested_by": row.requested_by,
        # Records of these were stored, but not yet summed up.
        "quarter_hours_to_sum_up": RollupWindow.objects.filter(
            window_start__gte=order.query.start, window_start__lt=order.query.end
        ).count(),
    }
    manifest = manifest_of(order, built, file_name=name, audit_head=(head.seq, head.hash_hex), **facts)
    return signed(manifest, settings.GATEWAY_ENCRYPTION_RING)


def _fail(row: ReportExport, message: str) -> None:
    mine = ReportExport.objects.filter(pk=row.pk, lease_token=row.lease_token)
    mine.update(
        state=_STATE.FAILED, error=message[:500], finished_at=utc_now(), lease_until=None, lease_token=None
    )
    row.refresh_from_db()
