"""uvicorn's WebSocket protocol with an end for peers that take nothing any more.

uvicorn closes politely: what is buffered goes out first. A peer that stopped reading, but lives, would keep
such a connection for ever; here it is cut off after GATEWAY_CLIENT_STALL_S, as with streams.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from django.conf import settings
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

# Of a connection only faults are worth a line: uvicorn tells each that opens, with its address and query.
logger = logging.getLogger(__name__)
logger.setLevel(logging.WARNING)
# What a page sends is a filter.
MAX_MESSAGE_BYTES = 16 * 1024


class PatientProtocol(WebSocketsSansIOProtocol):
    """As uvicorn's; a write buffer that stays full for too long ends the connection."""

    _stall: asyncio.TimerHandle | None = None

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.logger = self.conn.logger = logger

    def pause_writing(self) -> None:
        """The buffer is full: the time begins."""
        super().pause_writing()
        if self._stall is None:
            self._stall = self.loop.call_later(settings.CLIENT_STALL_S, self.transport.abort)

    def resume_writing(self) -> None:
        """The peer takes again."""
        self._end_stall()
        super().resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone."""
        self._end_stall()
        super().connection_lost(exc)

    def shutdown(self) -> None:
        """The server stops: it does not wait for a peer that takes nothing."""
        if self._stall is not None:
            self.transport.abort()
        else:
            super().shutdown()

    def _end_stall(self) -> None:
        if self._stall is not None:
            self._stall.cancel()
            self._stall = None
