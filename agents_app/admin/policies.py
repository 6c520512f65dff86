"""Policies of drop-ins in the admin; a change has the folders looked at again, in all processes."""

from __future__ import annotations

from agents_app.models import DropInPolicy
from gateway_project.admin_base import ConfigModelAdmin, register


@register(DropInPolicy)
class DropInPolicyAdmin(ConfigModelAdmin[DropInPolicy]):
    """What drop-ins of a namespace may import, and where their code runs."""

    list_display = ("namespace", "mode", "isolation")
    list_filter = ("mode", "isolation")
    search_fields = ("namespace",)
    ordering = ("namespace",)
    fieldsets = (
        (None, {"fields": ("namespace", "mode", "isolation")}),
        ("Modules", {"fields": ("allowed_modules", "denied_modules")}),
    )
