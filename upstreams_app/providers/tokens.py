"""Tokens that live for a while: fetched once for all who wait, and anew shortly before they die."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from time import monotonic
from typing import Final, NamedTuple

from upstreams_app.errors import UpstreamUnreachable

# As Google's own libraries do: a token is fetched anew when it has less than this left.
_EARLY_S: Final = 225.0
# A token that dies on the way serves nobody.
_LEAST_S: Final = 20.0
_PAUSE_S: Final = 5.0


class Token(NamedTuple):
    """A token, how long it is good for, and the project that pays where the caller belongs to none."""

    value: str
    lifetime_s: float
    quota_project: str = ""

    def __repr__(self) -> str:
        return f"Token(lifetime_s={self.lifetime_s!r})"


class TokenSource:
    """The token of the moment. `fetch` raises UpstreamUnreachable, in words without secrets.

    One fetch is under way at a time. A token that still serves is given while its successor is fetched, and
    if that fails; after a failure nobody asks again for five seconds.
    """

    def __init__(
        self, fetch: Callable[[], Awaitable[Token]], *, now: Callable[[], float] = monotonic
    ) -> None:
        self._fetch = fetch
        self._now = now
        self._token: Token | None = None
        self._fresh_until = 0.0
        self._good_until = 0.0
        self._running: asyncio.Task[Token] | None = None
        self._failure: UpstreamUnreachable | None = None
        self._pause_until = 0.0

    async def token(self) -> Token:
        """A token that is good for some seconds at least; UpstreamUnreachable if none can be had."""
        now = self._now()
        if self._token is not None and now < self._fresh_until:
            return self._token
        known = self._token if now < self._good_until else None
        if self._failure is not None and now < self._pause_until:
            if known is not None:
                return known
            raise UpstreamUnreachable(str(self._failure))
        running = self._running
        if running is None:
            running = self._running = asyncio.create_task(self._refresh())
            running.add_done_callback(self._ended)
        if known is not None:
            return known
        try:
            # One that is cancelled leaves the others their token.
            return await asyncio.shield(running)
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if running.cancelled() and task is not None and not task.cancelling():
                raise UpstreamUnreachable("the connections of this upstream are closed") from None
            raise

    async def _refresh(self) -> Token:
        token = await self._fetch()
        now, lifetime_s = self._now(), token.lifetime_s
        self._token = token
        self._good_until = now + max(lifetime_s - _LEAST_S, 0.0)
        self._fresh_until = now + max(lifetime_s - _EARLY_S, lifetime_s / 2 - _LEAST_S, 0.0)
        self._failure = None
        return token

    def _ended(self, task: asyncio.Task[Token]) -> None:
        self._running = None
        if not task.cancelled() and isinstance(error := task.exception(), UpstreamUnreachable):
            self._failure = error
            self._pause_until = self._now() + _PAUSE_S

    async def close(self) -> None:
        """End a fetch that is under way; who waits for it gets an UpstreamUnreachable."""
        if self._running is not None:
            self._running.cancel()
