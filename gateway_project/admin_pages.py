"""Pages of the admin that are no list of a model: which there are, and who may open them.

`admin_pages()` lists them. Each is served under /admin/ by the name `admin:<name>`, only to those who have
its permissions, and stands in the sidebar for them. A page's view takes the request; if it answers with a
TemplateResponse (its template extends `admin_gateway/page.html`), the frame around it is added here.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.template.response import TemplateResponse
from django.urls import URLPattern, URLResolver, path, reverse

from gateway_project.admin_navigation import model_navigation

View = Callable[[HttpRequest], HttpResponseBase]


class AdminPage(NamedTuple):
    """A page: `path` below /admin/ with its final slash, `permissions` as `<app>.<codename>`, all needed.

    An empty icon keeps it out of the sidebar. A page without permissions is for nobody.
    """

    path: str
    name: str
    view: View
    title: str
    icon: str
    permissions: tuple[str, ...]


def admin_pages() -> list[AdminPage]:
    """All of them, in the order of the sidebar. Imported late: views need models."""
    from gateway_project.clients import clients_view
    from gateway_project.first_run.state import PERMISSIONS
    from gateway_project.first_run.views import first_run_view
    from gateway_project.health_page import health_view
    from security_app.admin.explain import explain_view
    from upstreams_app.admin.simulator import simulator_view
    from upstreams_app.admin.trial_page import MAY_PROBE, trials_view
    from usage_app.admin.live import live_view
    from usage_app.admin.prices import unpriced_view
    from usage_app.admin.reports import EXPORT, once_view

    sees_probes, sees_requests = ("upstreams_app.view_healthsample",), ("usage_app.view_usagerecord",)
    sees_keys = ("security_app.view_apikey",)
    sees_prices = ("usage_app.view_price",)
    sees_rules = ("security_app.view_apikey", "security_app.view_accessrule")
    sees_routes = ("upstreams_app.view_route", "security_app.view_apikey")
    return [
        AdminPage("health/", "health", health_view, "Health", "monitor_heart", sees_probes),
        AdminPage("test-upstreams/", "test_upstreams", trials_view, "Test upstreams", "", (MAY_PROBE,)),
        AdminPage("live/", "live", live_view, "Live", "sensors", sees_requests),
        AdminPage("prices/unpriced/", "unpriced", unpriced_view, "Models without a price", "", sees_prices),
        AdminPage("reports/", "reports", once_view, "Make a report", "lab_profile", (EXPORT,)),
        AdminPage("clients/", "clients", clients_view, "Set up a client", "devices", sees_keys),
        AdminPage("explain/", "explain_access", explain_view, "Explain access", "fact_check", sees_rules),
        AdminPage("simulator/", "simulate_route", simulator_view, "Simulate", "alt_route", sees_routes),
        AdminPage("first-run/", "first_run", first_run_view, "First steps", "", PERMISSIONS),
    ]


def admin_urls() -> tuple[list[URLPattern | URLResolver], str, str]:
    """As `admin.site.urls`, with our pages before the site's own, which end in one that catches all."""
    pages = [path(page.path, _guarded(page), name=page.name) for page in admin_pages()]
    return [*pages, *admin.site.get_urls()], "admin", admin.site.name


def may_open(request: HttpRequest, page: AdminPage) -> bool:
    """Whether this person may see the page."""
    if not page.permissions or not admin.site.has_permission(request):
        return False
    return request.user.has_perms(page.permissions)


def navigation(request: HttpRequest) -> list[dict[str, object]]:
    """The sidebar (`UNFOLD["SIDEBAR"]["navigation"]`): the start page and our pages, then the models."""
    first, *models = model_navigation(request)
    items = [
        {"title": page.title, "icon": page.icon, "link": reverse(f"admin:{page.name}")}
        for page in admin_pages()
        if page.icon and may_open(request, page)
    ]
    known: Any = first["items"]
    return [{**first, "items": [*known, *items]}, *models]


def _guarded(page: AdminPage) -> Callable[..., HttpResponseBase]:
    """The view behind the login of the admin and the page's permissions, within the site's frame."""

    @functools.wraps(page.view)
    def view(request: HttpRequest) -> HttpResponseBase:
        if not may_open(request, page):
            raise PermissionDenied
        answer = page.view(request)
        if isinstance(answer, TemplateResponse) and not answer.is_rendered:
            frame = {**admin.site.each_context(request), "title": page.title}
            answer.context_data = {**frame, **(answer.context_data or {})}
        return answer

    guarded: Callable[..., HttpResponseBase] = admin.site.admin_view(view)
    return guarded
