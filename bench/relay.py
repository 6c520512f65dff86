"""The yardstick: a bare ASGI relay with the gateway's server, the usual HTTP client, and nothing else.

uvicorn (uvloop, httptools, no access log, no date and server headers, no proxy headers) and one
pooled aiohttp session. It reads the body, posts it to the vendor and passes the answer back: no
keys, no routing, no ledger, no log. The gateway has a lighter client than this one, which it needs.
"""

from __future__ import annotations

import argparse
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import aiohttp
import uvicorn

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


class Relay:
    """The ASGI application."""

    def __init__(self, vendor_url: str) -> None:
        self._vendor_url = vendor_url
        self._session: aiohttp.ClientSession | None = None

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await self._relay(scope, receive, send)
        elif scope["type"] == "lifespan":
            await self._live(receive, send)

    async def _live(self, receive: Receive, send: Send) -> None:
        await receive()
        async with aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0),
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=None),
            auto_decompress=False,
        ) as session:
            self._session = session
            await send({"type": "lifespan.startup.complete"})
            await receive()
        await send({"type": "lifespan.shutdown.complete"})

    async def _relay(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        body = b""
        while True:
            message = await receive()
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
        assert self._session is not None  # noqa: S101 (set by the lifespan, before any request)
        async with self._session.request(
            scope["method"],
            self._vendor_url + scope["path"],
            data=body or None,
            headers={"content-type": "application/json"},
            allow_redirects=False,
        ) as answer:
            content_type = answer.headers.get("content-type", "application/json")
            headers = [(b"content-type", content_type.encode())]
            if content_type.startswith("text/event-stream"):
                await _start(send, answer.status, headers)
                async for chunk in answer.content.iter_any():
                    await send({"type": "http.response.body", "body": chunk, "more_body": True})
                await send({"type": "http.response.body", "body": b""})
            else:
                content = await answer.read()
                headers.append((b"content-length", b"%d" % len(content)))
                await _start(send, answer.status, headers)
                await send({"type": "http.response.body", "body": content})


async def _start(send: Send, status: int, headers: list[tuple[bytes, bytes]]) -> None:
    await send({"type": "http.response.start", "status": status, "headers": headers})


def main() -> None:
    """Read the command line and serve."""
    parser = argparse.ArgumentParser(prog="python -m bench.relay", description=__doc__)
    parser.add_argument("--port", type=int, default=9101)
    parser.add_argument("--vendor", default="http://127.0.0.1:9100", help="without /v1")
    options = parser.parse_args()
    uvicorn.run(
        Relay(options.vendor),
        host="127.0.0.1",
        port=options.port,
        loop="uvloop",
        http="httptools",
        ws="none",
        lifespan="on",
        access_log=False,
        log_level="warning",
        date_header=False,
        server_header=False,
        proxy_headers=False,
    )


if __name__ == "__main__":
    main()
