"""Which MCP servers answer now, as the process that looks after each has written it down.

States change without a change of the configuration. Each process reads them at most every two seconds, and
only while somebody asks.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from time import monotonic
from uuid import UUID

from django.db import Error

from gateway_project.core.db import in_thread
from tools_app.models import McpServerState
from tools_app.services.mcp_client.watcher import FAILING, READY

logger = logging.getLogger(__name__)
_LIFE_S = 2.0
# A database that does not answer must not hold up lists.
_WAIT_S = 1.0
# As LiteLLM calls them.
HEALTHY, UNHEALTHY, UNKNOWN = "healthy", "unhealthy", "unknown"
STATUS_OF = {READY: HEALTHY, FAILING: UNHEALTHY}


class ServerStates:
    """The states of this process's last look."""

    def __init__(self) -> None:
        self._states: Mapping[UUID, str] = {}
        self._read_at = float("-inf")

    async def current(self) -> Mapping[UUID, str]:
        """`ready`, `failing` or `unknown` by the servers' ids. Who asks during a look gets the one before."""
        now = monotonic()
        if now - self._read_at > _LIFE_S:
            self._read_at = now
            try:
                async with asyncio.timeout(_WAIT_S):
                    self._states = await in_thread(_read)
            except (Error, TimeoutError) as error:
                logger.info("mcp.states_not_read", extra={"reason": type(error).__name__})
        return self._states


def _read() -> dict[UUID, str]:
    return dict(McpServerState.objects.values_list("server_id", "state"))


server_states = ServerStates()
