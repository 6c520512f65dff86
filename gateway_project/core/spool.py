"""Bytes that must be kept until they can be sent: a little in memory, the rest in a file without a name.

The files of a process have one bound together. They are written and read off the event loop, and gone when
they are closed, whatever becomes of the process.
"""

from __future__ import annotations

import tempfile
import threading
from collections.abc import AsyncGenerator
from typing import IO

from django.conf import settings

from gateway_project.core.errors import Overloaded
from gateway_project.core.limits import limits
from gateway_project.core.threads import in_own_thread

MEMORY_BYTES = 128 * 1024
_PIECE_BYTES = 128 * 1024


class Spool:
    """Append what comes, read it as often as needed, close it in the end."""

    # What all open files of the process hold.
    bytes_on_disk = 0

    def __init__(self) -> None:
        self.size = 0
        self._memory = bytearray()
        self._file: IO[bytes] | None = None
        self._written = 0
        self._is_closed = False
        # A call that was cancelled may leave its thread at work.
        self._lock = threading.Lock()

    @property
    def is_on_disk(self) -> bool:
        """Whether there is a file."""
        return self._file is not None

    async def append(self, piece: bytes) -> None:
        """Keep more; Overloaded if the disk has no room for it."""
        self._memory += piece
        self.size += len(piece)
        if len(self._memory) > MEMORY_BYTES:
            await self._write()

    async def _write(self) -> None:
        if Spool.bytes_on_disk + len(self._memory) > limits.max_spool_bytes:
            raise Overloaded("Too many uploads wait on the disk.", headers={"retry-after": "5"})
        data, self._memory = bytes(self._memory), bytearray()
        Spool.bytes_on_disk += len(data)
        self._written += len(data)
        try:
            await in_own_thread(self._write_now, data)
        except OSError as error:
            raise Overloaded("The upload can't be kept on the disk.", headers={"retry-after": "5"}) from error

    def _write_now(self, data: bytes) -> None:
        with self._lock:
            if self._is_closed:
                return
            if self._file is None:
                self._file = tempfile.TemporaryFile(dir=settings.GATEWAY_DATA_DIR)  # noqa: SIM115  (see `close`)
            self._file.seek(0, 2)
            self._file.write(data)
            self._file.flush()

    def _read_now(self, at: int) -> bytes:
        with self._lock:
            if self._file is None:
                raise OSError("the upload was closed")
            self._file.seek(at)
            return self._file.read(_PIECE_BYTES)

    async def pieces(self) -> AsyncGenerator[bytes, None]:
        """All of it, from its beginning; nothing may be appended meanwhile."""
        at = 0
        while at < self._written:
            piece = await in_own_thread(self._read_now, at)
            if not piece:
                raise OSError("the file of an upload is shorter than it was")
            at += len(piece)
            yield piece
        if self._memory:
            yield bytes(self._memory)

    def close(self) -> None:
        """Forget all of it. Waits at most for the end of one write."""
        with self._lock:
            Spool.bytes_on_disk -= self._written
            self._written = self.size = 0
            self._memory = bytearray()
            self._is_closed = True
            file, self._file = self._file, None
        if file is not None:
            file.close()
