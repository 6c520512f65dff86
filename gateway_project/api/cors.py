"""Which pages of browsers may read what the API answers, at the inference doors and at Django's side alike.

There are no cookies in it, so credentials are never allowed and `*` is no danger.
"""

from __future__ import annotations

from collections.abc import Mapping

from django.conf import settings

_EXPOSED = (
    "x-request-id, x-client-request-id, retry-after, x-should-retry, openai-processing-ms, mcp-session-id"
    ", x-gateway-model, x-gateway-upstream, x-gateway-attempts, x-gateway-cost, x-gateway-key-expires"
)
_MAX_AGE_S = "86400"


def origin_headers(origin: str | None) -> dict[str, str]:
    """The headers that let a page of an allowed origin read an answer; none if no page asks."""
    if origin is None:
        return {}
    allowed: list[str] = settings.CORS_ORIGINS
    if "*" in allowed:
        return {"access-control-allow-origin": "*", "access-control-expose-headers": _EXPOSED}
    if origin in allowed:
        return {
            "access-control-allow-origin": origin,
            "vary": "origin",
            "access-control-expose-headers": _EXPOSED,
        }
    return {"vary": "origin"}


def raw_headers(headers: Mapping[str, str]) -> list[tuple[bytes, bytes]]:
    """The same for bare ASGI."""
    return [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]


def preflight_headers(methods: str, requested_headers: str | None) -> dict[str, str]:
    """What a page may send: these methods, and the headers that it asks for."""
    return {
        "access-control-allow-methods": methods,
        "access-control-allow-headers": requested_headers or "authorization, content-type",
        "access-control-max-age": _MAX_AGE_S,
    }
