"""`/reports`: saved reports, and the files that are made of them."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from ninja import Query, Router

from gateway_project.core.errors import Conflict, InvalidRequest, NotFound
from gateway_project.core.ids import parse_public_id
from security_app.api.auth import actor_name
from security_app.api.queries import page_count, refuse_unknown_parameters
from usage_app.downloads import file_answer
from usage_app.models import Bucket, Report, ReportExport
from usage_app.report_schemas import (
    DeletedReport,
    ExportRow,
    ReportBody,
    ReportList,
    ReportListQuery,
    ReportRow,
    SavedReportBody,
)
from usage_app.services import reports
from usage_app.services.exports.downloads import note_download, ready_file
from usage_app.services.exports.formats import format_named
from usage_app.services.exports.manifest import manifest_text
from usage_app.services.exports.storage import has_worker
from usage_app.services.sinks.management import find_bucket

router = Router(tags=["Reports"])


@router.post("/reports", response=ReportRow, operation_id="create_report", summary="Save a report")
def create_report(request: HttpRequest, body: SavedReportBody) -> ReportRow:
    """With a schedule its files are made by themselves and sent to the recipients and to the bucket."""
    values = body.model_dump()
    if body.bucket is not None:
        values["bucket"] = _bucket(body.bucket)
    return _row(reports.create_report(actor_name(request), values))


@router.get("/reports", response=ReportList, operation_id="list_reports", summary="List saved reports")
def list_reports(request: HttpRequest, query: Query[ReportListQuery]) -> ReportList:
    """By name, in pages."""
    refuse_unknown_parameters(request, ReportListQuery)
    total = Report.objects.count()
    start = (query.page - 1) * query.size
    rows = Report.objects.select_related("bucket").order_by("name")[start : start + query.size]
    return ReportList(
        data=[_row(row) for row in rows],
        total_count=total,
        current_page=query.page,
        total_pages=page_count(total, query.size),
    )


@router.post("/reports/run", response=ExportRow, operation_id="run_query", summary="Ask for a file")
def run_query(request: HttpRequest, body: ReportBody) -> ExportRow:
    """Of a report that is not saved. The file is made by a worker: ask for the export until it is done."""
    row = Report(owner=actor_name(request), **body.model_dump())
    return _export_row(reports.queue_export(row, requested_by=actor_name(request)))


@router.post(
    "/reports/{report_id}/run",
    response=ExportRow,
    operation_id="run_report",
    summary="Ask for a file of a saved report",
)
def run_report(request: HttpRequest, report_id: str) -> ExportRow:
    """Its period as seen from now. The file is made by a worker: ask for the export until it is done."""
    return _export_row(reports.queue_export(_report(report_id), requested_by=actor_name(request)))


@router.delete(
    "/reports/{report_id}", response=DeletedReport, operation_id="delete_report", summary="Delete a report"
)
def delete_report(request: HttpRequest, report_id: str) -> DeletedReport:
    """Its files stay until their retention ends."""
    row = _report(report_id)
    deleted = DeletedReport(id=row.public_id, deleted=True)
    reports.delete_report(row)
    return deleted


@router.get(
    "/reports/exports/{export_id}", response=ExportRow, operation_id="get_export", summary="Show an export"
)
def get_export(request: HttpRequest, export_id: str) -> ExportRow:
    """How far it is."""
    return _export_row(_export(export_id))


@router.get("/reports/exports/{export_id}/download", operation_id="download_export", summary="Get the file")
def download_export(request: HttpRequest, export_id: str) -> HttpResponseBase:
    """The file, in pieces. Each download is written into the audit."""
    row = _export(export_id)
    path = ready_file(row)
    note_download(row)
    return file_answer(request, path, name=row.file_name, content_type=format_named(row.format).content_type)


@router.get(
    "/reports/exports/{export_id}/manifest", operation_id="export_manifest", summary="Get the manifest"
)
def export_manifest(request: HttpRequest, export_id: str) -> HttpResponse:
    """What the file holds, its SHA-256, and a signature; kept longer than the file."""
    row = _export(export_id)
    if row.manifest is None:
        raise Conflict("There is no manifest yet.")
    note_download(row, "manifest")
    return HttpResponse(manifest_text(row.manifest), content_type="application/json")


def _report(text: str) -> Report:
    report_id = parse_public_id("rep", text)
    row = None if report_id is None else Report.objects.filter(pk=report_id).first()
    if row is None:
        raise NotFound("There is no such report.")
    return row


def _export(text: str) -> ReportExport:
    export_id = parse_public_id("exp", text)
    rows = ReportExport.objects.select_related("report")
    row = None if export_id is None else rows.filter(pk=export_id).first()
    if row is None:
        raise NotFound("There is no such export.")
    return row


def _bucket(reference: str) -> Bucket:
    try:
        return find_bucket(reference)
    except NotFound as error:
        raise InvalidRequest(f"There is no bucket '{reference[:100]}'.", param="bucket") from error


def _row(row: Report) -> ReportRow:
    values = {name: getattr(row, name) for name in ReportRow.model_fields if name not in ("id", "bucket")}
    return ReportRow(id=row.public_id, bucket=None if row.bucket is None else row.bucket.name, **values)


def _export_row(row: ReportExport) -> ExportRow:
    own = {"id", "report_id", "has_worker"}
    values = {name: getattr(row, name) for name in ExportRow.model_fields if name not in own}
    report_id = row.report.public_id if row.report is not None else None
    return ExportRow(id=row.public_id, report_id=report_id, has_worker=has_worker(), **values)
