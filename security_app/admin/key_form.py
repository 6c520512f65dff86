"""The form of an API key: what it may do and for how long. The key itself is nobody's to type or to see."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from typing import Any

from django import forms

from gateway_project.admin_base import CheckboxesWidget, ModelForm, TextAreaWidget, TextWidget
from gateway_project.core.clock import utc_now
from security_app.admin.form_fields import JsonObjectField, LinesField, aliases_field
from security_app.models import SCOPES, ApiKey
from security_app.models.key import default_scopes
from security_app.services.rotation import schedule

_DAY_S = 86_400
SCOPE_LABELS = {
    "inference": "inference: call models",
    "admin": "admin: manage the gateway over HTTP",
    "metrics": "metrics: read metrics",
    "team": "team: manage the teams of its user over HTTP",
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
    model_aliases = aliases_field(
        "Models by the names that its requests give them; what the key may use stays as it is."
    )
    allowed_ips = LinesField(
        label="Allowed addresses",
        widget=TextAreaWidget(attrs={"rows": 2, "placeholder": "10.0.0.0/8"}),
        help_text="One address or network a line that it may be used from; empty: from anywhere.",
    )
    allowed_routes = LinesField(
        widget=TextAreaWidget(attrs={"rows": 2, "placeholder": "/v1/chat/completions\n/v1/*"}),
        help_text="One path a line, or llm_api_routes, management_routes, info_routes; empty: all that its "
        "scopes allow.",
    )
    rotation_days = forms.IntegerField(
        label="New secret each … days",
        required=False,
        min_value=1,
        max_value=3650,
        widget=TextWidget(attrs={"inputmode": "numeric"}),
        help_text="An administrator fetches it, once. Empty: never by itself.",
    )
    metadata = JsonObjectField(
        widget=TextAreaWidget(attrs={"rows": 3}),
        help_text="A JSON object of your own; conditions of routes may ask for its plain members.",
    )

    class Meta:
        model = ApiKey
        fields = (
            "name",
            "user_id",
            "team",
            "is_service_account",
            "scopes",
            "allowed_models",
            "allowed_tools",
            "agent_versions",
            "model_aliases",
            "allowed_ips",
            "allowed_routes",
            "trusts_end_user",
            "token_issuer",
            "expires_at",
            "is_blocked",
            "metadata",
        )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.instance.next_rotation_at is not None and self.instance.rotation_interval_s:
            self.initial["rotation_days"] = self.instance.rotation_interval_s // _DAY_S

    def clean(self) -> dict[str, Any]:
        """What the service refuses of two fields together is an error at one of them."""
        cleaned: dict[str, Any] = super().clean() or self.cleaned_data
        if cleaned.get("is_service_account") and (not cleaned.get("team") or cleaned.get("user_id")):
            self.add_error("is_service_account", "The key of a service account has a team and no user.")
        if cleaned.get("trusts_end_user") == "jwt" and not cleaned.get("token_issuer"):
            self.add_error("trusts_end_user", "Tokens need an issuer.")
        return cleaned

    def clean_expires_at(self) -> Any:
        """A new expiry lies in the future; blocking is the way to end a key now."""
        value = self.cleaned_data["expires_at"]
        if value is not None and "expires_at" in self.changed_data and value <= utc_now():
            raise forms.ValidationError("This moment has passed. To end a key now, block it.", code="past")
        return value


def key_values(form: Any, names: Iterable[str]) -> dict[str, Any]:
    """The fields of a key that these fields of the form set."""
    values = {name: form.cleaned_data[name] for name in names}
    if "rotation_days" in values:
        days = values.pop("rotation_days")
        values |= schedule(None if days is None else timedelta(days=days), is_on=days is not None)
    return values
