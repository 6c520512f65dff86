"""“Connect and list”: asking an MCP server once, now, for a person who waits for what comes of it."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any

from gateway_project.core.crypto import DecryptionError
from tools_app.errors import ConfigProblem
from tools_app.mcp_entry import McpServerEntry, server_entry
from tools_app.models import McpServer
from tools_app.services.mcp_client.failures import McpFailure
from tools_app.services.mcp_client.listing import Listing, read_listing
from tools_app.services.mcp_client.session import McpSession

logger = logging.getLogger(__name__)
# A person waits, and a thread with them.
_MOST_S = 30.0


@dataclass(frozen=True, slots=True)
class Connection:
    """What a try came to: `listing` if `error` is empty."""

    error: str
    latency_ms: float
    listing: Listing = field(default_factory=Listing)


def connect_and_list(row: McpServer, *, actor: str) -> Connection:
    """Connect to a server as its row says, and read all its lists; nothing is stored. Blocks."""
    started = perf_counter()
    error, listing = "", Listing()
    try:
        listing = asyncio.run(_listed(server_entry(row)))
    except ConfigProblem as problem:
        error = f"{problem.member}: {problem.message}"
    except (DecryptionError, McpFailure) as problem:
        error = str(problem)
    latency_ms = (perf_counter() - started) * 1000
    logger.info("mcp_server.tried", extra={"server": row.name, "actor": actor, "reason": error})
    return Connection(error, latency_ms, listing)


async def _listed(server: McpServerEntry) -> Listing:
    most_s = min(_MOST_S, server.total_timeout_s)
    session: Any = None
    try:
        async with asyncio.timeout(most_s):
            session = McpSession(server)
            await session.wait_until_ready()
            return await read_listing(session)
    except TimeoutError as error:
        raise McpFailure(f"it did not answer within {most_s:g} s") from error
    finally:
        if session is not None:
            await session.wait_until_closed()
