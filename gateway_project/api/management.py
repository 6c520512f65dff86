"""The management API: keys, models, upstreams, tools, agents, spend. Sync, on Django's stock handler.

Here it is put together and mounted; what the routes do is in the apps. Cookies mean nothing to it, so it
needs no CSRF token: every operation asks for a key in a header.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from functools import wraps
from time import perf_counter

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase, HttpResponseNotAllowed
from django.urls import Resolver404, URLPattern, URLResolver, re_path
from django.urls.resolvers import RegexPattern
from django.utils.cache import patch_vary_headers
from ninja import NinjaAPI

from agents_app.api import router as agents_router
from gateway_project.api.cors import origin_headers, preflight_headers
from gateway_project.api.management_body import BodyParser, ExactRenderer
from gateway_project.api.management_errors import ErrorResponse, install
from gateway_project.core import acting
from gateway_project.core.errors import (
    AuthenticationFailed,
    GatewayError,
    InvalidRequest,
    MethodNotAllowed,
    NotFound,
    PermissionDenied,
)
from gateway_project.core.ids import correlation_id, public_id, uuid7
from gateway_project.self_service.api import router as self_service_router
from security_app.api import admin_key
from security_app.api import routers as security_routers
from security_app.api.auth import shown_token
from security_app.registry import Principal
from security_app.services.authentication import EXPIRY_HEADER, expiry_warning
from security_app.services.denials import note_denial
from tools_app.api import mcp_servers_router, mcp_tools_router
from tools_app.api import router as tools_router
from upstreams_app.api import (
    cache_router,
    models_router,
    routes_router,
    simulation_router,
    upstream_health_router,
    upstreams_router,
)
from usage_app.api import alerts_router, reports_router, sinks_router
from usage_app.api import router as spend_router

logger = logging.getLogger(__name__)
View = Callable[..., HttpResponseBase]

management_api = NinjaAPI(
    title="Agent Gateway management",
    version=settings.VERSION,
    urls_namespace="management",
    docs_url=None,
    openapi_url=None,
    parser=BodyParser(),
    renderer=ExactRenderer(),
)
install(management_api)
for security_router in security_routers:
    management_api.add_router("", security_router)
management_api.add_router("", self_service_router)
management_api.add_router("", models_router)
management_api.add_router("", upstreams_router)
management_api.add_router("", upstream_health_router)
management_api.add_router("", routes_router)
management_api.add_router("", simulation_router)
management_api.add_router("", cache_router)
management_api.add_router("", tools_router)
management_api.add_router("", mcp_servers_router)
management_api.add_router("", mcp_tools_router)
management_api.add_router("", agents_router)
management_api.add_router("", spend_router, auth=admin_key)
management_api.add_router("", reports_router, auth=admin_key)
management_api.add_router("", alerts_router, auth=admin_key)
management_api.add_router("", sinks_router, auth=admin_key)


def management_urls() -> list[URLPattern]:
    """The routes, and behind them the same with a slash at the end, for Django's URL map."""
    routes = [_answering(pattern) for pattern in _patterns(management_api.urls[0])]
    resolver = URLResolver(RegexPattern(r"^/"), routes)

    def without_slash(request: HttpRequest, path: str) -> HttpResponseBase:
        try:
            match = resolver.resolve("/" + path)
        except Resolver404:
            return not_found(request)
        view: View = match.func
        return view(request, *match.args, **match.kwargs)

    # The routes take no cookies. Django must not redirect to a path that is only tolerated.
    without_slash.csrf_exempt = True  # type: ignore[attr-defined]
    without_slash.should_append_slash = False  # type: ignore[attr-defined]
    return [*routes, re_path(r"^(?P<path>.*[^/])/+$", without_slash)]


