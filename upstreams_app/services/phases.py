"""What the transport of one call is told besides its request: the time limits of its phases, and headers.

The phases are: to connect, to the first token, and between two pieces after it.
"""

from __future__ import annotations

from gateway_project.core.deadline import CallScope
from upstreams_app.registry import UpstreamConfig
from upstreams_app.route_headers import SentHeaders


class Phases:
    """The time limits of one call's phases, ticking in the request's scope, and what its head says besides.

    The headers are those of the route: they never stand in for what proves the call to be ours, or for what
    its wire format needs.
    """

    __slots__ = ("connect_s", "first_token_s", "headers", "idle_s", "scope")

    def __init__(self, scope: CallScope, config: UpstreamConfig, headers: SentHeaders | None = None) -> None:
        self.scope = scope
        self.connect_s = config.connect_timeout_s
        self.first_token_s = config.first_token_timeout_s
        self.idle_s = config.idle_timeout_s
        self.headers = headers

    def begin_connect(self) -> None:
        """A connection is being made."""
        self.scope.enter_phase("connect", self.connect_s)

    def begin_first_token(self) -> None:
        """The request goes out."""
        self.scope.enter_phase("first token", self.first_token_s)
