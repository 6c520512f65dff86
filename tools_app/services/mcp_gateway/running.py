"""The requests of sessions that are being answered in this process, so that clients can cancel them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from gateway_project.core.deadline import CallScope
from tools_app.services.mcp_gateway.protocol import RpcId
from tools_app.services.mcp_gateway.sessions import Session

CANCELLED = "mcp_cancelled"


class Running:
    """Scopes by session and request. Without a session nobody can tell whose request an id is."""

    def __init__(self) -> None:
        self._scopes: dict[tuple[bytes, RpcId], CallScope] = {}

    @contextmanager
    def entered(self, session: Session | None, rpc_id: RpcId, scope: CallScope) -> Iterator[None]:
        """While it lasts, the request can be cancelled."""
        if session is None:
            yield
            return
        place = session.id, rpc_id
        self._scopes[place] = scope
        try:
            yield
        finally:
            if self._scopes.get(place) is scope:
                del self._scopes[place]

    def cancel(self, session: Session | None, rpc_id: object) -> None:
        """End a request of a session; nothing happens if it is over, or another process answers it."""
        if session is not None and isinstance(rpc_id, str | int):
            scope = self._scopes.get((session.id, rpc_id))
            if scope is not None:
                scope.cancel(CANCELLED)


running = Running()
