"""Where this server answers on its own machine: for a call to itself, and for a person to read."""

from __future__ import annotations

from django.conf import settings

# What to call where the server listens at every address.
_LOOPBACK = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}  # noqa: S104  (compared)


def own_base_url() -> str:
    """`http://host:port`, without a slash at the end."""
    host = _LOOPBACK.get(settings.HOST, settings.HOST)
    return f"http://[{host}]:{settings.PORT}" if ":" in host else f"http://{host}:{settings.PORT}"
