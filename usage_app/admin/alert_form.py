"""Forms of alerts: a rule's figure is one that can be measured, a channel's secrets never come back."""

from __future__ import annotations

from typing import Any

from django import forms

from gateway_project.admin_base import (
    CheckboxesWidget,
    ModelForm,
    PasswordWidget,
    SelectWidget,
    TextAreaWidget,
)
from security_app.admin.form_fields import LinesField
from usage_app.models import AlertChannel, AlertRule
from usage_app.services.alerts.checks import (
    MAX_SECRET,
    MAX_URL,
    Problems,
    channel_problems,
    hours_problems,
    rule_problems,
    secret_problems,
    url_problems,
)
from usage_app.services.alerts.measures import measures


def _tell(form: forms.ModelForm[Any], problems: Problems) -> None:
    """Say what is wrong at each field that has no error of its own."""
    for name, text in problems.items():
        if name not in form.errors:
            form.add_error(name, text)


class AlertChannelForm(ModelForm[AlertChannel]):
    """Adds and changes channels. Mail needs recipients, the others a URL."""

    recipients = LinesField(
        widget=TextAreaWidget(attrs={"rows": 3}), help_text="For mail: addresses, one a line."
    )
    url = forms.CharField(
        label="URL",
        required=False,
        max_length=MAX_URL,
        widget=PasswordWidget(attrs={"autocomplete": "off", "spellcheck": "false"}),
        help_text="For Slack and webhooks. Whoever has it can write there, so it is stored encrypted and not "
        "shown again; leave it empty to keep what is stored.",
    )
    secret = forms.CharField(
        required=False,
        max_length=MAX_SECRET,
        widget=PasswordWidget(attrs={"autocomplete": "new-password"}),
        help_text="For webhooks: messages carry x-gateway-signature, sha256= and the HMAC-SHA-256 of the "
        "body in hexadecimal. Leave it empty to keep what is stored; give it again when the URL changes.",
    )

    class Meta:
        model = AlertChannel
        fields = ("name", "kind", "recipients", "is_enabled")

    def clean_url(self) -> str:
        """Without what was pasted along."""
        return str(self.cleaned_data["url"]).strip()

    def clean(self) -> dict[str, Any]:
        """What the kind needs must be there, and a URL must be one that may be called from here."""
        cleaned: dict[str, Any] = super().clean() or self.cleaned_data
        url, secret = cleaned.get("url", ""), cleaned.get("secret")
        _tell(self, url_problems(url))
        _tell(self, secret_problems(self.instance, url=url, is_secret_given=bool(secret)))
        if kind := cleaned.get("kind"):
            has_url = bool(url or self.instance.url_sealed)
            _tell(self, channel_problems(kind, cleaned.get("recipients") or (), has_url=has_url))
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
        kind, per = cleaned.get("kind"), cleaned.get("per")
        if kind and per:
            _tell(self, rule_problems(kind, per))
        begin, end = cleaned.get("work_from_hour"), cleaned.get("work_to_hour")
        if begin is not None and end is not None:
            _tell(self, hours_problems(begin, end))
        return cleaned
