"""What stands before everything with GATEWAY_HTTPS_ONLY: no key may come in the clear.

The admin's pages are redirected, for browsers. Anywhere else a redirect would only hide from a client that
everybody on its way can read its key, so the request is refused. Probes come from the machine beside us.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from time import perf_counter

from gateway_project.api.exchange import Message, Receive, Send
from gateway_project.api_handler import ApiHandler
from gateway_project.core.errors import PermissionDenied
from gateway_project.refusal import refuse

PROBES = frozenset({"/health", "/healthz", "/health/liveliness", "/readyz", "/health/readiness"})
KEY_HEADERS = frozenset({b"authorization", b"x-api-key", b"api-key"})
_PAGES = ("/admin/", "/me/", "/static/")


class HttpsOnly:
    """An ASGI application around the one for HTTP: 403 for plain HTTP, except for keyless probes and pages.

    uvicorn sets the scheme, from X-Forwarded-Proto too if it comes from one of GATEWAY_TRUSTED_PROXIES.
    """

    def __init__(
        self, application: Callable[[Message, Receive, Send], Awaitable[None]], doors: ApiHandler
    ) -> None:
        self._application = application
        self._doors = doors

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Hand on what came over TLS, what Django redirects, and probes."""
        path: str = scope["path"]
        is_page = path == "/admin" or path.startswith(_PAGES)
        if scope.get("scheme") == "https" or is_page or self._is_probe(scope):
            await self._application(scope, receive, send)
            return
        error = PermissionDenied(
            "This gateway takes requests over https only; a key that was sent over http should be replaced.",
            code="https_required",
        )
        await refuse(scope, send, error, started=perf_counter())

    def _is_probe(self, scope: Message) -> bool:
        match = self._doors.find(scope["path"])
        if match is None or not any(door.path in PROBES for door in match.methods.values()):
            return False
        return not any(name in KEY_HEADERS for name, _ in scope["headers"])
