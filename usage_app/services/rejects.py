"""Lines that the database refuses: kept as they are in `<journal>/rejected/`, where a person decides.

Once the cause is cured, a file moved back into the journal folder is adopted like any dead segment.
"""

from __future__ import annotations

import logging
import os
import secrets
from pathlib import Path

from gateway_project.core.clock import utc_now
from usage_app.services.journal import SUFFIX

logger = logging.getLogger(__name__)

FOLDER = "rejected"
MAX_FILE_BYTES = 64 * 1024 * 1024


class Rejects:
    """The rejected lines of one process: a file a day, of at most 64 MB."""

    def __init__(self, journal_folder: Path) -> None:
        self.folder = journal_folder / FOLDER
        self._instance = secrets.token_hex(8)

    def add(self, line: bytes, reason: str) -> None:
        """Keep one line, on disk before this returns; OSError if it can't be kept."""
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / f"{self._instance}-{utc_now():%Y%m%d}{SUFFIX}"
        fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            is_kept = os.fstat(fd).st_size + len(line) < MAX_FILE_BYTES
            if is_kept:
                _write_all(fd, line + b"\n")
                os.fsync(fd)
        finally:
            os.close(fd)
        logger.error(
            "ledger.line_rejected",
            extra={"reason": reason[:300], "file": path.name, "line_bytes": len(line), "is_kept": is_kept},
        )

    def files(self) -> int:
        """How many files of rejected lines there are, of any process."""
        try:
            return sum(1 for path in self.folder.iterdir() if path.suffix == SUFFIX)
        except FileNotFoundError:
            return 0


def _write_all(fd: int, data: bytes) -> None:
    while data:
        data = data[os.write(fd, data) :]
