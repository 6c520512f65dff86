"""Policies for content in the admin: whose questions and answers may be stored."""

from __future__ import annotations

from gateway_project.admin_base import ConfigModelAdmin, display, register
from security_app.models import ContentPolicy

_STATES = {"on": "warning", "off": "success"}


@register(ContentPolicy)
class ContentPolicyAdmin(ConfigModelAdmin[ContentPolicy]):
    """Without a policy no text is stored."""

    list_display = ("subject", "texts", "masked", "retention_days")
    list_filter = ("subject_kind", "stores_texts")
    search_fields = ("subject_id",)
    ordering = ("-id",)
    fieldsets = (
        (None, {"fields": ("subject_kind", "subject_id")}),
        ("Texts", {"fields": ("stores_texts", "retention_days", "masks_emails", "masks_cards")}),
    )

    @display(description="Of", ordering="subject_id")
    def subject(self, row: ContentPolicy) -> str:
        """Whose calls it is for."""
        return row.subject_text()

    @display(description="Texts", ordering="stores_texts", label=_STATES)
    def texts(self, row: ContentPolicy) -> tuple[str, str]:
        """Whether they may be stored."""
        return ("on", "may be stored") if row.stores_texts else ("off", "not stored")

    @display(description="Masked")
    def masked(self, row: ContentPolicy) -> str:
        """What texts are stored without."""
        names = {"e-mail addresses": row.masks_emails, "card numbers": row.masks_cards}
        return ", ".join(["secrets", *(name for name, is_on in names.items() if is_on)])
