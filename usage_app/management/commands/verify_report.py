"""`manage.py verify_report`: whether a file is what the gateway made, and what changed since."""

from __future__ import annotations

import re
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from gateway_project.core.ids import parse_public_id
from usage_app.models import ReportExport
from usage_app.services.exports.manifest import BadManifest, parse_manifest
from usage_app.services.exports.sources import own_sources
from usage_app.services.exports.storage import file_path
from usage_app.services.exports.verify import is_sound, verify

_EXPORT_ID = re.compile(r"exp_[0-9a-f]{32}")


class Command(BaseCommand):
    """Print what was looked at; ends with status 1 if anything is wrong."""

    help = "Verify a file of a report by its manifest, the rollups of today and the audit chain."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """The file, and where its manifest is."""
        parser.add_argument("file", help="a file, or the id of an export (exp_…), whose file is here")
        parser.add_argument("--manifest", type=Path, help="default: <file>.manifest.json, or our own copy")

    def handle(self, *_: Any, file: str, manifest: Path | None, **__: Any) -> None:
        """Look at everything and say it."""
        row = _row(file) if _EXPORT_ID.fullmatch(file) else None
        path = file_path(row) if row is not None else Path(file)
        if not path.is_file():
            raise CommandError(f"There is no file {path}.")
        said = _manifest(path, manifest, row)
        stored = row if row is not None else _row(str(said.get("export_id")))
        verdicts = verify(
            path,
            said,
            ring=settings.GATEWAY_ENCRYPTION_RING,
            sources=own_sources(),
            stored=stored.manifest if stored is not None else None,
        )
        if stored is None:
            self.stdout.write("differs  This gateway has no record of the export that the manifest names.")
        for verdict in verdicts:
            self.stdout.write(f"{verdict.kind:8} {verdict.text}")
        if not is_sound(verdicts):
            raise CommandError("The report is not what the gateway made, or its evidence is gone.")
        self.stdout.write("The report is what the gateway made.")


def _row(text: str) -> ReportExport | None:
    export_id = parse_public_id("exp", text)
    return None if export_id is None else ReportExport.objects.filter(pk=export_id).first()


def _manifest(path: Path, given: Path | None, row: ReportExport | None) -> dict[str, Any]:
    if given is None and row is not None and row.manifest is not None:
        return dict(row.manifest)
    source = given or path.with_name(f"{path.name}.manifest.json")
    try:
        return parse_manifest(source.read_text(encoding="utf-8"))
    except OSError as error:
        raise CommandError(f"There is no manifest {source}; name it by --manifest.") from error
    except (BadManifest, UnicodeDecodeError) as error:
        raise CommandError(f"{source} is not a manifest: {error}.") from error
