"""Segments whose writer is gone: finding them, taking them over, and reading lines of any segment."""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from usage_app.services.journal import SUFFIX, TEMPORARY_SUFFIX

CHUNK_BYTES = 512 * 1024
_ORPHAN_AGE_S = 60.0


def segment_paths(folder: Path) -> list[Path]:
    """Every segment in the folder, living or dead, by name."""
    return sorted(path for path in _entries(folder) if path.suffix == SUFFIX)


def size_of(path: Path) -> int:
    """Bytes of a file; 0 if it has just gone."""
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


@contextlib.contextmanager
def adopted(path: Path) -> Iterator[int | None]:
    """Hold the lock of a dead segment and yield its descriptor; None if it lives, or is gone already."""
    try:
        fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        yield None
        return
    try:
        yield fd if _is_locked_and_there(fd, path) else None
    finally:
        os.close(fd)


def _is_locked_and_there(fd: int, path: Path) -> bool:
    """Of several adopters one gets the lock; who comes late may lock a file that was deleted meanwhile."""
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return os.path.samestat(path.stat(), os.fstat(fd))
    except (BlockingIOError, FileNotFoundError):
        return False


def read_lines(fd: int, start: int, end: int) -> tuple[list[bytes], int]:
    """Whole lines from `start`, as many as a batch takes, and where the next begins.

    A stretch without any end of line, longer than a batch, is returned as one line: it can't be ours.
    """
    data = os.pread(fd, min(CHUNK_BYTES, end - start), start)
    cut = data.rfind(b"\n") + 1
    if cut:
        return data[: cut - 1].split(b"\n"), start + cut
    if len(data) == CHUNK_BYTES:
        return [data], start + len(data)
    return [], start


def remove_orphans(folder: Path, *, is_own: Callable[[str], bool]) -> None:
    """Delete what a process left behind that was killed between creating a segment and naming it."""
    oldest = time.time() - _ORPHAN_AGE_S
    for path in _entries(folder):
        if path.suffix not in (TEMPORARY_SUFFIX, ".probe") or is_own(path.name):
            continue
        with contextlib.suppress(FileNotFoundError):
            if path.stat().st_mtime < oldest:
                path.unlink()


def _entries(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except FileNotFoundError:
        return []
