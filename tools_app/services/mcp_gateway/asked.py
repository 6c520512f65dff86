"""One request of a client at a door of the MCP gateway, as methods see it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from gateway_project.core.context import RequestContext
from security_app.services.reservation import Ticket
from tools_app.entry import Progress
from tools_app.services.mcp_gateway.offer import Offer
from tools_app.services.mcp_gateway.protocol import INVALID_PARAMS, Rpc, RpcError


@dataclass(frozen=True, slots=True)
class Asked:
    """A request at a door. `server` is the door's, "" for that of everything.

    `headers` are those of the request, by lower-case names; `on_ticket` is told what its key has left.
    """

    rpc: Rpc
    version: str
    context: RequestContext
    offer: Offer
    server: str
    headers: Mapping[bytes, bytes]
    on_progress: Progress | None = None
    on_ticket: Callable[[Ticket], None] | None = None

    def text(self, member: str) -> str:
        """A member of the parameters that must be a text."""
        value = self.rpc.params.get(member)
        if not isinstance(value, str) or not value:
            raise RpcError(INVALID_PARAMS, f"'{member}' must be a text.")
        return value

    def object(self, member: str) -> dict[str, Any]:
        """A member of the parameters that is an object, or left out."""
        value = self.rpc.params.get(member)
        if value is None:
            return {}
        if not isinstance(value, dict):
            raise RpcError(INVALID_PARAMS, f"'{member}' must be an object.")
        return value
