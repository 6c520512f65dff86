"""An external authorizer at the wire: answers as a test says, and verifies who asks."""

from __future__ import annotations

import hmac
import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

SECRET = "0123456789abcdef" * 2


class FakeAuthorizer:
    """`answer` is a status and a JSON value or bytes; `questions` are those whose signature was good."""

    def __init__(self) -> None:
        self.answer: tuple[int, Any] = (200, {"allow": True})
        self.questions: list[dict[str, Any]] = []
        self.is_silent = False
        # How many questions it leaves without an answer, closing the connection.
        self.leaves = 0
        self.connections = 0
        outer = self

        class Handler(BaseHTTPRequestHandler):
            """Answers as it is told."""

            protocol_version = "HTTP/1.1"

            def setup(self) -> None:
                """A connection."""
                super().setup()
                outer.connections += 1

            def do_POST(self) -> None:
                """One question."""
                body = self.rfile.read(int(self.headers["content-length"]))
                if outer.is_signed(body, self.headers.get("x-gateway-timestamp", ""), self.headers):
                    outer.questions.append(json.loads(body))
                if outer.leaves > 0:
                    outer.leaves -= 1
                    self.close_connection = True
                    return
                if outer.is_silent:
                    outer._woken.wait(30)
                status, value = outer.answer
                said = value if isinstance(value, bytes) else json.dumps(value).encode()
                self.send_response(status)
                self.send_header("content-length", str(len(said)))
                self.end_headers()
                self.wfile.write(said)

            def log_message(self, format: str, *args: object) -> None:
                """Nothing."""

        self._woken = threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})

    @property
    def url(self) -> str:
        """Where it is asked."""
        return f"http://127.0.0.1:{self._server.server_address[1]}/ask"

    @staticmethod
    def is_signed(body: bytes, timestamp: str, headers: Any) -> bool:
        """What an authorizer must look at: the signature, and that the question is of now."""
        mac = hmac.new(SECRET.encode(), timestamp.encode() + b"." + body, "sha256").hexdigest()
        is_now = abs(time.time() - int(timestamp or 0)) < 60
        return is_now and hmac.compare_digest(headers.get("x-gateway-signature", ""), f"sha256={mac}")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._woken.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
