"""The live page: requests as they finish. The page's script does the rest, over `usage_app.consumers`."""

from __future__ import annotations

from django.http import HttpRequest
from django.template.response import TemplateResponse
from django.urls import reverse

from usage_app.services.live import SOCKET_PATH
from usage_app.services.outcomes import OUTCOMES

_RECORD = "00000000-0000-0000-0000-000000000000"
_TEXT_FILTERS = (("model", "Model"), ("key", "Key"), ("upstream", "Upstream"))
_OUTCOMES = [("", "All"), *((one.id, one.title) for one in OUTCOMES.values())]


def live_view(request: HttpRequest) -> TemplateResponse:
    """An empty table, and the filter that is in the address."""
    context = {
        "socket_path": SOCKET_PATH,
        # The script puts a request's UUID in the place of the zeros.
        "record_path": reverse("admin:usage_app_usagerecord_change", args=[_RECORD]),
        "ledger_path": reverse("admin:usage_app_usagerecord_changelist"),
        "text_filters": [(name, label, request.GET.get(name, "")) for name, label in _TEXT_FILTERS],
        "outcomes": _OUTCOMES,
        "outcome": request.GET.get("outcome", ""),
        "errors_only": bool(request.GET.get("errors_only")),
    }
    return TemplateResponse(request, "admin_gateway/live.html", context)
