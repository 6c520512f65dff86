"""Django's own URLs: the admin and the management API. Inference never gets here."""

from __future__ import annotations

from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.template.response import TemplateResponse
from django.urls import include, path
from django.views import defaults

from gateway_project.admin_pages import admin_urls
from gateway_project.api.management import answer_error, management_urls, not_found
from gateway_project.core.errors import InternalError, InvalidRequest, PermissionDenied
from gateway_project.self_service.views import me

admin.autodiscover()
urlpatterns = [
    path("admin/", include("gateway_project.sign_in.urls")),
    path("admin/", admin_urls()),
    path("me/", me, name="me"),
    *management_urls(),
]


def _is_for_a_person(request: HttpRequest) -> bool:
    return request.path.startswith(("/admin/", "/me/"))


def handler404(request: HttpRequest, exception: Exception) -> HttpResponseBase:
    """A page for people, an error object for programs."""
    return defaults.page_not_found(request, exception) if _is_for_a_person(request) else not_found(request)


def handler400(request: HttpRequest, exception: Exception) -> HttpResponseBase:
    """What Django itself refuses, such as an unknown Host header."""
    if _is_for_a_person(request):
        return defaults.bad_request(request, exception)
    return answer_error(request, InvalidRequest("The request is not acceptable; is its Host header right?"))


def handler403(request: HttpRequest, exception: Exception) -> HttpResponseBase:
    """Refusals of Django's own; the API answers for itself."""
    if not _is_for_a_person(request):
        return answer_error(request, PermissionDenied("This is not allowed."))
    if not hasattr(request, "user") or not admin.site.has_permission(request):
        return defaults.permission_denied(request, exception)
    context = {**admin.site.each_context(request), "title": "Not allowed"}
    return TemplateResponse(request, "admin_gateway/forbidden.html", context, status=403).render()


def handler500(request: HttpRequest) -> HttpResponse:
    """A fault outside of any route."""
    if _is_for_a_person(request):
        return defaults.server_error(request)
    return answer_error(request, InternalError("Something went wrong here; the log has the details."))
