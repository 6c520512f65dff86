"""`manage.py verify_report` and `make_reports`."""

from __future__ import annotations

import json
import shutil
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from django.db import connection

from tests.reports.usage import made, save, use, use_some
from usage_app.models import ReportExport
from usage_app.services.exports.formats import FORMATS
from usage_app.services.exports.storage import file_path, manifest_path
from usage_app.services.reports import queue_export

pytestmark = pytest.mark.django_db


def verified(*arguments: object) -> str:
    out = StringIO()
    call_command("verify_report", *map(str, arguments), stdout=out)
    return out.getvalue()


def refused(*arguments: object) -> str:
    """What is printed, and the error."""
    out = StringIO()
    with pytest.raises(CommandError) as caught:
        call_command("verify_report", *map(str, arguments), stdout=out)
    return f"{out.getvalue()}{caught.value}"


@pytest.mark.parametrize("form", FORMATS)
def test_what_the_gateway_made_passes(form: str, tmp_path: Path) -> None:
    use_some()
    export = made(form)
    file, manifest = tmp_path / "mine", tmp_path / "mine.manifest.json"
    shutil.copy(file_path(export), file)
    shutil.copy(manifest_path(export), manifest)

    for said in (verified(export.public_id), verified(file), verified(file, "--manifest", manifest)):
        assert said.endswith("The report is what the gateway made.\n")
        assert "wrong" not in said
        assert "differs" not in said
        assert "The sums of today are the same." in said
        assert "The audit chain still has event 2" in said


def test_a_changed_file_and_a_forged_manifest_are_named(tmp_path: Path) -> None:
    use_some()
    export = made()
    file = tmp_path / "mine.csv"
    file.write_bytes(file_path(export).read_bytes().replace(b"0.005", b"0.004", 1))
    manifest = json.loads(manifest_path(export).read_text())
    manifest["totals"]["cost_usd"] = "0.001"
    forged = tmp_path / "forged.json"
    forged.write_text(json.dumps(manifest))

    changed = refused(file, "--manifest", manifest_path(export))
    lied = refused(file_path(export), "--manifest", forged)

    assert "is the first that was changed" in changed
    assert "The report is not what the gateway made" in changed
    assert "its signature does not fit what it says" in lied
    assert "The manifest's 'totals' is" in lied


def test_late_usage_passes_and_is_said() -> None:
    use_some()
    export = made()
    use(99)

    said = verified(export.public_id)

    assert "Today: 2026-02-03 / acme/small: requests is 3, the file says 2" in said
    assert said.endswith("The report is what the gateway made.\n")


def test_an_event_that_is_missing_from_the_chain_is_named() -> None:
    export = made()
    with connection.cursor() as cursor:
        _without_triggers(cursor)
        cursor.execute("DELETE FROM security_app_auditevent WHERE seq = 2")

    assert "The audit chain no longer has event 2" in refused(export.public_id)


def _without_triggers(cursor: object) -> None:
    """As somebody who owns the database would."""
    if connection.vendor == "postgresql":
        cursor.execute("ALTER TABLE security_app_auditevent DISABLE TRIGGER USER")  # type: ignore[attr-defined]
        return
    cursor.execute(  # type: ignore[attr-defined]
        "SELECT name FROM sqlite_master WHERE type = 'trigger' AND tbl_name = 'security_app_auditevent'"
    )
    for (name,) in cursor.fetchall():  # type: ignore[attr-defined]
        cursor.execute(f'DROP TRIGGER "{name}"')  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("file", "words"), [("nowhere.csv", "There is no file"), ("exp_" + "0" * 32, "There is no file")]
)
def test_what_is_not_there_is_said(file: str, words: str) -> None:
    assert words in refused(file)


def test_a_manifest_that_is_none_is_said(tmp_path: Path) -> None:
    file = tmp_path / "mine.csv"
    file.write_text("x")
    assert "There is no manifest" in refused(file)
    (tmp_path / "mine.csv.manifest.json").write_text("[]")
    assert "is not a manifest" in refused(file)


def test_files_are_made_where_no_worker_runs() -> None:
    queue_export(save(), requested_by="alice")
    out = StringIO()

    call_command("make_reports", stdout=out)

    assert out.getvalue() == "Made 1 files, tried to send 0 mails.\n"
    assert ReportExport.objects.get().state == "done"
