"""Progress of calls on its way to a client: what waits for a slow one is bounded."""

from __future__ import annotations

import asyncio
from typing import Any, cast

from gateway_project.api.mcp_exchange import McpExchange
from gateway_project.api.mcp_streams import ProgressEvents, is_progress_token


class SlowClient:
    """Takes nothing before `ready` is set."""

    def __init__(self) -> None:
        self.ready = asyncio.Event()
        self.pieces: list[bytes] = []

    async def start_stream(self) -> None:
        """Wait for the client."""
        await self.ready.wait()

    async def send_piece(self, piece: bytes) -> None:
        """It is taken."""
        self.pieces.append(piece)


async def test_long_words_of_a_server_do_not_wait_for_a_slow_client() -> None:
    client = SlowClient()
    events = ProgressEvents(cast("McpExchange", cast(Any, client)), "token")

    for step in range(200):
        await events(step, None, "\u202e" + "x" * 1_000_000)
    client.ready.set()
    await events.finish()

    assert sum(len(piece) for piece in client.pieces) < 200_000
    assert "\u202e".encode() not in client.pieces[-1]


def test_a_token_that_is_a_document_is_no_token() -> None:
    assert is_progress_token("a" * 256)
    assert is_progress_token(7)
    assert not is_progress_token("a" * 257)
    assert not is_progress_token(None)
    assert not is_progress_token(["a"])
