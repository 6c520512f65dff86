"""What is told of each call of a tool: a line in the log and the metrics, never arguments or results."""

from __future__ import annotations

import logging
from uuid import UUID

from gateway_project.core.ids import public_id
from gateway_project.observability import metrics

logger = logging.getLogger(__name__)
GATEWAY = "gateway"
SDK = "sdk"
TRIAL = "trial"
FUNCTION = "function"
_MAX_NAME_CHARS = 64


def observe_tool(
    name: str,
    *,
    request_id: UUID,
    status: str,
    latency_ms: float,
    kind: str = FUNCTION,
    source: str = SDK,
    agent: str = "",
) -> None:
    """Tell of one call. `status` is `ok` or a word of tools_app.errors, `source` who made the tool.

    For tools that an agent's code brings along (`source` sdk) as for those of the registry (gateway).
    """
    metrics.observe_tool(name if kind else "", kind, source, status, latency_ms)
    logger.info(
        "tool.invoke",
        extra={
            "tool": name[:_MAX_NAME_CHARS],
            "kind": kind,
            "source": source,
            "status": status,
            "latency_ms": round(latency_ms, 3),
            "request_id": public_id("req", request_id),
            "agent": agent,
        },
    )
