"""The admin's page with recipes for clients, filled in with this gateway's address and one of its models."""

from __future__ import annotations

from urllib.parse import urlsplit

from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed
from django.template.response import TemplateResponse
from django.urls import reverse

from gateway_project.client_recipes import KEY, filled, groups
from gateway_project.first_run.state import chat_models, may_use

_LOOPBACK = ("localhost", "127.0.0.1", "::1")


def clients_view(request: HttpRequest) -> HttpResponse:
    """All recipes. `?model=` chooses another model, which must be one that is served."""
    if request.method not in ("GET", "HEAD"):
        return HttpResponseNotAllowed(["GET", "HEAD"])
    models = chat_models(None)
    asked = request.GET.get("model", "")
    model = asked if asked in models else (models[0] if models else "MODEL")
    base_url = request.build_absolute_uri("/v1")
    context = {
        "title": "Set up a client",
        "groups": groups(filled(base_url=base_url, model=model)),
        "base_url": base_url,
        "model": model,
        "models": models,
        "placeholder": KEY,
        "is_loopback": urlsplit(base_url).hostname in _LOOPBACK,
        "add_key_url": reverse("admin:security_app_apikey_add"),
        "first_run_url": reverse("admin:first_run") if may_use(request.user) else "",
        "may_add_key": request.user.has_perm("security_app.add_apikey"),
    }
    return TemplateResponse(request, "admin_gateway/clients.html", context)
