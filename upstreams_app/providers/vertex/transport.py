"""How google-auth asks for the machine's credentials: by our HTTP client, without another library.

The metadata service, which nothing else here may call, is where machines on Google Cloud get their tokens.
The addresses come from the machine's configuration, never from a row.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

import httpx
from google.auth import exceptions, transport


class _Answer(transport.Response):
    def __init__(self, response: httpx.Response) -> None:
        self._response = response

    @property
    def status(self) -> int:
        return self._response.status_code

    @property
    def headers(self) -> Mapping[str, str]:
        return self._response.headers

    @property
    def data(self) -> bytes:
        return self._response.content


class MachineTransport(transport.Request):
    """google-auth's `Request`; `with` closes it."""

    def __init__(self, *, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._client = httpx.Client(follow_redirects=False, trust_env=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._client.close()

    def __call__(
        self,
        url: str,
        method: str = "GET",
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        timeout: float | None = None,
        **_more: Any,
    ) -> _Answer:
        """One call; never longer than this transport's own limit."""
        limit_s = min(timeout or self._timeout_s, self._timeout_s)
        try:
            answer = self._client.request(method, url, content=body, headers=headers, timeout=limit_s)
        except httpx.HTTPError as error:
            raise exceptions.TransportError(type(error).__name__) from None
        return _Answer(answer)
