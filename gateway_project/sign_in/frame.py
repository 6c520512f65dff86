"""The admin's frame for pages that are not the admin's own: signing in, second factors, one's own use."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.http import HttpRequest

ACCOUNT_PREFIX = "/admin/account/"
_FRAMED = (ACCOUNT_PREFIX, "/admin/login/", "/me/")


def frame(request: HttpRequest) -> dict[str, Any]:
    """Context of all templates: what the theme needs, for pages whose views don't know of it."""
    if not request.path.startswith(_FRAMED) or not hasattr(request, "user"):
        return {}
    return {**admin.site.each_context(request), "is_staff_page": admin.site.has_permission(request)}
