"""What goes out to upstreams and comes back: requests of any kind, and what all clients of upstreams do."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from upstreams_app.registry import Target
from upstreams_app.services.phases import Phases


@dataclass(frozen=True, slots=True)
class OutboundRequest:
    """One request. `path` comes after the upstream's prefix; it and `query` are percent-encoded.

    The body is `body`, or else what `pieces` gives, `length` bytes in all (None: nobody knows, it is sent in
    chunks); `is_kept` says that `pieces` may be asked again. A `is_native` request is in the vendor's own
    words, else it is in OpenAI's.
    """

    path: str
    method: str = "POST"
    query: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    pieces: Callable[[], AsyncGenerator[bytes, None]] | None = None
    length: int | None = 0
    is_kept: bool = True
    is_native: bool = False


class Parcel(Protocol):
    """A request's body in the form that each target wants, where that is not JSON as chats have it."""

    @property
    def is_spent(self) -> bool:
        """Whether some of it came from the client and was not kept, so that nobody else can be sent it."""
        ...

    @property
    def takes_any_status(self) -> bool:
        """Whether the upstream's refusals go to the client as they are."""
        ...

    def for_target(self, target: Target) -> OutboundRequest:
        """The request to a target; InvalidRequest for what it can't do."""
        ...


class UpstreamAnswer(Protocol):
    """An answer whose head has arrived. `release` must be called once, whatever happens."""

    status: int
    headers: Mapping[str, str]

    @property
    def is_at_end(self) -> bool:
        """Whether the whole body has been read."""
        ...

    async def read_any(self) -> bytes:
        """The next piece of the body as it came, b"" at its end; UpstreamUnreachable if it breaks off."""
        ...

    def end_call(self) -> None:
        """Another call may take the place of this one, whose end is known; `release` does it too."""
        ...

    def release(self, *, is_complete: bool) -> None:
        """Give the connection back if the body was read to its end, else close it."""
        ...


class UpstreamClient(Protocol):
    """One upstream's transport."""

    @property
    def in_flight(self) -> int:
        """How many calls are under way."""
        ...

    async def post(
        self, path: str, body: bytes, *, phases: Phases, credential: str = "", model: str = ""
    ) -> UpstreamAnswer:
        """Send a JSON body and wait for the head of the answer; UpstreamUnreachable if none comes.

        `credential` is the client's own, for upstreams that take it; else the upstream's is sent. `model` is
        the upstream's name for the model, for those that want it in the URL.
        """
        ...

    async def relay(
        self, request: OutboundRequest, *, phases: Phases, credential: str = "", model: str = ""
    ) -> UpstreamAnswer:
        """As `post`, for any request; InvalidRequest if the vendor has nothing for it."""
        ...

    async def close(self) -> None:
        """Close all connections."""
        ...
