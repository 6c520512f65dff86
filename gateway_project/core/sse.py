"""Server-sent events at the byte level (WHATWG HTML, section 9.2), without decoding what is relayed."""

from __future__ import annotations

from collections.abc import Iterator

DONE = b"data: [DONE]\n\n"
HEARTBEAT = b": ping\n\n"


class EventTooLarge(ValueError):
    """One event exceeds the limit: nobody streams that on purpose."""


class EventSplitter:
    """Cuts a byte stream, in whatever pieces it arrives, into blocks of whole events.

    CRLF and lone CR line ends become LF. A block is zero or more events, each ended by a blank line.
    """

    __slots__ = ("_limit", "_pending", "_pending_cr")

    def __init__(self, *, limit_bytes: int = 16 * 1024 * 1024) -> None:
        self._pending = b""
        self._pending_cr = False
        self._limit = limit_bytes

    def feed(self, piece: bytes) -> bytes:
        """The events that are complete now; b"" while the next one is still on its way."""
        if self._pending_cr or b"\r" in piece:
            piece = self._normalise(piece)
        data = self._pending + piece if self._pending else piece
        end = data.rfind(b"\n\n")
        if end < 0:
            self._pending = data
        elif end + 2 == len(data):
            self._pending = b""
            return data
        else:
            self._pending = data[end + 2 :]
        if len(self._pending) > self._limit:
            raise EventTooLarge(f"an event is longer than {self._limit} bytes")
        return data[: end + 2] if end >= 0 else b""

    def flush(self) -> bytes:
        """What is left at the end of the stream, completed by a blank line; b"" if nothing is."""
        rest = self._pending + (b"\n" if self._pending_cr else b"")
        self._pending, self._pending_cr = b"", False
        rest = rest.strip(b"\n")
        return rest + b"\n\n" if rest else b""

    def _normalise(self, piece: bytes) -> bytes:
        # A CR at the end may be the first half of CRLF: decide when the next byte is known.
        if self._pending_cr:
            piece = b"\r" + piece
        self._pending_cr = piece.endswith(b"\r")
        if self._pending_cr:
            piece = piece[:-1]
        return piece.replace(b"\r\n", b"\n").replace(b"\r", b"\n")


def iter_events(block: bytes) -> Iterator[tuple[bytes, bytes | None]]:
    """Each event of a block as (its bytes, its data); data is None for comments and other fields."""
    for event in block.split(b"\n\n"):
        lines = [line for line in event.split(b"\n") if line]
        if not lines:
            continue
        data = [line[5:].removeprefix(b" ") for line in lines if line.startswith(b"data:")]
        yield b"\n".join(lines) + b"\n\n", b"\n".join(data) if data else None


def event(data: bytes) -> bytes:
    """One event with this data, which holds no line end."""
    return b"data: " + data + b"\n\n"
