"""MCP servers on this machine, made with the official SDK: to be asked, changed, killed and brought back."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Self

import uvicorn
from mcp.server.mcpserver import Context, MCPServer
from mcp.server.mcpserver.exceptions import ToolError

from tests.services import free_port, wait_until


def add(a: int, b: int) -> int:
    """Adds two numbers."""
    return a + b


def fails() -> str:
    """Fails in its own words."""
    raise ToolError("the cellar is flooded")


async def waits(seconds: float) -> str:
    """Waits, and says so."""
    await asyncio.sleep(seconds)
    return "waited"


async def steps(ctx: Context) -> str:
    """Says how far it is."""
    await ctx.report_progress(1, 2, "half")
    return "done"


_REFUSAL = b'{"jsonrpc":"2.0","id":null,"error":{"code":-32600,"message":"no such version"}}'


class McpPeer:
    """A server over streamable HTTP, or SSE, in a thread of its own. `headers` are those of its requests.

    An old one knows nothing of the protocol without sessions, as servers before 2026-07-28.
    """

    def __init__(self, *tools: Callable[..., Any], transport: str = "http", is_old: bool = False) -> None:
        self.server = MCPServer("peer", version="1.2.3", instructions="Ask politely.")
        for tool in tools or (add, fails, waits):
            self.server.add_tool(tool)
        self._is_old = is_old
        self.port = free_port()
        self.headers: list[dict[str, str]] = []
        self._transport = transport
        self._uvicorn: uvicorn.Server | None = None
        self._thread: threading.Thread | None = None

    @property
    def url(self) -> str:
        """Where the gateway finds it."""
        return f"http://127.0.0.1:{self.port}/{'sse' if self._transport == 'sse' else 'mcp'}"

    def start(self) -> None:
        """Begin to answer, with no memory of what was."""
        inner = self.server.sse_app() if self._transport == "sse" else self.server.streamable_http_app()

        async def app(scope: Any, receive: Any, send: Any) -> None:
            if scope["type"] == "http":
                self.headers.append({name.decode(): text.decode() for name, text in scope["headers"]})
            if self._is_old and scope.get("headers") and _version(scope) == "2026-07-28":
                await _answer(send, 400, _REFUSAL)
                return
            await inner(scope, receive, send)

        config = uvicorn.Config(app, host="127.0.0.1", port=self.port, log_config=None, ws="none")
        self._uvicorn = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._uvicorn.run, daemon=True)
        self._thread.start()
        wait_until(lambda: bool(self._uvicorn and self._uvicorn.started), 10, "the MCP server")

    def kill(self) -> None:
        """End at once, whoever waits for an answer."""
        server, thread = self._uvicorn, self._thread
        if server is None or thread is None:
            return
        server.should_exit = server.force_exit = True
        thread.join(10)
        self._uvicorn = self._thread = None

    def rename(self, description: str) -> None:
        """Have a tool that says something else of `add`, and tells that it does."""

        async def rename(ctx: Context) -> str:
            self.change(add, description)
            if self._is_old:
                await ctx.session.send_tool_list_changed()
            else:
                await ctx.notify_tools_changed()
            return "renamed"

        self.server.add_tool(rename)

    def change(self, tool: Callable[..., Any], description: str) -> None:
        """Say something else of a tool."""
        self.server.remove_tool(tool.__name__)
        self.server.add_tool(tool, description=description)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.kill()


def _version(scope: Any) -> str:
    return str(dict(scope["headers"]).get(b"mcp-protocol-version", b"").decode())


async def _answer(send: Any, status: int, body: bytes) -> None:
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


@contextmanager
def peers(count: int) -> Iterator[list[McpPeer]]:
    """Several of them."""
    made = [McpPeer() for _ in range(count)]
    try:
        for peer in made:
            peer.start()
        yield made
    finally:
        for peer in made:
            peer.kill()
