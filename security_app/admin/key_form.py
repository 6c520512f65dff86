"""The form of an API key: what it may do and for how long. The key itself is nobody's to type or to see."""

from __future__ import annotations

from typing import Any

from django import forms

from gateway_project.admin_base import CheckboxesWidget, ModelForm, TextAreaWidget
from gateway_project.core.clock import utc_now
from security_app.admin.form_fields import JsonObjectField, LinesField
from security_app.models import SCOPES, ApiKey
from security_app.models.key import default_scopes

SCOPE_LABELS = {
    "inference": "inference: call models",
    "admin": "admin: manage the gateway over HTTP",
    "metrics": "metrics: read metrics",
}


class ApiKeyForm(ModelForm[ApiKey]):
    """Adds and changes keys; saving is left to `security_app.services.keys`."""

    scopes = forms.MultipleChoiceField(
        choices=[(scope, SCOPE_LABELS.get(scope, scope)) for scope in SCOPES],
        initial=default_scopes,
        widget=CheckboxesWidget,
        error_messages={"required": "Choose at least one scope."},
    )
    allowed_models = LinesField(
        widget=TextAreaWidget(attrs={"rows": 4, "placeholder": "openai/*\nmy-route"}),
        help_text="One model id or pattern such as openai/* a line; empty allows every model.",
    )
    allowed_tools = LinesField(
        widget=TextAreaWidget(attrs={"rows": 3, "placeholder": "crm_*\nfind_order"}),
        help_text="What agents may use for this key: one tool or pattern such as crm_* a line; empty allows "
        "every tool.",
    )
    agent_versions = JsonObjectField(
        label="Versions of agents",
        widget=TextAreaWidget(attrs={"rows": 3, "placeholder": '{"desk/billing": 3}'}),
        help_text="A JSON object: the version that a declared agent has for this key, by the agent's id; "
        "other agents are as they are now.",
    )
    metadata = JsonObjectField(
        widget=TextAreaWidget(attrs={"rows": 3}),
        help_text="A JSON object of your own; the gateway only keeps it.",
    )

    class Meta:
        model = ApiKey
        fields = (
            "name",
            "user_id",
            "scopes",
            "allowed_models",
            "allowed_tools",
            "agent_versions",
            "expires_at",
            "is_blocked",
            "metadata",
        )

    def clean_expires_at(self) -> Any:
        """A new expiry lies in the future; blocking is the way to end a key now."""
        value = self.cleaned_data["expires_at"]
        if value is not None and "expires_at" in self.changed_data and value <= utc_now():
            raise forms.ValidationError("This moment has passed. To end a key now, block it.", code="past")
        return value
