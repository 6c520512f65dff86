"""RequestContext: the one object that travels with a request through all layers."""

from __future__ import annotations

from time import perf_counter
from typing import TYPE_CHECKING, Any
from uuid import UUID

from gateway_project.core.ids import uuid7

if TYPE_CHECKING:
    from gateway_project.core.deadline import CallScope
    from gateway_project.core.snapshot import Snapshot


class RequestContext:
    """Who asks, since when, under which configuration. `started` is `perf_counter()` seconds.

    `principal` is a `security_app.registry.Principal` and `settled_call` a `usage_app.entry.UsageEntry`; this
    layer does not look into them.
    """

    __slots__ = (
        "client_api_key",
        "client_ip",
        "correlation_id",
        "end_user",
        "is_answered",
        "parent_id",
        "place",
        "principal",
        "request_id",
        "route",
        "scope",
        "settled_call",
        "snapshot",
        "started",
        "tags",
    )

    # Method and path; set only where an external authorizer may be told of them.
    place: tuple[str, str]

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
        # The address of the client itself, beyond the proxies that are trusted; "" where there is none.
        self.client_ip = ""
        # The operation's own path with its values in place; "" for what begins within the gateway.
        self.route = ""
        # Whom the client serves with this request, by the client's own id, and its words for reports.
        self.end_user = ""
        self.tags: tuple[str, ...] = ()
        # The call that answered the request, for the request's own line in the log.
        self.settled_call: Any = None
        self.is_answered = False

    def elapsed_ms(self) -> float:
        """Milliseconds since the request arrived."""
        return (perf_counter() - self.started) * 1000
