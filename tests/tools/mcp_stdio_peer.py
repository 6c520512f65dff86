"""An MCP server over standard streams, as a program; the tests start it by the gateway."""

from __future__ import annotations

import os
import subprocess
import sys

from mcp.server.mcpserver import MCPServer

server = MCPServer("program", version="1.0")


@server.tool()
def pid() -> int:
    """The process."""
    return os.getpid()


@server.tool()
def environment() -> list[str]:
    """The names of its variables."""
    return sorted(os.environ)


@server.tool()
def child() -> int:
    """A process that wants to stay."""
    command = [sys.executable, "-c", "import time; time.sleep(600)"]
    return subprocess.Popen(command, start_new_session=True, stdout=subprocess.DEVNULL).pid


@server.tool()
def chatter() -> str:
    """What is no message, on the standard output."""
    os.write(1, b"hello there\n")
    return "done"


if __name__ == "__main__":
    server.run("stdio")
