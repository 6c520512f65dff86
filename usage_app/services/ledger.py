"""The ledger of a process: entries go to the journal at once, from there to the database in the background.

What is told to the outside (admission, health) is kept fresh by the flusher's thread, each second.
"""

from __future__ import annotations

import logging
import os
import shutil
import threading
import time
from pathlib import Path
from typing import TypedDict

from django.conf import settings
from django.db import Error as DatabaseError
from django.db import connection

from gateway_project.core.db import close_connections_of_this_thread
from usage_app.entry import UsageEntry
from usage_app.errors import JournalFull
from usage_app.services.flusher import Flusher
from usage_app.services.journal import SEGMENT_BYTES, Journal
from usage_app.services.live import feed

logger = logging.getLogger(__name__)

_INTERVAL_S = 0.25
# So many records in one go are a busy server's: larger batches cost it less, if nobody watches live.
_BUSY_RECORDS = 250
_BUSY_INTERVAL_S = 1.0
_REFRESH_S = 1.0
_ADOPT_S = 5.0
_SLOWEST_RETRY_S = 5.0


class LedgerHealth(TypedDict):
    """What readiness and the admin show. `warnings` are for a person, `admission_error` stops requests."""

    is_running: bool
    admission_error: str | None
    warnings: list[str]
    backlog_bytes: int
    free_bytes: int | None
    rejected_files: int
    database_error: str | None
    seconds_since_flush: float | None


