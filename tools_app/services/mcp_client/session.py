"""One open session with an MCP server, in a task of its own: the SDK's scopes must end where they began."""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Callable, Coroutine
from contextlib import suppress
from importlib import import_module
from time import monotonic
from typing import TYPE_CHECKING, Any

from gateway_project.core.threads import in_own_thread
from tools_app.mcp_entry import McpServerEntry
from tools_app.services.mcp_client.failures import (
    BROKEN_OFF,
    NOT_SENT,
    REFUSED,
    SESSION_GONE,
    McpFailure,
    McpRefusal,
    McpSessionGone,
    McpTimeout,
    reason_of,
)

if TYPE_CHECKING:
    from mcp import Client

logger = logging.getLogger(__name__)
_CLOSE_S = 4.0
# What clients are told of any reason why none can be opened.
NO_SESSION = "it can't be reached"
_CONNECTION = "tools_app.services.mcp_client.connection"
_CONNECTION_CLOSED = -32000
_WORDS = {NOT_SENT: "it can't be reached", BROKEN_OFF: "it broke off the connection"}
# Told of each message that no call waits for.
OnMessage = Callable[[Any], None]


class McpSession:
    """A session that many calls share. `in_flight` is how many there are now."""

    def __init__(self, server: McpServerEntry, *, on_message: OnMessage | None = None) -> None:
        self.server = server
        self.in_flight = 0
        self.is_retired = False
        self.used_at = monotonic()
        self._on_message = on_message
        self._client: Client | None = None
        self._ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._stopping = asyncio.Event()
        self._requests: set[asyncio.Task[Any]] = set()
        self._task = asyncio.get_running_loop().create_task(self._run())

    @property
    def is_usable(self) -> bool:
        """Whether it may be given calls."""
        return self._client is not None and not self.is_retired and not self._task.done()

    @property
    def is_closed(self) -> bool:
        """Whether nothing of it is left."""
        return self._task.done()

    @property
    def client(self) -> Client:
        """The SDK's client; McpFailure unless it is open."""
        if self._client is None:
            raise McpFailure("the session is closed", was_sent=False)
        return self._client

    async def wait_until_ready(self) -> None:
        """Return once calls may be made; McpFailure says why they can't."""
        await asyncio.shield(self._ready)

    async def ask(self, request: Coroutine[Any, Any, Any], *, timeout_s: float) -> Any:
        """Await a request of the SDK's client; McpFailure for what comes to nothing.

        The request runs in a task that this session owns: one that has to be told of its end, as a server
        that hangs must be, holds nobody up.
        """
        task = asyncio.get_running_loop().create_task(request)
        self._requests.add(task)
        task.add_done_callback(self._forget)
        self.in_flight += 1
        self.used_at = monotonic()
        try:
            await asyncio.wait({task}, timeout=timeout_s)
        finally:
            self.in_flight -= 1
            if not task.done():
                task.cancel()
        if task.cancelled():
            raise McpFailure("the session was closed")
        if not task.done():
            # What made it late may hold up its neighbours: new calls get another session.
            self.is_retired = True
            raise McpTimeout(f"it did not answer within {timeout_s:g} s")
        error = task.exception()
        if error is None:
            return task.result()
        raise self._failure(error) from error

    def close(self) -> None:
        """Begin to end it; nothing waits."""
        self.is_retired = True
        self._stopping.set()

    async def wait_until_closed(self) -> None:
        """End it, by force if it takes long."""
        self.close()
        done, _ = await asyncio.wait({self._task}, timeout=_CLOSE_S)
        if not done:
            self._task.cancel()
            await asyncio.wait({self._task}, timeout=_CLOSE_S)

    async def _run(self) -> None:
        try:
            if _CONNECTION not in sys.modules:
                # Reading the SDK takes a second: not on the event loop.
                await in_own_thread(import_module, _CONNECTION)
            from tools_app.services.mcp_client.connection import opened

            limit = asyncio.timeout(self.server.connect_timeout_s)
            async with limit, opened(self.server, on_end=self.close, on_message=self._hear) as client:
                limit.reschedule(None)
                self._client = client
                self._ready.set_result(None)
                await self._stopping.wait()
                # What ends here is bounded by `wait_until_closed`.
        except asyncio.CancelledError:
            self._refuse("the session was closed")
            raise
        except BaseException as error:  # noqa: BLE001  (of a connection: groups and cancellations of the SDK)
            self._refuse(reason_of(error))
        finally:
            self._client = None
            await self._end_requests()

    def _refuse(self, reason: str) -> None:
        if not self._ready.done():
            self._ready.set_exception(McpFailure(NO_SESSION, was_sent=False, reason=reason))
            # Nobody may be waiting any more.
            self._ready.exception()
        elif not self._stopping.is_set():
            logger.info("mcp.session_lost", extra={"server": self.server.name, "reason": reason})

    async def _end_requests(self) -> None:
        for task in list(self._requests):
            task.cancel()
        if self._requests:
            with suppress(asyncio.CancelledError):
                await asyncio.wait(set(self._requests), timeout=_CLOSE_S)

    async def _hear(self, message: Any) -> None:
        if self._on_message is not None:
            self._on_message(message)

    def _forget(self, task: asyncio.Task[Any]) -> None:
        self._requests.discard(task)
        if not task.cancelled():
            # Looked at, so that asyncio does not tell of it once more.
            task.exception()

    def _failure(self, error: BaseException) -> McpFailure:
        """What a request's error means: whether it was sent, and whether the session is any good still."""
        from mcp.shared.exceptions import MCPError

        if isinstance(error, McpFailure):
            return error
        if not isinstance(error, MCPError):
            return McpFailure(f"its answer can't be read ({type(error).__name__})")
        code, message = error.error.code, error.error.message
        if code == SESSION_GONE:
            # Its neighbours learn the same for themselves, and are asked again.
            self.is_retired = True
        if code == _CONNECTION_CLOSED:
            self.close()
        if code in _WORDS:
            return McpFailure(_WORDS[code], was_sent=code != NOT_SENT)
        if code == _CONNECTION_CLOSED:
            return McpFailure("the connection was closed")
        if code == SESSION_GONE:
            return McpSessionGone(message, was_sent=False)
        if code == REFUSED:
            return McpFailure(message, was_sent=False)
        return McpRefusal(code, message)
