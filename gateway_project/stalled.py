"""An end for connections whose peer lives, but takes nothing any more.

uvicorn closes politely: what is buffered goes out first. A peer that stopped reading would keep its
connection, and the answer in its buffer, for ever; here it is cut off once it took nothing for
GATEWAY_CLIENT_STALL_S.
"""

from __future__ import annotations

import asyncio

from django.conf import settings

# Whoever writes a stream notices first, and says so in the ledger.
_GRACE_S = 1.0


class EndsWhenStalled(asyncio.Protocol):
    """For uvicorn's protocols: a full write buffer that does not shrink for too long ends the connection."""

    loop: asyncio.AbstractEventLoop
    transport: asyncio.Transport
    _stall: asyncio.TimerHandle | None = None

    @property
    def is_stalled(self) -> bool:
        """Whether the buffer is full at present."""
        return self._stall is not None

    def pause_writing(self) -> None:
        """The buffer is full: the time begins."""
        super().pause_writing()
        if self._stall is None:
            self._watch()

    def resume_writing(self) -> None:
        """The peer took most of it."""
        self._unwatch()
        super().resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone."""
        self._unwatch()
        super().connection_lost(exc)

    def _watch(self) -> None:
        size = self.transport.get_write_buffer_size()
        self._stall = self.loop.call_later(settings.CLIENT_STALL_S + _GRACE_S, self._look, size)

    def _look(self, size_before: int) -> None:
        if self.transport.get_write_buffer_size() < size_before:
            self._watch()
        else:
            self.transport.abort()

    def _unwatch(self) -> None:
        if self._stall is not None:
            self._stall.cancel()
            self._stall = None