class Ledger:
    """One per process. Building it touches nothing; the first entry opens the journal.

    `folder` is the journal's, by default the one of the settings.
    """

    def __init__(self, folder: Path | None = None, *, segment_bytes: int = SEGMENT_BYTES) -> None:
        self._folder = folder
        self._segment_bytes = segment_bytes
        self._build_lock = threading.Lock()
        self._flush_lock = threading.Lock()
        self._parts: tuple[Journal, Flusher] | None = None
        self._thread: threading.Thread | None = None
        self._stop = threading.Event()
        self._admission_error: str | None = None
        self._database_error: str | None = None
        self._backlog_bytes = 0
        self._free_bytes: int | None = None
        self._rejected_files = 0
        self._flushed_at: float | None = None
        self._pid = 0

    def append(self, entry: UsageEntry, attached: bytes = b"") -> None:
        """Record one settled request, for good, before its last bytes go out; a few microseconds.

        `attached` are lines of other kinds (`line_kinds`) that belong to it. Raises JournalFull (503) if the
        disk refuses.
        """
        journal = (self._parts or self._build())[0]
        try:
            journal.append(entry, attached)
        except JournalFull:
            self._admission_error = f"the journal is not writable: {journal.failure}"
            raise

    def append_line(self, line: bytes) -> None:
        """Record a whole line of another kind; raises JournalFull (503) if the disk refuses."""
        journal = (self._parts or self._build())[0]
        try:
            journal.append_line(line)
        except JournalFull:
            self._admission_error = f"the journal is not writable: {journal.failure}"
            raise

    def admission_error(self) -> str | None:
        """Why no further request may be taken now; None while all is well."""
        return self._admission_error

    def start(self) -> None:
        """Start the thread that moves entries into the database, once per process."""
        if self._thread is not None and self._thread.is_alive() and self._pid == os.getpid():
            return
        if self._pid != os.getpid():
            # A lock that another thread held at a fork would never be released in the child.
            self._flush_lock = threading.Lock()
            self._pid = os.getpid()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(self._stop,), name="ledger", daemon=True)
        self._thread.start()

    def stop(self, timeout_s: float = 5.0) -> bool:
        """Flush what is left and end the thread; False if it did not end in time.

        What could not be flushed stays in the journal for whoever comes next.
        """
        self._stop.set()
        thread, self._thread = self._thread, None
        if thread is None or not thread.is_alive():
            return True
        thread.join(timeout_s)
        return not thread.is_alive()

    def flush_now(self) -> int:
        """Move everything now, in this thread and its transaction; how many records were new."""
        flusher = (self._parts or self._build())[1]
        with self._flush_lock:
            stored = flusher.flush() + flusher.adopt()
        self.refresh()
        return stored

    def refresh(self) -> None:
        """Look at the disk again: what `admission_error` and `health` answer follows from it."""
        journal, flusher = self._parts or self._build()
        if journal.failure is not None:
            journal.probe()
        try:
            self._rejected_files = flusher.rejects.files()
            self._backlog_bytes = flusher.backlog_bytes()
            self._free_bytes = _free_bytes(journal.folder)
        except OSError as error:
            self._admission_error = f"the journal folder is not readable: {error.strerror}"
        else:
            self._admission_error = self._find_admission_error(journal.failure)

    def health(self) -> LedgerHealth:
        """The ledger's state as of the last second."""
        warnings = []
        if self._rejected_files:
            warnings.append(f"{self._rejected_files} files of rejected lines wait in journal/rejected")
        if self._database_error is not None:
            warnings.append("the database is away; requests are kept in the journal")
        return {
            "is_running": self._thread is not None and self._thread.is_alive(),
            "admission_error": self._admission_error,
            "warnings": warnings,
            "backlog_bytes": self._backlog_bytes,
            "free_bytes": self._free_bytes,
            "rejected_files": self._rejected_files,
            "database_error": self._database_error,
            "seconds_since_flush": None
            if self._flushed_at is None
            else round(time.monotonic() - self._flushed_at, 3),
        }

    def _build(self) -> tuple[Journal, Flusher]:
        with self._build_lock:
            if self._parts is None:
                folder = self._folder or settings.JOURNAL_DIR
                journal = Journal(folder, segment_bytes=self._segment_bytes)
                self._parts = journal, Flusher(folder, journal)
            return self._parts

    def _find_admission_error(self, journal_failure: str | None) -> str | None:
        if journal_failure is not None:
            return f"the journal is not writable: {journal_failure}"
        if self._free_bytes is not None and self._free_bytes < settings.JOURNAL_MIN_FREE_BYTES:
            return f"{self._free_bytes} bytes are free for the journal, fewer than GATEWAY_JOURNAL_MIN_FREE"
        if self._backlog_bytes > settings.JOURNAL_MAX_BACKLOG_BYTES:
            return f"{self._backlog_bytes} bytes wait in the journal, more than GATEWAY_JOURNAL_MAX_BACKLOG"
        return None

    def _run(self, stop: threading.Event) -> None:
        journal, flusher = self._parts or self._build()
        next_refresh = next_adoption = next_flush = 0.0
        retry_s = _INTERVAL_S
        while not stop.is_set():
            now = time.monotonic()
            if now >= next_refresh:
                self.refresh()
                next_refresh = now + _REFRESH_S
            if now >= next_flush:
                is_adopting = now >= next_adoption
                stored = self._flush_or_back_off(journal, flusher, is_adopting=is_adopting)
                if stored is not None:
                    retry_s = _INTERVAL_S
                    is_busy = stored >= _BUSY_RECORDS and not feed.is_watched
                    next_flush = now + _BUSY_INTERVAL_S if is_busy else 0.0
                    next_adoption = now + _ADOPT_S if is_adopting else next_adoption
                else:
                    next_flush = now + retry_s
                    retry_s = min(retry_s * 2, _SLOWEST_RETRY_S)
            stop.wait(_INTERVAL_S)
        self._flush_or_back_off(journal, flusher, is_adopting=False)
        journal.close()
        close_connections_of_this_thread()

    def _flush_or_back_off(self, journal: Journal, flusher: Flusher, *, is_adopting: bool) -> int | None:
        """How many records were new, None if the database or the disk is away."""
        try:
            with self._flush_lock:
                stored = flusher.flush()
                if is_adopting:
                    stored += flusher.adopt()
        except Exception as error:  # noqa: BLE001  (whatever happens, the thread lives and tries again)
            self._note_failure(journal, error)
            return None
        if self._database_error is not None:
            logger.warning("ledger.database_back")
            self._database_error = None
        self._flushed_at = time.monotonic()
        return stored

    def _note_failure(self, journal: Journal, error: Exception) -> None:
        if self._database_error is None:
            logger.error("ledger.flush_failed", exc_info=error)
        self._database_error = type(error).__name__
        if isinstance(error, DatabaseError):
            connection.close()
        try:
            # The journal is now the only place where these requests are written.
            journal.sync()
        except OSError as sync_error:
            logger.error("ledger.sync_failed", extra={"reason": sync_error.strerror})


def _free_bytes(folder: Path) -> int | None:
    """Free space where the folder is or will be; None if that can't be told."""
    for place in (folder, *folder.parents):
        try:
            return shutil.disk_usage(place).free
        except FileNotFoundError:
            continue
    return None


ledger = Ledger()
