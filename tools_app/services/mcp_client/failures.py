"""What can go wrong between the gateway and an MCP server, as the pool tells it apart."""

from __future__ import annotations

# JSON-RPC error codes of our own, from the transport to the session: outside of what the protocol has.
NOT_SENT = -39001
BROKEN_OFF = -39002
SESSION_GONE = -39003
REFUSED = -39004
MAX_REASON_CHARS = 300


class McpFailure(Exception):
    """A server could not be asked, or did not answer.

    `message` is fit for clients and models. `reason`, which is this exception's text, is for operators: it
    may tell of addresses and of what a program printed. `was_sent`: the server may have acted on the
    request, so nobody may send it again.
    """

    def __init__(self, message: str, *, was_sent: bool = True, reason: str = "") -> None:
        self.message = message[:MAX_REASON_CHARS]
        self.reason = (reason or message)[:MAX_REASON_CHARS]
        self.was_sent = was_sent
        super().__init__(self.reason)


class McpTimeout(McpFailure):
    """The time was over."""


class McpSessionGone(McpFailure):
    """The server knows the session no longer, and did nothing: another session may ask the same."""


class McpRefusal(McpFailure):
    """The server answered with an error of the protocol: its own code and words."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


class McpBusy(McpFailure):
    """Too many calls wait already."""


def reason_of(error: BaseException) -> str:
    """What to tell of a failure to connect: the first real reason in a tree of exceptions, in plain words."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    if isinstance(error, McpFailure):
        return error.reason
    if isinstance(error, TimeoutError):
        return "it did not answer in time"
    if isinstance(error, FileNotFoundError):
        return "there is no such program"
    if isinstance(error, PermissionError):
        return "the program may not be started"
    # The SDK's own error has the server's words beside its code.
    said = getattr(error, "message", None)
    text = " ".join((said if isinstance(said, str) else str(error)).split())
    return (text or type(error).__name__)[:MAX_REASON_CHARS]