def not_found(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    """The answer for a path that leads nowhere."""
    return answer_error(request, NotFound("There is nothing at this path."))


def answer_error(request: HttpRequest, error: GatewayError) -> HttpResponse:
    """An error outside of any route, with the headers that all answers have."""
    response = ErrorResponse(error)
    _finish(request, response)
    return response


def _patterns(items: list[URLPattern | URLResolver]) -> Iterator[URLPattern]:
    for item in items:
        if isinstance(item, URLResolver):
            yield from _patterns(item.url_patterns)
        elif item.name != "api-root":
            yield item


def _answering(pattern: URLPattern) -> URLPattern:
    """The route with what all answers share: the request's id, errors in one form, a line in the log."""
    view: View = pattern.callback

    @wraps(view)
    def answer(request: HttpRequest, *args: object, **kwargs: object) -> HttpResponseBase:
        started = perf_counter()
        response = _refusal(request) or view(request, *args, **kwargs)
        if isinstance(response, HttpResponseNotAllowed):
            response = _other_method(request, sorted(response["Allow"].split(", ")))
        _finish(request, response)
        _report(request, response, started)
        return response

    answer.csrf_exempt = True  # type: ignore[attr-defined]
    return URLPattern(pattern.pattern, answer, pattern.default_args, pattern.name)


def _refusal(request: HttpRequest) -> HttpResponse | None:
    """What is refused before anybody looks who asks."""
    if "transfer-encoding" in request.headers and "content-length" not in request.headers:
        # Without a length Django would hold all of it in memory before it could be refused.
        return ErrorResponse(
            InvalidRequest("Send the body with a Content-Length.", status=411, code="length_required")
        )
    if "\0" in request.path:
        return ErrorResponse(NotFound("There is nothing at this path."))
    return None


def _other_method(request: HttpRequest, methods: list[str]) -> HttpResponse:
    """The answer to a method that no operation has; browsers ask with OPTIONS before they send a key."""
    if request.method != "OPTIONS":
        allowed = ", ".join(methods)
        message = f"Method {request.method} is not allowed here; use {allowed}."
        return ErrorResponse(MethodNotAllowed(message, headers={"allow": allowed}))
    allowed = ", ".join([*methods, "OPTIONS"])
    response = HttpResponse(status=204, headers={"allow": allowed})
    del response.headers["content-type"]
    patch_vary_headers(response, ["access-control-request-headers"])
    if "origin" in request.headers and "access-control-request-method" in request.headers:
        requested = request.headers.get("access-control-request-headers")
        _add_headers(response, preflight_headers(allowed, requested))
    return response


def _finish(request: HttpRequest, response: HttpResponseBase) -> None:
    # The one that the audit has, unless the request came past the middleware.
    response.headers["x-request-id"] = acting.current().request_id or public_id("req", uuid7())
    own_id = request.headers.get("x-client-request-id") or request.headers.get("x-request-id")
    if own_id:
        response.headers["x-client-request-id"] = correlation_id(own_id)
    response.headers.setdefault("cache-control", "no-store")
    principal = getattr(request, "auth", None)
    if isinstance(principal, Principal) and (warning := expiry_warning(principal)):
        response.headers[EXPIRY_HEADER] = warning
    _add_headers(response, origin_headers(request.headers.get("origin")))


def _add_headers(response: HttpResponseBase, headers: Mapping[str, str]) -> None:
    for name, value in headers.items():
        if name == "vary":
            patch_vary_headers(response, [value])
        else:
            response.headers[name] = value


def _report(request: HttpRequest, response: HttpResponseBase, started: float) -> None:
    principal = getattr(request, "principal", None)
    key_id = principal.key_id if isinstance(principal, Principal) else None
    error = response.error if isinstance(response, ErrorResponse) else None
    fields: dict[str, object] = {
        "request_id": response.headers["x-request-id"],
        "method": request.method,
        "endpoint": request.path[:200],
        "status": response.status_code,
        "duration_ms": round((perf_counter() - started) * 1000, 3),
        "key_id": None if key_id is None else public_id("key", key_id),
        "error_code": None if error is None else error.code,
    }
    if isinstance(error, AuthenticationFailed):
        fields["reason"] = error.reason
    if isinstance(error, AuthenticationFailed | PermissionDenied):
        _note_denial(request, error)
    logger.info("http.request", extra=fields)


def _note_denial(request: HttpRequest, error: AuthenticationFailed | PermissionDenied) -> None:
    principal = getattr(request, "principal", None)
    reason = error.reason if isinstance(error, AuthenticationFailed) else error.code or ""
    what = f"{request.method} {request.path}"
    note_denial(principal, reason, what, token=shown_token(request), ip=acting.current().ip)
