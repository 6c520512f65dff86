"""Messages between the server and an agent's process: a length of four bytes, then a JSON object.

Both sides use this; the server takes nothing in a frame for true that it does not check.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from typing import Any

from gateway_project.core.codec import dumps_loosely, loads, loads_loosely

# More than a request may hold (GATEWAY_MAX_BODY), as a conversation grows while an agent works on it.
MAX_FRAME_BYTES = 128 * 1024 * 1024
_MAX_LOOSE_BYTES = 256 * 1024
_LENGTH = struct.Struct(">I")
Frame = dict[str, Any]


class FrameError(Exception):
    """What came is no frame."""


def encode(frame: Frame) -> bytes:
    """A frame as it is sent; FrameError if it is too long."""
    body = dumps_loosely(frame)
    if len(body) > MAX_FRAME_BYTES:
        raise FrameError("a frame is too long")
    return _LENGTH.pack(len(body)) + body


async def read_frame(reader: asyncio.StreamReader) -> Frame | None:
    """The next frame, None at the end; FrameError if it is none."""
    body = await read_body(reader, MAX_FRAME_BYTES)
    return None if body is None else decoded(body)


async def read_body(reader: asyncio.StreamReader, max_bytes: int) -> bytes | None:
    """The next frame as it came, None at the end; FrameError if it is none."""
    try:
        head = await reader.readexactly(_LENGTH.size)
        return await reader.readexactly(_length(head, max_bytes))
    except asyncio.IncompleteReadError as error:
        if error.partial:
            raise FrameError("a frame ends too early") from None
        return None
    except ConnectionError:
        return None


def send_frame(channel: socket.socket, frame: Frame) -> None:
    """Send one on a blocking socket."""
    channel.sendall(encode(frame))


def receive_frame(channel: socket.socket) -> Frame | None:
    """The next one of a blocking socket, None at the end; FrameError if it is none."""
    head = _receive(channel, _LENGTH.size)
    if not head:
        return None
    return decoded(_receive(channel, _length(head, MAX_FRAME_BYTES)))


def _receive(channel: socket.socket, count: int) -> bytes:
    parts: list[bytes] = []
    while count:
        part = channel.recv(min(count, 1 << 20))
        if not part:
            if parts:
                raise FrameError("a frame ends too early")
            return b""
        parts.append(part)
        count -= len(part)
    return b"".join(parts)


def _length(head: bytes, max_bytes: int) -> int:
    (length,) = _LENGTH.unpack(head)
    if not 0 < length <= max_bytes:
        raise FrameError("a frame has an impossible length")
    return int(length)


def parts_of(body: bytes) -> int:
    """About how many objects and arrays a frame has: these take the time, and are counted in none."""
    return body.count(b"[") + body.count(b"{") + body.count(b'":')


def decoded(body: bytes) -> Frame:
    """The frame of a body; FrameError if it is none."""
    try:
        # Python's own parser is slow, above all with long numbers.
        frame = loads_loosely(body) if len(body) <= _MAX_LOOSE_BYTES else loads(body)
    except (ValueError, RecursionError):
        raise FrameError("a frame is no JSON") from None
    if not isinstance(frame, dict):
        raise FrameError("a frame is no object")
    return frame
