"""uvicorn's WebSocket protocol for the live page: small messages, and an end for peers that take nothing."""

from __future__ import annotations

import logging
from typing import Any

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from gateway_project.stalled import EndsWhenStalled

# Of a connection only faults are worth a line: uvicorn tells each that opens, with its address and query.
logger = logging.getLogger(__name__)
logger.setLevel(logging.WARNING)
# What a page sends is a filter.
MAX_MESSAGE_BYTES = 16 * 1024


class PatientProtocol(EndsWhenStalled, WebSocketsSansIOProtocol):
    """As uvicorn's; a peer that takes nothing for too long is cut off."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.logger = self.conn.logger = logger

    def shutdown(self) -> None:
        """The server stops: it does not wait for a peer that takes nothing."""
        if self.is_stalled:
            self.transport.abort()
        else:
            super().shutdown()
