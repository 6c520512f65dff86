"""A tiny HTTP server on the loopback address that answers GETs as a test says, and remembers who asked."""

from __future__ import annotations

import json
import ssl
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, NamedTuple, Self


class Seen(NamedTuple):
    """A request that came in; header names are in lower case."""

    path: str
    headers: dict[str, str]


class ModelServer:
    """`answers` maps a path to a status and a JSON value or bytes; other paths are 404.

    `tls` makes it an HTTPS server.
    """

    def __init__(self, answers: dict[str, tuple[int, Any]], *, tls: ssl.SSLContext | None = None) -> None:
        self.answers = answers
        self.requests: list[Seen] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            """Answers from the table."""

            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                """One answer."""
                outer.requests.append(Seen(self.path, {k.lower(): v for k, v in self.headers.items()}))
                status, value = outer.answers.get(self.path, (404, {"detail": "no"}))
                body = value if isinstance(value, bytes) else json.dumps(value).encode()
                self.send_response(status)
                if 300 <= status < 400:
                    self.send_header("location", "http://127.0.0.1:1/elsewhere")
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:
                """Nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._scheme = "http"
        if tls is not None:
            self._scheme = "https"
            # The handshake is the handler's: here a client that gives up would end the server.
            self._server.socket = tls.wrap_socket(
                self._server.socket, server_side=True, do_handshake_on_connect=False
            )
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})

    @property
    def url(self) -> str:
        """Scheme, host and port."""
        return f"{self._scheme}://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
