"""An MCP server to call, and a bare proxy to it: both are the official package and nothing else.

`python -m bench.mcp_peers --port 8001` answers; with `--upstream URL` it asks that server, in one session.
"""

from __future__ import annotations

import argparse
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import uvicorn
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from mcp.server.mcpserver import MCPServer


def fixture() -> MCPServer:
    """Answers at once."""
    server = MCPServer("bench")

    @server.tool()
    def echo(text: str) -> str:
        """Gives back what it is given."""
        return text

    return server


def proxy(upstream: str) -> MCPServer:
    """What a gateway can't do without: a server's edge, a client's edge, a session that is kept."""
    clients: list[Client] = []

    @asynccontextmanager
    async def lifespan(_server: Any) -> AsyncIterator[None]:
        async with Client(streamable_http_client(upstream), mode="auto", cache=None) as client:
            clients.append(client)
            yield

    server: MCPServer = MCPServer("bench-proxy", lifespan=lifespan)

    @server.tool()
    async def echo(text: str) -> str:
        """As the server behind it."""
        result = await clients[0].call_tool("echo", {"text": text})
        return str(result.content[0].text)  # type: ignore[union-attr]

    return server


def main() -> None:
    """Serve until the end."""
    parser = argparse.ArgumentParser(prog="python -m bench.mcp_peers")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--upstream", default="")
    options = parser.parse_args()
    server = proxy(options.upstream) if options.upstream else fixture()
    app = server.streamable_http_app(json_response=True, stateless_http=True)
    uvicorn.run(app, host="127.0.0.1", port=options.port, log_config=None, access_log=False)


if __name__ == "__main__":
    main()
