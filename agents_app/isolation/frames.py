"""Messages between the server and an agent's process: a length of four bytes, then a JSON object.

Both sides use this; the server takes nothing in a frame for true that it does not check.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from typing import Any

from gateway_project.core.codec import dumps_loosely, loads_loosely

# More than a request may hold (GATEWAY_MAX_BODY), as a conversation grows while an agent works on it.
MAX_FRAME_BYTES = 128 * 1024 * 1024
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


async def read_frame(reader: asyncio.StreamReader, max_bytes: int = MAX_FRAME_BYTES) -> Frame | None:
    """The next frame, None at the end; FrameError if it is none."""
    try:
        head = await reader.readexactly(_LENGTH.size)
        return _decoded(await reader.readexactly(_length(head, max_bytes)))
    except asyncio.IncompleteReadError as error:
        if error.partial:
            raise FrameError("a frame ends too early") from None
        return None
    except ConnectionError:
        return None


def send_frame(channel: socket.socket, frame: Frame) -> None:
    """Send one on a blocking socket."""
    channel.sendall(encode(frame))


def receive_frame(channel: socket.socket, max_bytes: int = MAX_FRAME_BYTES) -> Frame | None:
    """The next one of a blocking socket, None at the end; FrameError if it is none."""
    head = _receive(channel, _LENGTH.size)
    if not head:
        return None
    return _decoded(_receive(channel, _length(head, max_bytes)))


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


def _decoded(body: bytes) -> Frame:
    try:
        frame = loads_loosely(body)
    except (ValueError, RecursionError):
        raise FrameError("a frame is no JSON") from None
    if not isinstance(frame, dict):
        raise FrameError("a frame is no object")
    return frame
