"""`/me/`: the own page of whoever signs in, with or without a right in the admin."""

from __future__ import annotations

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils.cache import add_never_cache_headers
from django.views.decorators.http import require_safe

from gateway_project.self_service.bounds import HEADS, own_bounds
from gateway_project.self_service.mine import DAYS_SHOWN, own_keys, used_by_day
from security_app.models import GatewayUser


@require_safe
@login_required
def me(request: HttpRequest) -> HttpResponse:
    """Nothing in the address or the query chooses whose page it is: the session does."""
    user = GatewayUser.objects.filter(account=request.user.pk).first()
    context: dict[str, object] = {
        "title": "My use",
        "days_shown": DAYS_SHOWN,
        "holder": user,
        "heads": ("Day (UTC)", "Requests", "Errors", "Tokens", "Cost"),
    }
    if user is not None:
        context |= {
            "keys": own_keys(user),
            "days": used_by_day({"user": (user.user_id,)}),
            "bounds": own_bounds(user),
            "bound_heads": HEADS,
            "teams": list(user.memberships.select_related("team").order_by("team__name")[:50]),
        }
    response = TemplateResponse(request, "account/me.html", context)
    add_never_cache_headers(response)
    return response
