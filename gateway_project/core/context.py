"""RequestContext: the one object that travels with a request through all layers."""

from __future__ import annotations

from contextvars import ContextVar
from time import perf_counter
from typing import TYPE_CHECKING, Any
from uuid import UUID

from gateway_project.core.ids import uuid7

if TYPE_CHECKING:
    from gateway_project.core.deadline import CallScope
    from gateway_project.core.snapshot import Snapshot

current_request: ContextVar[RequestContext] = ContextVar("current_request")


class RequestContext:
    """Who asks, since when, under which configuration. `started` is `perf_counter()` seconds.

    `principal` is a `security_app.registry.Principal`; this layer does not look into it.
    """

    __slots__ = (
        "client_api_key",
        "correlation_id",
        "parent_id",
        "principal",
        "request_id",
        "scope",
        "snapshot",
        "started",
    )

    def __init__(
        self, snapshot: Snapshot, scope: CallScope, *, request_id: UUID | None = None, principal: Any = None
    ) -> None:
        self.request_id: UUID = request_id or uuid7()
        self.started = perf_counter()
        self.snapshot = snapshot
        self.scope = scope
        self.principal = principal
        # The client's own id of this request, kept beside ours.
        self.correlation_id = ""
        self.parent_id: UUID | None = None
        # The client's own credential for an upstream that takes it (credential source "client").
        self.client_api_key = ""

    def elapsed_ms(self) -> float:
        """Milliseconds since the request arrived."""
        return (perf_counter() - self.started) * 1000
