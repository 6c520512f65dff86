"""Cache policies in the admin: which answers are given again, and to whom."""

from __future__ import annotations

from gateway_project.admin_base import BadgedValue, SwitchableModelAdmin, display, register
from security_app.admin.diagnostics import reasons_by_object
from upstreams_app.models import CachePolicy


@register(CachePolicy)
class CachePolicyAdmin(SwitchableModelAdmin[CachePolicy]):
    """Without a policy no answer is kept."""

    list_display = ("model", "state", "shown_scope", "ttl_s", "is_on_request", "includes_tools", "is_enabled")
    list_filter = ("is_enabled", "scope")
    search_fields = ("model",)
    ordering = ("model",)
    fieldsets = (
        (None, {"fields": ("model", "is_enabled")}),
        ("What is kept", {"fields": (("scope", "ttl_s"), ("is_on_request", "includes_tools"))}),
    )

    @display(description="State", label={"off": "info", "broken": "danger", "on": "success"})
    def state(self, row: CachePolicy) -> BadgedValue:
        """Whether answers are kept now."""
        if not row.is_enabled:
            return "off", "disabled"
        reason = reasons_by_object("cache policy").get(row.model)
        return ("broken", reason) if reason else ("on", "in use")

    @display(description="For", ordering="scope")
    def shown_scope(self, row: CachePolicy) -> str:
        """The scope in one word."""
        return row.scope
