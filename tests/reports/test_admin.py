"""Reports in the admin: asking, following, downloading, verifying, by those who may."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.contrib.auth.models import Group, User
from django.test import Client
from django.urls import reverse

from gateway_project.roles import synchronise
from security_app.models import AuditEvent
from tests.reports.usage import made, save, use_some
from usage_app.models import Report, ReportExport
from usage_app.services.exports.jobs import make_files
from usage_app.services.exports.storage import file_path, show_pulse
from usage_app.services.reports import queue_export

pytestmark = pytest.mark.django_db
FORM: dict[str, Any] = {
    "name": "Models",
    "period": "fixed",
    "first_day": "2026-02-01",
    "last_day": "2026-02-28",
    "time_zone": "Europe/Berlin",
    "group_by": ["model", "day"],
    "filters": "model: acme/small\nuser: ",
    "format": "csv",
}
SAVED = {**FORM, "period": "yesterday", "schedule": "daily", "hour": "7", "is_enabled": "on"}
SAVED |= {"recipients": "a@example.org, b@example.org"}


def url(name: str, row: ReportExport | Report | None = None) -> str:
    model = "report" if row is None or isinstance(row, Report) else "reportexport"
    return reverse(f"admin:usage_app_{model}_{name}", args=[] if row is None else [row.pk])


def client_of(role: str) -> Client:
    """The browser of somebody in a role."""
    synchronise()
    user = User.objects.create_user(role, is_staff=True)
    user.groups.add(Group.objects.get(name=role))
    client = Client()
    client.force_login(user)
    return client


def test_a_file_is_asked_for_followed_and_downloaded(admin_client: Client) -> None:
    use_some()
    asked = admin_client.post("/admin/reports/", FORM)
    export = ReportExport.objects.get()
    waiting = admin_client.get(url("change", export)).content.decode()
    before = admin_client.get(url("progress", export)).json()
    make_files()
    after = admin_client.get(url("progress", export)).json()
    page = admin_client.get(url("change", export)).content.decode()
    download = admin_client.get(url("download", export))
    manifest = admin_client.get(url("manifest", export))

    assert asked.headers["location"] == url("change", export)
    assert export.query["group_by"] == ["day", "model"]
    assert export.query["filters"] == {"model": ["acme/small"], "user": [""]}
    assert export.query["start"] == "2026-01-31T23:00:00Z"
    assert "No worker has looked for files" in waiting
    assert (before["state"], before["share"], before["has_ended"]) == ("queued", None, False)
    assert (after["state"], after["share"], after["has_ended"]) == ("done", 100, True)
    export.refresh_from_db()
    assert export.sha256 in page
    assert download.getvalue() == file_path(export).read_bytes()
    assert download.headers["content-disposition"] == f'attachment; filename="{export.file_name}"'
    assert json.loads(manifest.content) == export.manifest
    assert AuditEvent.objects.filter(action="report.downloaded").count() == 2


def test_what_is_wrong_with_a_form_is_said_while_it_is_filled_in(admin_client: Client) -> None:
    good = admin_client.post(url("check"), FORM).json()
    bad = admin_client.post(url("check"), {**FORM, "filters": "colour: red"}).json()
    worse = admin_client.post(url("check"), {**FORM, "first_day": "", "filters": "nonsense"}).json()
    save()
    taken = admin_client.post(url("check"), FORM).json()

    assert good == {"errors": {}, "summary": "From 2026-02-01 00:00 to 2026-03-01 00:00, Europe/Berlin."}
    assert taken == good
    assert list(bad["errors"]) == ["Filters"]
    assert "no colon" in worse["errors"]["Filters"]
    assert ReportExport.objects.count() == 0


def test_a_wrong_form_is_shown_again_with_its_errors(admin_client: Client) -> None:
    page = admin_client.post("/admin/reports/", {**FORM, "first_day": "2026-03-01"}).content.decode()

    assert "The last day must not be before the first." in page
    assert ReportExport.objects.count() == 0


def test_a_report_is_saved_changed_run_and_deleted(admin_client: Client) -> None:
    assert admin_client.post(url("add"), SAVED).status_code == 302
    row = Report.objects.get()
    assert (row.recipients, row.hour, row.owner) == (["a@example.org", "b@example.org"], 7, "admin")
    form = admin_client.get(url("change", row)).content.decode()
    assert "model: acme/small" in form
    show_pulse()

    changed = admin_client.post(url("change", row), {**SAVED, "format": "pdf", "name": "Other"})
    ran = admin_client.post(url("run", row))
    export = ReportExport.objects.get()
    deleted = admin_client.post(url("delete", row), {"post": "yes"})

    assert (changed.status_code, ran.status_code, deleted.status_code) == (302, 302, 302)
    assert (export.format, export.title, export.recipients) == ("pdf", "Other", [])
    assert Report.objects.count() == 0
    export.refresh_from_db()
    assert export.report is None
    actions = list(AuditEvent.objects.order_by("seq").values_list("action", flat=True))
    assert [action for action in actions if action.startswith("report.")] == [
        "report.created",
        "report.updated",
        "report.requested",
        "report.deleted",
    ]


def test_a_file_is_verified_on_its_page(admin_client: Client) -> None:
    use_some()
    export = made()
    good = admin_client.post(url("verify", export)).content.decode()
    path = file_path(export)
    path.write_bytes(path.read_bytes().replace(b"acme/small", b"acme/large", 1))

    bad = admin_client.post(url("verify", export)).content.decode()

    assert "The file is what the gateway made." in good
    assert "The sums of today are the same." in good
    assert "Something is wrong." in bad
    assert "row 1 is the first that was changed" in bad


@pytest.mark.parametrize("role", ["administrator", "auditor", "finance"])
def test_who_may_export_does(role: str) -> None:
    use_some()
    export = made()
    client = client_of(role)

    assert client.get("/admin/reports/").status_code == 200
    assert client.post("/admin/reports/", {**FORM, "name": role}).status_code == 302
    answer = client.get(url("download", export))
    assert (answer.status_code, answer.getvalue()) == (200, file_path(export).read_bytes())
    assert client.post(url("verify", export)).status_code == 200
    assert client.get(url("changelist")).status_code == 200
    assert client.get(url("add")).status_code == (403 if role == "auditor" else 200)


@pytest.mark.parametrize("role", ["operator", "team admin"])
def test_who_may_not_export_is_refused(role: str) -> None:
    export = made()
    row = save()
    client = client_of(role)

    for path in (
        "/admin/reports/",
        url("download", export),
        url("manifest", export),
        url("progress", export),
    ):
        assert client.get(path).status_code == 403, path
    for path in ("/admin/reports/", url("verify", export), url("run", row), url("check")):
        assert client.post(path, FORM).status_code == 403, path
    assert ReportExport.objects.count() == 1
    assert not AuditEvent.objects.filter(action="report.downloaded").exists()


def test_nothing_is_made_by_a_link(admin_client: Client) -> None:
    row = save()

    assert admin_client.get(url("run", row)).status_code == 405
    assert admin_client.get(url("verify", made())).status_code == 405


def test_a_file_that_is_gone_is_said(admin_client: Client) -> None:
    export = queue_export(save(), requested_by="alice")
    early = admin_client.get(url("download", export), follow=True).content.decode()
    make_files()
    ReportExport.objects.update(state="expired")

    late = admin_client.get(url("download", export), follow=True).content.decode()

    assert "not ready" in early
    assert "beyond its retention" in late


def test_lists_show_what_there_is(admin_client: Client) -> None:
    use_some()
    export = made()
    path = reverse("admin:usage_app_reportexport_changelist")
    files = admin_client.get(path, {"report__id__exact": str(export.report_id)})
    reports = admin_client.get(url("changelist"))

    assert "4 of 4 rows" in files.content.decode()
    assert "Models as csv" in reports.content.decode()
