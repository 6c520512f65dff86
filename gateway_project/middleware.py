"""What Django's handler adds to every request: who acts, and security headers for pages.

Two content policies, since the admin theme needs what nothing else may.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.http import HttpRequest, HttpResponse

from gateway_project.core.acting import ANONYMOUS, Acting, acting_as
from gateway_project.core.ids import public_id, uuid7

STRICT_POLICY = (
    "default-src 'self'; frame-ancestors 'none'; base-uri 'self'; form-action 'self'; object-src 'none'"
)
# Alpine, which the theme is built on, compiles expressions; its style bindings are inline.
ADMIN_POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data:; frame-ancestors 'none'; base-uri 'self'; form-action 'self'; object-src 'none'"
)


class ActingMiddleware:
    """Says who acts in a page or a route, and gives the request its id; after the session's middleware."""

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse | Awaitable[HttpResponse]]) -> None:
        self.get_response = get_response
        self._is_async = iscoroutinefunction(get_response)
        if self._is_async:
            markcoroutinefunction(self)

    def __call__(self, request: HttpRequest) -> HttpResponse | Awaitable[HttpResponse]:
        """Answer in the mode, sync or async, of the handler around us."""
        if self._is_async:
            return self._acall(request)
        with acting_as(_acting(request)):
            return self.get_response(request)

    async def _acall(self, request: HttpRequest) -> HttpResponse:
        with acting_as(_acting(request)):
            awaited = self.get_response(request)
            return awaited if isinstance(awaited, HttpResponse) else await awaited


def _acting(request: HttpRequest) -> Acting:
    ip = request.META.get("REMOTE_ADDR", "")
    return Acting(
        ANONYMOUS,
        ANONYMOUS,
        request_id=public_id("req", uuid7()),
        ip=ip,
        find=lambda: _person(request),
    )


def _person(request: HttpRequest) -> str:
    user = getattr(request, "user", None)
    return user.get_username() if user is not None and user.is_authenticated else ""


class SecurityHeadersMiddleware:
    """Adds Content-Security-Policy and Permissions-Policy to every page of Django's handler."""

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse | Awaitable[HttpResponse]]) -> None:
        self.get_response = get_response
        self._is_async = iscoroutinefunction(get_response)
        if self._is_async:
            markcoroutinefunction(self)

    def __call__(self, request: HttpRequest) -> HttpResponse | Awaitable[HttpResponse]:
        """Answer in the mode, sync or async, of the handler around us."""
        if self._is_async:
            return self._acall(request)
        response = self.get_response(request)
        if not isinstance(response, HttpResponse):
            return response
        return self._add(request, response)

    async def _acall(self, request: HttpRequest) -> HttpResponse:
        awaited = self.get_response(request)
        response = awaited if isinstance(awaited, HttpResponse) else await awaited
        return self._add(request, response)

    def _add(self, request: HttpRequest, response: HttpResponse) -> HttpResponse:
        # Swagger UI draws its icons as data: URLs and styles itself inline, as the admin theme does.
        is_page_of_a_library = request.path.startswith(("/admin", "/docs", "/me/"))
        policy = ADMIN_POLICY if is_page_of_a_library else STRICT_POLICY
        response.headers.setdefault("Content-Security-Policy", policy)
        response.headers.setdefault("Permissions-Policy", "camera=(), geolocation=(), microphone=()")
        return response
