"""The durable journal of a process: append-only segments on disk that the flusher moves into the database.

A segment is `<random instance>-<n>.jsonl`. Its writer holds an flock on it for as long as it lives, so a
segment with a free lock belongs to nobody and may be adopted (`usage_app.services.segments`). It is created
under a temporary name, locked, then renamed: nobody ever sees an unlocked segment of a living process.
"""

from __future__ import annotations

import fcntl
import logging
import os
import secrets
import threading
import weakref
from pathlib import Path

from usage_app.entry import UsageEntry
from usage_app.errors import JournalFull
from usage_app.services.lines import encode

logger = logging.getLogger(__name__)

SEGMENT_BYTES = 8 * 1024 * 1024
SUFFIX = ".jsonl"
TEMPORARY_SUFFIX = ".new"
_OPEN_ATTEMPTS = 5
_FLAGS = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC


class Segment:
    """One file of our own. `written` grows by whole lines; `committed` is how much the database has."""

    __slots__ = ("committed", "fd", "is_sealed", "path", "synced", "written")

    def __init__(self, path: Path, fd: int) -> None:
        self.path = path
        self.fd = fd
        self.written = 0
        self.committed = 0
        self.synced = 0
        self.is_sealed = False

    @property
    def backlog(self) -> int:
        """Bytes that are not in the database yet."""
        return self.written - self.committed


class Journal:
    """Appends entries to the current segment; safe from the event loop and from threads.

    The first segment is opened by the first entry, and anew in a forked child, so no two processes ever
    share one.
    """

    def __init__(self, folder: Path, *, segment_bytes: int = SEGMENT_BYTES) -> None:
        self.folder = folder
        self.failure: str | None = None
        self._segment_bytes = segment_bytes
        self._lock = threading.Lock()
        self._instance = secrets.token_hex(8)
        self._number = 0
        self._current: Segment | None = None
        self._sealed: list[Segment] = []
        _journals.add(self)

    def append(self, entry: UsageEntry, attached: bytes = b"") -> None:
        """Write one entry as a whole line; when this returns, killing the process can't lose it.

        `attached` are whole lines of other kinds, written with it or not at all. Raises JournalFull if the
        line could not be written; the file then holds nothing of it.
        """
        self.append_line(encode(entry) + attached)

    def append_line(self, line: bytes) -> None:
        """Write whole lines that are encoded already, as `append`."""
        with self._lock:
            segment = self._current
            if segment is None or segment.written >= self._segment_bytes:
                segment = self._next_segment()
            try:
                count = os.write(segment.fd, line)
            except OSError as error:
                raise self._failed(error) from error
            if count != len(line):
                self._finish_short_write(segment, line[count:])
            segment.written += len(line)

    def segments(self) -> tuple[Segment, ...]:
        """Our segments that still exist, the oldest first; the last may be the one in use."""
        with self._lock:
            return (*self._sealed, self._current) if self._current else tuple(self._sealed)

    def rotate(self) -> None:
        """Seal the current segment, so that it can go once it is committed; the next entry opens another."""
        with self._lock:
            self._seal()

    def remove(self, segment: Segment) -> None:
        """Delete a sealed segment, all of which the database has."""
        with self._lock:
            self._sealed.remove(segment)
        segment.path.unlink(missing_ok=True)
        os.close(segment.fd)

    def sync(self) -> None:
        """Make what the database does not have survive a power cut too: one fsync for all lines so far."""
        for segment in self.segments():
            written = segment.written
            if segment.synced < written and segment.backlog:
                os.fsync(segment.fd)
                if not segment.synced:
                    _sync_folder(self.folder)
                segment.synced = written

    def close(self) -> None:
        """Give up all segments. What is not committed stays on disk for whoever adopts it."""
        with self._lock:
            self._seal()
            sealed, self._sealed = self._sealed, []
        for segment in sealed:
            if segment.committed == segment.written:
                segment.path.unlink(missing_ok=True)
            os.close(segment.fd)

    def is_own(self, name: str) -> bool:
        """Whether a file name is that of a segment of ours."""
        return name.startswith(self._instance)

    def probe(self) -> None:
        """After a failure, find out whether writing works again; `failure` is None once it does."""
        path = self.folder / f".{self._instance}.probe"
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with path.open("wb") as file:
                file.write(b"\n" * 4096)
            path.unlink()
        except OSError as error:
            self.failure = _reason(error)
        else:
            self.failure = None

    def forget_parent(self) -> None:
        """In a forked child: the parent's segments are the parent's; ours will be new ones."""
        inherited = [*self._sealed, *([self._current] if self._current else [])]
        for segment in inherited:
            os.close(segment.fd)  # The lock stays with the parent's descriptor.
        self._lock = threading.Lock()
        self._instance = secrets.token_hex(8)
        self._current = None
        self._sealed = []

    def _next_segment(self) -> Segment:
        try:
            segment = self._open()
        except OSError as error:
            raise self._failed(error) from error
        self._seal()
        self._current = segment
        return segment

    def _seal(self) -> None:
        if self._current is not None:
            self._current.is_sealed = True
            self._sealed.append(self._current)
            self._current = None

    def _open(self) -> Segment:
        self.folder.mkdir(parents=True, exist_ok=True)
        for attempt in range(_OPEN_ATTEMPTS):
            self._number += 1
            path = self.folder / f"{self._instance}-{self._number}{SUFFIX}"
            temporary = path.with_suffix(TEMPORARY_SUFFIX)
            fd = os.open(temporary, _FLAGS, 0o600)
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                temporary.rename(path)
            except (BlockingIOError, FileNotFoundError):
                # A cleaner took it for an orphan, between the opening and the lock.
                os.close(fd)
                if attempt == _OPEN_ATTEMPTS - 1:
                    raise
            except OSError:
                os.close(fd)
                raise
            else:
                return Segment(path, fd)
        raise OSError("no segment could be opened")

    def _finish_short_write(self, segment: Segment, rest: bytes) -> None:
        """Complete a line that the disk took in part, or cut the part off again."""
        try:
            while rest:
                count = os.write(segment.fd, rest)
                rest = rest[count:]
        except OSError as error:
            try:
                os.ftruncate(segment.fd, segment.written)
            except OSError:
                # The part stays as a torn last line, which readers drop; nothing may follow it.
                self._seal()
            raise self._failed(error) from error

    def _failed(self, error: OSError) -> JournalFull:
        if self.failure is None:
            logger.error("ledger.journal_failed", extra={"reason": _reason(error)})
        self.failure = _reason(error)
        return JournalFull()


def _sync_folder(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _reason(error: OSError) -> str:
    return error.strerror or type(error).__name__


_journals: weakref.WeakSet[Journal] = weakref.WeakSet()


def _forget_parents() -> None:
    for journal in list(_journals):
        journal.forget_parent()


os.register_at_fork(after_in_child=_forget_parents)
