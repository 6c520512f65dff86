"""“Test upstreams”: a page that tries all enabled upstreams, some at a time, and tells of each as it comes.

The page's script asks for one upstream after the other (`UpstreamCallActions.trial_view`), so nothing runs on
when it is closed. It calls models only with a key that the person types in, through the gateway's own door.
"""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed
from django.template.response import TemplateResponse
from django.urls import reverse

from upstreams_app.models import Upstream

MAY_PROBE = "upstreams_app.probe_upstream"
MAX_UPSTREAMS = 500
# How many upstreams the script has tried at a time.
AT_ONCE = 4


def trials_view(request: HttpRequest) -> HttpResponse:
    """The page: a row for each enabled upstream, which the script fills in."""
    if request.method not in ("GET", "HEAD"):
        return HttpResponseNotAllowed(["GET", "HEAD"])
    rows = Upstream.objects.filter(is_enabled=True).order_by("name")
    found = list(rows.values("pk", "name", "kind", "credential_source")[: MAX_UPSTREAMS + 1])
    sees_pages = request.user.has_perm("upstreams_app.view_upstream")
    context: dict[str, Any] = {
        "upstreams": [
            {
                "name": row["name"],
                "kind": row["kind"],
                "is_asked": row["credential_source"] != Upstream.CredentialSource.CLIENT,
                "url": reverse("admin:upstreams_app_upstream_change", args=[row["pk"]]) if sees_pages else "",
                "trial_url": reverse("admin:upstreams_app_upstream_trial", args=[row["pk"]]),
            }
            for row in found[:MAX_UPSTREAMS]
        ],
        "has_more": len(found) > MAX_UPSTREAMS,
        "limit": MAX_UPSTREAMS,
        "at_once": AT_ONCE,
    }
    return TemplateResponse(request, "admin_gateway/test_upstreams.html", context)
