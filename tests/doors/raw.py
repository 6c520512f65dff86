"""Requests that no HTTP client would send, byte by byte."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from tests.doors.gateway import Gateway
from tests.doors.rows import KEY

TIMEOUT_S = 15.0


def connect(gateway: Gateway) -> socket.socket:
    """A connection that has sent nothing yet."""
    return socket.create_connection(("127.0.0.1", gateway.port), timeout=TIMEOUT_S)


@contextmanager
def chat_connection(gateway: Gateway, model: str, **body: Any) -> Iterator[socket.socket]:
    """A client's connection that has sent a chat request."""
    content = json.dumps({"model": model, "messages": [{"role": "user", "content": "Hi"}], **body}).encode()
    head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: test\r\nAuthorization: Bearer {KEY}\r\n"
    with connect(gateway) as opened:
        opened.sendall(f"{head}Content-Length: {len(content)}\r\n\r\n".encode() + content)
        yield opened


def send(opened: socket.socket, pieces: Iterable[bytes]) -> int:
    """Send until the server closes; how many bytes it got at most."""
    size = 0
    try:
        for piece in pieces:
            opened.sendall(piece)
            size += len(piece)
    except (BrokenPipeError, ConnectionResetError):
        pass
    return size


def read_until(opened: socket.socket, mark: bytes) -> str:
    """Read until something came; the request id in the head."""
    data = b""
    while mark not in data:
        piece = opened.recv(65_536)
        assert piece, data
        data += piece
    return data.partition(b"x-request-id: ")[2].partition(b"\r\n")[0].decode()


def read_to_end(opened: socket.socket) -> bytes:
    """What comes until the server closes; fails the test by a timeout if it doesn't."""
    data = b""
    try:
        while piece := opened.recv(65_536):
            data += piece
    except ConnectionResetError:
        pass
    return data


def parsed(answer: bytes) -> tuple[int, str, dict[str, Any]]:
    """Status, head and the body's error of the one answer."""
    head, _, body = answer.partition(b"\r\n\r\n")
    error: dict[str, Any] = json.loads(body)["error"]
    return int(head.split(b" ")[1]), head.decode().lower(), error
