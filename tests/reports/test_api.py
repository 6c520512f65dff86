"""`/reports`: saving, asking for files, and getting them, by the holder of an admin key."""

from __future__ import annotations

import hashlib
import json
from collections.abc import AsyncIterator
from io import BytesIO
from pathlib import Path
from typing import Any, cast

import pytest
from django.core.handlers.asgi import ASGIRequest
from django.test import Client

from security_app.models import AuditEvent
from tests.management.caller import Caller
from tests.reports.usage import use_some
from usage_app.downloads import file_answer
from usage_app.models import Report
from usage_app.services.exports.jobs import make_files
from usage_app.services.exports.storage import file_path, show_pulse

FEBRUARY = {"period": "fixed", "first_day": "2026-02-01", "last_day": "2026-02-28"}
BODY: dict[str, Any] = {"name": "Models", "group_by": ["day", "model"], **FEBRUARY}


def test_a_saved_report_is_made_and_downloaded(admin: Caller) -> None:
    use_some()
    saved = admin.ok("POST", "/reports", {**BODY, "filters": {"model": ["acme/small"]}})
    asked = admin.ok("POST", f"/reports/{saved['id']}/run")
    early = admin.refused("GET", f"/reports/exports/{asked['id']}/download")
    make_files()
    show_pulse()

    done = admin.ok("GET", f"/reports/exports/{asked['id']}")
    answer = Client().get(
        f"/reports/exports/{asked['id']}/download", headers={"authorization": f"Bearer {admin.key}"}
    )
    content = answer.getvalue()
    manifest = json.loads(admin.get(f"/reports/exports/{asked['id']}/manifest").content)

    assert (asked["state"], asked["has_worker"]) == ("queued", False)
    assert (early["status"], early["code"]) == (409, "conflict")
    assert (done["state"], done["report_id"], done["has_worker"]) == ("done", saved["id"], True)
    assert hashlib.sha256(content).hexdigest() == done["sha256"] == manifest["sha256"]
    assert answer.headers["content-disposition"] == 'attachment; filename="models_2026-02-01_2026-02-28.csv"'
    assert answer.headers["content-length"] == str(len(content))
    assert manifest["totals"]["requests"] == "4"
    events = AuditEvent.objects.filter(action="report.downloaded").order_by("seq")
    assert [json.loads(event.detail)["what"] for event in events] == ["file", "manifest"]


def test_a_report_needs_not_be_saved(admin: Caller) -> None:
    asked = admin.ok("POST", "/reports/run", {**BODY, "format": "focus"})

    assert asked["report_id"] is None
    assert asked["query"]["group_by"][0] == "day"
    assert Report.objects.count() == 0


def test_saved_reports_are_listed_and_deleted(admin: Caller) -> None:
    for name in ("b", "a", "c"):
        admin.ok("POST", "/reports", {**BODY, "name": name})

    page = admin.ok("GET", "/reports?size=2")
    gone = admin.ok("DELETE", f"/reports/{page['data'][0]['id']}")

    assert [row["name"] for row in page["data"]] == ["a", "b"]
    assert (page["total_count"], page["total_pages"]) == (3, 2)
    assert gone == {"id": page["data"][0]["id"], "deleted": True}
    assert admin.ok("GET", "/reports")["total_count"] == 2


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"name": " "}, "name"),
        ({"period": "someday"}, "period"),
        ({"last_day": None}, "first_day"),
        ({"last_day": "2026-01-01"}, "last_day"),
        ({"first_day": "1826-01-01"}, "first_day"),
        ({"period": "yesterday"}, "first_day"),
        ({"time_zone": "Mars/Olympus"}, "time_zone"),
        ({"time_zone": "../etc/passwd"}, "time_zone"),
        ({"group_by": ["colour"]}, "group_by"),
        ({"group_by": ["day", "hour"]}, "group_by"),
        ({"group_by": ["key", "key"]}, "group_by"),
        ({"filters": {"colour": ["red"]}}, "filters.colour"),
        ({"filters": {"model": []}}, "filters.model"),
        ({"filters": {"key": ["alice"]}}, "filters.key"),
        ({"group_by": ["tag"], "filters": {"end_user": ["x"]}}, "filters"),
        ({"format": "html"}, "format"),
        ({"format": "focus", "filters": {"tag": ["x"]}}, "filters.tag"),
        ({"schedule": "daily"}, "schedule"),
        ({"schedule": "yearly"}, "schedule"),
        ({"hour": 24}, "hour"),
        ({"recipients": ["nobody"]}, "recipients"),
        ({"recipients": ["a@example.org\nBcc: b@example.org"]}, "recipients"),
        ({"unknown": 1}, "unknown"),
    ],
)
def test_what_is_wrong_is_named(admin: Caller, change: dict[str, Any], param: str) -> None:
    error = admin.refused("POST", "/reports", {**BODY, **change})

    assert (error["status"], error["param"]) == (400, param)
    assert Report.objects.count() == 0


def test_two_reports_of_one_name_are_refused(admin: Caller) -> None:
    admin.ok("POST", "/reports", BODY)

    assert admin.refused("POST", "/reports", BODY)["status"] == 409


@pytest.mark.parametrize(
    "path",
    [
        "/reports/exports/nonsense",
        "/reports/exports/exp_01900000000070008000000000000000/download",
        "/reports/exports/..%2f..%2fetc/download",
    ],
)
def test_what_does_not_exist_is_not_found(admin: Caller, path: str) -> None:
    assert admin.refused("GET", path)["status"] == 404


def test_a_file_that_is_not_here_is_said(admin: Caller) -> None:
    from usage_app.models import ReportExport

    asked = admin.ok("POST", "/reports/run", BODY)
    make_files()
    file_path(ReportExport.objects.get()).unlink()

    error = admin.refused("GET", f"/reports/exports/{asked['id']}/download")

    assert "GATEWAY_REPORTS_DIR" in error["message"]


def test_ids_are_taken_as_people_have_them(admin: Caller) -> None:
    ids = ["key_019000000000700080000000000a11c0", "01900000-0000-7000-8000-0000000A11C0", ""]

    asked = admin.ok("POST", "/reports/run", {**BODY, "filters": {"key": ids}})

    assert asked["query"]["filters"] == {"key": ["019000000000700080000000000a11c0", ""]}


async def test_a_file_is_sent_in_pieces_on_the_event_loop_too(tmp_path: Path) -> None:
    path = tmp_path / "big.csv"
    path.write_bytes(b"0123456789abcdef" * 50_000)
    request = ASGIRequest({"type": "http", "method": "GET", "path": "/", "headers": []}, BytesIO())

    answer = file_answer(request, path, name='a"b.csv', content_type="text/csv")
    pieces = [piece async for piece in cast(AsyncIterator[bytes], answer.streaming_content)]
    answer.close()

    assert b"".join(pieces) == path.read_bytes()
    assert max(map(len, pieces)) < 300_000
