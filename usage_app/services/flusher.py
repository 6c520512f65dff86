"""Moves journal lines into the database: our own segments as they grow, those of dead processes whole.

Nothing is kept in memory between batches; a segment is read from where the database stands. Whatever is
interrupted is done again, and doing it again changes nothing (`usage_app.services.record_store`).
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from django.db import DataError, IntegrityError

from usage_app.services import record_store
from usage_app.services.journal import Journal, Segment
from usage_app.services.line_kinds import LineKind, kind_of
from usage_app.services.lines import BadLine, LaterVersion, Line, decode
from usage_app.services.live import feed
from usage_app.services.rejects import Rejects
from usage_app.services.segments import adopted, read_lines, remove_orphans, segment_paths, size_of

logger = logging.getLogger(__name__)

# A segment that is committed and has at least this size goes, though it is not full.
_IDLE_SEGMENT_BYTES = 1024 * 1024
# What the database says about a row. Everything else it says is about itself, and is tried again.
_REFUSALS = (DataError, IntegrityError, ValueError, TypeError, OverflowError)


class Flusher:
    """The one who moves lines; without a journal it only adopts. One thread at a time may use it.

    Its methods raise `django.db.Error` or OSError when the database or the disk is away: nothing is lost,
    call again later.
    """

    def __init__(self, folder: Path, journal: Journal | None = None) -> None:
        self.rejects = Rejects(folder)
        self._folder = folder
        self._journal = journal
        self._left_alone: set[Path] = set()

    def flush(self) -> int:
        """Store everything that our own journal holds by now; how many records were new."""
        if self._journal is None:
            return 0
        stored = 0
        for segment in self._journal.segments():
            is_sealed = segment.is_sealed
            end = segment.written
            while segment.committed < end:
                lines, following = read_lines(segment.fd, segment.committed, end)
                stored += self._store_lines(lines, is_live=True)
                segment.committed = following
            self._retire(segment, is_sealed=is_sealed)
        return stored

    def adopt(self) -> int:
        """Store and delete the segments of processes that are gone; how many records were new."""
        stored = 0
        for path in segment_paths(self._folder):
            if path in self._left_alone or self._is_own(path.name):
                continue
            with adopted(path) as fd:
                if fd is not None:
                    stored += self._adopt_one(path, fd)
        remove_orphans(self._folder, is_own=self._is_own)
        return stored

    def backlog_bytes(self) -> int:
        """What is not in the database yet: exact for our own segments, at most so much for others'."""
        own = sum(segment.backlog for segment in self._journal.segments()) if self._journal else 0
        return own + sum(size_of(path) for path in segment_paths(self._folder) if not self._is_own(path.name))

    def _is_own(self, name: str) -> bool:
        return self._journal is not None and self._journal.is_own(name)

    def _retire(self, segment: Segment, *, is_sealed: bool) -> None:
        if self._journal is None or segment.backlog:
            return
        if is_sealed:
            self._journal.remove(segment)
        elif segment.written >= _IDLE_SEGMENT_BYTES:
            self._journal.rotate()

    def _adopt_one(self, path: Path, fd: int) -> int:
        stored, position, end = 0, 0, os.fstat(fd).st_size
        try:
            while position < end:
                lines, following = read_lines(fd, position, end)
                if not lines:
                    stored += self._store_torn_line(path, os.pread(fd, end - position, position))
                    break
                stored += self._store_lines(lines)
                position = following
        except LaterVersion:
            logger.warning("ledger.segment_of_later_version", extra={"segment": path.name})
            self._left_alone.add(path)
            return stored
        path.unlink(missing_ok=True)
        logger.info("ledger.segment_adopted", extra={"segment": path.name, "bytes": end, "records": stored})
        return stored

    def _store_torn_line(self, path: Path, line: bytes) -> int:
        """A last line without its end; what a kill cut belongs to a request that was not answered."""
        try:
            kind = kind_of(line)
            decode(line) if kind is None else kind.decode(line)
        except BadLine:
            logger.warning("ledger.torn_line", extra={"segment": path.name, "line_bytes": len(line)})
            return 0
        return self._store_lines([line])

    def _store_lines(self, lines: list[bytes], *, is_live: bool = False) -> int:
        pairs: list[tuple[bytes, Line]] = []
        others: dict[LineKind, list[tuple[bytes, Any]]] = {}
        for line in lines:
            try:
                kind = kind_of(line)
                if kind is None:
                    pairs.append((line, decode(line)))
                else:
                    others.setdefault(kind, []).append((line, kind.decode(line)))
            except BadLine as error:
                self.rejects.add(line, str(error))
        stored = self._store(pairs, record_store.store)
        stored += sum(self._store(found, kind.store) for kind, found in others.items())
        if is_live:
            feed.publish([line for _, line in pairs])
        return stored

    def _store(self, pairs: list[tuple[bytes, Any]], store: Callable[[list[Any]], int]) -> int:
        """Store a batch; if the database refuses it, find the lines that are to blame by halving."""
        if not pairs:
            return 0
        try:
            return store([line for _, line in pairs])
        except _REFUSALS as error:
            if len(pairs) == 1:
                # The server's own text can quote values; the type says enough.
                self.rejects.add(pairs[0][0], f"{type(error).__name__}: {type(error.__cause__).__name__}")
                return 0
        middle = len(pairs) // 2
        return self._store(pairs[:middle], store) + self._store(pairs[middle:], store)
