"""Whether a person of another process watches: one key in Valkey that the watching processes renew.

Without Valkey there is nobody else to know about, and none of this is used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import redis.asyncio

if TYPE_CHECKING:
    from redis.asyncio import Redis

_KEY = "gateway:live:watched"
# Renewed every two seconds: a process that dies is forgotten after this.
_EXPIRES_S = 6
_TIMEOUT_S = 1.0


class RemoteWatch:
    """The key's reader and writer, in one event loop; its methods raise `redis.RedisError`, soon."""

    def __init__(self, url: str) -> None:
        self._client: Redis = redis.asyncio.from_url(
            url, socket_timeout=_TIMEOUT_S, socket_connect_timeout=_TIMEOUT_S
        )

    async def announce(self) -> None:
        """Tell the other processes that somebody watches here."""
        await self._client.set(_KEY, b"1", ex=_EXPIRES_S)

    async def is_watched(self) -> bool:
        """Whether somebody watches anywhere."""
        return bool(await self._client.exists(_KEY))

    async def close(self) -> None:
        """Give back the connections."""
        await self._client.aclose()
