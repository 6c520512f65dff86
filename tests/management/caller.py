"""Somebody at the management API's door."""

from __future__ import annotations

import json
from typing import Any, cast

from django.http import HttpResponse
from django.test import Client

VENDOR_SECRET = "sk-vendor-secret-0123456789-wxyz"


class Caller:
    """Somebody with a key. Every answer is kept in `answers`, so that a test can search all of them."""

    def __init__(self, key: str | None, answers: list[bytes], *, header: str = "authorization") -> None:
        self.key = key
        self.answers = answers
        self._headers = {} if key is None else {header: f"Bearer {key}" if header == "authorization" else key}
        self._client = Client(raise_request_exception=False)

    def with_key(self, key: str | None, *, header: str = "authorization") -> Caller:
        """Somebody else at the same door."""
        return Caller(key, self.answers, header=header)

    def request(
        self, method: str, path: str, body: Any = None, *, raw: str | bytes | None = None
    ) -> HttpResponse:
        """One request; a body that is not None goes out as JSON."""
        content = raw if raw is not None else "" if body is None else json.dumps(body)
        response = cast(
            HttpResponse,
            self._client.generic(
                method, path, content, content_type="application/json", headers=self._headers
            ),
        )
        self.answers.append(response.content)
        return response

    def get(self, path: str) -> HttpResponse:
        """GET."""
        return self.request("GET", path)

    def post(self, path: str, body: Any = None, *, raw: str | bytes | None = None) -> HttpResponse:
        """POST."""
        return self.request("POST", path, body, raw=raw)

    def ok(self, method: str, path: str, body: Any = None) -> Any:
        """The JSON of an answer that must be a success."""
        response = self.request(method, path, body)
        assert response.status_code in (200, 201), response.content
        return json.loads(response.content)

    def refused(
        self, method: str, path: str, body: Any = None, *, raw: str | bytes | None = None
    ) -> dict[str, Any]:
        """The error object of an answer that must be none, with its status."""
        response = self.request(method, path, body, raw=raw)
        assert response.status_code >= 400, response.content
        assert response.headers["x-request-id"].startswith("req_")
        error: dict[str, Any] = json.loads(response.content)["error"]
        assert set(error) == {"message", "type", "param", "code"}
        return error | {"status": response.status_code}
