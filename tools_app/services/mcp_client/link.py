"""All that a server process has with one MCP server: its sessions, and who waits for them.

Nothing here waits for another server. Opening is tried again after ever longer pauses, in which calls are
refused at once with the last reason.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Coroutine
from contextlib import suppress
from time import monotonic
from typing import TYPE_CHECKING, Any

from tools_app.mcp_entry import McpServerEntry
from tools_app.services.mcp_client.failures import McpBusy, McpFailure, McpSessionGone, McpTimeout
from tools_app.services.mcp_client.session import NO_SESSION, McpSession, OnMessage

if TYPE_CHECKING:
    from mcp import Client

_CALLS_A_SESSION = 16
_MAX_WAITING = 256
_FIRST_PAUSE_S = 0.5
_LONGEST_PAUSE_S = 15.0
# One session stays; the others go when nobody needed them for so long.
_IDLE_S = 60.0
Request = Callable[["Client"], Coroutine[Any, Any, Any]]


class McpLink:
    """The sessions with one configuration of a server, in one event loop."""

    def __init__(
        self,
        server: McpServerEntry,
        *,
        on_message: OnMessage | None = None,
        on_open: Callable[[], None] | None = None,
    ) -> None:
        self.server = server
        self._on_open = on_open
        self._on_message = on_message
        self._sessions: list[McpSession] = []
        self._opening: asyncio.Task[McpSession] | None = None
        self._ending: set[asyncio.Task[None]] = set()
        self._places = asyncio.Semaphore(server.max_sessions * _CALLS_A_SESSION)
        self._waiting = 0
        self._running = 0
        self._idle = asyncio.Event()
        self._idle.set()
        self._failures = 0
        self._not_before = 0.0
        self._reason = ""
        self._is_closed = False

    @property
    def open_sessions(self) -> int:
        """How many sessions could be given a call now."""
        return sum(session.is_usable for session in self._sessions)

    async def request(self, ask: Request, *, timeout_s: float | None = None) -> Any:
        """One request, in whichever session is free; McpFailure for what comes to nothing.

        `timeout_s` is for the request alone. All of it, with waiting and connecting, ends after the server's
        total time.
        """
        self._running += 1
        self._idle.clear()
        try:
            async with asyncio.timeout(self.server.total_timeout_s):
                await self._take_place()
                try:
                    return await self._asked(ask, timeout_s or self.server.call_timeout_s)
                finally:
                    self._places.release()
        except TimeoutError as error:
            message = f"it did not answer within {self.server.total_timeout_s:g} s in all"
            raise McpTimeout(message) from error
        finally:
            self._running -= 1
            if not self._running:
                self._idle.set()

    async def _take_place(self) -> None:
        if self._waiting >= _MAX_WAITING:
            raise McpBusy("too many calls wait for it already", was_sent=False)
        self._waiting += 1
        try:
            await self._places.acquire()
        finally:
            self._waiting -= 1

    async def _asked(self, ask: Request, timeout_s: float) -> Any:
        # A server that forgets a session did nothing yet: the same is asked once more, and nobody notices.
        for _ in range(self.server.max_sessions):
            session = await self.session()
            with suppress(McpSessionGone):
                return await session.ask(ask(session.client), timeout_s=timeout_s)
        session = await self.session()
        return await session.ask(ask(session.client), timeout_s=timeout_s)

    async def session(self) -> McpSession:
        """The session with the fewest calls; another is opened beside while all have some."""
        usable = [session for session in self._sessions if session.is_usable]
        if not usable:
            return await self._opened()
        best = min(usable, key=lambda session: session.in_flight)
        if len(self._sessions) >= self.server.max_sessions:
            self._sweep()
        is_room = len(self._sessions) < self.server.max_sessions
        if best.in_flight and is_room and self._opening is None and monotonic() >= self._not_before:
            self._open()
        return best

    async def _opened(self) -> McpSession:
        opening = self._opening
        if opening is None:
            if monotonic() < self._not_before:
                raise McpFailure(NO_SESSION, was_sent=False, reason=self._reason)
            opening = self._open()
        try:
            return await asyncio.shield(opening)
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if opening.cancelled() and task is not None and not task.cancelling():
                raise McpFailure("the gateway is being stopped", was_sent=False) from None
            raise

    def _open(self) -> asyncio.Task[McpSession]:
        if self._is_closed:
            raise McpFailure("the gateway is being stopped", was_sent=False)
        self._sweep()
        self._opening = asyncio.get_running_loop().create_task(self._new_session())
        self._opening.add_done_callback(self._note_opened)
        return self._opening

    async def _new_session(self) -> McpSession:
        session = McpSession(self.server, on_message=self._on_message)
        self._sessions.append(session)
        try:
            await session.wait_until_ready()
        except asyncio.CancelledError:
            session.close()
            raise
        return session

    def _note_opened(self, task: asyncio.Task[McpSession]) -> None:
        self._opening = None
        error = None if task.cancelled() else task.exception()
        if isinstance(error, McpFailure):
            self._failures += 1
            pause_s = min(_LONGEST_PAUSE_S, _FIRST_PAUSE_S * 2 ** min(self._failures - 1, 10))
            # Chance spreads the tries of many processes, and guards no secret.
            self._not_before = monotonic() + pause_s * random.uniform(0.8, 1.2)  # noqa: S311
            self._reason = error.reason
        elif error is None and not task.cancelled():
            self._failures = 0
            self._not_before = 0.0
            if self._on_open is not None:
                self._on_open()

    def _sweep(self) -> None:
        """Forget sessions that ended, and end what is retired and done, or idle beside others."""
        now = monotonic()
        kept: list[McpSession] = []
        for session in self._sessions:
            is_idle = kept and not session.in_flight and now - session.used_at > _IDLE_S
            if session.is_closed:
                continue
            if session.is_usable and not is_idle:
                kept.append(session)
            elif session.in_flight or not (session.is_retired or is_idle):
                # It still answers somebody, or is being opened.
                kept.append(session)
            else:
                self._end(session)
        self._sessions = kept

    def tidy(self) -> None:
        """What the health loop does now and then."""
        self._sweep()

    def may_try(self) -> bool:
        """Whether the pause after a failure is over."""
        return monotonic() >= self._not_before

    def _end(self, session: McpSession) -> None:
        task = asyncio.get_running_loop().create_task(session.wait_until_closed())
        self._ending.add(task)
        task.add_done_callback(self._ending.discard)

    async def close(self, *, drain_s: float = 0.0) -> None:
        """End all sessions, and what is being opened; calls that run have so long to end by themselves."""
        if drain_s:
            with suppress(TimeoutError):
                async with asyncio.timeout(drain_s):
                    await self._idle.wait()
        self._is_closed = True
        if self._opening is not None:
            self._opening.cancel()
            with suppress(asyncio.CancelledError, McpFailure):
                await self._opening
        for session in self._sessions:
            self._end(session)
        self._sessions = []
        if self._ending:
            await asyncio.wait(set(self._ending))
