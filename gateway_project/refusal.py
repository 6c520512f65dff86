"""Answers on bare ASGI to requests that no handler gets to see: an error object for programs, a line of text
for a person in the admin, and a line in the log.
"""

from __future__ import annotations

from time import perf_counter

from gateway_project.api.cors import origin_headers, raw_headers
from gateway_project.api.exchange import HeaderList, Message, Send
from gateway_project.core.codec import dumps
from gateway_project.core.errors import GatewayError
from gateway_project.core.ids import public_id, uuid7
from gateway_project.observability.logging import log_event


async def refuse(scope: Message, send: Send, error: GatewayError, *, started: float) -> None:
    """Answer with an error and close, for the body may not have been read; `started` is of perf_counter."""
    path: str = scope["path"]
    if path.startswith("/admin/"):
        content_type, body = b"text/plain; charset=utf-8", error.message.encode()
        cors: HeaderList = []
    else:
        content_type, body = b"application/json", dumps(error.body())
        cors = _cors(scope)
    request_id = public_id("req", uuid7())
    headers = [
        (b"content-type", content_type),
        (b"content-length", str(len(body)).encode()),
        (b"connection", b"close"),
        (b"x-request-id", request_id.encode()),
        *cors,
    ]
    await send({"type": "http.response.start", "status": error.status, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})
    log_event(
        "http.request",
        {
            "request_id": request_id,
            "method": scope["method"],
            "endpoint": path[:200],
            "status": error.status,
            "duration_ms": round((perf_counter() - started) * 1000, 3),
            "error_code": error.code,
        },
    )


def _cors(scope: Message) -> HeaderList:
    origin: bytes | None = dict(scope["headers"]).get(b"origin")
    headers = origin_headers(None if origin is None else origin.decode("latin-1"))
    return raw_headers(headers)
