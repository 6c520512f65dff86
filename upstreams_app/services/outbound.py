"""What is sent to an upstream besides JSON as chats have it: any method, any body, also one that streams."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from upstreams_app.registry import Target


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
