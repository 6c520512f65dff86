"""Forms of alerts: a rule's figure is one that can be measured, a channel's secrets never come back."""

from __future__ import annotations

from typing import Any

from django import forms
from django.conf import settings
from django.core.exceptions import ValidationError

from gateway_project.admin_base import (
    CheckboxesWidget,
    ModelForm,
    PasswordWidget,
    SelectWidget,
    TextAreaWidget,
)
from gateway_project.core.outbound import check_url
from security_app.admin.form_fields import LinesField
from usage_app.models import AlertChannel, AlertRule
from usage_app.services.alerts.measures import measures

_Kind = AlertChannel.Kind
_MAX_URL = 2000


class AlertChannelForm(ModelForm[AlertChannel]):
    """Adds and changes channels. Mail needs recipients, the others a URL."""

    recipients = LinesField(
        widget=TextAreaWidget(attrs={"rows": 3}), help_text="For mail: addresses, one a line."
    )
    url = forms.CharField(
        label="URL",
        required=False,
        max_length=_MAX_URL,
        widget=PasswordWidget(attrs={"autocomplete": "off", "spellcheck": "false"}),
        help_text="For Slack and webhooks. Whoever has it can write there, so it is stored encrypted and not "
        "shown again; leave it empty to keep what is stored.",
    )
    secret = forms.CharField(
        required=False,
        max_length=200,
        widget=PasswordWidget(attrs={"autocomplete": "new-password"}),
        help_text="For webhooks: messages carry x-gateway-signature, sha256= and the HMAC-SHA-256 of the "
        "body in hexadecimal. Leave it empty to keep what is stored.",
    )

    class Meta:
        model = AlertChannel
        fields = ("name", "kind", "recipients", "is_enabled")

    def clean_url(self) -> str:
        """A URL that may be called from here."""
        url = str(self.cleaned_data["url"]).strip()
        if url:
            try:
                # Webhooks of some services have their secret in the query.
                check_url(url.partition("?")[0], allow_private=settings.ALLOW_PRIVATE_HOSTS)
            except ValueError as error:
                raise ValidationError(f"This can’t be called: {error}.", code="invalid") from error
        return url

    def clean(self) -> dict[str, Any]:
        """What the kind needs must be there."""
        cleaned: dict[str, Any] = super().clean() or self.cleaned_data
        is_mail = cleaned.get("kind") == _Kind.MAIL
        if is_mail and not cleaned.get("recipients") and "recipients" not in self.errors:
            self.add_error("recipients", "Mail needs at least one address.")
        has_url = cleaned.get("url") or self.instance.url_sealed
        if cleaned.get("kind") and not is_mail and not has_url and "url" not in self.errors:
            self.add_error("url", "Give the URL to send to.")
        return cleaned

    def save(self, commit: bool = True) -> AlertChannel:
        """With the secrets that were entered."""
        if self.cleaned_data["url"]:
            self.instance.set_url(self.cleaned_data["url"])
        if self.cleaned_data["secret"]:
            self.instance.set_secret(self.cleaned_data["secret"])
        row: AlertChannel = super().save(commit)
        return row


class AlertRuleForm(ModelForm[AlertRule]):
    """Adds and changes rules."""

    kind = forms.ChoiceField(label="What", widget=SelectWidget)

    class Meta:
        model = AlertRule
        fields = (
            "name",
            "kind",
            "per",
            "threshold",
            "window_minutes",
            "min_requests",
            "time_zone",
            "work_from_hour",
            "work_to_hour",
            "repeat_minutes",
            "channels",
            "is_enabled",
        )
        widgets = {"channels": CheckboxesWidget}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if "kind" in self.fields:
            known = measures().items()
            self.fields["kind"].choices = [  # type: ignore[attr-defined]
                (kind, f"{measure.title} ({measure.unit})") for kind, measure in known
            ]

    def clean(self) -> dict[str, Any]:
        """Not every figure is known of every subject."""
        cleaned: dict[str, Any] = super().clean() or self.cleaned_data
        measure = measures().get(cleaned.get("kind", ""))
        per = cleaned.get("per")
        if measure is not None and per and per not in measure.subjects:
            titles = ", ".join(AlertRule.Per(one).label.lower() for one in measure.subjects)
            self.add_error("per", f"“{measure.title}” is known of: {titles}.")
        begin, end = cleaned.get("work_from_hour"), cleaned.get("work_to_hour")
        if begin is not None and end is not None and begin >= end:
            self.add_error("work_to_hour", "Working hours must end after they begin.")
        return cleaned
