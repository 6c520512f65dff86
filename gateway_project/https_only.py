"""What stands before the inference doors with GATEWAY_HTTPS_ONLY: no key may come in the clear.

Django's side redirects, for browsers. Here a redirect would only hide from a client that everybody on its
way can read its key, so the request is refused. Probes carry no key and come from the machine beside us.
"""

from __future__ import annotations

from time import perf_counter

from gateway_project.api.exchange import Message, Receive, Send
from gateway_project.api_handler import ApiHandler
from gateway_project.core.errors import PermissionDenied
from gateway_project.refusal import refuse

PROBES = frozenset({"/health", "/healthz", "/health/liveliness", "/readyz", "/health/readiness"})


class HttpsOnly:
    """An ASGI application around the doors: 403 for plain HTTP, whatever the key.

    uvicorn sets the scheme, from X-Forwarded-Proto too if it comes from one of GATEWAY_TRUSTED_PROXIES.
    """

    def __init__(self, doors: ApiHandler) -> None:
        self._doors = doors

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Hand on what came over TLS, and probes."""
        if scope.get("scheme") == "https" or self._is_probe(scope["path"]):
            await self._doors(scope, receive, send)
            return
        error = PermissionDenied(
            "This gateway takes requests over https only; a key that was sent over http should be replaced.",
            code="https_required",
        )
        await refuse(scope, send, error, started=perf_counter())

    def _is_probe(self, path: str) -> bool:
        match = self._doors.find(path)
        return match is not None and any(door.path in PROBES for door in match.methods.values())
